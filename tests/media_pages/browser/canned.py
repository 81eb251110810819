"""Jobs as the data addresses tell of them, for pages without Airflow."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

from include.media_pages.models import Job, Live

__all__ = ["a_job", "many_jobs", "some_jobs"]

_DAGS = {
    "transcode": "transcode",
    "super_resolution": "super_resolution",
    "task": "live",
    "upload": "upload",
    "folder": "video_transcode",
    "ingest": "ingest_object",
}


def a_job(run_id: str = "run-1", *, minutes_ago: float = 5, **fields: Any) -> Job:
    """Return a job, a running transcode where ``fields`` say nothing else; ``minutes_ago`` it was created."""
    created = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=minutes_ago)
    kind, state = fields.get("kind", "transcode"), fields.get("state", "running")
    dag_id = fields.setdefault("dag_id", _DAGS[kind])
    defaults: dict[str, Any] = {
        "kind": kind,
        "state": state,
        "title": f"s3://media/in/{run_id}.mp4",
        "destination": f"s3://media/out/{run_id}/{run_id}.m3u8",
        "client": "studio",
        "content_provider": "acme",
        "progress": {"queued": 0, "running": 42, "done": 100}.get(state),
        "created_at": created,
        "started_at": None if state == "queued" else created + timedelta(seconds=4),
        "ended_at": created + timedelta(minutes=minutes_ago / 2) if state in {"done", "failed", "cancelled"} else None,
        "run_path": f"/dags/{dag_id}/runs/{quote(run_id, safe='')}",
        "can_stop": state in {"queued", "running"},
        "can_retry": state in {"failed", "cancelled"},
    }
    return Job(run_id=run_id, **{**defaults, **fields})


def some_jobs() -> list[Job]:
    """Return one job of each kind and state that a person may meet on one screen, newest first."""
    return [
        a_job(
            "q1",
            minutes_ago=0.2,
            state="queued",
            title="s3://media/incoming/interview-long-cut.mov",
            destination="s3://media/published/interview/interview.m3u8",
        ),
        a_job(
            "t1",
            minutes_ago=3,
            title="s3://media/in/season-2/episode-07-the-quiet-harbour.mp4",
            progress=64,
            fps=183.4,
            destination="s3://media/out/episode-07/episode-07.m3u8",
        ),
        a_job(
            "s1",
            minutes_ago=11,
            kind="super_resolution",
            title="s3://media/archive/1987-newsreel.mkv",
            progress=23,
            fps=11.8,
            destination="s3://media/archive/1987-newsreel_x2.mkv",
            client="archive",
            content_provider="newsreel",
        ),
        a_job(
            "l1",
            minutes_ago=42,
            kind="task",
            title="srt://ingest.example.com:9000",
            destination="rtmp://live.example.com/app/…",
            client="broadcast",
            content_provider=None,
            progress=None,
            fps=25.0,
            live=Live(seconds=2514, bit_rate=4_480_000, dropped=12),
        ),
        a_job(
            "u1",
            minutes_ago=50,
            kind="upload",
            title="keynote_2026_final.mp4",
            destination="s3://media/uploads/story-17/full",
            client="newsroom",
            content_provider="story-17",
            progress=71,
        ),
        a_job(
            "f1",
            minutes_ago=95,
            state="failed",
            title="s3://media/in/damaged-tape.ts",
            destination="s3://media/out/damaged-tape/damaged-tape.m3u8",
            error="The source is damaged from 0:41 to 0:47: 131 frames cannot be decoded. "
            "Ask for salvage, or send the file again.",
        ),
        a_job(
            "c1",
            minutes_ago=130,
            state="cancelled",
            title="s3://media/in/wrong-file.mp4",
            destination="s3://media/out/wrong-file.mp4",
            progress=12,
        ),
        a_job(
            "d1",
            minutes_ago=26 * 60,
            state="done",
            title="s3://media/in/talk.mp4",
            destination="s3://media/out/talk_20261120/talk.m3u8",
        ),
        a_job(
            "d2",
            minutes_ago=27 * 60,
            state="done",
            kind="folder",
            title="s3://media/in/conference-day-1/",
            destination="s3://media/out/conference-day-1/",
            progress=100,
        ),
        a_job(
            "i1",
            minutes_ago=3 * 24 * 60,
            state="failed",
            kind="ingest",
            title="s3://media/incoming/transcode/notes.txt",
            destination=None,
            client=None,
            content_provider=None,
            error="The name ends in .txt, which is no video that is taken here.",
        ),
        a_job(
            "d3",
            minutes_ago=5 * 24 * 60,
            state="done",
            kind="super_resolution",
            title="s3://media/in/海边的小镇.mp4",
            destination="s3://media/in/海边的小镇_x4.mp4",
            client="archive",
        ),
    ]


def many_jobs(count: int) -> list[Job]:
    """Return so many jobs, newest first, all done."""
    return [a_job(f"m{index:04}", minutes_ago=60 + index, state="done") for index in range(count)]
