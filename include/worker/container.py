"""What is different in a container of AWS Batch: nobody reads the worker's standard output while it runs."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.errors import MediaError, ParameterError
from include.media_store.models import parse_uri
from include.worker.workbench import now

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["ArrayManifest", "ProgressObject", "array_index", "batch_job_id", "unit_of_array"]

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 5.0


class ArrayManifest(BaseModel):
    """The units of an array job: the child with index *n* runs the *n*-th."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: tuple[str, ...] = Field(min_length=1, description="s3:// URIs of unit documents")


def batch_job_id(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the id of the Batch job that this process runs in (``<id>:<index>`` in an array job), or ``None``."""
    return environ.get("AWS_BATCH_JOB_ID") or None


def array_index(environ: Mapping[str, str] = os.environ) -> int:
    """Return which child of an array job this is; :class:`ParameterError` where it is none."""
    # The job id says it, too, and is all that there is with moto.
    index = environ.get("AWS_BATCH_JOB_ARRAY_INDEX") or (batch_job_id(environ) or "").partition(":")[2]
    if not index.isdecimal():
        raise ParameterError("run-array wants AWS_BATCH_JOB_ARRAY_INDEX, which AWS Batch sets in array jobs, or --index.")
    return int(index)


def unit_of_array(store: ObjectStore, uri: str, index: int) -> str:
    """Return the URI of the unit that child ``index`` of the array job with the manifest at ``uri`` runs."""
    bucket, key = parse_uri(uri)
    try:
        units = ArrayManifest.model_validate_json(store.get_bytes(bucket, key)).units
    except ValidationError as error:
        raise ParameterError(f"{uri} is not a manifest of an array job.") from error
    if index >= len(units):
        raise ParameterError(f"{uri} has {len(units)} units, so there is none with index {index}.")
    return units[index]


class ProgressObject:
    """Keeps the latest progress event in an object, ``{…event, "job", "at"}``, written every few seconds at most.

    Writing happens in a thread and fails silently: no unit waits for it, or fails because of it. The object is removed at
    the end, since the unit's result tells more.
    """

    def __init__(self, store: ObjectStore, bucket: str, key: str, *, job: str, seconds: float = PROGRESS_SECONDS) -> None:
        self._store, self._bucket, self._key, self._job, self._seconds = store, bucket, key, job, seconds
        self._latest: dict[str, Any] | None = None
        self._new = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="progress", daemon=True)

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event; returns at once."""
        self._latest = event
        self._new.set()

    def __enter__(self) -> ProgressObject:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._new.set()
        self._thread.join(self._seconds)
        self._try(lambda: self._store.delete(self._bucket, self._key))

    def _write(self) -> None:
        while not self._ended.is_set():
            self._new.wait()
            self._new.clear()
            event = self._latest
            if event is None or self._ended.is_set():
                continue
            document = event | {"job": self._job, "at": now().isoformat()}
            self._try(lambda document=document: self._store.put_bytes(self._bucket, self._key, json.dumps(document).encode()))
            self._ended.wait(self._seconds)

    @staticmethod
    def _try(action: Any) -> None:
        try:
            action()
        except MediaError as error:
            logger.warning("Progress could not be told: %s", error)
