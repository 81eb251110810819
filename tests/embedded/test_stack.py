"""The pieces of the one-machine stack that can be tested without starting it."""

from __future__ import annotations

import configparser
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.embedded import batch, down, lifecycle, processes, programs, status, up
from include.embedded.checks import StartError, check_machine, check_port
from include.embedded.environment import environment, parallelism
from include.embedded.stack import Stack, connect, load, prepare
from include.settings import Settings


def settings(**changes: object) -> Settings:
    return Settings(_env_file=None, **changes)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return prepare(tmp_path, airflow_port=18080, moto_port=15000, settings=settings(api_keys={}))


def test_secrets_are_made_once_and_only_their_owner_can_read_them(stack: Stack, tmp_path: Path) -> None:
    stack.save()
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600
    again = prepare(tmp_path, airflow_port=18081, moto_port=15000, settings=settings(api_keys={}))
    assert (again.admin_password, again.api_keys, again.fernet_key) == (stack.admin_password, stack.api_keys, stack.fernet_key)
    assert (again.signing_keys, again.signing_key[0]) == (stack.signing_keys, "demo")
    assert (again.airflow_port, again.id) == (18081, stack.id)
    assert load(tmp_path) == stack


def test_secrets_outlive_a_start_on_a_full_disk(stack: Stack, tmp_path: Path) -> None:
    stack.save()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            replace(stack, airflow_port=18081).save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert load(tmp_path) == stack


def test_no_secret_is_shown_by_repr_or_in_the_supervisors_configuration(stack: Stack) -> None:
    secrets = [stack.admin_password, stack.api_key, stack.signing_key[2], stack.fernet_key, stack.jwt_secret, stack.api_secret]
    text = repr(stack) + programs.configuration(stack)
    assert not [secret for secret in secrets if secret in text]


def test_configured_api_keys_win_and_are_not_kept(stack: Stack, tmp_path: Path) -> None:
    stack.save()
    configured = prepare(tmp_path, airflow_port=1, moto_port=2, settings=settings(api_keys="shop:0123456789abcdef"))
    assert (configured.api_keys, configured.api_key, configured.generated_api_keys) == (
        "shop:0123456789abcdef", "0123456789abcdef", False,
    )  # fmt: skip
    configured.save()
    made = prepare(tmp_path, airflow_port=1, moto_port=2, settings=settings(api_keys={}))
    assert made.generated_api_keys
    assert made.api_key != "0123456789abcdef"


def test_configured_signing_keys_win_and_are_not_kept(stack: Stack, tmp_path: Path) -> None:
    stack.save()
    configured = prepare(tmp_path, airflow_port=1, moto_port=2, settings=settings(signing_keys="shop:public:private,b:c:d"))
    assert (configured.signing_key, configured.generated_signing_keys) == (("shop", "public", "private"), False)
    assert configured.signing_keys == "shop:public:private,b:c:d"
    configured.save()
    made = prepare(tmp_path, airflow_port=1, moto_port=2, settings=settings())
    assert (made.generated_signing_keys, made.signing_key[0]) == (True, "demo")


def test_the_configuration_names_every_program_and_survives_a_strange_path(tmp_path: Path) -> None:
    folder = tmp_path / "100% mine"
    parser = configparser.RawConfigParser()
    parser.read_string(programs.configuration(prepare(folder, airflow_port=1, moto_port=2, settings=settings(api_keys={}))))
    assert {f"program:{program.name}" for program in programs.PROGRAMS} <= set(parser.sections())
    assert parser["supervisord"]["pidfile"].replace("%%", "%") == f"{folder}/supervisord.pid"


def test_processes_of_the_stack_see_the_stack_and_nothing_of_the_callers_aws(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    variables = environment(stack, settings(unit_slots=7, live_slots=3))
    assert "AWS_PROFILE" not in variables
    assert "PYTHONDONTWRITEBYTECODE" not in variables
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:15000"
    assert "127.0.0.1" in variables["NO_PROXY"]
    assert variables["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert variables["AIRFLOW__CORE__PARALLELISM"] == str(parallelism(settings(unit_slots=7, live_slots=3))) == "13"


def test_jobs_of_batch_reach_the_loopback_and_each_has_room_in_the_triggerer(stack: Stack) -> None:
    assert "MOTO_DOCKER_NETWORK_MODE" not in environment(stack, settings())
    variables = environment(stack, settings(batch_units="upscale", batch_slots=500))
    assert variables["MOTO_DOCKER_NETWORK_MODE"] == "host"
    assert int(variables["AIRFLOW__TRIGGERER__CAPACITY"]) > 500


def test_containers_are_ended_though_their_units_were_named_in_the_file_of_settings_alone(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDIA_BATCH_UNITS", raising=False)
    (tmp_path / ".env").write_text("MEDIA_BATCH_UNITS=upscale,video\n")
    lifecycle._write_environment(stack, environment(stack, Settings(_env_file=tmp_path / ".env")))
    ended: list[str] = []
    monkeypatch.setattr(batch, "end_containers", lambda url: ended.append(url) or 1)
    assert lifecycle._end_containers(stack) == 1
    assert ended == [stack.aws_url]


def test_a_taken_port_is_named_with_its_holder_and_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"Port {port} .*AIRFLOW_PORT=") as caught:
            check_port(port, "AIRFLOW_PORT")
        assert str(os.getpid()) in str(caught.value)
    check_port(port, "AIRFLOW_PORT")


def test_a_start_on_a_taken_port_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert up(tmp_path, airflow_port=taken.getsockname()[1], moto_port=1) == 1
    assert "AIRFLOW_PORT" in capsys.readouterr().err
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.parametrize("value", ["http", "0", "70000"])
def test_a_port_that_is_none_is_refused(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("AIRFLOW_PORT", value)
    assert up(tmp_path) == 1
    assert "AIRFLOW_PORT wants a port number" in capsys.readouterr().err


def test_a_missing_ffmpeg_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartError, match="make setup"):
        check_machine(settings(ffmpeg="/nowhere/ffmpeg"))


def test_what_was_never_started_is_not_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert connect(tmp_path) is None
    assert status(tmp_path) == 3
    assert down(tmp_path) == 0
    assert "nothing was ever started" in capsys.readouterr().out


@pytest.fixture
def family(stack: Stack) -> Iterator[subprocess.Popen[bytes]]:
    """A marked process with a child that does not bear the mark and lives in a session of its own."""
    child = "import os,time; os.setsid(); time.sleep(60)"
    parent = f"import subprocess,sys,time; subprocess.Popen([sys.executable,'-c',{child!r}],env={{}}); time.sleep(60)"
    marked = os.environ | {processes.MARKER: stack.id, processes.PROGRAM: "scheduler"}
    with subprocess.Popen([sys.executable, "-c", parent], env=marked) as process:
        deadline = time.monotonic() + 20
        while len(processes.members(stack.id)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process
        process.kill()


def test_the_sweep_finds_marked_processes_with_their_children_and_no_others(
    stack: Stack, family: subprocess.Popen[bytes]
) -> None:
    found = processes.members(stack.id)
    assert family.pid in {process.pid for process in found}
    assert len(found) == 2
    assert processes.members(stack.id, program="triggerer") == []
    assert processes.members("another stack") == []
    assert processes.end(found) == 2
    assert processes.members(stack.id) == []


def test_what_hides_its_environment_is_found_by_the_session_of_a_killed_supervisor(tmp_path: Path) -> None:
    command = ["bash", "-c", 'exec -a "airflow api_server" sleep 60']
    hidden = subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, start_new_session=True)
    foreign = subprocess.Popen(["sleep", "60"], env={}, start_new_session=True, executable="/bin/sleep")
    try:
        (tmp_path / "supervisord.pid").write_text(f"{hidden.pid}\n")
        session = processes.session_of(tmp_path)
        deadline = time.monotonic() + 10
        while not (found := processes.members("some-stack", session=session)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [process.pid for process in found] == [hidden.pid]
        assert processes.members("some-stack") == []
        # The number of a session that is gone may be another's by now.
        assert processes.members("some-stack", session=foreign.pid) == []
    finally:
        for process in (hidden, foreign):
            process.kill()
            process.wait()
