"""The resources of assets and ops: the library, and the reporting of progress. Thin; the stages do the work.

While `thumbs.toml` cannot be used, everything that Dagster runs goes on with the last usable settings, and says so.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import dagster as dg
from pydantic import Field, PrivateAttr

from thumb_pipeline.defs.runs.failures import refusal, refusals_as_failures
from thumb_pipeline.defs.runs.lost_runs import lease_for_run
from thumb_pipeline.stages.library import run_database, settings_in_force
from thumb_pipeline.stages.library.library import Library
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.stages.library.service_folders import LIBRARY_VARIABLE
from thumb_pipeline.stages.rendering.chunk import ChunkResult
from thumb_pipeline.storage import stopping

DEMO_LIBRARY = ".demo-library"


@dg.io_manager(config_schema={})
def values_between_ops(context: dg.InitResourceContext) -> dg.IOManager:
    """Keeps the values between ops in the instance's folder; Dagster's default lets a run's config name any folder."""
    return dg.FilesystemIOManager().create_io_manager(context)


def library_resource(root: str = "") -> dg.ResourceDefinition:
    """The library resource of the code location; a run's config may name another folder, as plain text only.

    A resource class would also accept the name of an environment variable, and show its value in a refusal.

    Args:
        root: the folder if a run's config names none.
    """
    described = dg.Field(str, default_value=root, description=LibraryResource.model_fields["root"].description)

    @dg.resource(config_schema={"root": described}, description=LibraryResource.__doc__)
    @contextmanager
    def library(context: dg.InitResourceContext) -> Iterator[LibraryResource]:
        with LibraryResource(root=context.resource_config["root"]).yield_for_execution(context) as resource:
            yield resource

    return library


class LibraryResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # its value is itself
    """The library that this code location works on. Opened when a run needs it, never at import."""

    root: str = Field(
        default="",
        description=(
            f"Folder of the library (it holds thumbs.toml). If empty, the folder that {LIBRARY_VARIABLE} names; "
            f"without that, the demo's library, {DEMO_LIBRARY} in the current directory."
        ),
    )

    _log: dg.DagsterLogManager | None = PrivateAttr(default=None)
    _opened: Library | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["LibraryResource"]:
        """Surrounds a whole run: stops it in order, and holds a lease that shows others that its process is alive."""
        self._log, self._opened = context.log, None
        run, instance = context.run, context.instance
        with ExitStack() as held:
            if run is not None and instance is not None:
                held.enter_context(stopping.orderly())
                with suppress(dg.Failure):  # the first op meets the same failure and reports it
                    held.enter_context(lease_for_run(self.find(), instance, run))
            yield self

    def open(self, instance: dg.DagsterInstance) -> Library:
        """Opens the library, unless the Dagster instance belongs to another one.

        All steps of a run that share a process use the same opened library, so a change of settings during a run is
        not mixed in. Steps in other processes use the settings of their order of work (`work_orders.library_of`).

        Raises:
            dagster.Failure: the library cannot be used; the message names the remedy, and retrying is pointless.
        """
        stopping.listen()
        if self._opened is None or self._log is None:
            self._opened = self._claim_library(instance)
        return self._opened

    def open_to_remove(self, instance: dg.DagsterInstance) -> Library:
        """Opens the library for moving or removing files; refused while the settings in force are not the file's.

        Raises:
            dagster.Failure: as `open`, or for that reason.
        """
        library = self.open(instance)
        with refusals_as_failures():
            settings_in_force.refuse_trouble(library)
        return library

    def _claim_library(self, instance: dg.DagsterInstance) -> Library:
        library = self.find()
        if library.trouble is not None and self._log is not None:
            self._log.warning(str(library.trouble))
        _refuse_foreign_instance(instance, library)
        _refuse_foreign_database(instance, library)
        return library

    def find(self) -> Library:
        """Opens the library for any Dagster instance.

        Raises:
            dagster.Failure: there is none, or it cannot be used.
        """
        root = self.root or os.environ.get(LIBRARY_VARIABLE) or DEMO_LIBRARY
        _refuse_other_library(root)
        hint = "" if os.path.exists(root) else "; for the demo's library: python3 run.py demo"
        with refusals_as_failures(hint=hint):
            library = settings_in_force.open_in_force(root)
        return library  # noqa: RET504 -- a return inside would look to mypy as if it might not happen


def _refuse_other_library(root: str) -> None:
    """Refuses another library than the one that these services serve, as anybody who reaches the UI can launch runs.

    Raises:
        dagster.Failure: the run's config names another library.
    """
    served, home = os.environ.get(LIBRARY_VARIABLE), os.environ.get("DAGSTER_HOME")
    if not served or not home or os.path.realpath(root) == os.path.realpath(served):
        return
    with suppress(Refused):  # a folder that is no library has no services
        if os.path.realpath(home) == settings_in_force.peek(served).dagster_home:
            raise refusal(
                f"these services serve the library {served}, and the config of a run may not name another one; "
                "start the other library's own services: thumb-pipeline up --library DIR"
            )


def _refuse_foreign_instance(instance: dg.DagsterInstance, library: Library) -> None:
    """Refuses other libraries in the instance of the project's own dagster.yaml, which belongs to the demo.

    Other libraries keep their history apart.
    """
    own_home = os.environ.get("DAGSTER_HOME") or instance.is_ephemeral
    if own_home or library.root == os.path.realpath(DEMO_LIBRARY):
        return
    raise refusal(
        f"this Dagster instance keeps the history of {DEMO_LIBRARY} and must not mix it with {library.root}; "
        f"start that library's own services: thumb-pipeline up --library {library.root}"
    )


def _refuse_foreign_database(instance: dg.DagsterInstance, library: Library) -> None:
    """Refuses a PostgreSQL database of another library, also when Dagster's own commands are used instead of `up`."""
    address = run_database.read_address()
    if address is None or not type(instance.event_log_storage).__module__.startswith("dagster_postgres"):
        return
    try:
        run_database.claim(library, address)
    except run_database.ForeignDatabase as foreign:
        raise refusal(str(foreign)) from foreign
    except Refused:
        return  # it does not answer: Dagster needs it for its events, so it waits, then fails in a way that is retried


class ProgressResource:
    """Reports how many sources are done, over all chunks, to a caller in the same process.

    In a plain run it writes to Dagster's log instead, for each chunk separately and every ten seconds.
    """

    def __init__(
        self, tell: Callable[[int], None] | None = None, keep: Callable[[ChunkResult], None] | None = None
    ) -> None:
        self._tell = tell
        self._keep = keep
        self._n_reported = 0
        self._reported_at = time.monotonic()

    def listener(self, log: dg.DagsterLogManager, n_sources: int) -> Callable[[int], None]:
        """A function to call with the number of sources of a chunk that are done, out of its `n_sources`."""
        return self._logger(log, n_sources) if self._tell is None else self._teller(self._tell)

    def finished(self, result: ChunkResult) -> None:
        """Passes the result of a chunk to a caller in the same process."""
        if self._keep is not None:
            self._keep(result)

    def _teller(self, report: Callable[[int], None]) -> Callable[[int], None]:
        n_before = self._n_reported

        def tell(n_done: int) -> None:
            self._n_reported = n_before + n_done
            report(self._n_reported)

        return tell

    def _logger(self, log: dg.DagsterLogManager, n_sources: int) -> Callable[[int], None]:
        def tell(n_done: int) -> None:
            if time.monotonic() - self._reported_at >= 10 or n_done == n_sources:
                self._reported_at = time.monotonic()
                log.info(f"{n_done} of {n_sources} sources rendered")

        return tell
