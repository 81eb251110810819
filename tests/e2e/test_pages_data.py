"""The pages' data on the whole stack: Airflow's own login and rights, stop and retry, and what Airflow's log says of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import Clips
from tests.e2e.stack import RunningStack, await_that

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]


def browser(stack: RunningStack, name: str, role: str) -> httpx.Client:
    """Return a client that is logged in as a user with this role: by the cookie that Airflow's login sets."""
    known = stack.http.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(known, options={"verify_signature": False}) | {"sub": name, "role": role}
    token = jwt.encode(claims, stack.stack.jwt_secret, algorithm=jwt.get_unverified_header(known)["alg"])
    headers = {"cookie": f"_token={token}", "x-reelflow": "1", "sec-fetch-site": "same-origin"}
    return httpx.Client(base_url=f"{stack.stack.airflow_url}/media/", headers=headers, timeout=60, trust_env=False)


@pytest.fixture
def slow(ffmpeg_notes: Path) -> Iterator[Path]:
    """Make encodes wait, and note them afresh."""
    (ffmpeg_notes / "slow").touch()
    (ffmpeg_notes / "encodes").write_text("")
    yield ffmpeg_notes
    (ffmpeg_notes / "slow").unlink(missing_ok=True)


def row(client: httpx.Client, run_id: str) -> dict[str, Any]:
    (job,) = client.get("data/jobs", params={"q": run_id}).raise_for_status().json()["jobs"]
    return job


@pytest.mark.long
def test_a_job_is_started_stopped_and_retried_by_a_user_of_airflow(stack: RunningStack, clip: Clips, slow: Path) -> None:
    stack.upload(clip("plain"), "pages-data/data.mp4")
    uma, vera = browser(stack, "uma", "USER"), browser(stack, "vera", "VIEWER")
    body = {
        "bucket": stack.bucket,
        "src": "pages-data/data.mp4",
        "dst": "pages-data/out/",
        "time": "1",
        "type": "m3u8",
        "testflag": "no",
    }
    assert vera.post("prod/videoTranscode", json=body).status_code == 403
    run_id = uma.post("prod/videoTranscode", json=body).raise_for_status().json()["run_id"]
    assert stack.run("transcode", run_id)["triggering_user_name"] == "uma"
    job = f"data/jobs/transcode/{run_id}"

    def states() -> set[str]:
        units = uma.get(job).raise_for_status().json()["units"]
        return {unit["state"] for unit in units if unit["kind"] == "video"}

    await_that("a unit is done and another one at work", lambda: {"done", "running"} <= states(), timeout=240, interval=0.5)
    shown = row(vera, run_id)
    assert (shown["kind"], shown["state"], shown["client"], shown["can_stop"]) == ("transcode", "running", "operators", False)
    assert 2 < shown["progress"] < 100
    assert vera.post(f"{job}/stop").status_code == 403
    assert row(uma, run_id)["can_stop"] is True
    assert uma.post(f"{job}/stop").status_code == 202
    assert stack.wait("transcode", run_id) == "failed"
    await_that("its encodes have ended", lambda: not stack.processes("libx264", "data"), timeout=60)
    shown = row(uma, run_id)
    assert (shown["state"], shown["error"], shown["can_retry"]) == ("cancelled", None, True)
    logs = stack.http.get("/api/v2/eventLogs", params={"dag_id": "transcode", "run_id": run_id}).raise_for_status().json()
    assert {"uma"} == {entry["owner"] for entry in logs["event_logs"] if entry["event"] == "patch_dag_run"}

    finished = {unit["index"] for unit in uma.get(job).json()["units"] if unit["state"] == "done"}
    assert finished
    (slow / "slow").unlink()
    assert uma.post(f"{job}/retry").status_code == 202
    assert stack.wait("transcode", run_id) == "success"
    detail = uma.get(job).raise_for_status().json()
    assert (detail["state"], detail["progress"], detail["problem"]) == ("done", 100, None)
    assert {unit["state"] for unit in detail["units"]} <= {"done", "reused"}
    # Of what was done nothing was done again.
    assert {unit["state"] for unit in detail["units"] if unit["index"] in finished} == {"reused"}
    playlist = uma.get(detail["player"]["url"].removeprefix("/media/")).raise_for_status()
    assert playlist.headers["content-type"].startswith("application/vnd.apple.mpegurl")
