"""The gateway speaks Airflow's REST API; what Airflow itself answers is tested end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from include.errors import InternalError, ParameterError
from include.media_api.airflow_gateway import InProcessGateway
from include.media_api.gateway import Run, RunPage, TaskState
from include.media_api.own_loop import OwnLoopTransport

Answer = Callable[[httpx.Request], httpx.Response]


def call(answer: Answer, use: Callable[[InProcessGateway], Coroutine[Any, Any, Any]]) -> tuple[Any, list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer(request)

    async def run() -> Any:
        return await use(InProcessGateway("admin", transport=httpx.MockTransport(handler), token=lambda user: f"token-of-{user}"))

    return asyncio.run(run()), asked


def always(status: int, content: Any = None) -> Answer:
    return lambda _: httpx.Response(status, json=content)


@pytest.mark.parametrize(("status", "created"), [(200, True), (409, False)])
def test_a_trigger_tells_whether_the_run_is_new(status: int, created: bool) -> None:
    result, (asked,) = call(always(status, {}), lambda gateway: gateway.trigger("transcode", "r 1", {"a": 1}, "n" * 2000))
    assert result is created
    assert (asked.method, asked.url.raw_path) == ("POST", b"/api/v2/dags/transcode/dagRuns")
    assert asked.headers["authorization"] == "Bearer token-of-admin"
    assert json.loads(asked.content) == {"dag_run_id": "r 1", "logical_date": None, "conf": {"a": 1}, "note": "n" * 1000}


def row(run_id: str) -> dict[str, Any]:
    times = {"start_date": "2026-01-02T03:04:05.678Z", "end_date": None}
    return {"dag_run_id": run_id, "state": "running", "conf": None} | times


def test_runs_are_asked_for_in_pages_of_what_airflow_lists_at_once() -> None:
    ids = [f"transcode__{number:020x}" for number in range(250)]

    def answer(request: httpx.Request) -> httpx.Response:
        wanted = request.url.params["run_id_prefix_pattern"].split("|")
        assert len(wanted) <= int(request.url.params["limit"]) == 100
        return httpx.Response(200, json={"dag_runs": [row(run_id) for run_id in [*wanted, f"{wanted[0]}-another"]]})

    runs, asked = call(answer, lambda gateway: gateway.runs("transcode", ids))
    assert sorted(runs) == ids
    assert len(asked) == 3
    run: Run = runs[ids[0]]
    assert (run.state, run.conf, run.is_finished) == ("running", {}, False)
    assert run.start_date is not None
    assert run.start_date.isoformat() == "2026-01-02T03:04:05.678000+00:00"


def test_nothing_is_asked_for_no_runs() -> None:
    for use in (lambda gateway: gateway.runs("transcode", []), lambda gateway: gateway.tasks("transcode", [])):
        assert call(always(500), use) == ({}, [])


def task(run_id: str, task_id: str, map_index: int, state: str | None) -> dict[str, Any]:
    return {"dag_id": "transcode", "dag_run_id": run_id, "task_id": task_id, "map_index": map_index, "state": state}


@pytest.mark.parametrize(
    ("kept", "progress"),
    [
        ({"done": 1, "total": 4, "unit": "frames", "fps": 3.5, "fraction": 0.25}, 0.25),
        (json.dumps({"done": 3, "total": 4, "unit": "seconds", "fraction": 0.75}), 0.75),
        ({"fraction": 1.25}, 1.0),
        ({"done": 1, "total": 4}, 0.0),
        ({"fraction": "x"}, 0.0),
        ("no json", 0.0),
        ([1], 0.0),
        (None, 0.0),
    ],
    ids=str,
)
def test_the_progress_of_tasks_at_work_is_read_from_their_state_store(kept: Any, progress: float) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/dagRuns/~/taskInstances"):
            rows = [task("r", "plan", -1, "success"), task("r", "encode", 0, "running"), task("q", "plan", -1, None)]
            rows.append(task("r-another", "plan", -1, "running"))
            return httpx.Response(200, json={"task_instances": rows})
        assert request.url.path == "/api/v2/dags/transcode/dagRuns/r/taskInstances/encode/state-store/progress"
        assert request.url.params["map_index"] == "0"
        return httpx.Response(404, json={}) if kept is None else httpx.Response(200, json={"value": kept})

    tasks, asked = call(answer, lambda gateway: gateway.tasks("transcode", ["r", "q"]))
    assert tasks == {
        "r": (TaskState("plan", -1, "success"), TaskState("encode", 0, "running", progress)),
        "q": (TaskState("plan", -1, None),),
    }
    assert len(asked) == 2


def test_the_progress_of_a_task_that_waits_for_a_job_is_its_xcom() -> None:
    """The triggerer can write no task state."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/dagRuns/~/taskInstances"):
            return httpx.Response(200, json={"task_instances": [task("r", "upscale", 2, "deferred")]})
        assert request.url.path == "/api/v2/dags/transcode/dagRuns/r/taskInstances/upscale/xcomEntries/progress"
        assert request.url.params["map_index"] == "2"
        return httpx.Response(200, json={"value": {"phase": "upscale", "done": 30, "fraction": 0.5, "fps": 4.0}})

    tasks, _ = call(answer, lambda gateway: gateway.tasks("transcode", ["r"]))
    (state,) = tasks["r"]
    assert (state.state, state.progress, state.event["done"]) == ("deferred", 0.5, 30)


def test_tasks_are_read_page_by_page() -> None:
    rows = [task("r", "encode", index, "success") for index in range(230)]

    def answer(request: httpx.Request) -> httpx.Response:
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        return httpx.Response(200, json={"task_instances": rows[offset:][: min(limit, 100)]})

    tasks, asked = call(answer, lambda gateway: gateway.tasks("transcode", ["r"]))
    assert [state.map_index for state in tasks["r"]] == list(range(230))
    assert len(asked) == 3


def test_reading_never_posts() -> None:
    """A POST is written to Airflow's audit log, on its event loop."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"dag_runs": [], "task_instances": []})

    for use in (lambda gateway: gateway.runs("t", ["r"]), lambda gateway: gateway.tasks("t", ["r"])):
        assert {request.method for request in call(answer, use)[1]} == {"GET"}


def test_a_clear_is_no_dry_run() -> None:
    _, (asked,) = call(always(200, {}), lambda gateway: gateway.clear("transcode", "a/b"))
    assert asked.url.raw_path == b"/api/v2/dags/transcode/dagRuns/a%2Fb/clear"
    assert json.loads(asked.content) == {"dry_run": False}


@pytest.mark.parametrize("status", [204, 404])
def test_deleting_what_is_gone_is_no_error(status: int) -> None:
    _, (asked,) = call(always(status), lambda gateway: gateway.delete("transcode", "r"))
    assert asked.method == "DELETE"


def test_a_locked_database_is_waited_for() -> None:
    answers = iter([500, 503, 200])
    created, asked = call(lambda _: httpx.Response(next(answers), json={}), lambda gateway: gateway.trigger("t", "r", {}))
    assert created
    assert len(asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
def test_what_airflow_refuses_is_told_without_its_words(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InternalError) as refused:
        call(always(status, {"detail": "insides of Airflow"}), lambda gateway: gateway.trigger("t", "r", {}))
    assert "insides" not in refused.value.message
    assert "insides" in caplog.text
    assert "token-of" not in caplog.text


def test_an_airflow_that_does_not_answer_is_an_internal_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(InternalError, match="does not answer"):
        call(answer, lambda gateway: gateway.runs("t", ["r"]))


def test_runs_of_any_dag_are_listed_newest_first() -> None:
    rows = [row("task-ab-2"), row("task-ab-1")]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v2/dags/~/dagRuns"
        return httpx.Response(200, json={"dag_runs": rows, "next_cursor": "more"})

    page, (asked,) = call(answer, lambda gateway: gateway.page("task-ab-", states={"running", "queued"}, limit=2))
    assert [run.run_id for run in page.runs] == ["task-ab-2", "task-ab-1"]
    assert page.cursor == "more"
    assert asked.url.params.multi_items() == [
        ("run_id_prefix_pattern", "task-ab-"),
        ("limit", "2"),
        ("order_by", "-id"),
        ("cursor", ""),
        ("state", "queued"),
        ("state", "running"),
    ]


def test_the_last_page_has_no_cursor_and_a_wrong_one_is_the_callers() -> None:
    page, (asked,) = call(always(200, {"dag_runs": [], "next_cursor": None}), lambda gateway: gateway.page("t", cursor="abc"))
    assert (page, asked.url.params["cursor"]) == (RunPage(()), "abc")
    with pytest.raises(ParameterError, match="cursor"):
        call(always(400, {}), lambda gateway: gateway.page("t", cursor="abc"))


@pytest.mark.parametrize("status", [200, 404])
def test_a_run_is_stopped_by_failing_it(status: int) -> None:
    _, (asked,) = call(always(status, {}), lambda gateway: gateway.stop("live", "task-ab-1"))
    assert (asked.method, asked.url.path) == ("PATCH", "/api/v2/dags/live/dagRuns/task-ab-1")
    assert json.loads(asked.content) == {"state": "failed"}


def test_a_call_that_hangs_is_given_up_and_leaves_room_for_the_next() -> None:
    left: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not left:
            try:
                await asyncio.sleep(60)
            finally:
                left.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        transport = OwnLoopTransport(lambda: app)
        gateway = InProcessGateway("admin", transport=transport, token=lambda user: "token", seconds=0.1)
        with pytest.raises(InternalError, match="does not answer"):
            await gateway.delete("d", "first")
        # There is room for one that writes.
        await gateway.delete("d", "second")
        await transport.aclose()

    asyncio.run(run())
    assert left == ["/api/v2/dags/d/dagRuns/first"], "the app was told to stop"
