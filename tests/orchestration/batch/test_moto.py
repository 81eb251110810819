"""The calls to Batch against moto's own: submit, look up, describe, list children, end, read a log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws
from moto.batch.models import batch_backends
from moto.core.models import botocore_stubber

from include.embedded.batch import end_containers, image_name, job_environment, make_resources
from include.errors import InternalError
from include.orchestration.backends.batch import BatchBackend, Waiting
from include.orchestration.batch.jobs import BatchJob
from include.orchestration.batch.memory import Memory
from include.orchestration.batch.poller import connect
from include.orchestration.batch.service import HookBatchService
from include.orchestration.batch.submission import Work, submission
from include.settings import Settings
from tests.orchestration.batch.fakes import FakeStateStore, World, audio_unit
from tests.servers import moto

QUEUES = ("Transcode_queue_Spot", "Transcode_queue_onDemand")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with our queues; a job is done as soon as it is submitted."""
    for name, value in {"AWS_DEFAULT_REGION": "us-east-1", "AIRFLOW_CONN_AWS_DEFAULT": "aws://"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws(config={"batch": {"use_docker": False}}):
        make_resources(image="i", sr_image="s", environment=job_environment({}), settings=Settings(_env_file=None))
        yield


@pytest.fixture
def service(aws: None) -> HookBatchService:
    return HookBatchService()


class _Body(BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


def document(**changes: Any) -> dict[str, Any]:
    made = submission(
        Work((audio_unit(),)), Settings(_env_file=None), queue=QUEUES[0], definition="Transcode", command=["run", "s3://media/u"],
        environ={}, tags={"reelflow:run": "r"},
    )  # fmt: skip
    return made | changes


def test_resources_are_made_once_and_hold_no_secret_of_ours(aws: None) -> None:
    make_resources(image="another", sr_image="another", environment={}, settings=Settings(_env_file=None))
    client = boto3.client("batch")
    queues = {queue["jobQueueName"] for queue in client.describe_job_queues()["jobQueues"]}
    assert queues == {"SuperResolution_queue_Spot", "SuperResolution_queue_onDemand", *QUEUES}
    images = {
        one["jobDefinitionName"]: one["containerProperties"]["image"]
        for one in client.describe_job_definitions()["jobDefinitions"]
    }
    assert images == {"SuperResolution": "s", "Transcode": "i"}
    assert image_name({}) == "reelflow/worker-cpu:latest"
    assert image_name({"IMAGE_PREFIX": "my/", "IMAGE_TAG": "7"}) == "my/worker-cpu:7"


def test_containers_that_a_stopped_server_leaves_are_removed_and_no_others() -> None:
    removed: list[str] = []

    def container(name: str, url: str) -> Any:
        return SimpleNamespace(
            attrs={"Config": {"Env": ["A=b", f"AWS_ENDPOINT_URL={url}"]}}, remove=lambda force: removed.append(name)
        )

    found = [container("ours", "http://127.0.0.1:5000"), container("theirs", "http://127.0.0.1:5001")]
    client = SimpleNamespace(containers=SimpleNamespace(list=lambda **criteria: found))
    assert end_containers("http://127.0.0.1:5000", client) == 1
    assert removed == ["ours"]


def test_a_submitted_job_is_described_and_found_by_its_name_in_its_queue(service: HookBatchService) -> None:
    job_id = service.submit(document())
    job = BatchJob.of(service.describe(job_id) or {})
    assert (job.id, job.queue, job.succeeded, job.tags["reelflow:run"]) == (job_id, QUEUES[0], True, "r")
    assert job.last_attempt.log_stream == f"Transcode/default/{job_id}"
    prefix = Work((audio_unit(),)).prefix
    assert [one["jobId"] for one in service.find(QUEUES[0], prefix)] == [job_id]
    assert service.find(QUEUES[1], prefix) == []
    assert service.find(QUEUES[0], prefix.replace("audio", "audiX")) == []
    assert service.describe("no such job") is None


def test_a_job_whose_answer_was_lost_is_not_submitted_again_by_the_sdk(service: HookBatchService) -> None:
    def lose_answer(event_name: str, request: Any, **_: Any) -> None:
        botocore_stubber(event_name, request)
        raise ReadTimeoutError(endpoint_url=request.url)

    service._client.meta.events.register_first("before-send.batch.SubmitJob", lose_answer)
    with pytest.raises(InternalError, match="ReadTimeoutError"):
        service.submit(document())
    assert len(service.find(QUEUES[0], Work((audio_unit(),)).prefix)) == 1


def test_a_job_that_batch_had_no_time_for_is_submitted_again_by_the_sdk(service: HookBatchService) -> None:
    answers = iter([AWSResponse("https://batch", 429, {}, _Body(b'{"code": "TooManyRequestsException"}'))])
    service._client.meta.events.register_first("before-send.batch.SubmitJob", lambda **_: next(answers, None))
    assert service.submit(document())


def test_children_of_an_array_job_are_not_taken_for_jobs(service: HookBatchService) -> None:
    job_id = service.submit(document(arrayProperties={"size": 3}))
    job = BatchJob.of(service.describe(job_id) or {})
    assert (job.size, job.is_over, job.succeeded) == (3, True, True)
    assert [one["jobId"] for one in service.find(QUEUES[0], "reelflow-")] == [job_id]
    assert service.failed_children(job_id) == []
    backend = batch_backends["123456789012"]["us-east-1"]
    backend.get_job_by_id(f"{job_id}:1").status = "FAILED"
    assert [one["jobId"] for one in service.failed_children(job_id)] == [f"{job_id}:1"]


def test_a_job_can_be_ended_with_a_reason(service: HookBatchService) -> None:
    job_id = service.submit(document())
    service.terminate(job_id, "reelflow: its task was stopped")
    assert BatchJob.of(service.describe(job_id) or {}).ended_by_us


def test_the_last_lines_of_a_log_are_read_from_batchs_own_group_where_ours_has_none(service: HookBatchService) -> None:
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName="/aws/batch/job")
    logs.create_log_stream(logGroupName="/aws/batch/job", logStreamName="s")
    events = [{"timestamp": int(time.time() * 1000) + n, "message": f"line {n}"} for n in range(30)]
    logs.put_log_events(logGroupName="/aws/batch/job", logStreamName="s", logEvents=events)
    assert service.last_lines("/reelflow/batch", "s", 3) == ["line 27", "line 28", "line 29"]
    assert service.last_lines("/reelflow/batch", "none", 3) == []


def test_what_batch_refuses_is_an_error_without_its_words(service: HookBatchService, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalError) as caught:
        service.submit(document(jobQueue="no-such-queue"))
    assert "no-such-queue" not in caught.value.message
    assert "no-such-queue" in caplog.text


def test_the_backend_goes_all_the_way_on_moto(service: HookBatchService) -> None:
    world = World()

    def attempt() -> BatchBackend:
        return BatchBackend(service, Memory(state), Work(world.units), world.job, world.settings, attempt=1)

    state = FakeStateStore()
    waiting = attempt().advance()
    assert isinstance(waiting, Waiting)
    world.finish(world.units[0])
    result = attempt().advance()
    assert not isinstance(result, Waiting)
    assert result["metrics"]["job"] == waiting.job.id
    assert len(service.find(QUEUES[0], "reelflow-")) == 1


def test_the_triggers_client_describes_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    # Asynchronous clients are out of reach of the decorator, so this one is a server.
    with moto() as url:
        environ = {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1", "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        }  # fmt: skip
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

        async def ask() -> Any:
            async with connect("aws_default") as describe:
                return await describe(["none", "nor this"])

        assert asyncio.run(ask()) == []
