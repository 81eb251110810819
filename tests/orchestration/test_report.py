"""The report: what became of a run."""

from __future__ import annotations

from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from include.ingest import place, settling
from include.orchestration import report as module
from include.orchestration.operators.work_unit import ERROR_KEY, METRICS_KEY
from include.orchestration.report import ReportOperator, first_error, summed
from include.worker.models import Outcome
from tests.orchestration.fakes import FakeTaskInstance, context_of

CONF = {"bucket": "media", "source_key": "a.mp4", "folder": "out/", "name": "a"}


def error(code: str, at: float, map_index: int = 0, task_id: str = "encode") -> dict[str, Any]:
    where = {"task_id": task_id, "map_index": map_index}
    return {"code": code, "message": f"{code}.", "retryable": False, **where, "final": True, "at": at}


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    class FakeJob:
        def __init__(self) -> None:
            self.written: list[Outcome] = []

        def write_outcome(self, outcome: Outcome) -> None:
            self.written.append(outcome)

    job = FakeJob()
    monkeypatch.setattr(module, "job_of", lambda conf: job if conf == CONF else None)
    return job.written


def operator() -> ReportOperator:
    return ReportOperator(task_id="report", work=["plan", "encode", "finish"])


def test_a_run_that_has_published_is_done(outcomes: list[Outcome]) -> None:
    metrics = [{"frames": 50, "cpu_seconds": 1.5, "reused": True}, None, {"frames": 25, "cpu_seconds": 2.0}]
    ti = FakeTaskInstance(states={"plan": "success", "finish": "success"}, xcoms={("encode", METRICS_KEY): metrics})
    operator().execute(context_of(ti, CONF))
    assert [(outcome.state, outcome.error) for outcome in outcomes] == [("done", None)]
    assert outcomes[0].metrics["cpu_seconds"] == 3.5
    assert outcomes[0].metrics["reused"] == 1


def test_a_run_that_has_failed_fails_its_report_with_the_reason(outcomes: list[Outcome]) -> None:
    errors = [error("Cancelled", 1.0, 0), error("InvalidInputData", 3.0, 1), error("TimeOut", 4.0, 2)]
    states = {"encode_0": "failed", "encode_1": "failed", "encode_2": "failed", "finish": "upstream_failed"}
    ti = FakeTaskInstance(states=states, xcoms={("encode", ERROR_KEY): errors})
    with pytest.raises(AirflowFailException, match="InvalidInputData"):
        operator().execute(context_of(ti, CONF))
    assert outcomes[0].state == "failed"
    assert outcomes[0].error == {"code": "InvalidInputData", "message": "InvalidInputData.", "retryable": False}


@pytest.mark.parametrize("left_over", ["upstream_failed", "removed", "success"])
def test_an_error_of_an_attempt_before_is_not_this_ones(outcomes: list[Outcome], left_over: str) -> None:
    errors = {"plan": error("NotFound", 9.0, -1, "plan"), "encode": error("InvalidInputData", 3.0)}
    ti = FakeTaskInstance(
        states={"plan": "failed", "encode_0": left_over, "finish": "upstream_failed"},
        xcoms={(task, ERROR_KEY): [kept] for task, kept in errors.items()},
    )
    with pytest.raises(AirflowFailException, match="NotFound"):
        operator().execute(context_of(ti, CONF))


def test_a_run_without_a_known_job_still_reports_in_its_log(outcomes: list[Outcome]) -> None:
    with pytest.raises(AirflowFailException):
        operator().execute(context_of(FakeTaskInstance(states={"plan": "failed"}), {"bucket": "media"}))
    assert outcomes == []


def test_a_killed_task_is_named_where_there_is_no_error() -> None:
    assert "encode_3" in first_error([None], {"plan": "success", "encode_3": "failed"})["message"]


def test_frames_are_those_of_the_source_and_not_added_up() -> None:
    assert summed([{"frames": 100}, {"frames": 50}, {"frames": 50}, {"frames": 100}])["frames"] == 100


def test_a_source_that_takes_too_long_to_move_does_not_fail_what_is_published(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def slow(*_: object) -> None:
        # As the task's alarm does, in the middle of a copy.
        raise AirflowTaskTimeout("Timeout, PID: 1")

    monkeypatch.setattr(place, "open_ingest", lambda: None)
    monkeypatch.setattr(settling, "note_of", lambda job: "a note")
    monkeypatch.setattr(settling, "settle_job", slow)
    with caplog.at_level("WARNING"):
        module.settle_source(cast(Any, None), None)
    assert "was not settled: Timeout" in caplog.text
