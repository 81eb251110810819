"""Waiting for parts: what has landed is noted, what does not come is named."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from include.media_store.models import ObjectRef
from include.uploads.models import Joined, Upload
from include.uploads.registry import Uploads
from include.uploads.watch import PartsWatch, Sight, note_object
from tests.media_api.fakes import MemoryStore
from tests.uploads.memory import MemoryTable, an_upload

MIB = 2**20


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def uploads(clock: Clock) -> Uploads:
    return Uploads(MemoryTable(), clock)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("media")


@pytest.fixture
def upload(uploads: Uploads) -> Upload:
    return an_upload(uploads, size=3 * MIB, part_size=MIB, destinations=("youtube", "s3Bucket"))


@pytest.fixture
def watch(uploads: Uploads, store: MemoryStore, upload: Upload, clock: Clock) -> PartsWatch:
    return PartsWatch(uploads, store, upload.reference, timeout=100, clock=clock)


def put(store: MemoryStore, upload: Upload, n: int, size: int = MIB) -> str:
    store.put_bytes("media", upload.part(n).key, bytes(size))
    return upload.part(n).key


def test_parts_are_noted_as_they_land_until_all_are_there(watch: PartsWatch, store: MemoryStore, upload: Upload) -> None:
    for n in (2, 0):
        put(store, upload, n)
        assert watch.look()[0] is Sight.WAITING
    put(store, upload, 1)
    sight, after = watch.look()
    assert (sight, after.landed.complete) == (Sight.COMPLETE, frozenset({0, 1, 2}))


def test_each_part_that_comes_gives_the_next_one_the_whole_time_again(
    watch: PartsWatch, store: MemoryStore, upload: Upload, clock: Clock
) -> None:
    clock.now += 99
    put(store, upload, 1)
    assert watch.look()[0] is Sight.WAITING
    clock.now += 99
    assert watch.look()[0] is Sight.WAITING
    clock.now += 1
    sight, _ = watch.look()
    assert sight is Sight.TIMED_OUT


def test_the_part_that_was_waited_for_in_vain_is_named_at_every_destination(
    watch: PartsWatch, uploads: Uploads, store: MemoryStore, upload: Upload, clock: Clock
) -> None:
    put(store, upload, 0)
    put(store, upload, 2)
    watch.look()
    clock.now += 100
    assert watch.look()[0] is Sight.TIMED_OUT
    after = uploads.read(upload.atom_id, upload.id)
    assert after.outcome.problem is not None
    assert after.outcome.problem.message == "Timed out waiting for part 1"
    assert {at.error for at in after.at.values()} == {"Timed out waiting for part 1"}
    assert watch.look()[0] is Sight.OVER


def test_parts_that_landed_while_nobody_looked_are_seen_before_the_time_is_up(
    watch: PartsWatch, store: MemoryStore, upload: Upload, clock: Clock
) -> None:
    clock.now += 1000
    for n in range(3):
        put(store, upload, n)
    assert watch.look()[0] is Sight.COMPLETE


def test_parts_whose_events_were_lost_are_seen_before_the_time_is_up(
    watch: PartsWatch, store: MemoryStore, upload: Upload, clock: Clock
) -> None:
    for n in range(2):
        put(store, upload, n)
    clock.now += 99
    assert watch.look(listing=False)[0] is Sight.WAITING
    clock.now += 1
    sight, after = watch.look(listing=False)
    assert (sight, after.landed.complete) == (Sight.WAITING, {0, 1})
    clock.now += 99
    put(store, upload, 2)
    clock.now += 1
    assert watch.look(listing=False)[0] is Sight.COMPLETE


def test_parts_that_did_not_come_are_named_where_only_events_are_noted(watch: PartsWatch, clock: Clock) -> None:
    clock.now += 100
    assert watch.look(listing=False)[0] is Sight.TIMED_OUT


def test_a_run_that_is_started_again_waits_the_whole_time_again(
    watch: PartsWatch, uploads: Uploads, upload: Upload, clock: Clock
) -> None:
    clock.now += 100
    assert watch.look()[0] is Sight.TIMED_OUT
    uploads.reopen(upload.reference)
    clock.now += 99
    assert watch.look()[0] is Sight.WAITING


def test_once_the_parts_are_joined_they_may_be_gone(watch: PartsWatch, uploads: Uploads, upload: Upload) -> None:
    uploads.set_joined(upload, lambda _: Joined(done=True, etag="x"))
    assert watch.look()[0] is Sight.COMPLETE


def test_the_run_of_a_complete_upload_may_be_cleared(watch: PartsWatch, uploads: Uploads, upload: Upload) -> None:
    uploads.set_joined(upload, lambda _: Joined(done=True, etag="x"))
    uploads.complete(upload.reference)
    assert watch.look()[0] is Sight.COMPLETE


def test_an_aborted_upload_is_waited_for_no_more(watch: PartsWatch, uploads: Uploads, upload: Upload) -> None:
    uploads.abort(upload.reference)
    assert watch.look()[0] is Sight.OVER


def test_events_of_any_number_in_any_order_at_the_same_time_lose_nothing(uploads: Uploads, store: MemoryStore) -> None:
    one = an_upload(uploads, size=12 * MIB, part_size=MIB)
    keys = [put(store, one, n) for n in range(12) for _ in range(3)]
    random.Random(4).shuffle(keys)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: note_object(uploads, store, key), keys))
    assert uploads.read(one.atom_id, one.id).landed.complete == set(range(12))


def test_an_event_is_believed_only_as_far_as_the_object_bears_it_out(
    uploads: Uploads, store: MemoryStore, upload: Upload
) -> None:
    note_object(uploads, store, upload.part(0).key)
    note_object(uploads, store, put(store, upload, 1, size=5))
    note_object(uploads, store, "uploads/atom/unknown/parts/0")
    note_object(uploads, store, f"{upload.reference.parts_prefix}77")
    note_object(uploads, store, upload.reference.full_key)
    after = uploads.read(upload.atom_id, upload.id).landed
    assert (after.complete, set(after.errors)) == (frozenset(), {1})


def test_an_event_that_comes_late_does_not_undo_parts_that_were_joined(
    uploads: Uploads, store: MemoryStore, upload: Upload
) -> None:
    keys = [put(store, upload, n) for n in range(3)]
    for key in keys:
        note_object(uploads, store, key)
    uploads.set_joined(upload, lambda _: Joined(done=True, etag="x"))
    store.delete("media", keys[1])
    note_object(uploads, store, keys[1])
    after = uploads.read(upload.atom_id, upload.id)
    assert after.landed.complete == {0, 1, 2}


def test_a_part_that_landed_during_a_slow_listing_stays(uploads: Uploads, upload: Upload, clock: Clock) -> None:
    class SlowStore(MemoryStore):
        def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
            found = list(super().list(bucket, prefix))
            note_object(uploads, self, put(self, upload, 1))
            return iter(found)

    store = SlowStore("media")
    put(store, upload, 0)
    _, after = PartsWatch(uploads, store, upload.reference, timeout=100, clock=clock).look()
    assert after.landed.complete == {0, 1}
