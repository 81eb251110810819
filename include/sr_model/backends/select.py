"""Finds the backend that this machine has."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

from include.errors import InternalError, ParameterError
from include.sr_model.backends.base import Session, Work

__all__ = ["BACKENDS", "choose", "open_session"]

logger = logging.getLogger(__name__)

BACKENDS = ("neuronx", "neuron", "cuda", "openvino", "torch")


def choose() -> str:
    """Return the fastest backend that is there: a Neuron device, CUDA, else OpenVINO on the processor."""
    if Path("/dev/neuron0").exists():
        for name, package in (("neuronx", "torch_neuronx"), ("neuron", "torch_neuron")):
            if importlib.util.find_spec(package):
                return name
    # Cheaper to look at than to import torch for.
    if Path("/dev/nvidiactl").exists() and importlib.util.find_spec("torch"):
        import torch  # noqa: PLC0415

        if torch.cuda.is_available():
            return "cuda"
    return "openvino"


def open_session(name: str, work: Work, compiled: Path) -> Session:
    """Make ``work``'s network ready on the backend ``name``, or on the fastest one for ``auto``.

    ``compiled`` is the folder of networks that were compiled for Neuron.
    Raises :class:`ParameterError` for an unknown name and :class:`InternalError` where the backend is not installed.
    """
    name = choose() if name == "auto" else name
    try:
        session = _open(name, work, compiled)
    except ImportError as error:
        raise InternalError(f"The backend {name} is not installed: there is no {error.name}.") from error
    logger.info("%s on %s, %s, %dx%d", work.network.stem, name, session.precision, work.geometry.width, work.geometry.height)
    return session


def _open(name: str, work: Work, compiled: Path) -> Session:
    # Each library takes long to import and is there on some machines alone.
    if name == "openvino":
        from include.sr_model.backends.openvino import openvino_session  # noqa: PLC0415

        return openvino_session(work)
    if name in ("cuda", "torch"):
        from include.sr_model.backends.torch import TorchSession  # noqa: PLC0415

        return TorchSession(work, "cuda" if name == "cuda" else "cpu")
    if name in ("neuron", "neuronx"):
        from include.sr_model.backends.neuron import neuron_session  # noqa: PLC0415

        return neuron_session(name, work, compiled)
    raise ParameterError(f"backend {name} is none of auto, {', '.join(BACKENDS)}")
