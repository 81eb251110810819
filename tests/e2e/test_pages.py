"""The media pages in the running stack, as somebody who has logged in to Airflow sees them."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Frame, Page, expect

import include.media_pages
from tests.conftest import Clips
from tests.e2e.stack import RunningStack
from tests.e2e.test_contract4 import padded
from tests.media import ffmpeg
from tests.media_pages.browser.harness import SCREENSHOTS, Problems, axe, open_browser
from tests.youtube_server import PROCESSED, YouTube

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]

expect.set_options(timeout=60_000)
STATIC = Path(include.media_pages.__file__).parent / "static"
DOCUMENTED = Path(__file__).parents[2] / "docs" / "screenshots"
MIB = 2**20
LONG = 120_000  # milliseconds for what a job does


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser, stack: RunningStack) -> Iterator[BrowserContext]:
    """A browser in which the administrator has logged in by Airflow's own form."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce") as context:
        context.set_default_timeout(60_000)
        page = context.new_page()
        # Where one wanted to go is where the login leads to.
        page.goto(f"{stack.stack.airflow_url}/media/upload")
        page.locator("input[name=username]").fill(stack.stack.admin_user)
        page.locator("input[name=password]").fill(stack.stack.admin_password)
        page.locator("button[type=submit], input[type=submit]").first.click()
        page.wait_for_url("**/media/upload")
        page.wait_for_selector("html[data-ready]")
        page.close()
        yield context


@pytest.fixture
def page(context: BrowserContext, stack: RunningStack) -> Iterator[Page]:
    """A page of Airflow's in English and light; whatever our frame in it complains of fails the test."""
    problems = OurProblems()
    # Of the sandbox that Airflow gives to every view.
    problems.expect("allow-scripts and allow-same-origin")
    page = context.new_page()
    problems.watch(page)
    page.goto(f"{stack.stack.airflow_url}/media/static/media.svg")
    page.evaluate("localStorage.setItem('theme', 'light'), localStorage.setItem('i18nextLng', 'en')")
    yield page
    page.close()
    problems.check()


class OurProblems(Problems):
    """Only of our own pages: Airflow's are not ours to mend."""

    def watch(self, page: Page) -> None:
        page.on(
            "console",
            lambda message: (
                self._note("console", message.text)
                if message.type in {"error", "warning"} and "/media/" in message.location["url"]
                else None
            ),
        )
        page.on("pageerror", lambda error: self._note("exception", str(error)) if "/media/" in (error.stack or "") else None)


@pytest.fixture
def slow(ffmpeg_notes: Path) -> Iterator[Path]:
    """A file; while it exists every encode waits before it begins."""
    file = ffmpeg_notes / "slow"
    file.touch()
    yield file
    file.unlink(missing_ok=True)


def inside(page: Page) -> Frame:
    """Return our page in Airflow's, once it has drawn itself."""
    element = page.wait_for_selector("iframe[src*='/media/']")
    frame = element.content_frame()
    assert frame is not None
    frame.wait_for_selector("html[data-ready]")
    return frame


def media(page: Page, stack: RunningStack, path: str = "") -> Frame:
    """Open one of our pages by the address that Airflow gives to it."""
    page.goto(f"{stack.stack.airflow_url}/plugin/media/media/{path}", wait_until="commit")
    return inside(page)


def alone(page: Page, stack: RunningStack, path: str = "") -> None:
    """Open one of our pages without Airflow's around it."""
    page.goto(f"{stack.stack.airflow_url}/media/{path}")
    page.wait_for_selector("html[data-ready]")


def to(frame: Frame, name: str) -> None:
    """Go to another of our pages."""
    frame.get_by_role("navigation").get_by_role("link", name=name).click()
    frame.wait_for_selector(f"html[data-ready] [aria-current=page]:text-is('{name}')")


def row(frame: Frame, name: str) -> Any:
    """Return the newest job of that name."""
    return frame.locator("#rows > tr", has_text=name).first


def picture(page: Page, name: str, frame: Frame) -> None:
    """Keep a picture in both themes; in the documentation, too, where ``REELFLOW_SCREENSHOTS`` asks for it."""
    for theme in ("light", "dark"):
        # As next-themes does in Airflow when another window has chosen a theme.
        page.evaluate(
            """(theme) => {
              localStorage.setItem("theme", theme);
              dispatchEvent(new StorageEvent("storage", { key: "theme", newValue: theme }));
            }""",
            theme,
        )
        frame.wait_for_selector(f"html[data-theme={theme}]")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"stack-{name}-{theme}.png"
        page.screenshot(path=path, animations="disabled")
        if os.environ.get("REELFLOW_SCREENSHOTS"):
            DOCUMENTED.mkdir(parents=True, exist_ok=True)
            palette = "split[a][b];[a]palettegen=max_colors=256:reserve_transparent=0[p];[b][p]paletteuse=dither=none"
            small = DOCUMENTED / f"{name}-{theme}.png"
            subprocess.run(
                [ffmpeg(), "-v", "error", "-y", "-i", path, "-vf", palette, "-compression_level", "9", small], check=True
            )


def test_nothing_of_the_pages_is_shown_to_a_stranger(stack: RunningStack) -> None:
    assets = [f"static/{path.relative_to(STATIC)}" for path in sorted(STATIC.rglob("*")) if path.is_file()]
    assert len(assets) > 20
    pages = ["", "upload", "new", "jobs/transcode/some"]
    reads = [
        "data/me", "data/jobs", "data/forms", "data/jobs/transcode/some", "data/jobs/transcode/some/hls/a.m3u8",
        "static/js/upload/uploader.js", "prod/docs", "prod/videoTranscode/some", "api2/atom/a/uploads", "nothing",
    ]  # fmt: skip
    writes = [
        "data/jobs/transcode/some/stop",
        "data/jobs/transcode/some/retry",
        "prod/",
        "prod/videoTranscode",
        "api2/atom/a/uploads",
    ]
    with httpx.Client(base_url=f"{stack.stack.airflow_url}/media/", trust_env=False, timeout=60) as stranger:
        for path in pages:
            answer = stranger.get(path, headers={"Accept": "text/html"})
            assert (answer.status_code, "/auth/login" in answer.headers["location"]) == (303, True), path
        for path in assets + reads:
            assert stranger.get(path).status_code == 401, path
        for path in writes:
            assert stranger.post(path, json={}, headers={"X-Reelflow": "1"}).status_code == 401, path


def test_jobs_started_here_are_seen_live_and_played(
    page: Page, stack: RunningStack, clip: Clips, slow: Path
) -> None:  # fmt: skip
    """New job, the navigation, the list as it changes, and the job's page with all that it shows."""
    stack.upload(clip("content720"), "pages/harbour.mp4")
    stack.upload(clip("content"), "pages/harbour-small.mp4")
    page.goto(stack.stack.airflow_url, wait_until="commit")
    page.get_by_role("link", name="Media", exact=True).first.click()
    frame = inside(page)
    to(frame, "New job")
    frame.get_by_label("Source").first.fill("pages/")
    out = f"pages-out/{uuid.uuid4().hex[:8]}/"
    frame.get_by_label("Output folder").fill(out)
    frame.get_by_label("Version").fill("e2e")
    frame.get_by_label("Format").select_option("m3u8")
    frame.get_by_role("button", name="Show what would be done").click()
    expect(frame.locator(".verdict")).to_contain_text("2 to transcode")
    assert stack.keys(out) == {}
    frame.get_by_role("button", name="Start 2 transcodes").click()
    expect(frame.locator(".verdict")).to_contain_text("2 in work")

    to(frame, "Jobs")
    job = row(frame, "harbour-small.mp4")
    expect(job.locator(".badge").first).to_have_text("Running")
    frame.evaluate("window.notReloaded = true")
    slow.unlink()
    expect(job.locator(".badge").first).to_have_text("Done", timeout=LONG)
    expect(row(frame, "harbour.mp4").locator(".badge").first).to_have_text("Done", timeout=LONG)
    assert frame.evaluate("window.notReloaded")
    picture(page, "jobs", frame)

    row(frame, "harbour.mp4").locator("a.title").click()
    frame = inside(page)
    expect(frame.locator("h1")).to_contain_text("harbour.mp4")
    expect(frame.locator("#units [role=option]").first).to_be_visible()
    ladder = frame.locator("table.ladder tbody tr")
    expect(ladder).to_have_count(2)
    expect(ladder.first).to_contain_text("800")
    expect(frame.locator("#thumbnails img").first).to_be_visible()
    video = frame.locator("#player video")
    video.evaluate("(video) => { video.muted = true; return video.play(); }")
    frame.wait_for_function("() => document.querySelector('#player video').currentTime > 0.3")
    video.evaluate("(video) => video.pause()")
    picture(page, "job", frame)


@pytest.mark.long
def test_a_job_is_stopped_and_retried(page: Page, stack: RunningStack, clip: Clips, slow: Path) -> None:
    key = stack.upload(clip("plain"), "pages-stop/stopped.mp4")
    folder = f"pages-stopped/{uuid.uuid4().hex[:8]}/"
    conf = {"bucket": stack.bucket, "source_key": key, "folder": folder, "name": "stopped", "container": "mp4"}
    run_id = stack.trigger("transcode", conf)
    frame = media(page, stack)
    job = row(frame, "stopped.mp4")
    expect(job.locator(".badge").first).to_have_text("Running")
    job.get_by_role("button", name=re.compile("^Stop")).click()
    frame.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(job.locator(".badge").first).to_have_text("Stopped")
    assert stack.wait("transcode", run_id) == "failed"
    slow.unlink()
    job.get_by_role("button", name=re.compile("^Retry")).click()
    frame.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(job.locator(".badge").first).to_have_text("Done", timeout=LONG)
    assert f"{folder}stopped.mp4" in stack.keys(folder)

    # The tab of that very run.
    page.goto(f"{stack.stack.airflow_url}/dags/transcode/runs/{run_id}", wait_until="commit")
    page.get_by_role("link", name="Media").last.click()
    tab = inside(page)
    assert tab.url.endswith(f"/media/jobs/transcode/{quote(run_id, safe='')}")
    expect(tab.locator("h1")).to_contain_text("stopped.mp4")
    expect(tab.get_by_role("navigation")).to_have_count(0)


@pytest.mark.long
def test_a_super_resolution_is_started_and_compared(page: Page, stack: RunningStack, clip: Clips) -> None:
    stack.upload(clip("content"), "pages-sr/small.mp4")
    frame = media(page, stack, "new")
    frame.get_by_role("tab", name="Super-resolution").click()
    frame.get_by_label("Source").fill("pages-sr/small.mp4")
    frame.get_by_text("More options").click()
    frame.get_by_label("Network").select_option("fast")
    frame.get_by_role("button", name="Start").click()
    frame.get_by_role("link", name="Open the job").click()
    expect(frame.locator("#compare .compare-before")).to_be_visible(timeout=LONG)
    frame.wait_for_function(
        """() => [...document.querySelectorAll(".compare-stage img")]
            .every((image) => image.complete && image.naturalWidth > 0)"""
    )
    slider = frame.locator("#edge")
    slider.focus()
    before = slider.input_value()
    page.keyboard.press("ArrowLeft")
    assert int(slider.input_value()) < int(before)
    frame.locator("#compare").evaluate("(card) => card.scrollIntoView()")
    picture(page, "super-resolution", frame)


@pytest.mark.long
def test_a_dropped_file_arrives_byte_for_byte_and_is_transcoded_and_on_youtube(
    page: Page, stack: RunningStack, youtube: YouTube, clip: Clips, tmp_path: Path
) -> None:
    youtube.control(faults=[], processing=PROCESSED)
    content = padded(clip("content"), 12 * MIB + 345)
    film = tmp_path / "Interview at the harbour.mp4"
    film.write_bytes(content)
    frame = media(page, stack, "upload")
    frame.locator("#files").set_input_files(film)
    frame.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(document.querySelector("#files").files[0]);
          document.querySelector("#zone").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }"""
    )
    frame.get_by_label("Atom").fill("pages-1")
    frame.locator("input[value=youtube]").check()
    frame.get_by_label("Description").fill("As it was told at the harbour")
    frame.locator("#privacy").select_option("unlisted")
    frame.get_by_role("button", name="Start upload").click()
    card = frame.locator(".transfer")
    expect(card.locator(".destinations")).to_contain_text("Transcoding", timeout=LONG)
    upload_id = re.search("upload__(.*)$", card.locator("a.job").get_attribute("href") or "")
    assert upload_id
    prefix = f"uploads/pages-1/{upload_id[1]}/"
    assert stack.s3.get_object(Bucket=stack.bucket, Key=f"{prefix}full")["Body"].read() == content
    picture(page, "upload", frame)
    expect(card.locator("header .badge")).to_have_text("Done", timeout=LONG)
    assert [key for key in stack.keys(prefix) if key.endswith(".m3u8")]
    [video] = [one for one in youtube.state()["sessions"] if one["sha256"] == hashlib.sha256(content).hexdigest()]
    assert video["resource"]["snippet"]["description"] == "As it was told at the harbour"
    assert video["resource"]["status"]["privacyStatus"] == "unlisted"
    expect(card.locator(".destinations")).to_contain_text(f"youtu.be/{video['video_id']}")
    card.get_by_role("link", name="Open the job").click()
    expect(frame.locator("h1")).to_contain_text(film.name)


def test_the_pages_follow_airflow_and_are_accessible(page: Page, stack: RunningStack) -> None:
    frame = media(page, stack)
    expect(frame.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.evaluate("localStorage.setItem('i18nextLng', 'zh-CN')")
    page.reload()
    frame = inside(page)
    expect(frame.get_by_role("heading", level=1)).to_have_text("任务")
    page.evaluate("localStorage.setItem('i18nextLng', 'en'), localStorage.setItem('theme', 'dark')")
    page.reload()
    assert inside(page).get_attribute("html", "data-theme") == "dark"
    transcode = stack.http.get("/api/v2/dags/transcode/dagRuns", params={"state": "success", "limit": 1}).json()["dag_runs"]
    for path in ["", "upload", "new", f"jobs/transcode/{transcode[0]['dag_run_id']}"]:
        alone(page, stack, path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        axe(page)
