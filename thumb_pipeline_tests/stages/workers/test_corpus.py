"""Real files of cameras, of other projects' tests and of attackers, through worker processes: one state for each.

A manifest says of each file what to expect, and how that is known. Colours and likeness are tested in
`imaging/test_corpus.py`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.geometry import variant_size
from thumb_pipeline.domain.variants import Fit, OutputFormat, VariantSpec
from thumb_pipeline.imaging.variants.inspect import Inspection, inspect
from thumb_pipeline.stages.workers.messages import Outcome, RenderAnswer, RenderTask, VariantAnswer
from thumb_pipeline_tests.imaging.corpus import CORPUS, ROWS, Row
from thumb_pipeline_tests.stages.workers.pools import SMALL, THUMBNAIL, children, pool_in, task_for

pytestmark = [pytest.mark.corpus, pytest.mark.daemon]

if not ROWS:
    pytest.skip(f"no corpus in {CORPUS}: name its folder in THUMB_PIPELINE_CORPUS", allow_module_level=True)

SQUARE = VariantSpec(
    name="square",
    tag="square",
    folder="squares",
    max_width_px=100,
    max_height_px=100,
    fit=Fit.COVER,
    format=OutputFormat.WEBP,
)
SPECS = (SMALL, THUMBNAIL, SQUARE)

DISAGREEMENTS: dict[str, str] = {}
"""Files that end otherwise than the manifest says, and why that is right."""

SIZE_DISAGREEMENTS: dict[str, str] = {}
"""Files that have another size than the manifest says, and why that is right."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of one file of the corpus."""

    row: Row
    task: RenderTask
    variants: list[VariantAnswer]
    size: tuple[int | None, int | None]

    @property
    def is_made(self) -> bool:
        return all(variant.outcome == Outcome.MADE for variant in self.variants)

    @property
    def is_refused(self) -> bool:
        return all(variant.outcome == Outcome.FAILED for variant in self.variants)


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> list[Ending]:
    """Every file of the corpus, rendered by two workers."""
    folder = tmp_path_factory.mktemp("corpus")
    before = children()
    tasks = {id(task): (task, row) for task, row in _tasks(folder)}
    found = []
    with pool_in(folder) as pool:
        for task, answer in pool.run([task for task, _ in tasks.values()]):
            _, row = tasks.pop(id(task))
            assert isinstance(task, RenderTask)
            found.append(_ending(row, task, answer))
    assert not tasks, "a file has no answer"
    assert children() == before, "a worker outlived its pool"
    return found


def _tasks(folder: Path) -> Iterator[tuple[RenderTask, Row]]:
    for number, row in enumerate(ROWS):
        yield task_for(CORPUS / row.file, folder / str(number), *SPECS), row


def _ending(row: Row, task: RenderTask, answer: object) -> Ending:
    if isinstance(answer, Failure):
        refused = VariantAnswer(outcome=Outcome.FAILED, reason=answer.reason, detail=answer.detail)
        return Ending(row, task, [refused] * len(SPECS), (None, None))
    assert isinstance(answer, RenderAnswer)
    return Ending(row, task, answer.variants, (answer.width_px, answer.height_px))


def test_every_file_ends_in_exactly_one_state(endings: list[Ending]) -> None:
    assert sorted(ending.row.file for ending in endings) == sorted(row.file for row in ROWS)
    assert [ending for ending in endings if ending.is_made is ending.is_refused] == []


def test_every_refusal_has_a_reason_of_the_list_and_the_decoders_words(endings: list[Ending]) -> None:
    refused = [ending for ending in endings if ending.is_refused]
    assert {variant.reason for ending in refused for variant in ending.variants} <= set(FailureReason)
    assert [ending.row.file for ending in refused if not all(variant.detail for variant in ending.variants)] == []


def test_nothing_crashes_or_hangs(endings: list[Ending]) -> None:
    ended = {FailureReason.CRASHED, FailureReason.TIMED_OUT, FailureReason.OUT_OF_MEMORY, FailureReason.UNREADABLE}
    assert [ending for ending in endings if any(variant.reason in ended for variant in ending.variants)] == []


def test_what_must_be_refused_gets_no_picture(endings: list[Ending]) -> None:
    wrong = [ending for ending in endings if ending.row.must_be_refused and not ending.is_refused]
    assert [ending.row.file for ending in wrong if ending.row.file not in DISAGREEMENTS] == []
    refused = [ending for ending in endings if ending.is_refused]
    assert [order.target for ending in refused for order in ending.task.variants if _exists(order.target)] == []


def test_what_is_sound_gets_all_its_pictures(endings: list[Ending]) -> None:
    wrong = [ending for ending in endings if ending.row.must_render and not ending.is_made]
    assert [ending for ending in wrong if ending.row.file not in DISAGREEMENTS] == []


def test_a_source_counts_with_the_size_the_manifest_says(endings: list[Ending]) -> None:
    made = [ending for ending in endings if ending.is_made and ending.row.upright_size is not None]
    wrong = [(ending.row.file, ending.size) for ending in made if ending.size != ending.row.upright_size]
    assert [found for found in wrong if found[0] not in SIZE_DISAGREEMENTS] == []


def test_every_picture_is_whole_and_has_its_size(endings: list[Ending]) -> None:
    for ending in endings:
        for order, variant in zip(ending.task.variants, ending.variants, strict=True):
            if variant.outcome != Outcome.MADE:
                continue
            assert ending.size[0] is not None
            assert ending.size[1] is not None
            wanted = variant_size((ending.size[0], ending.size[1]), order.spec)
            found = inspect(Path(order.target.decode()).read_bytes())
            assert isinstance(found, Inspection), ending.row.file
            assert (found.width_px, found.height_px) == wanted == (variant.width_px, variant.height_px), ending.row.file
            assert found.is_whole


TURNS = {
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.TRANSPOSE],
    6: [Image.Transpose.ROTATE_270],
    7: [Image.Transpose.TRANSVERSE],
    8: [Image.Transpose.ROTATE_90],
}
JPEGS = {"JPEG", "MPO"}


def test_every_jpeg_is_upright_as_its_manifest_says(endings: list[Ending]) -> None:
    """Against the whole picture, turned by the orientation of the manifest, and against all other turns of it."""
    wrong = []
    for ending in endings:
        if not ending.is_made or ending.row.format not in JPEGS or ending.row.orientation not in TURNS:
            continue
        with Image.open(CORPUS / ending.row.file) as stored, Image.open(ending.task.variants[1].target) as thumbnail:
            right = _distance(thumbnail, _turned(stored, ending.row.orientation))
            others = [_distance(thumbnail, _turned(stored, n)) for n in range(1, 9) if n != ending.row.orientation]
        if right > min(others):
            wrong.append((ending.row.file, right, others))
    assert wrong == []


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    for turn in TURNS.get(orientation, []):
        picture = picture.transpose(turn)
    return picture


def _distance(thumbnail: Image.Image, upright: Image.Image) -> float:
    if (thumbnail.width > thumbnail.height) != (upright.width > upright.height):
        return 255.0
    same_size = upright.convert("L").resize(thumbnail.size, Image.Resampling.LANCZOS)
    return ImageStat.Stat(ImageChops.difference(thumbnail.convert("L"), same_size)).mean[0]


def test_nothing_but_pictures_is_left(endings: list[Ending]) -> None:
    targets = {Path(order.target.decode()) for ending in endings for order in ending.task.variants}
    root = Path(endings[0].task.variants[0].target.decode()).parents[2]
    present = {path for path in root.rglob("*") if path.is_file()}
    assert present <= targets


MOST_PIXELS_OF_A_PHOTO = 24_000_000
MOST_MEMORY_KB = 250 * 1000


def test_photos_of_cameras_stay_below_the_memory_of_a_worker(tmp_path: Path) -> None:
    photos = [row for row in ROWS if row.file.startswith("photos/") and row.size is not None]
    photos = [row for row in photos if row.size and row.size[0] * row.size[1] <= MOST_PIXELS_OF_A_PHOTO]
    with pool_in(tmp_path, n_workers=1) as pool:
        tasks = [task_for(CORPUS / row.file, tmp_path / str(number)) for number, row in enumerate(photos)]
        assert all(isinstance(answer, RenderAnswer) for _, answer in pool.run(tasks))
        (worker,) = pool._idle
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
    assert photos
    assert int(status.split("VmHWM:")[1].split()[0]) < MOST_MEMORY_KB


MOST_FUZZED_N_BYTES = 800_000
FUZZED = [row for row in ROWS if row.must_render and not row.is_of_pillow and row.size]


def test_parts_of_documents_raw_files_and_videos_are_answered(tmp_path: Path) -> None:
    """Prefixes, and bytes flipped anywhere; seeded, so that a failure comes again."""
    chance = random.Random(3)  # not a secret
    sources = []
    for number, row in enumerate(FUZZED):
        data = (CORPUS / row.file).read_bytes()
        if len(data) > MOST_FUZZED_N_BYTES:
            continue
        parts = [data[: max(1, len(data) * part // 5)] for part in range(1, 5)]
        for _ in range(2):
            flipped = bytearray(data)
            for _ in range(8):
                flipped[chance.randrange(min(len(data), 4096))] ^= 1 << chance.randrange(8)
            parts.append(bytes(flipped))
        for part, content in enumerate(parts):
            source = tmp_path / f"{number}-{part}"
            source.write_bytes(content)
            sources.append(source)
    with pool_in(tmp_path, deadline_s=20) as pool:
        answers = list(pool.run(task_for(source, tmp_path / "variants") for source in sources))
    assert len(answers) == len(sources) > 100
    assert all(isinstance(answer, (RenderAnswer, Failure)) for _, answer in answers)


def _exists(path: bytes) -> bool:
    return Path(path.decode()).exists()
