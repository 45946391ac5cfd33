"""Whatever happens to a library, in whatever order: what is reported is what a naive look finds, and no source moves.

A few of them by default, the same each time; `THUMB_PIPELINE_SEQUENCES=1000` tries that many new ones, and looks
for the shortest that fails.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from thumb_pipeline.stages.library.open import open_library
from thumb_pipeline.stages.removal import journal
from thumb_pipeline_tests.stages import operations
from thumb_pipeline_tests.stages.agreement import assert_agreement
from thumb_pipeline_tests.stages.naive_checker import Checked, check, text_of
from thumb_pipeline_tests.stages.operations import (
    GENERATE,
    GENERATE_ACCEPTING,
    OPERATIONS,
    REMOVALS,
    RESTORE,
    Keeps,
    Operation,
)
from thumb_pipeline_tests.stages.world import FOREIGN_FOLDERS, FOREIGN_NAMES, KEYS, NAMES, SETTINGS, World

pytestmark = pytest.mark.daemon

keys, names, numbers = st.sampled_from(KEYS), st.sampled_from(NAMES), st.integers(0, 999)
sizes = st.tuples(st.integers(8, 64), st.integers(8, 64))

_LONGEST_PAUSE_S = 0.08  # under the settle interval of a world in which frames are being written


@dataclass
class Outcome:
    """What became of an operation."""

    is_refused: bool = False


class AnySequence(RuleBasedStateMachine):
    """What cameras, operators, disks and other programs do, with operations and crashes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)

    def teardown(self) -> None:
        self.compare_reports()
        shutil.rmtree(self.folder)

    # sources

    @initialize(chosen=st.sets(st.tuples(keys, names), min_size=2, max_size=6), change=st.sampled_from(SETTINGS))
    def start_with(self, chosen: set[tuple[str, bytes]], change: dict[str, Any]) -> None:
        self.world.settings(change)
        for number, (key, name) in enumerate(sorted(chosen)):
            self.world.capture(key, name, (40 + number, 30), number)
        self.operate(GENERATE)

    @rule(key=keys, name=names, size=sizes, color=numbers)
    def capture(self, key: str, name: bytes, size: tuple[int, int], color: int) -> None:
        self.world.finish_frames()
        self.world.capture(key, name, size, color)

    @rule(key=keys, name=names)
    def begin_frame(self, key: str, name: bytes) -> None:
        self.world.begin_frame(key, name)

    @rule(
        how=st.sampled_from(["replace", "replace with the same size", "touch", "break", "delete", "rename"]),
        which=numbers,
        name=names,
    )
    def edit_source(self, how: str, which: int, name: bytes) -> None:
        self.world.edit_source(how, which, name)

    @rule(key=keys, also_folder=st.booleans())
    def delete_all_sources(self, key: str, also_folder: bool) -> None:
        self.world.delete_all_sources(key, also_folder=also_folder)

    # variants, settings, disks

    @rule(
        how=st.sampled_from(["cut", "flip", "touch", "delete", "swap", "copy", "rename", "move", "foreign"]),
        which=numbers,
        other=numbers,
    )
    def edit_variant(self, how: str, which: int, other: int) -> None:
        self.world.edit_variant(how, which, other)

    @rule(which=numbers, place=numbers)
    def rot_variant(self, which: int, place: int) -> None:
        self.world.rot_variant(which, place)

    @rule(
        key=keys,
        folder=st.sampled_from(FOREIGN_FOLDERS),
        name=st.sampled_from(FOREIGN_NAMES),
        kind=st.sampled_from(["file", "temporary", "foreign temporary", "folder", "link"]),
    )
    def foreign_file(self, key: str, folder: str, name: bytes, kind: str) -> None:
        self.world.foreign_file(key, folder, name, kind)

    @rule(change=st.sampled_from(SETTINGS), on_top=st.booleans())
    def change_settings(self, change: dict[str, Any], on_top: bool) -> None:
        before = self.world.said
        self.world.settings(change, on_top=on_top)
        try:
            open_library(str(self.world.root))
        except operations.REFUSALS:  # two changes that do not go together
            self.world.settings(before)

    @rule(what=st.sampled_from([".", "datasets/manifest", "datasets/inventory", f"datasets/manifest/{KEYS[0]}"]))
    def lose(self, what: str) -> None:
        self.world.lose(what)

    @rule(what=st.sampled_from(["cameras", ".thumb_pipeline"]), back=st.booleans())
    def back_up_or_restore(self, what: str, back: bool) -> None:
        self.world.restore_backup(what) if back else self.world.back_up(what)

    @rule()
    def restore_with_other_mtimes(self) -> None:
        self.world.restore_with_other_mtimes()

    # operations

    @rule()
    def generate(self) -> None:
        self.operate(GENERATE_ACCEPTING)

    @rule(operation=st.sampled_from(OPERATIONS))
    def operate(self, operation: Operation) -> None:
        with self._only_what_it_may(operation) as outcome, self.world.writing():
            outcome.is_refused = not operations.carried_out(operation, self.world.root)
        if not outcome.is_refused:
            self._repeat_for_older_frames(operation)
            assert not operation.left_undone(self._checked())
        self.compare_reports()

    @rule(operation=st.sampled_from(OPERATIONS), at_change=st.integers(1, 60), is_repeated=st.booleans())
    def crash(self, operation: Operation, at_change: int, is_repeated: bool) -> None:
        with self._only_what_it_may(operation), self.world.writing():
            operations.killed(operation, self.world.root, at_change)
        self.compare_reports()
        if is_repeated:
            self.operate(operation)

    @rule(operation=st.sampled_from(REMOVALS), at_change=st.integers(1, 80))
    def undo(self, operation: Operation, at_change: int) -> None:
        """A removal, in most cases killed, and its restore: all is as before."""
        runs, files, valid = self._runs(), self.world.everything(), self._valid()
        self.crash(operation, at_change, is_repeated=False)
        if len(self._runs() - runs) == 1:  # else it was killed before it was written down, or found nothing
            self.operate(RESTORE)
        assert self.world.everything() == files
        assert self._valid() >= valid

    def _runs(self) -> set[str]:
        return set(journal.list_run_ids(open_library(str(self.world.root))))

    def _valid(self) -> set[tuple[str, str, str]]:
        return {who for who, word in self._checked().states.items() if word == "valid"}

    def _repeat_for_older_frames(self, operation: Operation) -> None:
        """Where only the newest is asked for, its refusal makes the one before it the newest, for the next run."""
        for _ in range(self.world.n_frames_behind_the_newest() if operation.keeps is Keeps.NOTHING else 0):
            if operation.left_undone(self._checked()):
                assert operations.carried_out(GENERATE_ACCEPTING, self.world.root)

    @rule()
    def compare_deep_reports(self) -> None:
        self.compare_reports(deep=True)

    def compare_reports(self, *, deep: bool = False) -> None:
        """What `verify` says is what the naive checker says."""
        for _ in range(5):
            with self.world.writing() as pauses:
                part = operations.verify(open_library(str(self.world.root)), deep=deep)
            if pauses[0] < _LONGEST_PAUSE_S:
                assert_agreement(part, check(self.world.root, self.world.being_written, deep=deep))
                return
        # The machine is too busy to write a frame steadily: what was seen of one proves nothing.

    def _checked(self) -> Checked:
        return check(self.world.root, self.world.being_written)

    @contextmanager
    def _only_what_it_may(self, operation: Operation) -> Iterator[Outcome]:
        """Holds what the block did against what an operation may do."""
        before, files, outcome = self._checked(), self.world.everything(), Outcome()
        yield outcome
        after, checked = self.world.everything(), self._checked()
        changed = {path for path in files.keys() | after.keys() if files.get(path) != after.get(path)}
        assert not (outcome.is_refused and changed)
        for path in changed:
            if not path.startswith(operation.also_writes):
                _assert_may_change(operation, path, before, checked, files, after)
        assert operations.lying(files, operation.keeps) == operations.lying(after, operation.keeps)
        unlike = {who: word for who, word in checked.states.items() if word not in ("valid", "pending")}
        spoiled = {who: word for who, word in unlike.items() if before.states.get(who) == "valid"}
        assert not [who for who in spoiled if operation.spares(who[0], who[2])], spoiled


def _assert_may_change(
    operation: Operation,
    path: str,
    before: Checked,
    checked: Checked,
    files: dict[str, tuple[str, int]],
    after: dict[str, tuple[str, int]],
) -> None:
    key, place = "/".join(path.split("/")[2:4]), text_of(os.fsencode("/".join(path.split("/")[4:])))
    assert operation.may_write, path
    if path in after:
        is_back = operation.may_bring_back and path not in files and (key, place) in checked.orphans
        assert is_back or is_unfinished(place) or is_expected(checked, key, place), path
    else:
        assert word_before(before, key, place) in operation.may_remove, path


def is_unfinished(place: str) -> bool:
    return place.partition("/")[2].startswith(".tp-")


def is_expected(checked: Checked, key: str, place: str) -> bool:
    return (key, place) in checked.expected


def word_before(checked: Checked, key: str, place: str) -> str:
    """What a file in a variant folder was, in a word for which an operation may have removed it."""
    if (key, place) in checked.predecessors:
        return "predecessor"
    orphan = checked.orphans.get((key, place))
    return orphan[0] if orphan else "expected" if is_expected(checked, key, place) else "none of ours"


_SEQUENCES = int(os.environ.get("THUMB_PIPELINE_SEQUENCES", "0"))

TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=_SEQUENCES or 8,
    stateful_step_count=25,
    derandomize=not _SEQUENCES,
    phases=[Phase.generate, Phase.shrink] if _SEQUENCES else [Phase.generate],  # shrinking takes minutes
    report_multiple_bugs=False,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
