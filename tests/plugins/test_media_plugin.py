"""The plugin as Airflow's API server loads it, in a process of its own: Airflow reads its configuration at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Its fixture takes most of the time: one worker makes it.
pytestmark = pytest.mark.xdist_group("plugin")

ROOT = Path(__file__).parents[2]
KEY = "plugin-test-key"

IMPORT = """
import json, sys
sys.path.insert(0, "plugins")
import media_plugin
print(json.dumps([name for name in ("boto3", "fastapi", "include.media_api") if name in sys.modules]))
"""

WALK = """
import asyncio, json, sys, threading
import httpx
from airflow import settings
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.main import app
from airflow.models import import_all_models
from airflow.models.base import Base

import_all_models()
Base.metadata.create_all(settings.engine)

def session(name, role):
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    return {"cookie": "_token=" + get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role))}

async def walk():
    answers = {}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        async def ask(name, method, path, **arguments):
            answer = await client.request(method, path, **arguments)
            is_json = "json" in answer.headers.get("content-type", "")
            answers[name] = [answer.status_code, answer.json() if is_json else answer.text[:50]]
        key = {"x-api-key": sys.argv[1]}
        await ask("openapi", "GET", "/prod/openapi.json", headers=key)
        paths = ["/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect", "/", "/nothing", "//docs", "/../prod/docs"]
        for path in [*paths, *answers["openapi"][1]["paths"]]:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                await ask(f"anonymous {method} {path}", method, f"/prod{path}", json={})
                await ask(f"bearer {method} {path}", method, f"/prod{path}", headers={"authorization": f"Bearer {sys.argv[1]}"})
        await ask("bad body", "POST", "/prod/videoTranscode", headers=key, content=b"{")
        for path in ("/prod", "/prod/"):
            await ask(f"anonymous POST {path}", "POST", path, json={"key": "a.mp4"})
            await ask(f"super-resolution {path}", "POST", path, headers=key, json={"key": "a.mp4", "scale": 3})
        await ask("uploads", "GET", "/api2/openapi.json", headers=key)
        for path in ("/openapi.json", "/docs", "/atom/a/uploads", "/atom/a/uploads/b", "/nothing"):
            for method in ("GET", "POST", "DELETE"):
                await ask(f"anonymous {method} /api2{path}", method, f"/api2{path}", json={})
        for version in ("1", "2", "33"):
            tasks = ("task/transcoding", "task/transcoding/7", "task/transcoding/openapi.json")
            for path in (*tasks, "profiles", "profile", "profile/x"):
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                    await ask(f"unsigned {method} v{version} {path}", method, f"/api/v{version}/{path}", headers=key, json={})
        for path in ("version", "dags", "profilesx", "task", "task/transcodings", "monitor/health", "profilers/x"):
            await ask(f"airflow {path}", "GET", f"/api/v2/{path}")
        await ask("pages, bare", "GET", "/media")
        page = {"accept": "text/html"}
        for path in ("/", "/new", "/data/me", "/static/css/base.css", "/prod/openapi.json", "/nothing"):
            await ask(f"stranger {path}", "GET", f"/media{path}", headers={"x-api-key": sys.argv[1]})
        await ask("stranger's browser", "GET", "/media/new", headers=page)
        await ask("no token", "GET", "/media/data/me", headers={"cookie": "_token=x"})
        for name, role in (("ada", "ADMIN"), ("uma", "USER"), ("vera", "VIEWER")):
            cookie = session(name, role)
            ours = {**cookie, "x-reelflow": "1"}
            for path in ("/", "/data/me", "/data/jobs", "/data/jobs/transcode/r", "/data/jobs/others/r", "/static/css/base.css"):
                await ask(f"{name} {path}", "GET", f"/media{path}", headers=cookie)
            await ask(f"{name} starts", "POST", "/media/prod/videoTranscode", headers=ours, content=b"{")
            await ask(f"{name} elsewhere", "POST", "/media/prod/videoTranscode", headers=cookie, content=b"{")
            await ask(f"{name} views", "GET", "/api/v2/plugins", headers=cookie)
        await ask("encoded", "GET", "/api/v1/task%2Ftranscoding")
        await ask("no store", "POST", "/prod/videoTranscode", headers=key, json=json.loads(sys.argv[2]))
        await ask("change", "DELETE", "/api/v2/variables/none")
    answers["writers"] = [thread.name for thread in threading.enumerate()].count("airflow-writer")
    mounts = [route.path for route in app.routes if type(route).__name__ == "Mount"]
    print(json.dumps({"answers": answers, "mounts": mounts}))

asyncio.run(walk())
"""


def python(script: str, *arguments: str, home: Path, **more: str) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MEDIA_", "AWS_"))} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "MEDIA_API_KEYS": f"ott:{KEY}",
        "MEDIA_SIGNING_KEYS": f"ott:public:{KEY}",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "PYTHONPATH": str(ROOT),
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert KEY not in done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_plugin_costs_tasks_and_schedulers_nothing(tmp_path: Path) -> None:
    assert python(IMPORT, home=tmp_path) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    body = {"bucket": "media", "src": "in/", "dst": "out/", "time": "t", "type": "mp4"}
    return python(WALK, KEY, json.dumps(body), home=tmp_path_factory.mktemp("airflow"))


def test_changes_in_sqlite_take_turns_on_a_loop_of_their_own(server: Any) -> None:
    assert server["answers"]["change"][0] == 401
    assert server["answers"]["writers"] == 1


def test_airflow_mounts_the_app_under_prod(server: Any) -> None:
    assert "/prod" in server["mounts"]
    status, document = server["answers"]["openapi"]
    assert status == 200
    assert "/videoTranscode" in document["paths"]


def test_uploads_are_mounted_under_api2(server: Any) -> None:
    assert "/api2" in server["mounts"]
    status, document = server["answers"]["uploads"]
    assert status == 200
    assert "/atom/{atom_id}/uploads" in document["paths"]


def test_every_path_under_the_mount_wants_a_key(server: Any) -> None:
    checked = {name: answer for name, answer in server["answers"].items() if name.startswith(("anonymous", "bearer"))}
    assert len(checked) >= 100
    assert {name: answer for name, answer in checked.items() if answer != [403, {"message": "Forbidden"}]} == {}


def test_contract_3_is_beside_airflows_own_api(server: Any) -> None:
    unsigned = {name: answer for name, answer in server["answers"].items() if name.startswith(("unsigned", "encoded"))}
    assert len(unsigned) == 3 * 6 * 6 + 1
    assert {status for status, _ in unsigned.values()} == {401}
    assert {document["code"] for _, document in unsigned.values()} == {"AuthFailed"}
    airflow = {name.removeprefix("airflow "): answer for name, answer in server["answers"].items() if name.startswith("airflow")}
    assert airflow.pop("version")[1]["version"]
    assert airflow.pop("monitor/health")[0] == 200
    assert airflow.pop("dags") == [401, {"detail": "Not authenticated"}]
    assert {status for status, _ in airflow.values()} == {404}


def test_errors_in_the_mounted_app_are_json_of_the_contract(server: Any) -> None:
    status, document = server["answers"]["bad body"]
    assert (status, set(document)) == (400, {"message"})


@pytest.mark.parametrize("path", ["/prod", "/prod/"])
def test_the_bare_prefix_is_answered_without_a_redirect(server: Any, path: str) -> None:
    status, document = server["answers"][f"super-resolution {path}"]
    assert (status, document) == (400, {"message": "scale: must be 2 or 4"})
    assert server["answers"][f"anonymous POST {path}"] == [403, {"message": "Forbidden"}]


def test_a_store_that_does_not_answer_is_told_without_its_address(server: Any) -> None:
    status, document = server["answers"]["no store"]
    assert status == 503
    assert "127.0.0.1" not in document["message"]


def test_strangers_see_nothing_of_the_pages(server: Any) -> None:
    answers = server["answers"]
    assert answers["pages, bare"][0] == 307
    strangers = {name: answer for name, answer in answers.items() if name.startswith("stranger /") or name == "no token"}
    assert len(strangers) == 7
    assert {str(answer) for answer in strangers.values()} == {"[401, {'message': 'Log in to Airflow first.'}]"}
    assert answers["stranger's browser"][0] == 303


@pytest.mark.parametrize(("name", "may"), [("ada", True), ("uma", True), ("vera", False)])
def test_airflows_users_see_the_pages_and_do_what_airflow_lets_them(server: Any, name: str, may: bool) -> None:
    answers = {key.removeprefix(f"{name} "): answer for key, answer in server["answers"].items() if key.startswith(f"{name} ")}
    assert answers["/data/me"] == [200, {"user": name, "can_start": may, "can_change": may}]
    assert answers["/data/jobs"] == [200, {"jobs": [], "next": None}]
    assert [answers[path][0] for path in ("/", "/static/css/base.css")] == [200, 200]
    assert answers["/data/jobs/transcode/r"][0] == 404
    assert answers["/data/jobs/others/r"][0] == 422
    assert answers["starts"][0] == (400 if may else 403)
    assert answers["elsewhere"][0] == 403


def test_airflow_shows_the_pages_in_its_navigation_and_on_runs(server: Any) -> None:
    (plugin,) = [plugin for plugin in server["answers"]["ada views"][1]["plugins"] if plugin["name"] == "media"]
    views = {view["destination"]: (view["url_route"], view["href"]) for view in plugin["external_views"]}
    assert views == {"nav": ("media", "/media/"), "dag_run": ("media-job", "/media/jobs/{DAG_ID}/{RUN_ID}")}


BELOW = """
import asyncio, json, sys
import httpx
from airflow.api_fastapi.main import app
sys.path.insert(0, "plugins")
import media_plugin

async def walk():
    answers = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
        for method, path in json.loads(sys.argv[1]):
            answer = await client.request(method, path, headers={"accept": "text/html"} if method == "GET" else {}, json={})
            answers[path] = [answer.status_code, answer.headers.get("location")]
    views = [view["href"] for view in media_plugin.MediaPlugin.external_views]
    print(json.dumps([answers, views, media_plugin._LOOK["icon"]]))

asyncio.run(walk())
"""


def test_airflow_below_a_path_of_its_own(tmp_path: Path) -> None:
    asked = [
        ("GET", "/reel/media"),
        ("GET", "/reel/media/new"),
        ("POST", "/reel/prod"),
        ("POST", "/reel/api/v1/task/transcoding"),
    ]
    below = {"AIRFLOW__API__BASE_URL": "http://localhost/reel"}
    answers, views, icon = python(BELOW, json.dumps(asked), home=tmp_path, **below)
    assert answers == {
        "/reel/media": [307, "media/"],
        "/reel/media/new": [303, "/reel/auth/login?next=%2Freel%2Fmedia%2Fnew"],
        "/reel/prod": [403, None],
        "/reel/api/v1/task/transcoding": [401, None],
    }
    assert views == ["/reel/media/", "/reel/media/jobs/{DAG_ID}/{RUN_ID}"]
    assert icon == "/reel/media/static/media.svg"
