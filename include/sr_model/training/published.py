"""What published tables count, over a folder of stills such as Set5: ``python -m include.sr_model.training.published DIR``.

Every still is reduced by antialiased bicubic and enlarged again; PSNR of luma (BT.601, 16 to 235) in dB, the border left out
is the scale. Needs the packages that training needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.sr_model.training.degrade import reduced
from include.sr_model.training.material import photo, photos
from include.sr_model.training.measure import interpolated, psnr
from include.sr_model.training.ship import compiled
from include.sr_model.zoo import WEIGHTS, available

__all__ = ["main", "measured", "table"]

Plane = NDArray[np.uint8]

SCALES = (2, 4)


def _pair(plane: Plane, scale: int) -> tuple[Plane, Plane]:
    height, width = (side // scale * scale for side in plane.shape)
    large = plane[:height, :width]
    return reduced(large, scale), large


def measured(folder: Path, weights: Path = WEIGHTS) -> dict[str, dict[str, float]]:
    """Return still → method → PSNR in dB, for bicubic and every network of the ``clean`` variant at x2 and x4.

    Raises :class:`ValueError` when ``folder`` holds no PNG or JPEG.
    """
    methods = {f"x{scale}-bicubic": (scale, interpolated(scale, "bicubic")) for scale in SCALES} | {
        one.stem: (one.scale, compiled(one.onnx)) for one in available(weights) if one.variant == "clean"
    }
    result = {}
    for path in photos(folder):
        plane = photo(path)
        pairs = {scale: _pair(plane, scale) for scale in SCALES}
        result[path.stem] = {
            name: psnr(upscale(pairs[scale][0]), pairs[scale][1], scale) for name, (scale, upscale) in methods.items()
        }
    if not result:
        raise ValueError(f"no PNG or JPEG in {folder}")
    return result


def table(values: Mapping[str, Mapping[str, float]]) -> str:
    """Return ``values``, still → method → dB, as a table in Markdown with a row per method and the mean as its last column."""
    stills = list(values)
    lines = [["method", *stills, "mean"], ["---"] * (len(stills) + 2)]
    for method in values[stills[0]]:
        row = [values[still][method] for still in stills]
        lines.append([f"`{method}`", *(f"{value:.2f}" for value in row), f"{np.mean(row):.2f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table of the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m include.sr_model.training.published", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    print(table(measured(arguments.folder, arguments.weights)))


if __name__ == "__main__":
    main()
