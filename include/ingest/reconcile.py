"""Claims whose runs will never report: deleted, killed, or never started."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from include.errors import Cancelled, MediaError
from include.ingest.admission import REFUSALS, check_destination, does
from include.ingest.claims import Claims
from include.ingest.dispatch import raise_all, start
from include.ingest.made import is_made
from include.ingest.models import Claim
from include.ingest.runs import IN_FLIGHT
from include.ingest.settling import settle
from include.worker.job import Job

if TYPE_CHECKING:
    from include.ingest.place import Ingest
    from include.ingest.runs import Runs

__all__ = ["is_overdue", "reconcile"]

logger = logging.getLogger(__name__)

# Whoever has made a claim starts its run at once, and a run settles its claim before it ends.
PATIENCE = timedelta(seconds=60)


def is_overdue(ingest: Ingest, state_of: Callable[[str, str], str | None]) -> bool:
    """Tell whether :func:`reconcile` has something to do; ``state_of`` is asked for runs as :meth:`Runs.state` is."""
    return any(state_of(claim.dag_id, claim.run_id) not in IN_FLIGHT for claim in _old(ingest))


def reconcile(ingest: Ingest, runs: Runs) -> Counter[str]:
    """Settle every claim whose run has ended without a word, and start runs that are not there; return how many of each.

    A run that was deleted, that ended before the claim was made, or that did what somebody else wanted, is started (again) as
    long as the object is there: who does not want it removes the object. A claim that cannot be dealt with keeps no other
    waiting: the error is raised at the end.
    """
    counts: Counter[str] = Counter()
    failures: dict[str, MediaError] = {}
    for claim in _old(ingest):
        try:
            state = runs.state(claim.dag_id, claim.run_id)
            if state in IN_FLIGHT:
                continue
            what = _reconcile(ingest, claim, state, runs)
        except MediaError as error:
            logger.warning("The claim of %s was not dealt with: %s", claim.key, error)
            failures[claim.key] = error
            continue
        logger.info("%-9s %s (run %s: %s)", what, claim.key, claim.run_id, state or "none")
        counts[what] += 1
    raise_all(failures)
    return counts


def _old(ingest: Ingest) -> Iterator[Claim]:
    now = datetime.now(timezone.utc)
    return (claim for claim in Claims(ingest).open_claims() if now - claim.claimed_at > PATIENCE)


def _reconcile(ingest: Ingest, claim: Claim, state: str | None, runs: Runs) -> str:
    if is_made(ingest, claim):
        settle(ingest, claim, None)
        return "done"
    now = ingest.store.head(claim.bucket, claim.key)
    if now is None or now.etag != claim.etag:
        Claims(ingest).settle(claim, "gone")
        return "gone"
    if state is not None:
        run = runs.read(claim.dag_id, claim.run_id)
        if does(run, claim) and (run.ended_at is None or run.ended_at >= claim.claimed_at):
            settle(ingest, claim, _error(ingest, claim, run.state))
            return "failed"
    try:
        check_destination(ingest, claim)
    except REFUSALS as error:
        settle(ingest, claim, error.to_document())
        return "failed"
    return start(ingest, claim, runs)


def _error(ingest: Ingest, claim: Claim, state: str) -> Mapping[str, Any]:
    if state == "success":
        return Cancelled("The run was marked as a success, but has made nothing of the object.").to_document()
    if claim.job_id is not None:
        outcome = Job(ingest.store, ingest.settings, claim.bucket, claim.job_id).read_outcome()
        if outcome and outcome.error and outcome.run_id == claim.run_id and outcome.finished_at >= claim.claimed_at:
            return outcome.error
    return Cancelled("The run was stopped, or killed before it could tell why it failed.").to_document()
