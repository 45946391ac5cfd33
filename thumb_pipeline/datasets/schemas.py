"""The columns of every table, their types, their keys, their order, and the closed lists of words that stand in them.

A table is cut into slices, one a timelapse unless it says otherwise. Slices are read and merged in `slices`, the
values of rows are checked in `soundness`, and queries over the tables are in `analytics`.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import polars as pl

from thumb_pipeline.domain.capture_times import Basis
from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.findings import SourceFinding, VariantState
from thumb_pipeline.domain.plans import Origin, Reason, RecordState

INSTANT = pl.Datetime("us", "UTC")

SOURCE_KEY = ("timelapse", "source_name")
VARIANT_KEY = (*SOURCE_KEY, "variant")
FILE_KEY = ("timelapse", "variant_path")
"""The key columns of rows about sources, variants, and files in variant folders."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableSchema:
    """The schema of one table; there is one instance for each table.

    Attributes:
        name: the name of its folder.
        columns: the columns with their types.
        key: the columns that identify a row within its timelapse.
        words: the allowed words of each column with a closed list.
        always: columns besides the key that are never null.
        may_be_empty: columns of names and paths in which an empty text means that there is none.
        is_of_library: it has a single slice, `WHOLE_LIBRARY`, for all timelapses.
    """

    name: str
    columns: dict[str, pl.DataType | type[pl.DataType]]
    key: tuple[str, ...]
    words: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    always: tuple[str, ...] = ()
    may_be_empty: AbstractSet[str] = frozenset()
    is_of_library: bool = False

    def empty(self) -> pl.DataFrame:
        """A table of this schema without rows."""
        return pl.DataFrame(schema=self.columns)


INVENTORY = TableSchema(
    name="inventory",
    key=("source_name",),
    words={"state": {"settled", "pending"}, "captured_at_basis": set(Basis)},
    always=("n_bytes", "mtime_ns", "state", "captured_at"),
    columns={
        "timelapse": pl.String,
        "source_name": pl.String,  # reversible text of the name's bytes
        "captured_at": INSTANT,
        "captured_at_basis": pl.String,  # domain.capture_times.Basis
        "clock": pl.String,  # timezone and start date that captured_at was computed with
        "day_number": pl.Int32,  # from dayNNN names
        "time_of_day_s": pl.Int32,  # local, from dayNNN names
        "first_seen_at": INSTANT,
        "looked_at": INSTANT,  # when this size and mtime were first seen
        "n_bytes": pl.Int64,
        "mtime_ns": pl.Int64,
        "state": pl.String,  # settled, pending
        "digest": pl.String,  # filled in by rendering, as are the rest
        "format": pl.String,
        "width_px": pl.Int32,  # upright
        "height_px": pl.Int32,
        "exif_captured_at": pl.String,  # ISO, local unless it carries an offset
    },
)
"""One row a source. The fingerprint is (n_bytes, mtime_ns), decided by `digest` once the bytes were read."""

MANIFEST = TableSchema(
    name="manifest",
    key=("source_name", "variant"),
    words={
        "state": set(RecordState),
        "origin": set(Origin),
        "reason": set(FailureReason),
    },
    always=("state",),
    columns={
        "timelapse": pl.String,
        "source_name": pl.String,
        "variant": pl.String,
        "state": pl.String,  # made, failed
        "origin": pl.String,  # rendered, adopted, trusted; of made ones
        "reason": pl.String,  # domain.failures, of failed ones
        "detail": pl.String,  # the decoder's own words
        "attempts": pl.Int32,  # tries in a row that ended with this reason, of failed ones
        "retry_at": INSTANT,  # when the next try is due; of failed ones that may pass by themselves
        "variant_path": pl.String,  # folder/name below the timelapse's folder
        "source_n_bytes": pl.Int64,
        "source_mtime_ns": pl.Int64,
        "source_digest": pl.String,
        "spec_fingerprint": pl.String,
        "render_revision": pl.Int32,
        "frame_at": pl.String,  # domain.moments, of made ones of videos
        "decoder": pl.String,
        "width_px": pl.Int32,
        "height_px": pl.Int32,
        "n_bytes": pl.Int64,
        "mtime_ns": pl.Int64,
        "checksum": pl.String,
        "render_ms": pl.Float32,
        "thumb_hash": pl.String,  # base64 of the source's ThumbHash: a picture in 25 bytes, for pages that load
        "run_id": pl.String,
        "recorded_at": INSTANT,
    },
)
"""One row a (source, variant) that was made, adopted or refused."""

PLAN = TableSchema(
    name="plan",
    key=("source_name", "variant"),
    words={"reason": set(Reason)},
    always=("reason",),
    columns={
        "timelapse": pl.String,
        "source_name": pl.String,
        "variant": pl.String,
        "reason": pl.String,  # domain.plans.Reason
        "captured_at": INSTANT,
        "source_n_bytes": pl.Int64,
        "source_mtime_ns": pl.Int64,
        "variant_path": pl.String,
        "spec_fingerprint": pl.String,
        "known_digest": pl.String,  # if the source still has it: record again, do not render
        "superseded_path": pl.String,  # removed once the successor is published
        "superseded_source": pl.String,  # the source of that file, if it is another one (latest_only)
        "chunk": pl.Int32,
    },
)
"""One row a variant to make, with the reason; readable before it is run."""

FINDINGS = TableSchema(
    name="findings",
    key=("variant_path", "source_name", "variant"),
    words={"state": {*VariantState, *SourceFinding}},
    always=("state",),
    may_be_empty={"source_name", "variant_path"},
    columns={
        "timelapse": pl.String,
        "source_name": pl.String,  # empty where no source is known
        "variant": pl.String,  # empty for sources, and for files whose variant is unknown
        "variant_path": pl.String,  # empty for sources
        "state": pl.String,  # domain.findings.VariantState or SourceFinding
        "reason": pl.String,  # of failed ones domain.failures, of orphans domain.findings.OrphanKind
        "detail": pl.String,  # the decoder's words, or the evidence
        "n_bytes": pl.Int64,  # of the file that was found, if any
        "mtime_ns": pl.Int64,
        "found_at": INSTANT,
    },
)
"""One row a variant, file or source that is not right, as of the last verification of its timelapse."""

VERDICTS = TableSchema(
    name="verdicts",
    key=("variant",),
    is_of_library=True,
    columns={
        "timelapse": pl.String,
        "variant": pl.String,  # empty for files whose variant is unknown
        "required": pl.Int64,  # expected variants: every state but orphan
        "recorded": pl.Int64,  # as the manifest had it
        "found": pl.Int64,  # expected variants with a file
        **{state.value: pl.Int64 for state in VariantState},
        "oldest_without_at": INSTANT,  # capture time of the oldest source that still waits for this variant
    },
)
"""One row a (timelapse, variant): the counts of the last verification. One slice for the library."""

VERIFIED = TableSchema(
    name="verified",
    key=("timelapse",),
    is_of_library=True,
    columns={
        "timelapse": pl.String,
        "sources": pl.Int64,
        "vanished": pl.Int64,
        "replaced": pl.Int64,
        "bit_rot": pl.Int64,
        "unreadable": pl.Int64,
        "n_files": pl.Int64,  # in its variant folders, expected or not
        "n_bytes": pl.Int64,
        "verified_at": INSTANT,
        "is_deep": pl.Boolean,
    },
)
"""One row a timelapse that was verified. One slice for the library."""

DAMAGE = TableSchema(
    name="damage",
    key=("source_name", "variant"),
    words={"state": {*Reason, *SourceFinding}},
    always=("state",),
    may_be_empty={"variant_path"},
    columns={
        "timelapse": pl.String,
        "source_name": pl.String,
        "variant": pl.String,  # empty for the source itself
        "variant_path": pl.String,  # empty for the source itself
        "n_bytes": pl.Int64,  # of the file; size and mtime tell whether it was replaced since
        "mtime_ns": pl.Int64,
        "state": pl.String,  # domain.plans.Reason of variants, domain.findings.SourceFinding of sources
        "detail": pl.String,  # what is wrong, in words
        "found_at": INSTANT,
    },
)
"""One row a file that was opened and found wrong, though its name, size and mtime are as recorded."""

CHECKED = TableSchema(
    name="checked",
    key=("source_name",),
    columns={"timelapse": pl.String, "source_name": pl.String, "checked_at": INSTANT},
)
"""One row a source that was opened, with its variants, by a deep verification."""


REPORTED = TableSchema(
    name="reported",
    key=("timelapse",),
    is_of_library=True,
    columns={
        "timelapse": pl.String,
        "verdict": pl.UInt64,  # hash of counts and findings; may differ between versions of Polars
    },
)
"""One row a timelapse: which verdict its reports in Dagster show. One slice for the library."""

WHOLE_LIBRARY = "library/all"
"""The key of the single slice of a table that is not cut by timelapse."""
