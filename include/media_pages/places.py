"""Where the output of a run lies: addresses of anything else are given to nobody, whatever its documents name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from include.errors import MediaError
from include.media_api.gateway import Run
from include.media_pages.documents import request_of
from include.media_store.models import ObjectRef
from include.net.urls import parse_target
from include.settings import Settings
from include.worker.job import Job
from include.worker.requests import SuperResolutionRequest, TranscodeRequest

__all__ = ["Places", "places_of"]


@dataclass(frozen=True)
class Places:
    """The folders and objects of a run's output, by bucket and key, and the folder of its pictures to compare.

    They are those of its conf, which Airflow keeps: whoever can write documents to the bucket decides nothing.
    """

    settings: Settings
    output: frozenset[tuple[str, str]]
    pictures: tuple[str, str]

    def hold(self, ref: ObjectRef) -> bool:
        """Tell whether an object is of this output."""
        if not self.settings.allows_bucket(ref.bucket) or ref.key.startswith(self.settings.work_prefix):
            return False
        return any(
            ref.bucket == bucket and (ref.key == start or ((start.endswith("/") or not start) and ref.key.startswith(start)))
            for bucket, start in self.output
        )

    def hold_picture(self, ref: ObjectRef) -> bool:
        """Tell whether an object is one of the pictures to compare."""
        bucket, start = self.pictures
        return self.settings.allows_bucket(bucket) and ref.bucket == bucket and ref.key.startswith(start)


def places_of(settings: Settings, run: Run, job: Job) -> Places:
    """Return where the output of a run lies."""
    request = request_of(settings, run.dag_id, run.conf)
    output: set[tuple[str, str]] = set()
    if isinstance(request, TranscodeRequest):
        output.add((request.bucket, request.folder))
    elif isinstance(request, SuperResolutionRequest):
        # Its folder is often that of the source, and of much else.
        output |= {(request.bucket, request.destination_key), (request.bucket, request.debug_folder)}
    else:
        output |= set(_targets(run.conf.get("targets")))
    return Places(settings, frozenset(output), (job.bucket, job.compare_prefix))


def _targets(targets: object) -> Iterator[tuple[str, str]]:
    for text in targets if isinstance(targets, (list, tuple)) else ():
        try:
            target = parse_target(str(text))
        except MediaError:
            continue
        if target.kind == "s3":
            yield target.bucket, target.key[: target.key.rfind("/") + 1]
