#!/usr/bin/env python3
"""Makes `.venv` with the pinned packages, then hands on to thumb-pipeline, to pytest or to the checks.

    python3 run.py COMMAND [ARGUMENT]...      any command of thumb-pipeline, for example demo or --help
    python3 run.py test                       the quick tests; --all: all that CI runs; --long: takes hours
    python3 run.py test PYTEST ARGUMENT...    pytest, as it is called with these
    python3 run.py check                      format, lint, types

Standard library only, and Python 3.6 must still parse it: an old interpreter has to get as far as the message that
says which one is needed. The pins belong into `deploy/requirements`, what the commands do into `thumb_pipeline`; here
is only what has to happen before either can be used.
"""

import hashlib
import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
BIN = os.path.join(VENV, "bin")
PYTHON = os.path.join(BIN, "python")
CONSOLE_SCRIPT = os.path.join(BIN, "thumb-pipeline")

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)

RUNTIME = "runtime"
DEVELOPMENT = "development"
LAYERS = {
    RUNTIME: ("bootstrap.txt", "runtime.txt"),
    DEVELOPMENT: ("development.txt",),
}
"""Which requirement files each layer of `.venv` installs; development comes on top of runtime."""

UNFINISHED = "unfinished\n"

PYTEST = [PYTHON, "-m", "pytest"]
TIERS = {"": "quick", "--all": "daemon", "--long": "long"}
"""Up to which tier of tests `test` goes with which option; `thumb_pipeline_tests/conftest.py` knows the tiers."""

CHECKS = (
    ("format", [os.path.join(BIN, "ruff"), "format", "--check", "."]),
    ("lint", [os.path.join(BIN, "ruff"), "check", "."]),
    ("types", [os.path.join(BIN, "mypy")]),
)

FAILED, REFUSED, STOPPED = 1, 2, 3
"""As thumb-pipeline exits: something is not valid; refused before anything ran; stopped part-way, safe to repeat."""


class SetUpError(Exception):
    """The environment cannot be made; the message says what to do about it."""


def main(arguments: "list[str]") -> int:
    """Set up what the command needs and become it; returns only for `check` and when something is wrong."""
    try:
        refuse_unfit_interpreter(tuple(sys.version_info[:2]), os.name)
        is_development = arguments[:1] in (["test"], ["check"])
        ensure_layers([RUNTIME, DEVELOPMENT] if is_development else [RUNTIME])
    except SetUpError as error:
        say(str(error))
        return REFUSED
    except OSError as error:
        say(f"set-up failed: {error}. When that is mended, run the same command again; it takes up where it stopped.")
        return REFUSED
    except KeyboardInterrupt:
        say("set-up stopped; the same command takes it up again")
        return STOPPED
    return hand_on(arguments)


def hand_on(arguments: "list[str]") -> int:
    """Become the console script, in the caller's folder, or the tests or checks, in the checkout."""
    if arguments[:1] == ["check"]:
        return run_checks()
    if arguments[:1] == ["test"]:
        os.chdir(ROOT)
        become(PYTEST + pytest_arguments(arguments[1:]))
    import shlex

    os.environ["THUMB_PIPELINE_COMMAND"] = "python3 " + shlex.quote(sys.argv[0])  # so that its hints can be typed
    become([CONSOLE_SCRIPT, *arguments])
    return REFUSED


def pytest_arguments(arguments: "list[str]") -> "list[str]":
    """What `test` gives to pytest: the arguments as they are, or for a tier as many processes as there are cores.

    worksteal keeps most files whole, and everybody busy to the end.
    """
    tier = "".join(arguments)
    if tier not in TIERS:
        return arguments
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ["-q", "-n", str(cores), "--dist", "worksteal", "--durations=15", "--tier=" + TIERS[tier]]


def become(command: "list[str]") -> None:
    """Replace this process, so that signals, terminal and exit code are the command's own."""
    sys.stdout.flush()
    try:
        os.execv(command[0], command)
    except OSError as error:
        say(f"cannot start {command[0]}: {error.strerror}. Delete {VENV} and run this again.")


def run_checks() -> int:
    """Run every check, whatever the earlier ones said, and name those that failed."""
    import subprocess

    failed = []
    for name, command in CHECKS:
        say("check: " + name)
        if subprocess.call(command, cwd=ROOT) != 0:
            failed.append(name)
    say("failed: " + ", ".join(failed) if failed else "all checks passed")
    return FAILED if failed else 0


def refuse_unfit_interpreter(version: "tuple[int, ...]", os_name: str) -> None:
    """Raise SetUpError unless this is a supported Python on a POSIX system."""
    if not OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        raise SetUpError(
            "Python {}.{} to {}.{} is needed and this is {}.{}. Start it with another one, for example: "
            "python{}.{} run.py".format(*(OLDEST_PYTHON + NEWEST_PYTHON + version + OLDEST_PYTHON))
        )
    if os_name != "posix":
        raise SetUpError("Linux or macOS is needed; on Windows, run this inside WSL.")


def refuse_missing_modules() -> None:
    """Raise SetUpError unless this Python can make a virtual environment with pip in it."""
    import importlib.util

    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetUpError(
            "this Python lacks {}. Install the package that has it (Debian, Ubuntu: apt install python{}.{}-venv), "
            "or uv, and run this again.".format(" and ".join(missing), *sys.version_info[:2])
        )


def ensure_layers(names: "list[str]") -> None:
    """Bring `.venv` up to date for these layers; costs a few milliseconds where it is."""
    if not outdated(names):
        return
    import fcntl

    lock = _open_lock()
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting: another run.py is setting up {VENV}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ours() or _read(_stamp(RUNTIME)) == UNFINISHED:
            make_environment(lock)
        for name in outdated(names):
            install_layer(name, lock)
    finally:
        os.close(lock)


def _open_lock() -> int:
    """Open run.py itself to lock it: there before `.venv` is, and no litter afterwards."""
    try:
        return os.open(os.path.join(ROOT, "run.py"), os.O_RDWR)
    except OSError as error:
        raise SetUpError(
            f"{VENV} has to be set up, and {ROOT} may not be written ({error.strerror}). "
            "Run this once as the owner of the checkout."
        ) from error


def outdated(names: "list[str]") -> "list[str]":
    """The layers that are not, or not completely, or not as pinned now, installed for this checkout and Python."""
    if not (is_ours() and os.access(CONSOLE_SCRIPT, os.X_OK)):
        return names
    return [name for name in names if _read(_stamp(name)) != fingerprint(name)]


def is_ours() -> bool:
    """Whether `.venv` was made here by this Python: its scripts hold absolute paths, so a moved one is of no use."""
    return _read(_stamp("environment")) == _environment() and os.access(PYTHON, os.X_OK)


def _environment() -> str:
    tag = sys.implementation.cache_tag
    return "\n".join([ROOT, sys.base_prefix, f"{tag}-{os.uname().machine}", ""])


def fingerprint(layer: str) -> str:
    """Digest of everything that decides what the layer holds: its pins and those below, the project, this program."""
    layers = (RUNTIME,) if layer == RUNTIME else (RUNTIME, DEVELOPMENT)
    paths = [_requirements(file) for name in layers for file in LAYERS[name]]
    digest = hashlib.sha256()
    for path in [*paths, os.path.join(ROOT, "pyproject.toml"), os.path.join(ROOT, "run.py")]:
        digest.update(hashlib.sha256(_read(path).encode()).digest())
    return digest.hexdigest() + "\n"


def make_environment(lock: int) -> None:
    """Make an empty `.venv`, with uv in it where the machine has none."""
    uv = _uv_on_path()
    if not uv:
        refuse_missing_modules()
    # The interpreter below the environment that this one may be of: that can be the folder emptied next.
    interpreter = os.path.realpath(sys.executable)
    say("making {} with Python {}.{}.{}".format(VENV, *sys.version_info[:3]))
    _empty(VENV)
    if uv:
        _run([uv, "venv", "--quiet", "--no-project", "--python", interpreter, VENV], lock)
    else:
        _run([interpreter, "-m", "venv", VENV], lock)
        say("installing uv with pip")
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-user"]
        _run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", _requirements("bootstrap.txt")], lock)
    _write(_stamp("environment"), _environment())


def install_layer(name: str, lock: int) -> None:
    """Install a layer's pins; the stamp says unfinished until all of it is there.

    An installer that was killed leaves packages that look complete to the next one, so half a runtime layer is made
    anew with its environment and half a development layer is reinstalled.
    """
    again = ["--reinstall"] if _read(_stamp(name)) == UNFINISHED else []
    _write(_stamp(name), UNFINISHED)
    uv_in_venv = os.path.join(BIN, "uv")
    uv = uv_in_venv if os.access(uv_in_venv, os.X_OK) else _uv_on_path() or uv_in_venv
    install = [uv, "pip", "install", "--no-progress", "--python", PYTHON, "--compile-bytecode"]
    pins = [argument for file in LAYERS[name] for argument in ("-r", _requirements(file))]
    say(f"installing the pinned {name} packages")
    _run([*install, "--require-hashes", "--only-binary", ":all:", *again, *pins], lock)
    if name == RUNTIME:
        say("installing thumb-pipeline itself")
        _run([*install, "--no-deps", "--no-build-isolation", "--reinstall", "--editable", "."], lock)
        _run([PYTHON, "-m", "compileall", "-q", "thumb_pipeline"], lock)
    _write(_stamp(name), fingerprint(name))


def _run(command: "list[str]", lock: int) -> None:
    """Run one step in the checkout, silent unless it fails."""
    import subprocess

    # The step holds the lock too: should this process be killed, nobody starts beside what it left running.
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        pass_fds=[lock],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        raise SetUpError(
            f"set-up failed. {' '.join(command)} says:\n{done.stdout.decode(errors='replace').rstrip()}\n"
            "If the package index could not be reached: pip and uv each have their own settings for mirrors, proxies "
            "and certificates. When the cause is mended, run the same command again."
        )


def _uv_on_path() -> "str | None":
    """The machine's uv, if it runs: a version manager may leave a shim with nothing behind it."""
    import shutil
    import subprocess

    uv = shutil.which("uv")
    works = uv and subprocess.call([uv, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    return uv if works else None


def _empty(folder: str) -> None:
    """Empty a folder instead of removing it: it may be a mount point or a link to a larger disk."""
    import shutil

    os.makedirs(folder, exist_ok=True)
    # The stamps first: whatever happens from here on, nobody takes the rest for complete.
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.is_dir(follow_symlinks=False)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.remove(entry.path)


def _requirements(file: str) -> str:
    return os.path.join(ROOT, "deploy", "requirements", file)


def _stamp(name: str) -> str:
    return os.path.join(VENV, "set-up-" + name)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def say(message: str) -> None:
    """Tell the operator, on stderr: stdout is the command's."""
    print("run.py: " + message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
