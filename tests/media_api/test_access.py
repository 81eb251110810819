"""Keys, and errors in the contracts' shape."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import BaseRoute, Mount, Route

from include.errors import InternalError
from include.media_api.app import create_app
from include.media_api.signing import REFUSAL
from include.settings import Settings
from tests.media_api.conftest import KEYS, body
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.media_api.signed import Caller

FORBIDDEN = {"message": "Forbidden"}
SUBMIT = "/prod/videoTranscode"


def routes_of(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, Mount):
            yield from routes_of(list(route.routes), path)
        elif isinstance(route, Route):
            yield from ((method, re.sub(r"{\w+(:\w+)?}", "x", path)) for method in sorted(route.methods or ()))
        elif inner := getattr(getattr(route, "original_router", None), "routes", None):
            yield from routes_of(list(inner), path)
        else:
            raise AssertionError(f"cannot tell how {route!r} is protected")


def test_no_route_of_the_app_answers_without_a_key(app: FastAPI, anonymous: TestClient) -> None:
    routes = list(routes_of(list(app.routes)))
    assert ("POST", "/videoTranscode") in routes
    assert ("GET", "/videoTranscode/x") in routes
    assert ("POST", "/") in routes
    assert ("GET", "/superResolution/x") in routes
    assert ("GET", "/docs") in routes
    assert ("GET", "/openapi.json") in routes
    for method, path in routes:
        answer = anonymous.request(method, f"/prod{path}")
        assert answer.status_code == 403, (method, path)
        assert method == "HEAD" or answer.json() == FORBIDDEN


def test_no_route_of_contract_3_answers_without_a_signature(task_app: FastAPI, unsigned: TestClient) -> None:
    routes = list(routes_of(list(task_app.routes)))
    expected = {("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x"), ("GET", "/openapi.json")}
    assert {(method, f"/api/vx/task/transcoding{rest}") for method, rest in expected} <= set(routes)
    assert {("GET", "/api/vx/profiles"), ("POST", "/api/vx/profile")} <= set(routes)
    assert {("GET", "/api/vx/profile/x"), ("DELETE", "/api/vx/profile/x")} <= set(routes)
    for method, path in routes:
        for headers in ({}, {"x-api-key": KEYS["ott"]}, {"authorization": "Bearer x"}):
            answer = unsigned.request(method, path.replace("/vx/", "/v1/"), headers=headers)
            assert answer.status_code == 401, (method, path)
            assert method == "HEAD" or answer.json() == REFUSAL


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize(
    "path", ["/api/v1/profiles", "/api/v1/profiles/", "/api/v1/task/transcoding/x/y", "/docs", "/openapi.json", "/"]
)
def test_unknown_paths_and_methods_of_contract_3_answer_the_same_without_a_signature(
    unsigned: TestClient, method: str, path: str
) -> None:
    assert unsigned.request(method, path).status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/prod/", "/prod/nothing", SUBMIT, "/prod/redoc", "/prod/docs/oauth2-redirect", "/prod//docs"])
def test_unknown_paths_and_methods_answer_the_same_without_a_key(anonymous: TestClient, method: str, path: str) -> None:
    assert anonymous.request(method, path).status_code == 403


@pytest.mark.parametrize(
    "key",
    ["", "wrong", KEYS["ott"][:-1], KEYS["ott"] + "x", KEYS["ott"].upper(), "ott", f"ott:{KEYS['ott']}", f"Bearer {KEYS['ott']}"],
)
def test_a_wrong_key_is_forbidden(anonymous: TestClient, key: str) -> None:
    answer = anonymous.post(SUBMIT, json=body(), headers={"x-api-key": key})
    assert (answer.status_code, answer.json()) == (403, FORBIDDEN)


def test_two_keys_at_once_are_forbidden(anonymous: TestClient) -> None:
    answer = anonymous.post(SUBMIT, json=body(), headers=[("x-api-key", KEYS["ott"]), ("x-api-key", KEYS["other"])])
    assert (answer.status_code, answer.json()) == (403, FORBIDDEN)


def test_a_key_that_is_no_text_is_forbidden(anonymous: TestClient) -> None:
    answer = anonymous.post(SUBMIT, json=body(), headers={b"x-api-key": "ключ".encode()})
    assert (answer.status_code, answer.json()) == (403, FORBIDDEN)


def test_the_key_is_looked_at_before_the_body(anonymous: TestClient) -> None:
    for content in (b"{", b"[" * 100_000, b"x" * 2_000_000):
        answer = anonymous.post(SUBMIT, content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()) == (403, FORBIDDEN)


def test_the_key_is_no_query_parameter(anonymous: TestClient) -> None:
    assert anonymous.get(f"/prod/openapi.json?x-api-key={KEYS['ott']}").status_code == 403


def test_an_app_without_clients_is_closed(store: MemoryStore, airflow: FakeAirflow) -> None:
    closed = TestClient(create_app(Settings(_env_file=None), store, airflow))  # type: ignore[call-arg]
    for headers in ({}, {"x-api-key": ""}, {"x-api-key": "None"}):
        assert closed.get("/docs", headers=headers).status_code == 403


def test_two_clients_with_one_key_are_a_mistake(store: MemoryStore, airflow: FakeAirflow) -> None:
    with pytest.raises(ValueError, match="same key") as refused:
        create_app(Settings(_env_file=None, api_keys="a:shared-key,b:shared-key"), store, airflow)  # type: ignore[call-arg,arg-type]
    assert "shared-key" not in str(refused.value)


def test_keys_are_not_logged(client: TestClient, airflow: FakeAirflow, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    airflow.error = RuntimeError("boom")
    client.post(SUBMIT, json=body(src="in/a.mp4"))
    client.post(SUBMIT, json=body(), headers={"x-api-key": "wrong-key"})
    for key in (*KEYS.values(), "wrong-key"):
        assert key not in caplog.text


def test_the_documentation_tells_of_the_contract_and_its_key(client: TestClient) -> None:
    document = client.get("/prod/openapi.json").json()
    assert document["servers"] == [{"url": "/prod"}]
    operation = document["paths"]["/videoTranscode"]["post"]
    assert {"APIKeyHeader": []} in operation["security"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) == {"bucket", "src", "dst", "time", "type"}
    assert all("description" in field for field in schema["properties"].values())
    assert "progress" in json.dumps(document["components"]["schemas"]["Video"])
    assert "/videoTranscode" in client.get("/prod/docs").text


def test_the_description_of_contract_3_tells_of_its_signature(demo: Caller) -> None:
    document = demo("GET", "/api/v7/task/transcoding/openapi.json").json()
    headers = ["apiPublicKey", "apiNonce", "apiClientCode", "apiExecTime", "apiCheckSum"]
    assert [list(alternative) for alternative in document["security"]] == [headers, [*headers, "apiSignature"]]
    assert set(document["components"]["securitySchemes"]) == {*headers, "apiSignature"}
    text = json.dumps(document)
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= set(document["components"]["schemas"])
    for name, schema in document["components"]["schemas"].items():
        for field, about in schema.get("properties", {}).items():
            assert "description" in about or "$ref" in about or "items" in about, (name, field)
    statuses = [set(operation["responses"]) for path in document["paths"].values() for operation in path.values()]
    assert all({"200", "401", "500", "503"} <= answers for answers in statuses)
    assert not any("422" in answers for answers in statuses)


# -- errors


@pytest.mark.parametrize("field", ["bucket", "src", "dst", "time", "type"])
def test_a_missing_field_is_named(client: TestClient, field: str) -> None:
    sent = body()
    del sent[field]
    answer = client.post(SUBMIT, json=sent)
    assert (answer.status_code, answer.json()) == (400, {"message": f"{field}: is required"})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"src": ""}, "src"),
        ({"src": "/"}, "src"),
        ({"src": "in/a.mov"}, "src"),
        ({"src": "in"}, "src"),
        ({"dst": "out"}, "dst"),
        ({"dst": ""}, "dst"),
        ({"time": "a b"}, "time"),
        ({"type": "hls"}, "type"),
        ({"v_bitrate": "fast"}, "v_bitrate"),
        ({"v_height": 360}, "v_height"),
        ({"bucket": 7}, "bucket"),
        ({"contentprovider": []}, "contentprovider"),
        ({"src": "_reelflow/jobs/"}, "src"),
        ({"dst": "_reelflow/"}, "dst"),
        ({"dst": "incoming/transcode/"}, "dst"),
        ({"dst": "incoming/super_resolution/a/"}, "dst"),
    ],
    ids=str,
)
@pytest.mark.parametrize("testflag", ["no", "test"])
def test_a_wrong_field_is_named(client: TestClient, changes: dict[str, Any], field: str, testflag: str) -> None:
    answer = client.post(SUBMIT, json=body(testflag=testflag) | changes)
    assert answer.status_code == 400
    assert set(answer.json()) == {"message"}
    assert answer.json()["message"].startswith(f"{field}: ")


def test_all_wrong_fields_are_named_at_once(client: TestClient) -> None:
    message = client.post(SUBMIT, json=body(dst="x", type="y")).json()["message"]
    assert "dst: " in message
    assert "type: " in message


@pytest.mark.parametrize("bucket", ["nowhere", "secret", ".."])
def test_a_bucket_that_is_unknown_or_not_allowed_is_not_found(client: TestClient, bucket: str) -> None:
    answer = client.post(SUBMIT, json=body(bucket=bucket))
    assert answer.status_code == 404
    assert answer.json()["message"].startswith("bucket: ")


def test_a_folder_of_too_many_files_names_the_cap(client: TestClient, store: MemoryStore) -> None:
    store.add(*(f"in/{number}.mp4" for number in range(401)))
    answer = client.post(SUBMIT, json=body())
    assert answer.status_code == 400
    assert "400 files" in answer.json()["message"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"NaN",
        b"<xml/>",
        b"bucket=media&src=in/",
        b'{"bucket":"media"',
        b"\xff\xfe{}",
        b"[" * 200_000,
        b'{"a":' * 150_000,
        json.dumps(body()).encode()[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        json.dumps(body(src="in/\ud800/")).encode(),
        json.dumps(body(v_bitrate=7)).encode().replace(b"7", b"9" * 5000),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_body_that_is_no_json_object_of_the_contract_is_refused(client: TestClient, content: bytes) -> None:
    answer = client.post(SUBMIT, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"message"}
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
)
def test_json_is_json_whatever_its_content_type_says(client: TestClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert client.post(SUBMIT, content=json.dumps(body(testflag="test")).encode(), headers=headers).status_code == 200


def test_a_body_that_is_too_large_is_refused_unread(client: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100_000

    answer = client.post(SUBMIT, content=endless())
    assert answer.status_code == 413
    assert "1048576" in answer.json()["message"]


def test_an_unknown_path_and_method_answer_in_the_contracts_shape(client: TestClient) -> None:
    missing, wrong = client.get("/prod/nothing"), client.put(SUBMIT, json={})
    assert (missing.status_code, missing.json()) == (404, {"message": "Not Found"})
    assert (wrong.status_code, wrong.json()) == (405, {"message": "Method Not Allowed"})


def test_an_error_of_airflow_is_told_without_its_insides(client: TestClient, airflow: FakeAirflow, store: MemoryStore) -> None:
    store.add("in/a.mp4")
    airflow.error = InternalError("Airflow does not answer; please try again.")
    answer = client.post(SUBMIT, json=body())
    assert (answer.status_code, answer.json()) == (500, {"message": "Airflow does not answer; please try again."})


def test_what_nobody_foresaw_is_json_with_an_id_that_the_log_has(
    client: TestClient, airflow: FakeAirflow, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.add("in/a.mp4")
    airflow.error = ZeroDivisionError("/etc/passwd")
    answer = client.post(SUBMIT, json=body())
    assert answer.status_code == 500
    message = answer.json()["message"]
    assert message.startswith("Internal error")
    assert "passwd" not in message
    assert message.split()[-1].rstrip(".") in caplog.text
