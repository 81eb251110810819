"""A browser, the pages, and a page that must not complain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.media_pages.browser.harness import Problems, open_browser
from tests.media_pages.browser.site import Site, serve

# Generous: a busy machine is no failure.
_PATIENCE = 60_000
expect.set_options(timeout=_PATIENCE)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser of this package's tests."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def served() -> Iterator[Site]:
    """The site of this package's tests."""
    with serve() as site:
        yield site


@pytest.fixture
def site(served: Site) -> Site:
    """The pages with nothing to show yet."""
    served.reset()
    return served


@pytest.fixture
def problems() -> Problems:
    """What ``page`` complains of; tell it what a test expects."""
    return Problems()


@pytest.fixture
def page(browser: Browser, problems: Problems) -> Iterator[Page]:
    """A page with cookies and storage of its own; the test fails where it has complained."""
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    problems.watch(page)
    yield page
    context.close()
    problems.check()
