"""One process for each NeuronCore, which holds the compiled network and computes batches of tiles in memory that it shares.

The runtime gives a core to a process, so which core computes what is never in question, the batch is the one that was compiled,
and a crash of the runtime ends one process instead of the unit's own.
"""

from __future__ import annotations

import mmap
import os
import queue
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.errors import InternalError

__all__ = ["NeuronCores", "core_environments"]

_ROOT = Path(__file__).parents[3]
_CORES_OF_DEVICE = {"torch_neuron": 4, "torch_neuronx": 2}
_END_SECONDS = 10


def core_environments(module: str, environment: Mapping[str, str], devices: int | None = None) -> list[dict[str, str]]:
    """Return the variables of each core's process: one for each core that this process may use.

    ``NEURON_RT_VISIBLE_CORES`` names cores (``0-3`` or ``0,2``), ``NEURON_RT_NUM_CORES`` says how many; without both it is all
    cores of the devices that are there. Where no cores are named, the runtime picks a free one, so that processes of several
    units never want the same.
    """
    if named := environment.get("NEURON_RT_VISIBLE_CORES"):
        return [{"NEURON_RT_VISIBLE_CORES": str(core)} for core in _numbers(named)]
    if devices is None:
        devices = len(list(Path("/dev").glob("neuron[0-9]*")))
    count = int(environment.get("NEURON_RT_NUM_CORES") or devices * _CORES_OF_DEVICE[module])
    return [{"NEURON_RT_NUM_CORES": "1"}] * max(count, 1)


def _numbers(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


class NeuronCores:
    """The processes. ``shape`` is (batch, height, width) of the network's input, ``scale`` what it enlarges by.

    Raises :class:`InternalError` where one of them does not come up.
    """

    def __init__(self, module: str, path: Path, shape: tuple[int, int, int], scale: int) -> None:
        environments = core_environments(module, os.environ)
        self._free: queue.SimpleQueue[_Core] = queue.SimpleQueue()
        self._cores: list[_Core] = []
        try:
            # All are started before the first is waited for: each loads its libraries for seconds.
            self._cores += (_Core(module, path, shape, scale, environment) for environment in environments)
            for core in self._cores:
                core.wait()
                self._free.put(core)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._cores)

    def forward(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute ``[batch, 1, h, w]`` on the next free core; raises :class:`InternalError` where its process has ended."""
        core = self._free.get()
        try:
            return core.compute(tiles)
        finally:
            self._free.put(core)

    def close(self) -> None:
        """End the processes; nothing is computed any more."""
        for core in self._cores:
            core.close()


class _Core:
    def __init__(self, module: str, path: Path, shape: tuple[int, int, int], scale: int, environment: Mapping[str, str]) -> None:
        batch, height, width = shape
        # Anonymous memory of both: bounded by the container's memory, not by its /dev/shm, and gone with the last of them.
        memory = os.memfd_create("neuron-core")
        samples = batch * height * width
        os.ftruncate(memory, 4 * samples * (1 + scale**2))
        shared = np.frombuffer(mmap.mmap(memory, 0), np.float32)
        self._tiles = shared[:samples].reshape(batch, 1, height, width)
        self._made = shared[samples:].reshape(batch, 1, scale * height, scale * width)
        self._socket, theirs = socket.socketpair()
        numbers = [theirs.fileno(), memory, batch, height, width, scale]
        command = [sys.executable, "-m", "include.sr_model.backends.neuron_core", module, str(path), *map(str, numbers)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEURON_RT_NUM_CORES")}
        search = os.pathsep.join(filter(None, [str(_ROOT), *sys.path]))
        self._process = subprocess.Popen(
            command,
            env={**inherited, "PYTHONPATH": search, **environment},
            pass_fds=(theirs.fileno(), memory),
            stdin=subprocess.DEVNULL,
            # The runtime prints; standard output is the worker's own.
            stdout=sys.stderr.fileno() if _has_descriptor() else subprocess.DEVNULL,
        )
        theirs.close()
        os.close(memory)

    def wait(self) -> None:
        """Return when the process has answered."""
        try:
            answer = self._socket.recv(1)
        except ConnectionError:
            answer = b""
        if not answer:
            code = self._process.wait(_END_SECONDS)
            raise InternalError(f"The process of a NeuronCore ended (exit code {code}); the worker's log has the details.")

    def compute(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        self._tiles[:] = tiles
        # Where it has ended, the answer tells.
        with suppress(ConnectionError):
            self._socket.sendall(b".")
        self.wait()
        return self._made.copy()

    def close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _has_descriptor() -> bool:
    try:
        return sys.stderr.fileno() >= 0
    except (AttributeError, OSError, ValueError):
        return False
