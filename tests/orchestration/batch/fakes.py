"""AWS Batch in memory, Airflow's state store, and units; all of them may be killed at any call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from include.errors import NotFound
from include.ffmpeg_ops.models import AudioTarget, AudioTask
from include.media_store.models import ObjectRef
from include.orchestration.backends.batch import BatchBackend
from include.orchestration.batch.memory import Memory
from include.orchestration.batch.submission import Work
from include.settings import Settings
from include.worker.job import Job, plan_unit
from include.worker.models import AudioUnitTask, TranscodeRequest, UnitResult, UpscaleUnitTask, WorkUnit
from tests.media_api.fakes import MemoryStore
from tests.worker.fakes import AUDIO

SOURCE = ObjectRef(bucket="media", key="in/Ein schöner Film #1.mp4", etag="e", size=10)
REQUEST = TranscodeRequest(bucket="media", source_key=SOURCE.key, folder="out/", name="film")
OVER = ("SUCCEEDED", "FAILED")


class Killed(BaseException):
    """kill -9."""


class Life:
    """Counts calls to the outside world, and ends with the ``last`` one, before or after it was done."""

    def __init__(self, last: int | None = None, *, after: bool = True) -> None:
        self.last, self.after, self.calls = last, after, 0

    def __call__(self, action: Any) -> Any:
        self.calls += 1
        dies = self.calls == self.last
        if dies and not self.after:
            raise Killed
        answer = action()
        if dies:
            raise Killed
        return answer


class FakeStateStore:
    """The task state store of one task instance."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.life = Life()

    def get(self, key: str, default: Any = None) -> Any:
        return self.life(lambda: json.loads(self.values[key]) if key in self.values else default)

    def set(self, key: str, value: Any) -> None:
        self.life(lambda: self.values.update({key: json.dumps(value)}))


class FakeBatch:
    """A :class:`BatchService` whose jobs do what they are told, and that knows how many of a unit were ever at once."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.submitted: list[Mapping[str, Any]] = []
        self.terminated: list[tuple[str, str]] = []
        self.logs: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.most_at_once = 0
        self.now = 1_000.0
        self.life = Life()
        self.lists_exit_codes_only = False

    def submit(self, document: Mapping[str, Any]) -> str:
        def take() -> str:
            self.submitted.append(document)
            job_id = f"job-{len(self.submitted)}"
            self.jobs[job_id] = {
                "jobId": job_id,
                "jobName": document["jobName"],
                "jobQueue": f"arn:aws:batch:us-east-1:1:job-queue/{document['jobQueue']}",
                "status": "RUNNABLE",
                "createdAt": self.now * 1000,
                "container": {"command": document["containerOverrides"]["command"]},
                "tags": document["tags"],
            }
            if size := document.get("arrayProperties", {}).get("size"):
                self.jobs[job_id]["arrayProperties"] = {"size": size, "statusSummary": {"RUNNABLE": size}}
            self._count()
            return job_id

        return str(self.life(take))

    def describe(self, job_id: str) -> Mapping[str, Any] | None:
        return self.life(lambda: self.jobs.get(job_id))

    def find(self, queue: str, prefix: str) -> list[Mapping[str, Any]]:
        def look() -> list[Mapping[str, Any]]:
            self.asked.append((queue, prefix))
            return [
                {name: job.get(name) for name in ("jobId", "jobName", "status")}
                | {"container": {"exitCode": job.get("listedExitCode")}}
                for job in self.jobs.values()
                if job["jobQueue"].endswith(f"/{queue}") and job["jobName"].startswith(prefix) and ":" not in job["jobId"]
            ]

        return self.life(look)

    def failed_children(self, job_id: str) -> list[Mapping[str, Any]]:
        return [job for name, job in self.jobs.items() if name.startswith(f"{job_id}:") and job["status"] == "FAILED"]

    def terminate(self, job_id: str, reason: str) -> None:
        self.life(lambda: self.terminated.append((job_id, reason)))

    def last_lines(self, group: str, stream: str, count: int) -> list[str]:
        return self.logs.get(f"{group} {stream}", [])[-count:]

    def address(self) -> dict[str, str]:
        return {"region_name": "us-east-1", "aws_partition": "aws"}

    # -- what the world does

    def run(self, job_id: str) -> None:
        self.jobs[job_id] |= {"status": "RUNNING", "startedAt": self.now * 1000}

    def end(self, job_id: str, status: str, reason: str = "", **container: Any) -> None:
        stream = f"{job_id}/log"
        attempt = {"container": {"logStreamName": stream, **container}, "statusReason": reason, "startedAt": self.now * 1000}
        self.jobs[job_id] |= {"status": status, "statusReason": reason, "attempts": [attempt]}

    def obey(self) -> None:
        """Let jobs end that were asked to."""
        for job_id, reason in self.terminated:
            if self.jobs[job_id]["status"] not in OVER:
                self.end(job_id, "FAILED", reason)

    def _count(self) -> None:
        active = [job["jobName"] for job in self.jobs.values() if job["status"] not in OVER]
        self.most_at_once = max(self.most_at_once, *(active.count(name) for name in active))


class World:
    """One task with its unit, its store and Batch; each attempt of it is another backend."""

    def __init__(self, *units: WorkUnit, **settings: Any) -> None:
        self.settings = Settings(_env_file=None, **{"batch_units": "audio,upscale,plan"} | settings)
        self.store = MemoryStore()
        self.job = Job(self.store, self.settings, "media", REQUEST.job_id)  # type: ignore[arg-type]
        self.units = units or (audio_unit(),)
        self.batch, self.state = FakeBatch(), FakeStateStore()
        self.slept: list[float] = []

    def attempt(self, number: int = 1, life: Life | None = None, tries: int = 2) -> BatchBackend:
        self.batch.life = self.state.life = life or Life()
        return BatchBackend(
            service=self.batch, memory=Memory(self.state), work=Work(tuple(self.units)), job=self.job, settings=self.settings,
            attempt=number, tries=tries, tags={"reelflow:run": "run-1"},
            environ={}, clock=lambda: self.batch.now, sleep=self.slept.append,
        )  # fmt: skip

    def work(self, job_id: str) -> None:
        """Let a job run to its good end."""
        self.batch.run(job_id)
        for unit in self.units:
            self.finish(unit)
        self.batch.end(job_id, "SUCCEEDED", exitCode=0)

    def finish(self, unit: WorkUnit, **fields: Any) -> None:
        now = datetime.fromtimestamp(self.batch.now, timezone.utc)
        document = {"unit_id": unit.id, "status": "done", "fingerprint": unit.fingerprint, "started_at": now, "finished_at": now}
        self.job.write_result(UnitResult(**document | {"metrics": {"frames": 25, "fps": 5.0}} | fields))

    @property
    def note(self) -> dict[str, Any]:
        return json.loads(self.state.values["batch"])

    def written(self, prefix: str) -> list[str]:
        return [key for key in self.store.objects["media"] if key.startswith(f"{self.job.prefix}{prefix}")]

    def read(self, key: str) -> Any:
        try:
            return json.loads(self.store.get_bytes("media", key))
        except NotFound:
            return None


def audio_unit() -> WorkUnit:
    target = AudioTarget(stream=AUDIO, channels=2, layout="stereo", sample_rate=48000, bit_rate=128_000)
    task = AudioUnitTask(audio=AudioTask(targets=(target,), damage_policy="strict"))
    return WorkUnit(id="audio", job_id=REQUEST.job_id, bucket="media", source=SOURCE, task=task, label="audio")


def first_unit() -> WorkUnit:
    return plan_unit(REQUEST)


def upscale_unit(index: int = 0, env: str = "spot") -> WorkUnit:
    # What is upscaled, and how, is nothing to the fleet.
    task = UpscaleUnitTask.model_construct(kind="upscale", env=env, debug=False)
    return WorkUnit.model_construct(
        id=f"segment-{index:05d}", job_id=REQUEST.job_id, bucket="media", source=SOURCE, task=task, weight=50
    )  # fmt: skip
