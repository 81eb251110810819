"""What ingest knows of a dropped object, and the documents that it keeps of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from include.worker.callback import Callback
from include.worker.requests import INGEST_CLIENT, Document

__all__ = [
    "INGEST_CLIENT",
    "INGEST_OBJECT_DAG",
    "Claim",
    "Dispatched",
    "Dropped",
    "ErrorDocument",
    "Fate",
    "IngestNote",
    "claim_id_for",
    "refusal_run_id",
    "version_of",
]

INGEST_OBJECT_DAG = "ingest_object"

Fate = Literal["started", "joined", "known", "refused", "ignored", "gone", "unsettled", "waiting"]


def claim_id_for(bucket: str, key: str, etag: str) -> str:
    """Return the id of one version of one object: 32 hex digits."""
    return hashlib.sha256(f"{bucket}\0{key}\0{etag}".encode()).hexdigest()[:32]


def version_of(claim_id: str) -> str:
    """Return the default of contract 1's ``time``, and what it is to other outputs."""
    return claim_id[:12]


def refusal_run_id(claim_id: str) -> str:
    """Return the id of the run of the DAG ``ingest_object`` that tells why an object was refused."""
    return f"{INGEST_OBJECT_DAG}__{claim_id[:20]}"


@dataclass(frozen=True)
class Dropped:
    """An object in a folder that ingest watches, as somebody saw it: a listing, or an event, which may know the key alone."""

    bucket: str
    key: str
    etag: str = ""  # without quotes; empty: not known
    size: int = -1  # bytes; -1: not known
    modified_at: datetime | None = None

    @property
    def claim_id(self) -> str:
        """See :func:`claim_id_for`."""
        return claim_id_for(self.bucket, self.key, self.etag)


@dataclass(frozen=True)
class Dispatched:
    """What became of one object of a dispatch.

    ``started``: a run was started · ``joined``: its run is at work already · ``known``: it was dealt with before ·
    ``refused``: it cannot be taken, and a failed run says why · ``ignored``: it is nothing to take (a folder, a sidecar, a
    temporary name, another place) · ``gone``: it is not there any more.
    Two fates ask to come again: ``unsettled`` (it may still be written; after ``seconds``) and ``waiting`` (no room, or the
    output is in the making for somebody else).
    """

    dropped: Dropped
    fate: Fate
    message: str = ""
    run_id: str | None = None
    seconds: float = 0.0


class Claim(Document):
    """``<work_prefix>ingest/open/<id>.json``, later ``…/settled/<id>.json``: this version of this object was dealt with."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    bucket: str
    key: str
    etag: str
    size: int = Field(ge=0)
    claimed_at: datetime
    state: Literal["open", "done", "failed", "refused", "gone"] = "open"
    settled_at: datetime | None = None
    dag_id: str
    run_id: str
    conf: dict[str, Any] = Field(description="of the run")
    note: str = Field("", description="of the run")
    job_id: str | None = Field(None, description="none where the run only tells why the object is refused")
    callback: Callback | None = Field(None, description="what the sidecar named")
    sidecar: str | None = Field(None, description="key of the sidecar that was read")
    sidecar_etag: str | None = Field(None, description="its version: another one lets a refused object be tried again")
    error: dict[str, Any] | None = Field(None, description="MediaError.to_document()")

    @property
    def version(self) -> str:
        """What tells the outputs of this version of the object from those of others."""
        return version_of(self.id)


class IngestNote(Document):
    """``ingest.json`` in a job's folder: the object that its run was started for."""

    bucket: str
    key: str
    etag: str
    claim_id: str


class ErrorDocument(Document):
    """``<key>.error.json`` beside an object that was refused, or whose run has failed."""

    key: str
    etag: str
    code: str
    message: str
    what_to_do: str
    dag_id: str
    run_id: str
    at: datetime
