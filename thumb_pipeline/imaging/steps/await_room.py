"""Step: wait until there is memory for the pixels, if the caller shares it between several renderings."""

from thumb_pipeline.imaging.steps.tasks import Source


def await_room(source: Source) -> None:
    """Calls `admit` with the number of pixels that decoding holds; runs after `refuse_too_large`, which counts them."""
    if source.admit is not None:
        source.admit(source.n_pixels)
