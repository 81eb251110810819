"""The pixel shuffle: samples that a network made side by side as channels become the rows and columns of a larger plane."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["shuffle"]


def shuffle(cells: NDArray[Any], planes: NDArray[Any]) -> None:
    """Fill ``planes [n, H, W]`` from ``cells [n, h, w, s²]``, where channel ``r * s + c`` is sample ``(r, c)`` of each cell.

    Of cells beyond ``H`` and ``W`` (an odd size) only what lies inside is kept. Values are converted, not rounded.
    """
    count, height, width, samples = cells.shape
    scale = math.isqrt(samples)
    if cells.dtype == planes.dtype and planes.shape == (count, height * scale, width * scale):
        # What lies side by side in a cell lies so in the plane, too: it is moved as one word.
        word = np.dtype(f"u{scale * cells.itemsize}")
        rows = planes.view(word).reshape(count, height, scale, width)
        np.copyto(rows, cells.view(word).reshape(count, height, width, scale).transpose(0, 1, 3, 2))
        return
    rows = cells.reshape(count, height, width, scale, scale).transpose(0, 1, 3, 2, 4)
    whole = rows.reshape(count, height * scale, width * scale)
    np.copyto(planes, whole[:, : planes.shape[1], : planes.shape[2]], casting="unsafe")
