"""docker-compose.yaml for real: one stack for all of this, with Celery, FAB, metrics, and jobs that are containers.

Public images that cannot be pulled are stand-ins that ``scripts/compose_images.sh`` makes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from scripts.clips import make_clip
from scripts.compose_stack import ComposeStack
from scripts.eyes import check_upscaled, facts_of
from tests.compose.files import MONITORING, ROOT, services
from tests.compose.running import Running, compose_command, running
from tests.compose.test_monitoring import names_in, queries
from tests.containers.engine import docker, engine_missing, image_exists
from tests.e2e.stack import await_that

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1500), pytest.mark.xdist_group("compose")]

SETTINGS = {
    "MEDIA_CHUNK_SECONDS": "3",
    "MEDIA_UNIT_SLOTS": "4",
    # One segment of an upscaling on each of two workers at once.
    "MEDIA_SR_SLOTS": "2",
    "WORKER_CONCURRENCY": "2",
    "MEDIA_X264_PRESET": "ultrafast",
}
DEMO_SECONDS = 12


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The stack, up; ``REELFLOW_TEST_COMPOSE`` names the ``.env`` of one that runs already, its network named as its project."""
    if kept := os.environ.get("REELFLOW_TEST_COMPOSE"):
        known = ComposeStack.of(Path(kept))
        yield Running(known, Path(kept), known.env["COMPOSE_NETWORK"])
        return
    if missing := engine_missing():
        pytest.skip(missing)
    if compose_command() is None:
        pytest.skip("neither docker compose nor docker-compose is here")
    if not image_exists("airflow"):
        pytest.skip("reelflow/airflow was not built on this machine")
    subprocess.run(["bash", "scripts/compose_images.sh"], cwd=ROOT, check=True, timeout=600)
    with running(tmp_path_factory.mktemp("compose"), SETTINGS) as run:
        yield run


@pytest.fixture(scope="session")
def demo(stack: Running) -> float:
    """The demonstration has run on the stack: HLS, MP4 and upscaling over HTTP, verified. Returns when it began."""
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    began = time.time()
    command = [sys.executable, "-m", "scripts.demo", "--seconds", str(DEMO_SECONDS), "--compose", str(stack.env_file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "all of it is right" in done.stdout
    return began


def runs(stack: Running, dag_id: str, since: float) -> list[str]:
    began = datetime.fromtimestamp(since, timezone.utc).isoformat()
    with stack.admin() as admin:
        answer = admin.get(f"/api/v2/dags/{dag_id}/dagRuns", params={"limit": 100, "start_date_gte": began})
        found = answer.raise_for_status().json()["dag_runs"]
    return [run["dag_run_id"] for run in found]


def hosts(stack: Running, dag_id: str, run_id: str, task_id: str) -> set[str]:
    return {task["hostname"] for task in stack.tasks(dag_id, run_id) if task["task_id"] == task_id}


def test_docker_compose_finds_nothing_wrong_with_the_file(stack: Running) -> None:
    listed = stack.compose("--profile", "gpu", "config", "--services").stdout.split()
    assert set(listed) == set(services())


def test_everything_is_well_and_two_workers_are_there(stack: Running) -> None:
    assert stack.health("worker") == ["healthy", "healthy"]
    for name, one in services().items():
        if "profiles" not in one and "healthcheck" in one:
            assert set(stack.health(name)) == {"healthy"}, name


def test_no_container_is_root_but_those_whose_image_wants_it(stack: Running) -> None:
    for service in ("api-server", "scheduler", "dag-processor", "triggerer", "worker", "aws"):
        uid = docker("exec", stack.containers(service)[0], "id", "-u").stdout.strip()
        assert uid == "50000", service


def test_the_init_job_may_run_again(stack: Running) -> None:
    # As at every `up`; --no-deps: the others go on meanwhile.
    done = stack.compose("run", "--rm", "--no-deps", "airflow-init")
    assert "is there" in done.stdout


# -- access, with Flask AppBuilder's auth manager


def test_every_route_of_ours_refuses_who_has_no_key(stack: Running) -> None:
    with stack.client() as client, stack.anonymous() as anonymous:
        document = client.get("/prod/openapi.json").raise_for_status().json()
        asked = 0
        for path in ["/docs", "/openapi.json", "/redoc", "/", "/nothing", *document["paths"]]:
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
                for headers in ({}, {"x-api-key": "wrong"}, {"authorization": f"Bearer {stack.stack.api_key}"}):
                    answer = anonymous.request(method, f"/prod{path}", headers=headers, json={})
                    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"}), (method, path, headers)
                    asked += 1
        assert anonymous.post("/prod", json={"key": "a.mp4"}).status_code == 403
    assert asked > 100


def test_airflow_itself_refuses_who_has_no_session(stack: Running) -> None:
    with stack.anonymous() as anonymous:
        for path in ("/api/v2/dags", "/api/v2/connections", "/auth/fab/v1/users"):
            assert anonymous.get(path).status_code in (401, 403), path
        assert anonymous.post("/auth/token", json={"username": "media-api", "password": ""}).status_code >= 400


def test_the_media_pages_are_for_who_is_logged_in(stack: Running) -> None:
    with stack.admin() as admin, stack.anonymous() as anonymous:
        assert anonymous.get("/media/data/me").status_code == 401
        me = admin.get("/media/data/me").raise_for_status().json()
        assert (me["user"], me["can_start"], me["can_change"]) == ("admin", True, True)
        assert "jobs" in admin.get("/media/data/jobs").raise_for_status().json()


def test_the_contracts_act_as_a_user_who_may_not_administer(stack: Running) -> None:
    with stack.admin() as admin:
        users = admin.get("/auth/fab/v1/users").raise_for_status().json()["users"]
    roles = {user["username"]: {role["name"] for role in user["roles"]} for user in users}
    assert roles == {"admin": {"Admin"}, "media-api": {"User"}}


# -- work


def test_the_demonstration_runs_over_celery_and_both_workers_share_the_units_of_one_run(stack: Running, demo: float) -> None:
    workers = {docker("inspect", "--format", "{{.Config.Hostname}}", one).stdout.strip() for one in stack.containers("worker")}
    assert len(workers) == 2
    shared = {run_id: hosts(stack, "transcode", run_id, "encode") for run_id in runs(stack, "transcode", demo)}
    assert all(found <= workers for found in shared.values()), shared
    assert workers in shared.values(), f"no run was shared: {shared}"


def test_both_workers_share_the_segments_of_one_upscaling(stack: Running, long_clip: Path, tmp_path: Path) -> None:
    started = start_upscaling(stack, long_clip, "workers/both.mp4")
    assert stack.await_run("super_resolution", started["run_id"]) == "success"
    verified(stack, long_clip, started, tmp_path)
    assert len(hosts(stack, "super_resolution", started["run_id"], "upscale")) == 2


def test_the_log_of_a_finished_task_is_in_the_object_store_and_shown(stack: Running, demo: float) -> None:
    run_id = runs(stack, "transcode", demo)[0]
    prefix = f"tasks/dag_id=transcode/run_id={run_id}/task_id=plan/"
    listed = stack.stack.s3().list_objects_v2(Bucket=stack.stack.env["LOGS_BUCKET"], Prefix=prefix)
    assert [entry for entry in listed.get("Contents", []) if entry["Size"] > 0]
    with stack.admin() as admin:
        path = f"/api/v2/dags/transcode/dagRuns/{run_id}/taskInstances/plan/logs/1"
        log = admin.get(path, headers={"Accept": "application/x-ndjson"}).raise_for_status().text
    assert "by hand: python -m include.worker run" in log


def test_buckets_let_browsers_in_and_tables_are_there(stack: Running) -> None:
    rules = stack.stack.s3().get_bucket_cors(Bucket=stack.stack.bucket)["CORSRules"]
    assert any("ETag" in rule["ExposeHeaders"] for rule in rules)
    script = "import boto3; print(sorted(boto3.client('dynamodb').list_tables()['TableNames']))"
    listed = docker("exec", stack.containers("worker")[0], "python", "-c", script).stdout
    assert "reelflow-uploads" in listed


# -- metrics


def test_what_was_done_is_counted(stack: Running, demo: float) -> None:
    wanted = {
        'sum(reelflow_units_total{kind="video",state="done"})': 4,
        'sum(reelflow_units_total{kind="upscale",state="done"})': 2,
        'sum(reelflow_frames_total{kind="video"})': 1,
        'sum(reelflow_unit_seconds_count{kind="finish"})': 2,
        'sum(airflow_dagrun_seconds_count{dag_id="transcode",state="success"})': 2,
        "sum(airflow_task_scheduled_seconds_count)": 5,
        "max(airflow_scheduler_heartbeat_total)": 1,
        'max(airflow_pool_open_slots{pool_name="media_units"})': 1,
    }
    for expression, least in wanted.items():

        def enough(expression: str = expression, least: float = least) -> bool:
            found = stack.query(expression)
            return bool(found) and float(found[0]["value"][1]) >= least

        await_that(f"{expression} >= {least}", enough, timeout=60, interval=2)


@pytest.mark.parametrize(("title", "expression"), queries())
def test_prometheus_understands_every_query_of_the_dashboard(stack: Running, title: str, expression: str) -> None:
    stack.query(expression.replace("$__rate_interval", "1m").replace("$__range", "1h"))


def test_prometheus_has_what_the_dashboard_asks_for(stack: Running, demo: float) -> None:
    asked = set.union(*(names_in(expression) for _, expression in queries()))
    # What only happens when something is wrong, on Batch, or with live streams, uploads and dropped objects.
    rare = {
        "airflow_tasks_lost_total",
        "airflow_triggers_running",
        "reelflow_alerts_total",
        "reelflow_cost_microdollars_total",
        "reelflow_failures_total",
        "reelflow_ingest_backlog",
        "reelflow_ingest_objects_total",
        "reelflow_live_dropped_total",
        "reelflow_live_milliseconds_total",
        "reelflow_machine_milliseconds_total",
        "reelflow_notifications_total",
        "reelflow_relay_bytes_total",
        "reelflow_unit_wait_seconds_bucket",
        "reelflow_upload_bytes_total",
        "reelflow_webhooks_total",
    }
    missing = {name for name in asked - rare if not stack.query(f"count({name})")}
    assert not missing


def test_promtool_finds_nothing_wrong(stack: Running) -> None:
    container = stack.containers("prometheus")[0]
    done = docker("exec", container, "promtool", "check", "config", "/etc/reelflow/prometheus.yaml")
    rules = len(names_of_alerts())
    assert f"{rules} rules found" in done.stdout + done.stderr


def names_of_alerts() -> list[str]:
    import yaml

    return [
        rule["alert"] for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
    ]


# -- what goes wrong


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments or four, more than one worker takes at once."""
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    make_clip(path, seconds=16, width=320, height=180)
    return path


def start_upscaling(stack: Running, clip: Path, key: str) -> dict[str, Any]:
    stack.stack.s3().upload_file(str(clip), stack.stack.bucket, key)
    with stack.client() as client:
        answer = client.post("/prod", json={"key": key, "scale": 4, "segment_time": 4})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def verified(stack: Running, clip: Path, started: dict[str, Any], folder: Path, scale: int = 4) -> None:
    made = folder / "made.mp4"
    stack.stack.s3().download_file(stack.stack.bucket, started["output_key"], str(made))
    check_upscaled(made, clip, facts_of(str(clip)), scale, numbered=True)


def at_work(stack: Running, run_id: str) -> dict[str, Any] | None:
    tasks = stack.tasks("super_resolution", run_id)
    return next((task for task in tasks if task["task_id"] == "upscale" and task["state"] == "running"), None)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_units_of_a_worker_that_goes_away_are_done_by_the_other(
    stack: Running, long_clip: Path, tmp_path: Path, how: str
) -> None:
    started = start_upscaling(stack, long_clip, f"workers/{how}.mp4")
    run_id = started["run_id"]
    task = await_that("a segment is upscaled", lambda: at_work(stack, run_id), 120, 0.5)
    gone = next(one for one in stack.containers("worker") if one.startswith(task["hostname"]) or task["hostname"].startswith(one))
    began = time.monotonic()
    docker("stop", "--time", "60", gone, seconds=90) if how == "stop" else docker("kill", gone)
    took = time.monotonic() - began
    try:
        assert took < 50, f"the worker was killed after {took:.0f} s: its units did not end when they were told to"
        assert stack.await_run("super_resolution", run_id) == "success"
        verified(stack, long_clip, started, tmp_path)
        attempts = [one["try_number"] for one in stack.tasks("super_resolution", run_id) if one["task_id"] == "upscale"]
        # A worker that is told to stop may still finish a unit that is nearly done.
        assert max(attempts) in ({2} if how == "kill" else {1, 2}), attempts
    finally:
        docker("start", gone)
        await_that("both workers are well", lambda: stack.health("worker") == ["healthy", "healthy"], 180, 1)


def test_moto_has_its_queues_again_after_a_restart(stack: Running) -> None:
    stack.compose("restart", "--timeout", "5", "aws")
    await_that("moto is well", lambda: stack.health("aws") == ["healthy"], 90, 1)
    script = "import boto3; print(sorted(q['jobQueueName'] for q in boto3.client('batch').describe_job_queues()['jobQueues']))"

    def queues() -> str:
        return docker("exec", stack.containers("worker")[0], "python", "-c", script, check=False).stdout

    await_that("the queues are there", lambda: "SuperResolution_queue_Spot" in queues(), 30, 1)


# -- Batch: last, since all of Airflow is started anew with other settings


def test_with_batch_each_segment_is_a_container_that_moto_starts(stack: Running, long_clip: Path, tmp_path: Path) -> None:
    if not image_exists("worker-cpu"):
        pytest.skip("reelflow/worker-cpu was not built on this machine")
    stack.up(MEDIA_BATCH_UNITS="upscale", MEDIA_BATCH_POLL_SECONDS="2")
    seen: set[str] = set()
    started = start_upscaling(stack, long_clip, "batch/clip.mp4")
    run_id = started["run_id"]
    network = stack.stack.env["COMPOSE_NETWORK"]

    def watch() -> str | None:
        listed = docker("ps", "--filter", f"network={network}", "--filter", "name=reelflow-", "--format", "{{.Names}}").stdout
        seen.update(name for name in listed.split() if not name.startswith(stack.project))
        with stack.admin() as admin:
            state = admin.get(f"/api/v2/dags/super_resolution/dagRuns/{run_id}").raise_for_status().json()["state"]
        return state if state in ("success", "failed") else None

    assert await_that("the run ends", watch, 400, 0.5) == "success"
    verified(stack, long_clip, started, tmp_path)
    segments = len([task for task in stack.tasks("super_resolution", run_id) if task["task_id"] == "upscale"])
    assert segments >= 3
    assert len(seen) == segments, seen
    left = docker("ps", "--all", "--filter", f"network={network}", "--format", "{{.Names}}").stdout.split()
    assert not set(left) & seen, "a job's container is left"
    await_that("Batch's units are counted", lambda: stack.query('reelflow_units_total{kind="upscale",backend="batch"}'), 60, 2)
