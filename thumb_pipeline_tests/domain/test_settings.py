"""What `thumbs.toml` may say, and what is said to who wrote something else."""

import re
import tomllib
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from thumb_pipeline.domain.policy import Retention
from thumb_pipeline.domain.settings import Settings, SettingsError, for_timelapse, parse_settings
from thumb_pipeline.domain.settings.written import default_settings
from thumb_pipeline.domain.variants import Fit, OutputFormat

pytestmark = pytest.mark.quick

KEY = "camera-1/timelapse-2"
BOX = {"folder": "vs", "tag": "v", "max_width_px": 100}


def refusal(written: str) -> str:
    with pytest.raises(SettingsError) as refused:
        parse_settings(tomllib.loads(written))
    return str(refused.value)


def variant(**fields: object) -> str:
    lines = {**BOX, **fields}.items()
    return "\n".join(["[variants.v]", *(f"{key} = {value!r}" for key, value in lines)])


def visible_keys(table: type[BaseModel], written: dict[str, Any], optional: set[str]) -> None:
    for name in table.model_fields:
        assert name in written or name in optional, name


def test_the_written_defaults_are_the_defaults() -> None:
    written, silent = parse_settings(tomllib.loads(default_settings())), parse_settings({})
    assert for_timelapse(written, KEY) == for_timelapse(silent, KEY)
    assert written.specs == silent.specs
    shown = written.model_dump(exclude={"policy"})
    assert shown == silent.model_dump(exclude={"policy"})


def test_every_key_with_a_default_is_visible_in_the_written_file() -> None:
    written = tomllib.loads(default_settings())
    visible_keys(Settings, written, {"cameras", "timelapses"})
    for name in ("storage", "rendering", "retries", "brakes", "trash", "verification", "checks", "captures", "batches"):
        visible_keys(type(getattr(Settings(), name)), written[name], {"frame_at_s"})
    for table in written["variants"].values():
        visible_keys(type(Settings().variants["small"]), table, {"background"})


def test_the_commented_examples_are_settings_too() -> None:
    said, first, examples = default_settings().partition("# [")
    opened = said + "\n".join(line.removeprefix("# ") for line in (first + examples).splitlines())
    settings = parse_settings(tomllib.loads(opened))
    assert for_timelapse(settings, KEY).clock.start_date == date(2025, 4, 22)
    assert for_timelapse(settings, KEY).clock.timezone.key == "Europe/Berlin"
    retentions = {era.rules["small"].retention for era in for_timelapse(settings, KEY).policy.eras}
    assert retentions == {Retention(keep_s=30 * 86_400, then_every_s=3600)}


def test_the_default_variants_are_a_thumbnail_and_a_small_picture() -> None:
    thumbnail, small = Settings().specs.values()
    assert (thumbnail.folder, thumbnail.tag, thumbnail.max_width_px, thumbnail.max_height_px) == (
        "thumbnails",
        "thumb",
        200,
        150,
    )
    assert (small.folder, small.tag, small.max_width_px, small.max_height_px) == ("smalls", "small", 800, 600)
    for spec in (thumbnail, small):
        assert (spec.fit, spec.format, spec.quality, spec.enlarge) == (Fit.CONTAIN, OutputFormat.JPEG, 85, False)


@pytest.mark.parametrize(
    ("written", "key", "value", "remedy"),
    [
        ("timezon = 'UTC'", "timezon", '"UTC"', "did you mean timezone?"),
        ("zzz = 1", "zzz", "1", "use one of"),
        ("[storage]\nstat = 'x'", "storage.stat", '"x"', "did you mean state?"),
        ("[rendering]\nworker = 1", "rendering.worker", "1", "did you mean workers?"),
        ("[brakes]\nshrink = 1", "brakes.shrink", "1", "use one of"),
        ("[policy]\nvariant = ['small']", "policy.variant", "small", "did you mean variants?"),
        (variant(qualty=6), "variants.v.qualty", "6", "did you mean quality?"),
        ("[cameras.camera-1]\nzone = 'UTC'", "cameras.camera-1.zone", '"UTC"', "timezone"),
        ("[cameras.camera-1.policy]\nx = 1", "cameras.camera-1.policy.x", "1", "variants"),
        ("[cameras.camera-1]\nstart_date = 2025-01-01", "cameras.camera-1.start_date", "2025", "timezone, policy"),
        (f"[timelapses.'{KEY}']\nstart = 2025-01-01", f'timelapses."{KEY}".start', "2025", "did you mean start_date?"),
        (variant(max_width_px=0), "variants.v.max_width_px", "0", "correct the value"),
        (variant(max_height_px=-5), "variants.v.max_height_px", "-5", "correct the value"),
        (variant(max_width_px=70_000), "variants.v.max_width_px", "70000", "correct the value"),
        (variant(max_width_px=20_000, format="webp"), "variants.v", "20000", "make the box smaller"),
        ("[variants.v]\nfolder = 'vs'\ntag = 'v'", "variants.v", "max_width_px", "one side open"),
        (variant(folder="frames"), "variants.v.folder", '"frames"', "choose a folder of their own"),
        (variant(folder="FRAMES"), "variants.v.folder", '"FRAMES"', "choose a folder of their own"),
        (variant(folder="frames/thumbs"), "variants.v.folder", '"frames/thumbs"', "choose a folder of their own"),
        (variant(folder="overlays"), "variants.v.folder", '"overlays"', "choose a folder of their own"),
        (variant(folder="../frames"), "variants.v.folder", '"../frames"', "name one folder beside frames/"),
        (variant(folder="./frames"), "variants.v.folder", '"./frames"', "name one folder beside frames/"),
        (variant(folder=".hidden"), "variants.v.folder", '".hidden"', "name one folder beside frames/"),
        (variant(folder="a/b"), "variants.v.folder", '"a/b"', "name one folder beside frames/"),
        (variant(folder=""), "variants.v.folder", '""', "name one folder beside frames/"),
        (variant(tag="Thumb"), "variants.v.tag", '"Thumb"', "small letter"),
        (variant(tag="a_b"), "variants.v.tag", '"a_b"', "small letter"),
        (variant(tag="1"), "variants.v.tag", '"1"', "small letter"),
        (variant(fit="stretch"), "variants.v.fit", '"stretch"', "'contain', 'cover' or 'pad'"),
        (variant(format="gif"), "variants.v.format", '"gif"', "'jpeg'"),
        (variant(quality=101), "variants.v.quality", "101", "less than or equal to 100"),
        (variant(background="white"), "variants.v.background", '"white"', '"#rrggbb"'),
        ("[variants.v]\ntag = 'v'\nmax_width_px = 5", "variants.v.folder", "is missing", "add it"),
        ("[variants.V]\nfolder = 'vs'\ntag = 'v'\nmax_width_px = 5", "variants.V", "", "small letter"),
        ("variants = {}", "variants", "{}", "at least 1"),
        ("timezone = 'Berlin'", "timezone", '"Berlin"', "IANA"),
        ("timezone = '../../etc/passwd'", "timezone", "etc/passwd", "IANA"),
        ("timezone = 1", "timezone", "1", "IANA"),
        (f"[timelapses.'{KEY}']\ntimezone = ''", f'timelapses."{KEY}".timezone', '""', "IANA"),
        ("background = '#fff'", "background", '"#fff"', '"#rrggbb"'),
        ("background = [1, 2, 3]", "background", "[1, 2, 3]", '"#rrggbb"'),
        ("settle_interval_s = '2'", "settle_interval_s", '"2"', "valid number"),
        ("settle_interval_s = true", "settle_interval_s", "True", "valid number"),
        ("settle_interval_s = nan", "settle_interval_s", "nan", "correct the value"),
        ("settle_interval_s = -1", "settle_interval_s", "-1", "correct the value"),
        ("[retries]\ndelays_s = [-1]", "retries.delays_s.0", "-1", "greater than or equal to 0"),
        ("[retries]\ndelays_s = 30", "retries.delays_s", "30", "correct the value"),
        ("[rendering]\nframe_at_s = -1", "rendering.frame_at_s", "-1", "greater than or equal to 0"),
        ("[rendering]\nworkers = 1.5", "rendering.workers", "1.5", "valid integer"),
        ("[rendering]\nworkers = true", "rendering.workers", "True", "valid integer"),
        ("[rendering]\ndeadline_s = 0", "rendering.deadline_s", "0", "correct the value"),
        ("[rendering]\ndeadline_s = inf", "rendering.deadline_s", "inf", "correct the value"),
        ("[brakes]\nmax_shrink_ratio = 10", "brakes.max_shrink_ratio", "10", "correct the value"),
        ("[brakes]\nmin_shrink_sources = 0", "brakes.min_shrink_sources", "0", "correct the value"),
        ("[storage]\nstate = ''", "storage.state", '""', "at least 1 character"),
        ("[storage]\nvariants = 5", "storage.variants", "5", "valid string"),
        ("storage = 5", "storage", "5", "dictionary"),
        ("[policy]\nvariants = ['smal']", "policy.variants", '"smal"', "there are thumbnail, small"),
        ("[policy]\nvariants = ['small', 'small']", "policy.variants", "small", "name each variant once"),
        ("[policy]\nvariants = 'small'", "policy.variants", '"small"', "correct the value"),
        ("[policy]\nvariants = []", "policy.variants", "[]", "at least 1"),
        (f"[timelapses.'{KEY}'.policy]\nvariants = ['x']", f'timelapses."{KEY}".policy.variants', '"x"', "there are"),
        ("[cameras.cam]\ntimezone = 'UTC'", 'cameras."cam"', "", "camera-1"),
        ("[timelapses.camera-1]\ntimezone = 'UTC'", 'timelapses."camera-1"', "", "camera-1/timelapse-2"),
        (f"[timelapses.'{KEY}']\nstart_date = 0", f'timelapses."{KEY}".start_date', "0", "such as 2025-04-22"),
        (f"[timelapses.'{KEY}']\nstart_date = 20250422", f'timelapses."{KEY}".start_date', "20250422", "2025-04-22"),
        (f"[timelapses.'{KEY}']\nstart_date = '2025-04-22'", f'timelapses."{KEY}".start_date', '"', "without quotes"),
        (f"[timelapses.'{KEY}']\nstart_date = 2025-04-22T00:00:00", f'timelapses."{KEY}".start_date', "2025", "time"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_key_value_and_remedy(
    written: str, key: str, value: str, remedy: str
) -> None:
    message = refusal(written)
    assert message.startswith(key)
    assert value in message
    assert remedy in message


def test_every_fault_is_named_at_once() -> None:
    lines = refusal("zzz = 1\ntimezone = 'x'\n[rendering]\nworkers = -1").splitlines()
    assert len(lines) == 3


@pytest.mark.parametrize("folder", ["vs", "VS", "Vs"])
def test_two_variants_that_write_the_same_files_are_refused(folder: str) -> None:
    other = f"\n[variants.other]\nfolder = '{folder}'\ntag = 'v'\nmax_width_px = 50"
    message = refusal(variant() + other)
    assert message.startswith('variants.other.tag = "v": variant v writes the same files')
    assert "another tag or folder" in message


@pytest.mark.parametrize("difference", ["tag = 'w'\nfolder = 'vs'", "tag = 'v'\nfolder = 'ws'"])
def test_variants_may_share_a_folder_or_a_tag(difference: str) -> None:
    assert len(parse_settings(tomllib.loads(f"{variant()}\n[variants.w]\nmax_width_px = 5\n{difference}")).specs) == 2


def test_the_same_name_in_another_format_is_another_file() -> None:
    other = "\n[variants.other]\nfolder = 'vs'\ntag = 'v'\nmax_width_px = 50\nformat = 'png'"
    assert len(parse_settings(tomllib.loads(variant() + other)).specs) == 2


def test_a_box_may_leave_one_side_open() -> None:
    spec = parse_settings(tomllib.loads(variant())).specs["v"]
    assert (spec.max_width_px, spec.max_height_px) == (100, None)


def test_a_variant_without_a_background_of_its_own_has_the_librarys() -> None:
    settings = parse_settings(tomllib.loads("background = '#102030'\n" + variant() + "\n"))
    assert settings.specs["v"].background == (16, 32, 48)
    own = parse_settings(tomllib.loads("background = '#102030'\n" + variant(background="#ffffff")))
    assert own.specs["v"].background == (255, 255, 255)


def overridden(*parts: str) -> Settings:
    return parse_settings(tomllib.loads("\n".join(parts)))


LIBRARY = "timezone = 'Europe/Berlin'\n[policy]\nvariants = ['small']"
CAMERA = "[cameras.camera-1]\ntimezone = 'Asia/Tokyo'\n[cameras.camera-1.policy]\nvariants = ['thumbnail']"
TIMELAPSE = f"[timelapses.'{KEY}']\ntimezone = 'UTC'\n[timelapses.'{KEY}'.policy]\nvariants = ['small', 'thumbnail']"


@pytest.mark.parametrize(
    ("parts", "timezone", "variants"),
    [
        ((), "UTC", ["thumbnail", "small"]),
        ((LIBRARY,), "Europe/Berlin", ["small"]),
        ((LIBRARY, CAMERA), "Asia/Tokyo", ["thumbnail"]),
        ((LIBRARY, CAMERA, TIMELAPSE), "UTC", ["small", "thumbnail"]),
        ((LIBRARY, TIMELAPSE), "UTC", ["small", "thumbnail"]),
        ((TIMELAPSE,), "UTC", ["small", "thumbnail"]),
    ],
)
def test_a_timelapse_overrides_its_camera_which_overrides_the_library(
    parts: tuple[str, ...], timezone: str, variants: list[str]
) -> None:
    found = for_timelapse(overridden(*parts), KEY)
    assert found.clock.timezone.key == timezone
    assert [spec.name for spec in found.specs] == variants


def test_what_a_timelapse_leaves_out_is_taken_from_above() -> None:
    found = for_timelapse(overridden(LIBRARY, f"[timelapses.'{KEY}']\nstart_date = 2025-04-22"), KEY)
    assert found.clock.timezone.key == "Europe/Berlin"
    assert found.clock.start_date == date(2025, 4, 22)
    assert [spec.name for spec in found.specs] == ["small"]


def test_other_timelapses_see_nothing_of_an_override() -> None:
    settings = overridden(LIBRARY, CAMERA, TIMELAPSE)
    assert for_timelapse(settings, "camera-1/timelapse-3").clock.timezone.key == "Asia/Tokyo"
    assert for_timelapse(settings, "camera-2/timelapse-2").clock.timezone.key == "Europe/Berlin"


def rules(*parts: str) -> list[tuple[str, str]]:
    """The modes of one timelapse's only era."""
    (era,) = for_timelapse(overridden(*parts), KEY).policy.eras
    return [(name, rule.mode.value) for name, rule in era.rules.items()]


def test_without_a_policy_every_capture_must_have_every_variant() -> None:
    assert all(for_timelapse(overridden(), KEY).policy.is_plain(name) for name in ("thumbnail", "small"))


def test_the_mode_of_smalls_is_overridden_key_by_key() -> None:
    camera = "[cameras.camera-1.policy]\nsmall_generation_mode = 'latest_only'"
    assert rules("[policy]\nsmall_generation_mode = 'none'", camera) == [("thumbnail", "all"), ("small", "latest_only")]


def test_generation_switched_off_for_one_timelapse_leaves_the_others_alone() -> None:
    off = f"[timelapses.'{KEY}'.policy]\ngenerate_thumbnails = false"
    assert rules(off) == []
    assert for_timelapse(overridden(off), "camera-1/timelapse-9").specs


def test_smalls_go_on_completion_only_where_the_policy_says_so() -> None:
    completed = f"[timelapses.'{KEY}']\nstatus = 'completed'"
    assert ("small", "all") in rules(completed)
    assert ("small", "none") in rules(completed, "[policy]\npurge_smalls_on_completion = true")


def test_a_policy_with_a_date_begins_at_local_midnight_and_what_was_before_stays() -> None:
    parts = ("timezone = 'Europe/Berlin'", "[policy]\nsince = 2026-01-01\nsmall_generation_mode = 'none'")
    before, after = for_timelapse(overridden(*parts), KEY).policy.eras
    assert before.since is None
    assert before.rules["small"].mode == "all"
    assert after.since is not None
    assert after.since.isoformat() == "2026-01-01T00:00:00+01:00"
    assert after.rules["small"].mode == "none"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("[policy]\nsmall_generation_mode = 'some'", "policy.small_generation_mode"),
        ("[policy.retention.large]\nkeep_days = 3", 'policy.retention has "large": no such variant'),
        ("[policy.retention.small]\nkeep_days = 0", "policy.retention.small.keep_days"),
        ("[policy]\nsmall_generation_mode = 'none'\n" + variant(), 'there is no variant "small"'),
        (f"[timelapses.'{KEY}']\nstatus = 'done'", "status"),
    ],
)
def test_an_impossible_policy_is_refused_with_its_key(said: str, told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        parse_settings(tomllib.loads(said))
