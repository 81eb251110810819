"""From dropped objects to runs: one each, however often and in whatever order they are named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from include.ingest.models import Dispatched, Dropped

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.ingest.runs import Runs

__all__ = ["dispatch"]


def dispatch(ingest: Ingest, dropped: Iterable[Dropped], runs: Runs, *, room: int | None = None) -> list[Dispatched]:
    """Claim each object and see that it has its run; return what became of them, in their order.

    Every object is looked at again: of what is named only bucket and key are believed, and an ETag that is another one by now
    means that the object is still being written. No more than ``room`` runs are started, the others are ``waiting``; ``None``:
    all are. May be called by several processes at once, and again after it was killed at any moment.

    Raises ``StorageError`` or ``InternalError`` where the object store or Airflow does not answer; what was done stays.
    """
    raise NotImplementedError
