"""Super-resolution on the command line, for people without Airflow.

python -m include.sr_model upscale in.mp4 out.mp4 --scale 2 --model fast
python -m include.sr_model upscale photo.jpg large.png --scale 4
python -m include.sr_model compare lanczos.mp4 ours.mp4 beside.mp4 --reference original.mp4
python -m include.sr_model bench [clip.mp4]
python -m include.sr_model compile --backend neuron --scale 2 --model fast
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from include.errors import MediaError
from include.settings import Settings, get_settings
from include.sr_model.backends.select import BACKENDS
from include.sr_model.zoo import MODELS, VARIANTS, find

BAR = 30
PRESETS = get_args(Settings.model_fields["sr_preset"].annotation)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 where it failed and standard error says why."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except MediaError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or 'the output'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.sr_model", description="Upscale videos and stills.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    upscale = commands.add_parser("upscale", help="upscale a video (all else in it is copied) or a still (to PNG)")
    upscale.add_argument("source", type=Path)
    upscale.add_argument("out", type=Path)
    _network_options(upscale)
    upscale.add_argument("--variant", choices=VARIANTS, default="video", help="clean: for sources that were never compressed")
    upscale.add_argument("--backend", choices=("auto", *BACKENDS), default=get_settings().sr_backend)
    upscale.add_argument("--crf", type=_crf, default=get_settings().sr_crf)
    upscale.add_argument("--preset", choices=PRESETS, default=get_settings().sr_preset)
    upscale.set_defaults(run=_upscale)

    compare = commands.add_parser("compare", help="put two versions side by side, and measure both against a reference")
    compare.add_argument("first", type=Path)
    compare.add_argument("second", type=Path)
    compare.add_argument("out", type=Path, help="a video, or a PNG")
    compare.add_argument("--reference", type=Path)
    compare.set_defaults(run=_compare)

    bench = commands.add_parser("bench", help="measure networks, backends and the whole way on this machine")
    bench.add_argument("clip", type=Path, nargs="?", help="default: twelve seconds of 640x360, made now")
    _network_options(bench)
    bench.add_argument("--preset", choices=PRESETS, default=get_settings().sr_preset)
    bench.add_argument("--runs", type=int, default=3, help="the best of so many counts")
    bench.set_defaults(run=_bench)

    compile_ = commands.add_parser("compile", help="compile a network for a Neuron device")
    compile_.add_argument("--backend", choices=("neuron", "neuronx"), required=True)
    _network_options(compile_)
    compile_.set_defaults(run=_compile)
    return parser


def _network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", type=int, choices=(2, 4), default=2)
    parser.add_argument("--model", choices=MODELS, default=get_settings().sr_model)


def _crf(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 51:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 51")
    return value


def _upscale(options: argparse.Namespace) -> None:
    from include.sr_model import stills  # noqa: PLC0415
    from include.sr_model.whole import upscale_file  # noqa: PLC0415

    started = time.monotonic()
    if options.source.suffix.lower() in stills.SUFFIXES:
        width, height = stills.upscale_still(
            options.source, options.out, scale=options.scale, model=options.model, variant=options.variant
        )
        print(f"{options.out}: {width}x{height}, {time.monotonic() - started:.1f} s")
        return
    made = upscale_file(
        options.source,
        options.out,
        backend=options.backend,
        variant=options.variant,
        on_progress=_show if sys.stderr.isatty() else None,
        scale=options.scale,
        model=options.model,
        crf=options.crf,
        preset=options.preset,
    )
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(
        f"{options.out}: {made.width}x{made.height}, {made.frames} frames ({made.reused} repeated) "
        f"at {made.fps:.1f}/s on {made.backend} {made.precision}, {time.monotonic() - started:.1f} s"
    )


def _show(frames: int, total: int, fps: float | None) -> None:
    done = BAR * frames // total
    left = f"{(total - frames) / fps:5.0f} s left" if fps else ""
    bar = "#" * done + "-" * (BAR - done)
    print(f"\r[{bar}] {frames}/{total} frames {fps or 0:6.1f}/s {left} ", end="", file=sys.stderr, flush=True)


def _compare(options: argparse.Namespace) -> None:
    from include.sr_model.compare import measure, side_by_side  # noqa: PLC0415

    side_by_side(options.first, options.second, options.out)
    print(options.out)
    if options.reference:
        for path in (options.first, options.second):
            values = measure(path, options.reference)
            print(f"{path}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))


def _bench(options: argparse.Namespace) -> None:
    from include.sr_model.bench import bench  # noqa: PLC0415

    bench(options.clip, scale=options.scale, model=options.model, preset=options.preset, runs=options.runs)


def _compile(options: argparse.Namespace) -> None:
    from include.sr_model.backends.neuron import compile_network  # noqa: PLC0415

    print(compile_network(options.backend, find(options.scale, options.model), get_settings().sr_compiled_dir))


if __name__ == "__main__":
    sys.exit(main())
