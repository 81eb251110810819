"""``report.json``: what was made of which source, how good it is and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.ffmpeg_ops.models import Plan
from include.media_store.models import ObjectRef
from include.worker import __version__
from include.worker.models import CODE_VERSION, UnitResult

__all__ = ["costs_of", "render_report", "weighted_quality"]


def render_report(
    *,
    job_id: str,
    destination: Any,
    source: ObjectRef,
    plan: Plan,
    results: Sequence[UnitResult],
    sizes: Mapping[str, int],
    facts: Mapping[str, Any],
    costs: Mapping[str, Any],
    ffmpeg: str,
) -> dict[str, Any]:
    """Return the report as JSON values.

    ``destination`` says where it was published, ``sizes`` are bytes of every published file by its path, ``facts`` what
    verification found, ``costs`` the finish unit's own metrics; ``quality`` of a rendition is the mean over its chunks, weighted
    by their frames.
    """
    seconds = float(plan.info.duration)
    quality = weighted_quality(results)
    renditions = []
    for rung in plan.rungs:
        size = _rendition_size(sizes, rung.name, plan.container)
        renditions.append(
            {
                **rung.model_dump(mode="json"),
                "bytes": size,
                "average_bit_rate": round(size * 8 / seconds) if seconds else None,
                "quality": quality.get(rung.name),
            }
        )
    return {
        "reelflow": {"version": __version__, "code_version": CODE_VERSION, "ffmpeg": ffmpeg},
        "job_id": job_id,
        "source": {
            "bucket": source.bucket,
            "key": source.key,
            "etag": source.etag,
            "bytes": source.size,
            "probe": plan.info.model_dump(mode="json", exclude={"dropped", "damage"}),
        },
        "destination": destination,
        "container": plan.container,
        "profile": plan.profile,
        "frames": sum(int(result.metrics.get("frames", 0)) for result in results),
        "seconds": round(seconds, 3),
        "chunks": len(plan.chunks),
        "renditions": renditions,
        "audio": [target.model_dump(mode="json") for target in plan.audio],
        "dropped_streams": [stream.model_dump(mode="json") for stream in plan.info.dropped],
        "damage": list(plan.info.damage),
        "restarted": {result.unit_id: result.metrics["restarted"] for result in results if "restarted" in result.metrics},
        "files": len(sizes),
        "bytes": sum(sizes.values()),
        "verification": facts,
        "costs": costs_of([*(result.metrics for result in results), costs]),
    }


def weighted_quality(results: Sequence[UnitResult]) -> dict[str, dict[str, float]]:
    """Return ``{rung: {measure: mean}}`` over all chunks that were measured, weighted by frames."""
    sums: dict[str, dict[str, tuple[float, int]]] = {}
    for result in results:
        frames = int(result.metrics.get("frames", 0))
        for rung, measures in (result.metrics.get("quality") or {}).items():
            for name, value in measures.items():
                total, count = sums.setdefault(rung, {}).get(name, (0.0, 0))
                sums[rung][name] = (total + float(value) * frames, count + frames)
    return {
        rung: {name: round(total / count, 4) for name, (total, count) in measures.items() if count}
        for rung, measures in sums.items()
    }


def _rendition_size(sizes: Mapping[str, int], rung: str, container: str) -> int:
    if container == "hls":
        return sum(size for path, size in sizes.items() if path.startswith(f"{rung}/"))
    return sum(sizes.values())


def costs_of(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what units cost together, from their metrics."""
    phases: dict[str, dict[str, float]] = {}
    for one in metrics:
        for name, spent in one.get("phases", {}).items():
            total = phases.setdefault(name, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
            for measure in total:
                total[measure] = round(total[measure] + spent.get(measure, 0.0), 3)
    totals = {
        name: round(sum(one.get(name, 0) for one in metrics), 3)
        for name in ("wall_seconds", "cpu_seconds", "bytes_read", "bytes_written")
    }
    return {**totals, "units": len(metrics), "phases": phases}
