"""A page that uploads by presigned URLs, in a real browser: reloaded in the middle, paused, and refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.media_store.objects import S3ObjectStore
from tests.uploads.api import FakeApi
from tests.uploads.browser.chromium import Page, chromium, open_page

pytestmark = pytest.mark.skipif(chromium() is None, reason="chromium is not installed")

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
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(CONTENT)
    return path


STATE = "document.querySelector('#state').value"


def done(page: Page) -> str:
    state = page.until(f"/^(done|failed)/.test({STATE}) && {STATE}")
    assert state.startswith("done"), state
    return state.removeprefix("done ")


def arrived(server: FakeApi, upload_id: str) -> bytes:
    upload = server.uploads.read("browser", upload_id)
    return b"".join(server.store.get_bytes(server.bucket, part.key) for part in upload.parts)


def test_a_page_that_is_reloaded_in_the_middle_resumes(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 3
    page.visit(server.url)
    page.choose("#file", film)
    page.until(f"Math.max(...window.progress, 0) >= {3 * PART}")
    assert page.evaluate(STATE) == "sending"
    page.visit(f"{server.url}/?again")
    server.gate.set()
    server.calls.clear()
    page.choose("#file", film)
    upload_id = done(page)
    assert arrived(server, upload_id) == CONTENT
    assert len(server.uploads.list("browser")) == 1
    assert not any(f"/parts/{n}/" in call for call in server.calls for n in (0, 1, 2))
    assert page.evaluate("Math.max(...window.progress)") == len(CONTENT)
    assert page.evaluate("localStorage.length") == 0


def test_a_paused_upload_goes_on(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 2
    page.visit(server.url)
    page.choose("#file", film)
    page.until(f"Math.max(...window.progress, 0) >= {2 * PART}")
    page.evaluate("window.upload.pause()")
    page.until(f"{STATE} === 'paused'")
    server.gate.set()
    page.evaluate("void window.begin()")
    assert arrived(server, done(page)) == CONTENT


def test_an_upload_that_is_aborted_is_forgotten(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 0
    page.visit(server.url)
    page.choose("#file", film)
    upload_id = page.until("window.upload?.id")
    page.evaluate("window.upload.abort()")
    page.until(f"{STATE} === 'paused'")
    assert server.uploads.read("browser", upload_id).outcome.state == "aborted"
    assert page.evaluate("localStorage.length") == 0


def test_expired_urls_and_a_server_that_fails_are_overcome(server: FakeApi, page: Page, film: Path) -> None:
    server.expired = 2
    page.visit(server.url)
    page.choose("#file", film)
    page.until("window.upload?.id")
    server.failures = 2
    assert arrived(server, done(page)) == CONTENT


def test_a_part_that_was_sent_wrong_is_sent_again(server: FakeApi, page: Page, film: Path) -> None:
    server.hold_from = 0
    page.visit(server.url)
    page.choose("#file", film)
    upload_id = page.until("window.upload?.id")
    part = server.uploads.read("browser", upload_id).part(4)
    server.store.put_bytes(server.bucket, part.key, b"short")
    server.gate.set()
    assert arrived(server, done(page)) == CONTENT


def test_what_the_api_refuses_is_told(server: FakeApi, page: Page, film: Path) -> None:
    server.refuse = "title must have 1 to 100 characters."
    page.visit(server.url)
    page.choose("#file", film)
    assert page.until(f"{STATE}.startsWith('failed') && {STATE}") == f"failed: {server.refuse}"
