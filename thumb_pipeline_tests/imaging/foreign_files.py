"""Generated PDF, RAW, video and HEIC files of the scene in `pictures`, for the decoders that Pillow does not have."""

import io
import struct
from collections.abc import Sequence
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from thumb_pipeline_tests.imaging.pictures import BLUE, GREEN, RED, WHITE, saved

_UNSPECIFIED = 2


def pdf(size: tuple[float, float] = (160, 120), rotate: int = 0) -> bytes:
    """One page with the scene drawn as four rectangles; `rotate` turns it clockwise when shown."""
    width, height = size
    halves = ((RED, 0, 0.5), (GREEN, 0.5, 0.5), (BLUE, 0, 0), (WHITE, 0.5, 0))
    strokes = "".join(
        f"{r / 255} {g / 255} {b / 255} rg {x * width} {y * height} {width / 2} {height / 2} re f\n"
        for (r, g, b), x, y in halves
    ).encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Rotate {rotate} /Contents 4 0 R >>".encode(),
        b"<< /Length %d >>\nstream\n" % len(strokes) + strokes + b"endstream",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(data)
    return data + b"xref\n0 5\n" + table + trailer


def video(
    frames: Sequence[Image.Image],
    *,
    codec: str = "mpeg4",
    container: str = "mp4",
    rate: int = 10,
    matrix: Colorspace = Colorspace.ITU601,
) -> bytes:
    """The frames at `rate` a second, each a key frame, in colours of a matrix that the file does not name."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 1
        stream.bit_rate = 4_000_000
        stream.options = {"x265-params": "log-level=none"}
        for frame in frames:
            planes = av.VideoFrame.from_image(frame).reformat(
                format="yuv420p", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG
            )
            planes.colorspace = _UNSPECIFIED
            output.mux(stream.encode(planes))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def sound() -> bytes:
    """An MP4 file without pictures."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream: Any = output.add_stream("aac", rate=48_000)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 48_000, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def turned_video(data: bytes, degrees_clockwise: int) -> bytes:
    """The MP4 file with the display matrix of its track set, as phones that are held upright do."""
    matrix = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees_clockwise]
    a, b, c, d = (value << 16 for value in matrix)
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version and flags, times and ids, reserved, layer to volume
    packed = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return data[:at] + packed + data[at + len(packed) :]


def heic(picture: Image.Image, *, quarter_turns: int = 0, exif: bytes = b"") -> bytes:
    """One HEVC picture with its rotation (`irot`, counterclockwise quarters) and EXIF."""
    track = video([picture], codec="libx265")
    config = _box_of(track, b"hvcC")
    coded = _box_of(track, b"mdat")[8:]
    width, height = picture.size
    properties = [
        config,
        _full(b"ispe", struct.pack(">II", width, height)),
        _box(b"irot", bytes([quarter_turns])),
    ]
    items = [(1, b"hvc1"), (2, b"Exif")]
    exif_item = struct.pack(">I", 0) + exif.removeprefix(b"Exif\0\0")
    infe = b"".join(_full(b"infe", struct.pack(">HH", n, 0) + kind + b"\0", version=2) for n, kind in items)
    reference = _box(b"cdsc", struct.pack(">HHH", 2, 1, 1))
    associations = _full(b"ipma", struct.pack(">IHB", 1, 1, 3) + bytes([0x81, 2, 0x83]))

    def meta(start: int) -> bytes:
        places = ((1, start, len(coded)), (2, start + len(coded), len(exif_item)))
        iloc = b"".join(struct.pack(">HHHII", n, 0, 1, place, length) for n, place, length in places)
        return _full(
            b"meta",
            _full(b"hdlr", struct.pack(">I4s12xx", 0, b"pict"))
            + _full(b"pitm", struct.pack(">H", 1))
            + _full(b"iloc", struct.pack(">BBH", 0x44, 0, 2) + iloc)
            + _full(b"iinf", struct.pack(">H", 2) + infe)
            + _full(b"iref", reference)
            + _box(b"iprp", _box(b"ipco", b"".join(properties)) + associations),
        )

    head = _box(b"ftyp", b"heic" + struct.pack(">I", 0) + b"mif1heic")
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + _box(b"mdat", coded + exif_item)


def dng(picture: Image.Image, *, orientation: int = 1, preview: Image.Image | None = None) -> bytes:
    """The picture as a sensor's mosaic of red, green, green and blue, with a JPEG preview in front of it."""
    width, height = picture.size
    red, green, blue = (band.tobytes() for band in picture.split())
    rows = [((red, green) if y % 2 == 0 else (green, blue), y * width) for y in range(height)]
    samples = [bands[x % 2][at + x] * 200 for bands, at in rows for x in range(width)]
    mosaic = struct.pack(f"<{len(samples)}H", *samples)
    stamp = saved(preview) if preview is not None else b""
    sensor: dict[int, tuple[int, Any]] = {
        254: (4, [0]),
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [16]),
        259: (3, [1]),
        262: (3, [32803]),
        277: (3, [1]),
        278: (4, [height]),
        33421: (3, [2, 2]),
        33422: (1, [0, 1, 1, 2]),
        50717: (4, [51_000]),
    }
    camera: dict[int, tuple[int, Any]] = {
        271: (2, b"Maker\0"),
        272: (2, b"Camera\0"),
        274: (3, [orientation]),
        306: (2, b"2021:05:06 07:08:09\0"),
        50706: (1, [1, 4, 0, 0]),
        50708: (2, b"Maker Camera\0"),
        50721: (10, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]),
        50728: (5, [1, 1, 1, 1, 1, 1]),
        50778: (3, [21]),
    }
    if preview is None:
        return _tiff([camera | sensor], [mosaic])
    front: dict[int, tuple[int, Any]] = {
        254: (4, [1]),
        256: (4, [preview.width]),
        257: (4, [preview.height]),
        258: (3, [8, 8, 8]),
        259: (3, [7]),
        262: (3, [6]),
        277: (3, [3]),
        278: (4, [preview.height]),
    }
    return _tiff([camera | front, sensor], [stamp, mosaic])


_FORMATS = {1: "B", 3: "H", 4: "I", 5: "I", 10: "i"}


def _tiff(directories: list[dict[int, tuple[int, Any]]], strips: list[bytes]) -> bytes:
    """Directories with one strip each; all but the first hang below the first one."""
    places = [0] * len(directories)
    for _ in range(2):  # the first round finds out how long everything is
        data = struct.pack("<2sHI", b"II", 42, 8)
        for number, (tags, strip) in enumerate(zip(directories, strips, strict=True)):
            data += b"\0" * (len(data) % 2)
            at, places[number] = places[number], len(data)
            n_tags = len(tags) + 2 + (number == 0 and len(directories) > 1)
            body, rest = struct.pack("<H", n_tags), b""
            rest_at = len(data) + 2 + 12 * n_tags + 4
            entries = tags | {273: (4, ["strip"]), 279: (4, [len(strip)])}
            if number == 0 and len(directories) > 1:
                entries[330] = (4, places[1:])
            length = sum(len(_packed(*entry)) + 1 for entry in tags.values())
            for tag, (kind, values) in sorted(entries.items()):
                value = struct.pack("<I", rest_at + length) if values == ["strip"] else _packed(kind, values)
                count = len(values) // (2 if kind in (5, 10) else 1)
                if len(value) > 4:
                    body += struct.pack("<HHII", tag, kind, count, rest_at + len(rest))
                    rest += value + b"\0" * (len(value) % 2)
                else:
                    body += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
            data += body + b"\0" * 4 + rest.ljust(length, b"\0") + strip
            assert at in (0, places[number])
    return data


def _packed(kind: int, values: Any) -> bytes:
    return values if kind == 2 else struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, body: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24) + body)


def _box_of(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind) - 4
    return data[at : at + int.from_bytes(data[at : at + 4], "big")]
