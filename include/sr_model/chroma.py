"""How chroma is enlarged: bicubic interpolation (Keys 1981, a = -0.5) at the positions that its siting prescribes.

In 4:2:0 a chroma sample stands for two by two luma samples, and lies beside the left two (``left``: MPEG-2, H.264 and most
others), amid the four (``center``: MPEG-1, JPEG) or on the upper left one (``topleft``: much of BT.2020). Enlarged by ``s`` the
luma of a cell spreads evenly around where it was, so along an axis on which chroma is co-sited with luma output sample ``j`` lies
``j / s - (s - 1) / (4 s)`` chroma samples from the first one; where it is centred, ``(j + 0.5) / s - 0.5``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.sr_model.models import Siting

__all__ = ["RADIUS", "kernel", "offset"]

RADIUS = 2
CUBIC_A = -0.5

# Along an axis: first luma sample of the two, amid both, second one.
_FIRST, _AMID, _SECOND = 0, 1, 2
_AXES: dict[str, tuple[int, int]] = {
    "left": (_FIRST, _AMID),
    "center": (_AMID, _AMID),
    "topleft": (_FIRST, _FIRST),
    "top": (_AMID, _FIRST),
    "bottomleft": (_FIRST, _SECOND),
    "bottom": (_AMID, _SECOND),
}


def offset(siting: Siting, scale: int) -> tuple[float, float]:
    """Return where output sample 0 lies along x and y, in chroma samples of the input."""
    shifts = {_FIRST: -(scale - 1) / (4 * scale), _AMID: -(scale - 1) / (2 * scale), _SECOND: -3 * (scale - 1) / (4 * scale)}
    across, down = _AXES[siting]
    return shifts[across], shifts[down]


def kernel(siting: Siting, scale: int) -> NDArray[np.float32]:
    """Return the convolution ``[s², 1, 5, 5]`` whose channel ``r * s + c`` is sample ``(r, c)`` of each enlarged cell."""
    across, down = (np.array([_taps(phase / scale + start) for phase in range(scale)]) for start in offset(siting, scale))
    weights: NDArray[np.float32] = np.einsum("ri,cj->rcij", down, across).reshape(scale**2, 1, 5, 5).astype(np.float32)
    return weights


def _taps(position: float) -> NDArray[Any]:
    return np.array([_cubic(position - tap) for tap in range(-RADIUS, RADIUS + 1)])


def _cubic(x: float, a: float = CUBIC_A) -> float:
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0
