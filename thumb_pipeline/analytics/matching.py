"""Matches files that nothing expects with the sources they were made from: joins only, best evidence first.

`stages.examining.unclaimed` reads the files' provenance, `domain.name_hints` guesses what their names mean, and
`stages.repair.move_orphans` moves them.
"""

import polars as pl

FILE = ["timelapse", "variant_path"]
"""What identifies a file: the timelapse it lies in and its path there."""

SOURCE = ["to_timelapse", "source_name"]
"""What identifies the source that it is matched with."""

NO_PAIRS = pl.DataFrame(schema=dict.fromkeys((*FILE, "variant", *SOURCE), pl.String))
"""A table of matches without rows."""

_BYTES = ("digest",)
_NAME_AND_BYTES = ("name_digest", "digest")
_NAME_AND_STATE = ("name_digest", "source_n_bytes", "source_mtime_ns")


def by_provenance(files: pl.DataFrame, places: pl.DataFrame, *, name_alone: bool = False) -> pl.DataFrame:
    """Pairs files with empty places, each at most once.

    In a file's own timelapse the name, with the bytes or with size and mtime, beats the bytes alone; in other
    timelapses the bytes must be equal. Where several files fit several places (sources with the same bytes), any
    pairing is right.

    Args:
        files: timelapse, variant_path, variant and, by their provenance, digest, name_digest, source_n_bytes,
            source_mtime_ns; one row for each variant that a file could be.
        places: timelapse, source_name, variant, to_path, and the same columns of the sources; digest is null if a
            source's bytes were not read.
        name_alone: match only by name, within a file's own timelapse; the rest has to wait for digests.

    Returns:
        `FILE`, variant, `SOURCE`.
    """
    unread = places.filter(pl.col("digest").is_null())
    rungs = [(_NAME_AND_BYTES, places, True), (_NAME_AND_STATE, unread, True)]
    if not name_alone:
        rungs += [(_BYTES, places, True), (_NAME_AND_BYTES, places, False), (_BYTES, places, False)]
    pairs = [NO_PAIRS]
    for on, offered, is_own in rungs:
        matched = pl.concat(pairs)
        taken = matched.select(pl.col("to_timelapse").alias("timelapse"), "source_name", "variant")
        free = offered.join(taken, on=taken.columns, how="anti")
        pairs.append(_paired(files.join(matched, on=FILE, how="anti"), free, [*on, *(["timelapse"] if is_own else [])]))
    return pl.concat(pairs)


def _paired(files: pl.DataFrame, places: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """Pairs the n-th file with the n-th place of the same key: a join with at most one row a file and place."""
    keys = [*on, "variant"]
    nth = pl.int_range(pl.len()).over(keys).alias("nth")
    offered = places.select(*keys, "source_name", to_timelapse="timelapse")
    return (
        files.drop_nulls(keys)
        .sort(FILE)
        .with_columns(nth)
        .join(offered.drop_nulls(keys).sort(SOURCE).with_columns(nth), on=[*keys, "nth"])
        .sort(*FILE, "variant")
        .unique(FILE, keep="first", maintain_order=True)
        .select(*FILE, "variant", *SOURCE)
    )


def of_sources(files: pl.DataFrame, expected: pl.DataFrame) -> pl.DataFrame:
    """The files (`FILE`) that are a variant of a source, whether or not its place is empty.

    Args:
        files: as for `by_provenance`.
        expected: as its `places`, including those that are taken.
    """
    unread = expected.filter(pl.col("digest").is_null())
    matches = [
        files.join(offered, on=[*on, "variant", *own], how="semi").select(FILE)
        for on, offered, own in ((_NAME_AND_STATE, unread, ["timelapse"]), (_BYTES, expected, []))
    ]
    return pl.concat(matches).unique()


NAME_RUNGS = {
    "name": pl.col("source_name").str.to_lowercase(),
    "stem": pl.col("source_name").str.to_lowercase().str.replace(r"\.[^.]+$", ""),
    "instant": pl.when(pl.col("is_dated")).then(pl.col("captured_at").dt.timestamp("us").cast(pl.String)),
}
"""What a name is compared with in a source, best evidence first."""


def by_name(hints: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    """Matches each file with the only source that its name can mean; an ambiguous name matches none.

    Args:
        hints: `FILE`, variant, to_timelapse, rung (a key of `NAME_RUNGS`), value.
        sources: timelapse, source_name, captured_at, is_dated (its name or EXIF tells the instant).

    Returns:
        `FILE`, variant, `SOURCE`.
    """
    matched = [NO_PAIRS]
    where = ["to_timelapse", "value"]
    for rung, value in NAME_RUNGS.items():
        hinted = hints.filter(pl.col("rung") == rung).join(pl.concat(matched), on=FILE, how="anti")
        if hinted.is_empty():
            continue
        meant = (
            sources.select(pl.col("timelapse").alias("to_timelapse"), "source_name", value=value)
            .join(hinted, on=where, how="semi")
            .filter(pl.len().over(where) == 1)
        )
        candidates = hinted.join(meant, on=where).select(matched[0].columns).unique()
        matched.append(candidates.filter(pl.len().over(FILE) == 1))
    return pl.concat(matched)
