"""Opens and initialises a library: its settings, its roots, its tables.

What is done with a library is in the other stages; what the settings may say in `domain.settings`.
"""

import os
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

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
from thumb_pipeline.domain.layout import CAMERAS_FOLDER, FRAMES_FOLDER, SETTINGS_NAME, TRASH_FOLDER, timelapse_folder
from thumb_pipeline.domain.settings import Settings, SettingsError, parse_settings
from thumb_pipeline.storage import leases, publishing
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline.storage.leases import Lease

__all__ = ["DEFAULT_SETTINGS", "Lease", "Library", "Refused", "initialise", "open_library", "publish_durably"]


class Refused(Exception):
    """Nothing was done and nothing changed; the message says what to do first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """An opened library: absolute folders and checked settings.

    Attributes:
        root: holds `thumbs.toml` and `cameras/`.
        state: everything we write but the variants.
        variants_root: holds the variants' `cameras/`; the root itself unless the settings say otherwise.
        is_urgent: somebody waits for what is done with it; else its workers leave the cores to those of others.
    """

    root: str
    state: str
    variants_root: str
    settings: Settings
    is_urgent: bool = False

    def urgently(self) -> "Library":
        """The same library, for work that does not yield to other work."""
        return replace(self, is_urgent=True)

    @property
    def cameras(self) -> str:
        """The folder of all cameras."""
        return os.path.join(self.root, CAMERAS_FOLDER)

    @property
    def lease_folder(self) -> str:
        """The folder of the leases of running processes."""
        return os.path.join(self.state, "leases")

    @property
    def plans(self) -> str:
        """The folder of the plans of running and finished runs."""
        return os.path.join(self.state, "plans")

    @property
    def journals(self) -> str:
        """The folder of the journals of sweeps and purges."""
        return os.path.join(self.state, "trash")

    @property
    def trash(self) -> str:
        """The folder that removed variants are moved to, on the variants' own file system."""
        return os.path.join(self.variants_root, TRASH_FOLDER)

    @property
    def watch(self) -> str:
        """The folder of what a watcher remembers."""
        return os.path.join(self.state, "watch")

    @property
    def dagster_home(self) -> str:
        """The folder of this library's own Dagster instance."""
        return os.path.join(self.state, "dagster")

    @property
    def inventory(self) -> Table:
        """One row a source."""
        return self._table(INVENTORY)

    @property
    def manifest(self) -> Table:
        """One row a recorded variant."""
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
        """Files that a deep verification opened and found wrong, though they look as recorded."""
        return self._table(DAMAGE)

    @property
    def checked(self) -> Table:
        """When each source was opened last with its variants, to be verified."""
        return self._table(CHECKED)

    @property
    def reported(self) -> Table:
        """Which verdict the reports of each timelapse show; one slice, `WHOLE_LIBRARY`."""
        return self._table(REPORTED)

    @property
    def workers(self) -> int:
        """How many pictures are rendered at once."""
        return self.settings.rendering.workers or len(os.sched_getaffinity(0))

    def frames(self, key: str) -> str:
        """The folder of a timelapse's sources."""
        return os.path.join(self.root, timelapse_folder(key), FRAMES_FOLDER)

    def variants(self, key: str) -> str:
        """The folder that holds a timelapse's variant folders."""
        return os.path.join(self.variants_root, timelapse_folder(key))

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Holds this process's lease.

        Raises:
            ArchiveUnavailable: the library is gone.
            Refused: the state folder cannot be written.
        """
        self.refuse_if_gone()
        with ExitStack() as held:
            try:
                lease = held.enter_context(leases.hold_lease(self.lease_folder))
            except OSError as error:
                raise self.state_refused(error) from error
            yield lease

    def state_refused(self, error: OSError) -> Refused:
        """What to tell where the state folder cannot be written."""
        return Refused(
            f"{self.state} cannot be written ({error.strerror}); {publishing.remedy(error)}, "
            f"or name another folder as storage.state in {SETTINGS_NAME}"
        )

    @contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Holds an exclusive lock on a file of the state folder, made if needed; released with the process.

        Raises:
            ArchiveUnavailable: the library is gone; its folders would be made anew in an empty mount point.
            CannotWrite: the disk does not take the file.
        """
        self.refuse_if_gone()
        with ExitStack() as held:
            try:
                held.enter_context(leases.locked(path))
            except OSError as error:
                raise publishing.cannot_write(path, error) from error
            yield

    def refuse_if_gone(self) -> None:
        """Makes sure that what was listed until now was the library, and not what lies under its mount point.

        Raises:
            ArchiveUnavailable: the library is gone since it was opened.
        """
        path = os.path.join(self.root, SETTINGS_NAME)
        if not os.path.isfile(path):
            raise ArchiveUnavailable(f"{path} is gone since this began; check the disk and its mount, then repeat")

    def _table(self, schema: TableSchema) -> Table:
        return Table(
            schema=schema, root=os.path.join(self.state, "datasets"), publish=_publish_beside_lock, locked=self.locked
        )


def publish_durably(target: bytes, data: bytes) -> None:
    """Publishes a file of ours in the state folder: whole, and safe from a power cut."""
    publishing.publish(target, data, writer="dataset", durable=True)


def _publish_beside_lock(target: bytes, data: bytes) -> None:
    """The same into a folder that a lock was just made in: without it the library is gone."""
    publishing.publish(target, data, writer="dataset", durable=True, makes_folder=False)


def open_library(root: str) -> Library:
    """Opens an initialised library; writes nothing.

    Raises:
        Refused: there is no library, it is not initialised, or its settings cannot be used.
    """
    root = os.path.realpath(root)
    path = os.path.join(root, SETTINGS_NAME)
    if not os.path.isdir(root):
        raise Refused(f"{root} is not there; check the path, and the mount if it is on another disk")
    if not os.path.isfile(path):
        raise Refused(
            f"{root} is no library ({SETTINGS_NAME} is absent); check the mount if it was one, "
            f"or make it one: thumb-pipeline init {root}"
        )
    settings = _read_settings(path)
    library = Library(
        root=root,
        state=_resolved(root, settings.storage.state),
        variants_root=_resolved(root, settings.storage.variants),
        settings=settings,
    )
    _refuse_overlaps(library, path)
    return library


def initialise(root: str) -> bool:
    """Makes a folder a library by writing `thumbs.toml`; returns False, changing nothing, where there is one already.

    Raises:
        Refused: `root` is a file or cannot be written, or the `thumbs.toml` in it cannot be used.
    """
    path = os.path.join(os.path.realpath(root), SETTINGS_NAME)
    if os.path.exists(path):
        open_library(root)
        return False
    try:
        os.makedirs(root, exist_ok=True)
        publishing.publish(os.fsencode(path), DEFAULT_SETTINGS.encode(), writer="init", durable=True)
    except (OSError, publishing.CannotWrite) as error:
        raise Refused(f"{root} cannot be made a library: {error}") from error
    return True


def _read_settings(path: str) -> Settings:
    try:
        with open(path, "rb") as file:
            written = tomllib.load(file)
        return parse_settings(written)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path} is not TOML: {error}; correct that line") from error
    except SettingsError as error:
        raise Refused("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
    except OSError as error:
        raise Refused(f"{path} cannot be read ({error.strerror}); let this user read it") from error


def _resolved(root: str, written: str) -> str:
    return os.path.realpath(os.path.join(root, os.path.expanduser(written)))


def _refuse_overlaps(library: Library, path: str) -> None:
    """Sources, state and variants must not lie in one another, however links and `..` disguise it."""
    roots = {CAMERAS_FOLDER + "/": os.path.realpath(library.cameras), "storage.state": library.state}
    if library.variants_root != library.root:
        roots["storage.variants"] = library.variants_root
    named = list(roots.items())
    for i, (name, folder) in enumerate(named):
        for other_name, other in named[i + 1 :]:
            if os.path.commonpath([folder, other]) in (folder, other):
                raise Refused(
                    f'{path}: {other_name} = "{other}" overlaps {name} ("{folder}"); choose a folder outside of it'
                )
    if os.path.commonpath([library.state, library.trash]) in (library.state, library.trash):
        raise Refused(
            f'{path}: storage.state = "{library.state}" overlaps {TRASH_FOLDER}, which sweep and purge move files to; '
            "choose another folder"
        )


DEFAULT_SETTINGS = """\
# thumbs.toml makes this folder a library of thumb_pipeline and says how its thumbnails are made.
# Sources are read from cameras/camera-{id}/timelapse-{id}/frames/ and never written, moved or deleted.
# Every line shows the default; a changed value holds from the next command on.

# The cameras' local time, as a name of the IANA time zone database. A camera or timelapse may have its own.
timezone = "UTC"

# What shows where a picture is transparent, and around it where fit = "pad".
background = "#ffffff"

# A new file is complete when it ends as its format says, or when its size and mtime were the same twice, this far
# apart (seconds).
settle_interval_s = 2.0

[storage]
# Where records, plans and the Dagster instance live. Relative to this folder, or absolute (another disk).
state = ".thumb_pipeline"
# Where the variant folders live: "." is beside each frames/ folder; another root gets the same tree.
variants = "."

[rendering]
# Pictures at once; 0 takes one for each core.
workers = 0
# Seconds one source may take, the megapixels it may have, and the memory (MB) a worker may use.
deadline_s = 60.0
max_megapixels = 200.0
max_memory_mb = 2048
# The moment (seconds) of a video that its variants show; left out, it is a tenth of the duration.
# frame_at_s = 3.0

[retries]
# Seconds from each vain try to read a source to the next; after the last one it stays failed until it changes.
delays_s = [30.0, 120.0, 300.0]

[brakes]
# A listing that lost more than this share of a timelapse's sources, and at least that many, is not believed until
# it is accepted with --accept-shrink. An empty one never is.
max_shrink_ratio = 0.10
min_shrink_sources = 5
# A sweep that would take more than this share of the variant files of a timelapse, or of the library, and at least
# this many, is refused until it is repeated with --force.
max_sweep_ratio_timelapse = 0.5
max_sweep_ratio_library = 0.1
min_sweep_variants = 20

[trash]
# Days for which what sweep and purge removed can be restored; older entries go at the next sweep or purge.
keep_days = 7.0

[verification]
# What one run of the rolling verification may read (bytes) and how long it may take (seconds); it opens the sources
# that were looked at longest ago and their variants, and goes on there the next time.
rolling_bytes = 10000000000
rolling_s = 1800.0


[checks]
# The share of variants that may be failed, and the hours that the oldest capture may wait for its variants, before the
# checks in the UI turn red.
max_failed_ratio = 0.01
max_wait_h = 24.0

[captures]
# The workers for new captures stay this long after the last one (seconds). With keep_warm their run stays without them
# and meets the next one within a second (190 MB of memory); without, it ends, and the next one waits for a start.
linger_s = 30.0
keep_warm = true

# Each variant: its folder beside frames/, its tag in file names, its box in pixels (leave one side out to keep it
# open), fit = "contain", "cover" (with gravity) or "pad", format = "jpeg", "png", "webp" or "avif".
[variants.thumbnail]
folder = "thumbnails"
tag = "thumb"
max_width_px = 200
max_height_px = 150
fit = "contain"
gravity = "center"
format = "jpeg"
quality = 85
progressive = false
enlarge = false

[variants.small]
folder = "smalls"
tag = "small"
max_width_px = 800
max_height_px = 600
fit = "contain"
gravity = "center"
format = "jpeg"
quality = 85
progressive = false
enlarge = false

# Which variants each source must have. Overridden below a camera, and below a timelapse. docs/policies.md has all keys.
[policy]
variants = ["thumbnail", "small"]
generate_thumbnails = true
small_generation_mode = "all"        # or "latest_only" or "none"
purge_smalls_on_completion = false   # true: a timelapse with status = "completed" needs no smalls

# [policy.retention.small]
# keep_days = 30
# then_every_s = 3600                # after 30 days one an hour; without this line none

# [cameras."camera-1"]
# timezone = "Europe/Berlin"
# [cameras."camera-1".policy]
# variants = ["thumbnail"]

# [timelapses."camera-1/timelapse-2"]
# start_date = 2025-04-22            # what day001 in its file names means
# status = "completed"
# [timelapses."camera-1/timelapse-2".policy]
# variants = ["thumbnail", "small"]
"""
"""What `init` writes; a test holds it against the defaults of `domain.settings`."""
