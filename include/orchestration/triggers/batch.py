"""Waits for one Batch job in Airflow's triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.orchestration.backends.batch import STOPPED
from include.orchestration.batch.jobs import BatchJob, Limits, Verdict, decide
from include.orchestration.batch.poller import JobPoller, shared_poller
from include.orchestration.batch.progress import read_progress, waiting
from include.orchestration.batch.service import CONNECTION
from include.orchestration.links.batch import BatchLogLink, log_url
from include.orchestration.triggers.last_words import finish

if TYPE_CHECKING:
    from include.media_store.objects import ObjectStore

__all__ = ["BatchUnitTrigger"]

logger = logging.getLogger(__name__)

LOST_AFTER = 5
SHOW_SECONDS = 10.0
LOG_SECONDS = 30.0
# A write to Airflow's database costs some 25 ms, and one process makes those of all triggers.
SHARE_SECONDS = 0.3


class BatchUnitTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is untyped here
    """Fires ``{"verdict", "job_id"}`` when a job has ended, or when its task has to do something about it.

    It keeps the deadlines, shows status and progress in the task's log and in its XCom ``progress`` (a trigger has no access to
    the task state store), and ends the job when a user marks or clears the task.

    :param movable: the job is in the spot queue and may go to the on-demand queue.
    :param ending: it has been ended, so nothing but its end is of interest.
    :param address: region and partition, for links; ``log_group`` that of jobs that do not name theirs.
    :param bucket: where its units tell their progress, below ``progress_prefix``; ``unit_id`` for a single one.
    """

    active = 0

    def __init__(
        self,
        *,
        job_id: str,
        movable: bool,
        ending: bool,
        runnable_seconds: float,
        queue_seconds: float,
        run_seconds: float,
        poll_seconds: float,
        bucket: str,
        progress_prefix: str,
        unit_id: str,
        address: dict[str, str],
        log_group: str,
        aws_conn_id: str = CONNECTION,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "job_id": job_id,
            "movable": movable,
            "ending": ending,
            "runnable_seconds": runnable_seconds,
            "queue_seconds": queue_seconds,
            "run_seconds": run_seconds,
            "poll_seconds": poll_seconds,
            "bucket": bucket,
            "progress_prefix": progress_prefix,
            "unit_id": unit_id,
            "address": address,
            "log_group": log_group,
            "aws_conn_id": aws_conn_id,
        }
        self.job_id, self.movable, self.ending, self.aws_conn_id = job_id, movable, ending, aws_conn_id
        self.bucket, self.progress_prefix, self.unit_id = bucket, progress_prefix, unit_id
        self.poll_seconds, self.address, self.log_group = poll_seconds, address, log_group
        self.limits = Limits(runnable_seconds, queue_seconds, run_seconds)
        self._shown: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._shown_at = self._logged_at = float("-inf")
        self._status = self._stream = ""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See :meth:`BaseTrigger.serialize`."""
        return f"{type(self).__module__}.{type(self).__qualname__}", dict(self.arguments)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See :meth:`BaseTrigger.run`."""
        BatchUnitTrigger.active += 1
        try:
            verdict = await self.watch(self.poller())
        finally:
            BatchUnitTrigger.active -= 1
        yield TriggerEvent({"verdict": verdict.value, "job_id": self.job_id})

    def poller(self) -> JobPoller:
        """Return what looks at the jobs of this process."""
        return shared_poller(self.aws_conn_id, self.poll_seconds)

    async def watch(self, poller: JobPoller) -> Verdict:
        """Return once there is something to do."""
        missing = 0
        at_work = 0.0
        async with poller.watch(self.job_id) as looks:
            while True:
                described = await looks.get()
                if described is None:
                    missing += 1
                    if missing >= LOST_AFTER:
                        logger.warning("Batch knows no job %s any more.", self.job_id)
                        return Verdict.OVER
                    continue
                missing = 0
                job = BatchJob.of(described)
                now = time.time()
                if job.is_at_work or (job.size and not at_work and job.children.get("SUCCEEDED")):
                    at_work = now
                self._log_status(job)
                verdict = decide(job, self.limits, now=now, movable=self.movable, seen_at_work=at_work)
                if verdict is Verdict.OVER or (verdict is not Verdict.WAIT and not self.ending):
                    return verdict
                await self._show(job)

    async def on_kill(self) -> None:
        """End the job: a user has marked or cleared the task."""
        await finish(self._end_job())

    async def _end_job(self) -> None:
        if await self._is_deferred():
            # Another triggerer has taken over, or the task waits for this very job again.
            logger.info("Job %s goes on: its task still waits for it.", self.job_id)
            return
        await self.terminate()
        logger.info("Job %s was ended: %s.", self.job_id, STOPPED)

    async def terminate(self) -> None:
        """Ask Batch to end the job."""
        from airflow.providers.amazon.aws.hooks.batch_client import BatchClientHook  # noqa: PLC0415  brings boto3

        async with await BatchClientHook(aws_conn_id=self.aws_conn_id).get_async_conn() as client:
            await client.terminate_job(jobId=self.job_id, reason=STOPPED)

    async def _is_deferred(self) -> bool:
        ti = self.task_instance
        if ti is None:
            return False
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415

        try:
            found = await asyncio.to_thread(
                RuntimeTaskInstance.get_task_states,
                dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index,
            )  # fmt: skip
        except Exception as error:  # then it is ended: a job too few is submitted again, one too many costs money
            logger.warning("The state of the task is not known: %s", error)
            return False
        return "deferred" in {str(state) for states in found.values() for state in states.values()}

    def _log_status(self, job: BatchJob) -> None:
        if job.status != self._status:
            self._status = job.status
            logger.info("Job %s is %s%s", job.id, job.status, f": {job.reason}" if job.reason else "")

    async def _show(self, job: BatchJob) -> None:
        """Tell progress, the less often the more triggers there are."""
        now = time.monotonic()
        if now - self._shown_at < max(SHOW_SECONDS, SHARE_SECONDS * BatchUnitTrigger.active):
            return
        self._shown_at = now
        try:
            event = {**await self._event(job), "status": job.status, "job": job.id}
            if event != self._shown:
                await self._push("progress", event)
                self._shown = event
            await self._link(job)
        except Exception as error:  # progress is never worth a failure
            logger.info("Progress could not be shown: %s: %s", type(error).__name__, error)
            return
        if event["total"] and now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            rate = f", {event['fps']} frames/s" if event.get("fps") else ""
            logger.info("%s: %s of %s %s%s", event["phase"], event["done"], event["total"], event["unit"], rate)

    async def _event(self, job: BatchJob) -> dict[str, Any]:
        if not job.is_at_work:
            # A new attempt of Batch's begins anew.
            self._told = {}
            return waiting(job)
        # A unit that has ended tells nothing any more, a moment before its job has ended, too.
        told = await asyncio.to_thread(self._read, job) or self._told
        if job.size and self._told:
            told = told | {"fraction": max(told["fraction"], self._told["fraction"])}
        self._told = told
        return told or waiting(job)

    async def _link(self, job: BatchJob) -> None:
        stream = job.last_attempt.log_stream or job.current.log_stream
        if stream and stream != self._stream:
            self._stream = stream
            url = log_url(self.address, job.log_group or self.log_group, stream)
            logger.info("Its log: %s", url)
            await self._push(BatchLogLink().xcom_key, url)

    async def _push(self, key: str, value: Any) -> None:
        ti = self.task_instance
        if ti is None:
            return
        from airflow.sdk.bases.xcom import BaseXCom  # noqa: PLC0415

        await BaseXCom.aset(
            key, value, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
        )  # fmt: skip

    def _read(self, job: BatchJob) -> dict[str, Any] | None:
        return read_progress(_store(), self.bucket, self.progress_prefix, self.unit_id, job)


_known_store: list[ObjectStore] = []


def _store() -> ObjectStore:
    """Return the object store of this process: its client is safe to be used by several threads."""
    from include.media_store.objects import S3ObjectStore  # noqa: PLC0415  brings boto3

    if not _known_store:
        _known_store.append(S3ObjectStore())
    return _known_store[0]
