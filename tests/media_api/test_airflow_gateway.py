"""The gateway speaks Airflow's REST API; what Airflow itself answers is tested end to end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import pytest
from airflow.api_fastapi.common.cursors import encode_cursor
from airflow.api_fastapi.common.parameters import SortParam
from airflow.models.dagrun import DagRun

from include.errors import AccessDenied, InternalError, ParameterError
from include.media_api.airflow_gateway import InProcessGateway
from include.media_api.airflow_reads import AirflowReads
from include.media_api.gateway import RunPage, TaskState, in_name_of
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
    times = {"start_date": "2026-01-02T03:04:05.678Z", "end_date": None, "run_after": "2026-01-02T03:04:04Z"}
    return {"dag_id": "transcode", "dag_run_id": run_id, "state": "running", "conf": None} | times


def test_many_who_ask_for_the_same_at_once_share_a_read() -> None:
    class Reads(AirflowReads):
        asked: ClassVar[list[tuple[str, ...]]] = []

        def tasks(self, dag_id: str, run_ids: Collection[str]) -> dict[str, tuple[TaskState, ...]]:
            self.asked.append(tuple(sorted(run_ids)))
            return {run_id: (TaskState("plan", -1, "running"),) for run_id in run_ids}

    async def run() -> None:
        gateway = InProcessGateway("admin", transport=httpx.MockTransport(always(500)), reads=Reads())
        found = await asyncio.gather(*(gateway.tasks("transcode", [f"r{number % 3}"]) for number in range(30)))
        assert [set(one) for one in found] == [{f"r{number % 3}"} for number in range(30)]
        assert await gateway.tasks("transcode", []) == {}

    asyncio.run(run())
    assert Reads.asked == [("r0", "r1", "r2")]


def test_a_clear_is_no_dry_run() -> None:
    _, (asked,) = call(always(200, {}), lambda gateway: gateway.clear("transcode", "a/b"))
    assert asked.url.raw_path == b"/api/v2/dags/transcode/dagRuns/a%2Fb/clear"
    assert json.loads(asked.content) == {"dry_run": False}


def test_tasks_are_cleared_with_all_that_follow_them() -> None:
    failed = [("encode", 3), ("plan", -1)]
    _, (asked,) = call(always(200, {}), lambda gateway: gateway.clear_tasks("transcode", "r", failed))
    assert asked.url.raw_path == b"/api/v2/dags/transcode/clearTaskInstances"
    body = {"dry_run": False, "dag_run_id": "r", "task_ids": [["encode", 3], "plan"], "only_failed": False}
    assert json.loads(asked.content) == body | {"include_downstream": True}


def test_what_is_done_in_the_name_of_a_user_bears_their_token() -> None:
    with in_name_of("ada's"):
        _, (asked,) = call(always(200, {}), lambda gateway: gateway.stop("transcode", "r"))
    assert asked.headers["authorization"] == "Bearer ada's"
    with in_name_of("vera's"), pytest.raises(AccessDenied):
        call(always(403, {}), lambda gateway: gateway.stop("transcode", "r"))
    _, (asked,) = call(always(200, {}), lambda gateway: gateway.stop("transcode", "r"))
    assert asked.headers["authorization"] == "Bearer token-of-admin"


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
        call(answer, lambda gateway: gateway.page("task-"))


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
    page, (asked,) = call(always(200, {"dag_runs": [], "next_cursor": None}), lambda gateway: gateway.page("t", cursor="kSo"))
    assert (page, asked.url.params["cursor"]) == (RunPage(()), "kSo")
    with pytest.raises(ParameterError, match="cursor"):
        call(always(400, {}), lambda gateway: gateway.page("t", cursor="kSo"))


@pytest.mark.parametrize("number", [1, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1])
def test_what_airflow_gives_out_is_taken(number: int) -> None:
    order = SortParam(["id"], DagRun).set_value(["-id"])
    cursor = encode_cursor(SimpleNamespace(id=number), order)
    _, (asked,) = call(always(200, {"dag_runs": []}), lambda gateway: gateway.page("t", cursor=cursor))
    assert asked.url.params["cursor"] == cursor


@pytest.mark.parametrize(
    "cursor",
    ["kc-AAAAAAAAAAA", "kYGhYQE", "kZGheA", "kcM", "kcA", "kaNhYmM", "kQA", "kf8", "kgEC", "kc6AAAAA", "~kSo", "kSo=", "kS", "é"],
    ids=[
        "a number of 64 bits",
        "a table",
        "a list",
        "a truth",
        "nothing",
        "text",
        "zero",
        "below zero",
        "two",
        "a number of 32 bits",
        "backwards",
        "padded",
        "no base64",
        "no ASCII",
    ],
)
def test_what_airflow_would_hand_to_its_database_though_it_is_no_id_is_refused(cursor: str) -> None:
    def unasked(_: httpx.Request) -> httpx.Response:
        raise AssertionError("Airflow was asked")

    with pytest.raises(ParameterError, match="cursor: is none that this API has given out"):
        call(unasked, lambda gateway: gateway.page("t", cursor=cursor))


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
