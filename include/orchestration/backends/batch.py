"""Runs work units as AWS Batch jobs: one job per unit, whatever is killed when.

The task state store is the memory. What is about to be submitted is noted before, the job's id right after; a job whose id was
lost is found by its name. So :meth:`BatchBackend.advance` may be called at any moment by any attempt of the task, and goes on
from where things are.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from include.errors import Cancelled, TimedOut
from include.media_store.models import object_uri
from include.orchestration.backends.base import Document
from include.orchestration.batch.active import active_jobs
from include.orchestration.batch.ended import failed_one, failure, result_of, summed
from include.orchestration.batch.jobs import OURS, BatchJob, Limits, Verdict, decide, oldest
from include.orchestration.batch.memory import Memory
from include.orchestration.batch.price import dollars
from include.orchestration.batch.service import BatchService
from include.orchestration.batch.submission import Lane, Work, lane_of, submission
from include.orchestration.metrics import record_machine
from include.settings import Settings

if TYPE_CHECKING:
    from include.worker.job import Job
    from include.worker.models import WorkUnit

__all__ = ["STOPPED", "BatchBackend", "InVain", "Waiting"]

logger = logging.getLogger(__name__)

STOPPED = f"{OURS}stopped by a user"
MOST_STOPS = 3
# ListJobs may not know at once what SubmitJob has taken; only a lost submit has to wait for that.
SETTLE_SECONDS = (0.0, 2.0, 5.0)
SETTLED_AFTER = 120.0
ENDINGS = {
    "moved": "spot has no room for it, the on-demand queue takes it",
    "late": "it ran past its deadline",
    "stuck": "no queue had room for it",
    "stale": "its unit is another one by now",
    "cleared": "its task was cleared",
}


class InVain(Exception):
    """The unit's run has failed in another unit: this one, and any other attempt at it, would be in vain."""


@dataclass(frozen=True)
class Waiting:
    """A job to wait for; one that is ``ending`` only until it has ended."""

    job: BatchJob
    movable: bool
    ending: bool = False


@dataclass
class BatchBackend:
    """One task's work on Batch.

    :param attempt: the task's try number: a job that failed in an earlier one is no news.
    :param tries: the most of them; Airflow raises that number when a user clears the task.
    :param tags: who asked, for people and for :func:`end_leftovers`.
    """

    service: BatchService
    memory: Memory
    work: Work
    job: Job
    settings: Settings
    attempt: int
    tries: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @property
    def lane(self) -> Lane:
        """Queues and job definition."""
        return lane_of(self.work, self.settings)

    @cached_property
    def address(self) -> dict[str, str]:
        """Region and partition, for links."""
        return self.service.address()

    @property
    def _seconds(self) -> int:
        return self.settings.seconds_for(self.work.units[0].task.kind)

    @property
    def limits(self) -> Limits:
        """How long a job may do what."""
        settings = self.settings
        return Limits(settings.batch_runnable_seconds, settings.batch_queue_seconds, self._seconds)

    def advance(self, advice: Verdict = Verdict.OVER) -> Document | Waiting:
        """Do what is to be done now: return a finished work's result, or the job to wait for; raise the work's error.

        ``advice`` is what somebody who watched the job for longer has concluded.
        """
        note = self.memory.note
        described = self.service.describe(note.job_id) if note.job_id else None
        job = BatchJob.of(described) if described else None
        if job is None or (job.is_over and note.told):
            return self._begin()
        if job.is_over:
            return self._ended(job)
        if note.ending:
            # Once more: whoever noted it may have been killed before asking for it.
            self._terminate(job, note.ending)
            return Waiting(job, movable=False, ending=True)
        if self.tries > note.tries:
            # Whether or not the trigger was there to end it: the user wants the work to begin anew.
            self._end(job, "cleared", attempt=self.attempt, tries=self.tries)
            return Waiting(job, movable=False, ending=True)
        verdict = decide(job, self.limits, now=self.clock(), movable=self._movable(job))
        # That it waits in vain is no longer true of a job that has got its machine since.
        is_stale = job.is_at_work and advice in (Verdict.MOVE, Verdict.STUCK)
        if verdict is Verdict.WAIT and advice not in (Verdict.WAIT, Verdict.OVER) and not is_stale:
            verdict = advice
        return self._act(job, verdict)

    def kill(self) -> None:
        """End the job, wherever the task has come to."""
        note = self.memory.note
        if note.job_id:
            self.service.terminate(note.job_id, STOPPED)
        else:
            for job in self._active():
                self.service.terminate(job.id, STOPPED)

    # -- a job that is there

    def _act(self, job: BatchJob, verdict: Verdict) -> Waiting:
        if verdict is Verdict.MOVE:
            self._end(job, "moved", moved=True)
        elif verdict is Verdict.LATE:
            self._end(job, "late")
            raise TimedOut(f"The unit ran for {self._seconds} s, its deadline (MEDIA_UNIT_TIMEOUT_SECONDS), and was ended.")
        elif verdict is Verdict.STUCK:
            self._end(job, "stuck")
            limit = self.settings.batch_queue_seconds
            raise TimedOut(f"The unit's job waited {limit} s for a machine (MEDIA_BATCH_QUEUE_SECONDS), and was ended.")
        else:
            self._watched(job)
        ending = bool(self.memory.note.ending)
        return Waiting(job, movable=self._movable(job) and not ending, ending=ending)

    def _end(self, job: BatchJob, why: str, **changes: Any) -> None:
        self.memory.write(ending=why, **changes)
        self._terminate(job, why)

    def _terminate(self, job: BatchJob, why: str) -> None:
        logger.info("Ending job %s: %s.", job.id, ENDINGS.get(why, why))
        self.service.terminate(job.id, f"{OURS}{ENDINGS.get(why, why)}")

    def _watched(self, job: BatchJob) -> None:
        """Note that this attempt watches the job."""
        if self.memory.note.attempt != self.attempt:
            logger.info("Job %s of an earlier attempt is %s; waiting for it.", job.id, job.status)
            self.memory.write(attempt=self.attempt)

    def _ended(self, job: BatchJob) -> Document | Waiting:
        note = self.memory.note
        if job.succeeded and job.name == self.work.name:
            self._tell(job)
            return result_of(job, self.work, self.job)
        if job.ended_in_vain and note.attempt == self.attempt:
            raise InVain("The run has failed in another unit; the job of this one was ended. Clear all of them to go on.")
        if note.ending or job.ended_by_us or job.name != self.work.name:
            stops = (note.stops if note.attempt == self.attempt else 0) + (not note.ending)
            if stops > MOST_STOPS:
                self.memory.write(told=True)
                raise Cancelled(f"The unit's job was ended from outside {stops} times.")
            logger.info("Job %s was ended (%s).", job.id, ENDINGS.get(note.ending) or job.reason)
            return self._begin(stops=stops)
        if note.attempt != self.attempt:
            logger.info("Job %s failed in an earlier attempt (%s).", job.id, job.reason)
            return self._begin()
        # Of an array job only a child knows why it has failed.
        failed, unit = failed_one(job, self.work, self.job, self.service)
        if failed.reclaimed and self._movable(job):
            logger.info(
                "Job %s lost its instance %d times; the on-demand queue takes it.", failed.id, max(1, len(failed.attempts))
            )
            return self._begin(moved=True)
        self._tell(failed)
        raise failure(failed, unit, self.job, self.service, self._log_group(failed))

    def _tell(self, job: BatchJob) -> None:
        """Note that the task knows what became of the job."""
        if job.size == 0:
            record_machine(self.work.units[0].task.kind, job.queue, job.machine_seconds, dollars(job, self.settings))
        self.memory.write(told=True, log_group=self._log_group(job), log=job.last_attempt.log_stream or "")

    def _log_group(self, job: BatchJob) -> str:
        return job.log_group or self.settings.batch_log_group

    # -- a new job

    def _begin(self, **changes: Any) -> Document | Waiting:
        """Wait for a job that there is already, or submit one for what is not done."""
        note = self.memory.note
        active = self._find_lost() if note.name and not note.job_id else self._active()
        if active:
            return self._attach(active)
        results = [self.job.done_before(unit) for unit in self.work.units]
        undone = [unit for unit, result in zip(self.work.units, results, strict=True) if result is None]
        if undone:
            return self._submit(undone, **changes)
        logger.info("reused: everything was finished before; no job is submitted")
        self.memory.write(told=True, **changes)
        return summed([result.model_copy(update={"reused": True}) for result in results if result is not None])

    def _active(self) -> list[BatchJob]:
        """Return the jobs of this work that wait or run, of whatever version and whoever submitted them."""
        return active_jobs(self.service, self.lane.queues, self.work.prefix)

    def _find_lost(self) -> list[BatchJob]:
        for seconds in SETTLE_SECONDS:
            if self.clock() - self.memory.note.at < SETTLED_AFTER:
                self.sleep(seconds)
            if found := self._active():
                logger.info("Job %s was submitted before; its id had been lost.", found[0].id)
                return found
            if self.clock() - self.memory.note.at >= SETTLED_AFTER:
                break
        return []

    def _attach(self, active: Sequence[BatchJob]) -> Waiting:
        ours = [job for job in active if job.name == self.work.name and not job.ended_by_us]
        kept = oldest(ours or active)
        self.memory.write(
            name=kept.name,
            queue=kept.queue,
            job_id=kept.id,
            attempt=self.attempt,
            tries=self.tries,
            at=self.clock(),
            ending="",
            told=False,
        )
        for job in active:
            if job is not kept:
                logger.warning("Job %s runs beside %s; it is ended.", job.id, kept.id)
                self.service.terminate(job.id, f"{OURS}{ENDINGS['stale']}")
        if not ours:
            self._end(kept, "stale")
            return Waiting(kept, movable=False, ending=True)
        logger.info("Waiting for job %s, which is %s in queue %s.", kept.id, kept.status, kept.queue)
        return Waiting(kept, movable=self._movable(kept))

    def _submit(self, units: Sequence[WorkUnit], **changes: Any) -> Waiting:
        moved = bool(changes.get("moved") or self.memory.note.moved)
        lane = self.lane
        queue = lane.on_demand if moved else lane.queue
        command = self._command(units)
        document = submission(
            self.work, self.settings, queue=queue, definition=lane.definition, command=command, size=len(units),
            environ=self.environ, tags=self.tags,
        )  # fmt: skip
        # Refused where this attempt is no longer the task's: then nothing is submitted.
        self.memory.write(
            name=self.work.name, queue=queue, job_id="", attempt=self.attempt, tries=self.tries, at=self.clock(), ending="",
            told=False, log="",
            **changes,
        )  # fmt: skip
        job_id = self.service.submit(document)
        self.memory.write(job_id=job_id)
        logger.info("Submitted job %s (%s) to queue %s.", job_id, self.work.name, queue)
        job = BatchJob(job_id, self.work.name, queue, "SUBMITTED", created=self.clock(), command=tuple(command))
        return Waiting(job, movable=self._movable(job))

    def _command(self, units: Sequence[WorkUnit]) -> list[str]:
        if len(units) == 1:
            return ["run", self.job.unit_uri(units[0].id)]
        uris = [self.job.unit_uri(unit.id) for unit in units]
        key = self.job.array_key(f"{self.work.id}-{self.attempt}-{int(self.clock())}")
        self.job.store.put_bytes(self.job.bucket, key, json.dumps({"units": uris}).encode())
        return ["run-array", object_uri(self.job.bucket, key)]

    def _movable(self, job: BatchJob) -> bool:
        lane = self.lane
        # A setting may be an ARN, and a job that was just submitted has its queue from there.
        is_spot = job.queue.rpartition("/")[2] == lane.spot.rpartition("/")[2] and lane.spot != lane.on_demand
        return self.settings.batch_spot_fallback and is_spot
