"""Which runs count as too long, and that each is told of once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.serialization.encoders import encode_deadline_alert

from include.errors import NotFound, StorageError
from include.orchestration import deadlines as module
from include.orchestration import run_problem
from include.orchestration.deadlines import RunCreated, deadlines, tell_late
from include.settings import Settings
from include.worker.models import Outcome

SECONDS = 100
NOW = datetime.now(timezone.utc)


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **changes)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What is told as (run, limit); time does not pass, and every run goes on."""
    found: list[tuple[str, float]] = []

    def tell(run: Any, started: datetime, limit: float) -> str:
        found.append((run["dag_run_id"], limit))
        return "told"

    monkeypatch.setattr(module, "_tell", tell)
    monkeypatch.setattr(module, "_state", lambda *_: "running")
    return found


def looks(started: datetime | None, created: datetime, state: str = "running") -> list[str]:
    """Return what becomes of a run at each of its deadlines."""
    alerts = deadlines(settings(alert_seconds={"transcode": SECONDS}, notify_email=("a@example.test",)), "transcode")["deadline"]
    answers = []
    for alert in alerts:
        due = created + alert.interval
        begun = started is not None and started <= due
        run = {
            "dag_id": "transcode", "dag_run_id": "r", "conf": {}, "state": state if begun or state != "running" else "queued",
            "start_date": started.isoformat() if started and begun else None,
        }  # fmt: skip
        context = {"dag_run": run, "deadline": {"id": "1", "deadline_time": due}}
        answers.append(asyncio.run(tell_late(**alert.callback.kwargs, context=context)))
    return answers


def test_a_dag_has_deadlines_where_the_settings_name_it_and_somebody_is_to_be_told() -> None:
    named = settings(alert_seconds={"transcode": SECONDS}, notify_email=("a@example.test",))
    assert [alert.interval.total_seconds() for alert in deadlines(named, "transcode")["deadline"]] == [100, 400, 1600, 6400]
    assert deadlines(named, "upload") == {}
    assert deadlines(settings(alert_seconds={"transcode": SECONDS}), "transcode") == {}


def test_airflow_stores_them_with_a_reference_that_it_does_not_move() -> None:
    """Its own DAGRUN_QUEUED_AT makes a run that cannot be cleared (TypeError in Airflow 3.3)."""
    named = settings(alert_seconds={"transcode": SECONDS}, notify_email=("a@example.test",))
    stored = encode_deadline_alert(deadlines(named, "transcode")["deadline"][0])
    assert stored["reference"] == {"reference_type": "RunCreated", "__class_path": "include.orchestration.deadlines.RunCreated"}
    assert abs(RunCreated()._evaluate_with(session=None) - datetime.now(timezone.utc)) < timedelta(minutes=1)


@pytest.mark.parametrize("waited", [0, 50, 100, 101, 399, 400, 401, 5000], ids=lambda seconds: f"begun after {seconds} s")
def test_a_run_is_told_of_once_however_long_it_was_queued(told: list[tuple[str, float]], waited: int) -> None:
    created = NOW - timedelta(days=1)
    answers = looks(created + timedelta(seconds=waited), created)
    assert told == [("r", 100.0)], answers


def test_a_run_that_is_still_queued_is_not_late(told: list[tuple[str, float]]) -> None:
    assert looks(None, NOW - timedelta(days=1)) == ["nothing: the run is queued"] * 4
    assert told == []


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_has_ended_is_not_late(told: list[tuple[str, float]], state: str) -> None:
    assert set(looks(NOW, NOW, state)) == {f"nothing: the run is {state}"}
    assert told == []


class Clock(datetime):
    """Time as :func:`passing` lets it pass."""

    now_is = NOW

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return cls.now_is


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited each time; no time passes otherwise."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)
        Clock.now_is += timedelta(seconds=seconds)

    monkeypatch.setattr(Clock, "now_is", NOW)
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    monkeypatch.setattr(module, "datetime", Clock)
    monkeypatch.setattr(module, "_limit_by_length", lambda run: 0.0)
    return found


def watch(started: datetime) -> str:
    """Return what becomes of a run at the deadline that passes now."""
    run = {"dag_id": "transcode", "dag_run_id": "r", "conf": {}, "state": "running", "start_date": started.isoformat()}
    context = {"dag_run": run, "deadline": {"deadline_time": NOW.isoformat()}}
    return asyncio.run(tell_late(seconds=SECONDS, gap=SECONDS, context=context))


def test_a_run_that_is_watched_is_told_of_when_its_time_is_over(told: list[tuple[str, float]], slept: list[float]) -> None:
    assert watch(NOW - timedelta(seconds=40)) == "told"
    assert slept == [30, 30]


def test_a_run_that_ends_while_it_is_watched_is_not_late_though_it_was_begun_again(
    told: list[tuple[str, float]], slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter(["running", "failed", "running", "running", "running"])
    monkeypatch.setattr(module, "_state", lambda *_: next(states))
    assert watch(NOW - timedelta(seconds=40)) == "nothing: the run is failed"
    assert slept == [30]
    assert told == []


@pytest.mark.parametrize(("ended", "is_told"), [(-50, True), (-40, True), (-39, False), (20, False)])
def test_a_run_that_has_told_its_end_since_its_start_is_another_one_by_now(
    told: list[tuple[str, float]], slept: list[float], monkeypatch: pytest.MonkeyPatch, ended: int, is_told: bool
) -> None:
    monkeypatch.setattr(run_problem, "ended_at", lambda *_: NOW + timedelta(seconds=ended))
    answer = watch(NOW - timedelta(seconds=40))
    assert answer == ("told" if is_told else "nothing: the run had ended, and was begun again")
    assert len(told) == is_told


def test_an_outcome_of_another_run_of_the_job_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SimpleNamespace(read_outcome=lambda: Outcome(state="failed", run_id="r", finished_at=NOW))
    monkeypatch.setattr(run_problem, "job_of", lambda *_: job)
    assert run_problem.ended_at("transcode", "r", {}) == NOW
    assert run_problem.ended_at("transcode", "other", {}) is None
    monkeypatch.setattr(run_problem, "job_of", lambda *_: None)
    assert run_problem.ended_at("upload", "r", {}) is None


def test_a_run_whose_outcome_cannot_be_read_is_told_of(
    told: list[tuple[str, float]], slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StorageError("The store is away.")

    monkeypatch.setattr(run_problem, "ended_at", away)
    assert watch(NOW - timedelta(seconds=40)) == "told"


def test_a_long_film_may_take_longer(told: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.settings.get_settings", lambda: settings(alert_lengths=2))
    monkeypatch.setattr(run_problem, "film_seconds", lambda *_: 3600.0)
    run = {"dag_id": "transcode", "dag_run_id": "r", "conf": {}}
    assert module._limit_by_length(run) == 7200
    monkeypatch.setattr(run_problem, "film_seconds", lambda *_: None)
    assert module._limit_by_length(run) == 0

    def not_planned(*_: Any) -> float:
        raise NotFound("There is no plan.")

    monkeypatch.setattr(run_problem, "film_seconds", not_planned)
    assert module._limit_by_length(run) == 0
