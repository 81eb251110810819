"""A page that uploads by presigned URLs, in a real browser: reloaded in the middle, paused, and refused."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from include.media_store.objects import S3ObjectStore
from tests.media_pages.browser.harness import open_browser
from tests.uploads.api import FakeApi

PART = 2**20
CONTENT = random.Random(12).randbytes(6 * PART + 99)
HERE = Path(__file__).parent
UPLOADER = HERE.parents[2] / "include" / "uploads" / "browser" / "uploader.js"


@pytest.fixture
def server(store: S3ObjectStore, s3_connection: Any, bucket: str) -> Iterator[FakeApi]:
    rule = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"]}
    s3_connection.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    with FakeApi(store, s3_connection, bucket, PART) as server:
        server.files = {"/": HERE / "page.html", "/uploader.js": UPLOADER}
        yield server
        server.gate.set()
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(CONTENT)
    return path


def choose(page: Page, film: Path) -> None:
    page.locator("#file").set_input_files(film)


def until_sent(page: Page, size: int) -> None:
    page.wait_for_function("(size) => Math.max(...window.progress, 0) >= size", arg=size)


def uploading(page: Page) -> str:
    """Return the id of the upload that the page has made."""
    return page.wait_for_function("() => window.upload?.id").json_value()


def done(page: Page) -> str:
    expect(page.locator("#state")).to_have_text(re.compile("^(done|failed)"), timeout=60_000)
    state = page.locator("#state").text_content() or ""
    assert state.startswith("done"), state
    return state.removeprefix("done ")


def arrived(server: FakeApi, upload_id: str) -> bytes:
    upload = server.uploads.read("browser", upload_id)
    return b"".join(server.store.get_bytes(server.bucket, part.key) for part in upload.parts)


def test_a_page_that_is_reloaded_in_the_middle_resumes(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 3
    page.goto(server.url)
    choose(page, film)
    until_sent(page, 3 * PART)
    expect(page.locator("#state")).to_have_text("sending")
    page.goto(f"{server.url}/?again")
    server.gate.set()
    server.calls.clear()
    choose(page, film)
    upload_id = done(page)
    assert arrived(server, upload_id) == CONTENT
    assert len(server.uploads.list("browser")) == 1
    assert not any(f"/parts/{n}/" in call for call in server.calls for n in (0, 1, 2))
    assert page.evaluate("Math.max(...window.progress)") == len(CONTENT)
    assert page.evaluate("localStorage.length") == 0


def test_a_reloaded_page_that_asks_for_something_else_begins_another_upload(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 3
    page.goto(server.url)
    choose(page, film)
    first = uploading(page)
    page.goto(f"{server.url}/?title=Other")
    server.gate.set()
    choose(page, film)
    second = done(page)
    assert second != first
    assert arrived(server, second) == CONTENT
    page.goto(f"{server.url}/?again")
    choose(page, film)
    assert done(page) == first


def test_a_paused_upload_goes_on(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 2
    page.goto(server.url)
    choose(page, film)
    until_sent(page, 2 * PART)
    page.evaluate("window.upload.pause()")
    expect(page.locator("#state")).to_have_text("paused")
    server.gate.set()
    page.evaluate("void window.begin()")
    assert arrived(server, done(page)) == CONTENT


def test_an_upload_that_is_paused_and_started_at_once_goes_on(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 2
    page.goto(server.url)
    choose(page, film)
    until_sent(page, 2 * PART)
    page.evaluate("() => { window.upload.pause(); window.again = window.upload.start(); window.again.catch(() => {}); }")
    expect(page.locator("#state")).to_have_text("paused")
    assert page.evaluate("window.upload.start() === window.again")
    server.gate.set()
    assert arrived(server, page.evaluate("window.again.then(({ id }) => id)")) == CONTENT
    assert len(server.uploads.list("browser")) == 1


def test_an_upload_that_is_aborted_is_forgotten(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 0
    page.goto(server.url)
    choose(page, film)
    upload_id = uploading(page)
    page.evaluate("window.upload.abort()")
    expect(page.locator("#state")).to_have_text("paused")
    assert server.uploads.read("browser", upload_id).outcome.state == "aborted"
    assert page.evaluate("localStorage.length") == 0


def test_an_upload_that_is_given_up_elsewhere_fails_and_is_not_made_anew(server: FakeApi, page: Page, film: Path) -> None:
    server.stale_answers = 1000
    page.goto(server.url)
    choose(page, film)
    until_sent(page, len(CONTENT))
    server.uploads.abort(server.uploads.read("browser", uploading(page)).reference)
    expect(page.locator("#state")).to_have_text("failed: The upload was given up elsewhere.")
    assert len(server.uploads.list("browser")) == 1


def test_expired_urls_and_a_server_that_fails_are_told_and_overcome(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 0
    server.expired = 2
    page.goto(server.url)
    choose(page, film)
    uploading(page)
    server.failures = 2
    server.gate.set()
    assert arrived(server, done(page)) == CONTENT
    assert set(page.evaluate("window.troubles")) == {"s3-refused", "server"}


def spoil(server: FakeApi, upload_id: str, n: int) -> None:
    """Have an object of a wrong size at the place of a part, and that noticed."""
    upload = server.uploads.read("browser", upload_id)
    server.store.put_bytes(server.bucket, upload.part(n).key, b"short")
    server.noticed(upload)


def test_a_part_that_was_wrong_is_sent_once_however_long_its_old_error_is_told(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 0
    page.goto(server.url)
    choose(page, film)
    upload_id = uploading(page)
    spoil(server, upload_id, 4)
    server.stale_answers = 3
    server.gate.set()
    assert done(page) == upload_id
    assert arrived(server, upload_id) == CONTENT
    assert server.calls.count(f"GET {upload_id}/parts/4/url") == 1


def test_a_part_that_stays_wrong_is_sent_again_after_a_while(server: FakeApi, page: Page, film: Path) -> None:
    page.clock.install()
    server.stale_answers = 1000
    page.goto(server.url)
    choose(page, film)
    upload_id = uploading(page)
    with page.expect_request(lambda request: request.url.endswith(f"/uploads/{upload_id}"), timeout=60_000):
        until_sent(page, len(CONTENT))
    spoil(server, upload_id, 4)
    server.stale_answers = 0
    page.clock.fast_forward("01:30")
    assert done(page) == upload_id
    assert arrived(server, upload_id) == CONTENT
    assert server.calls.count(f"GET {upload_id}/parts/4/url") == 2


def test_what_the_api_refuses_is_told(server: FakeApi, page: Page, film: Path) -> None:
    server.refuse = "title must have 1 to 100 characters."
    page.goto(server.url)
    choose(page, film)
    expect(page.locator("#state")).to_have_text(f"failed: {server.refuse}")
