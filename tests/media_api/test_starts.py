"""Tasks are promised before Airflow has their runs, and the promise holds whoever of us dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.errors import InternalError, StorageError
from include.media_api import starts
from include.media_api.gateway import Run
from include.media_api.starts import Start
from include.media_api.task_app import create_task_app
from include.settings import Settings
from include.worker.callback import Callback
from tests.media_api.fakes import FakeAirflow, MemoryStore, MemoryTables
from tests.media_api.signed import TASKS, Caller, run_id

KEPT = "_reelflow/starts/"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(starts, "LOOK_SECONDS", 0.02)


@pytest.fixture
def busy(airflow: FakeAirflow) -> Iterator[FakeAirflow]:
    airflow.is_busy = True
    yield airflow
    airflow.is_busy = False


def kept(store: MemoryStore) -> list[str]:
    return [key for key in store.objects["media"] if key.startswith(KEPT)]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def failing(call: Callable[..., Any], wanted: Callable[[str], bool]) -> Callable[..., Any]:
    def put(bucket: str, key: str, *args: Any, **kwargs: Any) -> Any:
        if wanted(key):
            raise StorageError("The store does not answer.")
        return call(bucket, key, *args, **kwargs)

    return put


def has_run(airflow: FakeAirflow, task_id: str) -> bool:
    return ("transcode", run_id("demo", task_id)) in airflow.dag_runs


def test_an_airflow_that_is_quick_has_the_run_before_the_answer_and_nothing_is_kept(
    demo: Caller, airflow: FakeAirflow, store: MemoryStore
) -> None:
    task_id = demo.create().json()["task_id"]
    assert has_run(airflow, task_id)
    assert kept(store) == []


def test_a_client_does_not_wait_for_a_busy_airflow(demo: Caller, busy: FakeAirflow, store: MemoryStore) -> None:
    task_id = demo.create().json()["task_id"]
    assert not has_run(busy, task_id)
    assert kept(store) == [f"{KEPT}{run_id('demo', task_id)}.json"]
    told = demo.show(task_id)
    assert (told["task_status"], told["progress"]) == ("PENDING", 0)
    busy.is_busy = False
    eventually(lambda: has_run(busy, task_id))
    eventually(lambda: kept(store) == [])
    assert demo.show(task_id)["task_status"] == "PENDING"


def test_the_same_request_meanwhile_is_the_same_task_and_starts_once(demo: Caller, busy: FakeAirflow, store: MemoryStore) -> None:
    first = demo.create().json()["task_id"]
    assert demo.create(callback_url="https://client.example/told").json()["task_id"] == first
    assert busy.count("trigger") == 1
    [callback] = [value for key, value in store.objects["media"].items() if "/callbacks/" in key]
    assert Callback.model_validate_json(callback).url == "https://client.example/told"


def test_what_airflow_refuses_at_once_is_told_and_not_kept(demo: Caller, airflow: FakeAirflow, store: MemoryStore) -> None:
    airflow.error = InternalError("Airflow refused.")
    assert demo.create().status_code == 500
    assert kept(store) == []
    airflow.error = None
    time.sleep(0.1)
    assert airflow.dag_runs == {}


def test_what_was_promised_is_tried_until_it_succeeds(demo: Caller, busy: FakeAirflow, store: MemoryStore) -> None:
    task_id = demo.create().json()["task_id"]
    busy.error = InternalError("Airflow does not answer.")
    busy.is_busy = False
    eventually(lambda: busy.count("trigger") > 3)
    assert demo.show(task_id)["task_status"] == "PENDING"
    busy.error = None
    eventually(lambda: has_run(busy, task_id))
    eventually(lambda: kept(store) == [])


def test_one_that_was_asked_for_meanwhile_is_promised_as_much(demo: Caller, busy: FakeAirflow, store: MemoryStore) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "put_bytes", failing(store.put_bytes, lambda key: key.startswith(KEPT)))
        assert demo.create().status_code == 503
    task_id = demo.create().json()["task_id"]
    assert kept(store) == [f"{KEPT}{run_id('demo', task_id)}.json"]
    assert busy.count("trigger") == 1


def test_who_joins_a_start_that_fails_is_told_so_too(demo: Caller, busy: FakeAirflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "PATIENCE_SECONDS", 20)
    busy.error = InternalError("Airflow refused.")
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(demo.create) for _ in range(2)]
        eventually(lambda: busy.count("trigger") == 1 and busy.count("runs") >= 2)
        busy.is_busy = False
        assert [answer.result().status_code for answer in answers] == [500, 500]
    assert busy.dag_runs == {}


def test_clients_wait_where_too_many_are_promised(
    demo: Caller, busy: FakeAirflow, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "MOST_AT_WORK", 2)
    demo.create()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(demo.create, targets=["s3://media/out/other.mp4"])
        eventually(lambda: busy.count("trigger") == 2)
        time.sleep(0.3)
        assert not answer.done()
        busy.is_busy = False
        assert answer.result().status_code == 200
    eventually(lambda: kept(store) == [])


def test_a_list_does_not_wait_for_what_fails(demo: Caller, busy: FakeAirflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "FIRST_WAIT_SECONDS", 3600)
    demo.create()
    busy.error = OSError("Whatever it is.")
    busy.is_busy = False
    eventually(lambda: bool(demo.http.app.state.services.starts._failing))  # type: ignore[attr-defined]
    assert demo("GET", TASKS).json()["tasks"] == []


def test_what_is_kept_no_more_is_not_tried_any_more(demo: Caller, busy: FakeAirflow, store: MemoryStore) -> None:
    demo.create()
    busy.error = InternalError("There is no such DAG.")
    busy.is_busy = False
    eventually(lambda: busy.count("trigger") > 1)
    for key in kept(store):
        store.delete("media", key)
    eventually(lambda: not demo.http.app.state.services.starts._tasks)  # type: ignore[attr-defined]
    busy.error = None
    time.sleep(0.1)
    assert busy.dag_runs == {}


@contextmanager
def next_server(settings: Settings, store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables) -> Iterator[Caller]:
    """Another server, which looks after what the first one has left."""
    app = create_task_app(settings, store, airflow, tables)
    with TestClient(app, base_url="http://reelflow.example") as client:
        assert client.portal is not None
        client.portal.call(app.state.services.starts.look_after_others)
        yield Caller(client)


def test_what_an_earlier_process_has_promised_is_taken_over(
    settings: Settings, store: MemoryStore, tables: MemoryTables, busy: FakeAirflow
) -> None:
    with TestClient(create_task_app(settings, store, busy, tables), base_url="http://reelflow.example") as client:
        task_id = Caller(client).create().json()["task_id"]
    assert kept(store)
    busy.is_busy = False
    busy.calls.clear()
    done = Start(dag_id="transcode", run_id="task-0-1", conf={}, note="")
    busy.dag_runs["transcode", "task-0-1"] = Run("task-0-1", "success")
    store.add(f"{KEPT}task-0-1.json", data=done.model_dump_json().encode())
    store.add(f"{KEPT}damaged.json", data=b"{")
    with next_server(settings, store, busy, tables):
        eventually(lambda: has_run(busy, task_id))
        eventually(lambda: kept(store) == [f"{KEPT}damaged.json"])
    assert busy.count("trigger") == 1


def test_what_another_process_is_at_is_left_to_it_for_a_while(
    settings: Settings, store: MemoryStore, tables: MemoryTables, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "LOOK_SECONDS", 0.5)
    with next_server(settings, store, airflow, tables) as demo:
        eventually(lambda: store.calls["list"] == 1)
        task_id = demo.create().json()["task_id"]
        airflow.dag_runs.clear()
        run = run_id("demo", task_id)
        start = Start(dag_id="transcode", run_id=run, conf={}, note="")
        store.add(f"{KEPT}{run}.json", data=start.model_dump_json().encode())
        assert demo.show(task_id)["task_status"] == "PENDING"
        eventually(lambda: store.calls["list"] == 2)
        assert not has_run(airflow, task_id)
        eventually(lambda: has_run(airflow, task_id))
        eventually(lambda: kept(store) == [])


def test_a_callback_that_another_server_has_not_seen_is_heeded(demo: Caller, busy: FakeAirflow) -> None:
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(demo.create, callback_url="https://client.example/told")
        eventually(lambda: busy.count("trigger") == 1)
        [run] = [name for call, name in busy.calls if call == "trigger"]
        busy.dag_runs["transcode", run] = Run(run, "running")
        busy.is_busy = False
        assert answer.result().status_code == 200
    eventually(lambda: busy.count("restart_task") == 1)


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_task_that_is_about_to_start_can_be_stopped(demo: Caller, busy: FakeAirflow, store: MemoryStore, is_ours: bool) -> None:
    if not is_ours:
        busy.is_busy = False
    task_id = demo.create().json()["task_id"]
    if is_ours:
        threading.Timer(0.2, lambda: setattr(busy, "is_busy", False)).start()
    else:
        ((dag_id, run), _) = busy.dag_runs.popitem()
        start = Start(dag_id=dag_id, run_id=run, conf={}, note="")
        store.add(f"{KEPT}{run}.json", data=start.model_dump_json().encode())
    assert demo("DELETE", f"{TASKS}/{task_id}").json()["task_status"] == "CANCELLED"
    assert busy.dag_runs["transcode", run_id("demo", task_id)].state == "failed"


def test_one_that_does_not_start_cannot_be_stopped_and_the_client_is_told(
    demo: Caller, busy: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "SETTLE_SECONDS", 0.1)
    task_id = demo.create().json()["task_id"]
    answer = demo("DELETE", f"{TASKS}/{task_id}")
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")


def test_a_list_has_what_is_about_to_start(demo: Caller, busy: FakeAirflow) -> None:
    task_id = demo.create().json()["task_id"]
    threading.Timer(0.2, lambda: setattr(busy, "is_busy", False)).start()
    assert [task["task_id"] for task in demo("GET", TASKS).json()["tasks"]] == [task_id]


def test_what_an_earlier_task_of_this_id_has_come_to_says_nothing(demo: Caller, busy: FakeAirflow) -> None:
    """Its run was deleted, and the same is asked for again."""
    busy.is_busy = False
    task_id = demo.create().json()["task_id"]
    demo("DELETE", f"{TASKS}/{task_id}")
    busy.dag_runs.clear()
    busy.is_busy = True
    assert demo.create().json()["task_id"] == task_id
    assert demo.show(task_id)["task_status"] == "PENDING"
