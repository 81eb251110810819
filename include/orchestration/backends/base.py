"""What runs a work unit for the operator: a local process now, another machine elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

__all__ = ["Document", "WorkBackend"]

Document = Mapping[str, Any]


class WorkBackend(Protocol):
    """Runs one work unit."""

    def run(self, uri: str, *, on_progress: Callable[[Document], None], on_log: Callable[[str], None]) -> Document:
        """Run the unit document at ``uri`` and return its ``UnitResult`` as a document.

        Calls ``on_progress`` with progress events and ``on_log`` with log lines, both in the caller's thread. Whatever way it
        is left, nothing of the unit still runs. Raises the unit's :class:`~include.errors.MediaError`.
        """
        ...

    def cancel(self) -> None:
        """Ask the running unit to end; safe in a signal handler, returns at once."""
        ...
