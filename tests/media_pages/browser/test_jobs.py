"""The page Jobs, as a logged-in person uses it."""

from __future__ import annotations

import re
import threading
import time

import pytest
from fastapi import Request
from playwright.sync_api import Locator, Page, expect

from include.media_pages.models import Live
from tests.media_pages.browser.canned import a_job, many_jobs, some_jobs
from tests.media_pages.browser.harness import Look, Problems, axe, fits, framed, in_every_look, next_answer, shot, visit
from tests.media_pages.browser.site import Site


def rows(page: Page) -> Locator:
    """The rows of jobs."""
    return page.locator("#rows > tr")


def row(page: Page, run_id: str) -> Locator:
    """The row of a job."""
    return page.locator(f"#rows > tr[data-key$=' {run_id}']")


def top_of(element: Locator) -> float:
    """Where in the window an element begins; pixels."""
    return float(element.evaluate("e => e.getBoundingClientRect().top"))


def with_clock(page: Page, site: Site, query: str = "") -> None:
    """Open the page, see its first jobs, and stop its clock: from here on the test moves it."""
    page.clock.install()
    page.clock.pause_at(time.time() + 1)
    visit(page, f"{site.url}/media/{query}")
    expect(rows(page)).not_to_have_count(0)


def asked(site: Site) -> list[str]:
    """The queries of the list so far."""
    return [path for method, path in site.calls if method == "GET" and path.startswith("/data/jobs")]


@in_every_look
def test_every_look(page: Page, site: Site, look: Look) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/", look)
    expect(rows(page)).to_have_count(len(site.jobs))
    expect(page.get_by_role("heading", level=1)).to_have_text({"en": "Jobs", "zh-CN": "任务"}[look.language])
    expect(row(page, "t1").locator(".badge")).to_have_text({"en": "Running", "zh-CN": "运行中"}[look.language])
    assert page.locator("html").get_attribute("lang") == look.language
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == look.theme
    fits(page)
    axe(page)
    shot(page, "jobs", look)
    if look.width < 600:
        page.get_by_role("button", name={"en": "Filters", "zh-CN": "筛选"}[look.language]).click()
        expect(page.locator("#client")).to_be_visible()
        fits(page)
        axe(page, include=[["#filters"]])


def test_a_row_tells_what_is_known(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/")
    running = row(page, "t1")
    expect(running.get_by_role("link", name="episode-07-the-quiet-harbour.mp4", exact=False).first).to_have_attribute(
        "href", f"{site.url}/media/jobs/transcode/t1"
    )
    expect(running.locator(".to")).to_contain_text("s3://media/out/episode-07/episode-07.m3u8")
    expect(running.get_by_role("progressbar")).to_have_attribute("value", "64")
    expect(running.get_by_role("progressbar")).to_have_accessible_name("Progress of episode-07-the-quiet-harbour.mp4")
    expect(running.locator(".rate")).to_contain_text(re.compile("^64%.·.183.fps.·.3m"))
    expect(running.locator(".cell-from")).to_have_text("acmeby studio")
    expect(running.locator(".cell-when")).to_contain_text("3 minutes ago")
    created = site.find("t1").model_dump(mode="json")["created_at"]
    expect(running.locator("time")).to_have_attribute("datetime", created)
    expect(running.locator("time")).to_have_attribute("title", re.compile(r"^\w+ \d+, \d{4}, \d+:\d\d:\d\d"))

    live = row(page, "l1")
    expect(live.locator(".rate")).to_have_text(re.compile("On.air.for.41m.54s.·.4.48.Mbit/s.·.12.frames.dropped"))
    expect(live.get_by_role("progressbar")).to_have_count(0)

    expect(row(page, "f1").locator(".why")).to_contain_text("131 frames cannot be decoded")
    expect(row(page, "f1").get_by_role("button")).to_have_accessible_name("Retry damaged-tape.ts")
    expect(row(page, "t1").get_by_role("button")).to_have_accessible_name("Stop episode-07-the-quiet-harbour.mp4")
    expect(row(page, "d1").get_by_role("button")).to_have_count(0)


def test_a_card_is_a_row_of_a_table_for_a_screen_reader(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    for width in (1280, 390):
        visit(page, f"{site.url}/media/", Look(width=width))
        table = page.get_by_role("table", name="Jobs, newest first")
        expect(table.get_by_role("columnheader")).to_have_count(7)
        expect(table.get_by_role("row")).to_have_count(len(site.jobs) + 1)
        expect(table.get_by_role("rowheader").first).to_contain_text("interview-long-cut.mov")
        expect(row(page, "t1").get_by_role("cell")).to_have_count(6)


def test_unknown_progress_is_no_nought(page: Page, site: Site) -> None:
    site.jobs = [a_job("u", progress=None)]
    visit(page, f"{site.url}/media/")
    assert row(page, "u").get_by_role("progressbar").evaluate("bar => bar.position") == -1


def test_titles_are_texts(page: Page, site: Site) -> None:
    evil = "<img src=x onerror=alert(1)>.mp4"
    site.jobs = [a_job("evil", title=f"s3://media/{evil}", state="failed", error=evil, destination=evil, client=evil)]
    visit(page, f"{site.url}/media/")
    expect(row(page, "evil").locator(".title")).to_have_text(f"s3://media/{evil}")
    assert page.locator("#rows img").count() == 0


def test_run_ids_with_odd_letters(page: Page, site: Site) -> None:
    odd = "a/b c#d?e%f+运行"
    site.jobs = [a_job(odd)]
    visit(page, f"{site.url}/media/")
    expect(rows(page).locator(".title")).to_have_attribute(
        "href", f"{site.url}/media/jobs/transcode/a%2Fb%20c%23d%3Fe%25f%2B%E8%BF%90%E8%A1%8C"
    )


# What changes while one looks


def test_live_updates_leave_the_viewer_alone(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    with_clock(page, site)
    expect(rows(page)).to_have_count(len(site.jobs))
    link = row(page, "t1").get_by_role("link", name="Open episode")
    link.focus()
    # Not to the end: a page that gets shorter there has to move.
    page.evaluate("scrollTo(0, 60)")
    page.evaluate("window.kept = document.querySelector('#rows tr:nth-child(2)')")
    top = top_of(link)
    site.change("t1", progress=91, fps=201.0)
    site.change("l1", live=Live(seconds=2520, bit_rate=4_500_000, dropped=13))
    next_answer(page)
    expect(row(page, "t1").get_by_role("progressbar")).to_have_attribute("value", "91")
    expect(row(page, "t1").locator(".rate")).to_contain_text("201")
    expect(row(page, "l1").locator(".rate")).to_contain_text("13")
    expect(link).to_be_focused()
    assert page.evaluate("kept === document.querySelector('#rows tr:nth-child(2)')"), "the row was made anew"
    assert page.evaluate("scrollY") == 60
    assert abs(top_of(link) - top) < 1


def test_new_jobs_come_by_themselves_and_are_announced(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    with_clock(page, site)
    expect(rows(page)).to_have_count(11)
    voice = page.locator("#voice")
    expect(voice).to_have_attribute("role", "status")
    expect(voice).to_be_empty()
    page.evaluate("document.querySelector('#rows').lastElementChild.scrollIntoView()")
    link = row(page, "d3").get_by_role("link", name="海边的小镇.mp4", exact=False).first
    link.focus()
    top = top_of(link)
    site.jobs = [a_job("n1", minutes_ago=0), a_job("n2", minutes_ago=0), *site.jobs]
    next_answer(page)
    expect(rows(page)).to_have_count(13)
    assert rows(page).first.get_attribute("data-key") == "transcode n1"
    page.clock.run_for(100)
    expect(voice).to_have_text("2 new jobs")
    expect(link).to_be_focused()
    # Windows scroll by whole pixels.
    assert abs(top_of(link) - top) < 1, "what one reads has moved"
    next_answer(page)
    assert page.locator(".fresh").count() == 2


def test_a_job_ends_while_its_stop_button_has_the_focus(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    with_clock(page, site)
    row(page, "t1").get_by_role("button").focus()
    site.change("t1", state="done", can_stop=False, progress=100)
    next_answer(page)
    expect(row(page, "t1").locator(".badge")).to_have_text("Done")
    expect(row(page, "t1").locator(".title")).to_be_focused()


def test_a_job_leaves_the_filter_while_it_has_the_focus(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    with_clock(page, site, "?state=running")
    expect(rows(page)).to_have_count(4)
    row(page, "t1").locator(".title").focus()
    site.change("t1", state="done", can_stop=False)
    next_answer(page)
    expect(rows(page)).to_have_count(3)
    expect(row(page, "s1").locator(".title")).to_be_focused()


def test_nobody_looks_nothing_is_asked(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    with_clock(page, site)
    expect(rows(page)).to_have_count(11)
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    before = len(asked(site))
    page.clock.run_for(60_000)
    assert len(asked(site)) == before
    site.change("t1", progress=99)
    page.evaluate(hide, False)
    expect(row(page, "t1").get_by_role("progressbar")).to_have_attribute("value", "99")


# Which jobs


def test_filters_are_in_the_address(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/")
    page.get_by_role("checkbox", name="Running").check()
    expect(rows(page)).to_have_count(4)
    page.get_by_role("checkbox", name="Queued").check()
    expect(rows(page)).to_have_count(5)
    page.get_by_role("checkbox", name="Transcode").check()
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Content provider").fill("acme")
    page.get_by_label("Client").fill("studio")
    page.get_by_role("searchbox", name="Search").fill("episode")
    expect(rows(page)).to_have_count(1)
    assert page.url == f"{site.url}/media/?q=episode&provider=acme&client=studio&state=queued&state=running&kind=transcode"
    expect(page.locator("#voice")).to_have_text("1 job")

    page.reload()
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("episode")
    expect(page.get_by_label("Client")).to_have_value("studio")
    expect(page.get_by_role("checkbox", name="Running")).to_be_checked()
    expect(page.get_by_role("checkbox", name="Failed")).not_to_be_checked()

    page.get_by_role("button", name="Clear filters").click()
    expect(rows(page)).to_have_count(11)
    assert page.url == f"{site.url}/media/"
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()
    expect(page.get_by_role("button", name="Clear filters")).to_be_hidden()


def test_a_link_with_nonsense_asks_for_what_it_can(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/?state=failed&state=bogus&kind=%3Cb%3E&page=3")
    expect(rows(page)).to_have_count(2)
    assert asked(site)[0] == "/data/jobs?state=failed&limit=25"


def test_providers_and_clients_are_suggested(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/")
    expect(rows(page)).to_have_count(11)
    suggested = page.locator("#clients option").evaluate_all("options => options.map((o) => o.value).sort()")
    assert suggested == ["archive", "broadcast", "newsroom", "studio"]


def test_typing_asks_once(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    with_clock(page, site)
    expect(rows(page)).to_have_count(11)
    page.get_by_role("searchbox", name="Search").press_sequentially("newsreel")
    page.clock.run_for(300)
    expect(rows(page)).to_have_count(1)
    queries = {path for path in asked(site) if "q=" in path}
    assert queries == {"/data/jobs?q=newsreel&limit=25"}
    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()


def test_an_old_answer_does_not_overwrite_a_new_one(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/")
    expect(rows(page)).to_have_count(11)
    slow = threading.Event()

    def answer(request: Request) -> object:
        if request.query_params.getlist("state") == ["failed"]:
            slow.wait(20)
            return {"jobs": [job.model_dump(mode="json") for job in site.jobs if job.state == "failed"], "next": None}
        return {"jobs": [job.model_dump(mode="json") for job in site.jobs if job.state == "done"], "next": None}

    site.answer("GET", "/data/jobs", answer)
    page.get_by_role("checkbox", name="Failed").check()
    expect(page.locator("#jobs")).to_have_attribute("aria-busy", "true")
    page.get_by_role("checkbox", name="Failed").uncheck()
    page.get_by_role("checkbox", name="Done").check()
    expect(rows(page)).to_have_count(3)
    slow.set()
    expect(rows(page).locator(".badge", has_text="Failed")).to_have_count(0)
    expect(rows(page)).to_have_count(3)


def test_older_jobs(page: Page, site: Site) -> None:
    site.jobs = many_jobs(60)
    with_clock(page, site)
    expect(rows(page)).to_have_count(25)
    expect(page.locator("#count")).to_have_text("The newest 25 jobs")
    older = page.get_by_role("button", name="Show older jobs")
    older.click()
    expect(rows(page)).to_have_count(50)
    expect(older).to_be_focused()
    # New jobs push none of the shown ones away, and all that is shown is kept true.
    site.jobs = [a_job("n1", minutes_ago=0), *site.jobs]
    site.change("m0049", state="failed", error="It broke.")
    next_answer(page)
    expect(row(page, "n1")).to_be_visible()
    expect(rows(page)).to_have_count(51)
    next_answer(page)
    expect(row(page, "m0049").locator(".why")).to_have_text("It broke.")
    older.click()
    expect(rows(page)).to_have_count(61)
    expect(older).to_be_hidden()
    expect(row(page, "m0050").locator(".title")).to_be_focused()
    expect(page.locator("#count")).to_have_text("61 jobs")
    keys = rows(page).evaluate_all("rows => rows.map((row) => row.dataset.key)")
    assert keys == [f"transcode {job.run_id}" for job in site.jobs]


def test_the_few_that_match_are_found_among_many_older_ones(page: Page, site: Site) -> None:
    every = many_jobs(80)
    site.jobs = [job.model_copy(update={"state": "cancelled" if job in (every[7], every[66]) else "failed"}) for job in every]
    site.most_read = 20
    with_clock(page, site, "?state=cancelled")
    expect(rows(page)).to_have_count(1)
    older = page.get_by_role("button", name="Show older jobs")
    for found in (1, 2):
        older.click()
        expect(rows(page)).to_have_count(found)
        # What is read again from the top ends earlier, and takes nothing of it back.
        next_answer(page)
        expect(rows(page)).to_have_count(found)
    expect(older).to_be_hidden()


def test_older_jobs_that_cannot_be_read(page: Page, site: Site, problems: Problems) -> None:
    problems.expect("status of 500")
    site.jobs = many_jobs(30)
    with_clock(page, site)
    expect(rows(page)).to_have_count(25)
    site.fail("GET", "/data/jobs")
    page.get_by_role("button", name="Show older jobs").click()
    expect(page.get_by_role("alert")).to_contain_text("Older jobs could not be read.")
    site.mend()
    page.get_by_role("button", name="Show older jobs").click()
    expect(rows(page)).to_have_count(30)


# What one does


def test_stop(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/")
    button = row(page, "t1").get_by_role("button", name="Stop episode-07-the-quiet-harbour.mp4")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Stop episode-07-the-quiet-harbour.mp4?")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    axe(page)
    shot(page, "jobs-stop", Look())
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    assert ("POST", "/data/jobs/transcode/t1/stop") not in site.calls

    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Stop").click()
    expect(row(page, "t1").locator(".badge")).to_have_text("Stopped")
    expect(page.locator(".toast")).to_contain_text("episode-07-the-quiet-harbour.mp4 is being stopped.")
    expect(page.locator("#voice")).to_have_text("episode-07-the-quiet-harbour.mp4 is being stopped.")
    assert site.calls.count(("POST", "/data/jobs/transcode/t1/stop")) == 1
    expect(row(page, "t1").locator(".title")).to_be_focused()
    expect(row(page, "t1").get_by_role("button", name="Retry")).to_be_visible()


def test_retry(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/", Look("zh-CN", "dark", 390))
    row(page, "f1").get_by_role("button", name="重试“damaged-tape.ts”").click()
    dialog = page.get_by_role("dialog", name="重试“damaged-tape.ts”？")
    axe(page)
    shot(page, "jobs-retry", Look("zh-CN", "dark", 390))
    dialog.get_by_role("button", name="重试").click()
    expect(row(page, "f1").locator(".badge")).to_have_text("排队中")
    expect(row(page, "f1").locator(".why")).to_be_empty()
    expect(page.locator(".toast")).to_contain_text("已重新排队")
    axe(page)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (409, "talk.mp4 could not be stopped. The job has ended already."),
        (403, "talk.mp4 could not be stopped. You may not do this. Ask an Airflow administrator for permission."),
    ],
)
def test_what_was_refused_is_shown(page: Page, site: Site, problems: Problems, status: int, said: str) -> None:
    problems.expect(f"status of {status}")
    site.jobs = [a_job("t1", title="s3://media/in/talk.mp4")]
    site.fail("POST", "/data/jobs/transcode/t1/stop", status, "The job has ended already.")
    visit(page, f"{site.url}/media/")
    row(page, "t1").get_by_role("button", name="Stop talk.mp4").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(said)
    expect(row(page, "t1").locator(".badge")).to_have_text("Running")
    axe(page)
    alert.get_by_role("button", name="Close").click()
    expect(alert).to_be_hidden()


def test_the_keyboard_alone(page: Page, site: Site) -> None:
    site.jobs = [a_job("t1", title="s3://media/in/talk.mp4")]
    visit(page, f"{site.url}/media/")
    expect(rows(page)).to_have_count(1)
    names = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            """() => {
                const e = document.activeElement;
                const ring = getComputedStyle(e.matches(".chip input") ? e.nextElementSibling : e).outlineStyle;
                return e === document.body ? null : [e.ariaLabel || e.labels?.[0]?.textContent || e.textContent, ring];
            }"""
        )
        if focus is None:
            break
        assert focus[1] != "none", f"no ring around {focus[0]}"
        names.append(focus[0])
    assert names == [
        "Skip to content", "Jobs", "Upload", "New job", "简体中文", "Use the dark theme",
        "Search", "Content provider", "Client", "Queued", "Running", "Done", "Failed", "Stopped",
        "Transcode", "Super-resolution", "Multi-target", "Upload", "Folder", "Dropped file",
        "s3://media/in/talk.mp4", "Stop talk.mp4", "Open talk.mp4 in Airflow",
    ]  # fmt: skip
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_language_and_theme_change_without_a_reload(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/?state=running")
    expect(rows(page)).to_have_count(4)
    page.evaluate("window.here = true")
    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("任务")
    expect(page.get_by_role("columnheader", name="创建时间")).to_be_visible()
    expect(row(page, "s1").locator(".cell-kind")).to_have_text("超分辨率")
    expect(page.get_by_role("checkbox", name="运行中")).to_be_checked()
    expect(page).to_have_title("任务 – Reelflow")
    expect(page.get_by_role("button", name="English")).to_be_focused()
    page.get_by_role("button", name="切换到深色主题").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("window.here")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("heading", level=1)).to_have_text("任务")


# When there is nothing to show


@pytest.mark.parametrize("look", [Look(), Look("zh-CN", "dark", 390)], ids=str)
def test_no_jobs_yet(page: Page, site: Site, look: Look) -> None:
    visit(page, f"{site.url}/media/", look)
    expect(page.get_by_role("heading", level=2)).to_have_text({"en": "No jobs yet", "zh-CN": "还没有任务"}[look.language])
    expect(page.locator("#place a").first).to_have_attribute("href", f"{site.url}/media/upload")
    expect(page.get_by_role("table")).to_have_count(0)
    axe(page)
    shot(page, "jobs-none", look)


def test_no_job_matches(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/?q=nowhere")
    expect(page.get_by_role("heading", level=2)).to_have_text("No job matches")
    axe(page)
    page.locator("#place").get_by_role("button", name="Clear filters").click()
    expect(rows(page)).to_have_count(11)


def test_loading_and_an_error_at_first(page: Page, site: Site, problems: Problems) -> None:
    problems.expect("status of 500")
    site.jobs = some_jobs()
    go = threading.Event()

    def slow_failure(_: Request) -> object:
        go.wait(20)
        raise RuntimeError

    site.answer("GET", "/data/jobs", slow_failure)
    visit(page, f"{site.url}/media/")
    expect(page.get_by_role("status").filter(has_text="Loading…")).to_be_visible()
    axe(page)
    go.set()
    expect(page.get_by_role("heading", level=2)).to_have_text("The jobs could not be read")
    expect(page.locator("#place")).to_contain_text("The server has had an error.")
    expect(page.locator("#loading")).to_be_hidden()
    axe(page)
    site.mend()
    page.get_by_role("button", name="Try again").click()
    expect(rows(page)).to_have_count(11)
    expect(page.locator("#place")).to_be_hidden()


def test_old_data_are_said_to_be_old(page: Page, site: Site, problems: Problems) -> None:
    problems.expect("status of 503")
    site.jobs = some_jobs()
    with_clock(page, site)
    expect(rows(page)).to_have_count(11)
    site.fail("GET", "/data/jobs", 503)
    next_answer(page)
    stale = page.locator("#stale")
    expect(stale).to_contain_text(re.compile(r"The server does not answer\. You see the state of \d+:\d\d:\d\d"))
    expect(rows(page)).to_have_count(11)
    # Slower and slower while it fails.
    count = len(asked(site))
    page.clock.run_for(3_000)
    assert len(asked(site)) == count
    # Axe waits by the page's clock, too.
    page.clock.resume()
    axe(page)
    site.mend()
    next_answer(page)
    expect(stale).to_have_count(0)


def test_signed_out(page: Page, site: Site, problems: Problems) -> None:
    problems.expect("status of 401")
    site.jobs = some_jobs()
    with_clock(page, site)
    expect(rows(page)).to_have_count(11)
    site.signed_in = False
    next_answer(page)
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("You are signed out.")
    expect(page.locator("#stale")).to_have_count(0)
    page.clock.resume()
    axe(page)
    site.signed_in = True
    next_answer(page)
    expect(notice).to_have_count(0)

    site.signed_in = False
    next_answer(page)
    notice.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/auth/login\?next=http%3A%2F%2F127\.0\.0\.1%3A\d+%2Fmedia%2F$"))


# In Airflow's UI


def test_in_airflow(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    frame = framed(page, site.url, "/media/", Look("zh-CN", "dark"), around="/plugin/media/media/")
    expect(frame.get_by_role("navigation", name="媒体页面")).to_be_visible()
    expect(frame.locator("#theme, #language, .brand")).to_have_count(0)
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    # Airflow changes its theme and its language.
    page.evaluate("document.documentElement.className = 'light'; localStorage.setItem('i18nextLng', 'en')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")
    expect(frame.get_by_role("heading", level=1)).to_have_text("Jobs")

    frame.get_by_role("checkbox", name="Running").check()
    expect(frame.locator("#rows > tr")).to_have_count(4)
    # From here Airflow restores the page's address.
    assert page.evaluate("location.pathname + location.search") == "/plugin/media/media/?state=running"

    frame.locator("#rows > tr").first.get_by_role("button").click()
    frame.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    frame.get_by_role("link", name="Open episode-07-the-quiet-harbour.mp4 in Airflow").click()
    page.wait_for_function("() => window.routed === '/dags/transcode/runs/t1'")
    assert page.url == f"{site.url}/dags/transcode/runs/t1"


def test_sign_in_from_within_airflow(page: Page, site: Site, problems: Problems) -> None:
    problems.expect("status of 401")
    site.jobs = some_jobs()
    frame = framed(page, site.url, "/media/")
    expect(frame.locator("#rows > tr")).to_have_count(11)
    site.signed_in = False
    frame.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/auth/login\?next=.*%2Fplugin%2Fmedia"))


def test_a_run_in_airflow_from_a_page_by_itself(page: Page, site: Site) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/")
    row(page, "d1").get_by_role("link", name="Open talk.mp4 in Airflow").click()
    page.wait_for_url(f"{site.url}/dags/transcode/runs/d1")


def test_texts_exist_in_both_languages(page: Page, site: Site) -> None:
    visit(page, f"{site.url}/media/")
    missing = page.evaluate(
        """async () => {
            const found = [];
            for (const name of ["common", "jobs", "job", "upload", "new"]) {
                const { default: texts } = await import(`/media/static/js/messages/${name}.js`);
                const params = (text) => JSON.stringify([...new Set(JSON.stringify(text).match(/\\{\\w+\\}/g))].sort());
                for (const key of new Set([...Object.keys(texts.en), ...Object.keys(texts["zh-CN"])])) {
                    if (!(key in texts.en) || !(key in texts["zh-CN"])) found.push(`${key}: in one language only`);
                    else if (params(texts.en[key]) !== params(texts["zh-CN"][key])) found.push(`${key}: other parameters`);
                }
            }
            return found;
        }"""
    )
    assert not missing, missing
