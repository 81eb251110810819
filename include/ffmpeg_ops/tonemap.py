"""The 3D LUT that maps HDR (PQ or HLG, BT.2020) to SDR BT.709, since not every ffmpeg has zscale or libplacebo.

Display light, converted to BT.709's primaries, is compressed by the curve of ITU-R BT.2390-10 (section 5.4.1) on the largest
component, which keeps hue and saturation, from a 1000 cd/m² master to a display whose white is HDR's reference white of
203 cd/m² (ITU-R BT.2408): what is darker than some 90 cd/m² stays as it is, reference white comes out at 90 % of the SDR signal,
highlights share the rest. What lies outside BT.709 is drawn towards grey of the same luminance, and the signal is made with
the inverse of BT.1886 (gamma 2.4), which is what an SDR display applies.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp
from pathlib import Path
from typing import Literal

__all__ = ["SIZE", "cube", "sdr", "write_cube"]

SIZE = 33
PEAK = 1000.0
WHITE = 203.0

Triple = tuple[float, float, float]

# SMPTE ST 2084
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ITU-R BT.2100, HLG
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_LUMA_2020 = (0.2627, 0.6780, 0.0593)
_LUMA_709 = (0.2126, 0.7152, 0.0722)
# ITU-R BT.2087 inverted: linear BT.2020 to linear BT.709
_TO_709 = ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730))


def _pq_to_nits(signal: float) -> float:
    power = signal ** (1 / _M2)
    return 10000 * float((max(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _nits_to_pq(nits: float) -> float:
    power = (nits / 10000) ** _M1
    return float(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _hlg_to_scene(signal: float) -> float:
    if signal <= 0.5:
        return signal * signal / 3
    return (exp((signal - _C) / _A) + _B) / 12


def _display_light(kind: Literal["pq", "hlg"], signal: Triple) -> Triple:
    """Return BT.2020 light in cd/m² on a display of 1000 cd/m²."""
    if kind == "pq":
        return _pq_to_nits(signal[0]), _pq_to_nits(signal[1]), _pq_to_nits(signal[2])
    red, green, blue = (_hlg_to_scene(value) for value in signal)
    luma = _dot(_LUMA_2020, (red, green, blue))
    # OOTF with the system gamma of a 1000 cd/m² display
    gain = PEAK * luma**0.2
    return red * gain, green * gain, blue * gain


def _compress(nits: float) -> float:
    """Apply BT.2390's EETF from a master of PEAK to a display of WHITE, both in cd/m² (black is black in both)."""
    top = _nits_to_pq(PEAK)
    signal = min(_nits_to_pq(nits) / top, 1.0)
    highest = _nits_to_pq(WHITE) / top
    knee = 1.5 * highest - 0.5
    if signal > knee:
        t = (signal - knee) / (1 - knee)
        signal = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * highest
    return _pq_to_nits(signal * top)


def _dot(a: Triple, b: Triple) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def sdr(kind: Literal["pq", "hlg"], signal: Triple) -> Triple:
    """Map one full-range R'G'B' signal in [0, 1] from HDR BT.2020 to SDR BT.709."""
    light = _display_light(kind, signal)
    linear = _dot(_TO_709[0], light), _dot(_TO_709[1], light), _dot(_TO_709[2], light)
    largest = max(linear)
    if largest <= 0:
        return 0.0, 0.0, 0.0
    gain = _compress(largest) / largest / WHITE
    red, green, blue = (value * gain for value in linear)
    grey = max(_dot(_LUMA_709, (red, green, blue)), 0.0)
    # The farthest from grey that no component is negative; none is above 1 since the largest was compressed to that.
    share = min([1.0, *(grey / (grey - value) for value in (red, green, blue) if value < 0)])
    red, green, blue = (min(max(grey + share * (value - grey), 0.0), 1.0) ** (1 / 2.4) for value in (red, green, blue))
    return red, green, blue


@lru_cache(maxsize=2)
def cube(kind: Literal["pq", "hlg"]) -> str:
    """Return the text of the .cube file: SIZE³ lines, red changing fastest."""
    steps = [step / (SIZE - 1) for step in range(SIZE)]
    lines = [f"LUT_3D_SIZE {SIZE}"]
    lines += ["{:.6f} {:.6f} {:.6f}".format(*sdr(kind, (red, green, blue))) for blue in steps for green in steps for red in steps]
    return "\n".join(lines) + "\n"


def write_cube(kind: Literal["pq", "hlg"], path: Path) -> Path:
    """Write the LUT to ``path`` and return it."""
    path.write_text(cube(kind), encoding="ascii")
    return path
