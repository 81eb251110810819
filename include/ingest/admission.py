"""What a dropped object would become: its claim, or why it is refused."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from include.errors import InputError, LimitExceeded, ParameterError
from include.ingest.candidates import check_object, kind_of
from include.ingest.claims import Claims
from include.ingest.made import is_made, request_of
from include.ingest.models import INGEST_CLIENT, INGEST_OBJECT_DAG, Claim, Dropped, refusal_run_id, version_of
from include.ingest.parameters import Sidecar, request_for
from include.ingest.runs import IN_FLIGHT
from include.ingest.settling import note_of
from include.media_store.models import object_uri
from include.worker.job import Job
from include.worker.requests import SuperResolutionRequest

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.ingest.runs import Run, Runs
    from include.media_store.inbox import Looked

__all__ = ["REFUSALS", "admit", "check_destination", "does", "is_occupied", "refusal"]

# What is the object's fault. All else is the machine's, or ours, and the object waits.
REFUSALS = (ParameterError, LimitExceeded, InputError)


def admit(ingest: Ingest, looked: Looked, sidecar: Sidecar | None) -> Claim:
    """Return the claim of an object that may have its run; raises one of :data:`REFUSALS`."""
    settings, source = ingest.settings, looked.ref
    kind = kind_of(settings, source.bucket, source.key)
    if kind is None:
        raise ParameterError(f"{source.key} is in no folder that is watched.")
    check_object(settings, kind, source.key, source.size)
    version = version_of(Dropped(source.bucket, source.key, source.etag).claim_id)
    parameters = request_for(settings, kind, looked, sidecar, version)
    request = parameters.request
    claim = _claim(looked, sidecar).model_copy(
        update={
            "dag_id": kind,
            "run_id": request.run_id,
            "conf": request.model_dump(mode="json"),
            "note": f"{INGEST_CLIENT}: {source.key} to {request.destination_key}",
            "job_id": request.job_id,
            "callback": parameters.callback,
        }
    )
    check_destination(ingest, claim)
    return claim


def refusal(looked: Looked, sidecar: Sidecar | None) -> Claim:
    """Return the claim of an object that is refused: its run tells why."""
    return _claim(looked, sidecar)


def check_destination(ingest: Ingest, claim: Claim) -> None:
    """Raise :class:`ParameterError` where the claim's run would replace what was made of something else."""
    if claim.job_id is None or is_made(ingest, claim):
        return
    request = request_of(claim)
    if ingest.store.head(request.bucket, request.destination_key) is not None:
        fields = "`output_folder`" if isinstance(request, SuperResolutionRequest) else "`dst` or `time`"
        uri = object_uri(request.bucket, request.destination_key)
        raise ParameterError(f"{uri} is there already, made of something else; choose another {fields}, or leave it out.")


def is_occupied(ingest: Ingest, claim: Claim, runs: Runs) -> bool:
    """Tell whether the job is at work for somebody else: another object, or a program that has named the same output."""
    if claim.job_id is None:
        return False
    note = note_of(Job(ingest.store, ingest.settings, claim.bucket, claim.job_id))
    if note is not None and note.claim_id != claim.id and note.claim_id in Claims(ingest).open_ids():
        return True
    return runs.state(claim.dag_id, claim.run_id) in IN_FLIGHT and not does(runs.read(claim.dag_id, claim.run_id), claim)


def does(run: Run, claim: Claim) -> bool:
    """Tell whether the run does what the claim asks for, and not what somebody else wants at the same place."""
    return dict(run.conf) == claim.conf


def _claim(looked: Looked, sidecar: Sidecar | None) -> Claim:
    source = looked.ref
    claim_id = Dropped(source.bucket, source.key, source.etag).claim_id
    identity = {"bucket": source.bucket, "key": source.key, "etag": source.etag, "claim_id": claim_id, "client": INGEST_CLIENT}
    return Claim(
        id=claim_id,
        bucket=source.bucket,
        key=source.key,
        etag=source.etag,
        size=source.size,
        claimed_at=datetime.now(timezone.utc).replace(microsecond=0),
        dag_id=INGEST_OBJECT_DAG,
        run_id=refusal_run_id(claim_id),
        conf=identity,
        note=f"{INGEST_CLIENT}: {source.key}",
        sidecar=sidecar and sidecar.ref.key,
        sidecar_etag=sidecar and sidecar.ref.etag,
    )
