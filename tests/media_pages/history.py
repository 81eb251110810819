"""Years of work in Airflow's database within seconds: ``python -m tests.media_pages.history`` in a stack's environment.

Writes finished runs of all kinds with their tasks and what these told of their progress, and one run at work on many units.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

from include.worker.requests import SuperResolutionRequest, TranscodeRequest
from include.worker.task_request import TaskReference

__all__ = ["BIG", "BUCKET", "write"]

BUCKET = "media"
BIG = TranscodeRequest(
    bucket=BUCKET, source_key="in/film.mp4", folder="out/film/", name="film", client="ott", content_provider="studio"
)
"""The run at work."""

TASKS = {
    "transcode": ["webhooks", "plan", *["encode"] * 5, "finish", "report"],
    "super_resolution": ["webhooks", "split", *["upscale"] * 3, "merge", "report"],
    "live": ["webhooks", "live", "report"],
    "upload": ["begin", "await_parts", "join", "transcode", "relay", "processing", "clean", "report"],
    "video_transcode": ["submit"],
}
MAPPED = {"encode", "upscale"}
CLIENTS = ["ott", "archive", "newsroom", "broadcast"]
PROVIDERS = ["studio", "newsreel", None, "公共频道"]


def write(session: Any, runs: int, units: int, *, state: str = "running", seed: int = 7) -> None:
    """Insert ``runs`` finished runs and, as the newest, :data:`BIG` with ``units`` units: half done, some in ``state``."""
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagrun import DagRun
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import func, insert, select

    chance = random.Random(seed)
    versions = dict(session.execute(select(DagVersion.dag_id, DagVersion.id)).all())
    first = (session.scalar(select(func.max(DagRun.id))) or 0) + 1
    now = datetime.now(timezone.utc)
    run_rows, task_rows, told, xcoms = [], [], [], []
    for number in range(runs + 1):
        id_ = first + number
        is_big = number == runs
        dag_id, run_id, conf = ("transcode", BIG.run_id, BIG.model_dump(mode="json")) if is_big else _run(number, chance)
        outcome = "running" if is_big else chance.choices(["success", "failed"], [9, 1])[0]
        began = now - timedelta(minutes=3 * (runs - number) + 2)
        ended = None if is_big else began + timedelta(seconds=chance.randint(20, 900))
        times = {"queued_at": began, "start_date": began, "run_after": began, "created_at": began, "end_date": ended}
        run_rows.append(
            {"id": id_, "dag_id": dag_id, "run_id": run_id, "state": outcome, "conf": conf, "run_type": "manual"}
            | {"clear_number": 0, "created_dag_version_id": versions.get(dag_id)}
            | times
        )
        about = {"dag_id": dag_id, "run_id": run_id}
        names = ["webhooks", "plan", *["encode"] * units, "finish", "report"] if is_big else TASKS[dag_id]
        for task_id, map_index, task_state in _tasks(names, outcome, units, state):
            begun = task_state in {"success", "failed", "running", "deferred"}
            task_rows.append(
                {"id": uuid4(), "task_id": task_id, "map_index": map_index, "state": task_state, "pool": "default_pool"}
                | {"pool_slots": 1, "try_number": int(begun), "max_tries": 2, "start_date": began if begun else None}
                | {"end_date": began + timedelta(seconds=15) if task_state in {"success", "failed"} else None}
                | {"dag_version_id": versions.get(dag_id), "operator": "WorkUnitOperator", "updated_at": began}
                | {"rendered_map_index": f"chunk {map_index}" if map_index >= 0 else None}
                | about
            )
            event = {
                "event": "progress",
                "phase": "encode",
                "done": 300,
                "total": 900,
                "unit": "frames",
                "fraction": 0.33,
                "fps": 24.5,
            }
            place = {
                "dag_run_id": id_,
                "task_id": task_id,
                "map_index": map_index,
                "key": "progress",
                "value": json.dumps(event),
            } | about
            if task_state == "deferred":
                xcoms.append(place | {"timestamp": began, "value": event})
            elif begun and task_id in MAPPED:
                told.append(place | {"updated_at": began})
    for model, rows in ((DagRun, run_rows), (TaskInstance, task_rows), (TaskStateStoreModel, told), (XComModel, xcoms)):
        for start in range(0, len(rows), 1000):
            session.execute(insert(model.__table__), rows[start : start + 1000])
    session.commit()


def _run(number: int, chance: random.Random) -> tuple[str, str, dict[str, Any]]:
    dag_id = chance.choices(list(TASKS), [60, 15, 5, 15, 5])[0]
    client, provider, name = chance.choice(CLIENTS), chance.choice(PROVIDERS), f"film-{number:05}"
    if dag_id == "live" or (dag_id == "transcode" and chance.random() < 0.3):
        source = "rtmp://live.example.com/app/***" if dag_id == "live" else f"s3://{BUCKET}/in/{name}.mp4"
        task = TaskReference(
            bucket=BUCKET, client=client, task_id=str(number + 1), source=source, targets=(f"s3://{BUCKET}/out/{name}.mp4",),
        )  # fmt: skip
        return dag_id, task.run_id, task.model_dump(mode="json")
    if dag_id == "transcode":
        request = TranscodeRequest(
            bucket=BUCKET, source_key=f"in/{name}.mp4", folder=f"out/{name}_1/", name=name,
            client=client, content_provider=provider,
        )  # fmt: skip
        return dag_id, request.run_id, request.model_dump(mode="json")
    if dag_id == "super_resolution":
        upscale = SuperResolutionRequest(bucket=BUCKET, key=f"old/{name}.mp4", client=client)
        return dag_id, upscale.run_id, upscale.model_dump(mode="json")
    if dag_id == "upload":
        conf = {"atom_id": f"atom-{number % 50}", "upload_id": f"{number:012x}", "client": client, "filename": f"{name}.mov"}
        return dag_id, f"upload__{number:012x}", conf
    conf = {"bucket": BUCKET, "src": f"in/{name}/", "dst": f"out/{name}/", "time": "1", "type": "m3u8", "client": client}
    return dag_id, f"video_transcode__{number:020x}", conf | {"contentprovider": provider, "testflag": "no"}


def _tasks(names: list[str], outcome: str, units: int, at_work: str) -> Iterator[tuple[str, int, str | None]]:
    """Return task, map index and state of every task instance of a run."""
    index = 0
    for task_id in names:
        map_index = -1
        if task_id in MAPPED:
            map_index, index = index, index + 1
        if outcome == "success":
            yield task_id, map_index, "skipped" if task_id in {"webhooks", "relay", "processing"} else "success"
        elif outcome == "failed":
            middle = {"finish", "merge", "live", "join", "submit"}
            after = {"transcode", "clean"}
            state = "failed" if task_id in middle | {"report"} else "upstream_failed" if task_id in after else "success"
            yield task_id, map_index, state
        elif task_id == "plan":
            yield task_id, map_index, "success"
        elif task_id == "webhooks":
            yield task_id, map_index, "skipped"
        elif map_index >= 0:
            # With Batch all that is left is at work, else what the pool lets.
            left = map_index - units // 2
            yield task_id, map_index, "success" if left < 0 else at_work if at_work == "deferred" or left < 3 else "scheduled"
        else:
            yield task_id, map_index, None


def main() -> None:
    """Write it into the database of the environment's Airflow."""
    from airflow import settings
    from sqlalchemy.orm import Session

    parser = argparse.ArgumentParser(prog="python -m tests.media_pages.history", description=__doc__)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--state", choices=["running", "deferred"], default="running", help="of the units at work")
    arguments = parser.parse_args()
    with Session(settings.engine) as session:
        write(session, arguments.runs, arguments.units, state=arguments.state)


if __name__ == "__main__":
    main()
