"""AWS Neuron: networks compiled ahead for a batch of tiles of a fixed size, run on all cores of the device.

``torch_neuron`` (Inf1) and ``torch_neuronx`` (Inf2, Trn1) are told apart by their module alone: both trace a module to
TorchScript, which each core's process loads (:mod:`include.sr_model.backends.neuron_cores`). A compiled file is named by what is
fixed in it: network, backend, batch and tile.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from include.errors import InternalError, OutputNotSupported
from include.sr_model.backends.base import Session, Work
from include.sr_model.backends.neuron_cores import NeuronCores
from include.sr_model.backends.tiled import TiledSession
from include.sr_model.backends.torch import Chroma, Luma, TorchSession
from include.sr_model.zoo import Entry

__all__ = ["BATCH", "TILE", "compile_network", "compiled_path", "neuron_session"]

TILE = 192
BATCH = 4
_MODULES = {"neuron": "torch_neuron", "neuronx": "torch_neuronx"}


def compiled_path(folder: Path, name: str, network: Entry, tile: int = TILE, batch: int = BATCH) -> Path:
    """Return where the network compiled for the backend ``name`` lies in ``folder``."""
    return folder / f"{network.stem}-{name}-{batch}x{tile}x{tile}.pt"


def compile_network(name: str, network: Entry, folder: Path, tile: int = TILE, batch: int = BATCH) -> Path:
    """Compile ``network`` for ``neuron`` or ``neuronx`` and return its file; takes minutes, and the vendor's compiler.

    Raises :class:`OutputNotSupported` where the network cannot be compiled.
    """
    module = Luma(network.network).eval()
    example = torch.zeros(batch, 1, tile, tile)
    path = compiled_path(folder, name, network, tile, batch)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        traced = importlib.import_module(_MODULES[name]).trace(module, example)
    except RuntimeError as error:
        raise OutputNotSupported(f"{network.stem} cannot be compiled for {name}.") from error
    partial = path.with_name(f".{path.name}.partial")
    torch.jit.save(traced, str(partial))
    partial.replace(path)
    return path


def neuron_session(name: str, work: Work, folder: Path, tile: int = TILE, batch: int = BATCH) -> Session:
    """Return a session on the device; of pictures smaller than a tile on the host, for which they are little work.

    Raises :class:`InternalError` where the network was not compiled for the device.
    """
    if min(work.geometry.width, work.geometry.height) < tile:
        return TorchSession(work, "cpu")
    path = compiled_path(folder, name, work.network, tile, batch)
    if not path.is_file():
        model = f"--scale {work.network.scale} --model {work.network.model}"
        raise InternalError(f"{path.name} is not there: run python -m include.sr_model compile --backend {name} {model}.")
    shape = (batch, tile, tile)
    cores = NeuronCores(_MODULES[name], path, shape, work.network.scale)
    chroma = Chroma(work.siting, work.network.scale, work.output.chroma).eval()

    def enlarge(source: NDArray[Any], result: NDArray[Any]) -> None:
        with torch.inference_mode():
            made = chroma(torch.from_numpy(source[:, None].astype(np.float32)))
        result[:] = made[:, 0].round().clamp(0, work.geometry.peak).numpy()

    # As many pictures on their way as there are cores: the tiles of one follow each other on whichever core is free.
    work = replace(work, concurrent=max(work.concurrent, len(cores)))
    return TiledSession(name, "compiled", work, shape=shape, forward=cores.forward, chroma=enlarge, close=cores.close)
