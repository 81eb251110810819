"""What tests of pages in a browser use: looks of a page, checks, pictures."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Frame, Page, sync_playwright

__all__ = [
    "LOOKS",
    "Look",
    "Problems",
    "axe",
    "chromium",
    "fits",
    "framed",
    "in_every_look",
    "next_answer",
    "open_browser",
    "shot",
    "visit",
]

SCREENSHOTS = Path(__file__).parents[3] / "var/screenshots"
# Counts the questions for jobs and how far their answers were drawn: those that `text()` gave are, by the next task.
_COUNT = """
if (!window.questions) {
  const ask = window.fetch;
  window.questions = { asked: 0, answered: 0 };
  window.fetch = async (what, options) => {
    if (!String(what).includes("/data/jobs")) return ask(what, options);
    const number = ++window.questions.asked;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { window.questions.answered = Math.max(window.questions.answered, number); };
    try {
      const response = await ask(what, options);
      const text = await response.text();
      response.text = async () => text;
      return response;
    } finally {
      channel.port2.postMessage(null);
    }
  };
}"""
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass(frozen=True)
class Look:
    """How a viewer sees a page."""

    language: str = "en"
    theme: str = "light"
    width: int = 1280

    def __str__(self) -> str:
        return f"{self.language}-{self.theme}-{self.width}"


LOOKS = [Look(language, theme, width) for language in ("en", "zh-CN") for theme in ("light", "dark") for width in (1280, 390)]


def in_every_look(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with the argument ``look``, in both languages, both themes and both widths, or in two that share nothing."""
    return pytest.mark.sampled("en-light-1280", "zh-CN-dark-390")(pytest.mark.parametrize("look", LOOKS, ids=str)(test))


@dataclass
class Problems:
    """What a page complained of: console errors (the browser's own on CSP and failed requests among them) and exceptions."""

    said: list[str] = field(default_factory=list)
    # Airflow gives its views' frames both rights; Chromium says so now and then.
    expected: list[str] = field(default_factory=lambda: ["allow-scripts and allow-same-origin for its sandbox attribute"])

    def expect(self, pattern: str) -> None:
        """Let pass what a test brings about itself, e.g. ``"status of 500"``."""
        self.expected.append(pattern)

    def watch(self, page: Page) -> None:
        """Listen to a page, its frames too."""
        page.on("console", lambda message: self._note("console", message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self._note("exception", str(error)))
        # What our own code has given up is no failure.
        page.on(
            "requestfailed",
            lambda request: (
                self._note("request", f"{request.url} {request.failure}") if request.failure != "net::ERR_ABORTED" else None
            ),
        )

    def _note(self, kind: str, text: str) -> None:
        self.said.append(f"{kind}: {text}")

    def check(self) -> None:
        """Fail where something was said that nobody expected."""
        unexpected = [line for line in self.said if not any(re.search(pattern, line) for pattern in self.expected)]
        assert not unexpected, "the page complained:\n" + "\n".join(unexpected)


def chromium() -> str | None:
    """Return the system's browser, or ``None`` where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a headless browser; skips where there is none.

    Playwright holds an event loop of this thread until the end: let no other test run in between.
    """
    if (program := chromium()) is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        )
        try:
            yield browser
        finally:
            browser.close()


def visit(page: Page, address: str, look: Look = Look()) -> None:
    """Open an address in a look, as if it had been chosen in Airflow, and wait until the page has drawn itself."""
    dress(page, look)
    page.goto(address)
    if "?show=" not in address:
        page.wait_for_selector("html[data-ready]")


def dress(page: Page, look: Look) -> None:
    """Choose the look of the pages that are opened from now on; a test may choose another in the page, which then stays."""
    page.set_viewport_size({"width": look.width, "height": 900 if look.width > 600 else 844})
    page.add_init_script(
        _COUNT
        + f"""
        if (!localStorage.getItem("theme")) localStorage.setItem("theme", "{look.theme}");
        if (!localStorage.getItem("i18nextLng")) localStorage.setItem("i18nextLng", "{look.language}");"""
    )


def next_answer(page: Page) -> None:
    """Let the time of ``page.clock`` pass until the page has asked for jobs once more and has drawn what it was told."""
    before = page.evaluate("questions.asked")
    deadline = time.monotonic() + 60
    while page.evaluate("questions.answered") <= before:
        assert time.monotonic() < deadline, "the page does not ask again"
        # Not while an answer is awaited: time that passes then is lost for the next question.
        if page.evaluate("questions.asked === questions.answered"):
            page.clock.run_for(1000)
        page.wait_for_timeout(20)


def framed(page: Page, site_url: str, path: str, look: Look = Look(), *, around: str = "/plugin/media") -> Frame:
    """Open ``path`` in an iframe with the sandbox of Airflow's views, in a stand-in for Airflow's page; return the frame.

    ``around="/dags/transcode/runs/…"`` is the tab of a run.
    """
    visit(page, f"{site_url}{around}?show={path}", look)
    page.frames[1].wait_for_selector("html[data-ready]")
    return page.frames[1]


def axe(page: Page, **options: Any) -> None:
    """Check a page's accessibility by axe's rules (WCAG 2.2 A and AA, and good practice); not one may be broken."""
    # What still moves has no colour of its own yet.
    page.wait_for_function(
        """document.getAnimations().every((animation) =>
            animation.playState === "finished" || animation.effect.getComputedTiming().iterations === Infinity)"""
    )
    results = Axe().run(page, options={"runOnly": {"type": "tag", "values": _RULES}, "resultTypes": ["violations"], **options})
    assert results.violations_count == 0, results.generate_report()


def fits(page: Page) -> None:
    """Check that nothing is wider than the window."""
    wide = page.evaluate(
        """() => document.scrollingElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map((e) => e.outerHTML.slice(0, 160))"""
    )
    assert not wide, wide


def shot(page: Page, name: str, look: Look | None = None) -> Path:
    """Keep a picture of the whole page as ``var/screenshots/<name>[-<look>].png``."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / (f"{name}-{look}.png" if look else f"{name}.png")
    page.screenshot(path=path, full_page=True, animations="disabled")
    return path
