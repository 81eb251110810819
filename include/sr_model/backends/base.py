"""What a backend is to the engine: slots, each for one picture on its way through the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from include.sr_model.models import Siting
from include.sr_model.picture import Geometry, Picture
from include.sr_model.zoo import Entry

__all__ = ["Session", "Slot", "Work"]


@dataclass(frozen=True)
class Work:
    """What a backend is opened for: a network, and pictures of one size."""

    network: Entry
    geometry: Geometry
    siting: Siting = "left"
    precision: str | None = None
    """None: what is fastest here within the stated bound."""
    concurrent: int = 2
    """Pictures that are upscaled at the same time, at most."""

    @property
    def output(self) -> Geometry:
        """Size of the upscaled pictures."""
        return self.geometry.scaled(self.network.scale)


class Slot(Protocol):
    """Buffers for one picture and its upscaled one, where the backend wants them.

    A slot is used again and again: fill :attr:`source`, :meth:`start`, :meth:`wait`, read :attr:`result`.
    """

    source: Picture
    result: Picture

    def start(self) -> None:
        """Begin to upscale ``source`` into ``result``; returns at once. Both belong to the backend until :meth:`wait` returns."""

    def wait(self) -> None:
        """Return when ``result`` is complete; raises what went wrong."""


class Session(Protocol):
    """A network made ready for :class:`Work`."""

    name: str
    precision: str

    def slots(self, count: int) -> Sequence[Slot]:
        """Return ``count`` slots; up to :attr:`Work.concurrent` of them may be started at the same time."""

    def close(self) -> None:
        """Release what the session holds; no slot is in use any more."""
