"""When a failed task is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from include.errors import Cancelled, MediaError

__all__ = ["MediaRetryPolicy"]


class MediaRetryPolicy(RetryPolicy):  # type: ignore[misc]  # Airflow is untyped here
    """Fail at once where another attempt cannot help, else wait twice as long each time.

    ``first`` and ``longest`` are the waits in seconds. What is no :class:`~include.errors.MediaError` is tried again: it is
    the machine's fault or ours.
    """

    def __init__(self, first: float = 5.0, longest: float = 120.0) -> None:
        self.first = first
        self.longest = longest

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """See :meth:`RetryPolicy.evaluate`."""
        # A user's cancel sets the task's state itself; what reaches this place is a task stopped with its machine.
        if isinstance(exception, MediaError) and not exception.retryable and not isinstance(exception, Cancelled):
            return RetryDecision.fail(reason=f"{exception.code}: another attempt would fail, too")
        delay = timedelta(seconds=min(self.longest, self.first * 2 ** max(0, try_number - 1)))
        return RetryDecision.retry(delay=delay, reason=f"{type(exception).__name__}: trying again may help")

    def serialize(self) -> dict[str, Any]:
        """See :meth:`RetryPolicy.serialize`."""
        return {"first": self.first, "longest": self.longest}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> MediaRetryPolicy:
        """See :meth:`RetryPolicy.deserialize`."""
        return cls(**data)
