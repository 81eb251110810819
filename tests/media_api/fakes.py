"""A store, tables and an Airflow in memory, which count what they are asked."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from include.errors import AccessDenied, NotFound, ObjectExists, ParameterError
from include.media_api.gateway import Run, RunPage, RunQuery, TaskState, named_token
from include.media_store.models import ObjectRef


class MemoryStore:
    """An :class:`include.media_store.objects.ObjectStore`."""

    def __init__(self, *buckets: str) -> None:
        self.objects: dict[str, dict[str, bytes]] = {bucket: {} for bucket in buckets or ("media",)}
        self.calls: Counter[str] = Counter()
        self.bytes_read = self.bytes_written = 0
        self._lock = threading.Lock()

    def add(self, *keys: str, bucket: str = "media", data: bytes = b"video") -> None:
        for key in keys:
            self.objects[bucket][key] = data

    def bucket_exists(self, bucket: str) -> bool:
        return bucket in self.objects

    def head(self, bucket: str, key: str) -> ObjectRef | None:
        with self._lock:
            self.calls["head"] += 1
        return self._ref(bucket, key) if key in self.objects[bucket] else None

    def get_bytes(self, bucket: str, key: str) -> bytes:
        with self._lock:
            self.calls["get"] += 1
        if key not in self.objects.get(bucket, {}):
            raise NotFound(f"There is no object {key}.")
        return self.objects[bucket][key]

    def put_bytes(
        self, bucket: str, key: str, data: bytes, content_type: str | None = None, if_none_match: bool = False
    ) -> ObjectRef:
        if if_none_match and key in self.objects[bucket]:
            raise ObjectExists(f"There is an object {key}.")
        self.objects[bucket][key] = data
        return self._ref(bucket, key)

    def list(self, bucket: str, prefix: str) -> Iterator[ObjectRef]:
        self.calls["list"] += 1
        for key in sorted(self.objects[bucket], key=str.encode):
            if key.startswith(prefix):
                self.calls["listed"] += 1
                yield self._ref(bucket, key)

    def address(self, ref: ObjectRef, seconds: int) -> str:
        return f"http://store.invalid/{ref.bucket}/{ref.key}?signature"

    def delete(self, bucket: str, key: str) -> None:
        self.objects[bucket].pop(key, None)

    def download(self, ref: ObjectRef, path: Path) -> None:
        raise NotImplementedError

    def upload(self, path: Path, bucket: str, key: str, content_type: str | None = None) -> ObjectRef:
        raise NotImplementedError

    def delete_prefix(self, bucket: str, prefix: str) -> int:
        gone = [key for key in self.objects[bucket] if key.startswith(prefix)]
        for key in gone:
            del self.objects[bucket][key]
        return len(gone)

    def _ref(self, bucket: str, key: str) -> ObjectRef:
        data = self.objects[bucket][key]
        return ObjectRef(bucket=bucket, key=key, etag=hashlib.md5(data).hexdigest(), size=len(data))


class MemoryTables:
    """An :class:`include.media_store.tables.Tables`."""

    def __init__(self) -> None:
        self.nonces: dict[tuple[str, str], int] = {}
        self.profiles: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.error: Exception | None = None
        self._lock = threading.Lock()

    def claim_nonce(self, key: str, nonce: str, expires_at: int) -> bool:
        if self.error:
            raise self.error
        with self._lock:
            if (key, nonce) in self.nonces:
                return False
            self.nonces[key, nonce] = expires_at
            return True

    def get_profile(self, client: str, name: str) -> Mapping[str, Any] | None:
        return self.profiles.get((client, name))

    def list_profiles(self, client: str) -> list[Mapping[str, Any]]:
        return [self.profiles[key] for key in sorted(self.profiles) if key[0] == client]

    def add_profile(self, client: str, name: str, profile: Mapping[str, Any]) -> None:
        if self.profiles.setdefault((client, name), profile) != profile:
            raise ObjectExists("There is another one.")

    def delete_profile(self, client: str, name: str) -> bool:
        return self.profiles.pop((client, name), None) is not None


class FakeAirflow:
    """An :class:`include.media_api.gateway.AirflowGateway`."""

    def __init__(self) -> None:
        self.dag_runs: dict[tuple[str, str], Run] = {}
        self.task_states: dict[str, tuple[TaskState, ...]] = {}
        self.notes: dict[str, str | None] = {}
        self.calls: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.is_busy = False  # and triggers nothing yet
        self.tokens: list[str | None] = []  # in whose names it was changed
        self.powerless: set[str] = set()  # tokens of those who may change nothing

    async def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any], note: str | None = None) -> bool:
        self.calls.append(("trigger", run_id))
        while self.is_busy:  # noqa: ASYNC110  a test sets it from another thread
            await asyncio.sleep(0.01)
        self.check_rights()
        if self.error:
            raise self.error
        if (dag_id, run_id) in self.dag_runs:
            return False
        self.dag_runs[dag_id, run_id] = Run(run_id, "queued", dict(conf), dag_id=dag_id, created_at=datetime.now(timezone.utc))
        self.notes[run_id] = note
        return True

    async def runs(self, dag_id: str, run_ids: Collection[str]) -> dict[str, Run]:
        self.calls.append(("runs", f"{len(run_ids)}"))
        return {run_id: self.dag_runs[dag_id, run_id] for run_id in run_ids if (dag_id, run_id) in self.dag_runs}

    async def tasks(self, dag_id: str, run_ids: Collection[str]) -> dict[str, tuple[TaskState, ...]]:
        self.calls.append(("tasks", f"{len(run_ids)}"))
        return {run_id: self.task_states.get(run_id, ()) for run_id in run_ids}

    async def page(self, prefix: str, *, states: Collection[str] = (), limit: int = 100, cursor: str | None = None) -> RunPage:
        self.calls.append(("page", prefix))
        if cursor and not cursor.isdecimal():
            raise ParameterError("cursor: is none.")
        found = [run for run in self.dag_runs.values() if run.run_id.startswith(prefix) and (not states or run.state in states)]
        start = int(cursor or 0)
        end = start + limit
        return RunPage(tuple(found[::-1][start:end]), str(end) if end < len(found) else None)

    async def find(self, query: RunQuery, *, limit: int = 100, cursor: str | None = None) -> RunPage:
        self.calls.append(("find", ""))
        if self.error:
            raise self.error
        if cursor and not cursor.isdecimal():
            raise ParameterError("cursor: is none.")
        found = [run for run in self.dag_runs.values() if _matches(run, query)][::-1]
        start = int(cursor or 0)
        end = start + limit
        return RunPage(tuple(found[start:end]), str(end) if end < len(found) else None)

    async def stop(self, dag_id: str, run_id: str) -> None:
        self.calls.append(("stop", run_id))
        self.check_rights()
        self.set_state(dag_id, run_id, "failed")

    async def clear(self, dag_id: str, run_id: str) -> None:
        self.calls.append(("clear", run_id))
        self.check_rights()
        self.set_state(dag_id, run_id, "queued")

    async def restart_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        self.calls.append(("restart_task", f"{run_id} {task_id}"))

    async def clear_tasks(self, dag_id: str, run_id: str, tasks: Collection[tuple[str, int]]) -> None:
        self.calls.append(("clear_tasks", f"{run_id} {sorted(tasks)}"))
        self.check_rights()
        self.set_state(dag_id, run_id, "queued")

    def check_rights(self) -> None:
        self.tokens.append(named_token())
        if named_token() in self.powerless:
            raise AccessDenied("Airflow does not let you do that.")

    async def delete(self, dag_id: str, run_id: str) -> None:
        self.calls.append(("delete", run_id))
        self.dag_runs.pop((dag_id, run_id), None)

    def set_state(self, dag_id: str, run_id: str, state: str) -> None:
        run = self.dag_runs.get((dag_id, run_id), Run(run_id, state))
        self.dag_runs[dag_id, run_id] = replace(run, state=state)

    def begin(self, dag_id: str, run_id: str, state: str = "running", *, begun: datetime | None = None) -> None:
        """Let a run have begun, and perhaps ended."""
        now = datetime.now(timezone.utc)
        ended = now if state in {"success", "failed"} else None
        run = self.dag_runs[dag_id, run_id]
        self.dag_runs[dag_id, run_id] = replace(run, state=state, start_date=begun or now, end_date=ended)

    def count(self, call: str) -> int:
        return sum(name == call for name, _ in self.calls)


def _matches(run: Run, query: RunQuery) -> bool:
    conf = run.conf
    provider = conf.get("content_provider") or conf.get("contentprovider")
    words = [run.run_id, *(str(conf.get(name, "")) for name in ("source_key", "folder", "name", "key", "src", "dst", "source"))]
    words += [str(conf.get("targets", "")), str(conf.get("filename", ""))]
    return (
        any(of.dag_id == run.dag_id and of.of_tasks in (None, "task_id" in conf) for of in query.of)
        and (not query.states or run.state in query.states)
        and (query.client is None or conf.get("client") == query.client)
        and (query.content_provider is None or provider == query.content_provider)
        and any(query.text.lower() in word.lower() for word in words)
    )
