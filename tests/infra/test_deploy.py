"""The stack as moto makes it: its outputs lead to queues and definitions that run a job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.parsing import get_model_map
from moto.server import ThreadedMotoServer

from include.media_store.objects import S3ObjectStore
from include.media_store.queues import Queue
from include.settings import Settings
from include.worker.execute import execute
from include.worker.job import Job, split_unit
from include.worker.models import SuperResolutionRequest
from tests.conftest import Clips
from tests.infra.deployed import LACKING, REGION, deploy, teach_nested_outputs
from tests.infra.templates import resources

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS")  # what LACKING lists


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)
    teach_nested_outputs(monkeypatch)


@pytest.fixture
def aws() -> Iterator[Any]:
    with mock_aws(config={"batch": {"use_docker": False}}):
        yield partial(boto3.client, region_name=REGION)


def test_moto_lacks_what_is_listed_and_no_more() -> None:
    assert {resource.type for resource in resources()} - set(get_model_map()) - {"AWS::MWAA::Environment"} == LACKING


def test_a_job_runs_through_what_the_outputs_name(aws: Any) -> None:
    outputs = deploy(aws, ImageTag="1.0")
    settings = dict(line.split("=", 1) for line in outputs["Environment"].splitlines())
    assert settings["MEDIA_BUCKET"] == outputs["MediaBucket"] == f"reelflow-media-123456789012-{REGION}"
    batch = aws("batch")
    for queue, definition, image in (
        ("MEDIA_BATCH_SR_QUEUE_SPOT", "MEDIA_BATCH_SR_JOB_DEFINITION", "worker-inf1"),
        ("MEDIA_BATCH_SR_QUEUE_ON_DEMAND", "MEDIA_BATCH_SR_JOB_DEFINITION", "worker-inf1"),
        ("MEDIA_BATCH_CPU_QUEUE_SPOT", "MEDIA_BATCH_CPU_JOB_DEFINITION", "worker-cpu"),
        ("MEDIA_BATCH_CPU_QUEUE_ON_DEMAND", "MEDIA_BATCH_CPU_JOB_DEFINITION", "worker-cpu"),
    ):
        names = {"jobQueue": settings[queue], "jobDefinition": settings[definition]}
        job = batch.submit_job(jobName="by-hand", parameters={"unit": "s3://media/unit.json"}, **names)
        (described,) = batch.describe_jobs(jobs=[job["jobId"]])["jobs"]
        assert described["status"] == "SUCCEEDED"
        assert described["jobQueue"].endswith(f"/{settings[queue]}")
        (found,) = batch.describe_job_definitions(jobDefinitionName=settings[definition])["jobDefinitions"]
        assert found["containerProperties"]["image"] == f"123456789012.dkr.ecr.{REGION}.amazonaws.com/reelflow/{image}:1.0"


@pytest.mark.parametrize(
    ("runtime", "folder"), [("pods", f"s3://reelflow-media-123456789012-{REGION}/_reelflow/logs"), ("mwaa", None)]
)
def test_logs_of_tasks_go_to_the_media_bucket_but_where_mwaa_keeps_them_itself(
    runtime: str, folder: str | None, aws: Any
) -> None:
    outputs = deploy(aws, ImageTag="1.0", AirflowRuntime=runtime)
    settings = dict(line.split("=", 1) for line in outputs["Environment"].splitlines() if line)
    assert settings.get("AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER") == folder


def test_the_queue_of_dropped_objects_is_where_the_settings_say_and_has_dead_letters(aws: Any) -> None:
    outputs = deploy(aws, ImageTag="1.0")
    settings = dict(line.split("=", 1) for line in outputs["Environment"].splitlines())
    assert settings["MEDIA_INGEST_QUEUE_URL"] == outputs["IngestQueueUrl"]
    queue = Queue(outputs["IngestQueueUrl"], client=aws("sqs"))
    dead = queue.dead_letters()
    assert dead.most_receives == 5
    dead.queue.send("text")
    assert Queue(outputs["IngestDeadLettersUrl"], client=aws("sqs")).waiting() == 1


def test_environments_and_definition_are_those_of_the_contract(aws: Any) -> None:
    deploy(aws, ImageTag="1.0")
    batch = aws("batch")
    environments = {
        found["computeEnvironmentArn"]: found for found in batch.describe_compute_environments()["computeEnvironments"]
    }
    for queue, kind in (("SuperResolution_queue_onDemand", "EC2"), ("SuperResolution_queue_Spot", "SPOT")):
        (found,) = batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
        (order,) = found["computeEnvironmentOrder"]
        compute = environments[order["computeEnvironment"]]["computeResources"]
        assert (compute["type"], compute["instanceTypes"]) == (kind, ["inf1.xlarge"])
        assert (int(compute["minvCpus"]), int(compute["maxvCpus"])) == (0, 16)
    (definition,) = batch.describe_job_definitions(jobDefinitionName="SuperResolution")["jobDefinitions"]
    container = definition["containerProperties"]
    sizes = {found["type"]: int(found["value"]) for found in container["resourceRequirements"]}
    assert sizes == {"VCPU": 4, "MEMORY": 7000}
    assert container["linuxParameters"]["devices"][0]["hostPath"] == "/dev/neuron0"
    assert definition["retryStrategy"]["attempts"] == 3
    assert container["logConfiguration"]["options"]["awslogs-group"] == "/reelflow/batch"


def test_other_machines_are_there_when_they_are_asked_for(aws: Any) -> None:
    deploy(aws, ImageTag="1.0", EnableInf2="yes", EnableGpu="yes")
    definitions = {found["jobDefinitionName"]: found for found in aws("batch").describe_job_definitions()["jobDefinitions"]}
    assert set(definitions) == {"SuperResolution", "SuperResolutionInf2", "SuperResolutionGpu", "Transcode"}
    kinds = {found["type"] for found in definitions["SuperResolutionGpu"]["containerProperties"]["resourceRequirements"]}
    assert "GPU" in kinds
    assert not definitions["SuperResolutionGpu"]["containerProperties"]["linuxParameters"].get("devices")


def test_without_inferentia_processors_upscale(aws: Any) -> None:
    outputs = deploy(aws, ImageTag="1.0", EnableInf1="no")
    batch = aws("batch")
    assert {found["jobDefinitionName"] for found in batch.describe_job_definitions()["jobDefinitions"]} == {"Transcode"}
    settings = dict(line.split("=", 1) for line in outputs["Environment"].splitlines())
    assert settings["MEDIA_SR_MODEL"] == "fast"
    for name in ("QUEUE_SPOT", "QUEUE_ON_DEMAND", "JOB_DEFINITION"):
        assert settings[f"MEDIA_BATCH_SR_{name}"] == settings[f"MEDIA_BATCH_CPU_{name}"]
    assert outputs["SuperResolutionSpotQueue"] == "Transcode_queue_Spot"


def test_a_network_of_the_users_own_is_used(aws: Any) -> None:
    ec2 = aws("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    outputs = deploy(aws, ImageTag="1.0", VpcId=subnet["VpcId"], SubnetIds=subnet["SubnetId"])
    assert outputs["VpcId"] == subnet["VpcId"]
    for environment in aws("batch").describe_compute_environments()["computeEnvironments"]:
        assert environment["computeResources"]["subnets"] == [subnet["SubnetId"]]
    assert not [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["CidrBlock"] == "10.60.0.0/16"]


def test_the_upload_role_is_taken_by_the_airflow_role(aws: Any) -> None:
    outputs = deploy(aws, ImageTag="1.0")
    role = aws("iam").get_role(RoleName=outputs["UploadRoleArn"].rpartition("/")[2])["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": outputs["AirflowRoleArn"]}


@pytest.mark.docker
def test_a_segment_is_upscaled_by_a_container_of_the_deployed_definition(
    clip: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_DOCKER_NETWORK_MODE", "host")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        port = server.get_host_and_port()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        client = partial(boto3.client, region_name=REGION)
        image = f"{os.environ.get('IMAGE_PREFIX', 'reelflow/')}worker-cpu:{os.environ.get('IMAGE_TAG', 'latest')}"
        # No Neuron device is here, and moto would hand none on: the definition is the one for Inf1, the image the one for CPUs.
        outputs = deploy(client, ImageTag="latest", SuperResolutionImage=image)
        store, bucket = S3ObjectStore(), outputs["MediaBucket"]
        settings = Settings(bucket=bucket, cache_dir=tmp_path / "cache", unit_slots=2)
        source = clip("short")
        store.upload(source, bucket, "in/clip.mp4")
        request = SuperResolutionRequest(bucket=bucket, key="in/clip.mp4")
        split = execute(split_unit(request), store=store, settings=settings)
        assert split.error is None
        job = Job.of(store, settings, request)
        unit = split.units[0].id
        variables = {
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        batch = client("batch")
        submitted = batch.submit_job(
            jobName="d-deployed-segment",
            jobQueue=outputs["SuperResolutionSpotQueue"],
            jobDefinition=outputs["SuperResolutionJobDefinition"],
            parameters={"unit": job.unit_uri(unit)},
            containerOverrides={"environment": [{"name": name, "value": value} for name, value in variables.items()]},
        )
        state = await_end(batch, submitted["jobId"])
        assert state["status"] == "SUCCEEDED", state
        result = job.read_result(unit)
        assert result is not None
        assert (result.status, result.error) == ("done", None)
    finally:
        server.stop()


def await_end(batch: Any, job_id: str) -> dict[str, Any]:
    import time

    for _ in range(240):
        (job,) = batch.describe_jobs(jobs=[job_id])["jobs"]
        if job["status"] in ("SUCCEEDED", "FAILED"):
            return dict(job)
        time.sleep(0.5)
    raise AssertionError(f"the job did not end: {job['status']}")
