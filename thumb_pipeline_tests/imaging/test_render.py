"""Rendering as a whole: from a source's bytes to its variants."""

import io
import pickle
import warnings

import pytest
from PIL import Image

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.variants import Fit, Gravity, OutputFormat, VariantSpec
from thumb_pipeline.imaging.render import render
from thumb_pipeline.imaging.results import Limits, Picture, Rendering
from thumb_pipeline.imaging.variants.provenance import checksum_holds, read_provenance
from thumb_pipeline_tests.imaging.pictures import (
    ORIGIN,
    difference,
    exif,
    is_scene,
    lying,
    opened,
    rendered,
    saved,
    scene,
    spec,
    textured,
)

pytestmark = pytest.mark.quick

SMALL = spec(800, 600)
THUMBNAIL = spec(200, 150)


def rendering_of(data: bytes, *specs: VariantSpec, limits: Limits = Limits()) -> Rendering | Failure:  # noqa: B008
    return render(io.BytesIO(data), specs, origin=ORIGIN, limits=limits)


def must_render(data: bytes, *specs: VariantSpec) -> Rendering:
    found = rendering_of(data, *specs)
    assert isinstance(found, Rendering), found
    return found


def must_refuse(data: bytes, *specs: VariantSpec) -> Failure:
    found = rendering_of(data, *specs)
    assert isinstance(found, Failure)
    return found


def test_variants_come_in_the_order_of_their_specs() -> None:
    small, thumbnail, again = rendered(saved(scene((1920, 1080))), SMALL, THUMBNAIL, SMALL)
    assert (small.size, thumbnail.size, again.size) == ((800, 450), (200, 113), (800, 450))


@pytest.mark.parametrize("format_name", ["JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_every_format_comes_in(format_name: str) -> None:
    (picture,) = rendered(saved(scene(), format_name))
    assert picture.size == (80, 60)
    assert is_scene(picture)


@pytest.mark.parametrize("output_format", OutputFormat)
@pytest.mark.parametrize("fit", Fit)
def test_every_format_goes_out_in_every_fit(output_format: OutputFormat, fit: Fit) -> None:
    (picture,) = rendered(saved(scene((160, 120))), spec(60, 60, fit=fit, format=output_format))
    assert picture.format == output_format.upper()
    assert picture.size == ((60, 45) if fit is Fit.CONTAIN else (60, 60))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright_in_every_variant(orientation: int) -> None:
    data = saved(lying(scene((160, 120)), orientation), exif=exif(orientation))
    wanted = (spec(80, 80), spec(40, 40), spec(30, 30, fit=Fit.COVER), spec(400, 400, enlarge=True))
    found = must_render(data, *wanted)
    assert (found.source.width_px, found.source.height_px) == (160, 120)
    assert all(is_scene(opened(picture)) for picture in found.pictures)


@pytest.mark.parametrize("orientation", [0, 9, 35, 65_535])
def test_orientations_that_do_not_exist_are_ignored(orientation: int) -> None:
    (picture,) = rendered(saved(scene(), exif=exif(orientation)))
    assert is_scene(picture)


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_other_formats_are_turned_exactly_once(format_name: str, orientation: int) -> None:
    data = saved(lying(scene((160, 120)), orientation), format_name, exif=exif(orientation))
    (picture,) = rendered(data)
    assert picture.size == (80, 60)
    assert is_scene(picture)


def test_png_may_keep_its_orientation_behind_the_pixels() -> None:
    data = saved(lying(scene((160, 120)), 6), "PNG", exif=exif(6))
    at = data.index(b"eXIf") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    iend = data.index(b"IEND") - 4
    (picture,) = rendered(data[:at] + data[end:iend] + data[at:end] + data[iend:])
    assert is_scene(picture)


def test_an_mpo_gives_its_first_picture() -> None:
    data = saved(scene(), "MPO", save_all=True, append_images=[scene().rotate(180)])
    found = must_render(data, spec())
    assert found.source.format == "MPO"
    assert is_scene(opened(found.pictures[0]))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_gray_and_cmyk_jpegs_keep_their_colours(mode: str) -> None:
    (picture,) = rendered(saved(scene((640, 480)).convert(mode)), spec(160, 120))
    assert difference(picture, scene((160, 120)).convert(mode).convert("RGB")) < 6


def test_transparent_pixels_show_the_background_in_jpeg_and_stay_in_webp() -> None:
    data = saved(Image.new("RGBA", (100, 100), (9, 9, 9, 0)), "PNG")
    flat, kept = rendered(data, spec(background=(200, 100, 50)), spec(format=OutputFormat.WEBP))
    assert flat.getpixel((5, 5)) == pytest.approx((200, 100, 50), abs=3)
    assert kept.getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_gravity_reaches_the_variant() -> None:
    wanted = spec(40, 40, fit=Fit.COVER, gravity=Gravity.NORTH)
    (picture,) = rendered(saved(scene((100, 400))), wanted)
    assert picture.size == (40, 40)
    assert picture.getpixel((5, 35))[0] > 150  # type: ignore[index]


def test_small_pictures_stay_small_unless_asked() -> None:
    kept, grown = rendered(saved(scene((40, 30))), SMALL, spec(800, 600, enlarge=True))
    assert (kept.size, grown.size) == ((40, 30), (800, 600))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (65_500, 1), (7, 9_000)])
def test_extreme_shapes_have_at_least_one_pixel_a_side(size: tuple[int, int]) -> None:
    for picture in rendered(saved(Image.new("RGB", size)), SMALL, THUMBNAIL, spec(50, 50, fit=Fit.COVER)):
        assert min(picture.size) >= 1


def test_one_impossible_variant_does_not_cost_the_others() -> None:
    endless = spec(None, 600, enlarge=True, format=OutputFormat.WEBP)
    found = must_render(saved(Image.new("RGB", (900, 3))), SMALL, endless, THUMBNAIL)
    first, failed, last = found.pictures
    assert isinstance(first, Picture)
    assert isinstance(last, Picture)
    assert isinstance(failed, Failure)
    assert failed.reason is FailureReason.VARIANT_IMPOSSIBLE


def test_nothing_of_the_source_but_its_pixels_gets_into_a_variant() -> None:
    data = saved(scene(), exif=exif(1, main={0x010F: "CAMERA-7731"}), comment=b"Jane Doe", xmp=b"<x>GPS</x>")
    wanted = [spec(format=output_format) for output_format in OutputFormat]
    for picture in must_render(data, *wanted).pictures:
        assert isinstance(picture, Picture)
        assert not any(secret in picture.data for secret in (b"CAMERA-7731", b"Jane Doe", b"GPS"))
        assert not opened(picture).getexif()


@pytest.mark.parametrize("output_format", OutputFormat)
def test_each_variant_says_where_it_comes_from_and_is_sealed(output_format: OutputFormat) -> None:
    wanted = spec(format=output_format)
    (picture,) = must_render(saved(scene((160, 120))), wanted).pictures
    assert isinstance(picture, Picture)
    note = read_provenance(picture.data)
    assert note is not None
    assert (note.source_digest, note.source_n_bytes, note.source_name_digest) == ("ab" * 16, 1234, "cd" * 16)
    assert (note.source_width_px, note.source_height_px) == (160, 120)
    assert (note.spec_fingerprint, note.checksum) == (wanted.fingerprint, picture.checksum)
    assert checksum_holds(picture.data, note)


def test_the_capture_instant_is_read_from_exif() -> None:
    block = exif(1, detail={0x9003: "2025:04:22 14:30:22", 0x9011: "+02:00"})
    assert must_render(saved(scene(), exif=block), spec()).source.exif_captured_at == "2025-04-22T14:30:22+02:00"


def test_the_same_source_and_spec_give_the_same_bytes() -> None:
    data = saved(textured())
    assert rendering_of(data, SMALL, THUMBNAIL) == rendering_of(data, SMALL, THUMBNAIL)


def test_renderings_and_failures_travel_between_processes() -> None:
    for found in (rendering_of(saved(scene()), spec()), rendering_of(b"", spec())):
        assert pickle.loads(pickle.dumps(found)) == found


def test_the_callers_warnings_stay_as_they_were() -> None:
    before = list(warnings.filters)
    must_render(saved(scene()), spec())
    assert warnings.filters == before


def test_a_broken_exif_block_costs_nothing_but_itself() -> None:
    (picture,) = rendered(saved(scene(), exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40))
    assert is_scene(picture)


def test_a_picture_beyond_the_limit_is_too_large() -> None:
    found = rendering_of(saved(scene(), "PNG"), spec(), limits=Limits(max_pixels=100))
    assert isinstance(found, Failure)
    assert found.reason is FailureReason.TOO_LARGE


def test_a_bomb_is_refused_by_its_header() -> None:
    ihdr = b"IHDR" + (40_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    data = saved(scene(), "PNG")
    found = must_refuse(data[:8] + b"\0\0\0\x0d" + ihdr + _crc(ihdr) + data[33:], spec())
    assert found.reason is FailureReason.TOO_LARGE


def _crc(chunk: bytes) -> bytes:
    import zlib

    return zlib.crc32(chunk).to_bytes(4, "big")


class Failing(io.BytesIO):
    """A file on a disk that stops answering."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_disk_that_fails_is_not_a_bad_picture() -> None:
    found = render(Failing(saved(scene())), [spec()], origin=ORIGIN)
    assert isinstance(found, Failure)
    assert found.reason is FailureReason.UNREADABLE
    assert found.reason.is_transient


def test_the_chain_looks_like_shrinking_the_whole_picture_at_once() -> None:
    # Right is a full decode and Lanczos. Saving that as JPEG 85 alone costs 1.3 and 2.0 of 255 on this noise.
    source = textured((1600, 1200))
    for picture in rendered(saved(source, quality=95), SMALL, THUMBNAIL):
        assert difference(picture, source.resize(picture.size, Image.Resampling.LANCZOS)) < 3
