"""What ingest asks of Airflow, as a protocol: it knows no Airflow itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Runs"]


class Runs(Protocol):
    """Starts and reads runs. Methods raise ``InternalError`` where Airflow does not answer as it should."""

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, *, again: bool = False) -> bool:
        """Create a run; where there is one, start it again with this ``conf`` if ``again``, else return ``False``."""
        ...

    def state(self, dag_id: str, run_id: str) -> str | None:
        """Return ``queued``, ``running``, ``success`` or ``failed``; ``None`` where there is no such run."""
        ...
