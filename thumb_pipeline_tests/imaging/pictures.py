"""Generated pictures for the tests of imaging: small scenes whose corners tell which way is up."""

import io
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from PIL import Image, ImageChops, ImageStat

from thumb_pipeline.domain.variants import Fit, Gravity, OutputFormat, VariantSpec
from thumb_pipeline.imaging.results import Origin, Picture, Rendering
from thumb_pipeline.imaging.steps.tasks import Source

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (40, 40, 210), (245, 245, 245)

ORIGIN = Origin(digest="ab" * 16, n_bytes=1234, mtime_ns=1_700_000_000_000_000_000, name_digest="cd" * 16)


def scene(size: tuple[int, int] = (160, 120), mode: str = "RGB") -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right."""
    picture = Image.new("RGB", size, WHITE)
    half = (size[0] // 2, size[1] // 2)
    picture.paste(RED, (0, 0, *half))
    picture.paste(GREEN, (half[0], 0, size[0], half[1]))
    picture.paste(BLUE, (0, half[1], half[0], size[1]))
    return picture if mode == "RGB" else picture.convert(mode)


def textured(size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A scene with fine structure, for likeness."""
    bands = [Image.effect_noise(size, 40).resize((size[0] // 8 or 1, size[1] // 8 or 1)).resize(size) for _ in range(3)]
    return Image.blend(scene(size), Image.merge("RGB", bands), 0.4)


def saved(picture: Image.Image, format_name: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def lying(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera stores it that notes this EXIF orientation."""
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return picture.transpose(inverse[orientation]) if orientation in inverse else picture


def exif(
    orientation: int | None = None,
    *,
    order: str = "<",
    main: Mapping[int, str] = MappingProxyType({}),
    detail: Mapping[int, str] = MappingProxyType({}),
) -> bytes:
    """An EXIF block with an orientation, and texts in its main and its detail directory."""
    entries = [(tag, 2, text.encode() + b"\0") for tag, text in main.items()]
    if orientation is not None:
        entries.append((0x0112, 3, struct.pack(f"{order}H", orientation)))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", 8)
    details = [(tag, 2, text.encode() + b"\0") for tag, text in detail.items()]
    pointer_at = 8 + len(_directory([*entries, (0x8769, 4, bytes(4))], 8, order))
    entries.append((0x8769, 4, struct.pack(f"{order}I", pointer_at)))
    return b"Exif\0\0" + head + _directory(entries, 8, order) + _directory(details, pointer_at, order)


def _directory(entries: Sequence[tuple[int, int, bytes]], offset: int, order: str) -> bytes:
    rest = b""
    rest_at = offset + 2 + 12 * len(entries) + 4
    body = struct.pack(f"{order}H", len(entries))
    for tag, kind, value in sorted(entries):
        count = len(value) // {2: 1, 3: 2, 4: 4}[kind]
        field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", rest_at + len(rest))
        rest += value if len(value) > 4 else b""
        body += struct.pack(f"{order}HHI", tag, kind, count) + field
    return body + b"\0\0\0\0" + rest


def spec(
    width: int | None = 80,
    height: int | None = 60,
    *,
    fit: Fit = Fit.CONTAIN,
    format: OutputFormat = OutputFormat.JPEG,  # noqa: A002 - the field's own name
    gravity: Gravity = Gravity.CENTER,
    quality: int = 85,
    progressive: bool = False,
    background: tuple[int, int, int] = (255, 255, 255),
    enlarge: bool = False,
) -> VariantSpec:
    return VariantSpec(
        name="v",
        tag="v",
        folder="vs",
        max_width_px=width,
        max_height_px=height,
        fit=fit,
        gravity=gravity,
        format=format,
        quality=quality,
        progressive=progressive,
        background=background,
        enlarge=enlarge,
    )


def source_of(data: bytes, *specs: VariantSpec, limits: object = None) -> Source:
    from thumb_pipeline.imaging.results import DEFAULT_LIMITS

    return Source(stream=io.BytesIO(data), specs=specs or (spec(),), limits=limits or DEFAULT_LIMITS)  # type: ignore[arg-type]


def rendered(data: bytes, *specs: VariantSpec) -> list[Image.Image]:
    """The variants of a source that must succeed, decoded."""
    from thumb_pipeline.imaging.render import render

    rendering = render(io.BytesIO(data), specs or (spec(),), origin=ORIGIN)
    assert isinstance(rendering, Rendering), rendering
    return [opened(picture) for picture in rendering.pictures]


def opened(picture: object) -> Image.Image:
    assert isinstance(picture, Picture), picture
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    assert image.size == (picture.width_px, picture.height_px)
    return image


def corners(picture: Image.Image) -> list[tuple[int, int, int]]:
    """The colours in the middle of the four quadrants, reading order."""
    rgb = picture.convert("RGB")
    xs, ys = (picture.width // 4, picture.width * 3 // 4), (picture.height // 4, picture.height * 3 // 4)
    return [rgb.getpixel((x, y)) for y in ys for x in xs]  # type: ignore[misc]


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference over all bands, in 255ths."""
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


def is_scene(picture: Image.Image, tolerance: int = 24) -> bool:
    expected = (RED, GREEN, BLUE, WHITE)
    return all(
        abs(a - b) <= tolerance
        for found, wanted in zip(corners(picture), expected, strict=True)
        for a, b in zip(found, wanted, strict=True)
    )
