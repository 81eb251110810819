"""The plugin as Airflow's API server loads it, in a process of its own: Airflow reads its configuration at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KEY = "plugin-test-key"

IMPORT = """
import json, sys
sys.path.insert(0, "plugins")
import media_plugin
print(json.dumps([name for name in ("boto3", "fastapi", "include.media_api") if name in sys.modules]))
"""

WALK = """
import asyncio, json, sys
import httpx
from airflow.api_fastapi.main import app

async def walk():
    answers = {}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        async def ask(name, method, path, **arguments):
            answer = await client.request(method, path, **arguments)
            answers[name] = [answer.status_code, answer.json() if "json" in answer.headers["content-type"] else answer.text[:50]]
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
        await ask("encoded", "GET", "/api/v1/task%2Ftranscoding")
        await ask("no store", "POST", "/prod/videoTranscode", headers=key, json=json.loads(sys.argv[2]))
    mounts = [route.path for route in app.routes if type(route).__name__ == "Mount"]
    print(json.dumps({"answers": answers, "mounts": mounts}))

asyncio.run(walk())
"""


def python(script: str, *arguments: str, home: Path) -> Any:
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
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
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
