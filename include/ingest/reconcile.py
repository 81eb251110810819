"""Claims whose runs will never report: deleted, killed, or never started."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from include.errors import Cancelled
from include.ingest.claims import Claims
from include.ingest.dispatch import IN_FLIGHT, start
from include.ingest.models import Claim
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
    return any(True for _ in _overdue(ingest, state_of))


def reconcile(ingest: Ingest, runs: Runs) -> Counter[str]:
    """Settle every claim whose run has ended without a word, and start runs that are not there; return how many of each.

    A run that was deleted is started again as long as its object is there: who does not want it removes the object.
    """
    counts: Counter[str] = Counter()
    for claim, state in _overdue(ingest, runs.state):
        what = _reconcile(ingest, claim, state, runs)
        logger.info("%-9s %s (run %s: %s)", what, claim.key, claim.run_id, state or "none")
        counts[what] += 1
    return counts


def _overdue(ingest: Ingest, state_of: Callable[[str, str], str | None]) -> Iterator[tuple[Claim, str | None]]:
    now = datetime.now(timezone.utc)
    for claim in Claims(ingest).open_claims():
        if now - claim.claimed_at > PATIENCE and (state := state_of(claim.dag_id, claim.run_id)) not in IN_FLIGHT:
            yield claim, state


def _reconcile(ingest: Ingest, claim: Claim, state: str | None, runs: Runs) -> str:
    if state is None:
        now = ingest.store.head(claim.bucket, claim.key)
        if now is None or now.etag != claim.etag:
            Claims(ingest).settle(claim, "gone")
            return "gone"
        return start(ingest, claim, runs)
    if state == "success":
        settle(ingest, claim, None)
        return "done"
    outcome = None
    if claim.job_id is not None:
        outcome = Job(ingest.store, ingest.settings, claim.bucket, claim.job_id).read_outcome()
    told = outcome is not None and outcome.run_id == claim.run_id and outcome.error
    settle(ingest, claim, told or Cancelled("The run was stopped, or killed before it could tell why it failed.").to_document())
    return "failed"
