"""The details of runs that make files: transcodes, tasks from file to files, and super-resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.errors import error_from_document
from include.media_api.gateway import Run, TaskState
from include.media_pages.documents import Documents, Folder
from include.media_pages.facts import Facts, super_resolution_facts, transcode_facts
from include.media_pages.hls import Served
from include.media_pages.models import Problem, Rendition
from include.media_pages.package import Package, read_cues, with_quality
from include.media_pages.places import places_of
from include.media_pages.steps import FLOWS
from include.media_pages.units import Pieces, Strip, strip_of
from include.media_store.addresses import Addresses
from include.settings import Settings
from include.worker.groups import grouped
from include.worker.job import Job
from include.worker.models import Outcome, UnitResult
from include.worker.report import weighted_quality

__all__ = ["Known", "MediaReader", "fresh_outcome", "problem_of"]


@dataclass(frozen=True)
class Known:
    """What the documents add to a job: fields of ``JobDetail``, and the units."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    strip: Strip = field(default_factory=Strip)
    problem: Problem | None = None


class MediaReader:
    """Reads the documents of such jobs; not more than is true of the run that is shown."""

    def __init__(self, settings: Settings, documents: Documents, addresses: Addresses) -> None:
        self._settings = settings
        self._documents = documents
        self._addresses = addresses

    def known(self, run: Run, job: Job, tasks: Sequence[TaskState], playlists: str) -> Known:
        """Return what is known of a run; HLS playlists are served below the address ``playlists``."""
        folder = self._documents.folder(job, settled=run.is_finished)
        first, fans_out, _, _ = FLOWS[run.dag_id]
        facts, strip = None, Strip()
        # Until this run has planned, its folder tells of an earlier one.
        if _has_succeeded(run, tasks, first):
            facts = self.facts(folder, run.dag_id)
            planned = folder.results.get(first)
            groups = grouped(planned.units if planned else (), self._settings)
            strip = strip_of(run, fans_out, tasks, Pieces(groups, folder.results, facts.places if facts else {}))
        package = self.package(run, folder, tasks)
        outcome = fresh_outcome(run, folder)
        quality = weighted_quality([folder.results[key] for key in facts.places if key in folder.results] if facts else ())
        fields: dict[str, Any] = {"renditions": with_quality(facts.renditions if facts else (), quality)}
        if facts:
            fields["source"] = facts.source
        if package:
            fields |= self.published(package, facts, quality, playlists)
        fields["cpu_seconds"] = _cpu_seconds(folder, outcome, strip)
        failures = [*_failures(run, tasks, folder), *strip.failures]
        return Known(fields, strip, problem_of(outcome, failures))

    def facts(self, folder: Folder, dag_id: str) -> Facts | None:
        """Return what the job's plan says, where there is one that can be read."""
        if folder.plan is None:
            return None
        load = super_resolution_facts if dag_id == "super_resolution" else transcode_facts
        return self._documents.read(folder.plan, load.__name__, load)

    def package(self, run: Run, folder: Folder, tasks: Sequence[TaskState]) -> Package | None:
        """Return what the run has published, as long as it is there."""
        last = FLOWS[run.dag_id][2]
        result = folder.results.get(last)
        if result is None or result.status != "done" or not _has_succeeded(run, tasks, last):
            return None
        package = self._package(run, folder.job, result)
        return package if self.is_there(package) else None

    def served(self, run: Run, job: Job) -> Served:
        """Return what of a job's output a player may ask for."""
        result = self._documents.result(job, FLOWS[run.dag_id][2])
        package = self._package(run, job, result) if result else None
        refs = package.refs if package and result and result.status == "done" else {}

        def address(name: str) -> str | None:
            ref = refs.get(name)
            return self._addresses.of(ref.bucket, ref.key, ref.etag) if ref and not name.endswith(".m3u8") else None

        return Served({name: ref for name, ref in refs.items() if name.endswith(".m3u8")}, address)

    def _package(self, run: Run, job: Job, result: UnitResult) -> Package:
        return Package(result, places_of(self._settings, run, job), self._addresses, of_task=bool(run.conf.get("task_id")))

    def is_there(self, package: Package) -> bool:
        """Tell whether a package's entry is the one that was published."""
        entry = package.entry
        return entry is not None and self._documents.head(entry.bucket, entry.key) == entry

    def published(self, package: Package, facts: Facts | None, quality: Mapping[str, Any], playlists: str) -> dict[str, Any]:
        """Return the fields of ``JobDetail`` that tell of what is published."""
        cues_ref = package.cues_ref()
        cues = (self._documents.read(cues_ref, "storyboard", read_cues) if cues_ref else None) or ()
        thumbnails = package.thumbnails(cues)
        stills = package.comparisons()
        poster = thumbnails[len(thumbnails) // 3].url if thumbnails else stills[0].after if stills else None
        fields: dict[str, Any] = {
            "files": package.files(),
            "thumbnails": thumbnails,
            "storyboard": package.storyboard(cues),
            "comparisons": stills,
            "player": package.player(playlists, poster),
        }
        if facts:
            made: Sequence[Rendition] = package.renditions(facts.renditions, facts.source) or package.upscaled(facts.info)
            fields["renditions"] = with_quality(made, package.result.metrics.get("quality") or quality)
        return fields


def _has_succeeded(run: Run, tasks: Sequence[TaskState], task_id: str) -> bool:
    # Airflow may have forgotten the tasks of an old run.
    return any(task.task_id == task_id and task.state == "success" for task in tasks) or (not tasks and run.state == "success")


def fresh_outcome(run: Run, folder: Folder) -> Outcome | None:
    """Return what became of this attempt of a run; not what became of an earlier one."""
    outcome = folder.outcome
    if outcome is None or outcome.run_id != run.run_id or run.start_date is None:
        return None
    return outcome if outcome.finished_at >= run.start_date.replace(microsecond=0) else None


def _failures(run: Run, tasks: Sequence[TaskState], folder: Folder) -> list[UnitResult]:
    """Return the failed results of the tasks that do not fan out, of this attempt."""
    found = []
    for task in tasks:
        result = folder.results.get(task.task_id)
        if task.state != "failed" or result is None or result.status != "failed" or task.start_date is None:
            continue
        if result.finished_at >= task.start_date.replace(microsecond=0):
            found.append(result)
    return found


def problem_of(outcome: Outcome | None, failures: Sequence[UnitResult]) -> Problem | None:
    """Return why a run has failed: what its report says, else the first unit that failed for a reason of its own."""
    documents = [outcome.error] if outcome and outcome.error else []
    documents += [result.error for result in failures if result.error]
    documents.sort(key=lambda document: document.get("code") == "Cancelled")
    for document in documents:
        error = error_from_document(document)
        # A code that this version does not know stays as it is.
        return Problem(code=str(document.get("code") or error.code), message=error.message, retryable=error.retryable)
    return None


def _cpu_seconds(folder: Folder, outcome: Outcome | None, strip: Strip) -> float | None:
    told: Any = outcome.metrics.get("cpu_seconds") if outcome else None
    if not told and strip.units:
        told = sum(_number(result.metrics.get("cpu_seconds")) for result in folder.results.values())
    return round(_number(told), 1) or None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
