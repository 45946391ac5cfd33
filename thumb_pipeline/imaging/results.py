"""The values that go into a rendering and come out of it; all of them travel between processes.

What a failure is lives in `domain.failures`; how the values come about in `render` and its steps.
"""

from dataclasses import dataclass

from thumb_pipeline.domain.failures import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the caller knows about the source and the renderer does not: it goes into each variant's provenance.

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
        max_pixels: most pixels that are ever held decoded (4 bytes each). A JPEG counts with the size it is decoded
            at, which is up to 64 times smaller than the size it is stored with.
        max_source_pixels: most pixels a source may store even so: they still have to be read one by one.
    """

    max_pixels: int = 150_000_000
    max_source_pixels: int = 1_000_000_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What decoding taught about a source.

    Attributes:
        format: the name of the format, by content (JPEG, MPO, PNG, HEIF, video (Matroska), …).
        width_px: width of the upright picture; of a PDF page, in points.
        height_px: height of the upright picture.
        exif_captured_at: `YYYY-MM-DDTHH:MM:SS`, with `+HH:MM` where the camera recorded its offset from UTC.
        frame_at: the moment that its frame was chosen by, of a video; None for all others.
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
    """A source that could be decoded, and what became of each variant, in the order of the specs."""

    source: SourceFacts
    pictures: tuple[Picture | Failure, ...]
