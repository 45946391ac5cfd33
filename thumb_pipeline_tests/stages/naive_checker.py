"""Says what a report must say: file by file and row by row, in plain Python, with nothing of the code that reports.

Shared with the package are only the meaning of `thumbs.toml` (`domain.settings`), the fingerprint of a recipe, the
revision of rendering and the version of the decoders. Names, tables, leases, notes and checksums are read anew here.

The rules, where more than one reading is possible:

- A source is *pending* while somebody writes to it during the verification; the caller says which ones are.
- *failed* is a record of refusal that still stands: same source size and mtime, same recipe, same decoders, and a
  reason that does not pass by itself. One that no longer stands says nothing about a file beside it.
- A record vouches for a file of exactly its path, size and mtime. Any other file at the expected path is judged by its
  own note, and is at best *unrecorded*. No readable note: another program's file, *stale_spec* if it opens at all.
- The *predecessor* of a variant is the file that its record names where another path is expected now, unless some
  variant expects that one. It is no orphan. While only the predecessor stands and is no refusal's, the variant is
  *stale_source* if the source is another than recorded, else *stale_spec*; where a right successor stands beside it
  (a kill came between the two), *stale_spec*.
- Under `latest_only` the predecessor of the newest one's variant, while that is not right and has none of its own, is
  the newest of the others that are made, recorded, and of a source that is there and in the inventory.
- A variant folder is one that the settings name, or that a record of this very timelapse names.
- An orphan belongs to the variant and source of the record of its path; of several, to one that the settings ask for,
  then the first by name. Without a record its name tells them, if a variant of today would have this very name.
- Links, folders and special files are neither sources nor variants nor orphans.
"""

import fcntl
import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from thumb_pipeline.domain.settings import Settings, parse_settings
from thumb_pipeline.domain.variants import RENDER_REVISION, VariantSpec
from thumb_pipeline.imaging.sources.decoders import decoder_version
from thumb_pipeline_tests.stages.naive_notes import digest, judged, note_of
from thumb_pipeline_tests.stages.naive_policy import Capture, NaivePolicy, captured_at

Row = dict[str, Any]
File = tuple[int, int]  # size, mtime in ns

_HALF_WRITTEN = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp", "~")
_DATED = re.compile(rb"(timelapse-[A-Za-z0-9.-]+)_(([0-9]{8}|day[0-9]{3,6})_[0-9]{6})\.jpg")
_SHORTENED = re.compile(rb"~[0-9a-f]{32}$")


@dataclass(kw_only=True)
class Checked:
    """What must be reported.

    Attributes:
        states: by (timelapse, source, variant), of every variant that must exist.
        orphans: by (timelapse, folder/name): kind, variant, source, evidence, size.
        vanished: (timelapse, source) of recorded sources that are not there.
        replaced: (timelapse, source) of complete recorded sources with another size or mtime.
        recorded: by (timelapse, variant): how many records of made variants, asked for or not.
        found: by (timelapse, variant): how many of the expected files are there.
        files: by timelapse: number and bytes of the files in variant folders, unfinished ones left out.
        n_sources: by timelapse.
        expected: (timelapse, folder/name) of the files that must exist.
        predecessors: (timelapse, folder/name) of the files that a successor will replace under another name.
    """

    states: dict[tuple[str, str, str], str] = field(default_factory=dict)
    orphans: dict[tuple[str, str], tuple[str, str, str, str, int]] = field(default_factory=dict)
    vanished: set[tuple[str, str]] = field(default_factory=set)
    replaced: set[tuple[str, str]] = field(default_factory=set)
    recorded: dict[tuple[str, str], int] = field(default_factory=dict)
    found: dict[tuple[str, str], int] = field(default_factory=dict)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    n_sources: dict[str, int] = field(default_factory=dict)
    expected: set[tuple[str, str]] = field(default_factory=set)
    predecessors: set[tuple[str, str]] = field(default_factory=set)


def check(root: Path, being_written: set[Path] | None = None, *, deep: bool = False) -> Checked:
    """Looks at a whole library; `being_written` are the sources that somebody is writing to meanwhile."""
    settings = parse_settings(tomllib.loads((root / "thumbs.toml").read_text()))
    checked = Checked()
    for key in _timelapses(root, settings):
        _Timelapse(root, settings, key, being_written or set(), deep=deep).check(checked)
    return checked


class _Timelapse:
    """One timelapse: what lies in it, what is recorded of it."""

    def __init__(self, root: Path, settings: Settings, key: str, being_written: set[Path], *, deep: bool) -> None:
        self.key, self.settings, self.deep = key, settings, deep
        self.state = root / settings.storage.state
        self.frames = root / "cameras" / key / "frames"
        self.top = root / settings.storage.variants / "cameras" / key
        self.being_written = being_written
        self.sources = {name: file for name, file in files_of(self.frames).items() if is_source(name)}
        self.inventory = rows_of(self.state, "inventory", key, ("source_name",))
        self.manifest = rows_of(self.state, "manifest", key, ("source_name", "variant"))
        self.damage = rows_of(self.state, "damage", key, ("source_name", "variant"))
        self.policy = NaivePolicy(settings, key, now := datetime.now(UTC))
        self.required = {spec.name: self._required(spec, now) for spec in settings.specs.values()}
        self.expected = {
            f"{spec.folder}/{text_of(variant_name(name, spec))}"
            for spec in settings.specs.values()
            for name in self.required[spec.name]
        }
        self.listed = self._listed()

    def check(self, checked: Checked) -> None:
        claimed = set(self.expected)
        checked.expected |= {(self.key, path) for path in self.expected}
        for name in self.settings.specs:
            mine = [row for (_, variant), row in self.manifest.items() if variant == name]
            checked.recorded[self.key, name] = sum(row["state"] == "made" for row in mine)
        for spec in self.settings.specs.values():
            checked.found[self.key, spec.name] = 0
            for name in self.required[spec.name]:
                path = f"{spec.folder}/{text_of(variant_name(name, spec))}"
                record = self.manifest.get((text_of(name), spec.name))
                predecessor = self._predecessor(name, spec, path, record)
                checked.states[self.key, text_of(name), spec.name] = self._state(name, spec, path, record, predecessor)
                checked.found[self.key, spec.name] += path in self.listed
                if predecessor is not None:
                    claimed.add(predecessor)
                    checked.predecessors.add((self.key, predecessor))
        for path, (n_bytes, _) in self.listed.items():
            if path not in claimed:
                checked.orphans[self.key, path] = (*self._explained(path), n_bytes)
        checked.orphans.update({(self.key, path): said for path, said in self._unfinished()})
        known = {name: (row["n_bytes"], row["mtime_ns"]) for (name,), row in self.inventory.items()}
        listed = {text_of(name): file for name, file in self.sources.items()}
        checked.vanished |= {(self.key, name) for name in known if name not in listed}
        checked.replaced |= {
            (self.key, name)
            for (name,), row in self.inventory.items()
            if row["state"] == "settled" and name in listed and listed[name] != known[name]
        }
        checked.files[self.key] = (len(self.listed), sum(n_bytes for n_bytes, _ in self.listed.values()))
        checked.n_sources[self.key] = len(self.sources)

    def _required(self, spec: VariantSpec, now: datetime) -> set[bytes]:
        """The sources that must have a variant."""
        captures = {}
        for name, (_, mtime_ns) in self.sources.items():
            text, record = text_of(name), self.manifest.get((text_of(name), spec.name))
            is_refused = record is not None and self._is_refused(record, name, spec)
            known = self.inventory.get((text,))
            captures[name] = Capture(
                name=text,
                captured_at=captured_at(text, mtime_ns),
                first_seen_at=known["first_seen_at"] if known else now,
                can_be_newest=not is_refused and self.frames / os.fsdecode(name) not in self.being_written,
            )
        chosen = self.policy.required(spec.name, captures.values())
        return {name for name, capture in captures.items() if capture.name in chosen}

    def _is_refused(self, record: Row, name: bytes, spec: VariantSpec) -> bool:
        same_source = (record["source_n_bytes"], record["source_mtime_ns"]) == self.sources[name]
        same_recipe = recipe(record) == (spec.fingerprint, RENDER_REVISION)
        return record["state"] != "made" and same_source and same_recipe and is_final(record)

    def _predecessor(self, name: bytes, spec: VariantSpec, path: str, record: Row | None) -> str | None:
        if record is not None and record["variant_path"] != path and record["variant_path"] in self.listed:
            return record["variant_path"] if self._is_predecessor(record) else None
        if not self.policy.is_latest_only(spec.name) or self._is_right(name, spec, path, record):
            return None
        others = [
            (Capture(name=source, captured_at=captured_at(source, known["mtime_ns"]), first_seen_at=seen).order, other)
            for (source, variant), other in self.manifest.items()
            if (variant, other["state"]) == (spec.name, "made") and other["variant_path"] in self.listed
            if bytes_of(source) in self.sources and bytes_of(source) not in self.required[spec.name]
            if (known := self.inventory.get((source,))) and (seen := known["first_seen_at"])
        ]
        newest = max(others, key=lambda other: other[0])[1]["variant_path"] if others else None
        return None if newest in self.expected else newest

    def _is_right(self, name: bytes, spec: VariantSpec, path: str, record: Row | None) -> bool:
        """Whether there is a file, just as recorded, of today's source and recipe."""
        if record is None or record["state"] != "made" or path not in self.listed:
            return False
        same_source = (record["source_n_bytes"], record["source_mtime_ns"]) == self.sources[name]
        same_recipe = recipe(record) == (spec.fingerprint, RENDER_REVISION)
        return same_source and same_recipe and vouched_for(record) == (path, *self.listed[path])

    def _state(self, name: bytes, spec: VariantSpec, path: str, record: Row | None, predecessor: str | None) -> str:
        source = self.sources[name]
        if self.frames / os.fsdecode(name) in self.being_written:
            return "pending"
        same_source = record is not None and (record["source_n_bytes"], record["source_mtime_ns"]) == source
        same_recipe = record is not None and recipe(record) == (spec.fingerprint, RENDER_REVISION)
        was_made = record is not None and record["state"] == "made"
        if record is not None and self._is_refused(record, name, spec):
            return "failed"
        if path not in self.listed:
            if record is not None and was_made and predecessor == record["variant_path"]:
                return "stale_spec" if same_source else "stale_source"
            return "missing"
        if record is not None and was_made and vouched_for(record) == (path, *self.listed[path]):
            word = "stale_source" if not same_source else "valid" if same_recipe else "stale_spec"
            return self._proved(name, spec, path, record) if word == "valid" else word
        word = judged(self._read(path), name, source, spec, self._digest_of(name))
        return "stale_spec" if word == "unrecorded" and predecessor is not None else word

    def _read(self, path: str) -> bytes:
        folder, _, name = path.partition("/")
        return (self.top / folder / os.fsdecode(bytes_of(name))).read_bytes()

    def _digest_of(self, name: bytes) -> str | None:
        """The digest of a source's bytes, if it is known."""
        known = self.inventory.get((text_of(name),))
        if known and known["digest"] and (known["n_bytes"], known["mtime_ns"]) == self.sources[name]:
            return str(known["digest"])
        mine = [row for (source, _), row in self.manifest.items() if source == text_of(name) and row["source_digest"]]
        said = {
            row["source_digest"]
            for row in mine
            if (row["source_n_bytes"], row["source_mtime_ns"]) == self.sources[name]
        }
        return said.pop() if len(said) == 1 else None

    def _proved(self, name: bytes, spec: VariantSpec, path: str, record: Row) -> str:
        """What a file that looks right is, as far as anybody opened it."""
        known = self.damage.get((text_of(name), spec.name))
        if not self.deep and (known is None or vouched_for(known) != (path, *self.listed[path])):
            return "valid"
        data = self._read(path)
        note = note_of(data)
        if note is None:
            is_same = record["origin"] == "trusted" and digest(data) == record["checksum"]
            return "valid" if is_same else "corrupt"
        word = judged(data, name, self.sources[name], spec, self._digest_of(name))
        if word != "unrecorded":
            return word
        return "valid" if note["checksum"] == record["checksum"] else "corrupt"

    def _is_predecessor(self, record: Row) -> bool:
        return record["variant_path"] in self.listed and record["variant_path"] not in self.expected

    def _listed(self) -> dict[str, File]:
        return {
            f"{folder}/{text_of(name)}": file
            for folder in self._folders()
            for name, file in files_of(self.top / folder).items()
            if not name.startswith(b".tp-")
        }

    def _folders(self) -> set[str]:
        recorded = {row["variant_path"].split("/")[0] for row in self.manifest.values()}
        return {table.folder for table in self.settings.variants.values()} | recorded

    def _explained(self, path: str) -> tuple[str, str, str, str]:
        known = set(self.settings.specs)
        records = [row for row in self.manifest.values() if (row["variant_path"], row["state"]) == (path, "made")]
        if records:
            row = min(records, key=lambda row: (row["variant"] not in known, row["variant"], row["source_name"]))
            variant, source, evidence = row["variant"], row["source_name"], "record"
        else:
            variant, source = self._told_by_name(path)
            evidence = "name" if variant else "none"
        if not variant:
            return "unparsable_name", variant, source, evidence
        exists = "policy" if bytes_of(source) in self.sources else "source_gone"
        return exists if variant in known else "spec_retired", variant, source, evidence

    def _told_by_name(self, path: str) -> tuple[str, str]:
        folder, _, text = path.partition("/")
        name = bytes_of(text)
        for spec in self.settings.specs.values():
            if spec.folder != folder:
                continue
            plain = name.removesuffix(f"_{spec.tag}.{spec.extension}".encode())
            dated = re.sub(rb"_%s_(.+)\.%s$" % (spec.tag.encode(), spec.extension.encode()), rb"_\1.jpg", name)
            for source in (dated, plain):
                if source != name and source and variant_name(source, spec) == name and not _SHORTENED.search(source):
                    return spec.name, text_of(source)
        return "", ""

    def _unfinished(self) -> list[tuple[str, tuple[str, str, str, str, int]]]:
        found = []
        for folder in self._folders():
            for name, (n_bytes, _) in files_of(self.top / folder).items():
                if not name.startswith(b".tp-"):
                    continue
                writer = name.removeprefix(b".tp-").split(b"-")[0].decode("ascii", "replace")
                is_ours = re.fullmatch(rb"\.tp-[0-9a-f]{8}-[0-9a-f]+-[0-9a-f]+", name) is not None
                is_known = is_ours and (self.state / "leases" / f"{writer}.lease").is_file()
                if not (is_known and is_alive(self.state, writer)):
                    kind = "temporary" if is_known else "foreign_temporary"
                    found.append((f"{folder}/{text_of(name)}", (kind, "", "", "name", n_bytes)))
        return found


def _timelapses(root: Path, settings: Settings) -> list[str]:
    """On the disk, in the inventory, or among variants that lie elsewhere."""
    pattern = re.compile(r"camera-[A-Za-z0-9._-]+/timelapse-[A-Za-z0-9._-]+")
    tops = [root / "cameras", root / settings.storage.state / "datasets/inventory"]
    tops.append(root / settings.storage.variants / "cameras")
    found = {"/".join(path.parts[-2:]) for top in tops if top.is_dir() for path in top.glob("*/*") if path.is_dir()}
    return sorted(key for key in found if pattern.fullmatch(key) and ".." not in key and len(key) <= 200)


def files_of(folder: Path) -> dict[bytes, File]:
    """Size and mtime of every regular file directly in a folder; none where there is no folder."""
    if not folder.is_dir():
        return {}
    looked = {name: os.lstat(os.path.join(os.fsencode(folder), name)) for name in os.listdir(os.fsencode(folder))}
    return {name: (s.st_size, s.st_mtime_ns) for name, s in looked.items() if stat.S_ISREG(s.st_mode)}


def rows_of(state: Path, table: str, key: str, columns: tuple[str, ...]) -> dict[tuple[str, ...], Row]:
    """The rows of a slice by their key: of each key the last one written, unless it says that it is removed."""
    paths = {tuple(map(int, p.stem.split("-"))): p for p in (state / "datasets" / table / key).glob("*-*.parquet")}
    newest = [
        path
        for span, path in paths.items()
        if not any(o != span and o[0] <= span[0] and span[1] <= o[1] for o in paths)
    ]
    rows = sorted((row for p in newest for row in pl.read_parquet(p).to_dicts()), key=lambda row: row["_sequence"])
    last = {tuple(row[column] for column in columns): row for row in rows}
    return {identity: row for identity, row in last.items() if not row["_removed"]}


def is_source(name: bytes) -> bool:
    """Whether a name in frames/ is neither hidden nor one that is given to unfinished files."""
    return not name.startswith(b".") and not os.fsdecode(name).lower().endswith(_HALF_WRITTEN)


def is_alive(state: Path, lease: str) -> bool:
    """Whether somebody holds a lease."""
    try:
        with open(state / "leases" / f"{lease}.lease", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def recipe(record: Row) -> tuple[str, int]:
    return record["spec_fingerprint"], record["render_revision"]


def is_final(refusal: Row) -> bool:
    return refusal["decoder"] == decoder_version() and refusal["reason"] != "unreadable"


def vouched_for(record: Row) -> tuple[str, int, int]:
    return record["variant_path"], record["n_bytes"], record["mtime_ns"]


def variant_name(source: bytes, spec: VariantSpec) -> bytes:
    """What the variant of a source is called."""
    ending = f"_{spec.tag}.{spec.extension}".encode()
    dated = _DATED.fullmatch(source)
    if dated is not None:
        name = b"%s_%s_%s.%s" % (dated[1], spec.tag.encode(), dated[2], spec.extension.encode())
        if len(name) <= 255:
            return name
    if len(source) + len(ending) <= 255 and not _SHORTENED.search(source):
        return source + ending
    mark = b"~" + digest(source).encode() + ending
    head = source[: 255 - len(mark)]
    try:
        source.decode()
    except UnicodeDecodeError:
        return head + mark
    return head.decode(errors="ignore").encode() + mark


def text_of(name: bytes) -> str:
    """A name as tables have it: %XX for what is not UTF-8, for control characters and for %."""
    said = ""
    for letter in name.decode("utf-8", "surrogateescape"):
        code = ord(letter)
        odd = code < 32 or 127 <= code < 160 or code in (0x2028, 0x2029) or letter == "%" or 0xD800 <= code < 0xE000
        said += "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogateescape")) if odd else letter
    return said


def bytes_of(text: str) -> bytes:
    return re.sub(rb"%([0-9A-F]{2})", lambda m: bytes.fromhex(m[1].decode()), text.encode())
