"""Joining parts inside S3: byte for byte, once, whenever it is interrupted."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from include.errors import Cancelled, InvalidInputData, StorageError
from include.media_store.models import ObjectRef
from include.media_store.multipart import S3Copies
from include.media_store.objects import S3ObjectStore
from include.uploads.join import Joiner
from include.uploads.models import Upload
from include.uploads.registry import Uploads
from tests.uploads.memory import MemoryTable, an_upload

MIB = 2**20
CONTENT = random.Random(6).randbytes(5 * MIB + 1234)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Stopped(Exception):
    """The process was killed here."""


class Interrupted(S3Copies):
    """Copies that end as a killed process would before the call of that number; ``after``: once it has taken effect."""

    def __init__(self, client: Any, number: int, *, after: bool = False) -> None:
        super().__init__(client=client)
        self._left, self._after, self._lock = number, after, threading.Lock()
        self.calls: list[str] = []

    def _step(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last and not self._after:
            raise Stopped
        self.calls.append(name)
        answer = call(*arguments)
        if is_last:
            raise Stopped
        return answer

    def begin(self, *arguments: Any) -> Any:
        return self._step("begin", super().begin, *arguments)

    def copy_part(self, *arguments: Any) -> Any:
        return self._step("copy_part", super().copy_part, *arguments)

    def complete(self, *arguments: Any) -> Any:
        return self._step("complete", super().complete, *arguments)

    def copy(self, *arguments: Any) -> Any:
        return self._step("copy", super().copy, *arguments)

    def sha256(self, *arguments: Any) -> Any:
        return self._step("sha256", super().sha256, *arguments)


@pytest.fixture
def uploads() -> Uploads:
    return Uploads(MemoryTable())


def tell(phase: str, done: int, total: int) -> None:
    assert phase in {"joining", "checking"}
    assert 0 <= done <= total


def send(store: S3ObjectStore, upload: Upload, content: bytes = CONTENT) -> None:
    """Put all parts, in random order, one of them twice."""
    numbers = [*range(upload.part_count), 0]
    random.Random(upload.id).shuffle(numbers)
    for n in numbers:
        part = upload.part(n)
        store.put_bytes(upload.bucket, part.key, content[part.start : part.end])


def new(uploads: Uploads, bucket: str, **changes: object) -> Upload:
    return an_upload(uploads, bucket=bucket, **({"size": len(CONTENT), "sha256": SHA256} | changes))


def join(uploads: Uploads, store: S3ObjectStore, upload: Upload, copies: S3Copies | None = None) -> ObjectRef:
    copies = copies or S3Copies(client=store._client)
    return Joiner(uploads, store, copies, upload.bucket, tell).join(uploads.read(upload.atom_id, upload.id))


def test_the_joined_file_has_the_bytes_of_the_parts_in_their_order(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    one = new(uploads, bucket)
    send(store, one)
    full = join(uploads, store, one)
    assert full.size == len(CONTENT)
    assert hashlib.sha256(store.get_bytes(bucket, one.reference.full_key)).hexdigest() == SHA256
    joined = uploads.read(one.atom_id, one.id).joined
    assert (joined.done, joined.etag) == (True, full.etag)
    tags = json.loads(store.get_bytes(bucket, one.reference.tags_key))
    assert tags == [ref.etag for ref in (store.head(bucket, part.key) for part in one.parts) if ref]


def test_a_file_of_one_part_is_joined_too(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    one = new(uploads, bucket, part_size=100 * MIB)
    send(store, one)
    assert join(uploads, store, one).size == len(CONTENT)


def test_it_is_joined_once(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    one = new(uploads, bucket)
    send(store, one)
    first = join(uploads, store, one)
    again = Interrupted(store._client, number=0)
    assert join(uploads, store, one, again) == first
    assert again.calls == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 6))
def test_a_join_that_is_killed_anywhere_goes_on_and_yields_the_same_file(
    uploads: Uploads, store: S3ObjectStore, bucket: str, number: int, after: bool
) -> None:
    one = new(uploads, bucket)
    send(store, one)
    killed = Interrupted(store._client, number, after=after)
    with pytest.raises(Stopped):
        join(uploads, store, one, killed)
    counting = Interrupted(store._client, number=0)
    join(uploads, store, one, counting)
    assert hashlib.sha256(store.get_bytes(bucket, one.reference.full_key)).hexdigest() == SHA256
    if "complete" in killed.calls:
        assert "copy_part" not in counting.calls


def test_what_was_copied_is_not_copied_again(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    one = new(uploads, bucket)
    send(store, one)
    copies = S3Copies(client=store._client)
    multipart_id = copies.begin(bucket, one.reference.full_key)
    uploads.set_joined(one, lambda now: now.model_copy(update={"multipart_id": multipart_id}))
    part = store.head(bucket, one.part(0).key)
    assert part is not None
    copies.copy_part(part, bucket, one.reference.full_key, multipart_id, 1)
    counting = Interrupted(store._client, number=0)
    join(uploads, store, one, counting)
    assert counting.calls.count("copy_part") == one.part_count - 1
    assert "begin" not in counting.calls


def test_a_part_that_was_sent_again_after_it_was_copied_is_copied_again(
    uploads: Uploads, store: S3ObjectStore, bucket: str
) -> None:
    one = new(uploads, bucket)
    send(store, one, bytes(len(CONTENT)))
    killed = Interrupted(store._client, one.part_count + 2)
    with pytest.raises(Stopped):
        join(uploads, store, one, killed)
    assert killed.calls.count("copy_part") == one.part_count
    send(store, one)
    join(uploads, store, one)
    assert hashlib.sha256(store.get_bytes(bucket, one.reference.full_key)).hexdigest() == SHA256


def test_a_copy_that_was_thrown_away_is_begun_anew(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    one = new(uploads, bucket)
    send(store, one)
    uploads.set_joined(one, lambda now: now.model_copy(update={"multipart_id": "long-gone"}))
    assert join(uploads, store, one).size == len(CONTENT)


def test_another_sha256_than_announced_is_final_and_leaves_no_file(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    one = new(uploads, bucket, sha256="0" * 64)
    send(store, one)
    with pytest.raises(InvalidInputData, match=SHA256) as caught:
        join(uploads, store, one)
    assert not caught.value.retryable
    assert store.head(bucket, one.reference.full_key) is None


@pytest.mark.parametrize("size", [None, 7], ids=["missing", "short"])
def test_a_part_that_is_missing_or_short_is_named(uploads: Uploads, store: S3ObjectStore, bucket: str, size: int | None) -> None:
    one = new(uploads, bucket)
    send(store, one)
    store.delete(bucket, one.part(1).key)
    if size:
        store.put_bytes(bucket, one.part(1).key, bytes(size))
    with pytest.raises(InvalidInputData, match="Part 1 "):
        join(uploads, store, one)


def test_strange_objects_among_the_parts_are_ignored(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    one = new(uploads, bucket)
    send(store, one)
    for name in ("99999", "x", "00", "0/0"):
        store.put_bytes(bucket, f"{one.reference.parts_prefix}{name}", b"strange")
    assert join(uploads, store, one).size == len(CONTENT)


def test_a_file_that_is_replaced_while_it_is_checked_makes_another_attempt(
    uploads: Uploads, store: S3ObjectStore, bucket: str
) -> None:
    one = new(uploads, bucket)
    send(store, one)
    part = store.head(bucket, one.part(0).key)
    assert part is not None
    stale = part.model_copy(update={"etag": "0" * 32})
    with pytest.raises(StorageError) as caught:
        S3Copies(client=store._client).sha256(stale, lambda size: None)
    assert caught.value.retryable


@pytest.mark.long
def test_more_copies_than_one_page_of_a_list_are_all_found(uploads: Uploads, store: S3ObjectStore, bucket: str) -> None:
    copies = S3Copies(client=store._client)
    tiny = store.put_bytes(bucket, "tiny", b"x")
    multipart_id = copies.begin(bucket, "paged")
    for number in range(1, 1003):
        copies.copy_part(tiny, bucket, "paged", multipart_id, number)
    found = copies.copied(bucket, "paged", multipart_id)
    assert found is not None
    assert len(found) == 1002
    copies.abort(bucket, "paged", multipart_id)
    copies.abort(bucket, "paged", multipart_id)
    assert copies.copied(bucket, "paged", multipart_id) is None


def test_a_file_that_is_made_after_the_upload_was_aborted_does_not_stay(
    uploads: Uploads, store: S3ObjectStore, bucket: str
) -> None:
    one = new(uploads, bucket)
    send(store, one)

    class Overtaken(S3Copies):
        def complete(self, *arguments: Any) -> bool:
            uploads.abort(one.reference)
            return super().complete(*arguments)

    with pytest.raises(Cancelled):
        join(uploads, store, one, Overtaken(client=store._client))
    assert store.head(bucket, one.reference.full_key) is None
    assert not uploads.read(one.atom_id, one.id).joined.done
