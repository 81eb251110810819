"""The queues and job definitions of AWS Batch in a moto server, which runs jobs as containers of the Docker engine here.

On AWS the templates in ``infra/`` make them, with machines behind the queues; moto's need none.
``python -m include.embedded.batch`` makes them in the server that ``AWS_ENDPOINT_URL`` names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from include.settings import Settings, get_settings

__all__ = ["end_containers", "image_name", "job_environment", "make_resources"]

ROLE = "reelflow-batch"
ENVIRONMENT = "reelflow"
TRUST = '{"Version": "2012-10-17", "Statement": []}'


def image_name(environ: Mapping[str, str] = os.environ) -> str:
    """Return the image of CPU workers, as ``scripts/images.sh`` names it."""
    return f"{environ.get('IMAGE_PREFIX', 'reelflow/')}worker-cpu:{environ.get('IMAGE_TAG', 'latest')}"


def job_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what containers get from their definition: moto's own credentials, which are no secret."""
    region = environ.get("AWS_DEFAULT_REGION", "us-east-1")
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def make_resources(*, image: str, sr_image: str, environment: Mapping[str, str], settings: Settings | None = None) -> None:
    """Make both pairs of queues, and a job definition for each; what is there already stays.

    :param sr_image: the image of upscaling, :param image: that of all other units.
    """
    import boto3  # noqa: PLC0415  takes a while, and most stacks run no Batch

    settings = settings or get_settings()
    batch: Any = boto3.client("batch")
    iam: Any = boto3.client("iam")
    missing = set(settings.batch_queues) - {queue["jobQueueName"] for queue in batch.describe_job_queues()["jobQueues"]}
    known = batch.describe_compute_environments(computeEnvironments=[ENVIRONMENT])["computeEnvironments"]
    if missing and not known:
        role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        batch.create_compute_environment(computeEnvironmentName=ENVIRONMENT, type="UNMANAGED", state="ENABLED", serviceRole=role)
    for queue in sorted(missing):
        order = [{"order": 1, "computeEnvironment": ENVIRONMENT}]
        batch.create_job_queue(jobQueueName=queue, state="ENABLED", priority=1, computeEnvironmentOrder=order)
    images = {settings.batch_sr_job_definition: sr_image, settings.batch_cpu_job_definition: image}
    for definition, name in images.items():
        if batch.describe_job_definitions(jobDefinitionName=definition, status="ACTIVE")["jobDefinitions"]:
            continue
        batch.register_job_definition(
            jobDefinitionName=definition,
            type="container",
            containerProperties={
                "image": name,
                "command": ["run", "Ref::unit"],
                "resourceRequirements": [{"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "7000"}],
                "environment": [{"name": key, "value": value} for key, value in environment.items()],
            },
            retryStrategy={"attempts": settings.batch_attempts},
        )


def end_containers(aws_url: str, client: Any = None) -> int:
    """End and remove the containers of jobs of the moto server at ``aws_url``, which it leaves behind when it is stopped.

    Returns how many there were; none where there is no Docker engine.
    """
    docker: Any = import_module("docker")  # moto's client, which has no types
    count = 0
    try:
        client = client or docker.from_env()
        for container in client.containers.list(all=True, filters={"name": "^/?reelflow-"}):
            if f"AWS_ENDPOINT_URL={aws_url}" in (container.attrs["Config"]["Env"] or ()):
                container.remove(force=True)
                count += 1
    except docker.errors.DockerException:
        pass
    return count


if __name__ == "__main__":
    make_resources(image=image_name(), sr_image=image_name(), environment=job_environment(os.environ))
