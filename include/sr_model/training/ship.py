"""Write a trained network's three files, and say how good they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from include.sr_model.network import Network, save
from include.sr_model.training.export import write
from include.sr_model.training.measure import interpolated, mean_psnr
from include.sr_model.training.quantise import ranges
from include.sr_model.training.recipe import Recipe

__all__ = ["compiled", "figures", "ship"]

Plane = NDArray[np.uint8]
Pictures = Sequence[tuple[Plane, Plane]]

CALIBRATION_PATCHES = 512


def compiled(path: Path) -> Callable[[Plane], NDArray[np.float32]]:
    """Return the network in the ONNX file ``path`` as a function from 8-bit luma to the large plane in code values."""
    # Without the hint OpenVINO computes the skip in bfloat16 where the processor has it: 8 bits, half a code value off.
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def upscale(small: Plane) -> NDArray[np.float32]:
        luma = small[None, None].astype(np.float32) / np.float32(255)
        return np.asarray(model({0: luma})[0][0, 0] * 255, np.float32)

    return upscale


def figures(recipe: Recipe, folder: Path, material: Mapping[str, Pictures]) -> dict[str, Any]:
    """Return PSNR in dB per condition: bicubic, lanczos, the network in float32 and in int8; and int8's largest difference."""
    exact, coarse = compiled(folder / f"{recipe.stem}.onnx"), compiled(folder / f"{recipe.stem}-int8.onnx")
    report: dict[str, Any] = {}
    for condition, pictures in material.items():
        report[condition] = {
            "bicubic": round(mean_psnr(pictures, interpolated(recipe.scale, "bicubic")), 3),
            "lanczos": round(mean_psnr(pictures, interpolated(recipe.scale, "lanczos")), 3),
            "float32": round(mean_psnr(pictures, exact), 3),
            "int8": round(mean_psnr(pictures, coarse), 3),
        }
    differences = [np.abs(exact(small) - coarse(small)) for pictures in material.values() for small, _ in pictures]
    report["int8_difference"] = {
        "mean": round(float(np.mean([difference.mean() for difference in differences])), 3),
        "max": round(float(max(difference.max() for difference in differences)), 2),
    }
    return report


def ship(recipe: Recipe, network: Network, folder: Path, calibration: Any, material: Mapping[str, Pictures]) -> dict[str, Any]:
    """Write ``network`` as float32 ONNX, int8 ONNX and safetensors to ``folder`` and return its :func:`figures`.

    ``calibration [N, 1, P, P]``: 8-bit patches of what it was trained on.

    Raises :class:`ValueError`, leaving no file, when it does not beat lanczos by 0.1 dB where it is meant to be used.
    """
    notes = {"model": recipe.model, "variant": recipe.variant, "stem": recipe.stem}
    paths = [folder / f"{recipe.stem}{ending}" for ending in (".safetensors", ".onnx", "-int8.onnx")]
    save(network, paths[0], notes)
    write(network, paths[1], None, notes)
    write(network, paths[2], ranges(network, calibration[:: max(1, len(calibration) // CALIBRATION_PATCHES)]), notes)
    report = figures(recipe, folder, material)
    own = "clean" if recipe.variant == "clean" else "crf23"
    if report[own]["int8"] < report[own]["lanczos"] + 0.1:
        for path in paths:
            path.unlink()
        raise ValueError(f"{recipe.stem} does not beat lanczos on {own}: {json.dumps(report[own])}")
    return report
