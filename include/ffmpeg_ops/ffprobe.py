"""The ffprobe passes over one file: streams, packets, and decoded frames where packets do not tell."""

from __future__ import annotations

import json
import logging
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from include.errors import InputError, InputNotSupported, InvalidInputData, LimitExceeded, TimedOut
from include.ffmpeg_ops import damage, log, packets, runner
from include.ffmpeg_ops.packets import Frame, StreamPackets
from include.ffmpeg_ops.runner import Completed
from include.settings import Settings

__all__ = ["Source"]

logger = logging.getLogger(__name__)

# A bound for what is read and kept in memory: twelve hours at 60 fps with two audio streams have about 7 million packets.
MAX_PACKETS = 10_000_000
# One piece of memory: the longest sound headers and the largest pictures fit, what is made to fill the machine does not.
MAX_ALLOCATION = 2**29
# Read speed below which something is wrong, bytes a second.
SLOWEST_READ = 20 * 2**20

# Probe, trial, merge and verification all begin with what a file says of itself; the last answers are kept, each with the
# damage that ffprobe told of. A file that was written again is another one.
_KEPT_ANSWERS = 8
_answers: OrderedDict[tuple[object, ...], tuple[Mapping[str, Any], tuple[str, ...]]] = OrderedDict()


class Source:
    """A file and the ffprobe passes over it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path.resolve()
        self._settings = settings
        self.container = ""
        self.said: list[str] = []
        status = self._path.stat()
        self.size = status.st_size
        self._identity = (self._path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, settings.ffprobe)
        with self._path.open("rb") as file:
            self.head = file.read(1024)
            file.seek(max(0, self.size - damage.LONGEST_PAGE))
            self.tail = file.read()

    def document(self) -> Mapping[str, Any]:
        """Return ffprobe's streams, programs, format and chapters: asked once for a file, and not to be changed."""
        document, said = _answers.get(self._identity) or self._ask()
        self.said += said
        self.container = document["format"]["format_name"]
        return document

    def _ask(self) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        if not self.size:
            raise InvalidInputData("The source is empty.")
        options = ("-show_format", "-show_streams", "-show_programs", "-show_chapters", "-of", "json", *runner.ANALYSIS)
        try:
            done = self._complete(options)
        except InputError as error:
            raise self._refusal(error) from error
        if refused := log.too_large(done.log):
            raise refused
        document: Mapping[str, Any] = json.loads(done.stdout)
        if "format" not in document:
            raise InvalidInputData("The source has no readable header.")
        _answers[self._identity] = document, done.damage
        while len(_answers) > _KEPT_ANSWERS:
            _answers.popitem(last=False)
        return document, done.damage

    def packets(self) -> dict[int, StreamPackets]:
        """Return the packets of all streams."""
        interval = f"%+#{MAX_PACKETS}"
        table = packets.parse_packets(
            self._run("-show_entries", packets.PACKET_ENTRIES, "-of", "csv=p=0", "-read_intervals", interval)
        )
        if sum(map(len, table.values())) >= MAX_PACKETS:
            raise LimitExceeded(f"The source has more than {MAX_PACKETS} packets; split it.")
        return table

    def frames(self, stream: int, why: str, seconds: float) -> list[Frame]:
        """Decode a video stream from end to end and return its frames."""
        logger.info("Decoding the video once to index it: %s", why)
        text = self._run(
            *("-select_streams", str(stream)),
            *("-show_entries", packets.FRAME_ENTRIES),
            *("-of", "compact=p=0"),
            timeout=300 + 4 * min(seconds, self._settings.max_source_seconds),
            listen=False,
        )
        return packets.parse_frames(text)

    def field_order(self, stream: int) -> Literal["tt", "bb", "progressive"]:
        """Ask the decoder whether the first frames are interlaced, where the container does not know."""
        entries = "frame=interlaced_frame,top_field_first"
        text = self._run(
            *("-select_streams", str(stream)),
            *("-show_entries", entries),
            *("-of", "compact=p=0:nk=1"),
            *("-read_intervals", "%+#50"),
            listen=False,
        )
        flags = [line.split("|") for line in text.split()]
        fields = [top for interlaced, top, *_ in (flag for flag in flags if len(flag) > 1) if interlaced == "1"]
        if 2 * len(fields) <= len(flags):
            return "progressive"
        return "tt" if 2 * fields.count("1") > len(fields) else "bb"

    def first_samples(self, count: int) -> dict[int, int]:
        """Decode ``count`` packets of audio; return by stream the PTS of the first sample that is heard."""
        text = self._run(
            *("-select_streams", "a"),
            *("-show_entries", "frame=stream_index,best_effort_timestamp"),
            *("-of", "compact=p=0:nk=1"),
            *("-read_intervals", f"%+#{count}"),
            listen=False,
        )
        first: dict[int, int] = {}
        for stream, pts in re.findall(r"^(\d+)\|(-?\d+)", text, re.MULTILINE):
            first.setdefault(int(stream), int(pts))
        return first

    def starts_with_intra_picture(self, stream: int) -> bool:
        """Decode the first pictures; tell whether the first one refers to no other, and the decoder has no complaint."""
        text = self._run(
            *("-select_streams", str(stream)),
            *("-show_entries", "frame=pict_type"),
            *("-of", "csv=p=0"),
            *("-read_intervals", "%+#4"),
        )
        return text.strip().startswith("I") and not self.said

    def _run(self, *options: str, timeout: float | None = None, listen: bool = True) -> str:
        done = self._complete(options, timeout)
        if listen:
            self.said += done.damage
        return done.stdout

    def _complete(self, options: Sequence[str], timeout: float | None = None) -> Completed:
        settings = self._settings
        # The same passes look at what we have upscaled. Twice as many, since decoders count their padding: who knows what the
        # source says of itself checks the limit itself.
        pixels = 2 * max(settings.max_source_pixels, settings.sr_max_output_pixels)
        limits = ("-max_alloc", str(MAX_ALLOCATION), "-max_pixels", str(pixels))
        argv = ("ffprobe", *limits, *runner.input_options(), *options, "-i", f"file:{self._path}")
        try:
            return runner.run(runner.Command(argv), timeout=timeout or 60 + self.size / SLOWEST_READ, settings=settings)
        except TimedOut as error:
            raise TimedOut("Probing the source took too long.") from error

    def _refusal(self, error: InputError) -> InputError:
        container = damage.sniff(self.head)
        if container is None or isinstance(error, InputNotSupported):
            return InputNotSupported("The source is no media, or in a container that we do not read.")
        return InvalidInputData(f"The source begins like {container} but cannot be read. {error.message}")
