"""docker-compose.yaml as it is written: what can be seen without an engine."""

from __future__ import annotations

import json
import re

import pytest

from include.settings import Settings
from tests.compose.files import COMPOSE, ROOT, compose, example, services, variables

# Why a service has no health check.
NO_HEALTH_CHECK = {"airflow-init": "it ends; its exit status is what the others wait for"}
# Airflow's services share the anchor; of the others each is itself.
AIRFLOW = {"airflow-init", "api-server", "scheduler", "dag-processor", "triggerer", "worker", "worker-gpu"}
SECRETS = re.compile(r"PASSWORD|SECRET|_KEY$|_KEYS$|AUTH$")
# MEDIA_ settings that Airflow's services are not given, and why.
NOT_PASSED_ON = {"WORKER_COMMAND": "each image says it itself: that for GPUs has a worker of its own"}


def test_there_is_one_anchor_and_airflows_services_merge_it() -> None:
    text = COMPOSE.read_text()
    assert re.findall(r"&(\w+)\s*$", text, re.MULTILINE) == ["airflow"]
    assert text.count("<<: *airflow") == len(AIRFLOW)
    common = compose()["x-airflow"]["environment"]
    assert {name for name, service in services().items() if service.get("environment") == common} == AIRFLOW


def test_there_is_no_version_line_which_compose_2_warns_of_and_1_would_read_as_another_schema() -> None:
    assert "version" not in compose()


@pytest.mark.parametrize("name", sorted(services()))
def test_every_service_restarts_rotates_its_log_and_says_whether_it_is_well(name: str) -> None:
    service = services()[name]
    assert service["restart"] == ("no" if name == "airflow-init" else "unless-stopped")
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert ("healthcheck" in service) != (name in NO_HEALTH_CHECK)


@pytest.mark.parametrize("name", sorted(services()))
def test_images_are_pinned_or_ours(name: str) -> None:
    image = services()[name]["image"]
    if image.startswith("${IMAGE_PREFIX:-reelflow/}"):
        assert image.endswith(":${IMAGE_TAG:-latest}")
    else:
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image), image


def test_what_is_waited_for_can_be_waited_for() -> None:
    known = services()
    waits = {(name, other, how["condition"]) for name, one in known.items() for other, how in one.get("depends_on", {}).items()}
    assert {other for _, other, _ in waits} >= {"airflow-init", "postgres", "objects", "dynamodb"}
    for name, other, condition in waits:
        if condition == "service_healthy":
            assert "healthcheck" in known[other], f"{name} waits for the health of {other}, which has no check"
        else:
            assert condition == "service_completed_successfully"
            assert known[other]["restart"] == "no", f"{name} waits for the end of {other}, which is always started again"


def test_ports_are_published_on_the_loopback_unless_the_host_says_otherwise() -> None:
    for service in services().values():
        for port in service.get("ports", []):
            assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:"), port


def test_only_the_service_that_starts_jobs_has_the_engines_socket() -> None:
    with_socket = [name for name, one in services().items() if any("docker.sock" in mount for mount in one.get("volumes", []))]
    assert with_socket == ["aws"]
    assert not any(one.get("privileged") for one in services().values())


def test_named_volumes_are_declared_and_used() -> None:
    mounts = {mount.split(":")[0] for one in services().values() for mount in one.get("volumes", [])}
    assert {name for name in mounts if "/" not in name and not name.startswith("$")} == set(compose()["volumes"])


def test_files_that_are_mounted_exist() -> None:
    for one in services().values():
        for mount in one.get("volumes", []):
            if mount.startswith("./"):
                assert (ROOT / mount.split(":")[0]).exists(), mount


def test_profiles_are_gpu_and_monitoring_and_nobody_outside_waits_for_them() -> None:
    profiled = {name: one["profiles"] for name, one in services().items() if "profiles" in one}
    assert profiled == {
        "worker-gpu": ["gpu"],
        "statsd-exporter": ["monitoring"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    for name, one in services().items():
        if name not in profiled:
            assert not set(one.get("depends_on", {})) & set(profiled)


def test_secrets_are_wanted_from_env_and_never_have_a_default() -> None:
    for name, uses in variables().items():
        if SECRETS.search(name):
            assert all(operator == "?" for operator, _ in uses), f"{name} must be {{{name}:?…}}"
            assert example()[name] == "generate"


def test_no_environment_value_is_a_secret_in_itself() -> None:
    known = {"moto"}  # moto checks no signature, and its port is not published
    for name, one in services().items():
        for variable, value in (one.get("environment") or {}).items():
            if SECRETS.search(variable) and value is not None and value not in known:
                assert "${" in value, f"{name}: {variable}"


def test_every_variable_is_in_the_example_with_the_same_default() -> None:
    listed = example()
    used = variables()
    assert set(used) - {"ENV_FILE"} <= set(listed)
    for name, uses in used.items():
        defaults = {default for operator, default in uses if operator == "-"}
        if defaults and listed.get(name) not in (None, "generate"):
            assert defaults == {listed[name]}, name


def test_the_example_lists_nothing_that_nobody_reads() -> None:
    read_by_the_init_job = {"AIRFLOW_ADMIN_PASSWORD", "LOGS_BUCKET"}
    assert set(example()) - set(variables()) <= read_by_the_init_job


def test_every_setting_of_ours_is_passed_on() -> None:
    environment = compose()["x-airflow"]["environment"]
    passed = {name.removeprefix("MEDIA_").lower() for name in environment if name.startswith("MEDIA_")}
    missing = set(Settings.model_fields) - passed - {name.lower() for name in NOT_PASSED_ON}
    assert not missing, f"add to x-airflow's environment: {', '.join(f'MEDIA_{name.upper()}:' for name in sorted(missing))}"
    assert passed <= set(Settings.model_fields), "docker-compose.yaml passes on what is no setting"


def test_a_message_of_celery_comes_back_only_after_the_deadline_of_every_unit() -> None:
    environment = compose()["x-airflow"]["environment"]
    assert environment["AIRFLOW__CELERY__TASK_ACKS_LATE"] == "True"
    assert environment["AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER"] == "1"
    timeout = int(example()["CELERY_VISIBILITY_TIMEOUT"])
    assert timeout > Settings().seconds_for("live")


def test_two_workers_are_started_and_have_time_to_end_their_units() -> None:
    assert services()["worker"]["scale"] == 2
    celery = json.loads(compose()["x-airflow"]["environment"]["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    soft = celery["worker_soft_shutdown_timeout"]
    for name in ("worker", "worker-gpu"):
        worker = services()[name]
        assert worker["stop_signal"] == "SIGQUIT"
        # After the soft shutdown a unit has ten seconds to end, and its task to report it.
        assert int(worker["stop_grace_period"].removesuffix("s")) >= soft + 30


def test_the_administrators_secrets_are_given_to_the_init_job_alone() -> None:
    with_file = [name for name, one in services().items() if "env_file" in one]
    assert with_file == ["airflow-init"]
    for name, one in services().items():
        if name not in ("airflow-init", "objects"):
            assert not [key for key in one.get("environment") or {} if "ADMIN" in key and name != "grafana"]


def test_no_command_holds_a_secret_which_a_process_list_would_show() -> None:
    for one in services().values():
        # $$NAME is read by the container's own shell.
        assert not SECRETS.search(" ".join(re.findall(r"(?<!\$)\$\{?(\w+)", str(one.get("command", "")))))
