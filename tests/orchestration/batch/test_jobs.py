"""What DescribeJobs says, and what follows from it, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import Cancelled, InternalError, TimedOut
from include.orchestration.batch.failure import failure_of
from include.orchestration.batch.jobs import Attempt, BatchJob, Limits, Verdict, decide

NOW = 100_000.0
LIMITS = Limits(runnable=900, queue=43_200, run=21_600)


def job(status: str = "RUNNABLE", **fields: Any) -> BatchJob:
    return BatchJob(**{"id": "1", "name": "n", "queue": "q", "status": status, "created": NOW - 60} | fields)


def array(created: float = NOW - 60, **children: int) -> BatchJob:
    return job("PENDING", created=created, size=10, children=children)


@pytest.mark.parametrize(
    ("one", "movable", "seen", "expected"),
    [
        pytest.param(job(), True, 0, Verdict.WAIT, id="runnable for a minute"),
        pytest.param(job(created=NOW - 901), True, 0, Verdict.MOVE, id="runnable too long on spot"),
        pytest.param(job(created=NOW - 901), False, 0, Verdict.WAIT, id="runnable too long, nowhere to go"),
        pytest.param(job("SUBMITTED", created=NOW - 901), True, 0, Verdict.WAIT, id="not runnable yet"),
        pytest.param(job(created=NOW - 43_201), False, 0, Verdict.STUCK, id="no machine in half a day"),
        pytest.param(job("SUBMITTED", created=NOW - 43_201), True, 0, Verdict.STUCK, id="never runnable"),
        pytest.param(
            job(created=NOW - 9_000, attempts=(Attempt(stopped=NOW - 60),)), True, 0, Verdict.WAIT, id="reclaimed lately"
        ),
        pytest.param(
            job(created=NOW - 9_000, attempts=(Attempt(stopped=NOW - 901),)), True, 0, Verdict.MOVE, id="reclaimed long ago"
        ),
        pytest.param(job("STARTING", created=NOW - 9_000), True, 0, Verdict.WAIT, id="starting"),
        pytest.param(job("RUNNING", started=NOW - 21_000), True, 0, Verdict.WAIT, id="running"),
        pytest.param(job("RUNNING", started=NOW - 21_601), True, 0, Verdict.WAIT, id="Batch ends it in a moment"),
        pytest.param(job("RUNNING", started=NOW - 21_721), True, 0, Verdict.LATE, id="Batch did not end it"),
        pytest.param(job("SUCCEEDED", created=0), True, 0, Verdict.OVER, id="succeeded"),
        pytest.param(job("FAILED", created=0), True, 0, Verdict.OVER, id="failed"),
        pytest.param(array(RUNNABLE=10), True, 0, Verdict.WAIT, id="array waits"),
        pytest.param(array(NOW - 901, RUNNABLE=10), True, 0, Verdict.MOVE, id="array waits too long"),
        pytest.param(array(NOW - 90_000, RUNNABLE=9, RUNNING=1), True, 0, Verdict.WAIT, id="array at work"),
        pytest.param(array(NOW - 90_000, RUNNABLE=9, SUCCEEDED=1), True, NOW - 60, Verdict.WAIT, id="array was at work lately"),
        pytest.param(array(NOW - 90_000, RUNNABLE=9, SUCCEEDED=1), True, NOW - 901, Verdict.MOVE, id="array at work no more"),
        pytest.param(array(SUCCEEDED=9, FAILED=1), True, 0, Verdict.OVER, id="array has ended"),
        pytest.param(array(SUCCEEDED=9), True, 0, Verdict.WAIT, id="array with an unknown child"),
    ],
)
def test_what_is_done_about_a_job(one: BatchJob, movable: bool, seen: float, expected: Verdict) -> None:
    assert decide(one, LIMITS, now=NOW, movable=movable, seen_at_work=seen) is expected


def test_a_limit_of_nought_is_none() -> None:
    one = job(created=NOW - 40_000)
    assert decide(one, Limits(0, 43_200, 60), now=NOW, movable=True) is Verdict.WAIT


DESCRIBED = {
    "jobId": "abc",
    "jobName": "reelflow-1",
    "jobQueue": "arn:aws:batch:us-east-1:123456789012:job-queue/Transcode_queue_Spot",
    "status": "FAILED",
    "statusReason": "Essential container in task exited",
    "createdAt": 1_000_000,
    "startedAt": 1_300_000,
    "stoppedAt": 1_400_000,
    "container": {
        "command": ["run", "s3://b/u"],
        "exitCode": 11,
        "logStreamName": "Transcode/default/two",
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/reelflow/batch"}},
    },
    "attempts": [
        {
            "container": {"logStreamName": "Transcode/default/one"},
            "startedAt": 1_100_000, "stoppedAt": 1_200_000, "statusReason": "Host EC2 (instance i-1) terminated.",
        },
        {
            "container": {"logStreamName": "Transcode/default/two", "exitCode": 11, "reason": "r"},
            "startedAt": 1_300_000, "stoppedAt": 1_400_000, "statusReason": "Essential container in task exited",
        },
    ],
    "tags": {"reelflow:run": "r"},
}  # fmt: skip


def test_a_description_is_read_with_its_attempts() -> None:
    one = BatchJob.of(DESCRIBED)
    assert (one.queue, one.is_over, one.succeeded, one.reclaimed, one.ended_by_us) == (
        "Transcode_queue_Spot", True, False, False, False,
    )  # fmt: skip
    assert (one.created, one.queue_seconds, one.log_group, one.command) == (1000, 100, "/reelflow/batch", ("run", "s3://b/u"))
    assert one.last_attempt == Attempt(11, "r", "Essential container in task exited", "Transcode/default/two", 1300, 1400)
    assert BatchJob.of(DESCRIBED | {"attempts": DESCRIBED["attempts"][:1]}).reclaimed  # type: ignore[index]


def test_what_a_server_leaves_out_is_not_needed() -> None:
    one = BatchJob.of({"jobId": "a", "jobName": "n", "status": "RUNNABLE", "attempts": [{"container": {}}]})
    assert (one.queue, one.created, one.last_attempt.exit_code, one.queue_seconds) == ("", 0.0, None, None)
    ended = {
        "jobId": "a",
        "jobName": "n",
        "status": "FAILED",
        "container": {"exitCode": 3, "logStreamName": "s"},
        "attempts": [{}],
    }
    assert (BatchJob.of(ended).last_attempt.exit_code, BatchJob.of(ended).last_attempt.log_stream) == (3, "s")


@pytest.mark.parametrize(
    ("attempt", "reason", "error", "message"),
    [
        (Attempt(exit_code=1), "Essential container in task exited", InternalError, "exited; .*|exit code 1"),
        (Attempt(exit_code=137), "", InternalError, "137: it was killed"),
        (Attempt(reason="CannotPullContainerError: no such image"), "Task failed to start", InternalError, "no such image"),
        (Attempt(exit_code=12), "Essential container in task exited", Cancelled, "stopped from outside"),
        (Attempt(), "Job attempt duration exceeded timeout", TimedOut, "MEDIA_UNIT_TIMEOUT_SECONDS"),
        (
            Attempt(status_reason="Host EC2 (instance i-1) terminated."),
            "x",
            InternalError,
            r"Host EC2 \(instance i-1\) terminated\.",
        ),
    ],
    ids=["exit code", "killed", "no image", "SIGTERM", "too long", "reclaimed"],
)
def test_what_batch_knows_becomes_an_error_of_our_tree(
    attempt: Attempt, reason: str, error: type[Exception], message: str
) -> None:
    found = failure_of(job("FAILED", attempts=(attempt,), reason=reason), None, [])
    assert type(found) is error
    with pytest.raises(error, match=message):
        raise found
