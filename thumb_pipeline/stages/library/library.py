"""The opened library, the value that every stage takes: its folders, its settings, its tables, its locks.

`open` opens a library; what the settings may say is in `domain.settings`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from thumb_pipeline.datasets.schemas import (
    CHECKED,
    DAMAGE,
    FINDINGS,
    INVENTORY,
    MANIFEST,
    PLAN,
    REPORTED,
    VERDICTS,
    VERIFIED,
    TableSchema,
)
from thumb_pipeline.datasets.slices import Table
from thumb_pipeline.domain.identifiers import is_run_id
from thumb_pipeline.domain.layout import (
    CAMERAS_FOLDER,
    FRAMES_FOLDER,
    SETTINGS_NAME,
    STATE_FOLDER,
    TRASH_FOLDER,
    parse_key,
    split_variant_path,
)
from thumb_pipeline.domain.names import to_bytes
from thumb_pipeline.domain.paths import inside
from thumb_pipeline.domain.settings import Settings
from thumb_pipeline.stages.library import clock, roots
from thumb_pipeline.stages.library.refused import Refused, SettingsTrouble
from thumb_pipeline.storage import leases, publishing
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline.storage.frames_guard import FramesGuard, guard_of
from thumb_pipeline.storage.leases import Lease

__all__ = ["Lease", "Library", "checked_run_id", "publish_durably", "publish_into_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """An opened library: absolute folders and checked settings.

    Attributes:
        root: the folder with `thumbs.toml` and `cameras/`.
        state: the folder of everything we write except the variants.
        variants_root: the folder with the variants' `cameras/`; the root itself unless the settings name another.
        written: the text that the settings were read from.
        trouble: why `written` is not the text of `thumbs.toml`; None if it is.
        is_urgent: its workers do not yield the cores; otherwise they leave them to the workers of urgent work.
    """

    root: str
    state: str
    variants_root: str
    settings: Settings
    written: bytes = field(repr=False)
    trouble: SettingsTrouble | None = None
    is_urgent: bool = False

    def urgently(self) -> "Library":
        """The same library, for work that does not yield to other work."""
        return replace(self, is_urgent=True)

    @property
    def cameras(self) -> str:
        """The folder of all cameras."""
        return inside(self.root, CAMERAS_FOLDER)

    @property
    def lease_folder(self) -> str:
        """The folder of the leases of running processes."""
        return inside(self.state, "leases")

    @property
    def plans(self) -> str:
        """The folder of the plans of running and finished runs."""
        return inside(self.state, "plans")

    def order_folder(self, run_id: str) -> str:
        """The folder of the work order that was written under a run's id.

        Raises:
            Refused: the text is not the id of a run.
        """
        return inside(self.plans, checked_run_id(run_id))

    @property
    def journals(self) -> str:
        """The folder of the journals of sweeps and purges."""
        return inside(self.state, "trash")

    def journal_folder(self, run_id: str) -> str:
        """The folder of a removal's journal; raises as `order_folder`."""
        return inside(self.journals, checked_run_id(run_id))

    @property
    def trash(self) -> str:
        """The folder that removed variants are moved to; it is on the variants' own file system."""
        return inside(self.variants_root, TRASH_FOLDER)

    def trash_folder(self, run_id: str) -> str:
        """The folder in the trash with the files of one removal; raises as `order_folder`."""
        return inside(self.trash, checked_run_id(run_id))

    def in_trash(self, run_id: str, key: str, folder: str) -> str:
        """The folder in the trash with the files that one removal moved out of a variant folder."""
        return inside(self.trash_folder(run_id), CAMERAS_FOLDER, *parse_key(key), folder)

    def file_in_trash(self, run_id: str, key: str, variant_path: str) -> bytes:
        """The path in the trash of a variant that one removal moved, as bytes for the file system."""
        folder, name = split_variant_path(variant_path)
        return inside(os.fsencode(self.in_trash(run_id, key, folder)), to_bytes(name))

    @property
    def watch(self) -> str:
        """The folder of a watcher's state."""
        return inside(self.state, "watch")

    @property
    def dagster_home(self) -> str:
        """The folder of this library's own Dagster instance."""
        return inside(self.state, "dagster")

    @property
    def inventory(self) -> Table:
        """One row for each source."""
        return self._table(INVENTORY)

    @property
    def manifest(self) -> Table:
        """One row for each recorded variant."""
        return self._table(MANIFEST)

    @property
    def last_plan(self) -> Table:
        """What the last plan of each timelapse said."""
        return self._table(PLAN)

    @property
    def findings(self) -> Table:
        """What the last verification of each timelapse found wrong."""
        return self._table(FINDINGS)

    @property
    def verdicts(self) -> Table:
        """Counts of the last verification of each timelapse; one slice, `WHOLE_LIBRARY`."""
        return self._table(VERDICTS)

    @property
    def verified(self) -> Table:
        """When each timelapse was verified last; one slice, `WHOLE_LIBRARY`."""
        return self._table(VERIFIED)

    @property
    def damage(self) -> Table:
        """Files that a deep verification opened and found wrong, although their size and mtime are as recorded."""
        return self._table(DAMAGE)

    @property
    def checked(self) -> Table:
        """When a deep verification last opened each source with its variants."""
        return self._table(CHECKED)

    @property
    def reported(self) -> Table:
        """Which verdict the reports show for each timelapse; one slice, `WHOLE_LIBRARY`."""
        return self._table(REPORTED)

    @property
    def workers(self) -> int:
        """How many pictures are rendered at once."""
        return self.settings.rendering.workers or len(os.sched_getaffinity(0))

    def frames(self, key: str) -> str:
        """The folder of a timelapse's sources."""
        return inside(self.root, CAMERAS_FOLDER, *parse_key(key), FRAMES_FOLDER)

    def variants(self, key: str) -> str:
        """The folder that holds a timelapse's variant folders."""
        return inside(self.variants_root, CAMERAS_FOLDER, *parse_key(key))

    def source_file(self, key: str, name: str) -> bytes:
        """The path of a source, as bytes for the file system; `name` is text (`domain.names`)."""
        return inside(os.fsencode(self.frames(key)), to_bytes(name))

    def variant_file(self, key: str, variant_path: str) -> bytes:
        """The path of a variant, as bytes for the file system."""
        folder, name = split_variant_path(variant_path)
        return inside(os.fsencode(self.variants(key)), os.fsencode(folder), to_bytes(name))

    @property
    def frames_guard(self) -> FramesGuard:
        """The guard that tells folders of sources from folders of variants, whatever their names."""
        return guard_of(self.cameras)

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Holds this process's lease, and reads the clock when it takes the lease.

        Raises:
            ArchiveUnavailable: the library is gone.
            Refused: the state folder cannot be written.
        """
        self.refuse_if_gone()
        self.claim_state()
        with ExitStack() as held:
            try:
                lease = held.enter_context(leases.hold_lease(self.lease_folder))
            except OSError as error:
                raise self.state_refused(error) from error
            clock.look(self.state)
            yield lease

    @property
    def usual_state(self) -> str:
        """The state folder unless the settings name another; this one belongs to the library and needs no marker."""
        return inside(self.root, STATE_FOLDER)

    def claim_state(self) -> None:
        """Marks a state folder outside of the library as its own; call it before anything is written there.

        Raises:
            Refused: the folder is another library's, or cannot be written.
        """
        if self.state != self.usual_state:
            self._write_owner(roots.claim, self.state)

    def claim_variants(self) -> None:
        """The same for the variants' folder; raises as `claim_state`."""
        if self.variants_root != self.root:
            self._write_owner(roots.claim, self.variants_root)

    def mark(self, folder: str) -> None:
        """Marks a folder as this library's, whatever its marker said before; raises as `claim_state`."""
        self._write_owner(roots.mark, folder)

    def _write_owner(self, write: Callable[[str, str], None], folder: str) -> None:
        try:
            write(folder, self.root)
        except roots.ForeignFolder as foreign:
            raise Refused(str(foreign)) from foreign
        except OSError as error:
            raise self._refused(folder, error) from error
        except publishing.CannotWrite as error:
            raise Refused(str(error)) from error

    def state_refused(self, error: OSError) -> Refused:
        """The refusal for a state folder that cannot be written."""
        return self._refused(self.state, error)

    def _refused(self, folder: str, error: OSError) -> Refused:
        setting = "storage.state" if folder == self.state else "storage.variants"
        return Refused(
            f"{folder} cannot be written ({error.strerror}); {publishing.remedy(error)}, "
            f"or name another folder as {setting} in {SETTINGS_NAME}"
        )

    @contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Holds an exclusive lock on a file of the state folder, made if needed; the lock ends with the process.

        Raises:
            ArchiveUnavailable: the library is gone; otherwise its folders would be made in an empty mount point.
            CannotWrite: the file cannot be made or locked.
        """
        self.refuse_if_gone()
        self.claim_state()
        with ExitStack() as held:
            try:
                held.enter_context(leases.lock(path))
            except OSError as error:
                raise publishing.cannot_write(path, error) from error
            yield

    def refuse_if_gone(self) -> None:
        """Makes sure that the library is still there: without its disk, its path is an empty mount point.

        Raises:
            ArchiveUnavailable: the library has gone since it was opened.
        """
        path = inside(self.root, SETTINGS_NAME)
        if not os.path.isfile(path):
            raise ArchiveUnavailable(f"{path} is gone since this began; check the disk and its mount, then repeat")

    def _table(self, schema: TableSchema) -> Table:
        return Table(schema=schema, root=inside(self.state, "datasets"), publish=publish_into_state, locked=self.locked)


def checked_run_id(text: str) -> str:
    """The text, if it is a run's id and so can name a folder.

    Raises:
        Refused: it is not.
    """
    if not is_run_id(text):
        raise Refused(
            f"{text[:80]!r} is not the id of a run; an id looks like 4f9c1478-8d0c-4d3e-9f43-0f6b2b9c7a11. Launch the "
            "job without naming another run, or re-execute a run from its own page"
        )
    return text


def publish_durably(target: bytes, data: bytes) -> None:
    """Publishes a file in the state folder atomically, so that it survives a power cut."""
    publishing.publish(target, data, writer="dataset", durable=True)


def publish_into_state(target: bytes, data: bytes) -> None:
    """The same, but never makes the folder: it existed before, so if it is absent now the library is gone."""
    publishing.publish(target, data, writer="dataset", durable=True, makes_folder=False)
