"""What a job has published, from the marker of the unit that did it: files, renditions, pictures, and what a browser can play."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from include.errors import MediaError
from include.ffmpeg_ops.containers import container_of
from include.ffmpeg_ops.models import MediaInfo
from include.ffmpeg_ops.playlist import uri
from include.media_pages.models import (
    Comparison,
    File,
    Player,
    Rendition,
    SourceFacts,
    Storyboard,
    StoryboardTile,
    Thumbnail,
)
from include.media_pages.places import Places
from include.media_store.addresses import Addresses
from include.media_store.models import ObjectRef
from include.worker.models import UnitResult

__all__ = ["Cue", "Package", "read_cues", "with_quality"]

# A page needs no picture of every ten seconds of a long film: the storyboard has them all.
MOST_THUMBNAILS = 120
MOST_FILES = 40
_PLAYED: Mapping[str, Literal["video/mp4", "video/webm", "application/vnd.apple.mpegurl"]] = {
    "m3u8": "application/vnd.apple.mpegurl",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/mp4",
    "webm": "video/webm",
}
_PICTURE = re.compile(r"(storyboard_)?\d+\.jpg")
_CUE = re.compile(
    r"^(\d+):(\d\d):(\d\d\.\d{3}) --> (\d+):(\d\d):(\d\d\.\d{3})\n(storyboard_\d+\.jpg)#xywh=(\d+),(\d+),(\d+),(\d+)$", re.M
)


@dataclass(frozen=True)
class Cue:
    """A picture of a storyboard: when it is shown, in which sheet it lies, and where (x, y, width, height)."""

    start: float
    end: float
    sheet: str
    area: tuple[int, int, int, int]


def read_cues(data: bytes) -> tuple[Cue, ...]:
    """Read a storyboard's WebVTT as :func:`include.ffmpeg_ops.storyboard.cues` writes it; ``ValueError`` where it is none."""
    text = data.decode("utf-8")
    if not text.startswith("WEBVTT"):
        raise ValueError("it does not begin with WEBVTT")
    found = [match.groups() for match in _CUE.finditer(text)]
    return tuple(
        Cue(_seconds(*cue[:3]), _seconds(*cue[3:6]), cue[6], (int(cue[7]), int(cue[8]), int(cue[9]), int(cue[10])))
        for cue in found
    )


def _seconds(hours: str, minutes: str, seconds: str) -> float:
    return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds), 3)


@dataclass(frozen=True)
class Package:
    """The published objects by their names (paths in the output's folder), in the order in which they were written."""

    result: UnitResult
    places: Places
    addresses: Addresses = field(repr=False)
    of_task: bool = False
    """Names begin with the number of their target: ``1/out.m3u8``."""

    @property
    def refs(self) -> dict[str, ObjectRef]:
        """Every object by its name; of a task with several targets only the first one's that has any.

        A marker that names objects elsewhere is not believed: whoever can write to the bucket could have us sign anything.
        """
        named = [(output.name, output.ref) for output in self.result.outputs]
        if not all(self.places.hold(ref) for _, ref in named):
            return {}
        if not self.of_task or not named:
            return dict(named)
        first, _, _ = named[0][0].partition("/")
        return {name.partition("/")[2]: ref for name, ref in named if name.partition("/")[0] == first}

    @property
    def entry(self) -> ObjectRef | None:
        """The object that clients look for, which is written last."""
        refs = list(self.refs.values())
        return refs[-1] if refs else None

    def cues_ref(self) -> ObjectRef | None:
        """Return the storyboard's WebVTT."""
        return self.refs.get("storyboard.vtt")

    def player(self, playlists: str, poster: str | None) -> Player | None:
        """Return what a browser plays; ``playlists`` is the address below which playlists are served."""
        entry = self.entry
        type_ = _PLAYED.get(entry.key.rpartition(".")[2].lower()) if entry else None
        if entry is None or type_ is None:
            return None
        name = list(self.refs)[-1]
        is_hls = type_ == "application/vnd.apple.mpegurl"
        url = f"{playlists}{uri(name)}" if is_hls else self._address(entry)
        return Player(url=url, type=type_, poster=poster)

    def files(self) -> tuple[File, ...]:
        """Return what one downloads: the output itself first; not its segments and not its pictures."""
        own = [(name, ref) for name, ref in self.refs.items() if not _PICTURE.fullmatch(name)]
        shown = [own[-1], *(item for item in own[:-1] if "/" not in item[0])] if own else []
        return tuple(
            File(
                name=ref.key.rpartition("/")[2],
                key=ref.key,
                bytes=ref.size,
                url=self.addresses.of(ref.bucket, ref.key, ref.etag, download=True),
            )
            for _, ref in shown[:MOST_FILES]
        )

    def thumbnails(self, cues: Sequence[Cue]) -> tuple[Thumbnail, ...]:
        """Return pictures of the film, evenly chosen where there are many; their times are those of the storyboard."""
        pictures = sorted((int(name[:-4]), ref) for name, ref in self.refs.items() if re.fullmatch(r"\d+\.jpg", name))
        timed = [(cues[number - 1].start, ref) for number, ref in pictures if 0 < number <= len(cues)]
        step = max(1, -(-len(timed) // MOST_THUMBNAILS))
        return tuple(Thumbnail(time=time, url=self._picture(ref)) for time, ref in timed[::step])

    def storyboard(self, cues: Sequence[Cue]) -> Storyboard | None:
        """Return the sprite sheets and what is on them."""
        refs = self.refs
        sheets = [name for name in dict.fromkeys(cue.sheet for cue in cues) if name in refs]
        if not sheets:
            return None
        tiles = tuple(
            StoryboardTile(
                start=cue.start,
                end=cue.end,
                sheet=sheets.index(cue.sheet),
                x=cue.area[0],
                y=cue.area[1],
                width=cue.area[2],
                height=cue.area[3],
            )
            for cue in cues
            if cue.sheet in refs
        )
        return Storyboard(sheets=tuple(self._picture(refs[name]) for name in sheets), tiles=tiles)

    def renditions(self, planned: Sequence[Rendition], source: SourceFacts) -> tuple[Rendition, ...]:
        """Return the planned renditions with what became of them."""
        refs = self.refs
        sizes = {
            rung.name: sum(ref.size for name, ref in refs.items() if name.startswith(f"{rung.name}/")) or None for rung in planned
        }
        if len(planned) == 1 and (entry := self.entry) and not entry.key.endswith(".m3u8"):
            sizes = {planned[0].name: entry.size}
        return tuple(
            rung.model_copy(update={"bytes": sizes[rung.name], "average_bit_rate": _bit_rate(sizes[rung.name], source.seconds)})
            for rung in planned
        )

    def upscaled(self, info: MediaInfo) -> tuple[Rendition, ...]:
        """Return the only rendition of a super-resolution job."""
        entry, metrics = self.entry, self.result.metrics
        if entry is None or not all(isinstance(metrics.get(side), int) for side in ("width", "height")):
            return ()
        return (
            Rendition(
                name="upscaled",
                width=metrics["width"],
                height=metrics["height"],
                frame_rate=str(info.video.frame_rate),
                codec=_codec(entry.key, info),
                bytes=entry.size,
                average_bit_rate=_bit_rate(entry.size, float(info.duration)),
            ),
        )

    def comparisons(self) -> tuple[Comparison, ...]:
        """Return the stills before and after upscaling."""
        stills = self.result.metrics.get("comparisons")
        found = []
        for still in stills if isinstance(stills, list) else ():
            try:
                refs = [ObjectRef.model_validate(still[side]) for side in ("before", "after")]
                if all(map(self.places.hold_picture, refs)):
                    before, after = map(self._picture, refs)
                    found.append(Comparison.model_validate(still | {"before": before, "after": after}))
            except (ValueError, KeyError, TypeError):
                # A marker of another version.
                continue
        return tuple(found)

    def _address(self, ref: ObjectRef) -> str:
        return self.addresses.of(ref.bucket, ref.key, ref.etag)

    def _picture(self, ref: ObjectRef) -> str:
        # A page that shows it already loads it again where it is another version, and not where it is signed anew.
        return f"{self._address(ref)}#{quote(ref.etag)}"


def with_quality(renditions: Sequence[Rendition], quality: Mapping[str, Any]) -> tuple[Rendition, ...]:
    """Return the renditions with what was measured of them: PSNR and SSIM, and VMAF where ffmpeg has it."""
    return tuple(
        rung.model_copy(update=_known(measured, "psnr", "ssim", "vmaf"))
        if isinstance(measured := quality.get(rung.name), dict)
        else rung
        for rung in renditions
    )


def _codec(key: str, info: MediaInfo) -> str | None:
    try:
        return container_of(f".{key.rpartition('.')[2]}").codec(info.video.bit_depth)
    except MediaError:
        return None


def _known(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if isinstance(values.get(name), (int, float))}


def _bit_rate(size: int | None, seconds: float | None) -> int | None:
    return round(size * 8 / seconds) if size and seconds else None
