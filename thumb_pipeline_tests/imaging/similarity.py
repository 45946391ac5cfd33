"""How alike two pictures look: mean structural similarity of luma (Wang et al. 2004), in windows of 8x8."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_WINDOW = 8
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def similarity(one: Image.Image, other: Image.Image) -> float:
    """1 for equal pictures, towards 0 the less structure they share.

    Args:
        one: a gray picture.
        other: a gray picture of the same size, at least 8 pixels a side.
    """
    assert one.size == other.size
    a, b = (np.asarray(picture.convert("L"), dtype=np.float64) for picture in (one, other))
    mean_a, mean_b = _windows(a), _windows(b)
    variance_a = _windows(a * a) - mean_a**2
    variance_b = _windows(b * b) - mean_b**2
    covariance = _windows(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return float((luminance * structure).mean())


def _windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of every window."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    sums[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    n = _WINDOW
    total: NDArray[np.float64] = sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    return total / n**2
