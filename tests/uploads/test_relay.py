"""Uploads that reach YouTube while they come, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest

from include.errors import Cancelled, StorageError
from include.media_store.objects import S3ObjectStore
from include.media_store.ranges import RangeReader
from include.uploads import relay as relay_module
from include.uploads.content import UploadContent
from include.uploads.models import Joined, Landed, Problem, Upload
from include.uploads.parts import first_missing, landed_one
from include.uploads.registry import Uploads
from include.uploads.relay import JOIN, Relay, Relayed
from include.uploads.youtube.errors import YouTubeQuotaExceeded, YouTubeRefused, YouTubeUnavailable
from include.uploads.youtube.ledger import LeaseTaken, Ledger, read_note
from include.uploads.youtube.oauth import Account
from include.uploads.youtube.resumable import GRAIN, youtube_client
from tests.uploads.memory import MemoryTable, an_upload
from tests.youtube_server import CLIENT, PROCESSED, YouTube, youtube_server

PART = 4 * GRAIN
CONTENT = random.Random(8).randbytes(2 * PART + 1234)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Rig:
    """An upload, whatever relays it, and YouTube."""

    store: S3ObjectStore
    client: Any
    bucket: str
    youtube: YouTube
    http: httpx.Client
    account: Account
    table: MemoryTable = field(default_factory=MemoryTable)
    content: bytes = CONTENT
    upload: Upload = field(init=False)

    def create(self, **changes: Any) -> None:
        changes = {"size": len(self.content), "part_size": PART, "bucket": self.bucket, "destinations": ("youtube",), **changes}
        self.upload = an_upload(self.uploads, uuid.uuid4().hex, title=uuid.uuid4().hex, **changes)

    @property
    def uploads(self) -> Uploads:
        return Uploads(self.table)

    def land(self, *numbers: int, content: bytes | None = None) -> None:
        for n in numbers:
            part = self.upload.part(n)
            data = (self.content if content is None else content)[part.start : part.end]
            self.store.put_bytes(self.bucket, part.key, data)
            landed = self.uploads.set_landed(self.upload, partial(landed_one, n=n, size=len(data), now=1.0))
            if first_missing(landed) is None:
                self.join()

    def join(self) -> None:
        """Do what the workflow does once all parts are there."""
        tags = [self.store.head(self.bucket, part.key).etag for part in self.upload.parts]  # type: ignore[union-attr]
        parts = [self.store.get_bytes(self.bucket, part.key) for part in self.upload.parts]
        self.store.put_bytes(self.bucket, self.upload.reference.full_key, b"".join(parts))
        self.store.put_bytes(self.bucket, self.upload.reference.tags_key, json.dumps(tags).encode())
        self.uploads.set_joined(self.upload, lambda _: Joined(done=True))

    def relay(self, cancelled: threading.Event | None = None, reader: RangeReader | None = None) -> Relay:
        """Return what a new process would relay with."""
        return Relay(
            self.upload.reference,
            uploads=self.uploads,
            ledger=Ledger(self.table, self.upload.reference, uuid.uuid4().hex),
            content=UploadContent(self.store, reader or RangeReader(self.client), self.bucket),
            client=self.http,
            account=self.account,
            cancelled=cancelled,
            first_wait=0.01,
        )

    def run(self) -> Relayed:
        return self.relay().relay_available()

    def fault(self, *faults: dict[str, Any]) -> None:
        self.youtube.control(faults=[{"where": "put", **one} for one in faults])

    def videos(self) -> list[dict[str, Any]]:
        title = self.upload.title
        return [one for one in self.youtube.state()["videos"] if one["resource"]["snippet"]["title"] == title]

    def assert_one_right_video(self, digest: str = DIGEST) -> None:
        (video,) = self.videos()
        assert video["sha256"] == digest
        assert read_note(self.table, self.upload.reference).video_id == video["video_id"]
        at = self.uploads.read(self.upload.atom_id, self.upload.id).at["youtube"]
        assert (at.status, at.details) == ("transcoding", f"https://youtu.be/{video['video_id']}")
        assert self.youtube.state()["violations"] == []


@pytest.fixture(scope="module")
def running_youtube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YouTube]:
    with youtube_server(tmp_path_factory.mktemp("youtube")) as server:
        yield server


@pytest.fixture
def rig(
    store: S3ObjectStore, s3_connection: Any, bucket: str, running_youtube: YouTube, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    monkeypatch.setattr(relay_module, "CHUNK", 2 * GRAIN)
    running_youtube.control(faults=[], processing=PROCESSED, token_seconds=3599)
    extra = {"refresh_token": CLIENT["refresh_token"], "token_url": f"{running_youtube.url}/token"}
    account = Account.of_connection(CLIENT["client_id"], CLIENT["client_secret"], extra)
    with youtube_client(account, running_youtube.url) as client:
        rig = Rig(store, s3_connection, bucket, running_youtube, client, account)
        rig.create()
        yield rig


def test_parts_are_sent_in_order_as_soon_as_all_before_them_are_there(rig: Rig) -> None:
    assert rig.run() == Relayed(0, awaits=0)
    rig.land(1)
    assert rig.run() == Relayed(0, awaits=0)
    assert not read_note(rig.table, rig.upload.reference).session
    rig.land(0)
    assert rig.run() == Relayed(2 * PART, awaits=2)
    assert rig.uploads.read(rig.upload.atom_id, rig.upload.id).at["youtube"].status == "upload"
    rig.land(2)
    assert rig.run().video_id
    rig.assert_one_right_video()
    assert rig.run() == rig.run()
    assert len(rig.videos()) == 1


def test_a_turn_has_an_end(rig: Rig) -> None:
    rig.land(0, 1, 2)
    assert rig.relay().relay_available(seconds=-1) == Relayed(0)
    assert rig.run().video_id
    rig.assert_one_right_video()


@pytest.mark.parametrize("size", [1, GRAIN, PART, PART + GRAIN])
def test_any_size_is_relayed(rig: Rig, size: int) -> None:
    rig.content = CONTENT[:size]
    rig.create()
    rig.land(*range(rig.upload.part_count))
    assert rig.run().video_id
    rig.assert_one_right_video(hashlib.sha256(rig.content).hexdigest())


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "short", "keep": GRAIN},
        {"kind": "short", "keep": 0},
        {"kind": "reset", "keep": GRAIN},
        {"kind": "reset", "keep": 0},
        {"kind": "lost"},
        {"kind": "status", "status": 500, "times": 3},
        {"kind": "status", "status": 503, "reason": "backendError", "headers": {"Retry-After": "0"}},
        {"kind": "status", "status": 401, "reason": "authError"},
        {"kind": "status", "status": 429, "reason": "rateLimitExceeded"},
        {"kind": "expire"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)  # fmt: skip
@pytest.mark.parametrize("after", [0, 3])
def test_whatever_goes_wrong_there_is_one_video_of_the_same_bytes(rig: Rig, fault: dict[str, Any], after: int) -> None:
    rig.land(0, 1, 2)
    rig.fault(fault | {"after": after})
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_an_answer_to_the_last_bytes_that_is_lost_makes_no_second_video(rig: Rig) -> None:
    rig.land(0, 1, 2)
    rig.fault({"kind": "lost", "after": 4})
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_a_session_that_ends_with_the_last_answer_lost_is_not_sent_again(rig: Rig) -> None:
    rig.land(0, 1, 2)
    rig.fault({"kind": "lost", "after": 4}, {"kind": "expire"})
    with pytest.raises(YouTubeRefused, match="look for it in the channel"):
        rig.run()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 12))
def test_a_relay_killed_at_any_write_goes_on(rig: Rig, call: int, before: bool) -> None:
    """Kill the process before or after each write of its note in turn: between any two of them something was sent."""
    rig.land(0, 1, 2)
    calls = 0
    replace = rig.table.replace

    def kill(atom_id: str, upload_id: str, name: str, *, old: str | None, new: str) -> bool:
        nonlocal calls
        if name == "relay":
            calls += 1
            if calls > call or (calls == call and before):
                raise Killed
        replaced = replace(atom_id, upload_id, name, old=old, new=new)
        if name == "relay" and calls == call:
            raise Killed
        return replaced

    rig.table.replace = kill  # type: ignore[method-assign]
    with pytest.raises(Killed):
        rig.run()
    rig.table.replace = replace  # type: ignore[method-assign]
    if (note := read_note(rig.table, rig.upload.reference)).owner:
        with pytest.raises(LeaseTaken) as caught:
            rig.run()
        assert caught.value.until == note.until
        expired = note.model_copy(update={"until": time.time() - 1})
        rig.table.items[rig.upload.atom_id, rig.upload.id]["relay"] = expired.model_dump_json()
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_two_relays_at_once_do_not_write_both(rig: Rig) -> None:
    rig.land(0, 1, 2)
    rig.fault({"kind": "slow", "seconds": 0.05, "times": 100})
    refused: list[float] = []

    def other() -> None:
        time.sleep(0.15)
        try:
            rig.run()
        except LeaseTaken as error:
            refused.append(error.until)

    thread = threading.Thread(target=other)
    thread.start()
    assert rig.run().video_id
    thread.join()
    assert refused
    rig.assert_one_right_video()


def test_a_relay_that_does_not_get_the_lease_has_sent_nothing(rig: Rig) -> None:
    rig.land(0)
    assert rig.run().offset == PART
    refused = rig.relay()
    with Ledger(rig.table, rig.upload.reference, "other").lease(), pytest.raises(LeaseTaken):
        refused.relay_available()
    assert refused.sent == 0


def test_a_part_replaced_after_it_was_sent_is_sent_again(rig: Rig) -> None:
    rig.land(0, 1, content=bytes(len(CONTENT)))
    assert rig.run().awaits == 2
    rig.land(0, 1, 2)
    assert rig.run().video_id
    rig.assert_one_right_video()


class Replacing(RangeReader):
    """Replaces a part after so many reads."""

    def __init__(self, client: Any, rig: Rig, reads: int) -> None:
        super().__init__(client)
        self.rig, self.reads = rig, reads

    def read(self, bucket: str, key: str, *, first: int, length: int, etag: str = "") -> tuple[bytes, str]:
        self.reads -= 1
        if self.reads == 0:
            self.rig.land(0)
        return super().read(bucket, key, first=first, length=length, etag=etag)


@pytest.mark.parametrize("reads", [2, 3, 4])
def test_a_part_replaced_while_the_relay_is_at_work_is_sent_again(rig: Rig, reads: int) -> None:
    rig.land(0, content=bytes(len(CONTENT)))
    rig.land(1)
    rig.relay(reader=Replacing(rig.client, rig, reads)).relay_available()
    rig.land(2)
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_parts_that_were_joined_and_deleted_are_read_from_the_file(rig: Rig) -> None:
    rig.land(0, 1)
    assert rig.run().offset == 2 * PART
    rig.land(2)
    rig.store.delete_prefix(rig.bucket, rig.upload.reference.parts_prefix)
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_a_part_replaced_after_the_join_changes_nothing(rig: Rig) -> None:
    rig.land(0, 1, 2)
    rig.store.put_bytes(rig.bucket, rig.upload.part(0).key, bytes(PART))
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_no_video_of_parts_that_are_not_joined_yet(rig: Rig) -> None:
    rig.land(0, 1)
    rig.store.put_bytes(rig.bucket, rig.upload.part(2).key, CONTENT[2 * PART :])
    rig.uploads.set_landed(rig.upload, lambda now: Landed(complete=frozenset({0, 1, 2})))
    assert rig.run() == Relayed(2 * PART, awaits=JOIN)
    assert rig.videos() == []
    rig.join()
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_a_quota_is_final_and_named(rig: Rig) -> None:
    rig.land(0)
    rig.fault({"kind": "status", "status": 403, "reason": "quotaExceeded"})
    with pytest.raises(YouTubeQuotaExceeded, match="daily quota"):
        rig.run()


def test_a_youtube_that_stays_away_is_left_for_later(rig: Rig) -> None:
    rig.land(0, 1, 2)
    rig.fault({"kind": "status", "status": 503, "times": 50})
    relay = rig.relay()
    with pytest.raises(YouTubeUnavailable, match="503"):
        relay.relay_available()
    assert not relay.sent
    rig.fault()
    assert relay.relay_available().video_id
    assert relay.sent
    rig.assert_one_right_video()


def test_sessions_that_come_to_nothing_have_an_end(rig: Rig) -> None:
    rig.land(0, 1, 2)
    rig.fault({"kind": "expire", "times": 50})
    with pytest.raises(YouTubeRefused, match="sessions"):
        rig.run()


def test_a_part_that_is_gone_may_come_again(rig: Rig) -> None:
    rig.land(0, 1)
    rig.store.delete(rig.bucket, rig.upload.part(0).key)
    with pytest.raises(StorageError, match="not there any more"):
        rig.run()
    rig.land(0, 2)
    assert rig.run().video_id
    rig.assert_one_right_video()


def test_a_relay_ends_when_it_is_asked_to(rig: Rig) -> None:
    rig.land(0, 1, 2)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        rig.relay(cancelled).relay_available()


def test_a_relay_ends_with_its_upload(rig: Rig) -> None:
    rig.land(0, 1, 2)
    rig.uploads.fail(rig.upload.reference, Problem(code="TimeOut", message="Timed out waiting for part 3"))
    with pytest.raises(Cancelled, match="failed"):
        rig.run()
    assert rig.videos() == []
