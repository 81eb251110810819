"""The page Jobs, as a logged-in person uses it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.media_pages.browser.canned import some_jobs
from tests.media_pages.browser.harness import Look, axe, fits, in_every_look, shot, visit
from tests.media_pages.browser.site import Site


@in_every_look
def test_every_look(page: Page, site: Site, look: Look) -> None:
    site.jobs = some_jobs()
    visit(page, f"{site.url}/media/", look)
    expect(page.get_by_role("heading", level=1)).to_have_text({"en": "Jobs", "zh-CN": "任务"}[look.language])
    axe(page)
    fits(page)
    shot(page, "jobs", look)
