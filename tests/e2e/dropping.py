"""A stack whose S3 tells a queue of dropped objects, and what tests ask of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3

from include.embedded.queues import ACCOUNT
from include.media_store.queues import Queue
from tests.e2e.stack import RunningStack, running_stack
from tests.media import content, ffmpeg, ffprobe

NAME = "ingest"
PREFIX = "incoming/transcode/"
SETTINGS = {
    "MEDIA_API_KEYS": "ours:e2e-key-of-ours-0123456789",
    "MEDIA_INGEST_QUEUE_URL": NAME,
    "MEDIA_INGEST_QUEUE_POLL_SECONDS": "1",
    "MEDIA_INGEST_SETTLE_SECONDS": "2",
    "MEDIA_UNIT_SLOTS": "2",
    # What is made is of no interest here: as fast as may be.
    "MEDIA_X264_PRESET": "ultrafast",
    "MEDIA_QUALITY": "false",
}


@dataclass
class Dropping:
    """The stack, its queue and the queue of dead letters."""

    stack: RunningStack
    queue: Queue = field(init=False)
    dead: Queue = field(init=False)

    def __post_init__(self) -> None:
        client = boto3.client(
            "sqs", endpoint_url=self.stack.stack.aws_url, aws_access_key_id="test", aws_secret_access_key="test",
            region_name="us-east-1",
        )  # fmt: skip
        self.sqs, self.url = client, f"{self.stack.stack.aws_url}/{ACCOUNT}/{NAME}"
        self.queue = Queue(self.url, client=client)
        self.dead = self.queue.dead_letters().queue

    def drop(self, key: str, body: bytes) -> str:
        """Put an object below the folder that is watched and return its key."""
        self.stack.s3.put_object(Bucket=self.stack.bucket, Key=PREFIX + key, Body=body)
        return PREFIX + key

    def tell(self, key: str) -> None:
        """Send an event about an object as S3 might, once more."""
        about = {"bucket": {"name": self.stack.bucket}, "object": {"key": quote_plus(key)}}
        self.queue.send(json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": about}]}))

    def messages(self) -> int:
        """Return how many messages there are in the queue, received and delayed ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def claims(self) -> int:
        """Return how many objects have a run that takes a place."""
        return len(self.stack.keys("_reelflow/ingest/open/"))

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return every run of a DAG."""
        found: list[dict[str, Any]] = []
        while True:
            query: dict[str, str | int] = {"limit": 100, "offset": len(found), "order_by": "id"}
            page = self.stack.http.get(f"/api/v2/dags/{dag_id}/dagRuns", params=query).raise_for_status().json()
            found += page["dag_runs"]
            if len(found) >= page["total_entries"]:
                return found

    def runs_by_source(self) -> dict[str, list[dict[str, Any]]]:
        """Return the runs that dropped objects have: by key, those of `transcode` and of `ingest_object`."""
        found: dict[str, list[dict[str, Any]]] = {}
        for dag_id, name in (("transcode", "source_key"), ("ingest_object", "key")):
            for run in self.runs(dag_id):
                if run["conf"].get("client") == "ingest":
                    found.setdefault(run["conf"][name], []).append(run)
        return found


@contextmanager
def dropping(state_dir: Path, cache_dir: Path, **settings: str) -> Iterator[Dropping]:
    """Start such a stack, and stop it."""
    tools = {"MEDIA_FFMPEG": str(shutil.which(ffmpeg())), "MEDIA_FFPROBE": str(shutil.which(ffprobe()))}
    with running_stack(state_dir, SETTINGS | tools | {"MEDIA_CACHE_DIR": str(cache_dir)} | settings) as running:
        yield Dropping(running)


def tiny_clip(folder: Path) -> bytes:
    """Return a video of a fifth of a second, without sound."""
    path = folder / "tiny.mp4"
    command = [ffmpeg(), "-v", "error", *content(0.2, size="128x72"), "-c:v", "libx264", "-preset", "ultrafast", str(path)]
    subprocess.run(command, check=True)
    return path.read_bytes()
