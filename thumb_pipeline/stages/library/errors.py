"""The exceptions that callers of stages must handle, grouped by what they mean to the caller.

A bad picture raises none of these: it is a row.
"""

from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline.storage.leases import LockTimeout
from thumb_pipeline.storage.publishing import CannotWrite, NameTaken, remedy

REFUSALS = (Refused, ArchiveUnavailable, SliceDamaged)
"""Nothing was changed; the message says what to do first."""

INTERRUPTIONS = (CannotWrite, NameTaken, LockTimeout)
"""The environment interrupted the work; what was done is kept, and repeating is safe."""


def remedy_of(error: OSError) -> str:
    """What to do about an error of the system for which there is no message of its own."""
    return remedy(error)
