"""The details of live tasks, and of what tasks of contract 3 deliver to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from include.errors import MediaError
from include.ffmpeg_ops.playlist import uri
from include.media_api.gateway import Run, TaskState
from include.media_pages.detail_media import Known, fresh_outcome, problem_of
from include.media_pages.documents import Documents, Folder
from include.media_pages.hls import Served
from include.media_pages.models import Destination, File, Job, Player
from include.media_pages.places import places_of
from include.media_pages.units import live_strip
from include.media_store.addresses import Addresses
from include.media_store.models import ObjectRef
from include.net.urls import parse_target
from include.settings import Settings
from include.worker import job as jobs
from include.worker.subjects import shown
from include.worker.task_request import TaskRequest

__all__ = ["LiveReader", "delivered"]

_STATUSES = {"queued": "PENDING", "running": "RUNNING", "done": "SUCCESS", "failed": "FAILED", "cancelled": "CANCELLED"}
PLAYLIST_SUFFIX = ".m3u8"


def delivered(run: Run, job: Job) -> tuple[Destination, ...]:
    """Return the targets of a task from file to files, which are delivered to together; statuses are the contract's."""
    targets = run.conf.get("targets")
    progress = 100.0 if job.state == "done" else None
    return tuple(
        Destination(name=shown(str(target)), status=_STATUSES[job.state], progress=progress)
        for target in (targets if isinstance(targets, (list, tuple)) else ())
    )


class LiveReader:
    """Reads the documents of live tasks."""

    def __init__(self, settings: Settings, documents: Documents, addresses: Addresses) -> None:
        self._settings = settings
        self._documents = documents
        self._addresses = addresses

    def known(self, run: Run, row: Job, job: jobs.Job, tasks: Sequence[TaskState], playlists: str) -> Known:
        """Return what is known of a run; the playlists of its recordings are served below the address ``playlists``."""
        folder = self._documents.folder(job, settled=run.is_finished)
        result = folder.results.get("live")
        strip = live_strip(run, tasks, result)
        is_at_work = strip.units[0].state == "running"
        told: Mapping[str, Any] = next((task.event for task in tasks if task.task_id == "live" and task.event), {})
        if not is_at_work and result is not None:
            told = result.metrics
        targets = told.get("targets")
        recordings, made = self.recordings(run, job), self._made(run, folder)
        outcome = fresh_outcome(run, folder)
        fields: dict[str, Any] = {
            "destinations": tuple(_target(one) for one in targets if isinstance(one, dict))
            if isinstance(targets, list) and targets
            else delivered(run, row),
            "player": self._player(recordings, made, playlists),
            "files": tuple(
                File(
                    name=ref.key.rpartition("/")[2],
                    key=ref.key,
                    bytes=ref.size,
                    url=self._addresses.of(ref.bucket, ref.key, ref.etag, download=True),
                )
                for ref in (*recordings.values(), *made)
            ),
        }
        if outcome:
            fields["cpu_seconds"] = outcome.metrics.get("cpu_seconds")
        return Known(fields, strip, problem_of(outcome, strip.failures))

    def recordings(self, run: Run, job: jobs.Job) -> dict[str, ObjectRef]:
        """Return the HLS recordings that are there, while they grow, too: playlists by the names that they are served under."""
        request = self._documents.request(job, TaskRequest)
        places = places_of(self._settings, run, job)
        found: dict[str, ObjectRef] = {}
        for number, text in enumerate(request.targets if request else (), start=1):
            try:
                target = parse_target(text)
            except MediaError:
                continue
            if target.kind == "s3" and target.key.endswith(PLAYLIST_SUFFIX):
                named = ObjectRef(bucket=target.bucket, key=target.key, etag="", size=0)
                ref = self._documents.head(target.bucket, target.key) if places.hold(named) else None
                if ref is not None:
                    found[f"{number}/{target.key.rpartition('/')[2]}"] = ref
        return found

    def served(self, run: Run, job: jobs.Job) -> Served:
        """Return what of a job's recordings a player may ask for: segments lie beside their playlist and are named after it."""
        recordings = self.recordings(run, job)

        def address(name: str) -> str | None:
            number, _, file = name.partition("/")
            for playlist, ref in recordings.items():
                stem = playlist.partition("/")[2].removesuffix(PLAYLIST_SUFFIX)
                if playlist.startswith(f"{number}/") and re.fullmatch(rf"{re.escape(stem)}-\d{{5,}}\.ts", file):
                    return self._addresses.of(ref.bucket, f"{ref.key[: ref.key.rfind('/') + 1]}{file}")
            return None

        return Served(recordings, address)

    def _player(self, recordings: Mapping[str, ObjectRef], made: Sequence[ObjectRef], playlists: str) -> Player | None:
        for name in recordings:
            return Player(url=f"{playlists}{uri(name)}", type="application/vnd.apple.mpegurl")
        for ref in made:
            if ref.key.endswith(".mp4") and self._documents.head(ref.bucket, ref.key) == ref:
                return Player(url=self._addresses.of(ref.bucket, ref.key, ref.etag), type="video/mp4")
        return None

    def _made(self, run: Run, folder: Folder) -> list[ObjectRef]:
        """Return the recordings that were made a file of at the end."""
        result, places = folder.results.get("live"), places_of(self._settings, run, folder.job)
        refs = [output.ref for output in result.outputs] if result else []
        return [ref for ref in refs if places.hold(ref) and not ref.key.endswith(PLAYLIST_SUFFIX)]


def _target(told: Mapping[str, Any]) -> Destination:
    counts = [
        f"{name}: {told[key]}"
        for key, name in (("frames", "frames"), ("dropped", "dropped"), ("reconnects", "reconnects"))
        if told.get(key)
    ]
    return Destination(name=shown(str(told.get("url", ""))), status=str(told.get("state", "")), details=", ".join(counts) or None)
