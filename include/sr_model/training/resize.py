"""Plane resizing by separable kernels: what pictures were made smaller with before the network sees them.

``bicubic`` is the antialiased one of the published tables (Keys' kernel with a = -0.5, stretched by the reduction, edges
mirrored: MATLAB's ``imresize``). Positions are centre-aligned, as every scaler of video does it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["KERNELS", "enlarge", "resize"]

FloatArray = NDArray[np.float32]


def _cubic(x: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "bicubic": (2, lambda x: _cubic(x, -0.5)),
    "sharp": (2, lambda x: _cubic(x, -0.75)),
    "bilinear": (1, lambda x: np.maximum(0, 1 - np.abs(x))),
    "area": (0.5, lambda x: np.where(np.abs(x) <= 0.5, 1.0, 0.0)),
    "lanczos": (3, _lanczos),
}
"""Name → (half width in samples of the coarser grid, function)."""


@lru_cache(maxsize=256)
def _matrix(length: int, target: int, kernel: str) -> FloatArray:
    support, function = KERNELS[kernel]
    ratio = length / target
    stretch = max(ratio, 1.0)
    centres = (np.arange(target) + 0.5) * ratio - 0.5
    first = np.floor(centres - support * stretch).astype(int)
    taps = first[:, None] + np.arange(int(np.ceil(2 * support * stretch)) + 2)
    weights = function((taps - centres[:, None]) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.mod(taps, 2 * length)
    mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((target, length))
    np.add.at(matrix, (np.arange(target)[:, None], mirrored), weights)
    return matrix.astype(np.float32)


def resize(plane: NDArray[np.generic], height: int, width: int, kernel: str = "bicubic") -> FloatArray:
    """Return ``plane [H, W]`` as ``[height, width]``, float32, not rounded or clamped."""
    rows = _matrix(plane.shape[0], height, kernel)
    columns = _matrix(plane.shape[1], width, kernel)
    return np.asarray(rows @ plane.astype(np.float32) @ columns.T, np.float32)


def enlarge(plane: NDArray[np.generic], scale: int, kernel: str) -> FloatArray:
    """Return ``plane`` with ``scale`` times its sides: what the network has to beat."""
    return resize(plane, plane.shape[0] * scale, plane.shape[1] * scale, kernel)
