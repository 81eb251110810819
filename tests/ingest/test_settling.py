from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from include.errors import StorageDenied, StorageError
from include.ingest.claims import Claims
from include.ingest.dispatch import dispatch
from include.ingest.models import Claim, Dropped
from include.ingest.settling import settle
from include.media_store.inbox import S3Inbox
from include.media_store.models import ObjectRef
from tests.ingest.conftest import Bench
from tests.ingest.fakes import FakeRuns

ERROR = {"code": "InvalidInputData", "message": "The file is broken.", "retryable": False}
MIB = 2**20


def claimed(bench: Bench, key: str) -> Claim:
    dispatch(bench.ingest, [Dropped(bench.bucket, key)], FakeRuns())
    claim = Claims(bench.ingest).find(Dropped(bench.bucket, key, bench.ingest.store.head(bench.bucket, key).etag).claim_id)
    assert claim is not None
    return claim


def tags(bench: Bench, key: str) -> dict[str, str]:
    return dict(bench.ingest.inbox.look(bench.bucket, key).tags)


def test_a_finished_object_moves_with_its_sidecar_metadata_and_tags(bench: Bench) -> None:
    one = bench.drop(f"{bench.transcode}news/clip.mp4", metadata={"owner": "me"}, tags="team=news")
    bench.drop(f"{bench.transcode}news/clip.json", {"type": "mp4"})
    claim = claimed(bench, one.key)
    for _ in range(2):  # a report that was killed is tried again
        settle(bench.ingest, claim, None)
    folder = f"finished/{bench.transcode}news/clip_{claim.version}/"
    assert bench.there() == [f"{folder}clip.json", f"{folder}clip.mp4"]
    moved = bench.ingest.inbox.look(bench.bucket, f"{bench.root}{folder}clip.mp4")
    assert (dict(moved.metadata), dict(moved.tags)) == ({"owner": "me"}, {"team": "news"})
    assert Claims(bench.ingest).find(claim.id).state == "done"


def test_a_sidecar_that_serves_another_object_stays(bench: Bench) -> None:
    first, second = bench.drop(f"{bench.upscale}clip.mp4"), bench.drop(f"{bench.upscale}clip.mkv")
    bench.drop(f"{bench.upscale}clip.json", {"scale": 4})
    claim, other = claimed(bench, first.key), claimed(bench, second.key)
    settle(bench.ingest, claim, None)
    sidecar = f"{bench.upscale}clip.json".removeprefix(bench.root)
    assert sidecar in bench.there()
    settle(bench.ingest, other, None)
    assert sidecar not in bench.there()


def test_a_new_version_of_object_or_sidecar_is_left_alone(bench: Bench) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4", b"first")
    bench.drop(f"{one.key}.json", {"type": "mp4"})
    claim = claimed(bench, one.key)
    bench.drop(one.key, b"second")
    bench.drop(f"{one.key}.json", {"type": "m3u8"})
    settle(bench.ingest, claim, None)
    assert bench.ingest.store.get_bytes(bench.bucket, one.key) == b"second"
    assert bench.read(f"{one.key}.json") == {"type": "m3u8"}
    settle(bench.ingest, claim, ERROR)
    assert not [key for key in bench.there() if key.endswith(".error.json")], "the error is that of a version that is gone"


@pytest.mark.parametrize("finished", ["tag", "keep"])
def test_a_finished_object_may_stay(finished: str, make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(ingest_finished=finished)
    one = bench.drop(f"{bench.transcode}clip.mp4", tags="team=news")
    claim = claimed(bench, one.key)
    settle(bench.ingest, claim, ERROR)
    expected = {"team": "news"}
    if finished == "tag":
        assert tags(bench, one.key) == expected | {"reelflow:state": "failed", "reelflow:run": claim.run_id}
        expected |= {"reelflow:state": "done", "reelflow:run": claim.run_id}
    settle(bench.ingest, claim, None)
    assert tags(bench, one.key) == expected
    assert bench.there() == [one.key.removeprefix(bench.root)], "the error document goes when it succeeds"


@pytest.mark.parametrize("error", [None, ERROR], ids=["done", "failed"])
def test_ten_tags_leave_no_place_for_two_more_and_close_the_claim(make_bench: Callable[..., Bench], error: Any) -> None:
    bench = make_bench(ingest_finished="tag")
    one = bench.drop(f"{bench.transcode}clip.mp4", tags="&".join(f"t{n}=1" for n in range(10)))
    claim = claimed(bench, one.key)
    settle(bench.ingest, claim, error)
    assert Claims(bench.ingest).find(claim.id).state == ("failed" if error else "done")
    assert Claims(bench.ingest).open_ids() == set()


@pytest.mark.parametrize("error", [None, ERROR], ids=["done", "failed"])
def test_a_folder_that_may_only_be_read_closes_the_claim_all_the_same(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    bench = make_bench(ingest_finished="keep")
    claim = claimed(bench, bench.drop(f"{bench.transcode}clip.mp4").key)
    store = type(bench.ingest.store)
    put, delete = store.put_bytes, store.delete

    def forbid(allowed: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, bucket: str, key: str, *rest: Any, **options: Any) -> Any:
            if key.endswith(".error.json"):
                raise StorageDenied("no")
            return allowed(self, bucket, key, *rest, **options)

        return call

    monkeypatch.setattr(store, "put_bytes", forbid(put))
    monkeypatch.setattr(store, "delete", forbid(delete))
    settle(bench.ingest, claim, error)
    assert Claims(bench.ingest).find(claim.id).state == ("failed" if error else "done")


def test_a_failed_object_stays_with_a_word_beside_it(bench: Bench) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    claim = claimed(bench, one.key)
    settle(bench.ingest, claim, ERROR)
    told = bench.read(f"{one.key}.error.json")
    assert (told["message"], told["dag_id"], told["run_id"]) == (ERROR["message"], "transcode", claim.run_id)
    assert told["what_to_do"]
    assert Claims(bench.ingest).find(claim.id).error == ERROR


def test_a_store_that_fails_leaves_the_claim_open_and_one_that_forbids_does_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claimed(bench, bench.drop(f"{bench.transcode}clip.mp4").key)
    for error, state in ((StorageError("away"), "open"), (StorageDenied("no"), "done")):

        def fail(*arguments: object, error: Exception = error) -> bool:
            raise error

        monkeypatch.setattr(S3Inbox, "move", fail)
        if state == "open":
            with pytest.raises(StorageError):
                settle(bench.ingest, claim, None)
        else:
            settle(bench.ingest, claim, None)
        assert Claims(bench.ingest).find(claim.id).state == state


def test_large_objects_move_in_parts_and_lose_nothing(bench: Bench) -> None:
    inbox = S3Inbox(client=bench.client, copy=TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB))
    content = bytes(range(256)) * (12 * MIB // 256)
    key, target = f"{bench.transcode}large.mp4", f"{bench.root}finished/large.mp4"
    bench.client.put_object(
        Bucket=bench.bucket, Key=key, Body=content, Metadata={"owner": "me"}, Tagging="team=news", ContentType="video/mp4"
    )
    ref = bench.ingest.store.head(bench.bucket, key)
    assert inbox.move(ref, target)
    moved = inbox.look(bench.bucket, target)
    assert moved.ref.etag.endswith("-3"), "it was not copied in parts"
    assert bench.ingest.store.get_bytes(bench.bucket, target) == content
    assert (dict(moved.metadata), dict(moved.tags)) == ({"owner": "me"}, {"team": "news"})
    assert bench.client.head_object(Bucket=bench.bucket, Key=target)["ContentType"] == "video/mp4"
    assert not inbox.move(ref, target), "it is gone"


def test_another_version_is_neither_moved_nor_tagged(bench: Bench) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4", b"second")
    stale = ObjectRef(bucket=bench.bucket, key=one.key, etag="0" * 32, size=6)
    assert not bench.ingest.inbox.move(stale, f"{bench.root}finished/clip.mp4")
    assert not bench.ingest.inbox.tag(stale, {"a": "b"})
    assert bench.there() == [one.key.removeprefix(bench.root)]
