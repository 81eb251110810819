"""Films and pictures that a page shows, and jobs that have them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from include.media_pages.models import Comparison, File, JobDetail, Player, Storyboard, StoryboardTile, Thumbnail, Unit
from tests.media_pages.browser.site import Site

__all__ = ["SECONDS", "Films", "a_film_of", "sample", "with_units"]

SAMPLES = Path(__file__).parents[1] / "samples"
SECONDS = 12


def sample(name: str, **fields: Any) -> JobDetail:
    """Return the job of a canned answer, with some of its fields as a test wants them."""
    detail = JobDetail.model_validate_json((SAMPLES / f"{name}.json").read_text())
    return JobDetail.model_validate(detail.model_dump() | fields)


def a_film_of(
    count: int, *, done: int = 0, running: int = 0, failed: tuple[int, ...] = (), length: float = 10.0
) -> tuple[Unit, ...]:
    """Return the chunks of a film, and its sound: the first so many done, the next so many half done, others waiting."""
    units = [Unit(index=0, kind="audio", label="audio", state="done", start=0.0, end=count * length, progress=100, attempt=1)]
    for at in range(count):
        state = "failed" if at in failed else "done" if at < done else "running" if at < done + running else "waiting"
        begun = state != "waiting"
        units.append(
            Unit(
                index=at + 1,
                kind="video",
                label=f"chunk {at + 1}/{count}",
                state=state,  # type: ignore[arg-type]
                start=at * length,
                end=(at + 1) * length,
                progress={"done": 100, "running": 50}.get(state, 0),
                frames=round(length * 25),
                fps=48.5 if state in {"done", "running"} else None,
                attempt=1 if begun else None,
                error="Frame 212 cannot be decoded." if state == "failed" else None,
                log_path=f"/dags/transcode/runs/r/tasks/encode/mapped/{at + 1}" if begun else None,
            )
        )
    return tuple(units)


def with_units(detail: JobDetail, units: tuple[Unit, ...]) -> JobDetail:
    """Return a job with other units, whose source is as long as they say."""
    length = max((unit.end or 0.0 for unit in units), default=0.0)
    source = detail.source and detail.source.model_copy(update={"seconds": length})
    return detail.model_copy(update={"units": units, "source": source})


class Films:
    """A film of colours and its pictures, served by the site as the object store would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        size = "s=320x180:r=25"
        film = folder / "film.mp4"
        _ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2={size}:d={SECONDS}", "-f", "lavfi", "-i", f"sine=d={SECONDS}",
            "-c:v", "libx264", "-preset", "ultrafast", "-crf", "35", "-g", "25", "-pix_fmt", "yuv420p",
            "-c:a", "aac", "-b:a", "48k", "-movflags", "+faststart", film,
        )  # fmt: skip
        _ffmpeg("-i", film, "-c", "copy", "-hls_time", "3", "-hls_list_size", "0", folder / "film.m3u8")
        _ffmpeg("-i", film, "-vf", "fps=1,scale=160:90,tile=4x3", "-frames:v", "1", folder / "sheet.jpg")
        _ffmpeg("-i", film, "-vf", "fps=1", folder / "picture%d.jpg")
        for at, second in enumerate((1, 5, 9)):
            _ffmpeg("-ss", second, "-i", film, "-frames:v", "1", folder / f"before{at}.png")
            _ffmpeg("-i", folder / f"before{at}.png", "-vf", "scale=1920:1080", folder / f"after{at}.png")
        self.asked: list[str] = []
        self.missing: set[str] = set()
        self.prefix = ""

    def serve(self, site: Site) -> None:
        """Let a site serve them, from now on."""
        self.asked.clear()
        self.missing.clear()
        self.prefix = f"{site.url}/media/data/films/"
        site.answer("GET", "/data/films/*", self._answer)

    def _answer(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        self.asked.append(f"{name}?{request.url.query}")
        if name in self.missing or f"{name}?{request.url.query}" in self.missing:
            return PlainTextResponse("expired", 403)
        kinds = {".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t"}
        return FileResponse(self.folder / name, media_type=kinds.get(Path(name).suffix))

    def url(self, name: str, signature: str = "s=1") -> str:
        """Return the address of a file, signed so to say."""
        return f"{self.prefix}{name}?{signature}"

    def player(self, signature: str = "s=1") -> Player:
        """Return a player of the MP4."""
        return Player(url=self.url("film.mp4", signature), type="video/mp4", poster=self.url("picture1.jpg", signature))

    def shown(self, detail: JobDetail, signature: str = "s=1") -> JobDetail:
        """Return a job whose pictures and films are these, where it has any."""
        url = lambda name: self.url(name, signature)  # noqa: E731
        hls = Player(url=f"data/films/film.m3u8?{signature}", type="application/vnd.apple.mpegurl", poster=url("picture1.jpg"))
        tiles = [
            StoryboardTile(start=at, end=at + 1, sheet=0, x=160 * (at % 4), y=90 * (at // 4), width=160, height=90)
            for at in range(SECONDS)
        ]
        has_comparisons = bool(detail.comparisons)
        fields: dict[str, Any] = {
            "player": detail.player and (hls if detail.player.type == hls.type else self.player(signature)),
            "thumbnails": tuple(Thumbnail(time=at, url=url(f"picture{at + 1}.jpg")) for at in range(SECONDS))
            if detail.thumbnails
            else (),
            "storyboard": detail.storyboard and Storyboard(sheets=(url("sheet.jpg"),), tiles=tuple(tiles)),
            "comparisons": tuple(
                Comparison(time=second, before=url(f"before{at}.png"), after=url(f"after{at}.png"), width=1920, height=1080)
                for at, second in enumerate((1.0, 5.0, 9.0))
                if has_comparisons
            ),
            "files": tuple(File(name=one.name, key=one.key, bytes=one.bytes, url=url("film.mp4")) for one in detail.files),
        }
        if detail.player and detail.source:
            fields["source"] = detail.source.model_copy(update={"seconds": float(SECONDS)})
            share = SECONDS / max((unit.end or 0.0 for unit in detail.units), default=1.0)
            fields["units"] = tuple(
                unit
                if unit.start is None or unit.end is None
                else unit.model_copy(update={"start": unit.start * share, "end": unit.end * share})
                for unit in detail.units
            )
        return detail.model_copy(update=fields)


def _ffmpeg(*arguments: Any) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)
