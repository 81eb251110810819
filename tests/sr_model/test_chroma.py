from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from include.sr_model import chroma, zoo
from include.sr_model.backends.base import Work
from include.sr_model.backends.openvino import OpenVinoSession
from include.sr_model.models import Siting
from include.sr_model.picture import Geometry

# Where a chroma sample lies among luma samples, in luma samples from the first of its cell: x, y (ITU-T H.273, figure 1).
PLACES: dict[Siting, tuple[float, float]] = {
    "left": (0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0, 0),
    "top": (0.5, 0),
    "bottomleft": (0, 1),
    "bottom": (0.5, 1),
}


def enlarged(siting: Siting, scale: int, geometry: Geometry, planes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    slot = OpenVinoSession(Work(zoo.find(scale), geometry, siting, "fp32")).slots(1)[0]
    slot.source.chroma[:] = planes
    slot.start()
    slot.wait()
    return slot.result.chroma


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("siting", PLACES)
def test_a_gradient_stays_where_it_was_among_the_luma(siting: Siting, scale: int) -> None:
    geometry = Geometry(80, 60, 10)
    place_x, place_y = PLACES[siting]

    def color(x: Any, y: Any) -> Any:
        # Of a point in luma samples of the source: a slope, which cubic interpolation gives back exactly.
        return 200 + 6 * x + 4 * y

    rows, columns = np.mgrid[0:30, 0:40]
    plane = color(2 * columns + place_x, 2 * rows + place_y)
    made = enlarged(siting, scale, geometry, np.stack([plane, plane]))[0]
    rows, columns = np.mgrid[0 : 30 * scale, 0 : 40 * scale]
    # Luma sample j of the result covers the source's luma around (j + 0.5) / s - 0.5.
    wanted = color((2 * columns + place_x + 0.5) / scale - 0.5, (2 * rows + place_y + 0.5) / scale - 0.5)
    inside = (slice(2 * scale, -2 * scale),) * 2
    assert np.abs(made[inside] - wanted[inside]).max() <= 0.5


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("size", [(80, 60), (82, 60), (80, 58), (81, 57), (2, 60), (80, 2), (1, 1)])
def test_every_sample_up_to_the_edges_is_interpolated(size: tuple[int, int], depth: int, scale: int) -> None:
    geometry = Geometry(*size, depth)
    width, height = geometry.chroma
    planes = np.random.default_rng(2).integers(0, geometry.peak + 1, (2, height, width))
    edges = np.pad(planes, ((0, 0), (2, 2), (2, 2)), "edge")
    windows = np.lib.stride_tricks.sliding_window_view(edges, (5, 5), (1, 2))
    cells = np.einsum("phwyx,oyx->phwo", windows, chroma.kernel("left", scale)[:, 0]).reshape(2, height, width, scale, scale)
    wanted = cells.transpose(0, 1, 3, 2, 4).reshape(2, height * scale, width * scale)
    made = enlarged("left", scale, geometry, planes)
    # Clamped and rounded, and nothing else.
    assert np.abs(made - wanted[:, : made.shape[1], : made.shape[2]].clip(0, geometry.peak)).max() < 0.51


@pytest.mark.parametrize("scale", [2, 4])
def test_the_kernel_keeps_a_flat_color(scale: int) -> None:
    assert np.allclose(chroma.kernel("left", scale).sum((1, 2, 3)), 1, atol=1e-6)
    flat = enlarged("left", scale, Geometry(33, 17), np.full((2, 9, 17), 77))
    assert flat.shape == (2, (17 * scale + 1) // 2, (33 * scale + 1) // 2)
    assert set(flat.flat) == {77}


def test_both_planes_stay_apart() -> None:
    planes = np.stack([np.full((9, 17), 10), np.full((9, 17), 240)])
    made = enlarged("left", 2, Geometry(34, 18), planes)
    assert (set(made[0].flat), set(made[1].flat)) == ({10}, {240})
