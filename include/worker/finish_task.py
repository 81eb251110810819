"""The finish unit of a transcoding task: assemble, verify, and put the same output at every target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.net.urls import MediaUrl, parse_target
from include.worker.assembly import Assembly, remove_stale
from include.worker.models import FinishTask, UnitResult, WorkUnit
from include.worker.parts import check_source
from include.worker.publish import Destination, publish
from include.worker.report import render_report
from include.worker.requests import split_key
from include.worker.task_request import TaskReference
from include.worker.work import Made
from include.worker.workbench import Workbench

if TYPE_CHECKING:
    from include.ffmpeg_ops.package import Package

__all__ = ["TaskFinishWork"]


class TaskFinishWork:
    """Joins chunks and audio to what the profile asks for; no target has it before all of them have all but its entry."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, FinishTask)  # noqa: S101 - chosen by this very type
        assert isinstance(unit.task.request, TaskReference)  # noqa: S101 - and by this one
        self._workbench = workbench
        self._reference = unit.task.request
        self._targets = [parse_target(target) for target in workbench.job.read_task().targets]
        self._assembly = Assembly(workbench, unit, unit.task.units)
        self.fingerprint = self._assembly.fingerprint([target.text for target in self._targets])

    def finished(self) -> UnitResult | None:
        """Return the marker where plan, units and targets are what they were and everything published is still there."""
        return self._workbench.job.finished(self._assembly.unit, self.fingerprint)

    def run(self) -> Made:
        """Assemble, verify, publish, report; outputs are the published files by target and path, the entries last."""
        workbench, assembly, job = self._workbench, self._assembly, self._workbench.job
        assembly.fetch()
        packages: dict[str, tuple[Path, Package]] = {}
        facts: dict[str, Any] = {}
        for name in dict.fromkeys(map(self._name, self._targets)):
            out_dir = workbench.scratch / f"out-{len(packages)}"
            package, facts = assembly.package(out_dir, name)
            packages[name] = out_dir, package
        destinations = {
            f"{number}/": self._destination(target, *packages[self._name(target)])
            for number, target in enumerate(self._targets, start=1)
        }
        check_source(workbench, assembly.source)
        before = job.read_result("finish")
        outputs = publish(workbench, destinations)
        remove_stale(workbench, before, outputs)
        out_dir, package = packages[self._name(self._targets[0])]
        sizes = {file: (out_dir / file).stat().st_size for file in package.files}
        report = render_report(
            job_id=self._reference.job_id,
            destination=[target.redacted for target in self._targets],
            source=assembly.source,
            plan=assembly.plan,
            results=assembly.results,
            sizes=sizes,
            facts=facts,
            costs=workbench.metrics(),
            ffmpeg=workbench.media.tools(workbench.settings).version,
        )
        job.store.put_bytes(job.bucket, job.report_key, json.dumps(report, indent=1).encode())
        return Made(outputs, metrics=assembly.metrics(outputs, sum(sizes.values()), report["costs"]))

    def clean_up(self) -> None:
        """Delete the chunk files and the copy of a source from the web, which nobody needs any more."""
        self._assembly.clean_up()

    def _name(self, target: MediaUrl) -> str:
        """Return the name of a target's package: a playlist's segments are named like it, so that neighbours stay apart."""
        return split_key(target.key)[1] if self._assembly.plan.container == "hls" else "output"

    @staticmethod
    def _destination(target: MediaUrl, out_dir: Path, package: Package) -> Destination:
        folder = target.key[: target.key.rfind("/") + 1]
        return Destination(target.bucket, folder, out_dir, package.files, package.entry, target.key)
