"""Training pairs and held-out pictures from a folder of photos and clips, made once and kept."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from include.sr_model.training.degrade import Degradation, draw, pan, reduced, small_video, softened
from include.sr_model.training.drawings import drawing
from include.sr_model.training.material import clips, coded, frames, hold_out, photo, photos, sharp
from include.sr_model.training.patches import Pairs, cut
from include.sr_model.training.resize import resize

__all__ = ["CONDITIONS", "clean_pictures", "held_out", "training_pairs", "video_pictures"]

logger = logging.getLogger(__name__)

Plane = NDArray[np.uint8]
Picture = tuple[Plane, Plane]

CONDITIONS = ("clean", "crf23", "crf28")
"""What held-out pictures are measured under."""
SIDE = 48
"""Samples of a small patch's side."""
SIZES = (4.0, 1.5, 0.7, 0.35)
"""Megapixels that a photo is made smaller to for clean pairs."""
CLEAN_SHARE = {2: 1.2, 4: 3.5}
VIDEO_SHARE = {2: 0.8, 4: 1.4}
"""Scale → how many times the small pictures are covered by patches."""
DRAWN_STILLS = 5
"""Drawings that a camera moves over."""
VIDEO_SIZE = {2: (320, 448), 4: (448, 640)}
"""Scale → rows and columns of the large pictures of pseudo-clips."""
RUN = 10
KEPT = (0, 3, 6, 9)
"""Frames of a pseudo-clip that are used: the I picture, and some P and B pictures."""


def _crop(plane: Plane, side: int) -> Plane:
    top, left = (max(0, (length - side) // 2) for length in plane.shape)
    return plane[top : top + side, left : left + side]


def _clips(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    paths = clips(folder)
    held = paths[2:4] if len(paths) > 4 else ()
    return tuple(path for path in paths if path not in held), held


def clean_pictures(paths: Sequence[Path], scale: int) -> Iterator[Picture]:
    """Yield ``(small, large)`` of every photo, at the :data:`SIZES`, by bicubic reduction.

    No drawings: one patch in eight of them cost ``x2-fast-clean`` 0.1 to 0.2 dB on each set of photos.
    """
    for path in paths:
        plane = photo(path)
        for megapixels in SIZES:
            large = sharp(plane, megapixels)
            yield reduced(large, scale), large


def _runs(path: Path, height: int, width: int, count: int, reductions: Sequence[float]) -> Iterator[list[Plane]]:
    planes = frames(path)
    every, number = 40, 0
    while run := list(islice(planes, RUN)):
        if len(run) < RUN:
            return
        reduction = reductions[number % len(reductions)]
        rows, columns = (int(side / reduction) // 8 * 8 for side in run[0].shape)
        top, left = max(0, rows - height) // 2, max(0, columns - width) // 2
        # Not resized at all where it is taken as it is: a reduction by a hair would blur it.
        fitted = (plane[:rows, :columns] if reduction == 1 else coded(resize(plane, rows, columns)) for plane in run)
        yield [plane[top : top + height, left : left + width] for plane in fitted]
        number += 1
        if number == count or not list(islice(planes, every)):
            return


def video_pictures(
    stills: Sequence[Path], moving: Sequence[Path], scale: int, count: int, *, rng: np.random.Generator, how: Degradation | None
) -> Iterator[Picture]:
    """Yield ``(small, large)`` frames of ``count`` pans over each photo and ``2 * count`` runs of each clip.

    Without ``how`` there are pans over drawings, too. They are degraded as ``how`` says, or at random, anew for every run.
    """
    height, width = VIDEO_SIZE[scale]

    def runs() -> Iterator[list[Plane]]:
        for path in stills:
            plane = photo(path)
            smaller = sharp(plane, 2.2)
            for number in range(count):
                yield pan(smaller if number % 2 else plane, height, width, RUN, rng)
        for _ in range(0 if how else DRAWN_STILLS):
            plane = drawing(1080, 1600, rng)
            for _ in range(count):
                yield pan(plane, height, width, RUN, rng)
        for path in moving:
            yield from _runs(path, height, width, 2 * count, (1.0, 1.5))

    for sharpest in runs():
        chosen = how or draw(rng)
        large = softened(sharpest, chosen.softness)
        small = small_video(large, scale, chosen, rng)
        yield from ((small[number], large[number]) for number in KEPT)


def training_pairs(
    material: Path, scale: int, variant: str, cache: Path, *, more: Sequence[Path] = (), count: int = 12, seed: int = 1
) -> Pairs:
    """Return the pairs of ``material`` for ``scale`` and ``variant``, from the file in ``cache`` where there is one.

    Photos in the folders ``more`` are trained on, too; none of them is held out.
    """
    file = cache / f"pairs-x{scale}-{variant}-{count}.npz"
    if not file.is_file():
        rng = np.random.default_rng(seed)
        own, _ = hold_out(photos(material))
        stills = [*own, *(path for folder in more for path in photos(folder))]
        moving, _ = _clips(material)
        logger.info("cutting %s from %d photos and %d clips", file.name, len(stills), len(moving))
        if variant == "clean":
            pairs = cut(clean_pictures(stills, scale), SIDE, CLEAN_SHARE[scale], rng)
        else:
            pictures = video_pictures(stills, moving, scale, count, rng=rng, how=None)
            pairs = cut(pictures, SIDE, VIDEO_SHARE[scale], rng)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file.with_suffix(".new.npz"), small=pairs.small.numpy(), large=pairs.large.numpy())
        file.with_suffix(".new.npz").replace(file)
    arrays = np.load(file)
    return Pairs(torch.from_numpy(arrays["small"]), torch.from_numpy(arrays["large"]))


def held_out(material: Path, scale: int, condition: str, cache: Path) -> list[Picture]:
    """Return the held-out pictures under ``condition``: ``clean``, or a CRF such as ``crf23``; kept in ``cache``.

    ``clean`` is the middle of the held-out photos; a CRF is frames of pans over them and of the held-out clips.
    """
    file = cache / f"held-out-x{scale}-{condition}.npz"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        pictures = _held_out(material, scale, condition)
        arrays = {
            f"{name}{number}": plane for number, pair in enumerate(pictures) for name, plane in zip("sl", pair, strict=True)
        }
        np.savez(file.with_suffix(".new.npz"), **arrays)  # type: ignore[arg-type]
        file.with_suffix(".new.npz").replace(file)
    kept = np.load(file)
    return [(kept[f"s{number}"], kept[f"l{number}"]) for number in range(len(kept.files) // 2)]


def _held_out(material: Path, scale: int, condition: str) -> list[Picture]:
    _, stills = hold_out(photos(material))
    if condition == "clean":
        crops = (_crop(sharp(photo(path), 1.2), 400) for path in stills)
        return [(reduced(large, scale), large) for large in crops]
    _, moving = _clips(material)
    how = Degradation(crf=float(condition.removeprefix("crf")))
    return list(video_pictures(stills, moving, scale, 1, rng=np.random.default_rng(7), how=how))
