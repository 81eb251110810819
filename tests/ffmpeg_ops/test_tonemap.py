from __future__ import annotations

import colorsys
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from include.ffmpeg_ops import tonemap
from tests.media import ffmpeg


def pq(nits: float) -> float:
    """SMPTE ST 2084's inverse EOTF, from the standard's formula."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def to_2020(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """Linear BT.709 to linear BT.2020, ITU-R BT.2087."""
    return (
        0.6274 * red + 0.3293 * green + 0.0433 * blue,
        0.0691 * red + 0.9195 * green + 0.0114 * blue,
        0.0164 * red + 0.0880 * green + 0.8956 * blue,
    )


@pytest.mark.parametrize("kind", ["pq", "hlg"])
def test_grey_stays_grey_and_rises_all_the_way(kind: str) -> None:
    ramp = [tonemap.sdr(kind, (step / 200,) * 3) for step in range(201)]  # type: ignore[arg-type]
    for red, green, blue in ramp:
        assert max(red, green, blue) - min(red, green, blue) < 1e-4
    values = [red for red, _, _ in ramp]
    assert all(a <= b + 1e-9 for a, b in pairwise(values))
    assert values[0] == 0
    assert values[-1] == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize(
    ("nits", "low", "high"),
    [
        pytest.param(203, 0.88, 0.93, id="reference-white"),
        pytest.param(1000, 0.995, 1, id="peak"),
        pytest.param(400, 0.95, 0.99, id="highlight"),
        # 18 % of reference white through the inverse of BT.1886: 0.18 ** (1 / 2.4)
        pytest.param(0.18 * 203, 0.485, 0.493, id="mid-grey"),
        pytest.param(2, 0.14, 0.15, id="shadow"),
        pytest.param(0, 0, 0, id="black"),
    ],
)
def test_pq_levels_land_where_sdr_wants_them(nits: float, low: float, high: float) -> None:
    assert low <= tonemap.sdr("pq", (pq(nits),) * 3)[0] <= high


def test_hlg_reference_white_is_pq_reference_white() -> None:
    # BT.2408: 75 % HLG is 203 cd/m² on a display of 1000 cd/m².
    assert tonemap.sdr("hlg", (0.75,) * 3)[1] == pytest.approx(tonemap.sdr("pq", (pq(203),) * 3)[1], abs=0.005)


@pytest.mark.parametrize(
    "color",
    [(0.6, 0.1, 0.1), (0.1, 0.6, 0.1), (0.1, 0.1, 0.6), (0.6, 0.6, 0.1), (0.1, 0.6, 0.6), (0.6, 0.1, 0.6), (0.5, 0.35, 0.25)],
    ids=["red", "green", "blue", "yellow", "cyan", "magenta", "skin"],
)
def test_colours_that_sdr_can_show_come_out_as_they_are(color: tuple[float, float, float]) -> None:
    nits = 80.0
    signal = tuple(pq(value * nits) for value in to_2020(*color))
    found = tonemap.sdr("pq", signal)  # type: ignore[arg-type]
    for value, wanted in zip(found, color, strict=True):
        assert value == pytest.approx((wanted * nits / 203) ** (1 / 2.4), abs=0.01)


@pytest.mark.parametrize("nits", [100, 400, 1000])
@pytest.mark.parametrize("color", [(1, 0.05, 0.05), (0.05, 1, 0.05), (0.05, 0.05, 1), (1, 1, 0.05), (1, 0.5, 0.1)])
def test_bright_colours_keep_hue_and_are_not_washed_out(color: tuple[float, float, float], nits: float) -> None:
    found = tonemap.sdr("pq", tuple(pq(value * nits) for value in to_2020(*color)))  # type: ignore[arg-type]
    linear = [value**2.4 for value in found]
    hue, _, _ = colorsys.rgb_to_hsv(*linear)
    wanted, _, _ = colorsys.rgb_to_hsv(*color)
    assert min(abs(hue - wanted), 1 - abs(hue - wanted)) < 0.02
    assert 1 - min(linear) / max(linear) > 0.95 * (1 - min(color))


@pytest.mark.parametrize("signal", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0.5, 0, 0), (0, 0.58, 0.01)])
def test_colours_out_of_gamut_stay_in_range(signal: tuple[float, float, float]) -> None:
    for kind in ("pq", "hlg"):
        found = tonemap.sdr(kind, signal)  # type: ignore[arg-type]
        assert all(0 <= value <= 1 for value in found)
        wanted, _, _ = colorsys.rgb_to_hsv(*signal)
        hue, saturation, _ = colorsys.rgb_to_hsv(*(value**2.4 for value in found))
        assert min(abs(hue - wanted), 1 - abs(hue - wanted)) < 0.09
        assert saturation > 0.5


def test_the_cube_is_what_ffmpeg_applies(tmp_path: Path, tools: tuple[str, str]) -> None:
    lut = tonemap.write_cube("pq", tmp_path / "pq.cube")
    lines = lut.read_text().splitlines()
    assert lines[0] == "LUT_3D_SIZE 33"
    assert len(lines) == 1 + 33**3
    for nits in (0.5, 5, 36.5, 100, 203, 600):
        code = round(pq(nits) * 65535)
        argv = [ffmpeg(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrp16le", "-s", "1x1", "-i", "-"]
        argv += ["-vf", f"lut3d=file={lut}:interp=tetrahedral", "-f", "rawvideo", "-pix_fmt", "gbrp16le", "-"]
        data = subprocess.run(argv, input=code.to_bytes(2, "little") * 3, check=True, capture_output=True).stdout
        assert int.from_bytes(data[:2], "little") / 65535 == pytest.approx(tonemap.sdr("pq", (pq(nits),) * 3)[0], abs=0.012)
