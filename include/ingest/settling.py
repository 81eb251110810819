"""What becomes of a dropped object when its run has ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from include.errors import InternalError, MediaError, NotFound
from include.ingest.candidates import error_key, fits, is_candidate, what_to_do
from include.ingest.claims import Claims
from include.ingest.made import is_made
from include.ingest.models import Claim, ErrorDocument, IngestNote
from include.ingest.parameters import RUN_TAG, STATE_TAG, read_sidecar
from include.media_store.models import ObjectRef
from include.worker.models import PlanTask, SplitTask
from include.worker.requests import TranscodeRequest, split_key

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.worker.job import Job

__all__ = ["note_of", "settle", "settle_job", "write_note"]

logger = logging.getLogger(__name__)


def note_of(job: Job) -> IngestNote | None:
    """Return which dropped object the job was started for; ``None`` for none."""
    try:
        return IngestNote.model_validate_json(job.store.get_bytes(job.bucket, job.ingest_key))
    except NotFound:
        return None
    except ValidationError as error:
        logger.warning("%s is damaged: %s", job.ingest_key, error)
        return None


def write_note(job: Job, claim: Claim) -> None:
    """Write down which dropped object the job is started for."""
    note = IngestNote(bucket=claim.bucket, key=claim.key, etag=claim.etag, claim_id=claim.id)
    job.store.put_bytes(job.bucket, job.ingest_key, note.model_dump_json(indent=1).encode())


def settle_job(ingest: Ingest, job: Job, note: IngestNote, error: Mapping[str, Any] | None) -> None:
    """Settle the object that the job was started for; ``error`` is that of a job that has failed.

    Nothing is settled where the run was somebody else's, who wants the same output: the object is none of its business.
    """
    claim = Claims(ingest).find(note.claim_id)
    if claim is None or claim.job_id != job.job_id:
        return
    if _is_for(job, claim) if error else is_made(ingest, claim):
        settle(ingest, claim, error)
    else:
        logger.warning("%s is not settled: %s was not for it", claim.key, claim.run_id)


def _is_for(job: Job, claim: Claim) -> bool:
    """Tell whether the job's last run was for the claim's object; one that did not come to name its source is believed to be."""
    try:
        task = job.read_unit("plan" if claim.dag_id == "transcode" else "split").task
    except (NotFound, InternalError) as error:
        if type(error) not in (NotFound, InternalError):
            raise
        return True
    if isinstance(task, PlanTask) and isinstance(task.request, TranscodeRequest):
        return task.request.source_key == claim.key
    return not isinstance(task, SplitTask) or task.request.key == claim.key


def settle(ingest: Ingest, claim: Claim, error: Mapping[str, Any] | None) -> None:
    """Put the object away, or leave a word beside it that says why not, and close its claim; may be repeated."""
    if error is None:
        with _tolerated(f"{claim.key} is done, but stays as it is"):
            _put_away(ingest, claim)
        with _tolerated(f"{claim.key} is done, but the word beside it stays"):
            if fits(error_key(claim.key)) and not _is_replaced(ingest, claim):
                ingest.store.delete(claim.bucket, error_key(claim.key))
        Claims(ingest).settle(claim, "done")
        return
    document = {name: error.get(name) for name in ("code", "message", "retryable")}
    if not _is_current(ingest, claim):
        Claims(ingest).settle(claim, "gone", document)
        return
    with _tolerated(f"{claim.key} has failed, which not all that is beside it tells"):
        _tell(ingest, claim, document)
        if ingest.settings.ingest_finished == "tag":
            _tag(ingest, claim, "failed")
    if _has_other_sidecar(ingest, claim):
        # It was put right while the run was at work: the next look begins anew.
        Claims(ingest).forget(claim)
    else:
        Claims(ingest).settle(claim, "failed" if claim.job_id else "refused", document)


def _tell(ingest: Ingest, claim: Claim, error: Mapping[str, Any]) -> None:
    if not fits(error_key(claim.key)):
        return  # the claim and the failed run tell it
    document = ErrorDocument(
        key=claim.key,
        etag=claim.etag,
        code=str(error["code"]),
        message=str(error["message"]),
        what_to_do=what_to_do(retryable=bool(error["retryable"])),
        dag_id=claim.dag_id,
        run_id=claim.run_id,
        at=datetime.now(timezone.utc).replace(microsecond=0),
    )
    ingest.store.put_bytes(claim.bucket, error_key(claim.key), document.model_dump_json(indent=1).encode())


@contextmanager
def _tolerated(what: str) -> Iterator[None]:
    """Log a refusal of the object store, which another try would meet again: the claim is closed all the same."""
    try:
        yield
    except MediaError as error:
        if error.retryable:
            raise
        logger.error("%s: %s", what, error)  # noqa: TRY400


def _put_away(ingest: Ingest, claim: Claim) -> None:
    finished = ingest.settings.ingest_finished
    if finished == "tag":
        _tag(ingest, claim, "done")
    elif finished == "move":
        folder, stem, _ = split_key(claim.key)
        target = f"{ingest.settings.ingest_finished_folder}{folder}{stem}_{claim.version}/"
        if not fits(f"{target}{claim.key[len(folder) :]}.json"):
            target = f"{ingest.settings.ingest_finished_folder}{claim.version}/"
        ingest.inbox.move(_ref(claim), f"{target}{claim.key[len(folder) :]}")
        # What another version of the object begins with stays with it.
        if not _is_replaced(ingest, claim):
            _move_sidecar(ingest, claim, target)


def _move_sidecar(ingest: Ingest, claim: Claim, target: str) -> None:
    if claim.sidecar is None:
        return
    ref = ingest.store.head(claim.bucket, claim.sidecar)
    # Another version is for what comes next, and one without the object's extension may be for others, too.
    if ref is None or ref.etag != claim.sidecar_etag or _is_shared(ingest, claim):
        return
    ingest.inbox.move(ref, f"{target}{claim.sidecar.rpartition('/')[2]}")


def _is_shared(ingest: Ingest, claim: Claim) -> bool:
    if claim.sidecar == f"{claim.key}.json":
        return False
    folder, stem, _ = split_key(claim.key)
    names = (ref.key for ref in ingest.store.list(claim.bucket, f"{folder}{stem}."))
    return any(split_key(key)[:2] == (folder, stem) and is_candidate(ingest.settings, claim.bucket, key) for key in names)


def _tag(ingest: Ingest, claim: Claim, state: str) -> None:
    ingest.inbox.tag(_ref(claim), {STATE_TAG: state, RUN_TAG: claim.run_id})


def _has_other_sidecar(ingest: Ingest, claim: Claim) -> bool:
    now = read_sidecar(ingest, claim.bucket, claim.key)
    return ((now.ref.key, now.ref.etag) if now else (None, None)) != (claim.sidecar, claim.sidecar_etag)


def _is_current(ingest: Ingest, claim: Claim) -> bool:
    now = ingest.store.head(claim.bucket, claim.key)
    return now is not None and now.etag == claim.etag


def _is_replaced(ingest: Ingest, claim: Claim) -> bool:
    now = ingest.store.head(claim.bucket, claim.key)
    return now is not None and now.etag != claim.etag


def _ref(claim: Claim) -> ObjectRef:
    return ObjectRef(bucket=claim.bucket, key=claim.key, etag=claim.etag, size=claim.size)
