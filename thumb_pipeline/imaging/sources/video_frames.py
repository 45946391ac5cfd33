"""Chooses the frame that is shown for a video: the one at a given moment, or the first later one that shows something.

Opening containers and converting colours lives in `video`.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from PIL import Image, ImageStat

from thumb_pipeline.domain.moments import FrameAt

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_MICROSECONDS = 1_000_000
_PROBE_SIDE_PX = 64
_FLAT_DEVIATION = 4.0
"""A frame is flat when the luma of its 64x64 pixels deviates by less than this many 255ths from its mean."""

_BLACK_LUMA = 32
"""A frame is black when its luma stays below this nearly everywhere; video black is 16."""

_NEARLY_ALL = 0.99
_N_NEIGHBOURS = 250
"""Most consecutive frames that are tested from one moment on: ten seconds at 25 frames a second."""

_SEEK_EARLIER_S = 0.5
"""Containers without an index guess where to seek: too early costs a few frames, too late loses the right one."""

_LATER_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def choose_frame(container: "InputContainer", stream: "VideoStream", frame_at: FrameAt) -> "VideoFrame | None":
    """The frame at a moment; if it is black or flat, the first later one that is neither, or itself if there is none.

    Returns:
        None if no frame was decoded. Perhaps the container only seeks to wrong places: `first_frame` does not seek.
    """
    duration_s = _duration_s(container, stream)
    wanted_s = frame_at.seconds if frame_at.seconds is not None else frame_at.share * duration_s
    fallback: VideoFrame | None = None
    for moment_s, n_frames in _moments(wanted_s, duration_s):
        for frame in islice(_decode_from(container, stream, moment_s), n_frames):
            fallback = fallback or frame
            if not is_empty(frame):
                return frame
    return fallback


def first_frame(container: "InputContainer", stream: "VideoStream") -> "VideoFrame | None":
    """The first frame that can be decoded, without seeking in a container that was just opened."""
    return next(_decode_frames(container, stream), None)


def _moments(wanted_s: float, duration_s: float) -> list[tuple[float, int]]:
    """Moments and how many frames to test at each: many at the wanted moment and near the end, one in between."""
    later = [(share * duration_s, 1) for share in _LATER_SHARES if share * duration_s > wanted_s]
    return [(wanted_s, _N_NEIGHBOURS), *later[:-1], *((moment_s, _N_NEIGHBOURS) for moment_s, _ in later[-1:])]


def is_empty(frame: "VideoFrame") -> bool:
    """Whether a frame shows nothing: black, or one colour all over."""
    small = frame.reformat(width=_PROBE_SIDE_PX, height=_PROBE_SIDE_PX, format="gray", interpolation="AREA", threads=1)
    probe: Image.Image = small.to_image()  # type: ignore[no-untyped-call]  # PyAV leaves it without a type
    statistics = ImageStat.Stat(probe)
    n_dark = sum(probe.histogram()[:_BLACK_LUMA])
    return statistics.stddev[0] < _FLAT_DEVIATION or n_dark >= _NEARLY_ALL * _PROBE_SIDE_PX**2


def _decode_from(container: "InputContainer", stream: "VideoStream", wanted_s: float) -> "Iterator[VideoFrame]":
    """Frames from a moment on; if the video ends before the moment, its last frame."""
    start_s = (container.start_time or 0) / _MICROSECONDS
    if wanted_s > _SEEK_EARLIER_S or stream.codec_context.is_open:
        _seek(container, start_s + max(0.0, wanted_s - _SEEK_EARLIER_S))
    last: VideoFrame | None = None
    for frame in _decode_frames(container, stream):
        if not _has_time(frame) or frame.time >= start_s + wanted_s - _half_a_frame_s(stream):
            yield frame
            last = None
            wanted_s = float("-inf")
        else:
            last = frame
    if last is not None:
        yield last


def _has_time(frame: "VideoFrame") -> bool:
    return frame.pts is not None


def _seek(container: "InputContainer", moment_s: float) -> None:
    """Seeks to the key frame before a moment; a container that cannot seek stays where it is."""
    import av

    try:
        container.seek(int(moment_s * _MICROSECONDS))
    except av.error.FFmpegError:
        return


def _decode_frames(container: "InputContainer", stream: "VideoStream") -> "Iterator[VideoFrame]":
    """Every frame that decodes; packets that do not decode are skipped, as players do."""
    import av

    for packet in _read_packets(container, stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from (frame for frame in frames if not frame.is_corrupt)


def _read_packets(container: "InputContainer", stream: "VideoStream") -> "Iterator[Packet[VideoStream]]":
    import av

    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        return  # the rest is not readable; the frames before it may be enough


def _duration_s(container: "InputContainer", stream: "VideoStream") -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / _MICROSECONDS


def _half_a_frame_s(stream: "VideoStream") -> float:
    return 0.5 / float(stream.average_rate) if stream.average_rate else 0.0
