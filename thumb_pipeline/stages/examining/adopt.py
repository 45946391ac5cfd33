"""Examines variant files without a matching record, in worker processes, and decides which to adopt.

`analytics.states` says which files are doubtful; the rule for one file is `domain.plans.judge`.
"""

from collections.abc import Iterator
from dataclasses import asdict

import polars as pl

from thumb_pipeline.datasets.manifest_rows import adopted_rows
from thumb_pipeline.datasets.schemas import MANIFEST
from thumb_pipeline.domain import names
from thumb_pipeline.domain.plans import Expectation, Reason, State
from thumb_pipeline.stages.examining.digests import add_known_digests
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress, of_part
from thumb_pipeline.stages.workers.messages import Examination, ExamineAnswer, ExamineTask
from thumb_pipeline.stages.workers.pool import in_batches, open_pool

_ROWS_AT_ONCE = 50_000  # after a lost manifest a million are doubtful, and an answer takes 3 kB until it is a row
_FILE_FACTS = ("source_digest", "frame_at", "width_px", "height_px", "n_bytes", "mtime_ns", "checksum")
_VERDICT = {
    "reason": pl.String,
    "known_digest": pl.String,
    "is_trusted": pl.Boolean,
    "width_px": pl.Int32,
    "height_px": pl.Int32,
    "n_bytes": pl.Int64,
    "mtime_ns": pl.Int64,
    "checksum": pl.String,
    "source_digest": pl.String,
    "frame_at": pl.String,
}


def examine(
    library: Library, states: pl.DataFrame, lease: Lease, *, trust_existing: bool, on_progress: Progress | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decides the doubtful rows of a state table.

    Args:
        library: the library.
        states: what `analytics.states.variant_states` gives; with `source_digest` where the sources' bytes are known.
        lease: ours.
        trust_existing: whether to adopt another program's variants that decode and fit their box.
        on_progress: called with the number of files examined.

    Returns:
        The states with every doubtful one decided (adopted, or the reason to make it again), and the manifest rows of
        the adopted.
    """
    doubtful = states.filter(pl.col("state") == State.EXAMINE.value)
    if doubtful.is_empty():
        return states, MANIFEST.empty()
    verdicts = pl.concat(
        _verdicts(
            library,
            doubtful.slice(first, _ROWS_AT_ONCE),
            lease,
            trust_existing=trust_existing,
            on_progress=of_part(on_progress, first, doubtful.height),
        )
        for first in range(0, doubtful.height, _ROWS_AT_ONCE)
    )
    decided = pl.concat([doubtful.drop("known_digest"), verdicts.select(pl.all().name.prefix("v_"))], how="horizontal")
    # The process was killed after it published this variant and before it removed the predecessor. Making the variant
    # again removes the predecessor.
    is_halfway = pl.col("v_reason").is_null() & pl.col("superseded_path").is_not_null() & ~pl.col("v_is_trusted")
    verdict = pl.when(is_halfway).then(pl.lit(Reason.STALE_SPEC.value)).otherwise("v_reason")
    decided = decided.with_columns(state=verdict.fill_null(State.ADOPTED), known_digest=pl.col("v_known_digest"))
    adopted = _manifest_rows(decided.filter(pl.col("state") == State.ADOPTED))
    rest = states.filter(pl.col("state") != State.EXAMINE.value)
    return pl.concat([rest, decided.select(rest.columns)]), adopted


def _verdicts(
    library: Library, doubtful: pl.DataFrame, lease: Lease, *, trust_existing: bool, on_progress: Progress | None
) -> pl.DataFrame:
    """One verdict for each doubtful row, in their order; a file on which a worker dies is corrupt."""
    verdicts: dict[int, Examination] = {}
    with open_pool(library, lease) as pool:
        for places, answer in pool.run_batches(_batches(library, doubtful, trust_existing=trust_existing)):
            examinations = answer.files if isinstance(answer, ExamineAnswer) else [Examination(reason=Reason.CORRUPT)]
            verdicts |= dict(zip(places, examinations, strict=True))
            if on_progress is not None:
                on_progress(len(verdicts), doubtful.height)
    return pl.DataFrame([asdict(verdicts[place]) for place in range(doubtful.height)], schema=_VERDICT)


def _batches(library: Library, doubtful: pl.DataFrame, *, trust_existing: bool) -> Iterator[tuple[range, ExamineTask]]:
    specs = library.settings.specs
    files: list[tuple[bytes, Expectation]] = []
    columns = ("timelapse", "source_name", "variant", "variant_path", "n_bytes", "mtime_ns", "digest")
    rows = add_known_digests(library, doubtful)
    if "source_digest" in rows.columns:  # the sources were just read
        rows = rows.with_columns(digest=pl.coalesce("source_digest", "digest"))
    for key, source, variant, path, n_bytes, mtime_ns, digest in rows.select(columns).iter_rows():
        expectation = Expectation(
            source_n_bytes=n_bytes,
            source_mtime_ns=mtime_ns,
            source_name_digest=names.name_digest(names.to_bytes(source)),
            spec=specs[variant],
            frame_at=library.settings.frame_at.text,
            source_digest=digest,
        )
        files.append((library.variant_file(key, path), expectation))
    for places in in_batches(len(files)):
        yield places, ExamineTask(files=tuple(files[places.start : places.stop]), trust_existing=trust_existing)


def _manifest_rows(adopted: pl.DataFrame) -> pl.DataFrame:
    return adopted_rows(
        adopted,
        is_trusted=pl.col("v_is_trusted"),
        source_n_bytes=pl.col("n_bytes"),
        source_mtime_ns=pl.col("mtime_ns"),
        **{name: pl.col(f"v_{name}") for name in _FILE_FACTS},
    )
