"""Nobody without Airflow's login, nothing changed by another site's page, nothing beyond what Airflow lets a user do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Mount

from include.media_api.upload_service import UploadService
from include.media_pages.app import STATIC
from tests.media_api.fakes import FakeAirflow
from tests.media_api.test_access import routes_of
from tests.media_pages.fakes import FakeLogin, person
from tests.uploads.memory import an_upload

SIGNED_OUT = {"message": "Log in to Airflow first."}
RUN = {"bucket": "media", "source_key": "in/a.mp4", "folder": "out/a/", "name": "a"}
JOB = "/media/data/jobs/transcode/r1"
Site = Callable[[str | None], TestClient]


@pytest.fixture(autouse=True)
def run(airflow: FakeAirflow) -> None:
    asyncio.run(airflow.trigger("transcode", "r1", RUN))
    airflow.calls.clear()


def paths(app: FastAPI) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        if not isinstance(route, Mount):
            yield from routes_of([route])
        elif route.path == "/static":
            yield from (("GET", f"/static/{file.relative_to(STATIC)}") for file in STATIC.rglob("*") if file.is_file())
        else:
            yield from routes_of(list(mounted(route.app).routes), route.path)


def mounted(app: Any) -> FastAPI:
    while not isinstance(app, FastAPI):
        app = app._app
    return app


def test_no_route_and_no_asset_answers_without_the_login(app: FastAPI, anonymous: TestClient, airflow: FakeAirflow) -> None:
    walked = [(method, re.sub(r"{\w+(:\w+)?}", "x", path)) for method, path in paths(app)]
    for known in [
        ("GET", "/"), ("GET", "/jobs/x/x"), ("GET", "/upload"), ("GET", "/new"), ("GET", "/static/css/base.css"),
        ("GET", "/data/me"), ("GET", "/data/jobs"), ("GET", "/data/jobs/x/x"),
        ("POST", "/data/jobs/x/x/stop"), ("POST", "/data/jobs/x/x/retry"),
        ("GET", "/data/jobs/x/x/hls/x"), ("GET", "/data/forms"), ("POST", "/prod/videoTranscode"), ("POST", "/prod/"),
        ("POST", "/api2/atom/x/uploads"), ("GET", "/api2/docs"), ("GET", "/static/js/upload/uploader.js"),
    ]:  # fmt: skip
        assert known in walked
    for method, path in [
        *walked,
        ("GET", "/nothing"),
        ("POST", "/"),
        ("OPTIONS", "/data/me"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    ]:
        answer = anonymous.request(method, f"/media{path}")
        assert answer.status_code == 401, (method, path)
        assert method == "HEAD" or answer.json() == SIGNED_OUT
    assert airflow.calls == []


@pytest.mark.parametrize("path", ["/", "/jobs/transcode/r1", "/upload?atom=a", "/nothing"])
def test_a_browser_that_opens_a_page_is_led_to_the_login_and_back(anonymous: TestClient, path: str) -> None:
    answer = anonymous.get(f"/media{path}", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 303
    back = path.replace("/", "%2F").replace("?", "%3F").replace("=", "%3D")
    assert answer.headers["location"] == f"/auth/login?next=%2Fmedia{back}"


def test_a_cookie_of_nobody_and_a_key_of_the_apis_are_no_login(client_of: Site) -> None:
    assert client_of("nobody").get("/media/data/me").status_code == 401
    assert client_of(None).get("/media/data/me", headers={"x-api-key": "k"}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"x-reelflow": ""},
        {"x-reelflow": "0"},
        {"x-reelflow": "1", "sec-fetch-site": "cross-site"},
        {"x-reelflow": "1", "sec-fetch-site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{JOB}/stop"),
        ("POST", f"{JOB}/retry"),
        ("POST", "/media/prod/videoTranscode"),
        ("DELETE", "/media/api2/atom/a/uploads/u"),
    ],
)
def test_another_sites_page_changes_nothing(
    ada: TestClient, airflow: FakeAirflow, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = ada.request(method, path, headers=headers, json={})
    assert (answer.status_code, answer.json()) == (403, {"message": "This request did not come from a page of Reelflow."})
    assert airflow.calls == []


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_pages_do(ada: TestClient, site: str) -> None:
    assert ada.post(f"{JOB}/stop", headers={"sec-fetch-site": site}).status_code == 202


def test_no_other_origin_is_answered_what_it_asks_before(ada: TestClient) -> None:
    asked = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-reelflow",
    }
    for path in (f"{JOB}/stop", "/media/prod/videoTranscode", "/media/api2/atom/a/uploads"):
        answer = ada.options(path, headers=asked)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/static/css/base.css", "/data/me", "/nothing", "/prod/openapi.json"])
def test_every_answer_bears_the_headers_of_security(ada: TestClient, anonymous: TestClient, path: str) -> None:
    for client in (ada, anonymous):
        headers = client.get(f"/media{path}").headers
        policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"
        assert policy["img-src"] == policy["media-src"] == policy["connect-src"] == "'self' http://s3.example:9000"
        assert headers["x-content-type-options"] == "nosniff"


def test_data_are_kept_by_no_browser_and_assets_are_asked_about(ada: TestClient) -> None:
    assert ada.get("/media/data/me").headers["cache-control"] == "no-store"
    first = ada.get("/media/static/css/base.css")
    assert first.headers["cache-control"] == "private, no-cache"
    assert ada.get("/media/static/css/base.css", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    assert ada.get("/media/static/js/upload/uploader.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"])
def test_nothing_beside_the_assets_is_served(ada: TestClient, path: str) -> None:
    assert ada.get(f"/media{path}").status_code == 404


def test_who_may_only_look_changes_nothing(vera: TestClient, airflow: FakeAirflow) -> None:
    assert vera.get("/media/data/me").json() == {"user": "vera", "can_start": False, "can_change": False}
    (job,) = vera.get("/media/data/jobs").json()["jobs"]
    assert (job["can_stop"], job["can_retry"]) == (False, False)
    detail = vera.get(JOB).json()
    assert (detail["can_stop"], detail["can_retry"]) == (False, False)
    airflow.calls.clear()
    for action in ("stop", "retry"):
        answer = vera.post(f"{JOB}/{action}")
        assert (answer.status_code, list(answer.json())) == (403, ["message"])
    uploads = "/media/api2/atom/a/uploads"
    for method, path in [
        ("POST", "/media/prod/videoTranscode"), ("POST", "/media/prod/"), ("POST", uploads),
        ("POST", f"{uploads}/u/credentials"), ("GET", f"{uploads}/u/parts/0/url"),
    ]:  # fmt: skip
        answer = vera.request(method, path, json={})
        assert (answer.status_code, answer.json()) == (403, {"message": "Airflow does not let you start this."}), path
    answer = vera.delete(f"{uploads}/u")
    assert (answer.status_code, answer.json()) == (403, {"message": "Airflow does not let you change these runs."})
    assert {name for name, _ in airflow.calls} <= {"runs"}
    assert vera.get(uploads).status_code == 404


def test_who_may_see_no_run_sees_none(client_of: Site, airflow: FakeAirflow) -> None:
    nora = client_of("nora")
    assert nora.get("/media/data/jobs").json() == {"jobs": [], "next": None}
    assert nora.get(JOB).status_code == nora.get(f"{JOB}/hls/a.m3u8").status_code == nora.post(f"{JOB}/stop").status_code == 404
    assert nora.get("/media/prod/videoTranscode/transcode__0").status_code == 403
    assert airflow.count("find") == 0


def test_a_user_sees_the_dags_that_airflow_lets_them_see(client_of: Site, login: FakeLogin, airflow: FakeAirflow) -> None:
    login.people["ulla"] = person("ulla", dags=("upload",))
    asyncio.run(airflow.trigger("upload", "upload__1", {"atom_id": "a", "upload_id": "1", "client": "c", "filename": "a.mov"}))
    ulla = client_of("ulla")
    assert [job["title"] for job in ulla.get("/media/data/jobs").json()["jobs"]] == ["a.mov"]
    assert ulla.get(JOB).status_code == 404
    assert ulla.post("/media/prod/videoTranscode", json={}).status_code == 403
    assert ulla.post("/media/api2/atom/a/uploads", json={}).status_code == 400


def test_every_path_of_a_contract_wants_the_rights_to_its_own_runs(client_of: Site, login: FakeLogin) -> None:
    login.people["sue"] = person("sue", dags=("super_resolution",))
    login.people["tom"] = person("tom", dags=("transcode", "video_transcode"))
    sue, tom = client_of("sue"), client_of("tom")
    upscaling, transcoding = "/media/prod/superResolution/x", "/media/prod/videoTranscode/x"
    assert (sue.get(upscaling).status_code, tom.get(upscaling).status_code) == (404, 403)
    assert (sue.get(transcoding).status_code, tom.get(transcoding).status_code) == (403, 404)
    assert (sue.post("/media/prod/", json={}).status_code, tom.post("/media/prod/", json={}).status_code) == (400, 403)


def test_paths_that_no_right_is_known_of_are_refused(ada: TestClient) -> None:
    for path in ("/prod/nothing", "/prod/videoTranscodes", "/api2/nothing", "/api2/"):
        assert ada.get(f"/media{path}").status_code == 403, path


def test_who_may_start_uploads_but_not_change_them_ends_none(
    client_of: Site, login: FakeLogin, uploads: UploadService, airflow: FakeAirflow
) -> None:
    login.people["sam"] = person("sam", "read", "start", dags=("upload",))
    upload = an_upload(uploads.uploads, "a", client="operators")
    answer = client_of("sam").delete(f"/media/api2/atom/a/uploads/{upload.id}")
    assert answer.status_code == 403
    assert uploads.uploads.read("a", upload.id).outcome.state == "running"
    assert airflow.count("stop") == 0


def test_a_detail_that_was_read_for_one_bears_the_others_rights(ada: TestClient, vera: TestClient, airflow: FakeAirflow) -> None:
    assert ada.get(JOB).json()["can_stop"] is True
    assert vera.get(JOB).json()["can_stop"] is False
    assert airflow.count("runs") == 1


def test_what_is_started_bears_the_name_of_the_user(ada: TestClient, airflow: FakeAirflow, store: Any) -> None:
    store.add("in/b.mp4")
    body = {"bucket": "media", "src": "in/b.mp4", "dst": "out/", "time": "1", "type": "mp4", "testflag": "no"}
    answer = ada.post("/media/prod/videoTranscode", json=body)
    assert answer.status_code == 200, answer.text
    assert airflow.tokens[-1] == "token-of-ada"
    run = airflow.dag_runs["transcode", answer.json()["run_id"]]
    assert run.conf["client"] == "operators"
    assert ada.get("/media/data/forms").status_code == 200
    assert "/media/prod/videoTranscode/" in answer.json()["status_url"]
