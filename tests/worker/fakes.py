"""Stand-ins for media work and for a store that misbehaves, so that the flow of units can be tested on its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from include.errors import StorageError
from include.ffmpeg_ops import ladder
from include.ffmpeg_ops.models import (
    AudioStream,
    AudioTarget,
    AudioTask,
    Chunk,
    FrameIndex,
    Keyframe,
    MediaInfo,
    OutputTiming,
    Rung,
    VideoStream,
    VideoTask,
)
from include.ffmpeg_ops.package import Package
from include.media_store.models import ObjectRef
from include.media_store.objects import ObjectStore
from include.worker.media import MediaTools

FRAMES, CHUNKS = 100, 2
TIME_BASE = Fraction(1, 12800)

VIDEO = VideoStream(
    index=0,
    codec="h264",
    width=64,
    height=36,
    display_width=64,
    display_height=36,
    pix_fmt="yuv420p",
    bit_depth=8,
    time_base=TIME_BASE,
    frame_rate=Fraction(25),
    constant_frame_rate=True,
    start_pts=0,
    frames=FRAMES,
    duration=Fraction(4),
)
AUDIO = AudioStream(
    index=1, codec="aac", channels=2, layout="stereo", sample_rate=48000, start_time=Fraction(0), duration=Fraction(4)
)
INFO = MediaInfo(format="mov,mp4", size=10, duration=Fraction(4), bit_rate=20, video=VIDEO, audio=(AUDIO,))
INDEX = FrameIndex(
    time_base=TIME_BASE,
    pts=tuple(512 * n for n in range(FRAMES)),
    end_pts=512 * FRAMES,
    keyframes=(Keyframe(frame=0, pts=0, clean=True),),
)
TIMING = OutputTiming(time_base=Fraction(1, 25), frame_rate=Fraction(25), constant=True)
RUNGS = (
    Rung(name="hls0800k", width=64, height=36, bit_rate=800_000, crf=23, preset="ultrafast"),
    Rung(name="hls1600k", width=64, height=36, bit_rate=1_600_000, crf=23, preset="ultrafast"),
)


def chunks() -> tuple[Chunk, ...]:
    size = FRAMES // CHUNKS
    return tuple(
        Chunk(
            index=n,
            first_frame=n * size,
            frames=size,
            start_pts=512 * size * n,
            end_pts=512 * size * (n + 1),
            seek_pts=512 * size * n or None,
            duration=Fraction(size, 25),
            keyframes=(0,),
            force_times=(),
            thumbnails=(512 * size * n,),
        )
        for n in range(CHUNKS)
    )


@dataclass
class FakeMedia:
    """Writes small files instead of video; counts what was asked for and calls ``on_encode`` in the middle of it."""

    on_encode: Callable[[str], None] = lambda name: None
    calls: list[str] = field(default_factory=list)
    restarts: bool = False
    measured: list[VideoTask] = field(default_factory=list)

    def tools(self) -> MediaTools:
        return MediaTools(
            probe=self.probe,
            cut=lambda *args, **kwargs: (
                OutputTiming(time_base=Fraction(1, 25), frame_rate=Fraction(25), constant=True),
                chunks(),
            ),
            load_profile=ladder.load_profile,
            rungs_for=lambda profile, *args, **kwargs: RUNGS if profile.container == "hls" else RUNGS[:1],
            audio_targets=lambda *args: (
                AudioTarget(stream=AUDIO, channels=2, layout="stereo", sample_rate=48000, bit_rate=128_000),
            ),
            run_chunk=self.run_chunk,
            run_audio=self.run_audio,
            verify_chunk=lambda task, files, **kwargs: self.calls.append("verify_chunk"),
            measure=self.measure,
            package_hls=self.package,
            package_file=self.package_file,
            verify_package=lambda *args, **kwargs: {"looked": "good"},
            tools=lambda settings: SimpleNamespace(version="fake"),
        )

    def probe(self, path: Path, **kwargs: Any) -> tuple[MediaInfo, FrameIndex]:
        self.calls.append("probe")
        return INFO, INDEX

    def measure(self, source: Path, task: VideoTask, files: Mapping[str, Path], **kwargs: Any) -> dict[str, dict[str, float]]:
        self.measured.append(task)
        return {rung.name: {"psnr": 40.0 + task.chunk.index, "ssim": 0.9} for rung in task.rungs}

    def run_chunk(
        self, source: Path, task: VideoTask, out_dir: Path, *, on_progress: Any, on_restart: Any, **kwargs: Any
    ) -> dict[str, Path]:
        name = f"chunk-{task.chunk.index}"
        self.calls.append(name)
        self.on_encode(name)
        if self.restarts and task.chunk.seek_pts is not None:
            on_restart(["3 frames are missing"])
        on_progress(SimpleNamespace(frames=10, fps=5.0, out_time=Fraction(1)))
        files = {rung.name: out_dir / f"{rung.name}.mp4" for rung in task.rungs}
        files["thumbnail-00001"] = out_dir / "thumbnail-00001.jpg"
        for role, path in files.items():
            path.write_bytes(f"{source.read_bytes().decode()} {name} {role};".encode())
        return files

    def run_audio(self, source: Path, task: AudioTask, out_dir: Path, *, on_progress: Any, **kwargs: Any) -> dict[str, Path]:
        self.calls.append("audio")
        self.on_encode("audio")
        (out_dir / "audio-0.m4a").write_bytes(b"audio;")
        return {"audio-0": out_dir / "audio-0.m4a"}

    def package(
        self, plan: Any, parts: Mapping[str, Sequence[Path]], audio: Sequence[Path], *rest: Any, **kwargs: Any
    ) -> Package:
        *_, out_dir, name = rest
        thumbnails = rest[0] if len(rest) == 3 else ()
        self.calls.append("package")
        files = {
            f"{rung}/{name}.ts": b"".join(path.read_bytes() for path in paths + list(audio)) for rung, paths in parts.items()
        }
        files |= {f"{number:05d}.jpg": path.read_bytes() for number, path in enumerate(thumbnails, 1)}
        files[f"{name}.m3u8"] = b"#EXTM3U"
        for path, data in files.items():
            (out_dir / path).parent.mkdir(exist_ok=True)
            (out_dir / path).write_bytes(data)
        return Package(f"{name}.m3u8", tuple(files))

    def package_file(
        self, plan: Any, parts: Mapping[str, Sequence[Path]], audio: Sequence[Path], out_dir: Path, name: str, **kwargs: Any
    ) -> Package:
        self.calls.append("package")
        (out_dir / f"{name}.mp4").write_bytes(b"".join(path.read_bytes() for paths in parts.values() for path in paths))
        return Package(f"{name}.mp4", (f"{name}.mp4",))


class Spy:
    """A store that keeps the order of finished writes and refuses to upload where ``refuse`` says so."""

    def __init__(self, store: ObjectStore, refuse: Callable[[str], bool] = lambda key: False) -> None:
        self._store = store
        self._refuse = refuse
        self.writes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def upload(self, path: Path, bucket: str, key: str, content_type: str | None = None) -> ObjectRef:
        if self._refuse(key):
            raise StorageError(f"Cannot write {key}: the store is away.")
        ref = self._store.upload(path, bucket, key, content_type)
        self.writes.append(key)
        return ref

    def put_bytes(self, bucket: str, key: str, *args: Any, **kwargs: Any) -> ObjectRef:
        ref = self._store.put_bytes(bucket, key, *args, **kwargs)
        self.writes.append(key)
        return ref

    def delete(self, bucket: str, key: str) -> None:
        self._store.delete(bucket, key)
        self.writes.append(f"-{key}")
