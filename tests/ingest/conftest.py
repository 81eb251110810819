from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.ingest import reconcile
from include.ingest.made import request_of
from include.ingest.models import Claim, Dropped
from include.ingest.place import Ingest
from include.media_store.inbox import S3Inbox
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from include.worker.job import Job, finish_unit, merge_unit
from include.worker.models import Output, TranscodeRequest, UnitResult
from tests.ingest.fakes import FakeRuns


@dataclass
class Bench:
    """A place of its own in the common bucket."""

    ingest: Ingest
    client: Any
    root: str

    @property
    def bucket(self) -> str:
        return self.ingest.settings.bucket

    @property
    def transcode(self) -> str:
        return self.ingest.settings.ingest_transcode_prefixes[0]

    @property
    def upscale(self) -> str:
        return self.ingest.settings.ingest_sr_prefixes[0]

    def drop(
        self,
        key: str,
        content: bytes | dict[str, Any] = b"a film",
        *,
        metadata: Mapping[str, str] | None = None,
        tags: str = "",
    ) -> Dropped:
        body = json.dumps(content).encode() if isinstance(content, dict) else content
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=dict(metadata or {}), Tagging=tags)
        return Dropped(self.bucket, key)

    def publish(self, claim: Claim) -> None:
        """What the claim's run leaves when it has made its output of the object."""
        request, source = request_of(claim), self.ingest.store.head(claim.bucket, claim.key)
        output = self.ingest.store.put_bytes(request.bucket, request.destination_key, b"an output")
        job = Job.of(self.ingest.store, self.ingest.settings, request)
        unit = (finish_unit if isinstance(request, TranscodeRequest) else merge_unit)(request, source, ())
        job.write_unit(unit)
        now = datetime.now(timezone.utc)
        job.write_result(
            UnitResult(
                unit_id=unit.id,
                status="done",
                fingerprint=unit.fingerprint,
                outputs=(Output(name="output", ref=output),),
                metrics={"source_etag": source.etag},
                started_at=now,
                finished_at=now,
            )
        )

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def there(self, prefix: str = "") -> list[str]:
        """Keys below the place, without its name, but for work documents."""
        listed = [ref.key.removeprefix(self.root) for ref in self.ingest.store.list(self.bucket, self.root + prefix)]
        return [key for key in listed if prefix or not key.startswith("_reelflow/")]

    def read(self, key: str) -> dict[str, Any]:
        return json.loads(self.ingest.store.get_bytes(self.bucket, key))


@pytest.fixture
def make_bench(bucket: str, s3_connection: Any) -> Callable[..., Bench]:
    def make(**changes: Any) -> Bench:
        root = f"{uuid.uuid4().hex[:8]}/"
        values: dict[str, Any] = {
            "bucket": bucket,
            "work_prefix": f"{root}_reelflow/",
            "ingest_transcode_prefixes": (f"{root}incoming/transcode/",),
            "ingest_sr_prefixes": (f"{root}incoming/super_resolution/",),
            "ingest_output": f"{root}published/",
            "ingest_finished_folder": f"{root}finished/",
            "ingest_settle_seconds": 0,
        }
        settings = Settings(**values | changes)
        return Bench(Ingest(settings, S3ObjectStore(client=s3_connection), S3Inbox(client=s3_connection)), s3_connection, root)

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def runs() -> FakeRuns:
    return FakeRuns()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims count as overdue as soon as their runs have ended."""
    monkeypatch.setattr(reconcile, "PATIENCE", timedelta(seconds=-5))
