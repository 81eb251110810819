"""Where ingest works: its settings, and the object store with what is dropped there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from include.settings import Settings, get_settings

if TYPE_CHECKING:
    from include.media_store.inbox import S3Inbox
    from include.media_store.objects import ObjectStore

__all__ = ["Ingest", "open_ingest"]


@dataclass(frozen=True)
class Ingest:
    """The settings and the two sides of the object store; may be used by several threads."""

    settings: Settings
    store: ObjectStore
    inbox: S3Inbox


# One in a process: making a client takes a while, and it is safe to be used by several threads.
@lru_cache(maxsize=1)
def open_ingest() -> Ingest:
    """Return the place that the settings name."""
    from include.media_store.inbox import S3Inbox  # noqa: PLC0415  keeps boto3 out of DAG parsing
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415

    settings = get_settings()
    return Ingest(settings, S3ObjectStore(settings), S3Inbox())
