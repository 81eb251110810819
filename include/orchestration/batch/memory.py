"""What a task remembers of its Batch job, over retries and restarts, in Airflow's task state store.

Airflow refuses a write of an attempt that it has given up: noting what is about to be done, right before it is done, also
makes sure that no forgotten process still does it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

__all__ = ["KEY", "Memory", "Note", "StateStore"]

KEY = "batch"


class StateStore(Protocol):
    """Airflow's accessor of a task's state."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Write the value of ``key``."""
        ...


@dataclass(frozen=True)
class Note:
    """What is known of the last job.

    ``job_id`` is empty between the wish to submit and the answer. ``ending`` says why we have ended it: ``moved``, ``late``,
    ``stuck``, ``stale`` or ``cleared``. ``tries`` is the task's ``max_tries`` then. ``told`` is set once the task has used what
    became of it. ``moved`` stays set once spot has failed.
    """

    name: str = ""
    queue: str = ""
    job_id: str = ""
    attempt: int = 0
    tries: int = 0
    at: float = 0.0
    ending: str = ""
    told: bool = False
    moved: bool = False
    stops: int = 0
    log_group: str = ""
    log: str = ""


class Memory:
    """The note of one task instance."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        known = store.get(KEY)
        known = known if isinstance(known, dict) else {}
        self.note = Note(**{name: value for name, value in known.items() if name in Note.__dataclass_fields__})

    def write(self, **changes: Any) -> None:
        """Change the note."""
        self.note = replace(self.note, **changes)
        self._store.set(KEY, asdict(self.note))
