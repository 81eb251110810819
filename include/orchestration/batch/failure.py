"""The error of a failed Batch job: the unit's own where it has told one, else what Batch knows."""

from __future__ import annotations

from collections.abc import Sequence

from include.errors import Cancelled, InternalError, MediaError, TimedOut, error_from_document
from include.orchestration.batch.jobs import BatchJob
from include.worker.models import UnitResult

__all__ = ["failure_of", "own_error"]

OUT_OF_TIME = "Job attempt duration exceeded timeout"
CANCELLED = 12
WORKERS_OWN = (10, 11, 12)
LINE_LENGTH = 300


def own_error(job: BatchJob, result: UnitResult | None) -> MediaError | None:
    """Return the error that the unit has told in its result, if that is of this job's last attempt."""
    attempt = job.last_attempt
    if result is None or result.status != "failed" or result.error is None:
        return None
    # Whole seconds, as documents have them.
    if result.finished_at.timestamp() < int(attempt.started or job.started or job.created):
        return None
    # A container that was killed may have told nothing, and one of an earlier attempt something else.
    if attempt.exit_code is not None and attempt.exit_code not in WORKERS_OWN:
        return None
    return error_from_document(result.error)


def failure_of(job: BatchJob, result: UnitResult | None, lines: Sequence[str]) -> MediaError:
    """Return the error to raise for a failed job; ``lines`` are the last of its last attempt's log."""
    own = own_error(job, result)
    if own is not None:
        return own
    attempt = job.last_attempt
    reason = attempt.status_reason or job.reason
    if OUT_OF_TIME in (reason, job.reason):
        return TimedOut("The unit ran past its deadline (MEDIA_UNIT_TIMEOUT_SECONDS), and AWS Batch ended it.")
    if attempt.exit_code == CANCELLED:
        return Cancelled(f"The unit's container (job {job.id}) was stopped from outside.")
    parts = [f"Job {job.id} of the unit failed", _exit(attempt.exit_code), *(part for part in (reason, attempt.reason) if part)]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    told = f" Its last line: {last[:LINE_LENGTH]}" if last else ""
    return InternalError("; ".join(filter(None, parts)).rstrip(".") + "." + told)


def _exit(code: int | None) -> str:
    if code is None:
        return ""
    if code == 137:
        return "exit code 137: it was killed, perhaps because it had no memory left"
    return f"exit code {code}"
