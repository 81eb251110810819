"""A Batch job as DescribeJobs tells of it, and what follows from that: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["OURS", "OVER", "RECLAIMED", "RUN_FAILED", "Attempt", "BatchJob", "Limits", "Verdict", "decide", "oldest"]

OVER = ("SUCCEEDED", "FAILED")
AT_WORK = ("STARTING", "RUNNING")
RECLAIMED = "Host EC2"
# Begins the reasons that we give when we end a job, so that the next look knows.
OURS = "reelflow: "
RUN_FAILED = f"{OURS}its run has failed"
# Batch ends an attempt that runs too long by itself; only where it does not, we do.
GRACE_SECONDS = 120.0


class Verdict(str, Enum):
    """What to do about a job that is being waited for."""

    WAIT = "wait"
    OVER = "over"
    MOVE = "move"  # spot has no room for it
    STUCK = "stuck"  # no queue has
    LATE = "late"  # it runs past its deadline


@dataclass(frozen=True)
class Attempt:
    """One attempt of Batch's own at a job."""

    exit_code: int | None = None
    reason: str = ""  # of the container: OutOfMemoryError, CannotPullContainerError …
    status_reason: str = ""
    log_stream: str | None = None
    started: float | None = None
    stopped: float | None = None


@dataclass(frozen=True)
class Limits:
    """How long a job may do what, in seconds; ``runnable`` 0: any time."""

    runnable: float
    queue: float
    run: float


@dataclass(frozen=True)
class BatchJob:
    """A job, or an array job with the number of its ``children`` by status; times are seconds since the epoch."""

    id: str
    name: str
    queue: str
    status: str
    reason: str = ""
    created: float = 0.0
    started: float | None = None
    stopped: float | None = None
    attempts: tuple[Attempt, ...] = ()
    current: Attempt = field(default_factory=Attempt)
    log_group: str | None = None
    command: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    children: Mapping[str, int] = field(default_factory=dict)
    vcpus: float | None = None

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> BatchJob:
        """Read what DescribeJobs says of a job."""
        container = described.get("container") or {}
        array = described.get("arrayProperties") or {}
        options = (container.get("logConfiguration") or {}).get("options") or {}
        return cls(
            id=described["jobId"],
            name=described["jobName"],
            queue=described.get("jobQueue", "").rpartition("/")[2],
            status=described["status"],
            reason=described.get("statusReason") or "",
            created=_seconds(described.get("createdAt")) or 0.0,
            started=_seconds(described.get("startedAt")),
            stopped=_seconds(described.get("stoppedAt")),
            attempts=tuple(_attempt(attempt, attempt.get("container") or {}) for attempt in described.get("attempts") or ()),
            current=_attempt(described, container),
            log_group=options.get("awslogs-group"),
            command=tuple(container.get("command") or ()),
            tags=described.get("tags") or {},
            size=int(array.get("size") or 0),
            children=array.get("statusSummary") or {},
            vcpus=_vcpus(container),
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs, or will."""
        return self.status in OVER or (self.size > 0 and sum(self.children.get(status, 0) for status in OVER) >= self.size)

    @property
    def succeeded(self) -> bool:
        """Whether it, or every child of it, has ended with exit code 0."""
        return self.status == "SUCCEEDED" or (self.size > 0 and self.children.get("SUCCEEDED", 0) >= self.size)

    @property
    def is_at_work(self) -> bool:
        """Whether a container of it starts or runs."""
        return self.status in AT_WORK or any(self.children.get(status, 0) for status in AT_WORK)

    @property
    def last_attempt(self) -> Attempt:
        """The attempt that decided: the last one that was made, or what the job itself says where none is listed."""
        if not self.attempts:
            return self.current
        last = self.attempts[-1]
        if last.exit_code is None and last.log_stream in (None, self.current.log_stream):
            # Some servers tell the exit code of the job, and not of its attempts.
            return Attempt(
                exit_code=self.current.exit_code,
                reason=last.reason or self.current.reason,
                status_reason=last.status_reason,
                log_stream=last.log_stream or self.current.log_stream,
                started=last.started,
                stopped=last.stopped,
            )
        return last

    @property
    def ended_by_us(self) -> bool:
        """Whether it was ended because we asked for that."""
        return self.reason.startswith(OURS)

    @property
    def ended_in_vain(self) -> bool:
        """Whether it was ended since its run has failed in another unit."""
        return self.reason == RUN_FAILED

    @property
    def reclaimed(self) -> bool:
        """Whether its last attempt ended because the instance was taken away."""
        return self.last_attempt.status_reason.startswith(RECLAIMED) or self.reason.startswith(RECLAIMED)

    @property
    def queue_seconds(self) -> float | None:
        """How long it waited for its first attempt."""
        started = self.attempts[0].started if self.attempts else self.started
        return max(0.0, started - self.created) if started else None

    @property
    def machine_seconds(self) -> float:
        """How long machines worked on it, all attempts together; of an array job that is not known, and 0."""
        attempts = self.attempts or (self.current,)
        return sum(max(0.0, one.stopped - one.started) for one in attempts if one.started and one.stopped)

    @property
    def fraction(self) -> float:
        """Share of an array's children that have ended well."""
        return self.children.get("SUCCEEDED", 0) / self.size if self.size else 0.0


def decide(job: BatchJob, limits: Limits, *, now: float, movable: bool, seen_at_work: float = 0.0) -> Verdict:
    """Say what to do about a job.

    :param movable: it is in the spot queue, and may go to the on-demand queue.
    :param seen_at_work: when something of it was last seen at work, as far as that is not among its attempts.
    """
    if job.is_over:
        return Verdict.OVER
    if job.is_at_work:
        # A child's start is not told; Batch's own limit must do.
        late = job.size == 0 and job.started is not None and now - job.started > limits.run + GRACE_SECONDS
        return Verdict.LATE if job.status == "RUNNING" and late else Verdict.WAIT
    waits_since = max(job.created, seen_at_work, *(attempt.stopped or 0.0 for attempt in job.attempts), 0.0)
    is_runnable = job.status == "RUNNABLE" or job.children.get("RUNNABLE", 0) > 0
    if movable and is_runnable and 0 < limits.runnable < now - waits_since:
        return Verdict.MOVE
    return Verdict.STUCK if now - waits_since > limits.queue else Verdict.WAIT


def _attempt(described: Mapping[str, Any], container: Mapping[str, Any]) -> Attempt:
    return Attempt(
        exit_code=container.get("exitCode"),
        reason=container.get("reason") or "",
        status_reason=described.get("statusReason") or "",
        log_stream=container.get("logStreamName"),
        started=_seconds(described.get("startedAt")),
        stopped=_seconds(described.get("stoppedAt")),
    )


def _vcpus(container: Mapping[str, Any]) -> float | None:
    required = {item.get("type"): item.get("value") for item in container.get("resourceRequirements") or ()}
    value = required.get("VCPU") or container.get("vcpus")
    return float(value) if value else None


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if milliseconds else None


def oldest(jobs: Sequence[BatchJob]) -> BatchJob:
    """Return the job that was there first; everybody who looks finds the same one."""
    return min(jobs, key=lambda job: (job.created, job.id))
