"""What workers answer is read as data from a stranger: right in every value, or no answer at all."""

import io
import json
import os
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from thumb_pipeline.domain.failures import Failure, FailureReason
from thumb_pipeline.domain.plans import Examined, Expectation
from thumb_pipeline.domain.provenance import Provenance
from thumb_pipeline.stages.workers import pool as worker_pool
from thumb_pipeline.stages.workers.answers import NoAnswer, read_answer
from thumb_pipeline.stages.workers.messages import (
    LENGTH,
    Answer,
    Broken,
    Damage,
    DigestAnswer,
    DigestTask,
    Evidence,
    EvidenceAnswer,
    EvidenceTask,
    Examination,
    ExamineAnswer,
    ExamineTask,
    KnownSource,
    ProofAnswer,
    ProveTask,
    ReadTask,
    RecordedFile,
    RenderAnswer,
    RenderTask,
    SheetAnswer,
    SheetTask,
    Task,
    VariantAnswer,
    VariantOrder,
)
from thumb_pipeline.stages.workers.pool import WorkerPool
from thumb_pipeline.stages.workers.process import _send
from thumb_pipeline_tests.domain.notes import FIELDS
from thumb_pipeline_tests.mutations import EDITS, Edit, mutated
from thumb_pipeline_tests.stages.workers.pools import SMALL, THUMBNAIL, pool_in, task_for

pytestmark = pytest.mark.quick

EXPECTED = Expectation(source_n_bytes=1, source_mtime_ns=1, source_name_digest="0" * 32, spec=SMALL)
RECORDED = RecordedFile(n_bytes=1, mtime_ns=1, checksum=None, width_px=None, height_px=None, is_trusted=False)
SOURCE = KnownSource(path=b"/s", n_bytes=1, mtime_ns=1, digest=None)
ORDERS = tuple(VariantOrder(spec=spec, target=b"/t") for spec in (SMALL, THUMBNAIL))
RENDER = RenderTask(path=b"/s", name=b"s", n_bytes=1, mtime_ns=1, variants=ORDERS)
SHEET = SheetTask(files=(b"/a", b"/b"), columns=6, cell=(128, 96), quality=60)
WHERE = {"n_bytes": 700, "mtime_ns": 1_700_000_000_000_000_000, "checksum": "ab" * 16}
MADE = VariantAnswer(outcome="made", width_px=80, height_px=60, frame_at="3 s", ms=1.5, **WHERE)  # type: ignore[arg-type]
REFUSED = VariantAnswer(outcome="failed", reason="truncated", detail="OSError: image file is truncated")
NOTE = Provenance(**FIELDS)
SEEN = Examined(opens=True, is_whole=True, width_px=80, height_px=60, provenance=NOTE)

ANSWERS: dict[str, tuple[Task, Answer]] = {
    "rendered": (
        RENDER,
        RenderAnswer(
            variants=[MADE, REFUSED],
            digest="cd" * 16,
            format="camera RAW (CR2)",
            width_px=4000,
            height_px=3000,
            exif_captured_at="2025-04-22T14:30:22+02:00",
            thumb_hash="3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
        ),
    ),
    "examined": (
        ExamineTask(files=((b"/a", EXPECTED), (b"/b", EXPECTED))),
        ExamineAnswer(
            files=[
                Examination(reason=None, width_px=80, height_px=60, source_digest="cd" * 16, **WHERE),  # type: ignore[arg-type]
                Examination(reason="stale_source", known_digest="ef" * 16, width_px=0, height_px=0, checksum="0" * 32),
            ]
        ),
    ),
    "on a sheet": (SHEET, SheetAnswer(n_pictures=2, base64="AAAA/+8=")),
    "proved": (
        ProveTask(files=((b"/a", EXPECTED, RECORDED), (b"/b", EXPECTED, RECORDED), (b"/c", EXPECTED, RECORDED))),
        ProofAnswer(wrong=[Damage(index=1, state="corrupt", detail="it does not open")], moved=[2], n_bytes=9),
    ),
    "read": (
        ReadTask(files=(SOURCE, SOURCE)),
        ProofAnswer(wrong=[Damage(index=0, state="bit_rot", detail="other bytes")], moved=[], n_bytes=2),
    ),
    "asked": (
        EvidenceTask(files=(b"/a", b"/b")),
        EvidenceAnswer(
            files=[Evidence(seen=SEEN, format="jpeg", **WHERE), Evidence(seen=Examined(opens=False))]  # type: ignore[arg-type]
        ),
    ),
    "digested": (DigestTask(path=b"/s", n_bytes=1, mtime_ns=1), DigestAnswer(digest="ab" * 16)),
    "in the way": (RENDER, Broken(message="cannot write /t: No space left on device", is_of_folder=True)),
}
"""A task of each kind, and an answer to it that a worker gives."""

HOSTILE: list[Any] = [
    *(None, True, -1, 0, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, float("nan"), float("inf"), -float("inf")),
    *("", "\ud800", "banana", "\x1b[2J", "../../x", "0" * 31, "\u0661" * 32, "x" * 100_000, "2025-13-45T99:99:99Z"),
    *([], {}, [[]], [None] * 3, {"opens": True}, {"a": {"b": "\ud800"}}),
]


def written(answer: Answer, number: int = 7) -> bytes:
    """What a worker writes, without its length."""
    stream = io.BytesIO()
    _send(stream, number, answer)
    data = stream.getvalue()
    assert LENGTH.unpack(data[: LENGTH.size]) == (len(data) - LENGTH.size,)
    return data[LENGTH.size :]


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a JSON document stand, inner ones included."""
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for name, value in inner:
        yield from places(value, (*path, name))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


def assert_fits(value: Any) -> None:
    """Fails where a part of an answer fits no column or no page."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            assert_fits(part)
    elif isinstance(value, str):
        assert value.encode().decode() == value
        assert not {unicodedata.category(letter) for letter in value} & {"Cc", "Cs", "Zl", "Zp"}
        assert len(value) <= 1_000_000
    elif isinstance(value, float):
        assert 0 <= value <= 1e12
    else:
        assert value is None or -(2**63) <= value < 2**63


def assert_read_or_refused(data: bytes, task: Task, number: int = 7) -> None:
    try:
        found = read_answer(data, task, number)
    except NoAnswer:
        return
    assert_fits(found)
    if isinstance(found, RenderAnswer) and isinstance(task, RenderTask):
        assert len(found.variants) == len(task.variants)
    if isinstance(found, ProofAnswer) and isinstance(task, ProveTask | ReadTask):
        assert {*found.moved, *(one.index for one in found.wrong)} <= set(range(len(task.files)))


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_comes_back_as_it_went_in(kind: str) -> None:
    task, answer = ANSWERS[kind]
    assert read_answer(written(answer), task, 7) == answer


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_to_another_task_is_none(kind: str) -> None:
    task, answer = ANSWERS[kind]
    with pytest.raises(NoAnswer):
        read_answer(written(answer, number=6), task, 7)
    for other, (other_task, _) in ANSWERS.items():
        if type(other_task) is not type(task) and not isinstance(answer, Broken):
            if {kind, other} == {"proved", "read"}:
                continue  # told by their words, below
            with pytest.raises(NoAnswer):
                read_answer(written(answer), other_task, 7)


@pytest.mark.parametrize("kind", ANSWERS)
def test_any_value_in_any_place_is_refused_or_fits(kind: str) -> None:
    task, answer = ANSWERS[kind]
    document = json.loads(written(answer))
    for path in places(document):
        for value in HOSTILE:
            assert_read_or_refused(json.dumps(replaced(document, path, value)).encode(), task)


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_field_too_many_or_too_few_is_refused(kind: str) -> None:
    task, answer = ANSWERS[kind]
    document = json.loads(written(answer))
    found = [path for path in places(document) if isinstance(value_at(document, path), dict)]
    assert found
    for path in found:
        fields = value_at(document, path)
        for name in fields:
            without = {key: value for key, value in fields.items() if key != name}
            with pytest.raises(NoAnswer):
                read_answer(json.dumps(replaced(document, path, without)).encode(), task, 7)
        with pytest.raises(NoAnswer):
            read_answer(json.dumps(replaced(document, path, {**fields, "more": 1})).encode(), task, 7)


def value_at(document: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        document = document[name]
    return document


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("rendered", ("variants",), []),
        ("rendered", ("variants", 0, "checksum"), None),
        ("rendered", ("variants", 0, "width_px"), 2**31),
        ("rendered", ("variants", 0, "outcome"), "banana"),
        ("rendered", ("variants", 0, "reason"), "damaged"),
        ("rendered", ("variants", 1, "reason"), None),
        ("rendered", ("variants", 0, "ms"), float("nan")),
        ("rendered", ("exif_captured_at",), "yesterday"),
        ("rendered", ("format",), "\ud800"),
        ("examined", ("files", 0, "checksum"), None),
        ("examined", ("files", 0, "width_px"), 0),
        ("examined", ("files", 0, "reason"), "valid"),
        ("proved", ("wrong", 0, "index"), 3),
        ("proved", ("moved",), [1]),
        ("proved", ("moved",), [-1]),
        ("proved", ("moved",), [0, 0]),
        ("proved", ("wrong", 0, "state"), "bit_rot"),
        ("read", ("wrong", 0, "state"), "corrupt"),
        ("asked", ("files", 0, "seen", "provenance", "source_n_bytes"), 10**30),
        ("asked", ("files", 0, "seen", "provenance", "frame_at"), "\ud800"),
        ("on a sheet", ("base64",), ")\n# a page of mine"),
        ("on a sheet", ("n_pictures",), 3),
    ],
)
def test_what_cannot_be_is_no_answer(kind: str, path: tuple[Any, ...], value: Any) -> None:
    task, answer = ANSWERS[kind]
    changed = replaced(json.loads(written(answer)), (2, *path), value)
    with pytest.raises(NoAnswer):
        read_answer(json.dumps(changed).encode(), task, 7)


def test_words_of_decoders_are_made_fit_for_tables_and_terminals() -> None:
    said = VariantAnswer(outcome="failed", reason="damaged", detail="a\ud800b\n\x1b[2J\0" + "c" * 5_000)
    found = read_answer(written(RenderAnswer(variants=[said, MADE])), RENDER, 7)
    assert isinstance(found, RenderAnswer)
    assert found.variants[0].detail is not None
    assert found.variants[0].detail.startswith("a\ufffdb\ufffd[2J\ufffdccc")
    assert len(found.variants[0].detail) <= 1_000


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[", b"[" * 4_000_000, b'{"a":' * 100_000, b"null", b"7", b'[7,"list"]', b"\xff\xfe", b"9" * 10_000),
        *(b'[7,["list"],[]]', b'[7,{"list":1},[]]', b"[7,null,null]", b'[true,"DigestAnswer",{"digest":null}]'),
    ],
)
def test_what_is_no_answer_to_anything_is_refused(data: bytes) -> None:
    for task, _ in ANSWERS.values():
        with pytest.raises(NoAnswer):
            read_answer(data, task, 1 if data.startswith(b"[true") else 7)


WRITTEN = {kind: written(answer) for kind, (_, answer) in ANSWERS.items()}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(ANSWERS)), EDITS, st.sampled_from(list(ANSWERS)))
def test_a_spoiled_answer_is_refused_or_fits(kind: str, edits: list[Edit], other: str) -> None:
    assert_read_or_refused(mutated(WRITTEN[kind], edits, WRITTEN[other]), ANSWERS[kind][0])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(ANSWERS)), st.data())
def test_any_json_in_any_place_is_refused_or_fits(kind: str, data: st.DataObject) -> None:
    document = json.loads(WRITTEN[kind])
    path = data.draw(st.sampled_from(list(places(document))))
    value = data.draw(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()))
    )
    assert_read_or_refused(json.dumps(replaced(document, path, value)).encode(), ANSWERS[kind][0])


STAND_IN = """
import json, os, pickle, signal, struct, sys, time
answers, tasks = os.fdopen(os.dup(1), "wb", 0), sys.stdin.buffer
def received():
    return pickle.loads(tasks.read(struct.unpack("<Q", tasks.read(8))[0]))
def say(number, kind, fields):
    data = json.dumps([number, kind, fields]).encode()
    answers.write(struct.pack("<Q", len(data)) + data)
received()
number, task = received()
refused = dict(outcome="failed", reason="damaged", detail="stand-in", width_px=None, height_px=None, n_bytes=None,
               mtime_ns=None, checksum=None, frame_at=None, ms=0.0)
right = dict(variants=[refused] * 2, digest=None, format=None, width_px=None, height_px=None, exif_captured_at=None,
             thumb_hash=None)
"""
SAYING = {
    "a length beyond all memory": "answers.write(struct.pack('<Q', 2**63)); time.sleep(60)",
    "a length beyond all answers": "answers.write(struct.pack('<Q', 2**30)); time.sleep(60)",
    "half an answer, and stays": "answers.write(struct.pack('<Q', 100) + b'[1,'); time.sleep(60)",
    "half a length, and stays": "answers.write(b'abc'); time.sleep(60)",
    "half an answer, and goes": "answers.write(struct.pack('<Q', 100) + b'[1,')",
    "garbage without end": "while True: answers.write(b'garbage ' * 1000)",
    "an answer to the task before": "say(number - 1, 'RenderAnswer', right); time.sleep(60)",
    "too few answers": "say(number, 'RenderAnswer', {**right, 'variants': []}); time.sleep(60)",
    "numbers beyond all tables": "say(number, 'RenderAnswer', {**right, 'width_px': 10**30}); time.sleep(60)",
    "a lone surrogate": "say(number, 'RenderAnswer', {**right, 'format': '\\ud800'}); time.sleep(60)",
    "nothing, and closes its pipe": "answers.close(); os.close(1); time.sleep(60)",
    "nothing, and is ended by a signal without a name": "os.kill(os.getpid(), 40)",
    "much about it": "sys.stderr.write('\\x1b[2J' * 1_000_000); sys.exit(3)",
}
"""What a worker that lost its senses may do, as programs that follow `STAND_IN`."""


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    path = tmp_path / "frame.jpg"
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(path)
    return path


def talking_to(pool: WorkerPool, program: str) -> Any:
    """A worker of the pool behind whose pipes another program is; gives back how real ones are started."""
    real = pool._start

    def started() -> Any:
        worker = real()
        worker.process.kill()
        worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            assert pipe is not None
            pipe.close()
        worker.process = subprocess.Popen(
            [sys.executable, "-c", STAND_IN + program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=worker.complaints,
        )
        worker.number = 0
        worker_pool._send(worker, pool._orders)
        return worker

    pool._start = started  # type: ignore[method-assign]
    return real


@pytest.mark.daemon
@pytest.mark.parametrize("saying", SAYING)
def test_a_worker_that_says_so_costs_its_row_only(
    tmp_path: Path, frame: Path, saying: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_REST_WITHIN_S", 0.5)
    task = task_for(frame, tmp_path)
    with pool_in(tmp_path, n_workers=1) as pool:
        real = talking_to(pool, SAYING[saying])
        began_s = time.monotonic()
        ((_, refused),) = list(pool.run([task]))
        assert time.monotonic() - began_s < 30
        assert isinstance(refused, Failure)
        assert refused.reason is FailureReason.CRASHED
        assert_fits(refused.detail)
        pool._start = real
        ((_, made),) = list(pool.run([task]))
        assert isinstance(made, RenderAnswer)
        assert [variant.outcome for variant in made.variants] == ["made", "made"]


@pytest.mark.daemon
def test_a_worker_that_answers_twice_is_not_asked_again(tmp_path: Path, frame: Path) -> None:
    with pool_in(tmp_path, n_workers=1) as pool:
        real = talking_to(
            pool, "say(number, 'RenderAnswer', right); say(number + 1, 'RenderAnswer', right); received()"
        )
        ((_, answered),) = list(pool.run([task_for(frame, tmp_path)]))
        assert isinstance(answered, RenderAnswer)
        assert {variant.detail for variant in answered.variants} == {"stand-in"}
        until_s = time.monotonic() + 10
        while not worker_pool._wait_for_output(pool._idle[0], within_s=0.0):
            assert time.monotonic() < until_s
        pool._start = real
        ((_, made),) = list(pool.run([task_for(frame, tmp_path)]))
        assert isinstance(made, RenderAnswer)
        assert [variant.outcome for variant in made.variants] == ["made", "made"]


@pytest.mark.daemon
def test_a_pipe_in_the_place_of_a_picture_on_a_sheet_is_not_waited_for(tmp_path: Path, frame: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    files = (os.fsencode(tmp_path / "pipe.jpg"), os.fsencode(frame), os.fsencode(tmp_path))
    with pool_in(tmp_path, n_workers=1, deadline_s=20.0) as pool:
        ((_, sheet),) = list(pool.run([SheetTask(files=files, columns=2, cell=(8, 8), quality=60)]))
    assert isinstance(sheet, SheetAnswer)
    assert sheet.n_pictures == 1
