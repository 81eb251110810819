"""How good a network is: PSNR over held-out pictures, beside plain interpolation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.sr_model.training.resize import enlarge

__all__ = ["interpolated", "mean_psnr", "psnr"]

Plane = NDArray[np.uint8]


def psnr(picture: NDArray[Any], reference: Plane, border: int) -> float:
    """Return the PSNR in dB of ``picture`` (rounded and clamped to 8 bit first) without ``border`` samples at each side."""
    rounded = np.clip(np.rint(picture.astype(np.float64)), 0, 255)
    difference = (rounded - reference)[border:-border, border:-border]
    return 10 * math.log10(255**2 / max(float(np.mean(difference**2)), 1e-10))


def mean_psnr(pictures: Sequence[tuple[Plane, Plane]], upscale: Callable[[Plane], NDArray[Any]]) -> float:
    """Return the mean PSNR over ``(small, large)`` pictures; the border left out is the scale, as in published tables."""
    values = [psnr(upscale(small), large, large.shape[0] // small.shape[0]) for small, large in pictures]
    return float(np.mean(values))


def interpolated(scale: int, kernel: str) -> Callable[[Plane], NDArray[Any]]:
    """Return plain interpolation with ``kernel`` (bicubic, lanczos …) as an upscaler."""
    return lambda small: enlarge(small, scale, kernel)
