"""Pairs and held-out pictures out of a folder of photos and clips. Needs torch, which only training does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from include.sr_model.training.data import held_out, training_pairs
from include.sr_model.training.material import clips, hold_out, photo, photos, sharp
from tests.media import ffmpeg


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    make = [ffmpeg(), "-v", "error", "-f", "lavfi", "-i"]
    pictures = ["-frames:v", "7", str(folder / "photo%d.jpg")]
    subprocess.run([*make, "testsrc2=size=960x720:rate=1", "-q:v", "2", *pictures], check=True)
    subprocess.run([*make, "testsrc2=size=640x480:rate=25", "-frames:v", "70", str(folder / "clip.mp4")], check=True)
    return folder


def test_held_out_photos_are_not_trained_on(material: Path) -> None:
    training, held = hold_out(photos(material))
    assert len(held) == 6
    assert not set(training) & set(held)
    assert {*training, *held} == set(photos(material))
    assert [path.name for path in clips(material)] == ["clip.mp4"]


def test_photos_become_luma_of_studio_range_made_smaller(material: Path) -> None:
    plane = photo(photos(material)[0])
    assert plane.shape == (720, 960)
    assert plane.min() >= 16
    assert plane.max() <= 235
    assert sharp(plane, 1.5).shape == (480, 640)
    assert sharp(plane, 0.1).size == pytest.approx(0.1e6, rel=0.1)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("variant", ["clean", "video"])
def test_pairs_are_made_once_and_then_read(material: Path, tmp_path: Path, scale: int, variant: str) -> None:
    pairs = training_pairs(material, scale, variant, tmp_path, count=1)
    assert len(pairs.small) > 2
    assert pairs.scale == scale
    (file,) = tmp_path.iterdir()
    made = file.stat().st_mtime_ns
    again = training_pairs(material, scale, variant, tmp_path, count=1)
    assert file.stat().st_mtime_ns == made
    assert (again.large == pairs.large).all()


@pytest.mark.parametrize("condition", ["clean", "crf28"])
def test_held_out_pictures_are_the_same_from_the_cache(material: Path, tmp_path: Path, condition: str) -> None:
    first, second = (held_out(material, 2, condition, tmp_path) for _ in range(2))
    assert len(first) >= 6
    for (small, large), (small_again, large_again) in zip(first, second, strict=True):
        assert large.shape == tuple(2 * side for side in small.shape)
        assert np.array_equal(small, small_again)
        assert np.array_equal(large, large_again)
