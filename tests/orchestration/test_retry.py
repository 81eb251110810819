"""Which failures are tried again, and when."""

from __future__ import annotations

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from include.errors import AccessDenied, Cancelled, InternalError, InvalidInputData, ParameterError, StorageError, TimedOut
from include.orchestration.retry import MediaRetryPolicy


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (ParameterError(""), RetryAction.FAIL),
        (InvalidInputData(""), RetryAction.FAIL),
        (AccessDenied(""), RetryAction.FAIL),
        (InternalError(""), RetryAction.RETRY),
        (StorageError(""), RetryAction.RETRY),
        (TimedOut(""), RetryAction.RETRY),
        (Cancelled(""), RetryAction.RETRY),
        (OSError("disk"), RetryAction.RETRY),
        (SystemExit(1), RetryAction.RETRY),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value.value,
)
def test_only_what_cannot_succeed_fails_at_once(error: BaseException, action: RetryAction) -> None:
    assert MediaRetryPolicy().evaluate(error, 1, 2).action is action


def test_waits_double_up_to_a_bound() -> None:
    policy = MediaRetryPolicy(first=5, longest=30)
    waits = [policy.evaluate(InternalError(""), attempt, 9).retry_delay for attempt in range(1, 6)]
    assert [wait.total_seconds() for wait in waits if wait] == [5, 10, 20, 30, 30]


def test_the_policy_survives_serialization() -> None:
    policy = MediaRetryPolicy(first=1, longest=2)
    assert vars(MediaRetryPolicy.deserialize(policy.serialize())) == vars(policy)
