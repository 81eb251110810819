"""The networks that are shipped: which there are, and where their files lie.

Sizes are ``fast`` (the default on processors), ``balanced`` and ``quality`` (the default on accelerators). Variant ``video`` was
trained on compressed video, for use; ``clean`` on plain bicubic reductions, for comparison with published tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import InputNotSupported

if TYPE_CHECKING:
    from include.sr_model.network import Network, Spec

__all__ = ["MODELS", "VARIANTS", "WEIGHTS", "Entry", "available", "file_stem", "find", "preferred"]

WEIGHTS = Path(__file__).parent / "weights"
MODELS = ("fast", "balanced", "quality")
VARIANTS = ("video", "clean")


def file_stem(scale: int, model: str, variant: str) -> str:
    """Return the name that a network's files share, e.g. ``x2-fast`` or ``x4-quality-clean``."""
    return f"x{scale}-{model}" + ("" if variant == "video" else f"-{variant}")


@dataclass(frozen=True)
class Entry:
    """One network: ``.onnx`` (float32) and ``.int8`` (with QuantizeLinear pairs) are for OpenVINO, ``.safetensors`` for torch.

    All three take and give float32 luma ``[1, 1, H, W]``, any H and W.
    """

    scale: int
    model: str
    variant: str
    folder: Path = WEIGHTS

    @property
    def stem(self) -> str:
        """The name that its files share."""
        return file_stem(self.scale, self.model, self.variant)

    @property
    def onnx(self) -> Path:
        """The float32 graph."""
        return self.folder / f"{self.stem}.onnx"

    @property
    def int8(self) -> Path:
        """The statically quantised graph, same input and output."""
        return self.folder / f"{self.stem}-int8.onnx"

    @property
    def safetensors(self) -> Path:
        """The collapsed weights; :func:`include.sr_model.network.load` reads them."""
        return self.folder / f"{self.stem}.safetensors"

    @cached_property
    def network(self) -> Network:
        """Shape and weights."""
        # Brings numpy, which those do without who ask what there is.
        from include.sr_model.network import load  # noqa: PLC0415

        return load(self.safetensors)

    @property
    def spec(self) -> Spec:
        """The network's shape."""
        return self.network.spec

    @property
    def radius(self) -> int:
        """Receptive field radius in input pixels."""
        return self.spec.radius


def available(folder: Path = WEIGHTS) -> tuple[Entry, ...]:
    """Return the networks whose three files are there, small to large."""
    entries = (Entry(scale, model, variant, folder) for scale in (2, 4) for model in MODELS for variant in VARIANTS)
    return tuple(entry for entry in entries if all(path.is_file() for path in (entry.onnx, entry.int8, entry.safetensors)))


def find(scale: int, model: str = "fast", variant: str = "video", *, folder: Path = WEIGHTS) -> Entry:
    """Return the network for ``scale`` (2 or 4) of size ``model`` and ``variant``.

    Raises :class:`include.errors.InputNotSupported`, naming the networks that there are, when this one is not shipped.
    """
    entries = available(folder)
    for entry in entries:
        if (entry.scale, entry.model, entry.variant) == (scale, model, variant):
            return entry
    shipped = ", ".join(entry.stem for entry in entries) or "none"
    raise InputNotSupported(f"there is no network {file_stem(scale, model, variant)}; available are: {shipped}")


def preferred(scale: int, model: str, *, folder: Path = WEIGHTS) -> str:
    """Return the size ``model``, or where it is not shipped for ``scale`` the largest below it (else the smallest that there is).

    For defaults: machines that are fast enough ask for ``quality``, whichever scales have it. A size that somebody names is
    for :func:`find`.
    """
    sizes = [entry.model for entry in available(folder) if (entry.scale, entry.variant) == (scale, "video")]
    below = [size for size in sizes if MODELS.index(size) <= MODELS.index(model)]
    return (below[-1:] or sizes[:1] or [model])[0]
