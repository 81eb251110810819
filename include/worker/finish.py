"""The finish unit of a transcode: assemble what the other units made, verify it, publish it."""

from __future__ import annotations

import json

from include.worker.assembly import Assembly, remove_stale
from include.worker.models import FinishTask, TranscodeRequest, UnitResult, WorkUnit
from include.worker.parts import check_source
from include.worker.publish import Destination, publish
from include.worker.report import render_report
from include.worker.work import Made
from include.worker.workbench import Workbench

__all__ = ["FinishWork"]

REPORT = "report.json"


def report_of(request: TranscodeRequest) -> str:
    """Return the file name of a request's report: a ladder and an MP4 of one video may be published in one folder."""
    return REPORT if request.container == "hls" else f"{request.name}.{REPORT}"


class FinishWork:
    """Joins chunks and audio to what the request asks for; the destination key is written last."""

    def __init__(self, workbench: Workbench, unit: WorkUnit) -> None:
        assert isinstance(unit.task, FinishTask)  # noqa: S101 - chosen by this very type
        assert isinstance(unit.task.request, TranscodeRequest)  # noqa: S101 - tasks of contract 3 have an end of their own
        self._workbench = workbench
        self._request = unit.task.request
        self._assembly = Assembly(workbench, unit, unit.task.units)
        self.fingerprint = self._assembly.fingerprint()

    def finished(self) -> UnitResult | None:
        """Return the marker where plan and units are what they were and everything published is still there."""
        return self._workbench.job.finished(self._assembly.unit, self.fingerprint)

    def run(self) -> Made:
        """Assemble, verify, report, publish; outputs are the published files by their path, the entry last."""
        workbench, request, assembly = self._workbench, self._request, self._assembly
        assembly.fetch()
        out_dir = workbench.scratch / "out"
        package, facts = assembly.package(out_dir, request.name)
        sizes = {file: (out_dir / file).stat().st_size for file in package.files}
        report = render_report(
            job_id=request.job_id,
            destination={"bucket": request.bucket, "key": request.destination_key},
            source=assembly.source,
            plan=assembly.plan,
            results=assembly.results,
            sizes=sizes,
            facts=facts,
            costs=workbench.metrics(),
            ffmpeg=workbench.media.tools(workbench.settings).version,
        )
        report_file = report_of(request)
        (out_dir / report_file).write_text(json.dumps(report, indent=1), encoding="utf-8")
        check_source(workbench, assembly.source)
        before = workbench.job.read_result("finish")
        files = (report_file, *package.files)
        outputs = publish(workbench, {"": Destination(request.bucket, request.folder, out_dir, files, package.entry)})
        remove_stale(workbench, before, outputs)
        return Made(outputs, metrics=assembly.metrics(outputs, sum(sizes.values()), report["costs"]))

    def clean_up(self) -> None:
        """Delete the chunk files, which nobody needs any more."""
        self._assembly.clean_up()
