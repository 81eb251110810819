"""Super-resolution on the command line, for people without Airflow.

python -m include.sr_model upscale in.mp4 out.mp4 --scale 2 --model fast
python -m include.sr_model upscale photo.jpg large.png --scale 4
python -m include.sr_model compare lanczos.mp4 ours.mp4 beside.mp4 --reference original.mp4
python -m include.sr_model bench [clip.mp4]
python -m include.sr_model compile --backend neuron --all

An output that is there already is replaced only with --overwrite, a source never.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from include.errors import MediaError, ParameterError
from include.settings import Settings, get_settings
from include.sr_model.backends.select import BACKENDS
from include.sr_model.zoo import MODELS, VARIANTS, available, find, preferred

BAR = 30
PRESETS = get_args(Settings.model_fields["sr_preset"].annotation)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 where it failed and standard error says why."""
    options = _parser().parse_args(arguments)
    if "model" in options and options.model is None:
        options.model = preferred(options.scale, get_settings().sr_model)
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
    _overwrite_option(upscale)
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
    _overwrite_option(compare)
    compare.set_defaults(run=_compare)

    bench = commands.add_parser("bench", help="measure networks, backends and the whole way on this machine")
    bench.add_argument("clip", type=Path, nargs="?", help="default: twelve seconds of 640x360, made now")
    _network_options(bench)
    bench.add_argument("--preset", choices=PRESETS, default=get_settings().sr_preset)
    bench.add_argument("--runs", type=_count, default=3, help="the best of so many counts")
    bench.set_defaults(run=_bench)

    compile_ = commands.add_parser("compile", help="compile a network for a Neuron device")
    compile_.add_argument("--backend", choices=("neuron", "neuronx"), required=True)
    _network_options(compile_)
    compile_.add_argument("--all", action="store_true", help="every network for use, whatever --scale and --model say")
    compile_.set_defaults(run=_compile)
    return parser


def _network_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", type=int, choices=(2, 4), default=2)
    parser.add_argument("--model", choices=MODELS, help="default: MEDIA_SR_MODEL, or the largest below it that there is")


def _overwrite_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace OUT where it is there already, once the new one is complete; never a source",
    )


def _check_output(out: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Raise :class:`ParameterError` before any work is done where ``out`` would replace what it must not; no source: ``OSError``.

    A source is never replaced, not under another name (a link) either, as with ffmpeg; and nobody is asked, unlike there:
    scripts have no one to ask.
    """
    for source in sources:
        source.stat()
        if out.exists() and out.samefile(source):
            raise ParameterError(f"{out} is the source {source} itself, which is never replaced; name another output.")
    if out.is_dir():
        raise ParameterError(f"{out} is a folder; name a file in it.")
    if (out.exists() or out.is_symlink()) and not overwrite:
        raise ParameterError(f"{out} is there already; name another output, or say --overwrite to replace it.")


def _crf(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 51:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 51")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _upscale(options: argparse.Namespace) -> None:
    from include.sr_model import stills  # noqa: PLC0415
    from include.sr_model.whole import upscale_file  # noqa: PLC0415

    _check_output(options.out, [options.source], overwrite=options.overwrite)
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

    sources = [path for path in (options.first, options.second, options.reference) if path]
    _check_output(options.out, sources, overwrite=options.overwrite)
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

    every = [entry for entry in available() if entry.variant == "video"]
    networks = every if options.all else [find(options.scale, options.model)]
    for network in networks:
        print(compile_network(options.backend, network, get_settings().sr_compiled_dir), flush=True)


def _end_as_with_control_c() -> None:
    """Let what else ends a program, such as a terminal that is closed, clean up as Control-C does; what is ignored stays so."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


if __name__ == "__main__":
    _end_as_with_control_c()
    sys.exit(main())
