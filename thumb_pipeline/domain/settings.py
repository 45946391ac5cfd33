"""What `thumbs.toml` may say: typed, bounded, with one sentence of remedy for everything refused.

Turning text into settings and settings into the specs and policy of one timelapse. Reading the file, and comparing
its folders with those on the disk, is done where a library is opened (`stages.library`).
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from thumb_pipeline.domain.captures import Clock
from thumb_pipeline.domain.layout import RESERVED_FOLDERS, is_camera_folder, parse_key
from thumb_pipeline.domain.variants import MAX_SIDE_PX, Fit, Gravity, OutputFormat, VariantSpec


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


class PolicyTable(_Table):
    """`[policy]`, also below a camera or a timelapse: what is left out there is taken from above."""

    variants: tuple[str, ...] | None = Field(default=None, min_length=1)

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


def _start_date(value: object) -> object:
    if type(value) is date:
        return value
    raise ValueError("write a date without quotes and without a time, such as 2025-04-22")


StartDate = Annotated[date, BeforeValidator(_start_date)]


class CameraTable(_Table):
    """`[cameras."camera-1"]`: what differs for one camera."""

    timezone: Timezone | None = None
    policy: PolicyTable = PolicyTable()


class TimelapseTable(CameraTable):
    """`[timelapses."camera-1/timelapse-2"]`: what differs for one timelapse."""

    start_date: StartDate | None = None


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


class BrakesTable(_Table):
    """`[brakes]`: when a listing counts as shrunken and is not believed."""

    max_shrink_ratio: float = Field(default=0.10, ge=0, le=1, strict=True)
    min_shrink_sources: int = Field(default=5, ge=1, strict=True)


class CapturesTable(_Table):
    """`[captures]`: how new captures are attended to."""

    linger_s: float = Field(default=30.0, ge=0, le=3600, strict=True)


class Settings(_Table):
    """Everything `thumbs.toml` says, checked."""

    timezone: Timezone = "UTC"
    background: Color = (255, 255, 255)
    settle_interval_s: float = Field(default=2.0, ge=0, le=600, strict=True)
    storage: StorageTable = StorageTable()
    rendering: RenderingTable = RenderingTable()
    brakes: BrakesTable = BrakesTable()
    captures: CapturesTable = CapturesTable()
    variants: dict[str, VariantTable] = Field(default_factory=_default_variants, min_length=1)
    policy: PolicyTable = PolicyTable()
    cameras: dict[str, CameraTable] = {}
    timelapses: dict[str, TimelapseTable] = {}

    @property
    def specs(self) -> dict[str, VariantSpec]:
        """Every variant's recipe by name, in the order of the file."""
        return {name: self._spec(name, table) for name, table in self.variants.items()}

    def for_timelapse(self, key: str) -> "TimelapseSettings":
        """What holds for one timelapse: library, overridden by camera, overridden by timelapse."""
        camera, _ = parse_key(key)
        layers = [self.cameras.get(camera, CameraTable()), self.timelapses.get(key, TimelapseTable())]
        timezone = [self.timezone, *(t.timezone for t in layers if t.timezone is not None)][-1]
        names = [
            self.policy.variants or tuple(self.variants),
            *(t.policy.variants for t in layers if t.policy.variants),
        ]
        start = self.timelapses[key].start_date if key in self.timelapses else None
        specs = self.specs
        return TimelapseSettings(
            clock=Clock(timezone=ZoneInfo(timezone), start_date=start), specs=tuple(specs[name] for name in names[-1])
        )

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
        for where, policy in self._policies():
            for name in policy.variants or ():
                if name not in self.variants:
                    yield f'{where}.variants has "{name}": no such variant; there are {", ".join(self.variants)}'

    def _policies(self) -> Iterator[tuple[str, PolicyTable]]:
        yield "policy", self.policy
        yield from ((f'cameras."{name}".policy', table.policy) for name, table in self.cameras.items())
        yield from ((f'timelapses."{name}".policy', table.policy) for name, table in self.timelapses.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelapseSettings:
    """The part of the settings that one timelapse sees."""

    clock: Clock
    specs: tuple[VariantSpec, ...]


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
    close = difflib.get_close_matches(str(place[-1]), known, n=1)
    return f"did you mean {close[0]}?" if close else f"remove it, or use one of: {', '.join(known)}"


def _known_keys(table: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    if not place:
        return list(table.model_fields)
    annotation = table.model_fields[str(place[0])].annotation
    nested = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    inner = next(kind for kind in nested if issubclass(kind, BaseModel))
    return _known_keys(inner, place[1:] if inner is annotation else place[2:])
