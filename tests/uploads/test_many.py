"""A hundred uploads at once: all complete, no update of the table is lost, and nothing that a poller sees goes back."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from include.media_store.multipart import S3Copies
from include.media_store.objects import S3ObjectStore
from include.media_store.uploads_table import DynamoUploadsTable, make_uploads_table
from include.settings import Settings
from include.uploads.join import Joiner
from include.uploads.models import Upload
from include.uploads.registry import Uploads
from include.uploads.watch import PartsWatch, Sight, note_object
from tests.servers import moto
from tests.uploads.memory import an_upload

UPLOADS = 100
MIB = 2**20
CONTENT = random.Random(100).randbytes(10 * MIB + 77)
ORDER = ["waiting", "upload", "transcoding", "failed", "complete"]


@pytest.fixture(scope="module")
def table() -> Iterator[DynamoUploadsTable]:
    with moto() as url:
        client = boto3.client(
            "dynamodb", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        settings = Settings(_env_file=None)  # type: ignore[call-arg]
        make_uploads_table(settings, client)
        yield DynamoUploadsTable(settings, client=client)


class Poller(threading.Thread):
    """Looks at the atom again and again, as a page does."""

    def __init__(self, uploads: Uploads) -> None:
        super().__init__()
        self.uploads, self.over, self.looks = uploads, threading.Event(), 0
        self.wrong: list[str] = []
        self._seen: dict[tuple[str, str], tuple[int, float]] = {}

    def run(self) -> None:
        while not self.over.is_set():
            for upload in self.uploads.list("busy"):
                for kind, at in upload.at.items():
                    now = (ORDER.index(at.status), at.progress)
                    if now < self._seen.get((upload.id, kind), now):
                        self.wrong.append(f"{upload.id} {kind}: {self._seen[upload.id, kind]}, then {now}")
                    self._seen[upload.id, kind] = now
            self.looks += 1
            time.sleep(0.1)


@pytest.mark.long
def test_a_hundred_uploads_at_once_lose_nothing(table: DynamoUploadsTable, store: S3ObjectStore, bucket: str) -> None:
    uploads, copies = Uploads(table), S3Copies(client=store._client)
    many = [
        an_upload(uploads, "busy", size=len(CONTENT), bucket=bucket, destinations=("youtube", "s3Bucket")) for _ in range(UPLOADS)
    ]
    poller = Poller(uploads)
    poller.start()

    def land(upload: Upload, n: int) -> None:
        part = upload.part(n)
        store.put_bytes(bucket, part.key, CONTENT[part.start : part.end])
        for _ in range(2):
            note_object(uploads, store, part.key)

    def relay(upload: Upload, step: int) -> None:
        uploads.set_destination(upload.atom_id, upload.id, "youtube", status="upload", progress=20 * step)

    def transcode(upload: Upload, step: int) -> None:
        uploads.set_destination(upload.atom_id, upload.id, "s3Bucket", status="transcoding", progress=20 * step)

    work = [(land, upload, n) for upload in many for n in range(3)]
    work += [(what, upload, step) for what in (relay, transcode) for upload in many for step in range(5)]
    random.Random(5).shuffle(work)
    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(what, upload, n) for what, upload, n in work]:
            future.result()

    def finish(upload: Upload) -> bool:
        assert PartsWatch(uploads, store, upload.reference, timeout=60).look()[0] is Sight.COMPLETE
        full = Joiner(uploads, store, copies, bucket, lambda *_: None).join(uploads.read(upload.atom_id, upload.id))
        for kind in upload.destinations:
            uploads.set_destination(upload.atom_id, upload.id, kind, status="complete")
        uploads.complete(upload.reference)
        return hashlib.sha256(store.get_bytes(bucket, full.key)).digest() == hashlib.sha256(CONTENT).digest()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(finish, many))
    poller.over.set()
    poller.join()
    assert poller.wrong == []
    assert poller.looks > 10
    after = uploads.list("busy")
    assert len(after) == UPLOADS
    for upload in after:
        assert all(part.complete for part in upload.parts)
        assert upload.joined.done
        assert upload.outcome.state == "complete"
        assert {at.status for at in upload.at.values()} == {"complete"}
