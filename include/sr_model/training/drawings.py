"""Pictures with what photos have too little of: long thin lines, corners, rims, gratings, flat areas that meet.

Networks that saw photos alone answer a hard line with ringing, the larger ones more so. Signs, subtitles and drawn films are
full of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.sr_model.training.material import coded

__all__ = ["drawing"]

Plane = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

SHAPES = 70
DARKEST, BRIGHTEST = 16, 235


def _distance(kind: int, x: FloatArray, y: FloatArray, size: float, rng: np.random.Generator) -> FloatArray:
    """Return how far each sample is outside a shape about the origin, negative inside."""
    if kind == 0:
        return np.asarray(np.maximum(np.abs(x) - size, np.abs(y) - size * rng.uniform(0.02, 1)), np.float32)
    if kind == 1:
        return np.asarray(np.hypot(x, y) - size, np.float32)
    thin = np.float32(rng.uniform(0.4, 3))
    if kind == 2:
        return np.asarray(np.abs(np.hypot(x, y) - size) - thin, np.float32)
    if kind == 3:
        return np.asarray(np.maximum(np.abs(y) - thin, np.abs(x) - 4 * size), np.float32)
    period = np.float32(rng.uniform(5, 24))
    bars = period / 4 - np.abs(y % period - period / 2)
    return np.asarray(np.maximum(bars, np.maximum(np.abs(x), np.abs(y)) - size), np.float32)


def _shade(rng: np.random.Generator) -> float:
    """Return a shade; a fifth of them are black or white, as overexposed lamps and letters are."""
    return float(np.clip(rng.uniform(DARKEST - 27, BRIGHTEST + 27), DARKEST, BRIGHTEST))


def drawing(height: int, width: int, rng: np.random.Generator) -> Plane:
    """Return luma ``[height, width]``, studio range, of shapes over each other, their rims as soft as one sample is wide."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    slope = rng.normal(0, 0.05, 2)
    plane = _shade(rng) + slope[0] * (rows - height / 2) + slope[1] * (columns - width / 2)
    for _ in range(SHAPES):
        angle, size = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(4), np.log(height / 3))))
        down, right = rows - rng.uniform(0, height), columns - rng.uniform(0, width)
        x, y = right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)
        cover = np.clip(0.5 - _distance(int(rng.integers(5)), x, y, size, rng), 0, 1)
        plane = plane + cover * (_shade(rng) - plane)
    return coded(np.clip(plane, DARKEST, BRIGHTEST))
