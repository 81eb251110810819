from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from include.ingest import watch as module
from include.ingest.claims import Claims
from include.ingest.dispatch import dispatch
from include.ingest.models import Dropped
from include.ingest.settling import settle
from include.ingest.watch import Watch
from tests.ingest.conftest import Bench
from tests.ingest.fakes import FakeRuns


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(bench: Bench, clock: Clock) -> Watch:
    return Watch(bench.ingest, clock=clock)


def seen(bench: Bench, watch: Watch, runs: FakeRuns | None = None) -> list[str]:
    return [one.key.removeprefix(bench.root) for one in watch.look((runs or FakeRuns()).state).dropped]


def requests(bench: Bench, action: Callable[[], Any]) -> Counter[str]:
    """Count the requests that ``action`` makes of S3, by operation."""
    counts: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        counts[model.name] += 1

    bench.client.meta.events.register("before-call.s3", count, unique_id="count")
    try:
        action()
    finally:
        bench.client.meta.events.unregister("before-call.s3", unique_id="count")
    return counts


def test_an_object_is_seen_at_the_second_look_that_finds_the_same(bench: Bench, watch: Watch) -> None:
    bench.drop(f"{bench.transcode}clip.mp4", b"half of")
    assert seen(bench, watch) == []
    bench.drop(f"{bench.transcode}clip.mp4", b"half of a film")
    assert seen(bench, watch) == []
    assert seen(bench, watch) == ["incoming/transcode/clip.mp4"]


def test_an_object_that_was_written_just_now_is_not_seen(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(ingest_settle_seconds=3600)
    bench.drop(f"{bench.transcode}clip.mp4")
    watch = Watch(bench.ingest)
    assert [seen(bench, watch) for _ in range(3)] == [[], [], []]


def test_an_object_that_is_renamed_when_it_is_written_is_seen_under_its_name(bench: Bench, watch: Watch) -> None:
    part = f"{bench.transcode}clip.mp4.part"
    bench.drop(part)
    assert [seen(bench, watch) for _ in range(3)] == [[], [], []]
    # S3 knows no renaming: clients copy and delete.
    bench.client.copy_object(
        Bucket=bench.bucket, Key=f"{bench.transcode}clip.mp4", CopySource={"Bucket": bench.bucket, "Key": part}
    )
    bench.delete(part)
    assert seen(bench, watch) == []
    assert seen(bench, watch) == ["incoming/transcode/clip.mp4"]


def test_looks_at_empty_folders_are_three_listings(bench: Bench, watch: Watch) -> None:
    assert requests(bench, lambda: seen(bench, watch)) == {"ListObjectsV2": 3}
    bench.drop(f"{bench.transcode}clip.json", {})
    bench.drop(f"{bench.transcode}clip.mp4.part")
    seen(bench, watch)
    assert requests(bench, lambda: seen(bench, watch)) == {"ListObjectsV2": 3}


def test_while_there_is_no_room_one_listing_tells_so(make_bench: Callable[..., Bench], runs: FakeRuns) -> None:
    bench = make_bench(ingest_active=1)
    dispatch(bench.ingest, [bench.drop(f"{bench.transcode}one.mp4")], runs)
    bench.drop(f"{bench.transcode}two.mp4")
    watch = Watch(bench.ingest)
    seen(bench, watch, runs)  # looks after overdue claims, too
    assert requests(bench, lambda: seen(bench, watch, runs)) == {"ListObjectsV2": 1}


def test_the_oldest_come_first_and_no_more_than_there_is_room(make_bench: Callable[..., Bench], runs: FakeRuns) -> None:
    bench = make_bench(ingest_active=4)
    for number in range(6):
        bench.drop(f"{bench.transcode if number % 2 else bench.upscale}{number}.mp4")
    watch = Watch(bench.ingest)
    seen(bench, watch)
    first = watch.look(runs.state).dropped
    assert len(first) == 4
    dispatch(bench.ingest, first, runs)
    assert seen(bench, watch, runs) == []
    claims = list(Claims(bench.ingest).open_claims())
    settle(bench.ingest, claims[0], None)
    second = watch.look(runs.state).dropped
    assert len(second) == 1
    assert {one.key for one in first}.isdisjoint({one.key for one in second})


def test_a_backlog_is_started_a_few_at_a_time(make_bench: Callable[..., Bench], runs: FakeRuns) -> None:
    bench = make_bench(ingest_active=8)
    for number in range(12):
        bench.drop(f"{bench.transcode}{number:02}.mp4")
    watch = Watch(bench.ingest)
    seen(bench, watch)
    dispatch(bench.ingest, watch.look(runs.state).dropped, runs)
    claims = list(Claims(bench.ingest).open_claims())
    assert len(claims) == 8
    settle(bench.ingest, claims[0], None)
    assert seen(bench, watch, runs) == [], "one place is not worth a task"
    settle(bench.ingest, claims[1], None)
    sight = watch.look(runs.state)
    assert (len(sight.dropped), sight.backlog) == (2, 2)


def test_the_last_place_is_for_an_object_that_is_alone(make_bench: Callable[..., Bench], runs: FakeRuns) -> None:
    bench = make_bench(ingest_active=8)
    for number in range(8):
        bench.drop(f"{bench.transcode}{number:02}.mp4")
    watch = Watch(bench.ingest)
    seen(bench, watch)
    first = watch.look(runs.state)
    assert (len(first.dropped), first.backlog) == (8, 0)
    dispatch(bench.ingest, first.dropped[:7], runs)
    watch = Watch(bench.ingest)
    seen(bench, watch)
    assert len(seen(bench, watch, runs)) == 1


@pytest.mark.parametrize("fresh", [False, True])
def test_what_was_dealt_with_and_stays_is_not_seen_again(
    fresh: bool, make_bench: Callable[..., Bench], runs: FakeRuns, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY", 3)
    bench = make_bench(ingest_finished="keep", ingest_active=15)
    for number in range(5):
        bench.drop(f"{bench.transcode}{number}.mp4")
    watch = Watch(bench.ingest, clock=clock)
    seen(bench, watch)
    dispatch(bench.ingest, watch.look(runs.state).dropped, runs)
    for claim in Claims(bench.ingest).open_claims():
        settle(bench.ingest, claim, None)
    if fresh:  # another process
        watch = Watch(bench.ingest, clock=clock)
        seen(bench, watch)
    clock.now += module.LONGEST_SECONDS
    assert seen(bench, watch, runs) == []
    clock.now += module.LONGEST_SECONDS
    assert requests(bench, lambda: seen(bench, watch, runs)) == {"ListObjectsV2": 3}
    bench.drop(f"{bench.transcode}new.mp4")
    seen(bench, watch, runs)
    assert seen(bench, watch, runs) == ["incoming/transcode/new.mp4"]


def test_what_was_told_of_in_vain_is_told_of_again_later_and_later(bench: Bench, watch: Watch, clock: Clock) -> None:
    bench.drop(f"{bench.transcode}clip.mp4")
    seen(bench, watch)
    times = []
    for _ in range(40):
        if seen(bench, watch):
            times.append(clock.now)
        clock.now += 15
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == [15, 30, 60, 120, 240]


def test_a_settled_object_or_sidecar_that_is_written_again_is_seen(
    bench: Bench, watch: Watch, runs: FakeRuns, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    seen(bench, watch)
    dispatch(bench.ingest, watch.look(runs.state).dropped, runs)
    (claim,) = Claims(bench.ingest).open_claims()
    settle(bench.ingest, claim, {"code": "InvalidInputData", "message": "Broken.", "retryable": False})
    clock.now += module.LONGEST_SECONDS
    assert seen(bench, watch, runs) == []
    bench.drop(f"{bench.transcode}clip.json", {"type": "mp4"})
    # Times of objects are whole seconds: as if it had been settled before.
    settled = bench.ingest.inbox.head(bench.bucket, Claims(bench.ingest).settled_key(claim.id))
    before = settled.modified_at.replace(year=2020)
    monkeypatch.setattr(type(bench.ingest.inbox), "head", lambda *_: type(settled)(settled.ref, before, 9.0))
    watch._settled.clear()
    assert seen(bench, watch, runs) == [one.key.removeprefix(bench.root)]


def test_claims_are_looked_after_once_a_minute_while_there_are_any(
    bench: Bench, watch: Watch, runs: FakeRuns, clock: Clock, impatient: None
) -> None:
    assert not watch.look(runs.state).overdue
    dispatch(bench.ingest, [bench.drop(f"{bench.transcode}clip.mp4")], runs)
    assert not watch.look(runs.state).overdue, "its run is queued"
    runs.states.clear()
    assert not watch.look(runs.state).overdue, "a minute has not passed"
    clock.now += module.RECONCILE_SECONDS
    assert watch.look(runs.state).overdue


def test_a_sight_names_versions(bench: Bench, watch: Watch) -> None:
    bench.drop(f"{bench.transcode}clip.mp4")
    seen(bench, watch)
    (one,) = watch.look(FakeRuns().state).dropped
    assert one.etag == bench.ingest.store.head(one.bucket, one.key).etag
    assert isinstance(one, Dropped)
