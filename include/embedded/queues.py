"""The queue that the stack's S3 tells of dropped objects, and its dead letters', as ``infra/storage.yaml`` makes them on AWS."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from include.settings import Settings

__all__ = ["ACCOUNT", "make_ingest_queue", "make_queues", "queue_name"]

ACCOUNT = "123456789012"  # moto's
MOST_RECEIVES = 5
VISIBILITY_SECONDS = 120
DEAD_LETTER_SECONDS = 14 * 86400


def queue_name(url: str) -> str:
    """Return the name that an address of a queue ends with; a name alone is one."""
    return urlsplit(url).path.rpartition("/")[2]


def make_ingest_queue(settings: Settings) -> None:
    """Make the queue that ``MEDIA_INGEST_QUEUE_URL`` names, and have the bucket tell it of objects below ingest's prefixes."""
    from include.media_store.client import s3_client, sqs_client  # noqa: PLC0415  these bring boto3, which a name does not want

    arn = make_queues(sqs_client(), queue_name(settings.ingest_queue_url), delay=int(settings.ingest_settle_seconds))
    told = [
        {
            "Id": f"ingest-{number}",
            "QueueArn": arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
        }
        for number, prefix in enumerate(settings.ingest_prefixes)
    ]
    s3_client().put_bucket_notification_configuration(
        Bucket=settings.bucket,
        NotificationConfiguration={"QueueConfigurations": told},  # type: ignore[typeddict-item]
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
        # A sidecar may come a moment after its video.
        "DelaySeconds": str(min(delay, 900)),
    }
    return _arn(client, client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def _arn(client: Any, url: str) -> str:
    return str(client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])
