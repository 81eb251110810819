"""The work documents of jobs as the pages read them: each version once, and whatever is missing or damaged is just not there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from cachetools import LRUCache
from pydantic import BaseModel, ValidationError

from include.errors import MediaError, NotFound
from include.ffmpeg_ops.parallel import in_parallel
from include.media_store.models import ObjectRef
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.worker.job import AnyRequest, Job
from include.worker.models import Outcome, SuperResolutionRequest, TranscodeRequest, UnitResult
from include.worker.task_request import TaskReference

__all__ = ["Documents", "Folder", "job_of", "request_of"]

logger = logging.getLogger(__name__)

_MOST_BYTES = 64 * 2**20
_READS_AT_ONCE = 16
# Of units whose results came since the last look: so many a poll, the others with the next ones.
_MOST_NEW = 48

Value = TypeVar("Value")

# For each DAG: the request that its conf is, and the fields of it that decide which job it is.
_REQUESTS: Mapping[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "transcode": (TranscodeRequest, ("bucket", "folder", "name", "container")),
    "super_resolution": (SuperResolutionRequest, ("bucket", "key", "scale", "output_folder")),
    "live": (TaskReference, ("bucket", "client", "task_id")),
}


def job_of(store: ObjectStore, settings: Settings, dag_id: str, conf: Mapping[str, Any]) -> Job | None:
    """Return the job that a run's conf names, even where other fields are wrong; ``None`` where it names none of ours."""
    request = request_of(settings, dag_id, conf)
    return None if request is None else Job.of(store, settings, request)


def request_of(settings: Settings, dag_id: str, conf: Mapping[str, Any]) -> AnyRequest | None:
    """Return as much of the request that a run's conf is as decides which job it is."""
    name = "live" if dag_id == "transcode" and conf.get("task_id") else dag_id
    if name not in _REQUESTS:
        return None
    model, fields = _REQUESTS[name]
    known: dict[str, Any] = {"bucket": settings.bucket}
    known |= {name: conf[name] for name in fields if name in model.model_fields and conf.get(name)}
    if model is TranscodeRequest:
        known["source_key"] = "unknown"
    try:
        request = cast("AnyRequest", model.model_validate(known))
    except ValidationError:
        return None
    return request if settings.allows_bucket(request.bucket) else None


@dataclass(frozen=True)
class Folder:
    """What there is in a job's folder: results by unit id, which plan, what became of it."""

    job: Job
    results: Mapping[str, UnitResult] = field(default_factory=dict)
    plan: ObjectRef | None = None
    outcome: Outcome | None = None


class Documents:
    """Reads documents; raises ``StorageError`` and ``StorageDenied``, and nothing about what a document holds.

    Methods may be called from several threads.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._read: LRUCache[tuple[ObjectRef, str], tuple[int, Any]] = LRUCache(_MOST_BYTES, getsizeof=lambda entry: entry[0])
        self._lock = threading.Lock()

    def folder(self, job: Job, *, settled: bool) -> Folder:
        """Return a job's documents now; some new results of one that is not ``settled`` are left for the next time."""
        looks: list[Callable[[], list[ObjectRef]]] = [
            lambda: list(self._store.list(job.bucket, f"{job.prefix}results/")),
            lambda: self._there(job, job.plan_key),
            lambda: self._there(job, job.outcome_key),
        ]
        listed, plan, outcome = in_parallel(lambda look: look(), looks, at_once=len(looks))
        results = self._results(listed, settled=settled)
        return Folder(
            job,
            {result.unit_id: result for result in results if result is not None},
            plan[0] if plan else None,
            self.model(outcome[0], Outcome) if outcome else None,
        )

    def _there(self, job: Job, key: str) -> list[ObjectRef]:
        ref = self._store.head(job.bucket, key)
        return [ref] if ref else []

    def _results(self, refs: list[ObjectRef], *, settled: bool) -> list[UnitResult | None]:
        with self._lock:
            new = [ref for ref in refs if (ref, UnitResult.__name__) not in self._read]
        # What decides how all others are shown comes first.
        new.sort(key=lambda ref: "-0" in ref.key.rpartition("/")[2])
        late = set() if settled else set(new[_MOST_NEW:])
        wanted = [ref for ref in refs if ref not in late]
        if new:
            return in_parallel(lambda ref: self.model(ref, UnitResult), wanted, at_once=_READS_AT_ONCE)
        return [self.model(ref, UnitResult) for ref in wanted]

    def request(self, job: Job, model: type[Value]) -> Value | None:
        """Return the request of a job, which never changes once it is there; ``None`` where it is not, or is another's."""
        return self.model(ObjectRef(bucket=job.bucket, key=job.request_key, etag="", size=0), model)

    def result(self, job: Job, unit_id: str) -> UnitResult | None:
        """Return a unit's last result."""
        found = self._there(job, job.result_key(unit_id))
        return self.model(found[0], UnitResult) if found else None

    def head(self, bucket: str, key: str) -> ObjectRef | None:
        """Return an object's current version; ``None`` where there is none."""
        return self._store.head(bucket, key)

    def model(self, ref: ObjectRef, model: type[Value]) -> Value | None:
        """Return a document; ``None`` where it is gone or cannot be understood."""
        return self.read(ref, model.__name__, cast("Any", model).model_validate_json)

    def read(self, ref: ObjectRef, what: str, load: Callable[[bytes], Value]) -> Value | None:
        """Return what ``load`` makes of an object, once for each of its versions; ``None`` where it raises ``ValueError``.

        ``what`` is the name of what it makes.
        """
        with self._lock:
            known = self._read.get((ref, what))
        if known is not None:
            return cast("Value | None", known[1])
        try:
            data = self._store.get_bytes(ref.bucket, ref.key)
        except NotFound:
            return None
        try:
            made: Value | None = load(data)
        except (ValueError, MediaError) as error:
            # Logged once for each version; pydantic's errors are ValueErrors.
            logger.warning("%s is no %s that can be read: %s", ref.uri, what, str(error).partition("\n")[0])
            made = None
        entry = (min(len(data), _MOST_BYTES) or 1, made)
        with self._lock:
            self._read[ref, what] = entry
        return made
