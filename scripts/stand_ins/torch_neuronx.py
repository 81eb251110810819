"""In the place of AWS's ``torch_neuronx`` where that cannot be installed: traces with PyTorch itself, runs on the processor.

Holds the calls that ``include.sr_model.backends.neuron`` makes, and nothing else.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["trace"]


def trace(func: Any, example_inputs: Any) -> Any:
    """Return ``func`` as TorchScript for inputs of this very shape."""
    return torch.jit.trace(func, example_inputs)
