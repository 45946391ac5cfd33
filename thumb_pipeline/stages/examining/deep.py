"""Opens files that look right, in worker processes, and says which of them are damaged.

Nothing is written here: `workers.deep_checks` checks one file, `damage` records the result, `verify` reports it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from thumb_pipeline.datasets.schemas import DAMAGE, INSTANT, SOURCE_KEY, VARIANT_KEY
from thumb_pipeline.domain import names
from thumb_pipeline.domain.failures import Failure
from thumb_pipeline.domain.findings import SourceFinding
from thumb_pipeline.domain.plans import Expectation, Origin, Reason, RecordState
from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.stages.examining.digests import add_known_digests
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.stages.workers.messages import KnownSource, ProofAnswer, ProveTask, ReadTask, RecordedFile
from thumb_pipeline.stages.workers.pool import WorkerPool

FILES = {
    "timelapse": pl.String,
    "source_name": pl.String,
    "variant": pl.String,  # empty for sources, as is the path
    "variant_path": pl.String,
    "n_bytes": pl.Int64,  # of the file, as is the mtime
    "mtime_ns": pl.Int64,
    "source_n_bytes": pl.Int64,
    "source_mtime_ns": pl.Int64,
    "digest": pl.String,  # of the source's bytes; null where it is unknown
    "checksum": pl.String,  # as recorded, as are the rest; null for sources
    "width_px": pl.Int32,
    "height_px": pl.Int32,
    "is_trusted": pl.Boolean,
}
"""The columns of a table of files to prove."""

_FILES_A_TASK = 64
_BYTES_A_TASK = 32_000_000

_Task = ProveTask | ReadTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What opening some files showed.

    Attributes:
        wrong: the damaged ones (`DAMAGE` columns).
        moved: timelapse, source_name, variant of files that were gone or not as recorded: nothing is known of them.
        n_files: how many files were to be opened.
        n_bytes: how many bytes were read.
    """

    wrong: pl.DataFrame
    moved: pl.DataFrame
    n_files: int
    n_bytes: int

    def applied(self, states: pl.DataFrame) -> pl.DataFrame:
        """Rows with timelapse, source_name, variant, state, known_digest; damaged ones get the state found here."""
        if self.wrong.is_empty():
            return states
        damaged = self.wrong.select(*VARIANT_KEY, new_state="state")
        is_damaged = pl.col("new_state").is_not_null()
        return (
            states.join(damaged, on=VARIANT_KEY, how="left", maintain_order="left")
            .with_columns(
                state=pl.coalesce("new_state", "state"), known_digest=pl.when(~is_damaged).then(pl.col("known_digest"))
            )
            .drop("new_state")
        )


def together(parts: Sequence[Proven]) -> Proven:
    """Several results as one."""
    return Proven(
        wrong=pl.concat([DAMAGE.empty(), *(part.wrong for part in parts)]),
        moved=pl.concat([pl.DataFrame(schema=dict.fromkeys(VARIANT_KEY, pl.String)), *(part.moved for part in parts)]),
        n_files=sum(part.n_files for part in parts),
        n_bytes=sum(part.n_bytes for part in parts),
    )


def files_of_sources(library: Library, sources: pl.DataFrame) -> pl.DataFrame:
    """Sources as files to prove.

    Args:
        library: the library.
        sources: timelapse, source_name, n_bytes, mtime_ns as listed.
    """
    rows = sources.select(*SOURCE_KEY, "n_bytes", "mtime_ns")
    return _with_all_columns(add_known_digests(library, rows).with_columns(variant=pl.lit(""), variant_path=pl.lit("")))


def files_of_variants(library: Library, rows: pl.DataFrame, adoptable: pl.DataFrame) -> pl.DataFrame:
    """Variants as files to prove, with what is recorded of them.

    Args:
        library: the library.
        rows: timelapse, source_name, variant, variant_path, and n_bytes, mtime_ns of their sources.
        adoptable: manifest rows of variants that have no record yet, or none that is still true.
    """
    facts = ("variant_path", "n_bytes", "mtime_ns", "checksum", "width_px", "height_px")
    columns = (*VARIANT_KEY, *facts, pl.col("origin").eq(Origin.TRUSTED).fill_null(False).alias("is_trusted"))
    keys, sources = rows["timelapse"].unique().to_list(), rows["source_name"].unique().to_list()
    recorded = library.manifest.query(
        keys, lambda known: known.filter(pl.col("state") == RecordState.MADE).select(*columns), names=sources
    ).join(adoptable.select(VARIANT_KEY), on=VARIANT_KEY, how="anti")
    known = pl.concat([recorded, adoptable.select(*columns)])
    wanted = add_known_digests(library, rows.select(*VARIANT_KEY, "variant_path", "n_bytes", "mtime_ns")).rename(
        {"n_bytes": "source_n_bytes", "mtime_ns": "source_mtime_ns"}
    )
    return _with_all_columns(wanted.join(known, on=[*VARIANT_KEY, "variant_path"], how="inner"))


def _with_all_columns(rows: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None, kind).alias(name) for name, kind in FILES.items() if name not in rows.columns]
    return rows.with_columns(absent).select(list(FILES))


def prove(library: Library, pool: WorkerPool, files: pl.DataFrame, on_progress: Progress | None = None) -> Proven:
    """Opens files to their end: first the variants, then the sources.

    Args:
        library: the library.
        pool: workers.
        files: `FILES` columns.
        on_progress: called with the number of files opened.
    """
    files = files.sort(VARIANT_KEY)
    wrong: list[tuple[int, str, str]] = []
    moved: list[int] = []
    n_done, n_bytes = 0, 0
    for places, answer in pool.run_batches(_batches(library, files)):
        if isinstance(answer, ProofAnswer):
            wrong += [(places[one.index], one.state, one.detail) for one in answer.wrong]
            moved += [places[index] for index in answer.moved]
            n_bytes += answer.n_bytes
        else:  # a worker died on this file
            assert isinstance(answer, Failure)
            state = SourceFinding.UNREADABLE if files["variant"][places[0]] == "" else Reason.CORRUPT
            wrong.append((places[0], state.value, answer.detail))
        n_done += len(places)
        if on_progress is not None:
            on_progress(n_done, files.height)
    return Proven(
        wrong=_damage(files, sorted(wrong)),
        moved=files[moved].select(VARIANT_KEY),
        n_files=files.height,
        n_bytes=n_bytes,
    )


def _damage(files: pl.DataFrame, wrong: list[tuple[int, str, str]]) -> pl.DataFrame:
    verdicts = pl.DataFrame(
        wrong, schema={"place": pl.Int64, "state": pl.String, "detail": pl.String}, orient="row"
    ).with_columns(found_at=pl.lit(datetime.now(UTC), INSTANT))
    return pl.concat([files[verdicts["place"]], verdicts], how="horizontal").select(list(DAMAGE.columns))


def _batches(library: Library, files: pl.DataFrame) -> Iterator[tuple[list[int], _Task]]:
    """Tasks for variants, then tasks for sources, each with the places of its files in the table."""
    specs = library.settings.specs
    for kind in (_Batch(ProveTask), _Batch(ReadTask)):
        is_source = kind.task is ReadTask
        chosen = pl.col("variant") == "" if is_source else pl.col("variant") != ""
        for row in files.with_row_index("place").filter(chosen).iter_rows(named=True):
            file = _source(library, row) if is_source else _variant(library, row, specs)
            if (full := kind.add(row["place"], row["n_bytes"], file)) is not None:
                yield full
        if (rest := kind.take()) is not None:
            yield rest


class _Batch:
    """Collects files until there are enough for one task."""

    def __init__(self, task: type[ProveTask] | type[ReadTask]) -> None:
        self.task = task
        self._places: list[int] = []
        self._files: list[Any] = []
        self._n_bytes = 0

    def add(self, place: int, n_bytes: int, file: object) -> tuple[list[int], _Task] | None:
        self._places.append(place)
        self._files.append(file)
        self._n_bytes += n_bytes
        is_full = len(self._files) >= _FILES_A_TASK or self._n_bytes >= _BYTES_A_TASK
        return self.take() if is_full else None

    def take(self) -> tuple[list[int], _Task] | None:
        if not self._files:
            return None
        full = self._places, self.task(files=tuple(self._files))
        self._places, self._files, self._n_bytes = [], [], 0
        return full


def _source(library: Library, row: dict[str, Any]) -> KnownSource:
    path = library.source_file(row["timelapse"], row["source_name"])
    return KnownSource(path=path, n_bytes=row["n_bytes"], mtime_ns=row["mtime_ns"], digest=row["digest"])


def _variant(
    library: Library, row: dict[str, Any], specs: dict[str, VariantSpec]
) -> tuple[bytes, Expectation, RecordedFile]:
    expected = Expectation(
        source_n_bytes=row["source_n_bytes"],
        source_mtime_ns=row["source_mtime_ns"],
        source_name_digest=names.name_digest(names.to_bytes(row["source_name"])),
        spec=specs[row["variant"]],
        frame_at=library.settings.frame_at.text,
        source_digest=row["digest"],
    )
    recorded = RecordedFile(
        n_bytes=row["n_bytes"],
        mtime_ns=row["mtime_ns"],
        checksum=row["checksum"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        is_trusted=row["is_trusted"],
    )
    return library.variant_file(row["timelapse"], row["variant_path"]), expected, recorded
