"""The values that go into a rendering and come out of it.

Failures are in `domain.failures`; `render` and its steps make these values.
"""

from dataclasses import dataclass

from thumb_pipeline.domain.failures import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What only the caller knows about the source; it goes into each variant's provenance.

    Attributes:
        digest: first 32 hex digits of the SHA-256 of the source's bytes.
        n_bytes: size of the source.
        mtime_ns: its modification time.
        name_digest: first 32 hex digits of the SHA-256 of its name's bytes.
    """

    digest: str
    n_bytes: int
    mtime_ns: int
    name_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a picture may be; checked against its header, before anything is decoded.

    Attributes:
        max_pixels: most decoded pixels in memory (4 bytes each). A JPEG counts with the size it is decoded at, which
            has up to 64 times fewer pixels than the stored one.
        max_source_pixels: most pixels a source may store, even if fewer are decoded: the decoder still reads them all.
    """

    max_pixels: int = 150_000_000
    max_source_pixels: int = 1_000_000_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What is known of a source once it is decoded.

    Attributes:
        format: the name of the format, by content (JPEG, MPO, PNG, HEIF, video (Matroska), …).
        width_px: width of the upright picture; in points for a PDF page.
        height_px: height of the upright picture.
        exif_captured_at: `YYYY-MM-DDTHH:MM:SS`, with `+HH:MM` where the camera recorded its offset from UTC.
        frame_at: for a video, the setting its frame was chosen by; None for all others.
        thumb_hash: ThumbHash of the smallest variant that shows the whole picture, in base64; None if none was made.
    """

    format: str
    width_px: int
    height_px: int
    exif_captured_at: str | None
    frame_at: str | None = None
    thumb_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One finished variant: the bytes of its file, provenance included."""

    data: bytes
    width_px: int
    height_px: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A decoded source, and a picture or a failure for each variant, in the order of the specs."""

    source: SourceFacts
    pictures: tuple[Picture | Failure, ...]
