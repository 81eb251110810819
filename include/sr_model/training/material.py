"""Photos and clips as planes of luma, sharp to the pixel.

Photos from the web are soft at their full size and carry JPEG's blocks, so they are made smaller first; that is what gives
the network edges to learn. Luma is studio range (16 to 235) of BT.601, as in video and in the published tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from include.sr_model.training.resize import resize

__all__ = ["HELD_OUT", "clips", "coded", "frames", "hold_out", "photo", "photos", "sharp"]

Plane = NDArray[np.uint8]

HELD_OUT = 6
"""Photos, evenly spread over the sorted names, that training never sees."""
ALIKE = 0.95
"""Correlation of two thumbnails from which on they are of one picture."""
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
CLIP_SUFFIXES = (".mp4", ".mkv", ".webm")


def _files(folder: Path, suffixes: Sequence[str]) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes))


def photos(folder: Path) -> tuple[Path, ...]:
    """Return the photos under ``folder``, sorted by name."""
    return _files(folder, PHOTO_SUFFIXES)


def clips(folder: Path) -> tuple[Path, ...]:
    """Return the clips under ``folder``, sorted by name."""
    return _files(folder, CLIP_SUFFIXES)


def hold_out(paths: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return ``paths`` for training and those held out for measuring; a picture that comes twice is measured once."""
    chosen = {paths[round((n + 0.5) * len(paths) / HELD_OUT - 0.5)] for n in range(HELD_OUT)} if len(paths) > HELD_OUT else set()
    held: dict[Path, NDArray[np.float32]] = {}
    for path in sorted(chosen):
        thumbnail = _thumbnail(path)
        if all(float((thumbnail * other).mean()) < ALIKE for other in held.values()):
            held[path] = thumbnail
    return tuple(path for path in paths if path not in chosen), tuple(held)


def _thumbnail(path: Path) -> NDArray[np.float32]:
    """Return a photo at 16x16, its mean 0 and its deviation 1."""
    small = resize(photo(path), 16, 16)
    return np.asarray((small - small.mean()) / max(float(small.std()), 1e-3), np.float32)


def coded(plane: NDArray[np.floating]) -> Plane:
    """Return ``plane`` rounded to 8-bit code values."""
    return np.asarray(np.clip(np.rint(plane), 0, 255), np.uint8)


def frames(path: Path, every: int = 1) -> Iterator[Plane]:
    """Yield the luma of each ``every``-th frame, studio range."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                full = frame.format.name.startswith("yuvj") or frame.color_range == 2
                picture = frame.reformat(format="gray" if full else "yuv420p")
                plane = np.asarray(picture.to_ndarray()[: frame.height], np.uint8)
                yield coded(16 + plane.astype(np.float32) * (219 / 255)) if full else plane


def photo(path: Path) -> Plane:
    """Return a photo's luma, studio range."""
    return next(frames(path))


def sharp(plane: Plane, megapixels: float) -> Plane:
    """Return ``plane`` made smaller to about ``megapixels``, and by a factor of 1.5 at least."""
    factor = max(1.5, (plane.size / (megapixels * 1e6)) ** 0.5)
    height, width = (int(side / factor) // 4 * 4 for side in plane.shape)
    return coded(resize(plane, height, width))
