"""Pairs and held-out pictures out of a folder of photos and clips. Needs torch, which only training does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from include.sr_model.training.data import held_out, training_pairs
from include.sr_model.training.drawings import drawing
from include.sr_model.training.material import clips, hold_out, photo, photos, sharp
from tests.media import ffmpeg


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    make = [ffmpeg(), "-v", "error", "-f", "lavfi", "-i"]
    for number in range(1, 8):
        picture = f"gradients=size=960x720:seed={number}:nb_colors=8,noise=alls=20:all_seed={number}"
        subprocess.run([*make, picture, "-frames:v", "1", "-q:v", "2", str(folder / f"photo{number}.jpg")], check=True)
    subprocess.run([*make, "testsrc2=size=640x480:rate=25", "-frames:v", "70", str(folder / "clip.mp4")], check=True)
    return folder


def test_held_out_photos_are_not_trained_on(material: Path) -> None:
    training, held = hold_out(photos(material))
    assert len(held) == 6
    assert not set(training) & set(held)
    assert {*training, *held} == set(photos(material))
    assert [path.name for path in clips(material)] == ["clip.mp4"]


def test_a_picture_that_comes_twice_is_measured_once(material: Path, tmp_path: Path) -> None:
    for path in photos(material):
        shutil.copy(path, tmp_path)
    _, held = hold_out(photos(tmp_path))
    shutil.copy(held[0], held[1])
    training, once = hold_out(photos(tmp_path))
    assert once == (held[0], *held[2:])
    assert held[1] not in training


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


def test_photos_of_other_folders_are_trained_on_and_never_held_out(material: Path, tmp_path: Path) -> None:
    own = training_pairs(material, 2, "clean", tmp_path / "own", count=1)
    more = training_pairs(material, 2, "clean", tmp_path / "more", more=[material], count=1)
    assert len(more.small) > len(own.small)
    _, held = hold_out(photos(material))
    assert len(held_out(material, 2, "clean", tmp_path / "more")) == len(held)


def test_drawings_have_hard_edges_within_studio_range() -> None:
    planes = [drawing(120, 160, np.random.default_rng(seed)).astype(int) for seed in (1, 1, 2)]
    assert np.array_equal(planes[0], planes[1])
    assert not np.array_equal(planes[0], planes[2])
    for plane in planes:
        assert plane.shape == (120, 160)
        assert 16 <= plane.min() < plane.max() <= 235
        assert np.abs(np.diff(plane, axis=1)).max() > 60
        # Most of it is flat.
        assert np.median(np.abs(np.diff(plane, axis=1))) <= 1


@pytest.mark.parametrize("condition", ["clean", "crf28"])
def test_held_out_pictures_are_the_same_from_the_cache(material: Path, tmp_path: Path, condition: str) -> None:
    first, second = (held_out(material, 2, condition, tmp_path) for _ in range(2))
    assert len(first) >= 6
    for (small, large), (small_again, large_again) in zip(first, second, strict=True):
        assert large.shape == tuple(2 * side for side in small.shape)
        assert np.array_equal(small, small_again)
        assert np.array_equal(large, large_again)
