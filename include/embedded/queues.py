"""The queues that the stack's S3 tells of new objects, and their dead letters', as ``infra/storage.yaml`` makes them on AWS."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from include.settings import UPLOADS_PREFIX, Settings

__all__ = ["ACCOUNT", "make_queues", "make_told_queues", "queue_name"]

ACCOUNT = "123456789012"  # moto's
MOST_RECEIVES = 5
VISIBILITY_SECONDS = 120
DEAD_LETTER_SECONDS = 14 * 86400


def queue_name(url: str) -> str:
    """Return the name that an address of a queue ends with; a name alone is one."""
    return urlsplit(url).path.rpartition("/")[2]


def make_told_queues(settings: Settings) -> None:
    """Make the queues that ``MEDIA_INGEST_QUEUE_URL`` and ``MEDIA_UPLOAD_QUEUE_URL`` name; the bucket tells them of new objects.

    One is told of what is dropped below ingest's prefixes, the other one of what clients upload. Without names nothing happens.
    """
    from include.media_store.client import s3_client, sqs_client  # noqa: PLC0415  these bring boto3, which a name does not want

    # A sidecar may come a moment after its video.
    wanted = (
        (settings.ingest_queue_url, settings.ingest_prefixes, int(settings.ingest_settle_seconds)),
        (settings.upload_queue_url, (UPLOADS_PREFIX,), 0),
    )
    told = []
    for url, prefixes, delay in wanted:
        if url:
            arn = make_queues(sqs_client(), queue_name(url), delay=delay)
            told += [(arn, prefix) for prefix in prefixes]
    if told:
        configuration = [
            {
                "Id": f"told-{number}",
                "QueueArn": arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
            }
            for number, (arn, prefix) in enumerate(told)
        ]
        s3_client().put_bucket_notification_configuration(
            Bucket=settings.bucket,
            NotificationConfiguration={"QueueConfigurations": configuration},  # type: ignore[typeddict-item]
        )


def make_queues(client: Any, name: str, *, delay: int = 0) -> str:
    """Make a queue and its dead-letter queue; return the queue's ARN. Messages are to be had after ``delay`` seconds."""
    dead = client.create_queue(QueueName=f"{name}-dead-letters", Attributes={"MessageRetentionPeriod": str(DEAD_LETTER_SECONDS)})[
        "QueueUrl"
    ]
    policy = {"deadLetterTargetArn": _arn(client, dead), "maxReceiveCount": MOST_RECEIVES}
    attributes = {
        "VisibilityTimeout": str(VISIBILITY_SECONDS),
        "RedrivePolicy": json.dumps(policy),
        "DelaySeconds": str(min(delay, 900)),
    }
    return _arn(client, client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def _arn(client: Any, url: str) -> str:
    return str(client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])
