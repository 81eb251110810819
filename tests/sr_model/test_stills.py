from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.errors import InvalidInputData, OutputNotSupported
from include.sr_model import stills, zoo
from include.sr_model.icc import icc_profile
from include.sr_model.network import run
from include.sr_model.stills import read_still, upscale_still, upscaled_bands, write_raw, write_still
from include.sr_model.zoo import Entry
from tests.conftest import Clips
from tests.sr_model.test_upscale import make


def picture(channels: int, dtype: Any = np.uint8, size: tuple[int, int] = (21, 33)) -> np.ndarray[Any, Any]:
    """Smooth waves, different in every channel."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    waves = [0.5 + 0.4 * np.sin(rows / (4 + n) + columns / (5 + n) + n) for n in range(channels)]
    return (np.stack(waves, axis=-1) * np.iinfo(dtype).max).astype(dtype)


def upscaled(original: np.ndarray[Any, Any], network: Entry) -> np.ndarray[Any, Any]:
    return np.concatenate(list(upscaled_bands(original, network)))


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
    made = upscaled(original, entry)
    exact = run(entry.network, original[..., 0].astype(np.float32) / 255).clip(0, 1) * 255
    assert np.abs(made[..., 0] - exact).max() < 0.51


def test_flat_colors_and_transparency_stay(tmp_path: Path) -> None:
    flat = np.empty((16, 16, 4), np.uint8)
    flat[:] = (200, 30, 90, 128)
    made = upscaled(flat, zoo.find(2))
    assert np.abs(made[8:-8, 8:-8].astype(int) - (200, 30, 90, 128)).max() <= 2


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("channels", [pytest.param(1, id="grey"), pytest.param(3, id="rgb"), pytest.param(4, id="rgba")])
def test_a_still_made_in_tiles_is_the_one_made_whole_bit_by_bit(
    monkeypatch: pytest.MonkeyPatch, channels: int, scale: int
) -> None:
    original = np.random.default_rng(2).integers(0, 256, (170, 190, channels)).astype(np.uint8)
    whole = upscaled(original, zoo.find(scale))
    monkeypatch.setattr(stills, "TILE", (64, 96))
    assert len(list(upscaled_bands(original, zoo.find(scale)))) > 3
    assert np.array_equal(upscaled(original, zoo.find(scale)), whole)


EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHHI", 0x0112, 3, 1, 0, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_and_mirrored_as_it_says(tmp_path: Path, orientation: int) -> None:
    corners = np.zeros((16, 24), np.uint8)
    corners[:8, :8], corners[8:, :8] = 100, 200
    raw = write_raw(corners[..., None], tmp_path / "a.nut")
    make(tmp_path / "a.jpg", "-i", str(raw), "-q:v", "1")
    data = (tmp_path / "a.jpg").read_bytes()
    exif = EXIF[:24] + bytes([0, orientation]) + EXIF[26:]
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    wanted = {
        1: corners,
        2: corners[:, ::-1],
        3: corners[::-1, ::-1],
        4: corners[::-1],
        5: corners.T,
        6: np.rot90(corners, -1),
        7: corners[::-1, ::-1].T,
        8: np.rot90(corners),
    }[orientation]
    seen = read_still(tmp_path / "a.jpg")[..., 0]
    assert seen.shape == wanted.shape
    assert np.abs(seen.astype(int) - wanted).mean() < 5


@pytest.mark.parametrize("kind", ["list", "video"])
def test_what_only_is_named_as_a_picture_is_not_opened(tmp_path: Path, clip: Clips, kind: str) -> None:
    (tmp_path / "v.mp4").write_bytes(clip("short").read_bytes())
    text = b"ffconcat version 1.0\nfile v.mp4\n"
    (tmp_path / "a.png").write_bytes(text if kind == "list" else clip("short").read_bytes())
    with pytest.raises(InvalidInputData):
        read_still(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a%d.png", "a:b.png", "-.png"])
def test_a_name_is_a_name_and_nothing_else(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_still(picture(3), Path(name))
    assert read_still(Path(name)).shape == (21, 33, 3)


def test_a_picture_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_still(picture(3), tmp_path / "a.png")
    monkeypatch.setattr(stills, "_LIMITS", {"max_pixels": "600"})
    with pytest.raises(InvalidInputData, match="million pixels"):
        read_still(tmp_path / "a.png")


def test_a_still_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputData, match="No such file"):
        read_still(tmp_path / "a.png")


PROFILE = struct.pack(">I12x4s16x4s", 40 + 256 * 300, b"RGB ", b"acsp") + bytes(range(256)) * 300


def with_profile(photo: Path, profile: bytes) -> Path:
    halves = profile[:60_000], profile[60_000:]
    parts = [b"ICC_PROFILE\0" + bytes([number, 2]) + half for number, half in enumerate(halves, 1)]
    # They may come in any order.
    segments = [b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part for part in reversed(parts)]
    data = photo.read_bytes()
    photo.write_bytes(data[:2] + b"".join(segments) + data[2:])
    return photo


def test_colours_keep_their_meaning(tmp_path: Path) -> None:
    photo = make(tmp_path / "a.jpg", "-f", "lavfi", "-i", "testsrc2=s=32x24", "-frames:v", "1")
    upscale_still(with_profile(photo, PROFILE), tmp_path / "b.png")
    upscale_still(tmp_path / "b.png", tmp_path / "c.png")
    for made in ("b.png", "c.png"):
        assert icc_profile((tmp_path / made).read_bytes(), 3) == PROFILE
    assert read_still(tmp_path / "c.png").shape == (96, 128, 3)


@pytest.mark.parametrize("profile", [PROFILE.replace(b"RGB ", b"CMYK"), PROFILE[:-1], b""], ids=["cmyk", "short", "empty"])
def test_what_is_no_profile_of_the_picture_is_left_out(tmp_path: Path, profile: bytes) -> None:
    photo = make(tmp_path / "a.jpg", "-f", "lavfi", "-i", "testsrc2=s=32x24", "-frames:v", "1")
    plain = photo.read_bytes()
    assert icc_profile(with_profile(photo, profile).read_bytes(), 3) is None
    # A file may end anywhere, and profiles of colours are none of grey.
    photo.write_bytes(plain)
    data = with_profile(photo, PROFILE).read_bytes()
    assert icc_profile(data[:70], 3) is None
    assert icc_profile(data, 1) is None


def test_half_a_photograph_is_no_picture(tmp_path: Path) -> None:
    photo = make(tmp_path / "a.jpg", "-f", "lavfi", "-i", "testsrc2=s=64x48", "-frames:v", "1")
    data = photo.read_bytes()
    # What has all its pictures' data and only lacks its end mark is whole.
    photo.write_bytes(data[:-2])
    assert read_still(photo).shape == (48, 64, 3)
    photo.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidInputData, match="no picture that can be read"):
        read_still(photo)


def test_text_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InvalidInputData, match=r"a\.png"):
        upscale_still(tmp_path / "a.png", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_stills_are_written_as_png_alone(tmp_path: Path) -> None:
    write_still(picture(3), tmp_path / "a.png")
    with pytest.raises(OutputNotSupported, match="PNG"):
        upscale_still(tmp_path / "a.png", tmp_path / "b.jpg")
