"""The Python client against the app that it is for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from include.client import ApiError, Client, Key, SignedRequests
from include.client.__main__ import main
from include.errors import TimedOut
from include.media_api.signing import check_sum, signature
from include.media_api.task_app import create_task_app
from include.settings import Settings
from tests.media_api.fakes import FakeAirflow, MemoryStore, MemoryTables
from tests.media_api.signed import KEYS

SOURCE, TARGETS = "s3://media/in/talk.mp4", ["s3://media/out/talk.mp4", "s3://media/out/again.mp4"]
PROFILE = {"profile_name": "mine", "encodings": [{"container": "mp4", "format": "h264", "bitrate": 800_000}]}
DEMO = Key("demo", *KEYS["demo"])


@pytest.fixture
def transport(
    settings: Settings, store: MemoryStore, airflow: FakeAirflow, tables: MemoryTables
) -> Iterator[httpx.BaseTransport]:
    """The way into an app that accepts the strong signature only."""
    store.add("in/talk.mp4")
    strict = settings.model_copy(update={"signing_strict": True})
    with TestClient(create_task_app(strict, store, airflow, tables)) as http:
        yield http._transport


@pytest.fixture
def client(transport: httpx.BaseTransport) -> Iterator[Client]:
    with Client("http://reelflow.example/", DEMO, transport=transport) as client:
        yield client


def test_a_task_is_created_queried_listed_and_stopped(client: Client) -> None:
    task_id = client.create(SOURCE, TARGETS)
    assert client.create(SOURCE, TARGETS) == task_id
    task = client.query(task_id)
    assert (task["source"]["source_url"], [target["target_url"] for target in task["targets"]]) == (SOURCE, TARGETS)
    assert [one["task_id"] for one in client.tasks()] == [task_id]
    assert client.delete(task_id)["task_status"] == "CANCELLED"
    assert list(client.tasks(status="RUNNING")) == []


def test_all_pages_of_a_list_are_asked_for(client: Client) -> None:
    ids = {client.create(SOURCE, [f"s3://media/out/{number}.mp4"]) for number in range(5)}
    assert {task["task_id"] for task in client.tasks(page=2)} == ids


def test_profiles_are_made_shown_listed_and_deleted(client: Client) -> None:
    assert client.create_profile(PROFILE)["own"] is True
    assert client.profile("mine")["encodings"][0]["bitrate"] == 800_000
    assert "mine" in {profile["profile_name"] for profile in client.profiles()}
    client.delete_profile("mine")
    with pytest.raises(ApiError, match="NoSuchProfile") as caught:
        client.profile("mine")
    assert caught.value.status == 404


def test_a_refusal_is_the_servers_own_words(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        client.create("s3://media/in/talk.mp4", ["ftp://a.example/b.mp4"])
    assert (caught.value.status, caught.value.code) == (400, "OutputNotSupported")


def test_a_wrong_key_is_refused(transport: httpx.BaseTransport) -> None:
    with Client("http://reelflow.example", Key("demo", "demo-public", "wrong"), transport=transport) as client:
        with pytest.raises(ApiError, match="AuthFailed") as caught:
            client.query("1")
        assert caught.value.status == 401


def test_what_the_client_signs_is_what_the_server_computes() -> None:
    headers = SignedRequests(DEMO, clock=lambda: 1_700_000_000.9).headers("POST", b"/api/v1/profile?a=%20b", b"{}")
    assert re.fullmatch("[0-9]{1,39}", headers["apiNonce"])
    assert headers["apiExecTime"] == "1700000000"
    assert headers["apiCheckSum"] == check_sum("demo-private", headers["apiNonce"], "demo", "1700000000")
    assert headers["apiSignature"] == signature("demo-private", "POST", "/api/v1/profile?a=%20b", b"{}", headers)
    assert "demo-private" not in repr(DEMO)


def test_waiting_outlives_a_server_that_restarts() -> None:
    answers: list[Any] = [
        httpx.ConnectError("restarting"),
        httpx.Response(503, json={"code": "InternalError", "message": "The table does not answer."}),
        httpx.Response(502, text="<html>Bad gateway</html>"),
        httpx.Response(200, json={"task_id": "3125", "task_status": "RUNNING", "progress": 41}),
        httpx.Response(200, json={"task_id": "3125", "task_status": "SUCCESS", "progress": 100}),
    ]
    nonces = set()

    def answer(request: httpx.Request) -> httpx.Response:
        nonces.add(request.headers["apiNonce"])
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    seen: list[int] = []
    with Client("http://reelflow.example", DEMO, transport=httpx.MockTransport(answer)) as client:
        task = client.wait("3125", poll=0.001, on_status=lambda status: seen.append(status["progress"]))
    assert (task["task_status"], seen, len(nonces)) == ("SUCCESS", [41, 100], 5)


def test_waiting_has_an_end(client: Client) -> None:
    task_id = client.create(SOURCE, TARGETS)
    began = time.monotonic()
    with pytest.raises(TimedOut, match=task_id):
        client.wait(task_id, timeout=0.05, poll=0.02)
    assert time.monotonic() - began < 5
    with pytest.raises(ApiError, match="NoSuchTask"):
        client.wait("7", poll=0.01)


# -- the command line


@pytest.fixture
def command(transport: httpx.BaseTransport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command; returns its exit code, the documents it printed and what it said besides."""
    monkeypatch.setenv("REELFLOW_KEY", "demo:demo-public:demo-private")

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        code = main(arguments, transport=transport)
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


def test_the_command_line_does_what_the_client_does(command: Any, tmp_path: Path) -> None:
    code, (task,), _ = command("create", SOURCE, *TARGETS, "--profile", "video_mp4_640x360_800kbps")
    assert (code, task["task_status"], task["profile_name"]) == (0, "PENDING", "video_mp4_640x360_800kbps")
    assert command("query", task["task_id"])[1] == [task]
    assert command("list")[1] == [task]
    code, (stopped,), _ = command("delete", task["task_id"])
    assert (code, stopped["task_status"]) == (0, "CANCELLED")
    code, (waited,), told = command("wait", task["task_id"])
    assert (code, waited["task_status"]) == (1, "CANCELLED")
    assert f"{task['task_id']} CANCELLED" in told
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(PROFILE))
    assert command("create-profile", str(file))[0] == 0
    assert command("profile", "mine")[1][0]["own"] is True
    assert "mine" in {profile["profile_name"] for profile in command("profiles")[1]}
    assert command("delete-profile", "mine")[0] == 0


def test_the_command_line_ends_with_a_code_and_a_reason(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, documents, told = command("query", "7")
    assert (code, documents) == (1, [])
    assert told.startswith("NoSuchTask: ")
    code, (task,), _ = command("create", SOURCE, *TARGETS)
    assert command("wait", task["task_id"], "--timeout", "0.01")[0] == 1
    monkeypatch.setenv("REELFLOW_KEY", "demo")
    code, _, told = command("list")
    assert (code, told) == (2, "REELFLOW_KEY: a key is written as clientCode:publicKey:privateKey\n")


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setenv("REELFLOW_KEY", "demo:demo-public:demo-private")
    monkeypatch.setenv("REELFLOW_URL", "http://reelflow.example")
    assert main(["list"], transport=httpx.MockTransport(nobody)) == 1
    assert "http://reelflow.example does not answer: ConnectError" in capsys.readouterr().err
