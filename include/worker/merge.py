"""The merge unit: join the segments, copy the rest from the source, verify, publish."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import StorageError
from include.ffmpeg_ops.containers import container_of
from include.media_store.models import ObjectRef
from include.worker import __version__
from include.worker.keep_log import keep_log
from include.worker.models import CODE_VERSION, MergeTask, UnitResult, UpscaleUnitTask, WorkUnit
from include.worker.parts import check_source, done_results, fetch_outputs
from include.worker.publish import Destination, publish
from include.worker.report import costs_of
from include.worker.requests import split_key
from include.worker.work import Made, in_parallel, last_fingerprint
from include.worker.workbench import Workbench

if TYPE_CHECKING:
    from include.ffmpeg_ops.comparison import Still

__all__ = ["MergeWork"]

logger = logging.getLogger(__name__)


class MergeWork:
    """Makes the output of the segments and the source; the destination key is written last."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, MergeTask)  # noqa: S101 - chosen by this very type
        assert unit.source is not None  # noqa: S101 - the split unit writes it
        self._workbench = workbench
        self._unit = unit
        self._source = unit.source
        self._request = unit.task.request
        self._plan = workbench.job.read_super_resolution_plan()
        self._units: list[WorkUnit] = list(in_parallel(workbench.job.read_unit, unit.task.units, workbench.check))
        self.fingerprint = last_fingerprint(unit, self._plan, self._units)

    def finished(self) -> UnitResult | None:
        """Return the marker where plan and units are what they were and what was published is still there."""
        return self._workbench.job.finished(self._unit, self.fingerprint)

    def run(self) -> Made:
        """Join, copy, verify, report, publish; with ``debug`` the intermediate files, too."""
        workbench, request = self._workbench, self._request
        results = done_results(workbench, self._units)
        split = workbench.job.read_result("split")
        wanted = [*results, _segments_of(split)] if split and request.task == "debug" else results
        files = fetch_outputs(workbench, wanted)
        folder, _, extension = split_key(request.destination_key)
        out_dir = workbench.scratch / "out"
        out_dir.mkdir()
        entry = request.destination_key.removeprefix(folder)
        with keep_log(workbench.scratch / "merge.log") as log:
            facts, stills = self._make([files[unit.id, "video"] for unit in self._units], out_dir / entry, extension)
        report = self._report(results, facts)
        (workbench.scratch / "report.json").write_text(report, encoding="utf-8")
        workbench.store.put_bytes(workbench.job.bucket, workbench.job.report_key, report.encode())
        check_source(workbench, self._source)
        kept = self._debug_files(files, log, out_dir) if request.task == "debug" else []
        outputs = publish(workbench, {"": Destination(request.bucket, folder, out_dir, (*kept, entry), entry)})
        fingerprints = {unit.id: unit.fingerprint for unit in self._units} | ({"split": split.fingerprint} if split else {})
        metrics = {
            "units": fingerprints,
            "source_etag": self._source.etag,
            # What the output for another request with the same destination may lack.
            "wanted": {"model": _model_of(self._units[0]), "debug": request.task == "debug"},
            "bytes": facts["size"],
            "frames": facts["frames"],
            "seconds": round(float(self._plan.info.duration), 3),
            "width": facts["width"],
            "height": facts["height"],
            "comparisons": self._keep(stills),
        }
        return Made(outputs, metrics=metrics)

    def clean_up(self) -> None:
        """Delete the segments' files, which nobody needs any more."""
        if not self._workbench.settings.keep_work_files:
            self._workbench.store.delete_prefix(self._workbench.job.bucket, self._workbench.job.chunks_prefix)

    def _make(self, parts: Sequence[Path], out: Path, extension: str) -> tuple[Mapping[str, Any], Sequence[Still]]:
        workbench, plan, media = self._workbench, self._plan, self._workbench.media
        container = container_of(extension)
        with workbench.phase("fetch", self._source.size, "bytes"):
            source = workbench.fetch(self._source, f"source{extension.lower()}")
        video = workbench.scratch / "video.mp4"
        with workbench.phase("splice"):
            media.splice(parts, plan.manifest, video, lead=media.lead_of(plan.info), cancelled=workbench.cancelled)
        with workbench.phase("merge"):
            media.merge(source, plan.info, video, out, kept=plan.kept, container=container, **workbench.run_arguments())
        folder = workbench.scratch / "compare"
        folder.mkdir()
        with workbench.phase("compare"):
            stills: Sequence[Still] = media.compare(
                source,
                plan.info,
                plan.manifest,
                video,
                folder,
                scale=self._request.scale,
                lead=media.lead_of(plan.info),
                **workbench.run_arguments(),
            )
        video.unlink()
        with workbench.phase("verify"):
            facts: Mapping[str, Any] = media.verify_fidelity(
                source,
                plan.info,
                plan.manifest,
                out,
                scale=self._request.scale,
                kept=plan.kept,
                container=container,
                scratch=workbench.scratch,
                **workbench.run_arguments(),
            )
        return facts, stills

    def _keep(self, stills: Sequence[Still]) -> list[dict[str, Any]]:
        """Keep the stills among the job's documents; they are none of its outputs, so that nothing is made again without them."""
        try:
            return [
                {
                    "time": round(float(still.time), 3),
                    "frame": still.frame,
                    "pts": still.pts,
                    "width": still.width,
                    "height": still.height,
                    "before": self._kept(still.before),
                    "after": self._kept(still.after),
                }
                for still in stills
            ]
        except StorageError as error:
            logger.warning("The stills to compare are not kept: %s", error.message)
            return []

    def _kept(self, path: Path) -> dict[str, Any]:
        job = self._workbench.job
        ref: ObjectRef = self._workbench.store.upload(path, job.bucket, f"{job.compare_prefix}{path.name}", "image/jpeg")
        return ref.model_dump(mode="json")

    def _report(self, results: Sequence[UnitResult], facts: Mapping[str, Any]) -> str:
        workbench, request = self._workbench, self._request
        document = {
            "reelflow": {
                "version": __version__,
                "code_version": CODE_VERSION,
                "ffmpeg": workbench.media.tools(workbench.settings).version,
            },
            "job_id": request.job_id,
            "request": request.model_dump(mode="json", exclude={"client"}),
            "source": self._source.model_dump(mode="json") | {"probe": self._plan.info.model_dump(mode="json")},
            "destination": {"bucket": request.bucket, "key": request.destination_key},
            "split": self._plan.manifest.container,
            "segments": [
                {name: result.metrics.get(name) for name in ("frames", "reused_frames", "fps", "backend", "stages")}
                for result in results
            ],
            "dropped_streams": [stream.model_dump(mode="json") for stream in self._plan.dropped],
            "verification": dict(facts),
            "costs": costs_of([*(result.metrics for result in results), workbench.metrics()]),
        }
        return json.dumps(document, indent=1)

    def _debug_files(self, files: Mapping[tuple[str, str], Path], log: Path, out_dir: Path) -> list[str]:
        """Lay out what ``debug`` publishes below ``out_dir``; return the paths."""
        name = self._request.debug_folder.removesuffix("/").rpartition("/")[2]
        places = {"logs/merge.log": log, "report.json": self._workbench.scratch / "report.json"}
        for (unit_id, role), path in files.items():
            if role == "log":
                places[f"logs/{unit_id}.log"] = path
            elif role == "video":
                places[f"upscaled/{unit_id}.mp4"] = path
            elif role.startswith("segment-"):
                places[f"segments/{role}"] = path
        (out_dir / name).mkdir()
        (out_dir / name / "manifest.json").write_text(self._plan.manifest.model_dump_json(indent=1), encoding="utf-8")
        for place, path in places.items():
            target = out_dir / name / place
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
        return [f"{name}/manifest.json", *(f"{name}/{place}" for place in places)]


def _model_of(unit: WorkUnit) -> str:
    assert isinstance(unit.task, UpscaleUnitTask)  # noqa: S101 - the split unit has written no other
    return unit.task.upscale.model


def _segments_of(split: UnitResult) -> UnitResult:
    # The others of its outputs are documents of the job.
    files = tuple(output for output in split.outputs if output.name.startswith("segment-") or output.name == "log")
    return split.model_copy(update={"outputs": files})
