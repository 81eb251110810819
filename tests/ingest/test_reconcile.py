from __future__ import annotations

import pytest

from include.ingest.claims import Claims, room
from include.ingest.dispatch import dispatch
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
    job.write_outcome(Outcome(state="failed", error=error, run_id=claim.run_id, finished_at="2026-11-21T17:00:00Z", metrics={}))
    reconcile(bench.ingest, runs)
    assert bench.read(f"{claim.key}.error.json")["message"] == "The file is broken."


def test_a_run_that_succeeded_without_settling_its_object_is_settled(bench: Bench, runs: FakeRuns, claim: Claim) -> None:
    runs.states[claim.dag_id, claim.run_id] = "success"
    assert reconcile(bench.ingest, runs) == {"done": 1}
    assert [key for key in bench.there("finished/") if key.endswith("/clip.mp4")]


def test_a_claim_of_a_moment_ago_is_left_to_whoever_made_it(
    bench: Bench, runs: FakeRuns, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    runs.states.clear()
    assert not is_overdue(bench.ingest, runs.state)
    assert not reconcile(bench.ingest, runs)
