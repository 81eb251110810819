"""What Airflow gives to a task, and workers that do as they are told."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any


@dataclass
class FakeTaskInstance:
    """A task instance of a run whose XComs and states are dictionaries."""

    task_id: str = "encode"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 2
    run_id: str = "run"
    xcoms: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    pushed: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, task_ids: str | list[str], key: str) -> Any:
        wanted = [task_ids] if isinstance(task_ids, str) else task_ids
        found = [value for task_id in wanted for value in self.xcoms.get((task_id, key), [])]
        # As Airflow does.
        return found[0] if isinstance(task_ids, str) and len(found) == 1 else found

    def get_task_states(self, **criteria: Any) -> dict[str, dict[str, str]]:
        return {self.run_id: self.states}


class FakeStore:
    """A task state store that remembers what was written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []

    def set(self, key: str, value: Any) -> None:
        self.written.append((key, value))


def context_of(ti: FakeTaskInstance | None = None, conf: dict[str, Any] | None = None, run_id: str = "run") -> dict[str, Any]:
    run = SimpleNamespace(conf=conf or {}, run_id=run_id, start_date=None)
    return {"ti": ti or FakeTaskInstance(), "task_state_store": FakeStore(), "params": {}, "dag_run": run}


PRELUDE = """import json, os, signal, subprocess, sys, time

def say(**event):
    print(json.dumps(event), flush=True)

"""


def worker(folder: Path, code: str) -> tuple[str, ...]:
    """Return the command of a worker that runs ``code``; it gets the unit's URI and ``--watch-stdin``, as the real one."""
    path = folder / "worker.py"
    path.write_text(PRELUDE + code)
    return sys.executable, str(path)
