"""Shipped networks on compressed video that no training saw: generated, reduced and encoded here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import openvino
import pytest

from include.sr_model.training.measure import interpolated, psnr
from include.sr_model.zoo import Entry, available
from tests.media import ffmpeg

VIDEO = [entry for entry in available() if entry.variant == "video"]
# Drawn large and made smaller by 3, so that edges fall between samples as a camera's do.
SMALLER = "scale=384:256:flags=area:out_range=tv,format=yuv420p"
SCENES = {
    "drawn": f"testsrc2=size=1152x768:rate=10,{SMALLER}",
    "fractal": f"mandelbrot=size=1152x768:rate=10:start_scale=0.02:end_scale=0.01:maxiter=100,{SMALLER}",
    "still": f"testsrc2=size=1152x768:rate=10:duration=1,select=eq(n\\,9),loop=5:1,setpts=N/10/TB,{SMALLER}",
}
CRF = 23


def planes(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray()[: frame.height], np.uint8) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], list[tuple[np.ndarray, np.ndarray]]]:
    """(small, large) frames of a scene, the small ones reduced by ffmpeg and from H.264."""
    folder = tmp_path_factory.mktemp("quality")

    @lru_cache(maxsize=8)
    def make(scene: str, scale: int) -> list[tuple[np.ndarray, np.ndarray]]:
        large, small = folder / f"{scene}.mkv", folder / f"{scene}-{scale}.mp4"
        start = [ffmpeg(), "-v", "error", "-y"]
        source = ["-f", "lavfi", "-i", SCENES[scene], "-frames:v", "6"]
        subprocess.run([*start, *source, "-c:v", "ffv1", str(large)], check=True)
        # Every second picture anew: even a still scene then changes a little each time.
        reduction = ["-vf", f"scale=iw/{scale}:ih/{scale}:flags=bicubic", "-c:v", "libx264", "-crf", str(CRF), "-g", "2"]
        subprocess.run([*start, "-i", str(large), *reduction, str(small)], check=True)
        return list(zip(planes(small), planes(large), strict=True))

    return make


def upscaler(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda small: model({0: small[None, None].astype(np.float32) / 255})[0][0, 0] * 255


@pytest.mark.parametrize(("scene", "gain"), [("drawn", 0.8), ("fractal", 0.05)], ids=["drawn", "fractal"])
@pytest.mark.parametrize("entry", VIDEO, ids=lambda entry: entry.stem)
def test_compressed_video_comes_out_better_than_interpolated(
    entry: Entry, scene: str, gain: float, video: Callable[..., list]
) -> None:
    pictures = video(scene, entry.scale)

    def mean(upscale: Callable[[np.ndarray], np.ndarray]) -> float:
        return float(np.mean([psnr(upscale(small), large, 8) for small, large in pictures]))

    plain = max(mean(interpolated(entry.scale, kernel)) for kernel in ("bicubic", "lanczos"))
    exact, coarse = mean(upscaler(entry.onnx)), mean(upscaler(entry.int8))
    assert exact > plain + gain
    assert coarse > plain + gain
    assert coarse > exact - 0.15


@pytest.mark.parametrize("entry", VIDEO, ids=lambda entry: entry.stem)
def test_a_still_scene_flickers_no_more_than_interpolated(entry: Entry, video: Callable[..., list]) -> None:
    small = [picture for picture, _ in video("still", entry.scale)]

    def change(upscale: Callable[[np.ndarray], np.ndarray]) -> float:
        large = [np.rint(upscale(picture)) for picture in small]
        return float(np.mean([np.abs(after - before).mean() for before, after in pairwise(large)]))

    plain = change(interpolated(entry.scale, "lanczos"))
    assert change(upscaler(entry.onnx)) <= 1.08 * plain
    # What is rounded to 8 bits inside changes by a step now and then: hundredths of a code value on average.
    assert change(upscaler(entry.int8)) <= 1.08 * plain + 0.03
