"""The nouns of media work: what a source is, how it is cut, and what is made of it.

``MediaInfo`` (probe) and ``FrameIndex`` (packet index) → ``Timeline`` of ``Chunk`` → ``Plan`` → ``VideoTask`` and
``AudioTask`` → argv. All are frozen pydantic models, unknown fields are errors, and all times are exact: PTS are integers in
the stream's own ``time_base``, seconds are :class:`fractions.Fraction`. As JSON a fraction is the string ``"30000/1001"``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field

from include.ffmpeg_ops.encodings import Encoding
from include.ffmpeg_ops.exact import Frozen, Rational

__all__ = [
    "AudioStream",
    "AudioTarget",
    "AudioTask",
    "Chunk",
    "Color",
    "DroppedStream",
    "FrameIndex",
    "Keyframe",
    "MediaInfo",
    "OutputTiming",
    "Plan",
    "Rational",
    "Rung",
    "TaskRung",
    "VideoStream",
    "VideoTask",
]


class Color(Frozen):
    """Colour description with ffmpeg's names; ``None`` where the source does not say."""

    range: Literal["tv", "pc"] | None = None
    matrix: str | None = Field(None, description="color_space, e.g. bt709, smpte170m, bt2020nc")
    primaries: str | None = None
    transfer: str | None = Field(None, description="e.g. bt709, smpte2084 (PQ), arib-std-b67 (HLG)")

    @property
    def hdr(self) -> Literal["pq", "hlg"] | None:
        """The HDR transfer function, or ``None`` for SDR."""
        if self.transfer == "smpte2084":
            return "pq"
        return "hlg" if self.transfer == "arib-std-b67" else None


class VideoStream(Frozen):
    """The one video stream that is transcoded.

    ``width`` and ``height`` are as coded, before rotation and before the sample aspect ratio is applied;
    ``display_width`` and ``display_height`` are what a viewer sees in square pixels.
    """

    index: int = Field(description="stream index in the container")
    codec: str
    profile: str | None = None
    width: int
    height: int
    sar: Rational = Fraction(1)
    rotation: Literal[0, 90, 180, 270] = Field(0, description="clockwise turn that the display matrix asks for")
    flipped: bool = Field(False, description="the display matrix mirrors, too")
    display_width: int
    display_height: int
    pix_fmt: str
    bit_depth: int
    interlaced: bool = False
    top_field_first: bool = True
    color: Color = Color()
    time_base: Rational
    frame_rate: Rational = Field(description="exact rate of a constant-rate stream, else the average")
    constant_frame_rate: bool
    start_pts: int
    frames: int
    duration: Rational = Field(description="first PTS to the end of the last frame, seconds")
    bit_rate: int | None = Field(None, description="bit/s of this stream, measured over its packets")

    @property
    def start_time(self) -> Fraction:
        """PTS of the first frame in seconds."""
        return self.start_pts * self.time_base

    @property
    def short_side(self) -> int:
        """The smaller of display width and height."""
        return min(self.display_width, self.display_height)


class AudioStream(Frozen):
    """An audio stream that is kept."""

    index: int
    codec: str
    channels: int
    layout: str | None = Field(None, description="ffmpeg's name, e.g. stereo, 5.1(side); None where unknown")
    sample_rate: int
    language: str | None = Field(None, description="ISO 639-2, e.g. eng; None for und or absent")
    title: str | None = None
    default: bool = False
    start_time: Rational = Field(description="time of the first sample that is heard, seconds")
    duration: Rational
    bit_rate: int | None = None


class DroppedStream(Frozen):
    """A stream that no output carries, and why; reported, never silent."""

    index: int
    kind: str = Field(description="video, audio, subtitle, data, attachment")
    codec: str
    reason: str


class MediaInfo(Frozen):
    """What one probe says of a source."""

    format: str = Field(description="ffprobe's format_name, e.g. mov,mp4,m4a,3gp,3g2,mj2")
    size: int
    duration: Rational = Field(description="latest end minus earliest start over all kept streams, seconds")
    bit_rate: int
    video: VideoStream
    audio: tuple[AudioStream, ...] = ()
    dropped: tuple[DroppedStream, ...] = ()
    seekable: bool = Field(True, description="seeking to a keyframe is exact in this container")
    damage: tuple[str, ...] = Field((), description="findings of truncation or damage, one sentence each; empty: sound")

    @property
    def epoch(self) -> Fraction:
        """The earliest start of any kept stream in seconds: time zero of every output."""
        return min([self.video.start_time, *(stream.start_time for stream in self.audio)])


class Keyframe(Frozen):
    """A place where decoding may start."""

    frame: int = Field(description="its number in presentation order")
    pts: int
    clean: bool = Field(description="no leading pictures: no frame after it in the file is shown before it")
    packet: int | None = Field(None, description="packets of its stream that lie before it in the file; None: not known")


class FrameIndex(Frozen):
    """Every frame of a video stream in presentation order, from the packet index (or, where packets lie, from frames)."""

    time_base: Rational
    pts: tuple[int, ...] = Field(description="strictly increasing")
    end_pts: int = Field(description="where the last frame ends")
    keyframes: tuple[Keyframe, ...]


class OutputTiming(Frozen):
    """How output frames are timed: the encoder's time base and the timescale of the files."""

    time_base: Rational = Field(description="1/rate for a constant rate, else the source's own (not finer than 1/90000)")
    frame_rate: Rational = Field(description="rate given to the encoder; the average where the rate varies")
    constant: bool

    @property
    def timescale(self) -> int:
        """The MP4 video track timescale in which every output PTS is a whole number."""
        return self.time_base.denominator


class Chunk(Frozen):
    """A run of frames that one unit encodes: ``first_frame <= n < first_frame + frames``.

    It starts on the output's GOP grid. Decoding starts at ``seek_pts`` (a source keyframe at or before the chunk) and
    everything outside ``start_pts <= PTS < end_pts`` is trimmed away, so every frame belongs to exactly one chunk.
    """

    index: int
    first_frame: int
    frames: int = Field(gt=0)
    start_pts: int
    end_pts: int = Field(description="PTS of the next chunk's first frame, or the end of the stream; exclusive")
    seek_pts: int | None = Field(description="keyframe to start decoding from; None: from the start of the file")
    pts: tuple[int, ...] | None = Field(
        None, description="variable rate: output PTS relative to the chunk's start, in OutputTiming.time_base"
    )
    duration: Rational = Field(description="seconds; exact: the chunks' durations add up to the stream's")
    keyframes: tuple[int, ...] = Field(description="frames of the chunk, from 0, that are keyframes of every rung")
    force_times: tuple[Rational, ...] = Field(
        description="seconds from the chunk's start, one per keyframe after the first: midway between the frame before and it"
    )
    thumbnails: tuple[int, ...] = Field((), description="source PTS of the frames that become thumbnails")
    held: int = Field(0, description="at another frame rate: how many of the frames only repeat the source's last")


class Rung(Frozen):
    """One rendition of the ladder."""

    name: str = Field(description="folder name in HLS outputs, e.g. hls0800k", pattern=r"^[a-z0-9]+$")
    width: int = Field(gt=0, multiple_of=2)
    height: int = Field(gt=0, multiple_of=2)
    bit_rate: int = Field(gt=0, description="VBV cap of the video in bit/s (maxrate); bufsize is twice that")
    crf: float = Field(ge=0, le=51)
    preset: str
    h264_profile: Literal["baseline", "main", "high"] = "high"

    @property
    def codec(self) -> str:
        """ffprobe's name of what comes out."""
        return "h264"

    @property
    def picture(self) -> tuple[int, int] | None:
        """It fills the frame."""
        return None


class TaskRung(Frozen):
    """One output of a transcoding task: an encoding of its profile, and what it comes to for the source."""

    name: str = Field(description="folder name in HLS outputs, e.g. 720p2500k", pattern=r"^[a-z0-9]+$")
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    picture: tuple[int, int] | None = Field(None, description="size of the picture between black bars; None: it fills the frame")
    codec: str = Field(description="ffprobe's name of what comes out")
    encoding: Encoding
    preset: str | None = Field(None, description="x264 preset that takes the place of the encoding's")

    @property
    def copied(self) -> bool:
        """Tell whether the source's own packets come out."""
        return self.encoding.format == "copy"


class AudioTarget(Frozen):
    """How one kept audio stream is encoded."""

    stream: AudioStream
    channels: int
    layout: str = Field(description="mono, stereo, 5.1, …: a layout that AAC's channel configurations hold")
    sample_rate: int
    bit_rate: int
    format: Literal["aac", "aache2", "mp3", "ac3", "mp2", "copy"] = Field("aac", description="copy: the source's own packets")
    codec: str = Field("aac", description="ffprobe's name of what comes out")


class VideoTask(Frozen):
    """All that is needed, beside the source file, to encode one chunk in all its rungs."""

    stream: VideoStream
    timing: OutputTiming
    chunk: Chunk
    rungs: tuple[Rung | TaskRung, ...] = Field(min_length=1)
    threads: int = Field(1, ge=1)
    damage_policy: Literal["strict", "salvage"] = "strict"
    measure_quality: bool = True

    @property
    def copied(self) -> bool:
        """Tell whether the source's own packets come out."""
        return any(isinstance(rung, TaskRung) and rung.copied for rung in self.rungs)

    @property
    def resampled(self) -> bool:
        """Tell whether frames are repeated or left out to reach another frame rate."""
        stream, timing = self.stream, self.timing
        return timing.constant and not (stream.constant_frame_rate and stream.frame_rate == timing.frame_rate)


class AudioTask(Frozen):
    """All that is needed, beside the source file, to encode every kept audio stream of it, whole."""

    targets: tuple[AudioTarget, ...] = Field(min_length=1)
    damage_policy: Literal["strict", "salvage"] = "strict"


class Plan(Frozen):
    """What is made of a source."""

    info: MediaInfo
    timing: OutputTiming
    chunks: tuple[Chunk, ...]
    rungs: tuple[Rung | TaskRung, ...]
    audio: tuple[AudioTarget, ...]
    container: Literal["hls", "mp4", "flv", "mpegts"]
    segment_type: Literal["mpegts", "fmp4"] = "mpegts"
    segment_seconds: int = 6
    thumbnail_seconds: int | None = Field(10, description="None: no thumbnails")
    profile: str

    @property
    def copied(self) -> bool:
        """Tell whether the video's own packets come out."""
        return any(isinstance(rung, TaskRung) and rung.copied for rung in self.rungs)
