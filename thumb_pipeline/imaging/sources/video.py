"""Opens one frame of a video with FFmpeg's libraries, through PyAV.

Only the bytes of the source are read: the content decides the demuxer, and any other file or address that a container
names is refused. The size is the stored one: pixels that are not square stay so, as in photos. `video_frames` chooses
the frame.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from thumb_pipeline.domain.failures import FailureReason
from thumb_pipeline.domain.moments import FrameAt
from thumb_pipeline.imaging.refusals import Refused
from thumb_pipeline.imaging.sources.foreign import ForeignFile
from thumb_pipeline.imaging.sources.video_frames import choose_frame, first_frame

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

DEMUXERS = {
    "video (ISO media)": "mov",
    "video (QuickTime)": "mov",
    "video (Matroska)": "matroska",
    "video (AVI)": "avi",
    "video (FLV)": "flv",
    "video (ASF)": "asf",
    "video (MPEG)": "mpeg",
    "video (MPEG elementary)": "mpegvideo",
    "video (MPEG-TS)": "mpegts",
    "video (Ogg)": "ogg",
    "video (RealMedia)": "rm",
    "video (MXF)": "mxf",
}
"""FFmpeg's demuxer for each container that `formats` recognises; no other demuxer is tried."""

_BT709, _BT601 = 1, 5  # FFmpeg's numbers for swscale: SWS_CS_ITU709, SWS_CS_ITU601
_MATRICES = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}
"""swscale's colour matrix for the frame's (ISO/IEC 23091-2, MatrixCoefficients)."""

_FULL_RANGE = 2
_LEAST_HD_HEIGHT_PX = 720
_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    -180: Image.Transpose.ROTATE_180,
    -90: Image.Transpose.ROTATE_270,
}
"""The turn for the degrees by which the display matrix turns a frame counterclockwise."""


class VideoFile(ForeignFile):
    """A video; its pixels are those of one frame, turned by its display matrix."""

    def __init__(self, stream: BinaryIO, demuxer: str, frame_at: FrameAt) -> None:
        self._demuxer = demuxer
        self._frame_at = frame_at
        super().__init__(stream, "")

    def _open(self) -> None:
        with self._open_container() as (_, stream):
            size = (stream.codec_context.width, stream.codec_context.height)
        if min(size) < 1:
            raise Refused(FailureReason.DAMAGED, "its video has no size")
        self.keep("RGB", size)

    def decoded(self) -> Image.Image:
        """The pixels of the chosen frame, as RGB."""
        with self._open_container() as (container, stream):
            frame = choose_frame(container, stream, self._frame_at)
        if frame is None:
            with self._open_container() as (container, stream):
                frame = first_frame(container, stream)
        if frame is None:
            raise Refused(FailureReason.TRUNCATED, "none of its frames can be decoded")
        picture, turn = _to_rgb(frame), _TURNS.get(frame.rotation)
        return picture if turn is None else picture.transpose(turn)

    @contextlib.contextmanager
    def _open_container(self) -> "Iterator[tuple[InputContainer, VideoStream]]":
        import av

        assert self.fp is not None
        self.fp.seek(0)
        options: dict[str, Any] = {
            "format": self._demuxer,
            "container_options": {"protocol_whitelist": "none"},
            "io_open": _refuse_other_files,
            "metadata_errors": "replace",
        }
        with _translate_errors(), av.open(self.fp, "r", **options) as container:
            stream = _find_video_stream(container)
            stream.thread_type = "NONE"  # several workers share the processors already
            yield container, stream


def open_video(stream: BinaryIO, format_name: str, frame_at: FrameAt) -> VideoFile:
    """Reads a video's header.

    Raises:
        Refused: the file has no video, only sound.
        refusals.DECODER_COMPLAINTS: the file is not sound.
    """
    return VideoFile(stream, DEMUXERS[format_name], frame_at)


def _find_video_stream(container: "InputContainer") -> "VideoStream":
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of a piece of music
            return stream
    raise Refused(FailureReason.NOT_AN_IMAGE, "there is no video in it")


def _refuse_other_files(url: str, flags: int, options: dict[str, str]) -> BinaryIO:  # noqa: ARG001 - PyAV's signature
    raise PermissionError(f"a video may not open other files: {url}")


def _to_rgb(frame: "VideoFrame") -> Image.Image:
    """Converts with the colour matrix that the frame names, or else with the usual one for its size."""
    usual = _BT709 if frame.height >= _LEAST_HD_HEIGHT_PX else _BT601
    converted = frame.reformat(
        format="rgb24",
        src_colorspace=_MATRICES.get(frame.colorspace, usual),
        src_color_range=frame.color_range,
        dst_color_range=_FULL_RANGE,
        threads=1,
    )
    picture: Image.Image = converted.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it without a type
    return picture


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    """Turns FFmpeg's errors, which have numbers like the system's, into errors without a number and the same words."""
    import av

    try:
        yield
    except av.error.EOFError as error:
        raise Refused(FailureReason.TRUNCATED, f"FFmpeg: {error.strerror}") from error
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError) as error:
        raise Refused(FailureReason.UNSUPPORTED, f"FFmpeg: {error.strerror}") from error
    except av.error.FFmpegError as error:
        raise ValueError(f"FFmpeg: {error.strerror}") from error
