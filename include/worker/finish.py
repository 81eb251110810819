"""The finish unit: assemble what the other units made, verify it, publish it."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any

from include.errors import MediaError
from include.ffmpeg_ops.models import Plan
from include.worker.models import FinishTask, Output, UnitResult, WorkUnit
from include.worker.parts import check_source, common_source, done_results, fetch_outputs
from include.worker.publish import publish
from include.worker.report import render_report, weighted_quality
from include.worker.work import Made, in_parallel
from include.worker.workbench import Workbench

__all__ = ["FinishWork"]

logger = logging.getLogger(__name__)

REPORT = "report.json"


class FinishWork:
    """Joins chunks and audio to what the request asks for; the destination key is written last."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, FinishTask)  # noqa: S101 - chosen by this very type
        self._workbench = workbench
        self._request = unit.task.request
        self._plan: Plan = workbench.job.read_plan()
        self._units: list[WorkUnit] = list(in_parallel(workbench.job.read_unit, unit.task.units, workbench.check))
        self._source = common_source(self._units)
        self._unit = unit.model_copy(update={"source": self._source})
        decided_by = [self._unit.fingerprint, self._plan.model_dump(mode="json"), [part.fingerprint for part in self._units]]
        self.fingerprint = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()

    def finished(self) -> UnitResult | None:
        """Return the marker where plan and units are what they were and everything published is still there."""
        return self._workbench.job.finished(self._unit, self.fingerprint)

    def run(self) -> Made:
        """Assemble, verify, report, publish; outputs are the published files by their path, the entry last."""
        workbench, plan, request = self._workbench, self._plan, self._request
        results = done_results(workbench, self._units)
        files = fetch_outputs(workbench, results)
        out_dir = workbench.scratch / "out"
        out_dir.mkdir()
        with workbench.phase("package"):
            parts = {rung.name: [files[unit.id, rung.name] for unit in self._units if unit.id != "audio"] for rung in plan.rungs}
            audio = [files["audio", f"audio-{number}"] for number in range(len(plan.audio))]
            thumbnails = [path for (_, name), path in files.items() if name.startswith("thumbnail")]
            arguments: dict[str, Any] = workbench.run_arguments()
            if plan.container == "hls":
                package = workbench.media.package_hls(plan, parts, audio, thumbnails, out_dir, request.name, **arguments)
            else:
                package = workbench.media.package_file(plan, parts, audio, out_dir, request.name, **arguments)
        with workbench.phase("verify"):
            salvaged = _salvaged(results)
            facts = workbench.media.verify_package(plan, package, out_dir, actual_frames=salvaged, **workbench.run_arguments())
        sizes = {file: (out_dir / file).stat().st_size for file in package.files}
        report = render_report(
            request=request,
            source=self._source,
            plan=plan,
            results=results,
            sizes=sizes,
            facts=facts,
            costs=workbench.metrics(),
            ffmpeg=workbench.media.tools(workbench.settings).version,
        )
        (out_dir / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
        check_source(workbench, self._source)
        before = workbench.job.read_result("finish")
        outputs = publish(
            workbench,
            out_dir,
            bucket=request.bucket,
            folder=request.folder,
            files=[REPORT, *package.files],
            entry=package.entry,
        )
        self._remove_stale(before, outputs)
        metrics = {
            "units": {unit.id: unit.fingerprint for unit in self._units},
            "files": len(outputs),
            "bytes": sum(sizes.values()),
            "frames": sum(salvaged) if salvaged else plan.info.video.frames,
            "seconds": round(float(plan.info.duration), 3),
            "quality": weighted_quality(results),
            "costs": report["costs"],
        }
        return Made(outputs, metrics=metrics)

    def clean_up(self) -> None:
        """Delete the chunk files, which nobody needs any more."""
        if not self._workbench.settings.keep_work_files:
            self._workbench.store.delete_prefix(self._workbench.job.bucket, self._workbench.job.chunks_prefix)

    def _remove_stale(self, before: UnitResult | None, outputs: tuple[Output, ...]) -> None:
        """Remove what an earlier package published here and this one does not hold; never what is not ours."""
        if before is None:
            return
        kept = {output.ref.key for output in outputs}
        stale = [output.ref for output in before.outputs if output.ref.key not in kept]
        for ref in stale:
            try:
                if self._workbench.store.head(ref.bucket, ref.key) == ref:
                    self._workbench.store.delete(ref.bucket, ref.key)
            except MediaError as error:
                logger.warning("%s, of an earlier package, stays: %s", ref.uri, error)


def _salvaged(results: list[UnitResult]) -> list[int] | None:
    """Return the frames of each chunk where some are missing, else ``None``."""
    chunks = [result.metrics for result in results if result.unit_id != "audio"]
    return [int(metrics["frames"]) for metrics in chunks] if any(metrics.get("frames_missing") for metrics in chunks) else None
