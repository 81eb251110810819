"""What ingest asks of Airflow, as a protocol: it knows no Airflow itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

__all__ = ["IN_FLIGHT", "Run", "Runs"]

IN_FLIGHT = ("queued", "running")


@dataclass(frozen=True)
class Run:
    """A run that exists."""

    state: str
    conf: Mapping[str, Any]  # what it does, which need not be what it was made with
    ended_at: datetime | None = None


class Runs(Protocol):
    """Starts and reads runs. Methods raise ``InternalError`` where Airflow does not answer as it should."""

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, *, again: bool = False) -> bool:
        """Create a run; where there is one, start it again with this ``conf`` if ``again``, else return ``False``."""
        ...

    def state(self, dag_id: str, run_id: str) -> str | None:
        """Return ``queued``, ``running``, ``success`` or ``failed``; ``None`` where there is no such run."""
        ...

    def read(self, dag_id: str, run_id: str) -> Run:
        """Return a run that exists."""
        ...
