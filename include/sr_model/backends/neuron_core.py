"""The process of one NeuronCore; see :mod:`include.sr_model.backends.neuron_cores`, which starts it.

Whatever goes wrong ends it, with a traceback on standard error; it ends, too, when the other side of its socket does.
"""

from __future__ import annotations

import importlib
import mmap
import signal
import socket
import sys
from collections.abc import Sequence

import numpy as np

__all__ = ["main"]


def main(arguments: Sequence[str]) -> None:
    """Load the network, say so, and compute a batch for each byte that comes."""
    # Who interrupts from a terminal means our parent, which ends us in its own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module, path, *numbers = arguments
    descriptor, memory, batch, height, width, scale = map(int, numbers)

    import torch  # noqa: PLC0415 - only now, since it takes long, and the signal must not

    importlib.import_module(module)
    # The core computes; as many threads as processors would only be in the way of the other cores' processes.
    torch.set_num_threads(1)
    shared = np.frombuffer(mmap.mmap(memory, 0), np.float32)
    samples = batch * height * width
    tiles = torch.from_numpy(shared[:samples].reshape(batch, 1, height, width))
    made = shared[samples:].reshape(batch, 1, scale * height, scale * width)
    network = torch.jit.load(path)
    with socket.socket(fileno=descriptor) as parent, torch.inference_mode():
        parent.sendall(b".")
        while parent.recv(1):
            made[:] = network(tiles).float().numpy()
            parent.sendall(b".")


if __name__ == "__main__":
    main(sys.argv[1:])
