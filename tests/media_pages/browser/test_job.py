"""The page of one job, as a logged-in person uses it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from starlette.requests import Request
from starlette.responses import JSONResponse

from include.media_pages.models import Destination, JobDetail, Live, Part, Problem, Viewer
from tests.media_pages.browser.films import SECONDS, Films, a_film_of, sample, with_units
from tests.media_pages.browser.harness import Look, Problems, axe, fits, framed, in_every_look, next_answer, shot, visit
from tests.media_pages.browser.site import Site


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def films(made: Films, site: Site) -> Films:
    made.serve(site)
    return made


@pytest.fixture
def show(page: Page, site: Site, films: Films) -> Callable[..., JobDetail]:
    """Open the page of a job whose time is the browser's; ``page.clock`` moves it on."""

    def open_page(job: JobDetail | str, look: Look = Look()) -> JobDetail:  # noqa: B008 (frozen)
        detail = films.shown(named(job)) if isinstance(job, str) else job
        tell(site, detail)
        page.clock.install(time=detail.created_at + timedelta(seconds=230))
        visit(page, address(site, detail), look)
        expect(page.locator(".job-head")).to_be_visible()
        return detail

    return open_page


def named(name: str) -> JobDetail:
    """Return a sample with what the list of jobs adds to it."""
    if name == "live-running":
        return sample(name, live=Live(seconds=1834.5, bit_rate=2_600_000, dropped=3))
    return sample(name, progress=48, fps=93.4) if name.endswith("-running") else sample(name)


def everything() -> JobDetail:
    """Return a job that has every section at once, which none has in life."""
    fields: dict[str, Any] = {}
    for name in ("live-running", "upload-running", "super-resolution-done", "transcode-done"):
        fields |= {key: value for key, value in dict(named(name)).items() if value}
    job = JobDetail(**fields | {"problem": sample("transcode-failed").problem, "state": "failed", "can_retry": True})
    return with_units(job, a_film_of(40, done=22, running=3, failed=(7, 19)))


def address(site: Site, detail: JobDetail) -> str:
    return f"{site.url}/media/jobs/{detail.dag_id}/{detail.run_id}"


def tell(site: Site, detail: JobDetail) -> None:
    site.details[detail.dag_id, detail.run_id] = detail


def next_poll(page: Page, site: Site, detail: JobDetail, **fields: Any) -> JobDetail:
    """Let the page ask again, and be told so."""
    changed = detail.model_copy(update=fields)
    tell(site, changed)
    next_answer(page)
    return changed


def unit(page: Page, index: int, kind: str = "video") -> Locator:
    return page.locator(f"#unit-{kind}-{index}")


def fact(page: Page, key: str) -> Locator:
    return page.locator(f'[data-fact="{key}"]')


# How it looks


@in_every_look
def test_every_look(page: Page, films: Films, show: Callable[..., JobDetail], look: Look) -> None:
    show(films.shown(everything()), look)
    expect(page.locator("html")).to_have_attribute("lang", look.language)
    expect(page.locator("section:visible")).to_have_count(page.locator("section").count())
    axe(page)
    fits(page)
    shot(page, "job-everything", look)


KINDS = [
    "transcode-queued", "transcode-running", "transcode-failed", "transcode-cancelled", "transcode-done",
    "super-resolution-running", "super-resolution-failed", "super-resolution-done",
    "live-running", "task-done", "upload-running", "folder-done", "ingest-failed",
]  # fmt: skip
THEMES = ("light", "dark")
DRESSED = [(name, Look(theme=THEMES[at % 2])) for at, name in enumerate(KINDS)]


@pytest.mark.sampled("queued", "cancelled", "ingest", "upload", "folder")
@pytest.mark.parametrize(("name", "look"), DRESSED, ids=str)
def test_every_kind_and_state(page: Page, show: Callable[..., JobDetail], look: Look, name: str) -> None:
    detail = show(name, look)
    expect(page.get_by_role("heading", level=1)).to_have_text(detail.title)
    expect(page.locator(".job-head .badge")).to_have_attribute("data-state", detail.state)
    axe(page)
    shot(page, f"job-{name}", look)


def test_the_language_changes_in_place(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-failed")
    chunks = [one for one in detail.units if one.kind == "video"]
    failed = next(at for at, one in enumerate(chunks, 1) if one.state == "failed")
    expect(page.get_by_role("heading", name="Units")).to_be_visible()
    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_role("heading", name="处理单元")).to_be_visible()
    expect(page.locator("#unit-details strong")).to_have_text(f"分块 {failed}/{len(chunks)}")
    words = page.locator("main").inner_text()
    assert not re.findall(r"\b(Flow|Log|Done|Failed|Waiting|Renditions|Streams|Retry|Units)\b", words)


# Head and actions


def test_the_head(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-running")
    expect(page.locator("#progress")).to_have_text(f"{detail.progress}%")
    expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute("value", str(detail.progress))
    expect(page.locator("#pace")).to_contain_text(f"{detail.fps} fps")
    expect(fact(page, "job.fact.client")).to_have_text(str(detail.client))
    expect(fact(page, "job.fact.destination")).to_have_text(str(detail.destination))
    expect(page).to_have_title(f"{detail.progress} % · talk.mp4 – Reelflow")
    expect(page.locator("#airflow")).to_have_attribute("href", detail.run_path)


def test_stopping_asks_first(page: Page, site: Site, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-running")
    path = f"/data/jobs/{detail.dag_id}/{detail.run_id}/stop"

    def stop(_: Request) -> JobDetail:
        stopped = detail.model_copy(update={"state": "cancelled", "can_stop": False, "can_retry": True})
        tell(site, stopped)
        return stopped

    site.answer("POST", path, stop)
    page.locator("#stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert ("POST", path) not in site.calls
    page.locator("#stop").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    # It is asked for at once, not with the next poll.
    expect(page.locator(".job-head .badge")).to_have_text("Stopped")
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#retry")).to_be_visible()
    assert site.calls.count(("POST", path)) == 1
    # The button is gone: the focus is not lost with it.
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_retry_that_is_refused_says_why(page: Page, site: Site, problems: Problems, show: Callable[..., JobDetail]) -> None:
    problems.expect("status of 409")
    detail = show("transcode-failed")
    site.answer(
        "POST",
        f"/data/jobs/{detail.dag_id}/{detail.run_id}/retry",
        lambda _: JSONResponse({"message": "The run is at work."}, 409),
    )
    page.locator("#retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("alert").filter(has_text="The run is at work.")).to_be_visible()
    expect(page.locator("#retry")).to_be_enabled()


def test_who_may_not_change_is_offered_nothing(page: Page, site: Site, show: Callable[..., JobDetail]) -> None:
    site.viewer = Viewer(user="vera", can_start=False, can_change=False)
    show(named("transcode-running").model_copy(update={"can_stop": False}))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#retry")).to_be_hidden()


# The flow


def test_the_flow_has_times_and_logs(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-failed")
    for step in detail.steps:
        row = page.locator(f'[data-step="{step.name}"]')
        expect(row.locator(".badge")).to_have_attribute("data-state", step.state)
        if step.log_path:
            expect(row.get_by_role("link")).to_have_attribute("href", step.log_path)
    encode = next(step for step in detail.steps if step.name == "encode")
    expect(page.locator('[data-step="encode"]')).to_contain_text(f"{encode.units_done} of {encode.units} units")
    assert encode.started_at
    assert encode.ended_at
    took = (encode.ended_at - encode.started_at).seconds
    expect(page.locator('[data-step="encode"] .step-took')).to_have_text(re.compile(rf"^{took}s$" if 10 <= took < 60 else r"^\d"))
    expect(page.get_by_role("link", name="Log of Encode")).to_be_visible()


def test_a_step_without_a_name_of_ours_is_shown_by_its_id(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = sample("transcode-queued")
    step = named("transcode-running").steps[0].model_copy(update={"name": "brand_new"})
    show(detail.model_copy(update={"steps": (step,)}))
    expect(page.locator('[data-step="brand_new"] strong')).to_have_text("brand_new")


def test_logs_open_in_airflow(page: Page, site: Site) -> None:
    detail = sample("transcode-failed")
    tell(site, detail)
    frame = framed(page, site.url, f"/media/jobs/{detail.dag_id}/{detail.run_id}", around=detail.run_path)
    # In the run's own tab there is no navigation of ours.
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    expect(frame.get_by_role("navigation")).to_have_count(0)
    frame.get_by_role("link", name="Log of Encode").click()
    page.wait_for_function("() => window.routed")
    assert page.evaluate("window.routed") == next(step.log_path for step in detail.steps if step.name == "encode")


def test_related_jobs_of_a_tab_open_as_tabs(page: Page, site: Site, problems: Problems) -> None:
    problems.expect("status of 404")  # its pictures are not here
    detail = sample("super-resolution-done")
    tell(site, detail)
    related = detail.related[0]
    frame = framed(page, site.url, f"/media/jobs/{detail.dag_id}/{detail.run_id}", around=detail.run_path)
    frame.get_by_role("link", name=related.title).first.click()
    page.wait_for_function("() => window.routed")
    assert page.evaluate("window.routed") == f"/dags/{related.dag_id}/runs/{related.run_id}/plugin/media-job"


# The units


def test_units_lie_where_they_are_in_the_film(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = with_units(named("transcode-running"), a_film_of(8, done=3, running=2, failed=(6,)))
    show(detail)
    lanes = page.locator('[data-track="picture"] .strip-lanes').bounding_box()
    box = unit(page, 5).bounding_box()
    assert lanes
    assert box
    assert box["x"] - lanes["x"] == pytest.approx(lanes["width"] * 4 / 8, abs=2)
    assert box["width"] == pytest.approx(lanes["width"] / 8, abs=3)
    expect(page.locator('[data-track="audio"]').get_by_role("option")).to_have_count(1)
    expect(page.locator('[data-track="picture"]').get_by_role("option")).to_have_count(8)
    expect(page.get_by_role("option", name="Chunk 5 of 8, Running, 50%, 0:40.0–0:50.0")).to_have_count(1)
    for state, count in {"done": 4, "running": 2, "waiting": 2, "failed": 1}.items():
        expect(page.locator(f'.legend-entry[data-state="{state}"] strong')).to_have_text(str(count))
    # Not by colour alone: each state is painted in a way of its own.
    uncoloured = "e => getComputedStyle(e).backgroundImage.replace(/rgba?\\([^)]*\\)/g, '')"
    states = ("done", "running", "waiting", "failed")
    painted = {page.locator(f'.unit[data-state="{state}"]').first.evaluate(uncoloured) for state in states}
    assert len(painted) == 4


def test_the_strip_by_keyboard(page: Page, show: Callable[..., JobDetail]) -> None:
    show(with_units(named("transcode-running"), a_film_of(30, done=11, failed=(20,))))
    strip = page.get_by_role("listbox", name="Units over the length of the film")
    strip.focus()
    expect(page.locator("#unit-details strong")).to_have_text("Chunk 1 of 30")
    keys = {"ArrowRight": "Chunk 2", "PageDown": "Chunk 12", "ArrowLeft": "Chunk 11", "Home": "Chunk 1", "End": "Sound 1"}
    for key, name in keys.items():
        page.keyboard.press(key)
        expect(page.locator("#unit-details strong")).to_have_text(re.compile(f"^{name} of"))
        active = strip.get_attribute("aria-activedescendant")
        expect(page.locator(f"#{active}")).to_have_attribute("aria-selected", "true")
    expect(page.locator('.unit[aria-selected="true"]')).to_have_count(1)
    page.keyboard.press("Tab")
    expect(strip).not_to_be_focused()


def test_the_strip_by_pointer(page: Page, show: Callable[..., JobDetail]) -> None:
    show(with_units(named("transcode-running"), a_film_of(10, done=5, failed=(7,))))
    unit(page, 3).hover()
    expect(page.locator("#unit-details strong")).to_have_text("Chunk 3 of 10")
    expect(fact(page, "job.unit.place")).to_have_text("0:20.0–0:30.0")
    expect(fact(page, "job.unit.frames")).to_have_text("250")
    expect(fact(page, "job.unit.fps")).to_have_text("48.5")
    expect(page.locator("#unit-details").get_by_role("link", name="Log")).to_have_attribute("href", re.compile("/mapped/3$"))
    unit(page, 8).click()
    page.locator("h1").hover()
    expect(page.locator("#unit-details strong")).to_have_text("Chunk 8 of 10")
    expect(page.locator("#unit-details .failure")).to_have_text("Frame 212 cannot be decoded.")


def test_the_legend_leads_to_the_next_unit_of_a_state(page: Page, show: Callable[..., JobDetail]) -> None:
    show(with_units(named("transcode-running"), a_film_of(10, done=2, failed=(4, 8))))
    failed = page.get_by_role("button", name="Failed: 2 units. Show the next one.")
    for name in ("Chunk 5 of 10", "Chunk 9 of 10", "Chunk 5 of 10"):
        failed.click()
        expect(page.locator("#unit-details strong")).to_have_text(name)
    expect(page.locator("#strip")).to_be_focused()


def test_a_failed_job_shows_its_failed_unit(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-failed")
    error = next(one.error for one in detail.units if one.state == "failed")
    expect(page.locator("#unit-details .failure")).to_have_text(str(error))


def test_units_as_a_table(page: Page, show: Callable[..., JobDetail]) -> None:
    show(with_units(named("transcode-running"), a_film_of(5, done=2)))
    page.get_by_text("Units as a table").click()
    rows = page.locator(".units-table tbody tr")
    expect(rows).to_have_count(6)
    expect(rows.nth(1)).to_contain_text("Chunk 2 of 5")
    expect(rows.nth(1)).to_contain_text("0:10.0–0:20.0")
    axe(page)


@pytest.mark.parametrize("count", [1, 1000])
def test_as_many_units_as_there_are(page: Page, show: Callable[..., JobDetail], count: int) -> None:
    show(
        with_units(named("transcode-running"), a_film_of(count, done=count // 2, running=1, failed=(count - 1,))),
        Look(width=390),
    )
    expect(page.locator('[data-track="picture"] .unit')).to_have_count(count)
    # However many: one that has failed can be seen, and all can be reached.
    failed = unit(page, count).bounding_box()
    assert failed
    assert failed["width"] >= 4
    page.locator("#strip").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#unit-details strong")).to_have_text(f"Chunk {count:,} of {count:,}")
    fits(page)


def test_units_without_places_stand_side_by_side(page: Page, show: Callable[..., JobDetail]) -> None:
    units = tuple(one.model_copy(update={"start": None, "end": None}) for one in a_film_of(4))
    show(named("transcode-running").model_copy(update={"units": units}))
    expect(page.get_by_text("Where the units lie in the film is not known yet.")).to_be_visible()
    first, last = unit(page, 1).bounding_box(), unit(page, 4).bounding_box()
    assert first
    assert last
    assert last["x"] == pytest.approx(first["x"] + 3 * first["width"], abs=12)


def test_tracks_of_sound_that_overlap_have_lanes_of_their_own(page: Page, show: Callable[..., JobDetail]) -> None:
    picture = a_film_of(3)[1:]
    sounds = tuple(a_film_of(3)[0].model_copy(update={"index": 10 + at}) for at in range(2))
    show(with_units(named("transcode-running"), sounds + picture))
    first, second = unit(page, 10, "audio").bounding_box(), unit(page, 11, "audio").bounding_box()
    assert first
    assert second
    assert second["y"] >= first["y"] + first["height"]


# Live


def test_two_hundred_units_progress_without_a_reload(page: Page, site: Site, show: Callable[..., JobDetail]) -> None:
    detail = show(with_units(named("transcode-running"), a_film_of(200, done=20, running=4)))
    page.evaluate("window.mark = document.querySelector('#unit-video-100')")
    unit(page, 30).click()
    page.evaluate("scrollTo(0, 60)")
    for done in (60, 120, 200):
        detail = next_poll(page, site, detail, units=a_film_of(200, done=done, running=4), progress=done // 2, fps=33.3)
        expect(page.locator('.legend-entry[data-state="done"] strong')).to_have_text(str(done + 1))
        expect(page.locator("#progress")).to_have_text(f"{done // 2}%")
    expect(page.locator('.unit[data-state="done"]')).to_have_count(201)
    assert page.evaluate("window.mark === document.querySelector('#unit-video-100')"), "elements are kept"
    expect(page.locator("#unit-details .badge")).to_have_text("Done")
    expect(page.locator("#strip")).to_be_focused()
    assert page.evaluate("scrollY") == 60


def test_an_answer_with_two_hundred_units_is_drawn_within_a_frame_or_few(page: Page, show: Callable[..., JobDetail]) -> None:
    """Work is counted, not time: with one unit changed, one element of the strip is touched."""
    detail = show(with_units(named("transcode-running"), a_film_of(200, done=20, running=1)))
    page.evaluate(
        """() => {
          window.touched = new Set();
          const note = (list) => list.forEach((one) => window.touched.add(one.target.id || one.target.className));
          const what = {attributes: true, subtree: true, childList: true, attributeFilter: ["style", "data-state", "aria-label"]};
          new MutationObserver(note).observe(document.querySelector("#strip"), what);
        }"""
    )
    changed = tuple(one.model_copy(update={"progress": 77}) if one.state == "running" else one for one in detail.units)
    page.route(
        "**/data/jobs/**", lambda route: route.fulfill(json=detail.model_copy(update={"units": changed}).model_dump(mode="json"))
    )
    next_answer(page)
    expect(unit(page, 21)).to_have_attribute("aria-label", re.compile("77%"))
    assert page.evaluate("[...window.touched]") == ["unit-video-21"]


def test_sections_appear_as_they_become_known(page: Page, site: Site, films: Films, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-queued")
    for name in ("units", "source", "player", "ladder", "thumbnails", "files"):
        expect(page.locator(f"#{name}")).to_be_hidden()
    page.locator("#airflow").focus()
    running = named("transcode-running").model_copy(update={"run_id": detail.run_id})
    next_poll(page, site, running)
    expect(page.locator("#units")).to_be_visible()
    expect(page.locator("#source")).to_be_visible()
    expect(page.locator("#voice")).to_have_text("The job is now: Running")
    done = films.shown(sample("transcode-done", run_id=detail.run_id))
    next_poll(page, site, done)
    for name in ("player", "ladder", "thumbnails", "files"):
        expect(page.locator(f"#{name}")).to_be_visible()
    expect(page.locator("#airflow")).to_be_focused()
    expect(page.locator(".job-progress")).to_be_hidden()


def test_a_live_stream(page: Page, site: Site, show: Callable[..., JobDetail]) -> None:
    detail = show("live-running")
    assert detail.live
    assert detail.live.dropped is not None
    expect(page.get_by_text("On air")).to_be_visible()
    expect(page.locator('[data-live="dropped"] dd')).to_have_text(str(detail.live.dropped))
    expect(page.locator('[data-live="bitRate"] dd')).to_have_text(re.compile(r"bit/s$"))
    expect(page.locator("#units")).to_be_hidden()
    for one in detail.destinations:
        expect(page.locator("#destinations li").filter(has_text=one.name)).to_be_visible()
    live = detail.live.model_copy(update={"seconds": 3725.0, "bit_rate": 1_500_000, "dropped": 9})
    gone = (
        Destination(name="rtmp://a.example/x", status="retrying"),
        Destination(name="s3://b/c.m3u8", status="failed", error="It is full."),
    )
    next_poll(page, site, detail, live=live, destinations=gone)
    expect(page.locator('[data-live="seconds"] dd')).to_have_text("1h 2m")
    expect(page.locator('[data-live="bitRate"] dd')).to_have_text("1.5 Mbit/s")
    expect(page.locator("#destinations .badge")).to_have_text(["Connecting again", "Failed"])
    expect(page.locator("#destinations .failure:visible")).to_have_text("It is full.")


# Source, ladder, delivery


def test_what_is_known_of_the_source(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = sample("transcode-failed")
    assert detail.source
    source = detail.source.model_copy(
        update={"is_variable": True, "rotation": 90, "interlaced": True, "damage": ("It ends early.",)}
    )
    show(detail.model_copy(update={"source": source}))
    expect(fact(page, "job.source.picture")).to_have_text(f"{source.width} × {source.height}")
    expect(fact(page, "job.source.rate")).to_have_text(re.compile("on average, variable$"))
    expect(fact(page, "job.source.rotation")).to_have_text("90°")
    expect(fact(page, "job.source.scan")).to_have_text("interlaced")
    expect(page.locator(".streams li")).to_have_count(len(source.streams))
    expect(page.locator(".damage li")).to_have_text("It ends early.")


def test_the_ladder(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-done")
    table = page.get_by_role("table").filter(has_text="PSNR")
    expect(table.locator("tbody tr")).to_have_count(len(detail.renditions))
    one = detail.renditions[0]
    assert one.psnr is not None
    assert one.ssim is not None
    expect(table.locator("tbody tr").first).to_contain_text(f"{one.width} × {one.height}")
    expect(table.locator("tbody tr").first).to_contain_text(f"{one.psnr:.1f} dB")
    expect(table.locator("tbody tr").first).to_contain_text(f"{one.ssim:.3f}")


@pytest.mark.parametrize("vmaf", [None, 93.26])
def test_vmaf_is_shown_where_it_was_measured(
    page: Page, films: Films, show: Callable[..., JobDetail], vmaf: float | None
) -> None:
    detail = films.shown(sample("transcode-done"))
    show(detail.model_copy(update={"renditions": tuple(one.model_copy(update={"vmaf": vmaf}) for one in detail.renditions)}))
    if vmaf is None:
        expect(page.get_by_role("columnheader", name="SSIM")).to_be_visible()
        expect(page.get_by_role("columnheader", name="VMAF", include_hidden=True)).to_be_hidden()
        return
    expect(page.get_by_role("columnheader", name="VMAF")).to_be_visible()
    expect(page.get_by_role("cell", name="93.3").first).to_be_visible()


def test_an_upload(page: Page, site: Site, show: Callable[..., JobDetail]) -> None:
    parts = tuple(
        Part(index=at, bytes=1_000_000, complete=at < 2, error="Part 3 has 5 bytes instead of 1000000." if at == 3 else None)
        for at in range(5)
    )
    detail = show(sample("upload-running").model_copy(update={"parts": parts}))
    expect(page.locator("#parts-summary")).to_have_text("2 of 5 parts have landed: 2 MB of 5 MB")
    expect(page.get_by_role("img", name="2 of 5 parts have landed: 2 MB of 5 MB")).to_be_visible()
    expect(page.locator("#parts .failure")).to_have_text("Part 3 has 5 bytes instead of 1000000.")
    expect(page.locator("#destinations").get_by_role("progressbar", name="Progress of YouTube")).to_be_visible()
    next_poll(page, site, detail, parts=tuple(part.model_copy(update={"complete": True, "error": None}) for part in parts))
    expect(page.locator("#parts-summary")).to_have_text("5 of 5 parts have landed: 5 MB of 5 MB")
    expect(page.locator("#parts .failure")).to_have_count(0)


def test_files_can_be_downloaded(page: Page, films: Films, show: Callable[..., JobDetail]) -> None:
    detail = films.shown(sample("transcode-done"))
    files = tuple(detail.files[0].model_copy(update={"name": f"f{at}.ts", "key": f"out/f{at}.ts"}) for at in range(30))
    show(detail.model_copy(update={"files": files}))
    expect(page.locator("#files li")).to_have_count(12)
    page.get_by_role("button", name="Show all 30 files").click()
    expect(page.locator("#files li")).to_have_count(30)
    expect(page.get_by_role("link", name="f12.ts")).to_be_focused()
    with page.expect_download() as download:
        page.get_by_role("link", name="f3.ts").click()
    assert download.value.suggested_filename


def test_related_jobs_lead_to_their_pages(page: Page, site: Site, show: Callable[..., JobDetail]) -> None:
    detail = show("super-resolution-done")
    related = detail.related[0]
    tell(site, sample("transcode-queued", dag_id=related.dag_id, run_id=related.run_id))
    page.locator("#related").get_by_role("link", name=related.title).click()
    page.wait_for_url(f"**/media/jobs/{related.dag_id}/{related.run_id}")
    expect(page.locator(".job-head .badge")).to_have_text("Queued")


# Failures


def test_a_problem_in_words(page: Page, show: Callable[..., JobDetail]) -> None:
    detail = show("transcode-failed")
    assert detail.problem
    box = page.get_by_role("region", name="The source cannot be read to its end")
    expect(box).to_contain_text(detail.problem.message)
    expect(box).to_contain_text("export or upload it again")
    expect(box).to_contain_text("Trying the same again will not help.")
    failed = next(one.log_path for one in detail.units if one.state == "failed")
    expect(box.get_by_role("link", name="Log of the failure")).to_have_attribute("href", str(failed))


def test_a_failure_without_a_code_has_advice_too(page: Page, show: Callable[..., JobDetail]) -> None:
    show(sample("transcode-failed").model_copy(update={"problem": Problem(code="FromTheFuture", message="Odd.", retryable=True)}))
    expect(page.locator("#problem")).to_contain_text("The job has failed")
    expect(page.locator("#problem")).to_contain_text("Odd.")
    expect(page.locator("#problem")).to_contain_text("Another attempt may succeed.")


def test_an_unknown_job(page: Page, site: Site, problems: Problems) -> None:
    problems.expect("status of 404")
    visit(page, f"{site.url}/media/jobs/transcode/nobody")
    expect(page.get_by_role("heading", name="There is no such job")).to_be_visible()
    axe(page)
    page.get_by_role("link", name="All jobs").click()
    page.wait_for_url(f"{site.url}/media/")


@pytest.mark.parametrize(("status", "words"), [(422, "This run makes no media"), (403, "You may not see this job")])
def test_a_run_that_is_not_shown(page: Page, site: Site, problems: Problems, status: int, words: str) -> None:
    problems.expect(f"status of {status}")
    site.fail("GET", "/data/jobs/*", status, "no")
    frame = framed(page, site.url, "/media/jobs/etl/r1", around="/dags/etl/runs/r1")
    expect(frame.get_by_role("heading", name=words)).to_be_visible()


def test_while_nothing_is_known(page: Page, site: Site, problems: Problems, films: Films) -> None:
    problems.expect("status of 500")
    page.clock.install()
    site.fail("GET", "/data/jobs/*")
    detail = named("transcode-running")
    visit(page, address(site, detail))
    expect(page.get_by_role("heading", name="The job cannot be shown")).to_be_visible()
    axe(page)
    site.mend()
    tell(site, detail)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(detail.title)


def test_loading_is_shown(page: Page, site: Site) -> None:
    detail = sample("transcode-queued")
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/data/jobs/**", hold)
    page.goto(address(site, detail))
    expect(page.locator(".job-loading")).to_be_visible()
    expect(page.locator("main")).to_have_attribute("aria-busy", "true")
    axe(page)
    held[0].fulfill(json=detail.model_dump(mode="json"))
    expect(page.get_by_role("heading", level=1)).to_have_text(detail.title)
    expect(page.locator(".job-loading")).to_have_count(0)


def test_stale_data_stay_and_say_so(page: Page, site: Site, problems: Problems, show: Callable[..., JobDetail]) -> None:
    problems.expect("status of 500")
    detail = show("transcode-running")
    site.fail("GET", "/data/jobs/*")
    next_poll(page, site, detail)
    expect(page.locator("#stale")).to_contain_text("The server does not answer.")
    expect(page.get_by_role("heading", level=1)).to_have_text(detail.title)
    axe(page)
    site.mend()
    next_answer(page)
    expect(page.locator("#stale")).to_have_count(0)


def test_signed_out(page: Page, site: Site, problems: Problems, show: Callable[..., JobDetail]) -> None:
    problems.expect("status of 401")
    detail = show("transcode-running")
    site.signed_in = False
    next_poll(page, site, detail)
    expect(page.locator("#signed-out")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text(detail.title)
    axe(page)
    site.signed_in = True
    next_answer(page)
    expect(page.locator("#signed-out")).to_have_count(0)


def test_a_run_that_is_deleted_meanwhile(page: Page, site: Site, problems: Problems, show: Callable[..., JobDetail]) -> None:
    problems.expect("status of 404")
    detail = show("transcode-running")
    next_poll(page, site, detail)
    del site.details[detail.dag_id, detail.run_id]
    next_answer(page)
    expect(page.get_by_role("heading", name="There is no such job")).to_be_visible()


def test_without_scripts_from_elsewhere_or_inline(page: Page, site: Site) -> None:
    """Nothing of the page is from another place, and no style or script is in the document: the CSP would refuse it."""
    detail = named("transcode-running")
    tell(site, detail)
    page.goto(address(site, detail))
    expect(page.get_by_role("heading", level=1)).to_have_text(detail.title)
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)")
    assert set(loaded) == {site.url}


def test_titles_are_text(page: Page, show: Callable[..., JobDetail]) -> None:
    problem = Problem(code="<b>", message="<i>no</i>", retryable=False)
    show(sample("transcode-failed").model_copy(update={"title": "in/<img src=x onerror=alert(1)>.mp4", "problem": problem}))
    expect(page.get_by_role("heading", level=1)).to_have_text("in/<img src=x onerror=alert(1)>.mp4")
    expect(page.locator("#problem")).to_contain_text("<i>no</i>")
    expect(page.locator('main img[src="x"]')).to_have_count(0)


# Pictures and films


def plays(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('video').readyState >= 1")


@pytest.mark.parametrize("name", ["task-done", "transcode-done"])
def test_the_player_plays_and_polls_leave_it_alone(
    page: Page, site: Site, films: Films, show: Callable[..., JobDetail], name: str
) -> None:
    """An MP4, and HLS as the browser plays it: the addresses are signed anew with each answer."""
    detail = show(name)
    plays(page)
    assert page.evaluate("document.querySelector('video').duration") == pytest.approx(SECONDS, abs=0.3)
    page.evaluate("(async () => { const video = document.querySelector('video'); video.muted = true; await video.play(); })()")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.2")
    page.evaluate("window.source = document.querySelector('video').currentSrc")
    page.evaluate("window.begun = 0; document.querySelector('video').addEventListener('loadstart', () => { window.begun += 1; })")
    images = [one for one in films.asked if one.startswith(("picture", "sheet"))]
    for signature in ("s=2", "s=3"):
        next_poll(page, site, films.shown(sample(name), signature))
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.6")
    assert page.evaluate("!document.querySelector('video').paused && window.begun === 0")
    assert page.evaluate("document.querySelector('video').currentSrc === window.source")
    assert [one for one in films.asked if one.startswith(("picture", "sheet"))] == images
    assert detail.player


def test_pictures_that_a_retry_has_made_anew_are_shown(
    page: Page, site: Site, films: Films, show: Callable[..., JobDetail]
) -> None:
    show("transcode-done")
    image = page.locator("#thumbnails img").first
    image.scroll_into_view_if_needed()
    expect(image).to_have_attribute("src", re.compile("s=1$"))
    detail = films.shown(sample("transcode-done"), "s=2")
    anew = tuple(one.model_copy(update={"url": f"{one.url}#another"}) for one in detail.thumbnails)
    next_poll(page, site, detail.model_copy(update={"thumbnails": anew}))
    expect(image).to_have_attribute("src", re.compile("s=2#another$"))


def test_a_signature_that_runs_out_is_replaced_where_it_stopped(
    page: Page, site: Site, films: Films, problems: Problems, show: Callable[..., JobDetail]
) -> None:
    problems.expect("status of 403|403")
    show("task-done")
    plays(page)
    next_poll(page, site, films.shown(sample("task-done"), "s=2"), state="running")
    films.missing.add("film.mp4?s=1")
    # What a browser does when a range is refused in the middle: it gives up with an error.
    page.evaluate(
        """() => { const video = document.querySelector("video");
          video.currentTime = 7; video.dispatchEvent(new Event("error")); }"""
    )
    page.wait_for_function("() => document.querySelector('video').src.endsWith('s=2')")
    page.wait_for_function("() => document.querySelector('video').currentTime === 7")
    expect(page.locator("#player [role=alert]")).to_be_hidden()


def test_a_film_that_cannot_be_played_is_when_a_newer_address_comes(
    page: Page, site: Site, films: Films, problems: Problems, show: Callable[..., JobDetail]
) -> None:
    problems.expect("403")
    films.missing.add("film.mp4?s=1")
    show("task-done")
    expect(page.locator("#player").get_by_role("alert")).to_contain_text("The video cannot be played")
    next_poll(page, site, films.shown(sample("task-done"), "s=2"))
    plays(page)
    expect(page.locator("#player [role=alert]")).to_be_hidden()


def test_a_film_that_is_gone_says_so(page: Page, films: Films, problems: Problems, show: Callable[..., JobDetail]) -> None:
    problems.expect("403")
    films.missing.add("film.mp4")
    show("task-done")
    expect(page.locator("#player").get_by_role("alert")).to_contain_text("The video cannot be played")


def test_a_browser_without_hls_is_told_what_to_do(page: Page, show: Callable[..., JobDetail]) -> None:
    page.add_init_script("HTMLMediaElement.prototype.canPlayType = (type) => (type.includes('mpegurl') ? '' : 'maybe');")
    show("transcode-done")
    expect(page.locator("#player-unable")).to_contain_text("does not play HLS by itself")
    expect(page.locator("video")).to_be_hidden()
    # Pictures there is nothing to play of lead nowhere.
    expect(page.locator("#thumbnails li").first).to_be_visible()
    expect(page.locator("#thumbnails").get_by_role("button", name="Play from")).to_have_count(0)


def test_the_storyboard_leads_through_the_film(page: Page, show: Callable[..., JobDetail]) -> None:
    show("transcode-done")
    plays(page)
    slider = page.get_by_role("slider", name="Place in the film")
    slider.focus()
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "0:12 of 0:12")
    expect(page.locator(".board-preview")).to_be_visible()
    page.wait_for_function(f"() => document.querySelector('video').currentTime > {SECONDS - 1}")
    film = page.locator(".board-film")
    box = film.bounding_box()
    assert box
    film.hover(position={"x": box["width"] * 0.46, "y": 20})
    expect(page.locator(".board-time")).to_have_text("0:05")
    # The picture of second 5 is the second one of the second row of its sheet.
    moved = page.locator(".board-picture img").evaluate("(e) => e.style.transform")
    assert moved == "scale(1) translate(-160px, -90px)"
    film.click(position={"x": box["width"] * 0.25, "y": 20})
    page.wait_for_function("() => Math.abs(document.querySelector('video').currentTime - 3) < 0.2")


def test_a_thumbnail_leads_to_its_place(page: Page, show: Callable[..., JobDetail]) -> None:
    show("transcode-done")
    plays(page)
    page.get_by_role("button", name="Play from 0:08").click()
    page.wait_for_function("() => document.querySelector('video').currentTime === 8")


def edge(page: Page) -> float:
    """Return where the edge is: the share of the picture that is before."""
    return float(
        page.evaluate(
            """() => { const port = document.querySelector(".compare-port").getBoundingClientRect();
              const edge = document.querySelector(".compare-edge").getBoundingClientRect();
              return (edge.left + edge.width / 2 - port.left) / port.width; }"""
        )
    )


def test_before_and_after_by_keyboard_and_pointer(page: Page, show: Callable[..., JobDetail]) -> None:
    show("super-resolution-done")
    slider = page.get_by_role("slider", name="Edge between before and after")
    expect(page.get_by_role("img", name="Frame at 0:01.0 before upscaling")).to_be_visible()
    expect(page.get_by_role("img", name="Frame at 0:01.0 after upscaling")).to_be_visible()
    assert edge(page) == pytest.approx(0.5, abs=0.01)
    slider.focus()
    slider.press("ArrowRight")
    assert edge(page) == pytest.approx(0.51, abs=0.01)
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "0% before, 100% after")
    view = page.locator(".compare")
    box = view.bounding_box()
    assert box
    view.scroll_into_view_if_needed()
    view.hover(position={"x": 5, "y": 60})
    page.mouse.down()
    view.hover(position={"x": box["width"] * 0.75, "y": 60})
    page.mouse.up()
    assert edge(page) == pytest.approx(0.75, abs=0.02)
    expect(slider).to_have_value("75")
    # The part of the picture before that is covered is cut off at the edge.
    cut = page.locator(".compare-before").evaluate(
        "(e) => parseFloat(getComputedStyle(e).clipPath.split(' ')[1]) / e.clientWidth"
    )
    assert cut == pytest.approx(0.25, abs=0.02)


def test_the_choice_among_frames_outlives_polls(page: Page, site: Site, films: Films, show: Callable[..., JobDetail]) -> None:
    show("super-resolution-done")
    page.get_by_role("radio", name="Frame at 0:01.0").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("img", name="Frame at 0:05.0 after upscaling")).to_be_visible()
    next_poll(page, site, films.shown(sample("super-resolution-done"), "s=2"))
    expect(page.get_by_role("img", name="Frame at 0:05.0 after upscaling")).to_be_visible()
    expect(page.get_by_role("radio", name="Frame at 0:05.0")).to_be_focused()
    assert page.locator(".compare-after").get_attribute("src") == films.url("after1.png")


def test_actual_pixels(page: Page, show: Callable[..., JobDetail]) -> None:
    show("super-resolution-done")
    zoom = page.get_by_role("button", name="Actual pixels")
    zoom.click()
    expect(zoom).to_have_attribute("aria-pressed", "true")
    assert page.locator(".compare-after").evaluate("(e) => [e.clientWidth, e.clientHeight]") == [1920, 1080]
    port = page.get_by_role("region", name="Part of the picture that is shown")
    before = port.evaluate("(e) => e.scrollLeft")
    assert before > 0, "the middle stays the middle"
    # By mouse the picture is dragged, and the edge stays where it is seen.
    view = page.locator(".compare")
    view.scroll_into_view_if_needed()
    view.hover(position={"x": 200, "y": 80})
    page.mouse.down()
    view.hover(position={"x": 140, "y": 80})
    page.mouse.up()
    assert port.evaluate("(e) => e.scrollLeft") == pytest.approx(before + 60, abs=2)
    assert edge(page) == pytest.approx(0.5, abs=0.01)
    axe(page)
    shot(page, "job-actual-pixels")
    zoom.click()
    expect(zoom).to_have_attribute("aria-pressed", "false")


def test_before_and_after_by_touch(browser: Browser, site: Site, films: Films) -> None:
    detail = films.shown(sample("super-resolution-done"))
    tell(site, detail)
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(address(site, detail))
    view = page.locator(".compare")
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + box["width"] * 0.2, box["y"] + 80)
    expect(page.locator("#edge")).to_have_value(re.compile("^(19|20|21)$"))
    context.close()
