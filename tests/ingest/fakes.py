"""Airflow as ingest sees it, without Airflow."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.errors import InternalError
from include.ingest.runs import Run


@dataclass
class FakeRuns:
    """Runs in memory; ids are unique, as Airflow's are, whoever asks at the same moment."""

    states: dict[tuple[str, str], str] = field(default_factory=dict)
    confs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    started: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: dict[tuple[str, str], datetime] = field(default_factory=dict)
    broken: bool = False
    refused: set[str] = field(default_factory=set)  # ids of runs that Airflow does not start
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str, *, again: bool = False) -> bool:
        if self.broken or run_id in self.refused:
            raise InternalError("Airflow does not answer.")
        with self._lock:
            if (dag_id, run_id) in self.states and not again:
                return False
            self.states[dag_id, run_id] = "queued"
            self.confs[dag_id, run_id] = dict(conf)
            self.ended.pop((dag_id, run_id), None)
            self.started[dag_id, run_id] += 1
            return True

    def state(self, dag_id: str, run_id: str) -> str | None:
        return self.states.get((dag_id, run_id))

    def read(self, dag_id: str, run_id: str) -> Run:
        key = (dag_id, run_id)
        return Run(self.states[key], self.confs[key], self.ended.get(key))

    def of(self, dag_id: str) -> list[str]:
        return [run_id for dag, run_id in self.states if dag == dag_id]
