"""What the tests of workers share: a pool over files in a folder, and a look at its processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thumb_pipeline.domain.variants import VariantSpec
from thumb_pipeline.stages.workers.messages import RenderTask, VariantOrder, WorkerOrders
from thumb_pipeline.stages.workers.pool import WorkerPool
from thumb_pipeline.storage.leases import hold_lease

MEBIBYTE = 1024 * 1024

SMALL = VariantSpec(name="small", tag="small", folder="smalls", max_width_px=800, max_height_px=600)
THUMBNAIL = VariantSpec(name="thumbnail", tag="thumb", folder="thumbnails", max_width_px=200, max_height_px=150)


@contextmanager
def pool_in(
    folder: Path,
    *,
    n_workers: int = 2,
    deadline_s: float = 60.0,
    max_pixels: int = 200_000_000,
    max_memory_bytes: int = 2048 * MEBIBYTE,
    is_yielding: bool = False,
) -> Iterator[WorkerPool]:
    with hold_lease(str(folder / "leases")) as lease:
        orders = WorkerOrders(
            writer=lease.id,
            cameras=str(folder / "cameras"),
            deadline_s=deadline_s,
            max_pixels=max_pixels,
            max_memory_bytes=max_memory_bytes,
            is_yielding=is_yielding,
        )
        with WorkerPool(n_workers, lease, orders) as pool:
            yield pool


def task_for(source: Path, variants: Path, *specs: VariantSpec) -> RenderTask:
    """Renders a source into `variants`, under names that no other source has."""
    status = source.stat()
    orders = tuple(
        VariantOrder(spec=spec, target=os.fsencode(variants / spec.folder / f"{abs(hash(source))}.{spec.extension}"))
        for spec in specs or (SMALL, THUMBNAIL)
    )
    return RenderTask(
        path=os.fsencode(source),
        name=os.fsencode(source.name),
        n_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        variants=orders,
    )


def children() -> set[int]:
    """Process ids of the living children of this process."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if _is_alive(pid)}


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
