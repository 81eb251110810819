"""What our images are, whoever built them: small, without root, without tools to build with, complete."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.containers.engine import IMAGES, image_exists, inspect, run

pytestmark = pytest.mark.docker

WORKERS = tuple(name for name in IMAGES if name.startswith("worker-"))
# Megabytes, uncompressed. CUDA's libraries alone are some thousands.
LARGEST = {"airflow": 2200, "worker-cpu": 1200, "worker-cuda": 9000, "worker-inf1": 9000, "worker-inf2": 9000}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Name of an image that was built here."""
    wanted: str = request.param
    if not image_exists(wanted):
        pytest.skip(f"{wanted} was not built on this machine")
    return wanted


def each(names: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", names, indirect=True)


def python(name: str, code: str, *options: str) -> str:
    """Run Python in an image, in the place of its entry point; return what it prints."""
    return run(name, "-c", code, options=["--entrypoint", "python", *options]).stdout


@each(IMAGES)
def test_nobody_in_it_is_root(name: str) -> None:
    user = run(name, "-u", options=["--entrypoint", "id"]).stdout.strip()
    assert user == {"airflow": "50000"}.get(name, "1000")
    # By number, so that an orchestrator can see it without asking the image's own list of users.
    assert inspect(name, "{{.Config.User}}").split(":")[0] == user


@each(IMAGES)
def test_nothing_in_it_compiles_or_builds(name: str) -> None:
    tools = ["cc", "gcc", "g++", "c++", "clang", "ld", "make", "cmake", "git", "javac"]
    assert python(name, f"import shutil; print([tool for tool in {tools} if shutil.which(tool)])").strip() == "[]"


@each(IMAGES)
def test_it_says_what_it_is(name: str) -> None:
    labels = json.loads(inspect(name, "{{json .Config.Labels}}"))
    names = ("title", "description", "vendor", "version", "revision", "created")
    wanted = {f"org.opencontainers.image.{name}" for name in names}
    assert {label for label in wanted if labels.get(label) not in (None, "", "unknown")} == wanted


@each(IMAGES)
def test_it_is_no_larger_than_it_was_thought(name: str, record_property: Callable[[str, object], None]) -> None:
    megabytes = int(inspect(name, "{{.Size}}")) // 10**6
    record_property("megabytes", megabytes)
    print(f"{name}: {megabytes} MB")
    assert megabytes < LARGEST[name]


@each(IMAGES)
def test_an_init_hands_signals_on(name: str) -> None:
    assert json.loads(inspect(name, "{{json .Config.Entrypoint}}"))[:2] == ["/usr/bin/tini", "--"]


@each(IMAGES)
def test_it_holds_the_program_and_nothing_else_of_the_checkout(name: str) -> None:
    code = "import os; print(sorted(os.listdir('/opt/reelflow')), os.path.exists('/opt/reelflow/include/sr_model/training'))"
    more = {"airflow": ["dags", "plugins"], "worker-inf1": ["compiled"], "worker-inf2": ["compiled"]}
    assert python(name, code).strip() == f"{sorted(['include', *more.get(name, [])])} False"


@each(WORKERS)
def test_a_worker_tells_how_it_is_used(name: str) -> None:
    assert "run the work unit at an s3:// URI" in run(name).stdout
    # Without any writable folder, too: what needs none must not ask for one.
    assert "Exit codes" in run(name, "--help", options=["--read-only", "--tmpfs", "/var/cache/reelflow"]).stdout


@each(WORKERS)
def test_a_worker_knows_no_airflow(name: str) -> None:
    code = "from importlib.util import find_spec; print([find_spec(module) for module in ('airflow', 'fastapi', 'moto')])"
    assert python(name, code).strip() == "[None, None, None]"


@each(IMAGES)
def test_its_ffmpeg_can_do_what_we_ask_of_one(name: str) -> None:
    def ffmpeg(option: str) -> str:
        return run(name, "-hide_banner", option, options=["--entrypoint", "ffmpeg"]).stdout

    assert int(ffmpeg("-version").split()[2].split(".")[0].lstrip("n")) >= 5
    encoders = ffmpeg("-encoders")
    assert all(encoder in encoders for encoder in ("libx264", "libx265", "libvpx-vp9", "aac"))


@each(("airflow",))
def test_airflow_has_what_several_machines_need(name: str) -> None:
    code = (
        "import asyncpg, celery, flask_appbuilder, opentelemetry.exporter.otlp, psycopg2, redis, statsd;"
        "from airflow.providers.celery.executors.celery_executor import CeleryExecutor;"
        "from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager; print('there')"
    )
    assert python(name, code).splitlines()[-1] == "there"


@each(("airflow",))
def test_airflow_reads_our_dags_with_no_error(name: str) -> None:
    code = (
        "from airflow.dag_processing.dagbag import DagBag; bag = DagBag('/opt/reelflow/dags');"
        "print(sorted(bag.dags), dict(bag.import_errors))"
    )
    last = python(name, code).splitlines()[-1]
    assert last.endswith(" {}"), last
    assert all(dag in last for dag in ("super_resolution", "transcode", "video_transcode"))


# Built by docker-compose.yaml's profile gpu: Airflow's image, and in it the Python of worker-cuda.
@each(("airflow-cuda",))
def test_a_celery_worker_for_gpus_starts_units_in_a_python_of_their_own(name: str) -> None:
    command = json.loads(python(name, "import json, os; print(json.dumps(os.environ['MEDIA_WORKER_COMMAND'].split()))"))
    assert command[1:] == ["-m", "include.worker", "run"]
    told = run(name, *command[1:], "--help", options=["--entrypoint", command[0]]).stdout
    assert "s3://" in told
    code = "import torch; from importlib.util import find_spec; print(bool(torch.version.cuda), find_spec('airflow'))"
    assert run(name, "-c", code, options=["--entrypoint", command[0]]).stdout.split() == ["True", "None"]
