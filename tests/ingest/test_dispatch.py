from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from include.errors import InputNotSupported, InternalError, NotFound, ParameterError, StorageDenied, StorageError
from include.ingest import dispatch as module
from include.ingest.admission import admit
from include.ingest.claims import Claims, room
from include.ingest.dispatch import dispatch, start, try_again
from include.ingest.models import Claim, Dropped, refusal_run_id
from include.ingest.parameters import read_sidecar
from include.ingest.settling import note_of, settle_job
from include.worker.job import Job, plan_unit
from include.worker.models import TranscodeRequest
from tests.ingest.conftest import Bench
from tests.ingest.fakes import FakeRuns

ERROR = {"code": "InvalidInputData", "message": "The file is broken.", "retryable": False}


def fate(bench: Bench, one: Dropped, runs: FakeRuns, **arguments: int) -> str:
    (found,) = dispatch(bench.ingest, [one], runs, **arguments)
    return found.fate


def end(bench: Bench, runs: FakeRuns, error: dict[str, object] | None = None) -> None:
    """End all runs of jobs at work, as their reports do."""
    for (dag_id, run_id), state in runs.states.items():
        if state == "queued" and dag_id != "ingest_object":
            conf = runs.confs[dag_id, run_id]
            job = Job(bench.ingest.store, bench.ingest.settings, conf["bucket"], run_id.removeprefix(f"{dag_id}__"))
            claim = Claims(bench.ingest).find(note_of(job).claim_id)
            if not error and bench.ingest.store.head(claim.bucket, claim.key).etag == claim.etag:
                bench.publish(claim)
            settle_job(bench.ingest, job, note_of(job), error)
            runs.states[dag_id, run_id] = "failed" if error else "success"


def test_an_object_is_one_run_however_often_it_is_named(bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}news/clip.mp4")
    assert [fate(bench, one, runs) for _ in range(3)] == ["started", "known", "known"]
    (key,) = runs.started
    assert runs.started[key] == 1
    assert runs.confs[key]["client"] == "ingest"
    assert room(bench.ingest) == bench.ingest.settings.ingest_active - 1
    end(bench, runs)
    assert room(bench.ingest) == bench.ingest.settings.ingest_active
    assert fate(bench, one, runs) == "gone"


def test_other_content_is_another_object_and_has_another_output(bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4", b"first")
    assert fate(bench, one, runs) == "started"
    bench.drop(one.key, b"second")
    assert fate(bench, one, runs) == "started"
    assert len({conf["folder"] for conf in runs.confs.values()}) == 2


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_order_and_however_many_dispatchers_each_object_has_exactly_one_run(
    seed: int, bench: Bench, runs: FakeRuns
) -> None:
    chance = random.Random(seed)
    good = [bench.drop(f"{bench.transcode}{n % 3}/clip-{n}.mp4", f"film {n % 5}".encode()) for n in range(9)]
    good += [bench.drop(f"{bench.upscale}clip-{n}.mp4", f"film {n % 2}".encode()) for n in range(4)]
    broken = [
        bench.drop(f"{bench.transcode}{name}", b"" if "empty" in name else b"x") for name in ("a.txt", "empty.mp4", "b.mov")
    ]
    bench.drop(f"{bench.transcode}0/clip-0.mp4.json", {"type": "mp4"})
    events = (good + broken) * 3
    chance.shuffle(events)
    shares = [events[n::4] for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        fates = [found for share in pool.map(lambda share: dispatch(bench.ingest, share, runs), shares) for found in share]
    assert sorted(runs.of("transcode")) == sorted(set(runs.of("transcode")))
    assert (len(runs.of("transcode")), len(runs.of("super_resolution")), len(runs.of("ingest_object"))) == (9, 4, 3)
    assert set(runs.started.values()) == {1}
    counts = Counter(found.fate for found in fates)
    assert counts["started"] + counts["refused"] + counts["joined"] + counts["known"] == len(events)


def test_a_dispatcher_that_was_killed_between_claim_and_run_loses_nothing(bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    runs.broken = True
    with pytest.raises(InternalError):
        dispatch(bench.ingest, [one], runs)
    assert len(Claims(bench.ingest).open_ids()) == 1
    runs.broken = False
    assert [fate(bench, one, runs) for _ in range(2)] == ["started", "known"]


def test_what_is_no_object_to_take_is_left_alone(bench: Bench, runs: FakeRuns) -> None:
    names = ["folder/", "clip.mp4.part", ".clip.mp4", "clip.json", "clip.mp4.error.json"]
    ignored = [bench.drop(f"{bench.transcode}{name}") for name in names]
    ignored += [bench.drop(f"{bench.root}{key}") for key in ("published/clip.mp4", "uploads/a/b/full", "_reelflow/x/clip.mp4")]
    ignored += [Dropped("another-bucket", f"{bench.transcode}clip.mp4")]
    assert {found.fate for found in dispatch(bench.ingest, ignored, runs)} == {"ignored"}
    assert fate(bench, Dropped(bench.bucket, f"{bench.transcode}never.mp4"), runs) == "gone"
    assert not runs.states


def test_an_object_that_may_still_be_written_waits(make_bench: Callable[..., Bench], runs: FakeRuns) -> None:
    bench = make_bench(ingest_settle_seconds=60)
    one = bench.drop(f"{bench.transcode}clip.mp4")
    (found,) = dispatch(bench.ingest, [one], runs)
    assert found.fate == "unsettled"
    assert 50 < found.seconds <= 61
    assert not runs.states


def test_an_object_that_is_another_one_than_was_seen_waits(bench: Bench, runs: FakeRuns) -> None:
    bench.drop(f"{bench.transcode}clip.mp4")
    (found,) = dispatch(bench.ingest, [Dropped(bench.bucket, f"{bench.transcode}clip.mp4", etag="another")], runs)
    assert (found.fate, found.seconds) == ("unsettled", bench.ingest.settings.ingest_poll_seconds)
    assert not runs.states


def test_no_more_runs_are_started_than_there_is_room(bench: Bench, runs: FakeRuns) -> None:
    dropped = [bench.drop(f"{bench.transcode}{n}.mp4") for n in range(4)]
    assert [found.fate for found in dispatch(bench.ingest, dropped, runs, room=2)] == ["started", "started", "waiting", "waiting"]
    assert len(Claims(bench.ingest).open_ids()) == 2
    assert [found.fate for found in dispatch(bench.ingest, dropped, runs, room=9)] == ["known", "known", "started", "started"]


def test_an_object_with_wrong_parameters_has_a_failed_run_and_a_word_beside_it(bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    sidecar = bench.drop(f"{one.key}.json", {"type": "avi", "speed": "fast"})
    (found,) = dispatch(bench.ingest, [one], runs)
    assert found.fate == "refused"
    assert "type: " in found.message
    assert "speed: " in found.message
    conf = runs.confs["ingest_object", found.run_id]
    with pytest.raises(ParameterError, match="speed"):
        try_again(bench.ingest, conf["bucket"], conf["key"], conf["etag"], runs)
    told = bench.read(f"{one.key}.error.json")
    assert (told["code"], told["run_id"], told["etag"]) == ("ParameterError", found.run_id, conf["etag"])
    assert "speed" in told["message"]
    assert room(bench.ingest) == bench.ingest.settings.ingest_active
    assert Claims(bench.ingest).find(conf["claim_id"]).state == "refused"
    runs.states["ingest_object", found.run_id] = "failed"
    assert fate(bench, one, runs) == "known"

    # Cleared while it is as it was, the run fails again; once the sidecar is right it starts the job.
    bench.drop(sidecar.key, {"type": "mp4"})
    assert try_again(bench.ingest, conf["bucket"], conf["key"], conf["etag"], runs) == "started"
    assert try_again(bench.ingest, conf["bucket"], conf["key"], conf["etag"], runs) == "known"
    end(bench, runs)
    assert not [key for key in bench.there() if key.startswith("incoming/")]
    (moved, moved_sidecar) = bench.there("finished/")
    assert moved.endswith("/clip.mp4")
    assert moved_sidecar.endswith("/clip.mp4.json")


def test_a_sidecar_that_was_put_right_is_another_try(bench: Bench, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench.drop(f"{bench.upscale}clip.mp4")
    bench.drop(f"{bench.upscale}clip.json", {"scale": 3})
    (found,) = dispatch(bench.ingest, [one], runs)
    conf = runs.confs["ingest_object", found.run_id]
    with pytest.raises(ParameterError):
        try_again(bench.ingest, conf["bucket"], conf["key"], conf["etag"], runs)
    runs.states["ingest_object", found.run_id] = "failed"
    bench.drop(f"{bench.upscale}clip.json", {"scale": 4})
    # Times of objects are whole seconds.
    monkeypatch.setattr(module, "_is_touched", lambda *arguments: True)
    assert fate(bench, one, runs) == "started"
    assert runs.of("super_resolution")


@pytest.mark.parametrize("first", [{"type": "mp4"}, None], ids=["another", "added"])
def test_a_sidecar_that_was_written_while_the_run_was_at_work_is_another_try(
    bench: Bench, runs: FakeRuns, first: dict[str, str] | None
) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    if first is not None:
        bench.drop(f"{one.key}.json", first)
    assert fate(bench, one, runs) == "started"
    bench.drop(f"{one.key}.json", {"type": "m3u8", "v_height": 720})
    end(bench, runs, ERROR)
    assert bench.read(f"{one.key}.error.json")["message"] == ERROR["message"]
    assert fate(bench, one, runs) == "started"
    end(bench, runs, ERROR)
    assert fate(bench, one, runs) == "known", "it has failed with the sidecar that is there"


def test_a_failed_object_that_is_dropped_again_is_tried_again(
    bench: Bench, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    assert fate(bench, one, runs) == "started"
    end(bench, runs, ERROR)
    assert bench.read(f"{one.key}.error.json")["message"] == ERROR["message"]
    assert fate(bench, one, runs) == "known"
    monkeypatch.setattr(module, "_is_touched", lambda *arguments: True)
    assert fate(bench, one, runs) == "started"
    assert list(runs.started.values()) == [2]
    end(bench, runs)
    assert f"{one.key}.error.json".removeprefix(bench.root) not in bench.there()


@pytest.mark.parametrize("place", ["published/clip.mp4", "incoming/transcode/clip.mp4.json"], ids=["elsewhere", "a-sidecar"])
def test_a_run_that_is_started_by_hand_writes_nothing_beside_what_is_no_dropped_object(
    bench: Bench, runs: FakeRuns, place: str
) -> None:
    one = bench.drop(f"{bench.root}{place}")
    with pytest.raises(ParameterError, match="folder that is watched"):
        try_again(bench.ingest, one.bucket, one.key, bench.ingest.store.head(one.bucket, one.key).etag, runs)
    assert bench.there() == [place]


def test_a_refused_object_that_went_away_says_so_when_its_run_is_cleared(bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}notes.txt")
    (found,) = dispatch(bench.ingest, [one], runs)
    conf = runs.confs["ingest_object", found.run_id]
    with pytest.raises(InputNotSupported, match=r"notes\.txt is none of"):
        try_again(bench.ingest, conf["bucket"], conf["key"], conf["etag"], runs)
    bench.drop(one.key, b"another")
    with pytest.raises(NotFound, match="replaced"):
        try_again(bench.ingest, conf["bucket"], conf["key"], conf["etag"], runs)
    assert found.run_id == refusal_run_id(conf["claim_id"])


def test_two_objects_for_one_output_are_made_one_after_the_other_or_not_at_all(bench: Bench, runs: FakeRuns) -> None:
    key = f"{bench.transcode}clip.mp4"
    bench.drop(f"{key}.json", {"time": "final", "type": "mp4"})
    assert fate(bench, bench.drop(key, b"first"), runs) == "started"
    (run,) = runs.states
    second = bench.drop(key, b"second")
    assert fate(bench, second, runs) == "waiting"
    bench.drop(key, b"first")
    end(bench, runs)
    bench.drop(f"{key}.json", {"time": "final", "type": "mp4"})
    bench.drop(key, b"second")
    (found,) = dispatch(bench.ingest, [Dropped(bench.bucket, key)], runs)
    assert found.fate == "refused"
    assert "`dst` or `time`" in found.message
    assert runs.started[run] == 1


def test_a_store_that_is_away_is_nobodys_refusal(bench: Bench, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")

    def away(*arguments: object) -> None:
        raise StorageError("Cannot read: the object store did not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_sidecar", away)
        with pytest.raises(StorageError):
            dispatch(bench.ingest, [one], runs)
    assert fate(bench, one, runs) == "started"


def test_a_damaged_claim_counts_as_absent(bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    assert fate(bench, one, runs) == "started"
    claims = Claims(bench.ingest)
    (claim_id,) = claims.open_ids()
    bench.drop(claims.open_key(claim_id), b"{")
    assert fate(bench, one, runs) == "joined"


def test_an_object_whose_output_is_there_needs_no_run_though_all_else_was_forgotten(
    make_bench: Callable[..., Bench], runs: FakeRuns
) -> None:
    bench = make_bench(ingest_finished="keep")
    one = bench.drop(f"{bench.upscale}news/clip.mp4")
    assert fate(bench, one, runs) == "started"
    (conf,) = runs.confs.values()
    bench.drop(f"{conf['output_folder']}clip_x2.mp4")
    bench.ingest.store.delete_prefix(bench.bucket, bench.ingest.settings.work_prefix)
    runs.states.clear()
    assert fate(bench, one, runs) == "known"
    assert not runs.states
    assert room(bench.ingest) == bench.ingest.settings.ingest_active


def foreign(bench: Bench, runs: FakeRuns, claim: Claim, state: str) -> None:
    """A run of the claim's job that a program has asked for, of another source."""
    runs.states[claim.dag_id, claim.run_id] = state
    runs.confs[claim.dag_id, claim.run_id] = claim.conf | {"source_key": "other.mp4", "client": "demo"}


def named(bench: Bench, runs: FakeRuns) -> Claim:
    """The claim of an object whose sidecar names its output."""
    key = f"{bench.transcode}clip.mp4"
    bench.drop(f"{key}.json", {"time": "final", "type": "mp4"})
    looked = bench.ingest.inbox.look(bench.bucket, bench.drop(key).key)
    return admit(bench.ingest, looked, read_sidecar(bench.ingest, bench.bucket, key))


def test_an_object_waits_while_its_output_is_made_of_something_else(bench: Bench, runs: FakeRuns) -> None:
    claim = named(bench, runs)
    foreign(bench, runs, claim, "running")
    job = Job(bench.ingest.store, bench.ingest.settings, claim.bucket, claim.job_id)
    assert fate(bench, Dropped(claim.bucket, claim.key), runs) == "waiting"
    assert note_of(job) is None
    assert not Claims(bench.ingest).open_ids()
    # The claim is made at the same moment.
    Claims(bench.ingest).take(claim)
    assert start(bench.ingest, claim, runs) == "waiting"
    assert note_of(job) is None


def test_a_run_of_somebody_elses_settles_nothing(bench: Bench, runs: FakeRuns) -> None:
    claim = named(bench, runs)
    assert fate(bench, Dropped(claim.bucket, claim.key), runs) == "started"
    job = Job(bench.ingest.store, bench.ingest.settings, claim.bucket, claim.job_id)
    other = TranscodeRequest.model_validate(claim.conf | {"source_key": "other.mp4"})
    job.write_unit(plan_unit(other))
    settle_job(bench.ingest, job, note_of(job), ERROR)
    bench.drop(other.destination_key)
    settle_job(bench.ingest, job, note_of(job), None)
    assert Claims(bench.ingest).find(claim.id).state == "open"
    assert bench.ingest.store.head(claim.bucket, claim.key)
    assert not [key for key in bench.there() if key.endswith(".error.json")]


def test_a_source_that_is_put_back_stays_while_its_run_reads_it(
    bench: Bench, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    assert fate(bench, one, runs) == "started"
    (claim,) = Claims(bench.ingest).open_claims()
    end(bench, runs)
    monkeypatch.setattr(module, "_is_touched", lambda *arguments: True)
    bench.drop(one.key)
    runs.states[claim.dag_id, claim.run_id] = "running"  # somebody has cleared it
    assert fate(bench, one, runs) == "known"
    assert bench.ingest.store.head(one.bucket, one.key)
    runs.states[claim.dag_id, claim.run_id] = "success"
    assert fate(bench, one, runs) == "known"
    assert not bench.ingest.store.head(one.bucket, one.key)


def test_a_source_that_is_put_back_after_its_output_was_deleted_is_done_again(
    bench: Bench, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4")
    assert fate(bench, one, runs) == "started"
    end(bench, runs)
    bench.ingest.store.delete_prefix(bench.bucket, f"{bench.root}published/")
    monkeypatch.setattr(module, "_is_touched", lambda *arguments: True)
    bench.drop(one.key)
    assert fate(bench, one, runs) == "started"
    assert list(runs.started.values()) == [2]
    assert bench.ingest.store.head(one.bucket, one.key)


def test_one_bad_object_keeps_no_other_from_its_run(bench: Bench, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = [bench.drop(f"{bench.transcode}{name}.mp4") for name in "abc"]
    look = type(bench.ingest.inbox).look

    def forbidden(self: object, bucket: str, key: str) -> object:
        if key.endswith(("a.mp4", "b.mp4")):
            raise StorageDenied("no")
        return look(self, bucket, key)

    monkeypatch.setattr(type(bench.ingest.inbox), "look", forbidden)
    with pytest.raises(InternalError, match=r"2 objects were not dealt with: .*a\.mp4: no; .*b\.mp4: no"):
        dispatch(bench.ingest, dropped, runs)
    assert len(runs.of("transcode")) == 1
    with pytest.raises(StorageDenied):
        dispatch(bench.ingest, dropped[:1], runs)


def test_a_key_without_room_for_its_companions_is_refused_and_nothing_is_written_beside_it(bench: Bench, runs: FakeRuns) -> None:
    folder = bench.transcode + "/".join(["x" * 100] * 9) + "/"
    one = bench.drop(folder + "a" * (1020 - len(folder)) + ".mp4")
    (found,) = dispatch(bench.ingest, [one], runs)
    assert found.fate == "refused"
    assert "use shorter names" in found.message
    conf = runs.confs["ingest_object", found.run_id]
    with pytest.raises(InputNotSupported):
        try_again(bench.ingest, conf["bucket"], conf["key"], conf["etag"], runs)
    assert Claims(bench.ingest).find(conf["claim_id"]).state == "refused"
    assert len(bench.there()) == 1


def test_a_run_that_finds_another_version_leaves_its_claim_gone(bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}clip.mp4", b"first")
    assert fate(bench, one, runs) == "started"
    (claim,) = Claims(bench.ingest).open_claims()
    bench.drop(one.key, b"second")
    end(bench, runs, ERROR)
    assert Claims(bench.ingest).find(claim.id).state == "gone"
