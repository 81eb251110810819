"""Figures of one version of a video against another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from include.errors import InvalidInputData
from include.sr_model.compare import measure
from include.sr_model.stills import write_still
from tests.sr_model.test_upscale import make


def film(path: Path, frames: int, crf: int) -> Path:
    encode = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", str(crf))
    return make(path, "-f", "lavfi", "-i", "testsrc2=s=160x96:r=25", "-frames:v", str(frames), *encode)


def test_a_video_is_measured_against_one_of_as_many_frames(tmp_path: Path) -> None:
    values = measure(film(tmp_path / "worse.mp4", 20, 24), film(tmp_path / "original.mp4", 20, 10))
    assert 25 < values["psnr_y"] < 60
    assert 0.9 < values["ssim"] < 1


@pytest.mark.parametrize(("frames", "expected"), [(20, 10), (10, 20)], ids=["longer", "shorter"])
def test_a_video_of_another_length_than_its_reference_is_not_measured(tmp_path: Path, frames: int, expected: int) -> None:
    video, reference = film(tmp_path / "a.mp4", frames, 20), film(tmp_path / "b.mp4", expected, 20)
    with pytest.raises(InvalidInputData, match=f"a.mp4 has {frames} frames and b.mp4 {expected}"):
        measure(video, reference)


def test_a_picture_and_its_negative_are_measured(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (24, 40, 1)).astype(np.uint8)
    for name, picture in (("a.png", noise), ("b.png", 255 - noise)):
        write_still(picture, tmp_path / name)
    assert measure(tmp_path / "a.png", tmp_path / "b.png")["ssim"] < 0
