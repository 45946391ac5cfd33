"""Any series of edits, then one run: the counts add up, the files are right, the sources untouched."""

import io
import os
import random
from pathlib import Path

import pytest
from PIL import Image

from thumb_pipeline_tests.stages.archives import KEY, SETTLE_S, Archive, Done, states, touch

pytestmark = pytest.mark.daemon

BOXES = {"thumbnail": (16, 12), "small": (32, 24)}
NAMES = [b"a.jpg", b"a.JPG", b"\xff.jpg", b"50%.jpg", b"timelapse-1_day001_120000.jpg", b"n" * 240 + b".jpg", b"z.txt"]


class Editor:
    """Does to an archive what cameras, operators and disks do to it."""

    def __init__(self, archive: Archive, seed: int) -> None:
        self.archive = archive
        self.chance = random.Random(seed)
        self.edits = (
            *(self.add,) * 4,
            self.replace,
            self.touch_source,
            self.delete_source,
            self.break_source,
            self.touch_variant,
            self.break_variant,
            self.delete_variant,
            self.swap_variants,
            self.write_foreign_variant,
            self.leave_unfinished_file,
            self.change_quality,
            self.change_format,
            self.lose_records,
        )

    def edit(self) -> None:
        self.chance.choice(self.edits)()

    def sources(self) -> list[Path]:
        return sorted(self.archive.frames().iterdir(), key=os.fsencode)

    def variants(self) -> list[Path]:
        top = self.archive.frames().parent
        return sorted(
            (p for folder in ("thumbnails", "smalls") for p in (top / folder).glob("*") if not p.name.startswith(".")),
            key=os.fsencode,
        )

    def add(self) -> None:
        size = (self.chance.randint(8, 90), self.chance.randint(8, 90))
        self.archive.frame(self.chance.choice(NAMES), size=size, color=self.chance.randrange(256))

    def replace(self) -> None:
        for path in self._some(self.sources()):
            self.archive.frame(os.fsencode(path.name), size=(50, self.chance.randint(8, 90)))

    def touch_source(self) -> None:
        for path in self._some(self.sources()):
            touch(path)

    def delete_source(self) -> None:
        sources = self.sources()
        if len(sources) > 1:  # an emptied archive is another story
            self.chance.choice(sources).unlink()

    def break_source(self) -> None:
        for path in self._some(self.sources()):
            path.write_bytes(path.read_bytes()[: self.chance.randrange(300)])

    def touch_variant(self) -> None:
        for path in self._some(self.variants()):
            touch(path)

    def break_variant(self) -> None:
        for path in self._some(self.variants()):
            data = path.read_bytes()
            path.write_bytes(data[: self.chance.randrange(len(data) + 1)] + self.chance.randbytes(3))

    def delete_variant(self) -> None:
        for path in self._some(self.variants()):
            path.unlink()

    def swap_variants(self) -> None:
        found = self.variants()
        if len(found) > 1:
            one, other = self.chance.sample(found, 2)
            data = one.read_bytes()
            one.write_bytes(other.read_bytes())
            other.write_bytes(data)

    def write_foreign_variant(self) -> None:
        for path in self._some(self.variants()):
            buffer = io.BytesIO()
            Image.new("RGB", (10, 10)).save(buffer, "JPEG")
            path.write_bytes(buffer.getvalue())

    def leave_unfinished_file(self) -> None:
        for path in self._some(self.variants()):
            self.archive.killed_lease("0badf00d")
            path.with_name(f".tp-0badf00d-1-{self.chance.randrange(1000)}").write_bytes(b"half")

    def change_quality(self) -> None:
        self.archive.settings(small=f"quality = {self.chance.choice([40, 60, 80])}")

    def change_format(self) -> None:
        self.archive.settings(thumbnail=f'format = "{self.chance.choice(["jpeg", "png", "webp"])}"')

    def lose_records(self) -> None:
        state = self.archive.root / ".thumb_pipeline" / "datasets"
        if state.exists() and self.chance.random() < 0.5:
            state.rename(state.with_name(f"lost-{self.chance.random()}"))

    def _some(self, paths: list[Path]) -> list[Path]:
        return [self.chance.choice(paths)] if paths else []


def is_picture(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError):
        return False
    return True


def check(archive: Archive, done: Done) -> None:
    """An independent look at the files: who must have which variant, and does it."""
    sources = list(archive.frames().iterdir())
    good = [path for path in sources if is_picture(path)]
    assert done.plan.n_sources == len(sources)
    assert done.pending == 0
    assert done.failed == len(sources) - len(good)
    assert 2 * len(sources) == done.rendered + done.adopted + done.unchanged + 2 * done.failed
    for path in good:
        with Image.open(path) as source:
            source_size, color = source.size, source.convert("RGB").getpixel((0, 0))
        for variant, box in BOXES.items():
            made = archive.variant(os.fsencode(path.name), variant)
            with Image.open(made) as picture:
                ratio = min(box[0] / source_size[0], box[1] / source_size[1], 1.0)
                expected = [max(1, round(side * ratio)) for side in source_size]
                assert all(abs(a - b) <= 1 for a, b in zip(picture.size, expected, strict=True)), path
                found = picture.convert("RGB").getpixel((0, 0))
            assert all(abs(a - b) < 12 for a, b in zip(found, color, strict=True)), path


@pytest.mark.parametrize("seed", range(8))
def test_after_any_edits_one_run_makes_everything_right_and_its_counts_add_up(archive: Archive, seed: int) -> None:
    archive.settings(settle_s=str(SETTLE_S / 5))
    editor = Editor(archive, seed)
    editor.add()
    for _ in range(5):
        for _ in range(editor.chance.randrange(1, 6)):
            editor.edit()
        before = states(archive.frames())
        done = archive.run(accept_shrink=True)  # the few there were may all be gone
        assert states(archive.frames()) == before
        check(archive, done)
        assert not list(archive.root.rglob(".tp-*"))
    again = archive.run()
    assert (again.rendered, again.adopted) == (0, 0)
    assert again.plan.rows.is_empty()
    check(archive, again)


def test_the_plan_alone_says_what_the_run_will_do(archive: Archive) -> None:
    editor = Editor(archive, 99)
    for _ in range(12):
        editor.edit()
    archive.run()
    for _ in range(6):
        editor.edit()
    before = states(archive.root / "cameras")
    planned = archive.plan()
    assert states(archive.root / "cameras") == before
    done = archive.run()
    assert planned.rows.sort("source_name", "variant").equals(done.plan.rows.sort("source_name", "variant"))
    assert KEY in done.result.by_timelapse or planned.rows.is_empty()
