"""What the last units of a transcode have in common: the files of the other units, joined and verified."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import MediaError
from include.ffmpeg_ops.models import Plan
from include.worker.models import Output, UnitResult, WorkUnit
from include.worker.parts import common_source, done_results, fetch_outputs
from include.worker.report import weighted_quality
from include.worker.work import in_parallel, last_fingerprint
from include.worker.workbench import Workbench

if TYPE_CHECKING:
    from include.ffmpeg_ops.package import Package

__all__ = ["Assembly", "remove_stale"]

logger = logging.getLogger(__name__)


class Assembly:
    """The plan and the units of a job; :meth:`fetch` comes before the rest."""

    def __init__(self, workbench: Workbench, unit: WorkUnit, units: Sequence[str]) -> None:
        self._workbench = workbench
        self.plan: Plan = workbench.job.read_plan()
        self.units: list[WorkUnit] = list(in_parallel(workbench.job.read_unit, units, workbench.check))
        self.source = common_source(self.units)
        self.unit = unit.model_copy(update={"source": self.source})
        self.results: list[UnitResult] = []
        self._files: dict[tuple[str, str], Path] = {}

    def fingerprint(self, *decided_by: Any) -> str:
        """Return the identity of what comes out; see :func:`last_fingerprint`."""
        return last_fingerprint(self.unit, self.plan, self.units, *decided_by)

    def fetch(self) -> None:
        """Get results and files of the other units; raises :class:`InternalError` where one is missing."""
        self.results = done_results(self._workbench, self.units)
        self._files = fetch_outputs(self._workbench, self.results)

    @property
    def salvaged(self) -> list[int] | None:
        """The frames of each chunk where some are missing, else ``None``."""
        chunks = [result.metrics for result in self.results if result.unit_id != "audio"]
        missing = any(metrics.get("frames_missing") for metrics in chunks)
        return [int(metrics["frames"]) for metrics in chunks] if missing else None

    def package(self, out_dir: Path, name: str) -> tuple[Package, dict[str, Any]]:
        """Join everything under ``out_dir`` and read it back; return the package and the facts that verification found."""
        workbench, plan = self._workbench, self.plan
        out_dir.mkdir()
        chunks = [unit.id for unit in self.units if unit.id != "audio"]
        parts = {rung.name: [self._files[unit, rung.name] for unit in chunks] for rung in plan.rungs}
        audio = [self._files["audio", f"audio-{number}"] for number in range(len(plan.audio))]
        with workbench.phase("package"):
            arguments: dict[str, Any] = workbench.run_arguments()
            if plan.container == "hls":
                thumbnails = [path for (_, name), path in self._files.items() if name.startswith("thumbnail")]
                package = workbench.media.package_hls(plan, parts, audio, thumbnails, out_dir, name, **arguments)
            else:
                package = workbench.media.package_file(plan, parts, audio, out_dir, name, **arguments)
        with workbench.phase("verify"):
            facts = workbench.media.verify_package(
                plan, package, out_dir, actual_frames=self.salvaged, audio=audio, **workbench.run_arguments()
            )
        return package, facts

    def metrics(self, outputs: Sequence[Output], sizes: int, costs: Any) -> dict[str, Any]:
        """Return the metrics of the last unit: the fingerprints of the others, and what was published."""
        salvaged = self.salvaged
        return {
            "units": {unit.id: unit.fingerprint for unit in self.units},
            "source_etag": self.source.etag,
            "files": len(outputs),
            "bytes": sizes,
            "frames": sum(salvaged) if salvaged else sum(chunk.frames for chunk in self.plan.chunks),
            "seconds": round(float(self.plan.info.duration), 3),
            "quality": weighted_quality(self.results),
            "costs": costs,
        }

    def clean_up(self) -> None:
        """Delete the files that passed between units, which nobody needs any more."""
        if not self._workbench.settings.keep_work_files:
            self._workbench.store.delete_prefix(self._workbench.job.bucket, self._workbench.job.chunks_prefix)


def remove_stale(workbench: Workbench, before: UnitResult | None, outputs: tuple[Output, ...]) -> None:
    """Remove what an earlier package published and this one does not hold; never what is not ours."""
    if before is None:
        return
    kept = {(output.ref.bucket, output.ref.key) for output in outputs}
    stale = [output.ref for output in before.outputs if (output.ref.bucket, output.ref.key) not in kept]
    for ref in stale:
        try:
            if workbench.store.head(ref.bucket, ref.key) == ref:
                workbench.store.delete(ref.bucket, ref.key)
        except MediaError as error:
            logger.warning("%s, of an earlier package, stays: %s", ref.uri, error)
