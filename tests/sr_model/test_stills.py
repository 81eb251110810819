from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.errors import InvalidInputData, OutputNotSupported
from include.sr_model import zoo
from include.sr_model.backends import openvino
from include.sr_model.backends.openvino import PlaneUpscaler
from include.sr_model.network import run
from include.sr_model.stills import read_still, upscale_picture, upscale_still, write_still


def picture(channels: int, dtype: Any = np.uint8, size: tuple[int, int] = (21, 33)) -> np.ndarray[Any, Any]:
    """Smooth waves, different in every channel."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    waves = [0.5 + 0.4 * np.sin(rows / (4 + n) + columns / (5 + n) + n) for n in range(channels)]
    return (np.stack(waves, axis=-1) * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [pytest.param(1, id="grey"), pytest.param(3, id="rgb"), pytest.param(4, id="rgba")])
def test_a_png_is_read_as_it_was_written(tmp_path: Path, channels: int, dtype: Any) -> None:
    original = picture(channels, dtype)
    write_still(original, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    again = read_still(tmp_path / "a.png")
    assert again.dtype == dtype
    assert np.array_equal(again, original)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("channels", [pytest.param(1, id="grey"), pytest.param(3, id="rgb"), pytest.param(4, id="rgba")])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_still_keeps_its_kind(tmp_path: Path, scale: int, channels: int, dtype: Any) -> None:
    original = picture(channels, dtype)
    write_still(original, tmp_path / "a.png")
    assert upscale_still(tmp_path / "a.png", tmp_path / "b.png", scale=scale) == (33 * scale, 21 * scale)
    made = read_still(tmp_path / "b.png")
    assert made.shape == (21 * scale, 33 * scale, channels)
    assert made.dtype == dtype
    # The mean of each cell is what the sample was, all but the detail that was added.
    cells = made.reshape(21, scale, 33, scale, channels).mean((1, 3))
    assert np.abs(cells - original).max() / np.iinfo(dtype).max < 0.1


def test_grey_is_the_network_alone() -> None:
    entry, original = zoo.find(2), picture(1)
    made = upscale_picture(original, PlaneUpscaler(entry))
    exact = run(entry.network, original[..., 0].astype(np.float32) / 255).clip(0, 1) * 255
    assert np.abs(made[..., 0] - exact).max() < 0.51


def test_flat_colors_and_transparency_stay(tmp_path: Path) -> None:
    flat = np.empty((16, 16, 4), np.uint8)
    flat[:] = (200, 30, 90, 128)
    made = upscale_picture(flat, PlaneUpscaler(zoo.find(2)))
    assert np.abs(made[8:-8, 8:-8].astype(int) - (200, 30, 90, 128)).max() <= 2


def test_large_stills_are_tiled_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    original, planes = picture(1, size=(70, 90)), PlaneUpscaler(zoo.find(2))
    whole = upscale_picture(original, planes)
    monkeypatch.setattr(openvino, "TILE", (32, 40))
    assert np.abs(upscale_picture(original, planes).astype(int) - whole).max() <= 1


def test_text_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InvalidInputData, match=r"a\.png"):
        upscale_still(tmp_path / "a.png", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_stills_are_written_as_png_alone(tmp_path: Path) -> None:
    write_still(picture(3), tmp_path / "a.png")
    with pytest.raises(OutputNotSupported, match="PNG"):
        upscale_still(tmp_path / "a.png", tmp_path / "b.jpg")
