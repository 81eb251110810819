"""The state of an upload: what goes forward, and what never goes back."""

from __future__ import annotations

import json
import random

import pytest

from include.errors import LimitExceeded
from include.uploads.models import Destination, Joined, Landed, Upload
from include.uploads.parts import first_missing, landed, landed_one, part_number, part_size

MIB = 2**20


def upload(size: int = 25 * MIB, part: int = 10 * MIB, **changes: object) -> Upload:
    fields = {
        "client": "ours", "filename": "clip.mp4", "size": size, "part_size": part, "destinations": ("s3Bucket",),
        "bucket": "media", "region": "us-east-1", "created_at": 1000.0, "title": "clip", "atom_id": "atom", "id": "u1",
    }  # fmt: skip
    return Upload.model_validate(fields | changes)


def test_parts_cover_the_file_without_gap_or_overlap_and_the_last_one_is_the_rest() -> None:
    parts = upload().parts
    assert [(part.start, part.end) for part in parts] == [(0, 10 * MIB), (10 * MIB, 20 * MIB), (20 * MIB, 25 * MIB)]
    assert [part.key for part in parts] == [f"uploads/atom/u1/parts/{n}" for n in range(3)]


@pytest.mark.parametrize("size", [1, 5 * MIB, 100 * MIB, 100 * MIB + 1, 10_000 * 100 * MIB, 10_000 * 100 * MIB + 1, 5 * 2**40])
def test_a_file_of_any_size_has_at_most_ten_thousand_parts_in_multiples_of_256_kib(size: int) -> None:
    chosen = part_size(size, 100 * MIB)
    assert chosen % (256 * 1024) == 0
    assert chosen >= 100 * MIB
    assert upload(size, chosen).part_count <= 10_000
    assert sum(part.size for part in upload(size, chosen).parts) == size


def test_a_file_that_ten_thousand_parts_cannot_hold_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="size"):
        part_size(51 * 2**40, 100 * MIB)


def test_ten_thousand_parts_take_little_room_and_come_back_as_they_were() -> None:
    numbers = frozenset(random.Random(1).sample(range(10_000), 5_000))
    text = Landed(complete=numbers, changed_at=5).model_dump_json()
    assert len(text) < 3_000
    assert Landed.model_validate_json(text).complete == numbers


def test_a_part_of_the_wrong_size_stays_incomplete_and_says_so_until_the_right_one_comes() -> None:
    one = upload()
    seen = landed(one, {0: 10 * MIB, 1: 7, 9: 1}, now=50)
    assert (seen.complete, seen.changed_at) == (frozenset({0}), 50)
    assert seen.errors == {1: f"Part 1 has 7 bytes instead of {10 * MIB}; send it again."}
    again = landed(one.model_copy(update={"landed": seen}), {0: 10 * MIB, 1: 10 * MIB}, now=60)
    assert (again.complete, again.errors, again.changed_at) == (frozenset({0, 1}), {}, 60)


def test_a_complete_part_that_is_overwritten_by_a_wrong_one_is_incomplete_again() -> None:
    one = upload()
    one = one.model_copy(update={"landed": landed_one(one, 0, 10 * MIB, now=50)})
    worse = landed_one(one, 0, 3, now=60)
    assert worse.complete == frozenset()
    assert 0 in worse.errors


def test_looking_again_without_news_changes_nothing_so_that_the_wait_for_a_part_has_an_end() -> None:
    one = upload()
    one = one.model_copy(update={"landed": landed(one, {1: 10 * MIB}, now=50)})
    assert landed(one, {1: 10 * MIB}, now=99) == one.landed
    assert landed_one(one, 1, 10 * MIB, now=99) == one.landed
    assert first_missing(one) == 0


def test_parts_may_land_in_any_order_and_more_than_once() -> None:
    one = upload(size=40 * MIB)
    order = [n for n in range(4) for _ in range(3)]
    random.Random(2).shuffle(order)
    for now, n in enumerate(order):
        one = one.model_copy(update={"landed": landed_one(one, n, 10 * MIB, now=now)})
    assert first_missing(one) is None


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("uploads/atom/u1/parts/0", ("atom", "u1", 0)),
        ("uploads/atom/u1/parts/12", ("atom", "u1", 12)),
        ("uploads/atom/u1/parts/012", None),
        ("uploads/atom/u1/parts/-1", None),
        ("uploads/atom/u1/full", None),
        ("uploads/../u1/parts/1", None),
        ("x/uploads/atom/u1/parts/1", None),
    ],
)
def test_only_the_key_of_a_part_names_one(key: str, named: object) -> None:
    assert part_number(key) == named


def test_neither_status_nor_progress_within_one_ever_goes_back() -> None:
    random_ = random.Random(3)
    order = ["waiting", "upload", "transcoding", "failed", "complete"]
    state = Destination(type="youtube")
    for _ in range(500):
        after = state.advanced(random_.choice(order[:4]), random_.uniform(-10, 120))  # type: ignore[arg-type]
        assert (order.index(after.status), after.progress) >= (order.index(state.status), state.progress)
        assert 0 <= after.progress <= 100
        if after.status == "failed":
            break
        state = after


def test_what_has_failed_keeps_its_reason_and_may_only_become_complete() -> None:
    failed = Destination(type="youtube").advanced("upload", 40).advanced("failed", error="quota")
    assert (failed.status, failed.error) == ("failed", "quota")
    assert failed.advanced("upload", 99) == failed
    assert failed.advanced("failed", error="another").error == "another"
    done = failed.advanced("complete")
    assert (done.status, done.progress, done.error) == ("complete", 100.0, None)
    assert done.advanced("failed", error="late") == done


def test_an_upload_survives_being_written_and_read() -> None:
    one = upload(destinations=("youtube", "s3Bucket"), tags=("a", "b"))
    assert Upload.model_validate(json.loads(one.model_dump_json())) == one


def test_parts_that_are_joined_are_complete_though_they_are_gone() -> None:
    one = upload(landed=Landed(complete={0}, errors={1: "Part 1 is wrong."}), joined=Joined(done=True, etag="x"))
    assert [(part.complete, part.error) for part in one.parts] == [(True, None)] * 3
