"""The progress of units in containers, from the objects that their workers write, as one event of the task's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from include.errors import MediaError
from include.orchestration.batch.jobs import BatchJob

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["MOST_READ", "aggregated", "read_progress", "waiting"]

# Children of an array job that are read one by one; more of them are counted as they end.
MOST_READ = 50
SHOWN = ("phase", "done", "total", "unit", "fps", "fraction")


def read_progress(store: ObjectStore, bucket: str, prefix: str, unit_id: str, job: BatchJob) -> dict[str, Any] | None:
    """Return what was last told of a job's work; ``None`` where nothing was told since it began."""
    if not job.size:
        return next(_told(store, bucket, [f"{prefix}progress-{unit_id}.json"], job.id), None)
    keys = [ref.key for ref in islice(store.list(bucket, prefix), MOST_READ)]
    return aggregated(job, list(_told(store, bucket, keys, f"{job.id}:")))


def aggregated(job: BatchJob, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one event for an array job: its children that have ended, and shares of those at work."""
    done = job.children.get("SUCCEEDED", 0)
    shares = sum(float(event.get("fraction") or 0) for event in events)
    rates = [float(event["fps"]) for event in events if isinstance(event.get("fps"), (int, float))]
    return {
        "phase": "array",
        "done": done,
        "total": job.size,
        "unit": "units",
        "fraction": round(min(1.0, (done + min(shares, job.size - done)) / job.size), 4),
        **({"fps": round(sum(rates), 1)} if rates else {}),
    }


def waiting(job: BatchJob) -> dict[str, Any]:
    """Return the event of a job that has told nothing yet."""
    return {"phase": job.status.lower(), "done": 0, "total": 0, "unit": "", "fraction": 0.0}


def _told(store: ObjectStore, bucket: str, keys: Sequence[str], job: str) -> Iterator[dict[str, Any]]:
    for key in keys:
        try:
            document = json.loads(store.get_bytes(bucket, key))
        except (MediaError, ValueError):
            continue
        # Another job's may have been left behind.
        told_by = str(document.get("job", "")) if isinstance(document, dict) else ""
        if told_by == job or (job.endswith(":") and told_by.startswith(job)):
            yield {name: document[name] for name in SHOWN if name in document}
