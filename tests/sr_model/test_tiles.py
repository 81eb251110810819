from __future__ import annotations

import numpy as np
import pytest

from include.errors import LimitExceeded
from include.sr_model import zoo
from include.sr_model.backends.tiled import upscale_plane
from include.sr_model.network import run
from include.sr_model.tiles import grid, spans


@pytest.mark.parametrize(
    ("length", "tile", "halo"),
    [
        pytest.param(64, 64, 7, id="one-tile"),
        pytest.param(65, 64, 7, id="one-sample-more"),
        pytest.param(64 + 2 * 50, 64, 7, id="exact-multiple-of-the-stride"),
        pytest.param(64 + 2 * 50 + 1, 64, 7, id="multiple-and-one"),
        pytest.param(64 + 2 * 50 - 1, 64, 7, id="multiple-less-one"),
        pytest.param(1920, 192, 7, id="many"),
        pytest.param(40, 15, 7, id="stride-of-one"),
    ],
)
def test_spans_give_every_sample_once_and_never_from_a_halo(length: int, tile: int, halo: int) -> None:
    found = spans(length, tile, halo)
    assert [sample for span in found for sample in range(span.first, span.last)] == list(range(length))
    for span in found:
        assert 0 <= span.start <= length - tile
        assert span.first - span.start >= halo or span.start == 0
        assert span.start + tile - span.last >= halo or span.start + tile == length


@pytest.mark.parametrize(
    ("length", "tile", "halo"), [pytest.param(63, 64, 7, id="short"), pytest.param(99, 14, 7, id="all-halo")]
)
def test_tiles_that_cannot_be_cut_are_refused(length: int, tile: int, halo: int) -> None:
    with pytest.raises(LimitExceeded):
        spans(length, tile, halo)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [pytest.param((53, 37), id="tails"), pytest.param((24 + 10, 24), id="exact")])
def test_the_tiled_plane_equals_the_whole_one(scale: int, size: tuple[int, int]) -> None:
    entry = zoo.find(scale)
    height, width = size
    luma = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    tiles = grid(height, width, 24, 24, entry.radius)
    result = np.zeros((height * scale, width * scale), np.uint8)

    def forward(batch: np.ndarray) -> np.ndarray:
        return np.stack([run(entry.network, tile[0])[None] for tile in batch])

    upscale_plane(luma, result, tiles, forward, peak=255, shape=(3, 24, 24))
    whole = run(entry.network, luma.astype(np.float32) / 255)
    # The order of summation differs by the place in the plane: what is left of a code value after rounding is one at most.
    exact = np.clip(whole * 255, 0, 255)
    assert np.abs(result - exact).max() < 0.501


def test_a_halo_that_is_too_small_would_show() -> None:
    entry = zoo.find(2)
    luma = np.random.default_rng(1).integers(0, 256, (48, 48)).astype(np.uint8)
    result = np.zeros((96, 96), np.uint8)
    shape = (1, 24, 24)
    narrow = grid(48, 48, 24, 24, entry.radius - 3)
    upscale_plane(luma, result, narrow, lambda batch: run(entry.network, batch[0, 0])[None, None], peak=255, shape=shape)
    exact = np.clip(run(entry.network, luma.astype(np.float32) / 255) * 255, 0, 255)
    assert np.abs(result - exact).max() > 1
