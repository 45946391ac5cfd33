"""Step: wait until the pixels may be held, where the caller shares memory between several renderings."""

from thumb_pipeline.imaging.steps.tasks import Source


def await_room(source: Source) -> None:
    """Asks with the pixels that decoding holds; runs after `refuse_too_large`, which has counted them."""
    if source.admit is not None:
        source.admit(source.n_pixels)
