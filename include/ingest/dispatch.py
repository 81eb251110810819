"""From dropped objects to runs: one each, however often and in whatever order they are named."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from include.errors import InternalError, MediaError, NotFound, ParameterError
from include.ingest.admission import REFUSALS, admit, does, is_occupied, refusal
from include.ingest.candidates import is_candidate
from include.ingest.claims import Claims
from include.ingest.made import is_made
from include.ingest.models import Claim, Dispatched, Dropped, Fate
from include.ingest.parameters import read_sidecar
from include.ingest.runs import IN_FLIGHT
from include.ingest.settling import settle, write_note
from include.worker.job import Job

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.ingest.runs import Runs
    from include.media_store.inbox import Looked

__all__ = ["dispatch", "raise_all", "start", "try_again"]

logger = logging.getLogger(__name__)

_SHOWN = 5


def dispatch(ingest: Ingest, dropped: Iterable[Dropped], runs: Runs, *, room: int | None = None) -> list[Dispatched]:
    """Claim each object and see that it has its run; return what became of them, in their order.

    Every object is looked at again: of what is named only bucket and key are believed, and an ETag that is another one by now
    means that the object is still being written. No more than ``room`` runs are started, the others are ``waiting``; ``None``:
    all are. May be called by several processes at once, and again after it was killed at any moment.

    An object that cannot be dealt with (the object store or Airflow does not answer, or refuses) keeps no other from its run:
    the error is raised when all were named.
    """
    fates, failures = [], {}
    for one in dropped:
        try:
            fate = _dispatch(ingest, one, runs, has_room=room is None or room > 0)
        except MediaError as error:
            logger.warning("%s was not dealt with: %s", one.key, error)
            failures[one.key] = error
            continue
        if room is not None and fate.fate in {"started", "refused"}:
            room -= 1
        logger.info("%-9s %s %s", fate.fate, one.key, fate.message)
        fates.append(fate)
    raise_all(failures)
    return fates


def raise_all(failures: Mapping[str, MediaError]) -> None:
    """Raise what has kept objects, by their keys, from being dealt with; nothing where there is nothing."""
    if len(failures) == 1:
        raise next(iter(failures.values()))
    if failures:
        reasons = "; ".join(f"{key}: {error.message}" for key, error in list(failures.items())[:_SHOWN])
        raise InternalError(f"{len(failures)} objects were not dealt with: {reasons}")


def start(ingest: Ingest, claim: Claim, runs: Runs) -> Fate:
    """See that an open claim's run is at work, unless what it would make is there.

    ``waiting``: the run is at work for somebody else, and :func:`~include.ingest.reconcile.reconcile` comes back to the claim.
    """
    # First: a run that somebody has cleared reads the object, though its last output is there.
    if runs.state(claim.dag_id, claim.run_id) in IN_FLIGHT:
        return _join(claim, runs)
    if is_made(ingest, claim):
        settle(ingest, claim, None)
        return "known"
    if claim.job_id is not None:
        job = Job(ingest.store, ingest.settings, claim.bucket, claim.job_id)
        write_note(job, claim)
        if claim.callback is not None:
            job.write_callback(claim.callback)
    if runs.start(claim.dag_id, claim.run_id, claim.conf, claim.note):
        return "started" if claim.job_id else "refused"
    if runs.state(claim.dag_id, claim.run_id) in IN_FLIGHT:
        return _join(claim, runs)
    runs.start(claim.dag_id, claim.run_id, claim.conf, claim.note, again=True)
    return "started" if claim.job_id else "refused"


def _join(claim: Claim, runs: Runs) -> Fate:
    if claim.job_id is None:
        return "refused"
    return "joined" if does(runs.read(claim.dag_id, claim.run_id), claim) else "waiting"


def _dispatch(ingest: Ingest, one: Dropped, runs: Runs, *, has_room: bool) -> Dispatched:
    if not is_candidate(ingest.settings, one.bucket, one.key):
        return Dispatched(one, "ignored")
    looked = ingest.inbox.look(one.bucket, one.key)
    if looked is None:
        return Dispatched(one, "gone")
    rest = ingest.settings.ingest_settle_seconds - looked.age
    if one.etag not in {"", looked.ref.etag}:
        rest = max(rest, ingest.settings.ingest_poll_seconds)
    if rest > 0:
        return Dispatched(one, "unsettled", "may still be written", seconds=rest)
    claim = Claims(ingest).find(Dropped(one.bucket, one.key, looked.ref.etag).claim_id)
    if claim is None:
        return _claim(ingest, one, looked, runs, has_room=has_room)
    return _known(ingest, one, looked, claim, runs, has_room=has_room)


def _known(ingest: Ingest, one: Dropped, looked: Looked, claim: Claim, runs: Runs, *, has_room: bool) -> Dispatched:
    if claim.state == "open":
        # Whoever has made the claim may have been killed before the run was started.
        known = runs.state(claim.dag_id, claim.run_id) is not None
        return Dispatched(one, "known" if known else start(ingest, claim, runs), run_id=claim.run_id)
    if _is_touched(ingest, claim, looked):
        if claim.state == "done" and runs.state(claim.dag_id, claim.run_id) in IN_FLIGHT:
            return Dispatched(one, "known", "put back for its run", run_id=claim.run_id)
        if claim.state != "done" or not is_made(ingest, claim):
            return _claim(ingest, one, looked, runs, has_room=has_room, again=True)
        settle(ingest, claim, None)
    return Dispatched(one, "known", claim.state, run_id=claim.run_id)


def try_again(ingest: Ingest, bucket: str, key: str, etag: str, runs: Runs) -> Fate:
    """Look once more at an object that was refused, and start its run; raises why it is still refused."""
    if not is_candidate(ingest.settings, bucket, key):
        # Before anything is written beside it: whoever starts a run by hand may name any object.
        raise ParameterError(f"{key} is no film of a folder that is watched in {ingest.settings.bucket}.")
    claims, looked = Claims(ingest), ingest.inbox.look(bucket, key)
    claim = claims.find(Dropped(bucket, key, etag).claim_id)
    if looked is None or looked.ref.etag != etag:
        if claim is not None and claim.job_id is None:
            claims.settle(claim, "gone")
        raise NotFound(f"{key} is not there any more, or was replaced: another version is dealt with by itself.")
    if claim is not None and claim.job_id is not None and claim.state in {"open", "done"}:
        return "known"
    sidecar = read_sidecar(ingest, bucket, key)
    try:
        admitted = admit(ingest, looked, sidecar)
    except REFUSALS as error:
        settle(ingest, refusal(looked, sidecar), error.to_document())
        raise
    if is_occupied(ingest, admitted, runs):
        raise InternalError(f"{key}: its output is in the making for somebody else; try again when that is done.")
    claims.reopen(admitted)
    return start(ingest, admitted, runs)


def _claim(ingest: Ingest, one: Dropped, looked: Looked, runs: Runs, *, has_room: bool, again: bool = False) -> Dispatched:
    if not has_room:
        return Dispatched(one, "waiting", "as many runs as may be are at work")
    sidecar, message = read_sidecar(ingest, one.bucket, one.key), ""
    try:
        claim = admit(ingest, looked, sidecar)
    except REFUSALS as error:
        claim, message = refusal(looked, sidecar), error.message
    if is_occupied(ingest, claim, runs):
        return Dispatched(one, "waiting", "its output is in the making for somebody else")
    claims = Claims(ingest)
    if again:
        claims.reopen(claim)
    elif not claims.take(claim):
        return Dispatched(one, "known", "claimed at the same moment by another dispatcher", run_id=claim.run_id)
    return Dispatched(one, start(ingest, claim, runs), message, run_id=claim.run_id)


def _is_touched(ingest: Ingest, claim: Claim, looked: Looked) -> bool:
    """Tell whether the object or its sidecar was written after the claim was settled: somebody wants another try."""
    settled = ingest.inbox.head(claim.bucket, Claims(ingest).settled_key(claim.id))
    sidecar = read_sidecar(ingest, claim.bucket, claim.key)
    written = [looked.modified_at, *([sidecar.modified_at] if sidecar else [])]
    return settled is None or max(written) > settled.modified_at
