"""What ffmpeg says on standard error: lines, signs of damage, and the error of our tree that a failure is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from include.errors import (
    InputNotSupported,
    InternalError,
    InvalidInputData,
    LimitExceeded,
    MediaError,
    OutputNotSupported,
)

__all__ = [
    "LogLine",
    "complaints",
    "damage",
    "failure",
    "hide_paths",
    "lost_output",
    "may_come_of_a_seek",
    "no_decoder",
    "parse",
    "source_video",
]

LEVELS = ("panic", "fatal", "error", "warning", "info", "verbose", "debug", "trace")

_BRACKET = re.compile(r"\[([^\]\n]*)\] ")
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+$| @ \(nil\)$")


@dataclass(frozen=True)
class LogLine:
    """One line: ``[vist#0:0/h264 @ 0x5] [dec:h264 @ 0x6] [error] text`` has two components."""

    level: str
    components: tuple[str, ...]
    message: str


def parse(text: str) -> LogLine:
    """Parse a line that ffmpeg wrote under ``-loglevel level+…``; a line of any other form has level ``info``."""
    components: list[str] = []
    position = 0
    while match := _BRACKET.match(text, position):
        position = match.end()
        if match[1] in LEVELS:
            return LogLine(match[1], tuple(components), text[position:].rstrip())
        components.append(_ADDRESS.sub("", match[1]))
    return LogLine("info", (), text.rstrip())


# What encoders, muxers, filters and the scheduler around them say is never about the source.
_OURS = re.compile(
    r"^(lib\w+|mp4|ipod|hls|mjpeg|image2|null|swscaler|SWR|auto_\w+|Parsed_.*|AVFilterGraph|graph .*|fc#.*|"
    r"(vf|af|[vas]ost|vsnk|asnk|enc|out|mux|sch)[#:].*)$"
)
# Error lines of readers that sound files cause, too.
_HARMLESS = re.compile(
    r"Application provided invalid, non monotonically|"
    r"stream \d+, timescale not set|"
    r"Referenced QT chapter track not found|"
    r"Could not find codec parameters for stream \d+ \((Attachment|Subtitle|Data|Unknown)|"
    r"Failed to (parse extradata|add attachment)|"
    r"error reading (cover|header)|"
    r"Header missing|"
    r"Unknown cover type|"
    # An encoder that bears the name of a decoder (mpeg2video), of a bitrate that it cannot keep; which is measured afterwards.
    r"rc buffer underflow|max bitrate possibly too small|vbv buffer overflow|"
    r"Failed to open codec in avformat_find_stream_info"
)
# Damage that ffmpeg only warns of.
_DAMAGE_WARNING = re.compile(
    r"corrupt|truncat|damaged|concealing|error while decoding|"
    r"missing (picture|reference)|Could not find ref|frame num gap|"
    r"Invalid (data|NAL|level|packet)|"
    r"PES packet size mismatch|"
    r"partial file|unexpected end|ended prematurely|incomplete frame|"
    # Where frames lie a thousand times farther apart than those before, the analysis of a file speaks of a discontinuity of DTS.
    r"(?<!DTS )discontinuity|channel element .* not allocated|"
    r"Element .* (ending|exceeds)|Unknown-sized element|invalid (track|packet)|Read error",
    re.IGNORECASE,
)
# Lines without a component, written by ffmpeg's own main loop about a source.
_DAMAGE_PLAIN = re.compile(
    r"Error while (decoding|processing the decoded)|corrupt|Invalid data found|Input/output error|Error during demuxing|"
    r"error reading|truncat",
    re.IGNORECASE,
)


# What decoders say of pictures that refer to others which were not read: where reading began between two keyframes, and just
# the same where packets are missing in the source.
_START_UP = re.compile(
    r"non-existing [SP]PS|[SP]PS id out of range|decode_slice_header error|no frame!|co located POCs unavailable|"
    r"reference picture missing during reorder|missing reference picture|mmco: unref short failure|illegal short term buffer|"
    r"number of reference frames|frame num gap|Could not find ref with POC|constructing the frame RPS|"
    r"Error (submitting packet to decoder|while decoding stream)|warning: first frame is no keyframe|"
    r"Missing key ?frame|Not all references are available|Error parsing the packet header",
    re.IGNORECASE,
)


def may_come_of_a_seek(told: str) -> bool:
    """Tell whether a message of damage may also mean that reading began in the middle of a sound source."""
    return _START_UP.search(told) is not None


def damage(lines: Iterable[LogLine], private: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the distinct messages with which demuxers and decoders tell of damage in a source, in order.

    ``private`` are the paths of the program's files, which stay hidden.
    """
    private = tuple(private)
    return tuple(dict.fromkeys(hide_paths(message, private) for message in complaints(lines)))


def complaints(lines: Iterable[LogLine]) -> Iterator[str]:
    """Yield each of these messages as often as it was written."""
    for line in lines:
        if line.level not in LEVELS[:4] or any(_OURS.match(component) for component in line.components):
            continue
        if not line.components:
            told = _DAMAGE_PLAIN.search(line.message)
        elif line.level == "warning":
            told = _DAMAGE_WARNING.search(line.message)
        else:
            told = None if _HARMLESS.search(line.message) else re.match("", line.message)
        if told:
            yield f"{line.components[-1]}: {line.message}" if line.components else line.message


_LOST_OUTPUT = re.compile(r"No space left on device|Error (writing trailer|closing file)")


def lost_output(lines: Iterable[LogLine]) -> bool:
    """Tell whether an output could not be written to its end, which ffmpeg 5 ends with status 0."""
    return any(line.level in LEVELS[:3] and _LOST_OUTPUT.search(line.message) for line in lines)


_VIDEO = re.compile(r"\s*Stream #0:\d+.*?: Video: (?!.*\(attached pic\))(.*)")


def source_video(lines: Iterable[LogLine]) -> str | None:
    """Return how ffmpeg, at the level ``info``, describes the first video of its first input; ``None`` before it has."""
    # Inputs come before outputs.
    return next((match[1] for line in lines if (match := _VIDEO.match(line.message))), None)


_NO_DECODER = re.compile(r"platform doesn't support hardware accelerated")


def no_decoder(lines: Iterable[LogLine]) -> bool:
    """Tell whether a stream could not be decoded for lack of a decoder in software, with which ffprobe ends with status 0."""
    return any(_NO_DECODER.search(line.message) for line in lines)


_NO_MEMORY = r"Cannot allocate memory|Out of memory"
# What decoders say of a picture that is larger than the option max_pixels allows.
_TOO_LARGE = re.compile(r"Picture size (\d+x\d+) exceeds specified max pixel count")


def too_large(lines: Iterable[LogLine]) -> LimitExceeded | None:
    """Return the error where a picture was refused for its size, after which ffprobe may well end with status 0."""
    size = next((match[1] for line in lines if (match := _TOO_LARGE.search(line.message))), None)
    if size is None:
        return None
    return LimitExceeded(f"The source's picture has {size} pixels, more than are allowed (MEDIA_MAX_SOURCE_PIXELS).")


# What MPEG-2's encoder says before it fails, or crashes.
_TOO_FEW_BITS = re.compile(r"requested bitrate is too low|bitrate too low for this video")


def _too_few_bits(lines: Iterable[LogLine]) -> OutputNotSupported | None:
    if not any(_TOO_FEW_BITS.search(line.message) for line in lines):
        return None
    return OutputNotSupported("The bitrate is too low for the output's size; ask for more bits or fewer pixels.")


_FAILURES: tuple[tuple[re.Pattern[str], type[MediaError], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), error, sentence)
    for pattern, error, sentence in [
        (
            r"Number of streams exceeds max_streams",
            LimitExceeded,
            "The source has more streams than are allowed (MEDIA_MAX_SOURCE_STREAMS).",
        ),
        (r"No space left on device", InternalError, "The disk is full."),
        (_NO_MEMORY, InternalError, "The machine is out of memory."),
        (
            r"not on whitelist|not in allowed",
            InputNotSupported,
            "The source is in a container or behind a protocol that is not read.",
        ),
        (
            r"platform doesn't support hardware accelerated|"
            r"decoder .*not found|no decoder found|Unknown decoder|Decoder not found|Could not find codec parameters.*: none",
            InputNotSupported,
            "A stream of the source has a codec that this ffmpeg cannot decode.",
        ),
        (
            r"Unknown encoder|Encoder not found|encoder selection failed|not a suitable output format|Unable to choose an output|"
            r"Could not find tag for codec|codec not currently supported in container|Error selecting an encoder",
            OutputNotSupported,
            "This ffmpeg has no encoder or container for the wanted output.",
        ),
        (
            r"No such filter|Filter not found|Unrecognized option|Option not found|Error splitting the argument list",
            OutputNotSupported,
            "This ffmpeg lacks a filter or an option that is needed.",
        ),
        (
            r"Unsupported channel layout|Invalid channel layout|Rematrix is needed|layout .* not supported",
            InputNotSupported,
            "The channel layout of the audio cannot be converted.",
        ),
        (r"No such file or directory|Permission denied", InternalError, "A file that should be there cannot be opened."),
        (r"moov atom not found", InvalidInputData, "The source is truncated: its index (moov) is missing."),
        (
            r"Invalid data found|Could not find codec parameters|does not contain any stream|matches no streams|"
            r"Error opening input|End of file|Failed to read|Error while decoding",
            InvalidInputData,
            "The source is damaged, empty or no media file.",
        ),
    ]
)


def failure(program: str, status: int, lines: Sequence[LogLine], private: Iterable[str] = ()) -> MediaError:
    """Return the error that ``program``'s end with ``status`` (negative: a signal) means.

    ``private`` are the paths of its files, which stay hidden.
    """
    if error := too_large(lines) or _too_few_bits(lines):
        return error
    if status < 0:
        return InternalError(f"{program} was ended by signal {-status}.")
    messages = [line.message for line in lines if line.level in LEVELS[:3]]
    for pattern, kind, sentence in _FAILURES:
        for message in messages:
            if pattern.search(message):
                if program == "ffprobe" and pattern.pattern == _NO_MEMORY:
                    # It is allowed so much at a time that only a header can want more.
                    return InvalidInputData("The source's header wants more memory than any sound one.")
                return kind(f"{sentence} {program} says: {hide_paths(message, private)}")
    last = hide_paths(messages[-1], private) if messages else "nothing"
    if program == "ffprobe" and tuple(private):
        # It does nothing but read, from our own disk; and what sizes and counts that overflow come to is any error there is.
        return InvalidInputData(f"The source cannot be read. ffprobe says: {last}")
    return InternalError(f"{program} failed with exit status {status} and says: {last}")


# A path begins where a word does: a slash inside a word (24/1, Input/output, in#0/mov) is none.
_PATH = re.compile(r"(?<![\w/.])(?:file:)?/(?:[^\s/'\":]+/)+([^\s/'\":]*)")


def hide_paths(message: str, private: Iterable[str] = ()) -> str:
    """Replace absolute paths by file names; ``private`` are known ones, which may hold spaces."""
    for path in sorted(private, key=len, reverse=True):
        name = path.rstrip("/").rpartition("/")[2]
        message = message.replace(f"file:{path}", name).replace(path, name)
    return _PATH.sub(lambda match: match[1], message)
