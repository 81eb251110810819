"""From large pictures to the small ones that a network is given in use.

``clean``: bicubic reduction and nothing else, as in the published tables. ``video``: some blur, one of several reductions, some
noise, and H.264 over moving pictures. Chroma subsampling happens as well in use; luma, all that the network sees, does not
notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.sr_model.training.compress import through_h264
from include.sr_model.training.material import coded
from include.sr_model.training.resize import resize

__all__ = ["Degradation", "draw", "pan", "reduced", "small_video", "softened"]

Plane = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

REACH = 6
"""Of a blur, in samples: three of its widest standard deviations."""


@dataclass(frozen=True)
class Degradation:
    """What happens to one run of pictures."""

    softness: float = 0.0
    """Standard deviation, in samples, of a Gaussian over the large picture itself: not every camera is sharp to the pixel."""
    kernel: str = "bicubic"
    blur: float = 0.0
    """Standard deviation of a Gaussian before the reduction, in samples of the large picture."""
    noise: float = 0.0
    """Standard deviation in code values of the small picture."""
    crf: float = 23.0
    preset: str = "medium"


def draw(rng: np.random.Generator) -> Degradation:
    """Return a degradation as users' videos have them: CRF 18 to 32, and now and then a nearly lossless one."""
    return Degradation(
        kernel=str(rng.choice(["bicubic", "bicubic", "sharp", "bilinear", "area", "lanczos"])),
        softness=float(rng.uniform(0.4, 2.6)) if rng.random() < 0.45 else 0.0,
        blur=float(rng.uniform(0.3, 0.7)) if rng.random() < 0.1 else 0.0,
        noise=float(rng.uniform(0.5, 3.0)) if rng.random() < 0.25 else 0.0,
        crf=float(rng.uniform(18, 32)) if rng.random() < 0.9 else float(rng.uniform(10, 18)),
        preset=str(rng.choice(["veryfast", "fast", "medium"])),
    )


def reduced(plane: Plane, scale: int, kernel: str = "bicubic") -> Plane:
    """Return ``plane`` at 1/``scale`` of its sides, 8 bit."""
    return coded(resize(plane, plane.shape[0] // scale, plane.shape[1] // scale, kernel))


def _blurred(plane: FloatArray, deviation: float) -> FloatArray:
    taps = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / deviation) ** 2).astype(np.float32)
    taps /= taps.sum()
    for _ in range(2):
        padded, height = np.pad(plane, ((REACH, REACH), (0, 0)), mode="edge"), plane.shape[0]
        rows = sum((tap * padded[first : first + height] for first, tap in enumerate(taps)), np.float32(0))
        plane = np.asarray(rows, np.float32).T
    return plane


def softened(planes: Sequence[Plane], deviation: float) -> list[Plane]:
    """Return the pictures as a less sharp camera would have made them."""
    return [coded(_blurred(plane.astype(np.float32), deviation)) for plane in planes] if deviation else list(planes)


def small_video(planes: Sequence[Plane], scale: int, how: Degradation, rng: np.random.Generator) -> list[Plane]:
    """Return the pictures ``planes`` reduced by ``scale``, degraded by ``how``, through H.264."""
    small = []
    for plane in planes:
        large = _blurred(plane.astype(np.float32), how.blur) if how.blur else plane
        picture = resize(large, plane.shape[0] // scale, plane.shape[1] // scale, how.kernel)
        if how.noise:
            picture = picture + rng.normal(0, how.noise, picture.shape).astype(np.float32)
        small.append(coded(picture))
    return through_h264(small, how.crf, how.preset)


def pan(picture: Plane, height: int, width: int, count: int, rng: np.random.Generator) -> list[Plane]:
    """Return ``count`` pictures of a camera that moves over ``picture`` and zooms, reduced by 1.5 or more and so mostly sharp.

    A window of the picture is resized anew for every frame, so motion falls between samples as in life. Every sixth is still,
    every fourth is taken nearly as it is, as soft as it may be.
    """
    room = min(picture.shape[0] / height, picture.shape[1] / width)
    least = 0.9 if rng.random() < 1 / 4 else 1.5
    zoom = float(rng.uniform(least, max(least, min(room * 0.8, 2 * least))))
    still = rng.random() < 1 / 6
    growth = float(rng.normal(0, 0.005)) if not still and rng.random() < 1 / 3 else 0.0
    speed = np.zeros(2) if still else rng.normal(0, 2.0, 2) * zoom
    most = np.array(picture.shape) - 1
    centre = rng.uniform(0.25, 0.75, 2) * most
    frames = []
    for number in range(count):
        factor = np.clip(zoom * (1 + growth) ** number, least, room)
        size = np.floor(np.array([height, width]) * factor).astype(int)
        corner = np.clip(np.rint(centre + speed * number - size / 2), 0, picture.shape - size).astype(int)
        window = picture[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
        frames.append(coded(resize(window, height, width)))
    return frames
