"""The local backend: a child process that is followed to its end and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from include.errors import Cancelled, InternalError, InvalidInputData
from include.orchestration.backends.local import LocalBackend
from tests.orchestration.fakes import worker

URI = "s3://bucket/unit-video-00000.json"
DONE = 'say(event="result", result={"status": "done", "metrics": {"frames": 3}})\n'


def run(backend: LocalBackend) -> tuple[dict, list, list[str]]:
    events: list = []
    lines: list[str] = []
    return dict(backend.run(URI, on_progress=events.append, on_log=lines.append)), events, lines


def test_the_result_progress_and_log_of_the_worker_arrive(tmp_path: Path) -> None:
    code = 'say(event="progress", done=1, total=3, unit="frames")\nprint("from", sys.argv[1:], file=sys.stderr)\nprint("stray")\n'
    result, events, lines = run(LocalBackend(worker(tmp_path, code + DONE)))
    assert result == {"status": "done", "metrics": {"frames": 3}}
    assert events == [{"event": "progress", "done": 1, "total": 3, "unit": "frames"}]
    assert sorted(lines) == [f"from {[URI, '--watch-stdin']}", "stray"]


def test_an_error_of_the_worker_is_raised_as_itself(tmp_path: Path) -> None:
    error = {"code": "InvalidInputData", "message": "The source is truncated.", "retryable": False}
    code = f'say(event="result", result={{"status": "failed", "error": {error}}})\nsys.exit(10)\n'
    with pytest.raises(InvalidInputData, match="truncated"):
        run(LocalBackend(worker(tmp_path, code)))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param('print("last words", file=sys.stderr); sys.exit(3)', "exit status 3.*last words", id="ends"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", "killed, perhaps because", id="is killed"),
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11", id="crashes"),
    ],
)
def test_a_worker_without_a_result_is_an_error_that_may_be_retried(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(InternalError, match=message):
        run(LocalBackend(worker(tmp_path, code)))


def test_a_worker_gets_no_secret_of_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    monkeypatch.setenv("MEDIA_API_KEYS", "demo:secret")
    monkeypatch.setenv("MEDIA_SIGNING_KEYS", "demo:public:secret")
    monkeypatch.setenv("MEDIA_WEBHOOK_SECRETS", "demo:whsec_secret")
    monkeypatch.setenv("MEDIA_BUCKET", "kept")
    code = 'print(sorted(n for n in os.environ if n.startswith(("AIRFLOW_", "MEDIA_"))), file=sys.stderr)\n'
    _, _, lines = run(LocalBackend(worker(tmp_path, code + DONE)))
    assert "FERNET" not in lines[0]
    assert not [name for name in ("API_KEYS", "SIGNING_KEYS", "WEBHOOK_SECRETS") if name in lines[0]]
    assert "MEDIA_BUCKET" in lines[0]


@pytest.mark.parametrize("deaf", [False, True], ids=["worker obeys", "worker ignores SIGTERM"])
def test_cancel_ends_the_worker_and_its_children(tmp_path: Path, deaf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.orchestration.backends.local.GRACE_SECONDS", 1.0)
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if deaf else ""
    code = ignore + 'child = subprocess.Popen(["sleep", "60"])\nprint(os.getpid(), child.pid, file=sys.stderr, flush=True)\n'
    code += "time.sleep(60)\n"
    backend = LocalBackend(worker(tmp_path, code))
    pids: list[int] = []

    def started(line: str) -> None:
        pids.extend(map(int, line.split()))
        threading.Timer(0.1, backend.cancel).start()

    with pytest.raises(Cancelled):
        backend.run(URI, on_progress=lambda event: None, on_log=started)
    assert len(pids) == 2
    # A killed process is gone a moment after the signal.
    wait_for(lambda: not any(map(runs, pids)))


def test_an_exception_in_the_task_ends_the_worker(tmp_path: Path) -> None:
    code = "print(os.getpid(), file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise RuntimeError("the state store is gone")

    with pytest.raises(RuntimeError):
        LocalBackend(worker(tmp_path, code)).run(URI, on_progress=lambda event: None, on_log=fail)
    assert not runs(pids[0])


def test_a_killed_task_closes_the_standard_input_of_its_worker(tmp_path: Path) -> None:
    note = tmp_path / "note"
    code = f'open({str(note)!r}, "w").write(str(os.getpid()))\nsys.stdin.read()\nopen({str(note)!r}, "w").write("end of input")\n'
    task = "import sys; from include.orchestration.backends.local import LocalBackend as B; " + (
        f"B({worker(tmp_path, code)!r}).run({URI!r}, on_progress=print, on_log=print)"
    )
    with subprocess.Popen([sys.executable, "-c", task]) as process:
        wait_for(note.exists)
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: note.read_text() == "end of input")


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
