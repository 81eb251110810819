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
    scale = math.isqrt(cells.shape[3])
    if cells.dtype != planes.dtype:
        _move_samples(cells, planes, scale)
        return
    rows, columns = planes.shape[1] // scale, planes.shape[2] // scale
    _move_words(cells[:, :rows, :columns], planes[:, : rows * scale, : columns * scale], scale)
    _move_samples(cells[:, rows:], planes[:, rows * scale :], scale)
    _move_samples(cells[:, :, columns:], planes[:, :, columns * scale :], scale)


def _move_words(cells: NDArray[Any], planes: NDArray[Any], scale: int) -> None:
    # What lies side by side in a cell lies so in the plane, too.
    count, height, width, _ = cells.shape
    word = np.dtype(f"u{scale * cells.itemsize}")
    rows = planes.view(word).reshape(count, height, scale, width)
    np.copyto(rows, cells.view(word).transpose(0, 1, 3, 2))


def _move_samples(cells: NDArray[Any], planes: NDArray[Any], scale: int) -> None:
    count, height, width, _ = cells.shape
    rows = cells.reshape(count, height, width, scale, scale).transpose(0, 1, 3, 2, 4)
    whole = rows.reshape(count, height * scale, width * scale)
    np.copyto(planes, whole[:, : planes.shape[1], : planes.shape[2]], casting="unsafe")
