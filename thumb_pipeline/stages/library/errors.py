"""What callers of stages must be ready for, by what it means to them.

A bad picture is none of these: it is a row.
"""

from thumb_pipeline.datasets.slices import SliceDamaged
from thumb_pipeline.stages.library.refused import Refused
from thumb_pipeline.storage.folders import ArchiveUnavailable
from thumb_pipeline.storage.leases import LockTimeout
from thumb_pipeline.storage.publishing import CannotWrite, NameTaken, remedy

REFUSALS = (Refused, ArchiveUnavailable, SliceDamaged)
"""Nothing was changed; the message says what to do first."""

INTERRUPTIONS = (CannotWrite, NameTaken, LockTimeout)
"""The environment stood in the way; what was done is kept, and repeating is safe."""


def remedy_of(error: OSError) -> str:
    """What to do where the system refused something that nobody has words of their own for."""
    return remedy(error)
