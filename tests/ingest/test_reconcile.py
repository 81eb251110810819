from __future__ import annotations

from datetime import timedelta

import pytest

from include.errors import InternalError
from include.ingest.claims import Claims, room
from include.ingest.dispatch import dispatch
from include.ingest.made import request_of
from include.ingest.models import Claim
from include.ingest.reconcile import is_overdue, reconcile
from include.worker.job import Job
from include.worker.models import Outcome
from tests.ingest.conftest import Bench
from tests.ingest.fakes import FakeRuns

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def claim(bench: Bench, runs: FakeRuns) -> Claim:
    """The claim of an object whose run is at work."""
    dispatch(bench.ingest, [bench.drop(f"{bench.transcode}clip.mp4")], runs)
    (claim,) = Claims(bench.ingest).open_claims()
    return claim


def test_runs_at_work_are_left_alone(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    for state in ("queued", "running"):
        runs.states[claim.dag_id, claim.run_id] = state
        assert not is_overdue(bench.ingest, runs.state)
        assert not reconcile(bench.ingest, runs)


def test_a_deleted_run_is_started_again_while_its_object_is_there(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    runs.states.clear()
    assert is_overdue(bench.ingest, runs.state)
    assert reconcile(bench.ingest, runs) == {"started": 1}
    assert runs.states == {(claim.dag_id, claim.run_id): "queued"}
    runs.states.clear()
    bench.delete(claim.key)
    assert reconcile(bench.ingest, runs) == {"gone": 1}
    assert not runs.states
    assert room(bench.ingest) == bench.ingest.settings.ingest_active


def test_a_run_that_was_stopped_leaves_a_word_beside_its_object(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    runs.states[claim.dag_id, claim.run_id] = "failed"
    assert reconcile(bench.ingest, runs) == {"failed": 1}
    assert "stopped, or killed" in bench.read(f"{claim.key}.error.json")["message"]
    assert Claims(bench.ingest).find(claim.id).state == "failed"
    assert not reconcile(bench.ingest, runs)


def test_what_a_run_has_said_before_it_was_killed_is_told(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    runs.states[claim.dag_id, claim.run_id] = "failed"
    error = {"code": "InvalidInputData", "message": "The file is broken.", "retryable": False}
    job = Job(bench.ingest.store, bench.ingest.settings, claim.bucket, claim.job_id)
    job.write_outcome(Outcome(state="failed", error=error, run_id=claim.run_id, finished_at=claim.claimed_at, metrics={}))
    reconcile(bench.ingest, runs)
    assert bench.read(f"{claim.key}.error.json")["message"] == "The file is broken."


def test_a_run_that_published_without_settling_its_object_is_settled(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    runs.states[claim.dag_id, claim.run_id] = "failed"  # its report was killed after all was published
    bench.publish(claim)
    assert reconcile(bench.ingest, runs) == {"done": 1}
    assert [key for key in bench.there("finished/") if key.endswith("/clip.mp4")]


def test_a_claim_of_a_moment_ago_is_left_to_whoever_made_it(
    bench: Bench, runs: FakeRuns, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    runs.states.clear()
    assert not is_overdue(bench.ingest, runs.state)
    assert not reconcile(bench.ingest, runs)


@pytest.mark.parametrize("name", ["clip.mp4", "notes.txt"])
def test_a_run_that_was_marked_as_a_success_moves_nothing(name: str, bench: Bench, runs: FakeRuns) -> None:
    one = bench.drop(f"{bench.transcode}{name}")
    dispatch(bench.ingest, [one], runs)
    for key in runs.states:
        runs.states[key] = "success"
    assert reconcile(bench.ingest, runs) == {"failed": 1}
    assert bench.ingest.store.head(one.bucket, one.key)
    assert "marked as a success" in bench.read(f"{one.key}.error.json")["message"]


@pytest.mark.parametrize("differs", ["conf", "time"])
def test_a_run_that_was_not_for_the_claim_is_started_again(differs: str, bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    key = (claim.dag_id, claim.run_id)
    runs.states[key] = "failed"
    if differs == "conf":
        runs.confs[key] = claim.conf | {"client": "demo"}
    else:
        runs.ended[key] = claim.claimed_at - timedelta(seconds=1)
    error = {"code": "InvalidInputData", "message": "The file was broken.", "retryable": False}
    job = Job(bench.ingest.store, bench.ingest.settings, claim.bucket, claim.job_id)
    job.write_outcome(Outcome(state="failed", error=error, run_id=claim.run_id, finished_at="2026-01-01T00:00:00Z", metrics={}))
    assert reconcile(bench.ingest, runs) == {"started": 1}
    assert (runs.states[key], runs.confs[key]) == ("queued", claim.conf)


def test_an_outcome_from_before_the_claim_is_not_told(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    runs.states[claim.dag_id, claim.run_id] = "failed"
    runs.ended[claim.dag_id, claim.run_id] = claim.claimed_at + timedelta(seconds=1)
    error = {"code": "InvalidInputData", "message": "The file was broken.", "retryable": False}
    job = Job(bench.ingest.store, bench.ingest.settings, claim.bucket, claim.job_id)
    job.write_outcome(Outcome(state="failed", error=error, run_id=claim.run_id, finished_at="2026-01-01T00:00:00Z", metrics={}))
    assert reconcile(bench.ingest, runs) == {"failed": 1}
    assert "stopped, or killed" in bench.read(f"{claim.key}.error.json")["message"]


def test_what_somebody_else_has_published_is_not_replaced(bench: Bench, runs: FakeRuns) -> None:
    key = f"{bench.transcode}clip.mp4"
    bench.drop(f"{key}.json", {"time": "final", "type": "mp4"})
    dispatch(bench.ingest, [bench.drop(key)], runs)
    (claim,) = Claims(bench.ingest).open_claims()
    runs.states[claim.dag_id, claim.run_id] = "success"
    runs.confs[claim.dag_id, claim.run_id] = claim.conf | {"source_key": "other.mp4"}
    bench.drop(request_of(claim).destination_key)
    assert reconcile(bench.ingest, runs) == {"failed": 1}
    assert "made of something else" in bench.read(f"{key}.error.json")["message"]
    assert runs.states[claim.dag_id, claim.run_id] == "success"


def test_a_claim_whose_run_cannot_be_started_keeps_no_other_from_its_own(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    dispatch(bench.ingest, [bench.drop(f"{bench.transcode}{name}.mp4") for name in "ab"], runs)
    runs.states.clear()
    runs.refused.add(claim.run_id)
    with pytest.raises(InternalError):
        reconcile(bench.ingest, runs)
    assert len(runs.states) == 2


def test_a_claim_of_another_version_of_reelflow_keeps_no_other_waiting(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    # Claims outlive the version that has made them, and what a request may be is checked more narrowly with time.
    Claims(bench.ingest).reopen(claim.model_copy(update={"conf": {**claim.conf, "name": "a/b"}}))
    dispatch(bench.ingest, [bench.drop(f"{bench.transcode}{name}.mp4") for name in "ab"], runs)
    runs.states.clear()
    with pytest.raises(InternalError, match=f"{claim.key}.*{claim.id}.json"):
        reconcile(bench.ingest, runs)
    assert len(runs.states) == 2
