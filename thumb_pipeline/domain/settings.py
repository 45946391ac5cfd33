"""What `thumbs.toml` may say: typed, bounded, with one sentence of remedy for everything refused.

Turning text into settings and settings into the specs and policy of one timelapse. Reading the file, and comparing
its folders with those on the disk, is done where a library is opened (`stages.library`).
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from thumb_pipeline.domain.captures import Clock
from thumb_pipeline.domain.layout import RESERVED_FOLDERS, is_camera_folder, parse_key
from thumb_pipeline.domain.moments import FrameAt
from thumb_pipeline.domain.policy import Era, Mode, Policy, Retention, Rule
from thumb_pipeline.domain.variants import MAX_SIDE_PX, Fit, Gravity, OutputFormat, VariantSpec

SMALL = "small"
"""The variant that `small_generation_mode` and `purge_smalls_on_completion` speak of."""


class SettingsError(ValueError):
    """Settings that cannot be used; the message has one line per fault: key, value and remedy."""


def _color(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        return tuple(bytes.fromhex(value[1:]))
    raise ValueError('write a colour as "#rrggbb"')


Color = Annotated[tuple[int, int, int], BeforeValidator(_color)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class VariantTable(_Table):
    """`[variants.NAME]`: one recipe and where its files lie."""

    folder: str
    tag: str
    max_width_px: int | None = Field(default=None, ge=1, le=65_500, strict=True)
    max_height_px: int | None = Field(default=None, ge=1, le=65_500, strict=True)
    fit: Fit = Fit.CONTAIN
    gravity: Gravity = Gravity.CENTER
    format: OutputFormat = OutputFormat.JPEG
    quality: int = Field(default=85, ge=1, le=100, strict=True)
    progressive: bool = Field(default=False, strict=True)
    background: Color | None = None
    enlarge: bool = Field(default=False, strict=True)

    @field_validator("folder")
    @classmethod
    def _folder_is_ours(cls, value: str) -> str:
        if value.casefold().split("/")[0] in RESERVED_FOLDERS:
            raise ValueError("variants may not lie in frames/, overlays/ or videos/; choose a folder of their own")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value) or ".." in value:
            raise ValueError("name one folder beside frames/, of letters, digits, '.', '_' and '-'")
        return value

    @field_validator("tag")
    @classmethod
    def _tag_is_plain(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", value):
            raise ValueError("use a small letter, then small letters, digits and '-', 32 at most")
        return value

    @model_validator(mode="after")
    def _box_is_possible(self) -> Self:
        sides = [side for side in (self.max_width_px, self.max_height_px) if side is not None]
        if not sides:
            raise ValueError("set max_width_px, max_height_px or both: a box may leave one side open, not two")
        if max(sides) > MAX_SIDE_PX[self.format]:
            raise ValueError(
                f'a side of {max(sides)} px: format "{self.format}" holds at most {MAX_SIDE_PX[self.format]} px; '
                "make the box smaller"
            )
        return self


def _default_variants() -> dict[str, VariantTable]:
    return {
        "thumbnail": VariantTable(folder="thumbnails", tag="thumb", max_width_px=200, max_height_px=150),
        "small": VariantTable(folder="smalls", tag="small", max_width_px=800, max_height_px=600),
    }


def _start_date(value: object) -> object:
    if type(value) is date:
        return value
    raise ValueError("write a date without quotes and without a time, such as 2025-04-22")


StartDate = Annotated[date, BeforeValidator(_start_date)]


class RetentionTable(_Table):
    """`[policy.retention.NAME]`: how long every capture keeps a variant, and how many do afterwards."""

    keep_days: float = Field(gt=0, le=100_000)
    then_every_s: int | None = Field(default=None, ge=1, strict=True)


class PolicyTable(_Table):
    """`[policy]`, also below a camera or a timelapse: what is left out there is taken from above."""

    variants: tuple[str, ...] | None = Field(default=None, min_length=1)
    generate_thumbnails: bool | None = Field(default=None, strict=True)
    small_generation_mode: Mode | None = None
    purge_smalls_on_completion: bool | None = Field(default=None, strict=True)
    retention: dict[str, RetentionTable] = {}
    since: StartDate | None = None

    @field_validator("variants")
    @classmethod
    def _each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("name each variant once; remove the repetition")
        return value


def _timezone(value: object) -> object:
    try:
        ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('use a name of the IANA time zone database, such as "Europe/Berlin"') from None
    return value


Timezone = Annotated[str, BeforeValidator(_timezone)]


class CameraTable(_Table):
    """`[cameras."camera-1"]`: what differs for one camera."""

    timezone: Timezone | None = None
    policy: PolicyTable = PolicyTable()


class TimelapseTable(CameraTable):
    """`[timelapses."camera-1/timelapse-2"]`: what differs for one timelapse."""

    start_date: StartDate | None = None
    status: Literal["active", "completed"] = "active"
    corrupt_names: tuple[str, ...] = ()
    corrupt_patterns: tuple[str, ...] = ()


class StorageTable(_Table):
    """`[storage]`: where what we write lies; relative paths start at the library."""

    state: str = Field(default=".thumb_pipeline", min_length=1)
    variants: str = Field(default=".", min_length=1)

    @field_validator("state", "variants")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("no path has a NUL in it; remove it")
        return value


class RenderingTable(_Table):
    """`[rendering]`: how many pictures at once and what one may cost."""

    workers: int = Field(default=0, ge=0, le=256, strict=True)
    deadline_s: float = Field(default=60.0, gt=0, le=3600, strict=True)
    max_megapixels: float = Field(default=200.0, gt=0, le=4000, strict=True)
    max_memory_mb: int = Field(default=2048, ge=256, strict=True)
    frame_at_s: float | None = Field(default=None, ge=0, le=1_000_000, strict=True)


class RetriesTable(_Table):
    """`[retries]`: when a source that could not be read is tried again."""

    delays_s: tuple[Annotated[float, Field(ge=0, le=604_800, strict=True)], ...] = Field(
        default=(30.0, 120.0, 300.0), max_length=20
    )


class BrakesTable(_Table):
    """`[brakes]`: when a listing counts as shrunken and is not believed, and how much a sweep may take unasked."""

    max_shrink_ratio: float = Field(default=0.10, ge=0, le=1, strict=True)
    min_shrink_sources: int = Field(default=5, ge=1, strict=True)
    max_sweep_ratio_timelapse: float = Field(default=0.5, ge=0, le=1, strict=True)
    max_sweep_ratio_library: float = Field(default=0.1, ge=0, le=1, strict=True)
    min_sweep_variants: int = Field(default=20, ge=1, strict=True)


class TrashTable(_Table):
    """`[trash]`: how long removed files can be brought back."""

    keep_days: float = Field(default=7.0, ge=0, le=36_500, strict=True)


class VerificationTable(_Table):
    """`[verification]`: how much one run of the rolling verification may read, and how long it may take."""

    rolling_bytes: int = Field(default=10_000_000_000, ge=1, strict=True)
    rolling_s: float = Field(default=1800.0, gt=0, le=86_400, strict=True)


class ChecksTable(_Table):
    """`[checks]`: how much may be wrong before a check over the whole library fails."""

    max_failed_ratio: float = Field(default=0.01, ge=0, le=1, strict=True)
    max_wait_h: float = Field(default=24.0, gt=0, le=87_600, strict=True)


class CapturesTable(_Table):
    """`[captures]`: how new captures are attended to."""

    linger_s: float = Field(default=30.0, ge=0, le=3600, strict=True)
    keep_warm: bool = Field(default=True, strict=True)


class Settings(_Table):
    """Everything `thumbs.toml` says, checked."""

    timezone: Timezone = "UTC"
    background: Color = (255, 255, 255)
    settle_interval_s: float = Field(default=2.0, ge=0, le=600, strict=True)
    storage: StorageTable = StorageTable()
    rendering: RenderingTable = RenderingTable()
    retries: RetriesTable = RetriesTable()
    brakes: BrakesTable = BrakesTable()
    trash: TrashTable = TrashTable()
    verification: VerificationTable = VerificationTable()
    checks: ChecksTable = ChecksTable()
    captures: CapturesTable = CapturesTable()
    variants: dict[str, VariantTable] = Field(default_factory=_default_variants, min_length=1)
    policy: PolicyTable = PolicyTable()
    cameras: dict[str, CameraTable] = {}
    timelapses: dict[str, TimelapseTable] = {}

    @property
    def specs(self) -> dict[str, VariantSpec]:
        """Every variant's recipe by name, in the order of the file."""
        return {name: self._spec(name, table) for name, table in self.variants.items()}

    @property
    def frame_at(self) -> FrameAt:
        """The moment of a video that its variants show."""
        return FrameAt(seconds=self.rendering.frame_at_s)

    def for_timelapse(self, key: str) -> "TimelapseSettings":
        """What holds for one timelapse: library, overridden by camera, overridden by timelapse."""
        camera, _ = parse_key(key)
        own = self.timelapses.get(key, TimelapseTable())
        layers = [self.cameras.get(camera, CameraTable()), own]
        timezone = ZoneInfo([self.timezone, *(t.timezone for t in layers if t.timezone is not None)][-1])
        policy = Policy(
            eras=tuple(self._eras([self.policy, *(layer.policy for layer in layers)], own.status, timezone)),
            flagged_names=frozenset(own.corrupt_names),
            flagged_patterns=own.corrupt_patterns,
        )
        return TimelapseSettings(
            clock=Clock(timezone=timezone, start_date=own.start_date),
            specs=tuple(self.specs[name] for name in policy.variants),
            policy=policy,
        )

    def _eras(self, layers: list[PolicyTable], status: str, timezone: ZoneInfo) -> Iterator[Era]:
        """The rules between the dates from which layers hold; a layer without a date always holds."""
        begins = {table.since: datetime.combine(table.since, time(), timezone) for table in layers if table.since}
        for since in [None, *sorted(begins)]:
            holding = [table for table in layers if table.since is None or (since is not None and table.since <= since)]
            yield Era(since=begins[since] if since else None, rules=self._rules(holding, status))

    def _rules(self, layers: list[PolicyTable], status: str) -> dict[str, Rule]:
        """The rule of each variant that some layers together ask for; the last that says something wins."""
        said: dict[str, Any] = {"variants": tuple(self.variants)}
        retention: dict[str, RetentionTable] = {}
        for table in layers:
            said.update(table.model_dump(exclude={"retention", "since"}, exclude_none=True))
            retention.update(table.retention)
        if not said.get("generate_thumbnails", True):
            return {}
        mode = said.get("small_generation_mode", Mode.ALL)
        if status == "completed" and said.get("purge_smalls_on_completion"):
            mode = Mode.NONE
        return {
            name: Rule(mode=mode if name == SMALL else Mode.ALL, retention=_retention(retention.get(name)))
            for name in said["variants"]
        }

    def _spec(self, name: str, table: VariantTable) -> VariantSpec:
        fields = table.model_dump()
        fields["background"] = table.background or self.background
        return VariantSpec(name=name, **fields)

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        faults = [*self._shared_files(), *self._unknown_names()]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _shared_files(self) -> Iterator[str]:
        taken: dict[tuple[str, str, str], str] = {}
        for name, spec in self.specs.items():
            place = (spec.folder.casefold(), spec.tag, spec.extension)
            if place in taken:
                yield (
                    f'variants.{name}.tag = "{spec.tag}": variant {taken[place]} writes the same files in '
                    f"{spec.folder}/; give one of the two another tag or folder"
                )
            taken.setdefault(place, name)

    def _unknown_names(self) -> Iterator[str]:
        for name in self.variants:
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
                yield f"variants.{name}: use a small letter, then small letters, digits, '_' and '-', 32 at most"
        for camera in self.cameras:
            if not is_camera_folder(camera):
                yield f'cameras."{camera}": name the camera\'s folder, such as cameras."camera-1"'
        for key in self.timelapses:
            try:
                parse_key(key)
            except ValueError:
                yield f'timelapses."{key}": name it as timelapses."camera-1/timelapse-2"'
        yield from self._unknown_variants()

    def _unknown_variants(self) -> Iterator[str]:
        there_are = ", ".join(self.variants)
        for where, policy in self._policies():
            for key, names in (("variants", policy.variants or ()), ("retention", policy.retention)):
                for name in (name for name in names if name not in self.variants):
                    yield f'{where}.{key} has "{name}": no such variant; there are {there_are}'
            says = policy.small_generation_mode not in (None, Mode.ALL) or policy.purge_smalls_on_completion
            if says and SMALL not in self.variants:
                yield f'{where} speaks of smalls, and there is no variant "{SMALL}"; remove that line'

    def _policies(self) -> Iterator[tuple[str, PolicyTable]]:
        yield "policy", self.policy
        yield from ((f'cameras."{name}".policy', table.policy) for name, table in self.cameras.items())
        yield from ((f'timelapses."{name}".policy', table.policy) for name, table in self.timelapses.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelapseSettings:
    """The part of the settings that one timelapse sees."""

    clock: Clock
    specs: tuple[VariantSpec, ...]
    policy: Policy


def _retention(table: RetentionTable | None) -> Retention | None:
    if table is None:
        return None
    return Retention(keep_s=table.keep_days * 86_400, then_every_s=table.then_every_s)


def parse_settings(written: Mapping[str, Any]) -> Settings:
    """Checked settings from a parsed `thumbs.toml`.

    Raises:
        SettingsError: with one line per fault, each naming key, value and remedy.
    """
    try:
        return Settings.model_validate(written)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(fault) for fault in error.errors())) from None


def _line(fault: Any) -> str:
    place, kind, value = fault["loc"], fault["type"], fault["input"]
    key = ".".join(f'"{part}"' if "/" in str(part) else str(part) for part in place)
    if kind == "value_error" and (not place or isinstance(value, dict)):
        reason = str(fault["ctx"]["error"])
        return f"{key}: {reason}" if key else reason
    if kind == "extra_forbidden":
        return f"{key} = {_shown(value)}: unknown key; {_nearest(place)}"
    if kind == "missing":
        return f"{key}: is missing; add it"
    reason = str(fault["ctx"]["error"]) if kind == "value_error" else _plain(fault)
    return f"{key} = {_shown(value)}: {reason}"


def _plain(fault: Any) -> str:
    message = str(fault["msg"])
    return message[0].lower() + message[1:] + "; correct the value"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _nearest(place: tuple[str | int, ...]) -> str:
    known = _known_keys(Settings, place[:-1])
    written = str(place[-1])
    begun = [name for name in known if name.startswith(written)]
    close = begun or difflib.get_close_matches(written, known, n=1)
    return f"did you mean {close[0]}?" if close else f"remove it, or use one of: {', '.join(known)}"


def _known_keys(table: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    if not place:
        return list(table.model_fields)
    annotation = table.model_fields[str(place[0])].annotation
    nested = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    inner = next(kind for kind in nested if issubclass(kind, BaseModel))
    return _known_keys(inner, place[1:] if inner is annotation else place[2:])
