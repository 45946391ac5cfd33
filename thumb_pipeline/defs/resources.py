"""What assets and ops are given: the library, and somebody to tell about progress. Thin; the stages do the work.

Whatever Dagster runs goes on with the last usable settings while `thumbs.toml` cannot be used, and says so.
"""

import os
import time
from collections.abc import Callable

import dagster as dg
from pydantic import Field, PrivateAttr

from thumb_pipeline.defs.failures import refusals_as_failures
from thumb_pipeline.stages import in_force, run_database
from thumb_pipeline.stages.library import Library, Refused
from thumb_pipeline.stages.render import ChunkResult

LIBRARY_VARIABLE = "THUMB_PIPELINE_LIBRARY"
DEMO_LIBRARY = ".demo-library"


class LibraryResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # its value is itself
    """The library that this code location works on. Opened when a run needs it, never at import."""

    root: str = Field(
        default="",
        description=(
            f"Folder of the library (it holds thumbs.toml). Empty takes {LIBRARY_VARIABLE}, "
            f"and without that the demo's library, {DEMO_LIBRARY} in the current directory."
        ),
    )

    _log: dg.DagsterLogManager | None = PrivateAttr(default=None)
    _opened: Library | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """A run is about to begin, or a tick."""
        self._log, self._opened = context.log, None

    def open(self, instance: dg.DagsterInstance) -> Library:
        """The opened library, if the instance is its own.

        Once opened, it stays as it is for all steps of a run that share a process: a change of settings never mixes
        two of them there. Steps elsewhere take those of their order of work (`work_orders.library_of`).

        Raises:
            dagster.Failure: with the remedy; there is no point in retrying.
        """
        if self._opened is None or self._log is None:
            self._opened = self._claimed(instance)
        return self._opened

    def open_to_remove(self, instance: dg.DagsterInstance) -> Library:
        """The same for what moves or removes files: refused while the settings in force are not those of the file.

        Raises:
            dagster.Failure: also for that.
        """
        library = self.open(instance)
        with refusals_as_failures():
            in_force.refuse_trouble(library)
        return library

    def _claimed(self, instance: dg.DagsterInstance) -> Library:
        library = self.find()
        if library.trouble is not None and self._log is not None:
            self._log.warning(str(library.trouble))
        _refuse_foreign_instance(instance, library)
        _refuse_foreign_database(instance, library)
        return library

    def find(self) -> Library:
        """The library, whichever instance asks.

        Raises:
            dagster.Failure: there is none, or it cannot be used.
        """
        root = self.root or os.environ.get(LIBRARY_VARIABLE) or DEMO_LIBRARY
        hint = "" if os.path.exists(root) else "; for the demo's library: python3 run.py demo"
        with refusals_as_failures(hint=hint):
            library = in_force.open_in_force(root)
        return library  # noqa: RET504 -- a return inside would look to mypy as if it might not happen


def _refuse_foreign_instance(instance: dg.DagsterInstance, library: Library) -> None:
    """The dagster.yaml in the project's root belongs to the demo; other libraries keep their history apart."""
    own_home = os.environ.get("DAGSTER_HOME") or instance.is_ephemeral
    if own_home or library.root == os.path.realpath(DEMO_LIBRARY):
        return
    raise dg.Failure(
        description=(
            f"this Dagster instance keeps the history of {DEMO_LIBRARY} and must not mix it with {library.root}; "
            f"start that library's own: thumb-pipeline up --library {library.root}"
        ),
        allow_retries=False,
    )


def _refuse_foreign_database(instance: dg.DagsterInstance, library: Library) -> None:
    """Whoever runs Dagster's own commands on our instance file is as safe from mixing two libraries as with `up`."""
    address = run_database.chosen_address()
    if address is None or not type(instance.event_log_storage).__module__.startswith("dagster_postgres"):
        return
    try:
        run_database.claim(library, address)
    except run_database.ForeignDatabase as foreign:
        raise dg.Failure(description=str(foreign), allow_retries=False) from foreign
    except Refused:
        return  # it does not answer: Dagster, whose events go there, waits for it, then fails in a way that is retried


class ProgressResource:
    """Tells somebody how many sources of a chunk are done; in a plain run, Dagster's log, every ten seconds."""

    def __init__(
        self, tell: Callable[[int], None] | None = None, keep: Callable[[ChunkResult], None] | None = None
    ) -> None:
        self._tell = tell
        self._keep = keep
        self._told_at = time.monotonic()

    def listener(self, log: dg.DagsterLogManager, n_sources: int) -> Callable[[int], None]:
        """A function to call with the number of sources done, out of `n_sources`."""
        return self._tell or self._logger(log, n_sources)

    def finished(self, result: ChunkResult) -> None:
        """Hands on what a chunk did to a caller in the same process."""
        if self._keep is not None:
            self._keep(result)

    def _logger(self, log: dg.DagsterLogManager, n_sources: int) -> Callable[[int], None]:
        def tell(n_done: int) -> None:
            if time.monotonic() - self._told_at >= 10 or n_done == n_sources:
                self._told_at = time.monotonic()
                log.info(f"{n_done} of {n_sources} sources rendered")

        return tell
