"""Plans to render valid variants again: all of them, or a part.

An old picture stays until its new one replaces it. The plan is carried out and resumed like any other.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time

import polars as pl

from thumb_pipeline.datasets.schemas import SOURCE_KEY
from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.layout import parse_key
from thumb_pipeline.domain.plans import RecordState
from thumb_pipeline.domain.settings import for_timelapse
from thumb_pipeline.stages.inventory.listing import discover_apart
from thumb_pipeline.stages.inventory.selection import Selection, refuse_unknown
from thumb_pipeline.stages.library.library import Lease, Library
from thumb_pipeline.stages.library.progress import Progress
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.planning.plan import DEFAULT_VARIANT_BYTES, Plan, PlanPart, make_plan
from thumb_pipeline.stages.rendering import work_orders
from thumb_pipeline.stages.rendering.work_orders import WorkOrder

_OPTIONS = {
    "--timelapse": "timelapses",
    "--camera": "cameras",
    "--source": "sources",
    "--variant": "variants",
    "--since": "since",
    "--failed": "failed",
    "--limit": "limit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Regeneration:
    """What to render again; an empty field does not narrow it.

    Attributes:
        timelapses: keys.
        cameras: folders of cameras, such as camera-1; their timelapses are added to `timelapses`.
        sources: source names as text.
        variants: variant names.
        since: captures from this day on, by the local time of their timelapse.
        failed: only sources that were refused for this reason.
        limit: only so many sources, the newest.
    """

    timelapses: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    since: date | None = None
    failed: str | None = None
    limit: int | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but a limit narrows it."""
        return replace(self, limit=None) != Regeneration()

    @property
    def asked(self) -> str:
        """The request as text, the same for equal requests: asking again resumes an unfinished order."""
        return json.dumps({"regenerate": asdict(self)}, sort_keys=True, default=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a regeneration amounts to, before it begins.

    Attributes:
        n_variants: to be rendered.
        n_sources: to be read.
        n_bytes: of these sources.
        n_bytes_written: an estimate from the recorded variants.
        predicted_s: wall time it should take here.
    """

    n_variants: int
    n_sources: int
    n_bytes: int
    n_bytes_written: float
    predicted_s: float


def forecast(plan: Plan, order: WorkOrder) -> Forecast:
    """What an order that was just placed amounts to."""
    return Forecast(
        n_variants=order.n_variants,
        n_sources=order.n_sources,
        n_bytes=order.n_bytes,
        n_bytes_written=order.n_variants * plan.bytes_per_variant,
        predicted_s=order.predicted_s,
    )


def forecast_left(library: Library, order: WorkOrder) -> Forecast:
    """What is left of an order that was stopped; the planned time for each variant still holds."""
    rows = work_orders.read_rows_left(library, order.id)
    sources = rows.unique(SOURCE_KEY)
    return Forecast(
        n_variants=rows.height,
        n_sources=sources.height,
        n_bytes=int(sources["source_n_bytes"].sum()),
        n_bytes_written=rows.height * _bytes_per_variant(library, rows),
        predicted_s=order.predicted_s * rows.height / max(1, order.n_variants),
    )


def _bytes_per_variant(library: Library, rows: pl.DataFrame) -> float:
    """How large these variants are, in the mean of those recorded in the same timelapses; a default without any."""
    is_alike = (pl.col("state") == RecordState.MADE) & pl.col("variant").is_in(rows["variant"].unique().to_list())
    keys = rows["timelapse"].unique().to_list()
    mean = library.manifest.query(keys, lambda recorded: recorded.select(pl.col("n_bytes").filter(is_alike).mean()))
    return mean.item() or DEFAULT_VARIANT_BYTES


def options_for(asked: str) -> list[str]:
    """The command-line options of `regenerate` that make this request (`Regeneration.asked`)."""
    wanted = json.loads(asked)["regenerate"]
    chosen = [(option, value) for option, name in _OPTIONS.items() for value in _as_list(wanted.get(name))]
    arguments = [part for option, value in chosen for part in (option, str(value))]
    return arguments if any(option != "--limit" for option, _ in chosen) else ["--all", *arguments]


def _as_list(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def plan_regeneration(
    library: Library, wanted: Regeneration, lease: Lease, *, on_progress: Progress | None = None
) -> Plan:
    """The plan of what is to be rendered again, newest captures first.

    Raises:
        Refused: it names what is not there, or a listing looks like a disk that is not there.
        ArchiveUnavailable: a folder cannot be listed.
    """
    if wanted.failed is not None:
        refuse_unknown("reason", wanted.failed, [reason.value for reason in FailureReason])
    selection = Selection(
        timelapses=_timelapses(library, wanted),
        sources=wanted.sources,
        variants=wanted.variants,
        force=True,
        retry_failed=wanted.failed is not None,  # a refused capture may be the newest, the only one with some variant
    )
    plan = make_plan(library, selection, lease, on_progress=on_progress)
    narrowed = replace(plan, parts=[_narrow(library, part, wanted) for part in plan.parts])
    return narrowed if wanted.limit is None else _limited(narrowed, wanted.limit)


def _timelapses(library: Library, wanted: Regeneration) -> tuple[str, ...]:
    if not wanted.cameras:
        return wanted.timelapses
    found = discover_apart(library)
    found.refuse_unreadable(wanted.cameras)
    keys = found.keys
    cameras = sorted({parse_key(key)[0] for key in keys})
    for camera in wanted.cameras:
        refuse_unknown("camera", camera, cameras)
    chosen = {*wanted.timelapses, *(key for key in keys if parse_key(key)[0] in wanted.cameras)}
    if not chosen:
        raise Refused("these cameras have no timelapses; name others")
    return tuple(sorted(chosen))


def _narrow(library: Library, part: PlanPart, wanted: Regeneration) -> PlanPart:
    rows = part.rows
    if wanted.since is not None:
        begins = pl.DataFrame(
            [(key, _midnight(library, key, wanted.since)) for key in part.survey.keys],
            schema={"timelapse": pl.String, "begins": pl.Datetime("us", "UTC")},
            orient="row",
        )
        rows = rows.join(begins, on="timelapse").filter(pl.col("captured_at") >= pl.col("begins")).drop("begins")
    if wanted.failed is not None:
        refused = (pl.col("state") == RecordState.FAILED) & (pl.col("reason") == wanted.failed)
        identity = [*SOURCE_KEY, "variant"]
        failed = library.manifest.query(part.survey.keys, lambda recorded: recorded.filter(refused).select(identity))
        rows = rows.join(failed, on=identity, how="semi")
    return replace(part, rows=rows)


def _midnight(library: Library, key: str, day: date) -> datetime:
    return datetime.combine(day, time(), for_timelapse(library.settings, key).clock.timezone)


def _limited(plan: Plan, limit: int) -> Plan:
    newest = (
        plan.rows.group_by(SOURCE_KEY)
        .agg(pl.col("captured_at").first())
        .sort("captured_at", *SOURCE_KEY, descending=[True, False, False], nulls_last=True)
        .head(limit)
    )
    return replace(plan, parts=[replace(p, rows=p.rows.join(newest, on=SOURCE_KEY, how="semi")) for p in plan.parts])
