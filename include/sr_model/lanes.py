"""Convolutions whose channels fill the lanes of a processor's vectors.

A library computes as many channels side by side as a vector has lanes, 16 with AVX-512, and what a convolution lacks of them is
computed for nothing. Whatever ends in a plane has ``scale²`` channels, one for each sample of the cell that a source sample
becomes: four at a scale of two. So at every place as many source samples are computed as fill the lanes: the kernel reads a
little more, moves by as many samples, and has the channels of one large cell. The sums are the same, with zeros among them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LANES", "spread", "stride", "widen"]

LANES = 16


def stride(scale: int) -> int:
    """Return how many source samples along each axis are computed at a place."""
    return max(1, math.isqrt(LANES) // scale)


def widen(kernel: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return ``kernel [s², i, n, n]`` for places that lie :func:`stride` samples apart: ``[S², i, N, N]`` of the same type.

    ``S`` is ``stride * s`` and ``N`` is ``n + stride - 1``; channel ``r * S + c`` is sample ``(r, c)`` of the large cell.
    """
    step, (_, into, rows, columns) = stride(scale), kernel.shape
    wide = np.zeros((step, scale, step, scale, into, rows + step - 1, columns + step - 1), kernel.dtype)
    for y, x in np.ndindex(step, step):
        wide[y, :, x, :, :, y : y + rows, x : x + columns] = kernel.reshape(scale, scale, into, rows, columns)
    return wide.reshape(-1, *wide.shape[4:])


def spread(values: NDArray[Any], scale: int) -> NDArray[Any]:
    """Return ``values [s²]``, one for each channel of a kernel, for the channels of the wide one, ``[S²]``."""
    step = stride(scale)
    return np.tile(values.reshape(scale, scale), (step, step)).reshape(-1)
