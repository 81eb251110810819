"""STS, SQS and Batch for docker-compose.yaml: a moto server that makes its queues and job definitions whenever it starts.

moto keeps everything in memory. Were its resources made by the init job, Batch would be broken after every restart of this
service; made here they are always there. Jobs that were running when moto ended are gone with it: their units are retried.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping

import boto3
from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["job_environment", "main"]

logger = logging.getLogger(__name__)

QUEUE = "reelflow-ingest"
PORT = 5000


def main() -> None:
    """Serve on port 5000 of every interface of the container; a thread makes the resources as soon as the server answers."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line per request otherwise
    threading.Thread(target=_make_resources, daemon=True).start()
    from moto.server import main as serve  # noqa: PLC0415  takes a second, in which the thread above waits

    serve(["-H", "0.0.0.0", "-p", str(PORT)])  # noqa: S104  the container's network


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every job container gets from its definition: how it reaches the objects, and which buckets are whose."""
    wanted = {
        "AWS_ENDPOINT_URL_S3": environment["JOB_ENDPOINT_URL_S3"],
        "AWS_ACCESS_KEY_ID": environment["JOB_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": environment["JOB_SECRET_KEY"],
        "AWS_DEFAULT_REGION": environment["AWS_DEFAULT_REGION"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "MEDIA_BUCKET": environment.get("MEDIA_BUCKET", ""),
        "MEDIA_BUCKETS": environment.get("MEDIA_BUCKETS", ""),
    }
    return {name: value for name, value in wanted.items() if value}


def _make_resources() -> None:
    from include.embedded.batch import make_resources  # noqa: PLC0415
    from include.embedded.queues import make_queues  # noqa: PLC0415

    image = os.environ["JOB_IMAGE"]
    for _ in range(120):
        try:
            make_queues(boto3.client("sqs"), QUEUE)
            break
        except (BotoCoreError, ClientError):
            time.sleep(0.5)
    make_resources(image=image, sr_image=os.environ.get("SR_JOB_IMAGE") or image, environment=job_environment(os.environ))
    logger.info("queues and job definitions are made; jobs run %s", image)


if __name__ == "__main__":
    main()
