from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from include.sr_model import lanes
from include.sr_model.shuffle import shuffle


def convolved(planes: NDArray[Any], kernel: NDArray[Any], stride: int) -> NDArray[Any]:
    windows = np.lib.stride_tricks.sliding_window_view(planes, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("ihwyx,oiyx->hwo", windows, kernel)


def shuffled(cells: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    made = np.zeros((1, height, width), np.int32)
    shuffle(np.ascontiguousarray(cells[None]), made)
    return made[0]


@pytest.mark.parametrize(("scale", "stride"), [(2, 2), (4, 1)])
def test_as_many_samples_are_computed_at_a_place_as_fill_the_lanes(scale: int, stride: int) -> None:
    assert lanes.stride(scale) == stride
    kernel = np.zeros((scale**2, 3, 5, 5), np.int8)
    assert lanes.widen(kernel, scale).shape == (lanes.LANES, 3, 4 + stride, 4 + stride)
    assert lanes.widen(kernel, scale).dtype == kernel.dtype


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [3, 5])
def test_the_wide_convolution_has_the_same_sums(scale: int, size: int) -> None:
    random, step = np.random.default_rng(5), lanes.stride(scale)
    height, width = 6, 10
    planes = random.integers(-128, 128, (3, height + size - 1, width + size - 1))
    kernel, bias = random.integers(-128, 128, (scale**2, 3, size, size)), random.integers(-99, 100, scale**2)
    plain = convolved(planes, kernel, 1) + bias
    wide = convolved(planes, lanes.widen(kernel, scale), step) + lanes.spread(bias, scale)
    large = (height * scale, width * scale)
    assert np.array_equal(shuffled(plain, *large), shuffled(wide, *large))
