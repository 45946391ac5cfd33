"""Finds out, in worker processes, what unexpected files are, and which digests sources have.

`repair.match_orphans` decides what follows from it; the rule for one file is `domain.plans.judge`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from thumb_pipeline.datasets.schemas import FILE_KEY, SOURCE_KEY
from thumb_pipeline.domain.plans import Examined, Expectation, judge
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.stages.workers.messages import DigestAnswer, DigestTask, Evidence, EvidenceAnswer, EvidenceTask
from thumb_pipeline.stages.workers.pool import in_batches, open_pool

_FILES_A_TASK = 64
_ROWS_A_TABLE = 20_000

EVIDENCE = {
    "timelapse": pl.String,
    "variant_path": pl.String,
    "variant": pl.String,  # one that the picture is right for; empty for a whole picture without provenance
    "digest": pl.String,  # of its source's bytes; this and the next four are what its provenance states
    "name_digest": pl.String,
    "source_n_bytes": pl.Int64,
    "source_mtime_ns": pl.Int64,
    "frame_at": pl.String,  # of videos
    "format": pl.String,
    "width_px": pl.Int32,
    "height_px": pl.Int32,
    "n_bytes": pl.Int64,
    "mtime_ns": pl.Int64,
    "checksum": pl.String,
}
"""What usable files say of themselves: one row for each variant that a file could be."""


def read_evidence(
    library: Library, files: pl.DataFrame, lease: Lease, *, on_progress: Progress | None = None
) -> pl.DataFrame:
    """What some files can be used for (`EVIDENCE` columns); broken, stale and changed ones are left out.

    Args:
        library: the library.
        files: timelapse, variant_path, n_bytes, mtime_ns.
        lease: ours.
        on_progress: called with the number of files examined.
    """
    specs, frame_at = tuple(library.settings.specs.values()), library.settings.frame_at.text
    tables: list[pl.DataFrame] = [pl.DataFrame(schema=EVIDENCE)]
    rows: list[dict[str, Any]] = []
    for n_done, (listed, evidence) in enumerate(_gather_evidence(library, files, lease), 1):
        if (evidence.n_bytes, evidence.mtime_ns) == listed[2:]:
            rows += _usable(listed[0], listed[1], evidence, specs, frame_at)
        if len(rows) >= _ROWS_A_TABLE:
            tables.append(pl.DataFrame(rows, schema=EVIDENCE))
            rows = []
        if on_progress is not None:
            on_progress(n_done, files.height)
    return pl.concat([*tables, pl.DataFrame(rows, schema=EVIDENCE)])


def _gather_evidence(
    library: Library, files: pl.DataFrame, lease: Lease
) -> Iterator[tuple[tuple[str, str, int, int], Evidence]]:
    """Each file as it was listed, with its evidence; a file on which a worker dies has none."""
    listed = files.select(*FILE_KEY, "n_bytes", "mtime_ns").rows()
    paths = [library.variant_file(key, path) for key, path, *_ in listed]
    batches = (
        (places, EvidenceTask(files=tuple(paths[places.start : places.stop]))) for places in in_batches(len(paths))
    )
    with open_pool(library, lease) as pool:
        for places, answer in pool.run_batches(batches):
            evidence = answer.files if isinstance(answer, EvidenceAnswer) else [_NONE]
            yield from zip([listed[place] for place in places], evidence, strict=True)


_NONE = Evidence(seen=Examined(opens=False))


def _usable(
    key: str, path: str, evidence: Evidence, specs: Sequence[VariantSpec], frame_at: str
) -> list[dict[str, Any]]:
    seen, note = evidence.seen, evidence.seen.provenance
    if not seen.is_whole:
        return []
    facts = {
        "timelapse": key,
        "variant_path": path,
        "format": evidence.format,
        "width_px": seen.width_px,
        "height_px": seen.height_px,
        "n_bytes": evidence.n_bytes,
        "mtime_ns": evidence.mtime_ns,
        "checksum": evidence.checksum,
    }
    if note is None:
        return [{**facts, "variant": ""}]
    stated = {
        "digest": note.source_digest,
        "name_digest": note.source_name_digest,
        "source_n_bytes": note.source_n_bytes,
        "source_mtime_ns": note.source_mtime_ns,
        "frame_at": note.frame_at or None,
    }
    return [{**facts, **stated, "variant": spec.name} for spec in specs if _is_right(seen, note, spec, frame_at)]


def _is_right(seen: Examined, note: Provenance, spec: VariantSpec, frame_at: str) -> bool:
    """Whether the file is what this recipe makes today of the source that the provenance names."""
    expected = Expectation(
        source_n_bytes=note.source_n_bytes,
        source_mtime_ns=note.source_mtime_ns,
        source_name_digest=note.source_name_digest,
        spec=spec,
        frame_at=frame_at,
    )
    return judge(seen, expected, trust_existing=False).reason is None


def read_digests(
    library: Library, sources: pl.DataFrame, lease: Lease, *, on_progress: Progress | None = None
) -> pl.DataFrame:
    """Reads sources to their end for their digests; those that are not as listed any more are left out.

    Args:
        library: the library.
        sources: timelapse, source_name, n_bytes, mtime_ns; without duplicates.
        lease: ours.
        on_progress: called with the number of sources read.

    Returns:
        The four columns of `sources`, and digest.
    """
    listed = sources.select(*SOURCE_KEY, "n_bytes", "mtime_ns")
    digests: list[str | None] = [None] * listed.height
    if listed.is_empty():
        return listed.with_columns(digest=pl.lit(None, pl.String))
    tasks = (
        (number, DigestTask(path=library.source_file(key, name), n_bytes=n_bytes, mtime_ns=mtime_ns))
        for number, (key, name, n_bytes, mtime_ns) in enumerate(listed.iter_rows())
    )
    with open_pool(library, lease) as pool:
        for n_done, (number, answer) in enumerate(pool.run_for(tasks), 1):
            digests[number] = answer.digest if isinstance(answer, DigestAnswer) else None
            if on_progress is not None:
                on_progress(n_done, listed.height)
    return listed.with_columns(digest=pl.Series(digests, dtype=pl.String)).drop_nulls("digest")
