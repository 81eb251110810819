"""The super-resolution network as data: what its layers are, their collapsed weights, and what it computes.

One plane of luma in, one plane of ``scale`` times its sides out. ``layers`` 3x3 convolutions with zero padding follow each other,
a leaky ReLU behind each but the last, which has ``scale²`` channels. They are added to the skip, a fixed bicubic interpolation
of the input (Keys' kernel with a = -0.5, edge samples repeated), which is a 5x5 convolution to ``scale²`` channels as well,
and the sum is shuffled to the large plane (row-major: channel ``r * scale + c`` is sample ``(r, c)`` of each cell).

Trained over-parameterised and collapsed for inference, after ECBSR (Zhang et al., ACM MM 2021) and SESR (Bhardwaj et al., MLSys
2022). Nothing here needs more than numpy: every backend builds its own graph from this description, and :func:`run` is the
reference that they are tested against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save as serialise

__all__ = ["SKIP_RADIUS", "Network", "Spec", "load", "run", "save", "skip_kernel"]

FloatArray = NDArray[np.float32]

SKIP_RADIUS = 2
CUBIC_A = -0.5


@dataclass(frozen=True)
class Spec:
    """Shape of a network."""

    features: int
    layers: int
    """Number of 3x3 convolutions, first and last included."""
    scale: int
    slope: float = 0.1
    """Of the leaky ReLU, for negative values."""

    @property
    def channels(self) -> tuple[tuple[int, int], ...]:
        """(input, output) channels of every convolution."""
        inner = ((self.features, self.features),) * (self.layers - 2)
        return ((1, self.features), *inner, (self.features, self.scale**2))

    @property
    def radius(self) -> int:
        """Receptive field radius in input pixels: what a tile needs around it to equal the whole frame."""
        return max(self.layers, SKIP_RADIUS)

    @property
    def parameters(self) -> int:
        """Number of trained values, after collapsing."""
        return sum(out * (9 * into + 1) for into, out in self.channels)


@dataclass(frozen=True)
class Network:
    """A shape with its collapsed weights: per layer ``weight [out, in, 3, 3]`` and ``bias [out]``, float32."""

    spec: Spec
    weights: tuple[tuple[FloatArray, FloatArray], ...]

    def __post_init__(self) -> None:
        shapes = tuple((weight.shape, bias.shape) for weight, bias in self.weights)
        expected = tuple(((out, into, 3, 3), (out,)) for into, out in self.spec.channels)
        if shapes != expected:
            raise ValueError(f"weights have the shapes {shapes}, the network wants {expected}")


def _cubic(x: float, a: float = CUBIC_A) -> float:
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def skip_kernel(scale: int) -> FloatArray:
    """Return the skip's weights ``[scale², 1, 5, 5]``: bicubic interpolation (Keys 1981, a = -0.5) as a convolution.

    Output sample ``p`` of a cell lies ``(p + 0.5) / scale - 0.5`` input samples from the cell's centre.
    """
    rows = np.array(
        [[_cubic((p + 0.5) / scale - 0.5 - tap) for tap in range(-SKIP_RADIUS, SKIP_RADIUS + 1)] for p in range(scale)]
    )
    kernel = np.einsum("ri,cj->rcij", rows, rows).reshape(scale**2, 1, 5, 5)
    return np.asarray(kernel, np.float32)


def _convolve(planes: FloatArray, weight: FloatArray, mode: str) -> FloatArray:
    radius = weight.shape[2] // 2
    border = ((0, 0), (radius, radius), (radius, radius))
    padded = np.pad(planes, border, mode="edge" if mode == "edge" else "constant")
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    return np.asarray(np.einsum("ihwyx,oiyx->ohw", windows, weight, optimize=True), np.float32)


def run(network: Network, luma: FloatArray) -> FloatArray:
    """Return the upscaled plane ``[s*H, s*W]`` of ``luma [H, W]`` (code value / 255 or / 1023), not clamped.

    The plain meaning of the network, for tests and small pictures; the backends are what is fast.
    """
    spec = network.spec
    planes = luma[None].astype(np.float32)
    for index, (weight, bias) in enumerate(network.weights):
        sums = _convolve(planes, weight, "zero") + bias[:, None, None]
        planes = sums if index == spec.layers - 1 else np.where(sums > 0, sums, sums * np.float32(spec.slope))
    planes = planes + _convolve(luma[None], skip_kernel(spec.scale), "edge")
    height, width = luma.shape
    cells = planes.reshape(spec.scale, spec.scale, height, width).transpose(2, 0, 3, 1)
    return cells.reshape(height * spec.scale, width * spec.scale).astype(np.float32)


def save(network: Network, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write ``path`` (safetensors): ``conv<n>.weight``, ``conv<n>.bias`` and the shape as metadata, with ``notes`` beside it."""
    spec = network.spec
    tensors = {}
    for index, (weight, bias) in enumerate(network.weights):
        tensors[f"conv{index}.weight"] = np.ascontiguousarray(weight)
        tensors[f"conv{index}.bias"] = np.ascontiguousarray(bias)
    shape = {"features": spec.features, "layers": spec.layers, "scale": spec.scale, "slope": spec.slope}
    notes = {**(notes or {}), **{name: str(value) for name, value in shape.items()}}
    path.write_bytes(serialise(tensors, metadata=notes))


def load(path: Path) -> Network:
    """Read a network that :func:`save` wrote.

    Raises :class:`ValueError` when its weights do not fit the shape that its metadata states.
    """
    with safe_open(path, framework="numpy") as file:
        notes = file.metadata() or {}
        spec = Spec(int(notes["features"]), int(notes["layers"]), int(notes["scale"]), float(notes["slope"]))
        weights = tuple(
            (file.get_tensor(f"conv{index}.weight"), file.get_tensor(f"conv{index}.bias")) for index in range(spec.layers)
        )
    return Network(spec, weights)
