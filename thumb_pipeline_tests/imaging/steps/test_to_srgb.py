"""Step: colours from profiles to sRGB."""

import struct

import pytest
from PIL import Image, ImageCms

from thumb_pipeline.imaging.steps.tasks import ShrinkTask
from thumb_pipeline.imaging.steps.to_srgb import to_srgb
from thumb_pipeline_tests.imaging.pictures import difference, is_scene, scene

pytestmark = pytest.mark.quick

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def task(profile: bytes | None) -> ShrinkTask:
    return ShrinkTask(size=(1, 1), region=(0.0, 0.0, 1.0, 1.0), orientation=1, profile=profile, reducing_gap=2.0)


def swapped_primaries() -> bytes:
    """A profile whose red is sRGB's green: what it does to a picture is plain to see."""
    profile = bytearray(SRGB)
    n_tags = struct.unpack(">I", profile[128:132])[0]
    entries = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * n_tags, 12)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def gray_profile() -> bytes:
    """A gray profile with a gamma of 1: middle samples become much lighter."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"g\0" + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061),
        b"kTRC": b"curv" + bytes(4) + struct.pack(">I", 0),
    }
    at = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = at + len(body)
    head = struct.pack(">I", size) + b"lcms\x02\x10\0\0mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    return head + struct.pack(">iii", 63190, 65536, 54061) + bytes(48) + table + body


def test_without_a_profile_nothing_changes() -> None:
    picture = scene()
    assert to_srgb(picture, task(None)) is picture


def test_a_profile_that_is_srgb_by_another_hand_costs_nothing() -> None:
    picture = scene()
    assert to_srgb(picture, task(SRGB)) is picture


@pytest.mark.parametrize("mode", ["RGB", "YCbCr", "RGBA"])
def test_a_profile_is_applied(mode: str) -> None:
    red = to_srgb(Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode), task(swapped_primaries()))
    assert red.mode == ("RGBA" if mode == "RGBA" else "RGB")
    found = red.convert("RGB").getpixel((1, 1))
    assert found[1] > 230 > 60 > found[0]  # type: ignore[index,operator]


def test_alpha_survives_a_profile() -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 77))
    assert to_srgb(picture, task(swapped_primaries())).getchannel("A").getextrema() == (77, 77)


def test_gray_with_a_gray_profile_stays_gray() -> None:
    found = to_srgb(Image.new("L", (4, 4), 55), task(gray_profile()))
    assert found.mode == "L"
    assert found.getpixel((0, 0)) == pytest.approx(128, abs=4)


def test_gray_with_an_rgb_profile_stays_gray() -> None:
    found = to_srgb(Image.new("L", (4, 4), 100), task(SRGB))
    assert (found.mode, found.getpixel((0, 0))) == ("L", 100)


@pytest.mark.parametrize("profile", [b"", b"broken", SRGB[:200], SRGB[:16] + b"CMYK" + SRGB[20:], gray_profile()])
def test_a_profile_that_is_broken_or_of_another_kind_is_ignored(profile: bytes) -> None:
    assert is_scene(to_srgb(scene(), task(profile)))


def test_cmyk_without_a_profile_becomes_rgb() -> None:
    found = to_srgb(scene().convert("CMYK"), task(None))
    assert found.mode == "RGB"
    assert difference(found, scene()) < 2


def test_lab_becomes_rgb() -> None:
    lab = ImageCms.profileToProfile(
        scene(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    found = to_srgb(lab, task(None))
    assert found.mode == "RGB"
    assert difference(found, scene()) < 4
