"""Kills processes of a running `up` with SIGKILL at random moments of a stream of frames, and checks what comes of it.

    .venv/bin/python -m thumb_pipeline_tests.cli.killing --kills 100 --seed 1 [--apart] [--postgres]

Like an operator's service manager it starts `up` again when that has ended. Nothing else is done by hand.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from thumb_pipeline.stages.library.run_database import POSTGRES_VARIABLE
from thumb_pipeline_tests.cli.conftest import COMMAND, Archive, clean_environment, dagster_instance, first_port
from thumb_pipeline_tests.cli.frame_stream import FrameStream
from thumb_pipeline_tests.postgres import Postgres

VICTIMS = ("run", "worker", "daemon", "daemon's code server", "web UI", "web UI's code server")
UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
_PAGE = "thumb_pipeline.cli.dagster.page"
_START_S = 300.0
_VICTIM_S = 60.0
_REPEATED_BY_KILL = 2
"""A kill costs what was in flight: what was published and not recorded is adopted."""


@dataclass(slots=True, kw_only=True)
class Kill:
    """One kill: whom, when (monotonic), and how long the frames of that moment took afterwards."""

    victim: str
    at_s: float
    took_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a stream with kills came to; `faults` is empty when everything is as it should be."""

    kills: list[Kill] = field(default_factory=list)
    n_frames: int = 0
    n_versions: int = 0
    n_repeated: int = 0
    n_ups: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    calm_after_s: float = 0.0
    faults: list[str] = field(default_factory=list)


class Operated:
    """`up`, started again whenever it has ended. A context; it ends it."""

    def __init__(self, archive: Archive, port: int = 3500) -> None:
        self.n_starts = 0
        self._archive = archive
        self._log = archive.root.parent / "up.txt"
        self._command = [COMMAND, "up", "--library", str(archive.root), "--port", str(first_port(port))]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.tend()
        return self

    def __exit__(self, *raised: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()

    def tend(self) -> None:
        """Starts it if it does not run."""
        if self._process is None or self._process.poll() is not None:
            self.n_starts += 1
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, stdout=log, stderr=log, env=clean_environment(), start_new_session=True
                )


def processes(archive: Archive) -> dict[str, list[int]]:
    """The processes that serve a library, by what they are, whoever their parent is by now."""
    marker = f"THUMB_PIPELINE_LIBRARY={archive.root}".encode()
    found: dict[int, str] = {}
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc")))):
        with suppress(OSError):
            if marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    kinds: dict[str, list[int]] = {victim: [] for victim in VICTIMS}
    for pid, command in found.items():
        if (kind := _kind(pid, command, found)) is not None:
            kinds[kind].append(pid)
    return kinds


def _kind(pid: int, command: str, found: dict[int, str]) -> str | None:
    if "dagster api grpc" in command:
        return "web UI's code server" if _PAGE in found.get(_parent(pid), "") else "daemon's code server"
    signs = {
        "thumb_pipeline.cli.dagster.daemon": "daemon",
        _PAGE: "web UI",
        "spawn_main": "run",
        "thumb_pipeline.stages.workers.process": "worker",
    }
    return next((kind for sign, kind in signs.items() if sign in command), None)


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


class Turns:
    """Whose turn it is: each kind once, in random order, then again. Nobody is spared for being hard to meet."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._left: list[str] = []

    def next(self) -> str:
        """The kind that is to be killed now; it stays its turn until that was done."""
        if not self._left:
            self._left = self._chance.sample(VICTIMS, len(VICTIMS))
        return self._left[0]

    def done(self, victim: str) -> None:
        """One of this kind was killed, perhaps out of turn."""
        if victim in self._left:
            self._left.remove(victim)


def kill_one(
    archive: Archive, chance: random.Random, turns: Turns, operated: Operated, *, patience_s: float
) -> Kill | None:
    """Kills one of the kind whose turn it is, once one is there; else whoever is."""
    wanted, deadline_s = turns.next(), time.monotonic() + patience_s
    while not (alive := processes(archive))[wanted] and time.monotonic() < deadline_s:
        _tended_for(0.2, operated)
    present = sorted(kind for kind, pids in alive.items() if pids)
    if not present:
        return None
    victim = wanted if wanted in present else chance.choice(present)
    time.sleep(chance.uniform(0.0, 2.0) if patience_s else 0.0)
    with suppress(ProcessLookupError):
        os.kill(chance.choice(alive[victim]), signal.SIGKILL)
        turns.done(victim)
        return Kill(victim=victim, at_s=time.monotonic())
    return None


def run_with_kills(
    archive: Archive, n_kills: int, seed: int, *, gap_s: tuple[float, float], patience_s: float, is_apart: bool = False
) -> Outcome:
    """A stream of frames with so many kills in it, then quiet, then everything checked.

    With `is_apart` a kill waits until the frames of the one before are done: that tells what one kill costs.
    """
    outcome, chance = Outcome(), random.Random(seed)
    turns = Turns(chance)
    with Operated(archive) as operated, FrameStream(archive, random.Random(seed + 1)) as stream:
        _await(lambda: not stream.waiting() and bool(stream.frames), operated, _START_S, "the first frames", outcome)
        while len(outcome.kills) < n_kills:
            for number in range(1 if is_apart else chance.choice((1, 1, 1, 1, 1, 3))):
                kill = kill_one(archive, chance, turns, operated, patience_s=0.0 if number else _VICTIM_S)
                if kill is not None and len(outcome.kills) < n_kills:
                    outcome.kills.append(kill)
                    print(f"kill {len(outcome.kills)}: {kill.victim}, {len(stream.waiting())} wait", file=sys.stderr)
                time.sleep(chance.uniform(0.0, 0.3))
            if is_apart:
                before_s = time.monotonic()
                _await(lambda: stream.is_done_until(before_s), operated, patience_s, "frames after a kill", outcome)  # noqa: B023 -- called in this turn
            stream.is_paused = chance.random() < 0.2
            _tended_for(chance.uniform(*gap_s), operated)
        stream.end()
        ended_s = time.monotonic()
        _await(lambda: not stream.waiting(), operated, patience_s, "all frames", outcome)
        _keep_no_run_warm(archive)
        _await(lambda: not unrest(archive), operated, patience_s, "calm", outcome)
        outcome.calm_after_s = time.monotonic() - ended_s
        outcome.faults += [f"not within {patience_s:.0f} s: {frame.path}" for frame in stream.waiting()]
        outcome.faults += unrest(archive)
        outcome.n_ups = operated.n_starts
    outcome.faults += stream.wrong() + verified(archive)
    outcome.faults += [f"left running: {kind} {pids}" for kind, pids in processes(archive).items() if pids]
    account(outcome, stream)
    outcome.runs = Counter(statuses(archive))
    return outcome


def _keep_no_run_warm(archive: Archive) -> None:
    """Until now one was always there to be killed; at rest there is none."""
    settings = archive.root / "thumbs.toml"
    settings.write_text(settings.read_text().replace("keep_warm = true", "keep_warm = false"))


def account(outcome: Outcome, stream: FrameStream) -> None:
    """How long each kill delayed the frames of its moment, and how much was rendered more than once."""
    for kill in outcome.kills:
        there = [f for f in stream.versions if f.closed_s <= kill.at_s + 1.0 and (f.done_s or 0.0) > kill.at_s]
        kill.took_s = max((f.done_s - kill.at_s for f in there if f.done_s is not None), default=0.0)
    outcome.n_frames, outcome.n_versions = len(stream.frames), len(stream.versions)
    outcome.n_repeated = stream.n_repeated()
    if outcome.n_repeated > _REPEATED_BY_KILL * len(outcome.kills):
        outcome.faults.append(f"{outcome.n_repeated} variants were published again, by {len(outcome.kills)} kills")


def unrest(archive: Archive) -> list[str]:
    """What is not at rest yet: runs that wait or work, unfinished files, leases, lists of changes."""
    lists = (archive.root / ".thumb_pipeline" / "watch").glob("*.changes.json")
    left = [f"left behind: {path}" for path in (*archive.leftovers(), *lists)]
    return [f"run: {status}" for status in statuses(archive) if status in UNFINISHED] + left


def statuses(archive: Archive) -> list[str]:
    """The status of each run."""
    with dagster_instance(archive) as instance:
        return [run.status.value for run in instance.get_runs()]


def verified(archive: Archive) -> list[str]:
    """What the project's own deep verification and plan find."""
    found = []
    for command in (["verify", "--deep"], ["plan"]):
        ended = subprocess.run(
            [COMMAND, *command, "--library", str(archive.root), "--json"],
            capture_output=True,
            text=True,
            env=clean_environment(),
            check=False,
        )
        if ended.returncode != 0:
            found.append(f"{' '.join(command)}: exit code {ended.returncode}: {ended.stdout} {ended.stderr}")
        elif command == ["plan"] and json.loads(ended.stdout)["variants"]:
            found.append(f"plan: {ended.stdout}")
    return found


def _await(is_so: Callable[[], bool], operated: Operated, patience_s: float, what: str, outcome: Outcome) -> None:
    deadline_s = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline_s:
            outcome.faults.append(f"not within {patience_s:.0f} s: {what}")
            return
        _tended_for(0.5, operated)


def _tended_for(duration_s: float, operated: Operated) -> None:
    deadline_s = time.monotonic() + duration_s
    while time.monotonic() < deadline_s:
        operated.tend()
        time.sleep(min(0.5, max(0.0, deadline_s - time.monotonic())))


def table(outcome: Outcome) -> str:
    """The outcome as the documentation shows it."""
    lines = ["| killed | times | frames of that moment done after, p50 | longest |", "|---|---|---|---|"]
    for victim in (*VICTIMS, "all"):
        took = sorted(kill.took_s for kill in outcome.kills if victim in (kill.victim, "all"))
        if took:
            lines.append(f"| {victim} | {len(took)} | {statistics.median(took):.1f} s | {took[-1]:.1f} s |")
    lines.append(
        f"\n{outcome.n_frames} frames, {outcome.n_versions - outcome.n_frames} replacements; "
        f"{outcome.n_repeated} variants published again; calm {outcome.calm_after_s:.0f} s after the last frame; "
        f"up was started {outcome.n_ups} times; runs: {dict(outcome.runs)}; faults: {len(outcome.faults)}"
    )
    return "\n".join([*lines, *outcome.faults])


@contextmanager
def _scratch(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@contextmanager
def _run_database(is_postgres: bool) -> Iterator[None]:
    """SQLite, or a PostgreSQL of its own that runs as long."""
    if not is_postgres:
        yield
        return
    server = Postgres()
    try:
        os.environ[POSTGRES_VARIABLE] = server.fresh()
        yield
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", nargs="?", type=Path, help="where the library is made and stays")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--apart", action="store_true", help="each kill waits until the frames of the last are done")
    parser.add_argument("--postgres", action="store_true", help="the runs are kept in a PostgreSQL, not in SQLite")
    chosen = parser.parse_args()
    with _scratch(chosen.scratch) as scratch, _run_database(chosen.postgres):
        root = scratch / "library"
        subprocess.run([COMMAND, "init", str(root)], check=True, stdout=subprocess.DEVNULL)
        archive, gap_s = Archive(root), (0.0, 6.0)
        outcome = run_with_kills(
            archive, chosen.kills, chosen.seed, gap_s=gap_s, patience_s=900.0, is_apart=chosen.apart
        )
        print(table(outcome))
    sys.exit(bool(outcome.faults))


if __name__ == "__main__":
    main()
