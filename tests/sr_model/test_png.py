from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from include.sr_model import png
from include.sr_model.png import PngWriter


def decoded(path: Path, format: str) -> np.ndarray[Any, Any]:
    """The picture as FFmpeg reads it."""
    with av.open(io.BytesIO(path.read_bytes()), format="png_pipe") as container:
        frame = next(container.decode(video=0))
    picture = frame.to_ndarray(format=format)
    return picture if picture.ndim == 3 else picture[..., None]


def write(path: Path, picture: np.ndarray[Any, Any], *borders: int) -> None:
    height, width, channels = picture.shape
    with PngWriter(path, width, height, channels, picture.dtype) as writer:
        for band in np.split(picture, borders):
            writer.write(band)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (37, 53)], ids=lambda size: f"{size[1]}x{size[0]}")
@pytest.mark.parametrize(
    ("channels", "dtype", "format"),
    [(1, np.uint8, "gray"), (3, np.uint8, "rgb24"), (4, np.uint8, "rgba"), (1, np.uint16, "gray16le"), (3, np.uint16, "rgb48le"),
     (4, np.uint16, "rgba64le")],
    ids=["grey", "rgb", "rgba", "grey-16", "rgb-16", "rgba-16"],
)  # fmt: skip
def test_another_reader_sees_every_sample(tmp_path: Path, size: tuple[int, int], channels: int, dtype: Any, format: str) -> None:
    picture = np.random.default_rng(7).integers(0, np.iinfo(dtype).max, (*size, channels), endpoint=True).astype(dtype)
    write(tmp_path / "a.png", picture)
    assert np.array_equal(decoded(tmp_path / "a.png", format), picture)


def test_bands_and_slices_make_the_picture_that_is_made_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(7).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    write(tmp_path / "once.png", picture)
    monkeypatch.setattr(png, "SLICE_BYTES", 200)
    write(tmp_path / "bands.png", picture, 1, 17, 39)
    for name in ("once.png", "bands.png"):
        assert np.array_equal(decoded(tmp_path / name, "rgb24"), picture)


def test_what_is_smooth_becomes_small(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:256, 0:256]
    write(tmp_path / "a.png", np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8))
    assert (tmp_path / "a.png").stat().st_size < 5_000


def test_missing_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 rows"), PngWriter(tmp_path / "a.png", 4, 5, 1, np.dtype(np.uint8)) as writer:
        writer.write(np.zeros((2, 4, 1), np.uint8))


def test_no_error_is_hidden_by_missing_rows(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), PngWriter(tmp_path / "a.png", 4, 5, 1, np.dtype(np.uint8)):
        raise ZeroDivisionError
