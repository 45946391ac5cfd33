"""File names: bytes on disk, a reversible text everywhere else, and the variant name that follows from a source's.

Names are bytes because cameras write any bytes. Where the files lie is in `layout`, what a name says about time in
`capture_times`.
"""

import hashlib
import re

MAX_NAME_BYTES = 255
"""The longest name on ext4, XFS, APFS and NTFS."""

TEMPORARY_PREFIX = ".tp-"
"""Starts the names of our own unfinished files: short, hidden, and without any part of the target's name."""

_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX).encode() + rb"(?P<writer>[0-9a-f]{8}|[a-z]+)-[0-9a-f]+-[0-9a-f]+")
"""The full form of an unfinished file's name: a lease id or a word, the process id, a serial number."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029%\ud800-\udfff]")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_CANONICAL = re.compile(
    rb"(?P<stem>timelapse-(?P<id>[A-Za-z0-9.-]+))_(?P<when>(?:[0-9]{8}|day[0-9]{3,6})_[0-9]{6})\.jpg", re.DOTALL
)
_LOOKS_SHORTENED = re.compile(rb"~[0-9a-f]{32}\Z")
TEMPORARY_ENDINGS = (
    b".tmp",
    b".temp",
    b".part",
    b".partial",
    b".filepart",
    b".crdownload",
    b".download",
    b".swp",
    b"~",
)


def to_text(name: bytes) -> str:
    """The printable, unique text of a name: `%XX` for invalid bytes, control characters and `%`, nothing else.

    NFC and NFD forms stay different, and the text is valid UTF-8, which Polars and Dagster require.
    """
    text = name.decode("utf-8", "surrogateescape")
    return text if _UNSAFE.search(text) is None else _UNSAFE.sub(_escaped, text)


def to_bytes(text: str) -> bytes:
    """The exact inverse of `to_text`.

    Raises:
        ValueError: `text` has a `%` that `to_text` would not have written, so it names no file.
    """
    if "%" not in text:
        return text.encode()
    pieces = _ESCAPE.split(text)
    name = b"".join(bytes.fromhex(p) if i % 2 else p.encode() for i, p in enumerate(pieces))
    if to_text(name) != text:
        raise ValueError(f"{text!r} is not an escaped file name: write a literal % as %25")
    return name


def name_digest(name: bytes) -> str:
    """32 hex digits that stand for a source's name inside its (public) variants."""
    return hashlib.sha256(name).hexdigest()[:32]


def is_left_out(name: bytes) -> bool:
    """Whether a name in `frames/` is hidden or temporary and therefore no source.

    Hidden: starts with a dot. Temporary: ends, in any case, with `.tmp`, `.temp`, `.part`, `.partial`, `.filepart`,
    `.crdownload`, `.download`, `.swp` or `~`: the names that FTP servers, rsync, browsers and editors give a
    file while they write it.
    """
    return name.startswith(b".") or name.lower().endswith(TEMPORARY_ENDINGS)


def temporary_writer(name: bytes) -> str | None:
    """The writer in the name of an unfinished file of ours: a lease id or a word; None for any other name."""
    form = _TEMPORARY.fullmatch(name)
    return form["writer"].decode("ascii") if form else None


def variant_name(source: bytes, tag: str, extension: str) -> bytes:
    """The one name of a source's variant within a variant folder; no two sources share one.

    `timelapse-2_20250422_143022.jpg` gives `timelapse-2_thumb_20250422_143022.jpg`; any other name keeps all its
    bytes, extension included: `IMG_0012.JPG` gives `IMG_0012.JPG_thumb.jpg`. A name that would exceed 255
    bytes is cut and gets a digest; so does a name that looks as if it had been cut.

    The three forms never coincide: a tag starts with a letter and has no underscore, so only the first form ends in
    digits; and a source name that ends like the third form is never kept whole.
    """
    ending = f"_{tag}.{extension}".encode()
    canonical = _CANONICAL.fullmatch(source)
    if canonical is not None:
        name = canonical["stem"] + f"_{tag}_".encode() + canonical["when"] + f".{extension}".encode()
        if len(name) <= MAX_NAME_BYTES:
            return name
    if len(source) + len(ending) <= MAX_NAME_BYTES and _LOOKS_SHORTENED.search(source) is None:
        return source + ending
    mark = b"~" + name_digest(source).encode()
    return _cut(source, MAX_NAME_BYTES - len(mark) - len(ending)) + mark + ending


def source_name(variant: bytes, tag: str, extension: str) -> bytes | None:
    """The inverse of `variant_name`; None for a cut name (its provenance tells) and for any other name."""
    infix, suffix = f"_{tag}_".encode(), f".{extension}".encode()
    head, _, when = variant.removesuffix(suffix).rpartition(infix)
    candidates = [head + b"_" + when + b".jpg", variant.removesuffix(f"_{tag}".encode() + suffix)]
    for candidate in candidates:
        if candidate and candidate != variant and variant_name(candidate, tag, extension) == variant:
            return None if _LOOKS_SHORTENED.search(candidate) else candidate
    return None


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _cut(name: bytes, length: int) -> bytes:
    """At most `length` bytes of a name; if it is valid UTF-8, no character is cut in half."""
    head = name[:length]
    try:
        name.decode()
    except UnicodeDecodeError:
        return head
    return head.decode(errors="ignore").encode()
