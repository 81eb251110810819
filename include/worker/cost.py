"""``python -m include.worker cost``: what a minute of video costs, by machine.

It multiplies speeds by prices, and says of every figure whether it was measured, given by somebody else, or assumed. Both tables
are data beside this module (``rates/``) and can be replaced: ``--prices``, ``--speeds``, ``--report``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from include.worker.estimate import Estimate, Option, Prices, Speed, Video, estimate
from include.worker.measurement import Report, speed_of_report

__all__ = ["load_prices", "load_speeds", "main", "render"]

RATES = Path(__file__).parent / "rates"
EXIT_USAGE = 2
# What is estimated where neither the question nor a report says it.
DEFAULTS = {"work": "upscale", "size": "640x360", "fps": "30", "scale": 2, "model": "fast"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the estimate and return the exit status: 0, or 2 where the question or a table is wrong."""
    options = _parser().parse_args(arguments)
    try:
        prices = load_prices(options.prices)
        speeds = load_speeds(options.speeds)
        asked = dict(DEFAULTS)
        if options.report:
            report = _report(options)
            speed = _named(speed_of_report(report, options.on, prices), options)
            speeds = [speed, *speeds]
            asked |= _known(speed, report)
        result = estimate(_video(options, asked), prices, speeds)
    except KeyError as error:
        print(f"cost: there is no {error} in the prices", file=sys.stderr)
        return EXIT_USAGE
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        print(f"cost: {': '.join(filter(None, (error.title, place, first['msg'])))}", file=sys.stderr)
        return EXIT_USAGE
    except (OSError, ValueError, yaml.YAMLError) as error:
        print(f"cost: {error}", file=sys.stderr)
        return EXIT_USAGE
    if options.json:
        document = result.model_dump(mode="json") | {"prices": prices.model_dump(mode="json", exclude={"instances", "storage"})}
        print(json.dumps(document, indent=1))
    else:
        print(render(result, prices))
    return 0


def load_prices(path: Path | None = None) -> Prices:
    """Return the built-in prices with those of ``path`` laid over them."""
    table = _read(RATES / "prices.yaml")
    if path is not None:
        own = _read(path)
        if not isinstance(own, dict):
            raise ValueError(f"{path} is no table of prices (see {RATES / 'prices.yaml'})")
        # The date is that of what is known by it: a table of one's own that has none must not borrow ours.
        if "date" not in own:
            raise ValueError(f"{path} wants a `date`: of which day are these prices?")
        for name in ("instances", "storage"):
            part = own.get(name) or {}
            if not isinstance(part, dict):
                raise ValueError(  # noqa: TRY004 - told to users like every wrong value
                    f"{path}: {name} is no table (see {RATES / 'prices.yaml'})"
                )
            own[name] = table[name] | part
        table |= own
    return Prices.model_validate(table)


def load_speeds(path: Path | None = None) -> list[Speed]:
    """Return the speeds of ``path``, then the built-in ones."""
    found = []
    for place in filter(None, (path, RATES / "speeds.yaml")):
        document = _read(place)
        if not isinstance(document, dict) or not isinstance(document.get("speeds"), list):
            raise ValueError(  # noqa: TRY004 - told to users like every wrong value
                f"{place} wants a list named `speeds` (see {RATES / 'speeds.yaml'})"
            )
        found += [Speed.model_validate(entry) for entry in document["speeds"]]
    return found


def render(result: Estimate, prices: Prices) -> str:
    """Return the estimate as a table for people, its assumptions as numbered notes below it."""
    video = result.video
    what = f"x{video.scale}, {video.model}" if video.work == "upscale" else "transcode"
    lines = [
        f"A minute of {video.width}x{video.height} at {video.fps:g} frames/s, {what}: {video.frames:g} frames",
        "",
        f"  {'':34}{'machine':13}{'seconds':>9}{'on demand':>12}{'spot':>12}  basis",
    ]
    notes: list[str] = []
    lines += [_row(option, notes) for option in result.options]
    lines += [f"  {name}: not measured, so there is no figure (--speeds or --report brings one)" for name in result.unmeasured]
    storage = result.storage
    lines += [
        "",
        f"  S3, roughly: {storage.gigabytes * 1000:.0f} MB kept, {storage.per_month:.5f} a month; {storage.writes:.0f} writes "
        f"and {storage.reads:.0f} reads, {storage.requests:.5f} once",
        "",
        f"Prices: {prices.currency}, {prices.region}, {prices.date}: {prices.source}.",
        *(f"[{number}] {note}" for number, note in enumerate(notes, 1)),
    ]
    return "\n".join(lines)


def _row(option: Option, notes: list[str]) -> str:
    texts = [f"assumed: {text}" for text in option.assumptions]
    texts.append(f"{'given' if option.status == 'given' else 'measured'}: {option.source}")
    for text in texts:
        if text not in notes:
            notes.append(text)
    marks = "".join(f"[{notes.index(text) + 1}]" for text in texts)
    spot = f"{'~' if option.spot_assumed else ''}{option.spot:.5f}"
    return (
        f"  {option.name:34}{option.instance:13}{option.machine_seconds:9.1f}{option.on_demand:12.5f}{spot:>12}  "
        f"{option.status} {marks}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.worker cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # What has no default here is that of the report, else of DEFAULTS.
    parser.add_argument("--work", choices=("upscale", "transcode"), help="default upscale")
    parser.add_argument("--size", metavar="WxH", help="size of the source (default 640x360)")
    parser.add_argument("--fps", help="frames a second, as 30 or 30000/1001 (default 30)")
    parser.add_argument("--scale", type=int, choices=(2, 4), help="default 2")
    parser.add_argument("--model", help="network: fast, balanced or quality (default fast)")
    parser.add_argument("--segment-seconds", type=float, default=60.0, help="seconds of video per unit (default 60)")
    parser.add_argument("--overhead-seconds", type=float, default=0.0, help="what a unit costs of a machine beside its work")
    parser.add_argument("--output-bit-rate", type=float, default=8e6, help="bits a second of what is kept (default 8e6, assumed)")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="YAML or JSON laid over the built-in prices")
    parser.add_argument("--speeds", type=Path, metavar="FILE", help="YAML or JSON with speeds of your own")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="report.json of a run whose units had a machine each; its values become the defaults",
    )
    parser.add_argument("--on", metavar="INSTANCE", help="with --report: the type of those machines")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _report(options: argparse.Namespace) -> Report:
    if not options.on:
        raise ValueError("--report wants --on, the instance type that the run's units had")
    return Report.model_validate(json.loads(options.report.read_text(encoding="utf-8")))


def _named(speed: Speed, options: argparse.Namespace) -> Speed:
    """Return the speed with the network that its run had; raises :class:`ValueError` where something else was asked for."""
    if speed.work == "upscale" and speed.model is None:
        if options.model is None:
            raise ValueError("the report does not name the network (MEDIA_SR_MODEL decided), so --model is wanted")
        speed = speed.model_copy(update={"model": options.model})
    what = f"an upscale, scale {speed.scale}, model {speed.model}" if speed.work == "upscale" else "a transcode"
    for name in ("work", "scale", "model"):
        given = getattr(options, name)
        if given not in (None, getattr(speed, name)):
            raise ValueError(f"--{name} {given}: the report is of {what}")
    return speed


def _known(speed: Speed, report: Report) -> dict[str, Any]:
    """Return what a report says of its run, by the names of the options."""
    size = f"{speed.width}x{speed.height}"
    known = {"work": speed.work, "scale": speed.scale, "model": speed.model, "size": size, "fps": report.stream.frame_rate}
    return {name: value for name, value in known.items() if value is not None}


def _video(options: argparse.Namespace, asked: dict[str, Any]) -> Video:
    asked = asked | {name: value for name, value in vars(options).items() if name in asked and value is not None}
    size, fps = asked.pop("size"), asked.pop("fps")
    width, _, height = size.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError(f"--size wants width and height as 640x360, not {size!r}")
    try:
        rate = float(Fraction(fps))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"--fps wants frames a second as 30 or 30000/1001, not {fps!r}") from None
    others = {name: getattr(options, name) for name in ("segment_seconds", "overhead_seconds", "output_bit_rate")}
    return Video(width=int(width), height=int(height), fps=rate, **asked, **others)


def _read(path: Path) -> Any:
    # JSON is YAML, too.
    return yaml.safe_load(path.read_text(encoding="utf-8"))
