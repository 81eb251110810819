"""The page Upload, with a real object store: parts leave the browser and arrive byte for byte."""

from __future__ import annotations

import base64
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from playwright.sync_api import Locator, Page, Route, expect

from include.media_pages.models import Viewer
from include.media_store.objects import S3ObjectStore
from tests.media_pages.browser.harness import Look, Problems, axe, fits, in_every_look, shot, visit
from tests.media_pages.browser.site import Site, serve
from tests.servers import S3Server
from tests.uploads.api import KEY, FakeApi

PART = 2**18
CONTENT = random.Random(17).randbytes(6 * PART + 99)


@pytest.fixture(scope="module")
def served(s3: S3Server) -> Iterator[Site]:
    with serve(s3.endpoint) as site:
        yield site


@pytest.fixture
def api(site: Site, s3_connection: Any, s3: S3Server) -> Iterator[FakeApi]:
    with FakeApi(S3ObjectStore(client=s3_connection), s3_connection, s3.bucket, PART) as api:
        for method in ("GET", "POST", "DELETE"):
            site.answer(method, "/api2/atom/*", lambda request: _answer(api, site, request))
        yield api
        api.gate.set()
        api.shutdown()


def _answer(api: FakeApi, site: Site, request: Request) -> Response:
    assert KEY not in str(request.headers), "a page holds no key"
    path = request.scope["path"].removeprefix(request.scope["root_path"])
    status, document = api.handle(request.method, path, site.bodies[-1] if request.method == "POST" else {})
    return Response(status_code=204) if status == 204 else JSONResponse(document, status)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "The quiet harbour.mp4"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def upload_page(page: Page, site: Site, api: FakeApi) -> Page:
    """The page in a browser that gives no handles of files, as Firefox and Safari."""
    page.add_init_script("delete window.showOpenFilePicker")
    visit(page, f"{site.url}/media/upload")
    return page


def choose(page: Page, *paths: Path, button: str = "Choose files") -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(paths)


def start(page: Page) -> Locator:
    page.get_by_role("button", name="Start").click()
    return page.locator(".transfer").last


def the_upload(api: FakeApi) -> Any:
    [(atom, upload_id)] = api.uploads._table.items
    return api.uploads.read(atom, upload_id)


def arrived(api: FakeApi) -> bytes:
    return b"".join(api.store.get_bytes(api.bucket, part.key) for part in the_upload(api).parts)


def records(page: Page) -> list[dict[str, Any]]:
    return json.loads(page.evaluate("localStorage.getItem('reelflow:uploads')") or "[]")


def test_a_file_arrives_and_its_destinations_are_followed(upload_page: Page, site: Site, api: FakeApi, film: Path) -> None:
    page = upload_page
    choose(page, film)
    expect(page.get_by_label("Atom")).to_have_value(re.compile(r"^the-quiet-harbour-20\d{6}$"))
    page.get_by_label("YouTube, sent").check()
    expect(page.get_by_label("Title on YouTube")).to_have_value("The quiet harbour")
    page.get_by_label("Title on YouTube").fill("Harbour <3")
    page.get_by_label("Description").fill("At dawn")
    page.get_by_label("Tags").fill("sea, boats，夜")
    page.get_by_label("Who sees it").select_option("unlisted")
    page.get_by_label("Atom").fill("story-17")
    card = start(page)
    expect(card.locator(".badge").first).to_have_text("Arrived, in work")
    assert arrived(api) == CONTENT
    upload = the_upload(api)
    assert site.bodies == [
        {
            "filename": film.name, "size": len(CONTENT), "destinations": ["s3Bucket", "youtube"], "description": "At dawn",
            "tags": ["sea", "boats", "夜"], "privacy": "unlisted", "title": "Harbour <3",
        }
    ]  # fmt: skip
    expect(card.get_by_role("img")).to_have_attribute("aria-label", "7 of 7 parts have arrived")
    expect(card.get_by_role("link", name="Open the job")).to_have_attribute(
        "href", f"{site.url}/media/jobs/upload/upload__{upload.id}"
    )
    api.uploads.set_destination("story-17", upload.id, "s3Bucket", status="transcoding", progress=56.5)
    api.uploads.set_destination("story-17", upload.id, "youtube", status="failed", error="The daily quota is used up.")
    transcode, youtube = card.locator(".destinations li").nth(0), card.locator(".destinations li").nth(1)
    expect(transcode).to_contain_text("Transcoding")
    expect(transcode).to_contain_text("57%")
    expect(youtube).to_contain_text("The daily quota is used up.")
    assert records(page)[0]["sent"] is True
    api.uploads.set_destination("story-17", upload.id, "s3Bucket", status="complete")
    expect(card.locator("header .badge")).to_have_text("Failed")
    assert records(page) == []
    card.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("Nothing is being uploaded")).to_be_visible()


def test_dropped_files_are_sent_one_after_the_other(upload_page: Page, api: FakeApi) -> None:
    page = upload_page
    api.hold_from = 0
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          for (const [name, size] of [["one.mp4", 300000], ["海边.mp4", 5], ["empty.mp4", 0]]) {
            transfer.items.add(new File([new Uint8Array(size).fill(7)], name));
          }
          const fields = { dataTransfer: transfer, bubbles: true, cancelable: true };
          const tell = (type) => document.body.dispatchEvent(new DragEvent(type, fields));
          tell("dragover");
          window.over = document.querySelector("#zone").hasAttribute("data-over");
          window.refused = tell("drop");
        }"""
    )
    assert page.evaluate("[window.over, window.refused]") == [True, False]
    expect(page.get_by_role("alert")).to_contain_text("empty.mp4 is empty")
    expect(page.locator("#chosen li")).to_have_count(2)
    page.get_by_role("button", name="Start 2 uploads").click()
    first, second = page.locator(".transfer").nth(0), page.locator(".transfer").nth(1)
    expect(first.locator("header .badge")).to_have_text("Sending")
    expect(second.locator("header .badge")).to_have_text("Waiting")
    api.gate.set()
    expect(page.locator(".transfer header .badge", has_text="Arrived")).to_have_count(2)
    sent = {upload.filename: upload for atom in {key[0] for key in api.uploads._table.items} for upload in api.uploads.list(atom)}
    assert {name: upload.size for name, upload in sent.items()} == {"one.mp4": 300000, "海边.mp4": 5}
    assert api.store.get_bytes(api.bucket, sent["海边.mp4"].part(0).key) == b"\7" * 5


def test_pause_resume_and_abort_by_keyboard(upload_page: Page, api: FakeApi, film: Path) -> None:
    page = upload_page
    api.hold_from = 2
    choose(page, film)
    card = start(page)
    expect(card.locator(".part[data-state=done], .part[data-state=sent]")).to_have_count(2)
    expect(card.locator(":scope > .far")).to_contain_text(re.compile(r"^33% · 524\.3 kB of 1\.57 MB"))
    card.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(card.locator("header .badge")).to_have_text("Paused")
    expect(card.get_by_role("button", name="Resume")).to_be_focused()
    # Asked for, and thought better of.
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(film.name)
    axe(page)
    page.keyboard.press("Escape")
    api.gate.set()
    card.get_by_role("button", name="Resume").click()
    expect(card.locator("header .badge")).to_have_text("Arrived, in work")
    assert arrived(api) == CONTENT

    api.gate.clear()
    choose(page, film)
    page.get_by_label("Atom").fill("given-up")
    card = start(page)
    expect(card.locator(".part[data-state=done], .part[data-state=sent]")).to_have_count(2)
    card.get_by_role("button", name="Abort").click()
    page.get_by_role("dialog").get_by_role("button", name="Abort upload").click()
    expect(page.locator(".transfer")).to_have_count(1)
    [aborted] = api.uploads.list("given-up")
    assert aborted.outcome.state == "aborted"
    assert [record["atom"] for record in records(page)] != ["given-up"]


def test_a_reloaded_page_goes_on_with_the_same_file_and_no_other(
    upload_page: Page, api: FakeApi, film: Path, tmp_path: Path
) -> None:
    page = upload_page
    api.hold_from = 3
    choose(page, film)
    card = start(page)
    expect(card.locator(".part[data-state=done], .part[data-state=sent]")).to_have_count(3)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(card.locator("header .badge")).to_have_text("Interrupted")
    expect(card.locator(".part[data-state=done]")).to_have_count(3)
    expect(card).to_contain_text(f"Choose {film.name} again")
    api.gate.set()
    api.calls.clear()
    others = tmp_path / "others"
    others.mkdir()
    changed = bytearray(CONTENT)
    changed[-1] ^= 1
    for name, content, words in [
        ("another.mp4", CONTENT, "That is another file. This upload is of"),
        (film.name, CONTENT[:-1], "had 1.57 MB when its upload began"),
        (film.name, bytes(changed), "That is another version of"),
    ]:
        other = others / name
        other.write_bytes(content)
        choose(page, other, button="Resume")
        expect(card.locator(".note")).to_contain_text(words)
    began = film.stat().st_mtime_ns
    os.utime(film, ns=(began, began + 60 * 10**9))
    choose(page, film, button="Resume")
    expect(card.locator(".note")).to_contain_text("it has changed since its upload began")
    os.utime(film, ns=(began, began))
    choose(page, film, button="Resume")
    expect(card.locator("header .badge")).to_have_text("Arrived, in work")
    assert arrived(api) == CONTENT
    assert not any(f"/parts/{n}/" in call for call in api.calls for n in (0, 1, 2)), "parts that were there were sent again"
    assert "POST " not in api.calls


def test_a_reloaded_page_asks_for_no_file_where_all_has_arrived(upload_page: Page, api: FakeApi, film: Path) -> None:
    page = upload_page
    choose(page, film)
    card = start(page)
    expect(card.locator("header .badge")).to_have_text("Arrived, in work")
    # The page was left before it had noticed.
    page.evaluate(
        """() => {
          const records = JSON.parse(localStorage.getItem("reelflow:uploads"));
          localStorage.setItem("reelflow:uploads", JSON.stringify(records.map((one) => ({ ...one, sent: false }))));
        }"""
    )
    page.reload()
    page.wait_for_selector("html[data-ready]")
    expect(card.locator("header .badge")).to_have_text("Arrived, in work")
    assert [record["sent"] for record in records(page)] == [True]


def test_a_browser_with_handles_opens_the_file_again_by_itself(page: Page, site: Site, api: FakeApi, film: Path) -> None:
    """The handle is a real one, kept in IndexedDB; only the picker's window is played, which no test can click in."""
    page.add_init_script(
        """window.showOpenFilePicker = async () => {
          const folder = await navigator.storage.getDirectory();
          return [await folder.getFileHandle("film.mp4")];
        };"""
    )
    visit(page, f"{site.url}/media/upload")
    page.evaluate(
        """async (text) => {
          const handle = await (await navigator.storage.getDirectory()).getFileHandle("film.mp4", { create: true });
          const stream = await handle.createWritable();
          await stream.write(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
          await stream.close();
        }""",
        base64.b64encode(CONTENT).decode(),
    )
    api.hold_from = 2
    page.get_by_role("button", name="Choose files").click()
    card = start(page)
    expect(card.locator(".part[data-state=done], .part[data-state=sent]")).to_have_count(2)
    page.reload()
    expect(card.locator(".note")).to_have_text("The page was left before all had been sent. Resume to go on.")
    api.gate.set()
    page.evaluate("void (window.showOpenFilePicker = () => { throw new Error('nobody was to be asked'); })")
    card.get_by_role("button", name="Resume").click()
    expect(card.locator("header .badge")).to_have_text("Arrived, in work")
    assert arrived(api) == CONTENT
    handles = """new Promise((done) => {
      const request = indexedDB.open("reelflow-uploads", 1);
      request.onsuccess = () => {
        const all = request.result.transaction("handles").objectStore("handles").getAllKeys();
        all.onsuccess = () => { request.result.close(); done(all.result.length); };
      };
    })"""
    assert page.evaluate(handles) == 1
    upload = the_upload(api)
    api.uploads.set_destination(upload.atom_id, upload.id, "s3Bucket", status="complete")
    expect(card.locator("header .badge")).to_have_text("Done")
    assert page.evaluate(handles) == 0


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (400, "size: must be at most 1000000 bytes (MEDIA_UPLOAD_MAX_BYTES).", "The file is too large: at most 1 MB are taken."),
        (400, "title must have 1 to 100 characters.", "The server refuses it: title must have 1 to 100 characters."),
        (403, "You may not start uploads.", "You may not upload."),
        (401, "Log in to Airflow first.", "You are signed out."),
    ],
)
def test_refusals_are_told_in_words(
    upload_page: Page, site: Site, film: Path, problems: Problems, status: int, message: str, words: str
) -> None:
    problems.expect(f"status of {status}")
    site.fail("POST", "/api2/atom/*", status, message)
    choose(upload_page, film)
    card = start(upload_page)
    expect(card.locator("header .badge")).to_have_text("Stopped")
    expect(card.locator(".note")).to_contain_text(words)
    expect(card.get_by_role("button", name="Try again")).to_be_enabled()


def test_a_store_that_refuses_and_a_network_that_fails_are_told_and_overcome(
    upload_page: Page, api: FakeApi, film: Path, problems: Problems
) -> None:
    page = upload_page
    problems.expect("status of 403|ERR_INTERNET_DISCONNECTED")
    refusing = True

    def store(route: Route) -> None:
        if refusing:
            route.fulfill(status=403, headers={"Access-Control-Allow-Origin": "*"})
        else:
            route.continue_()

    page.route(re.compile(r"/parts/4\?"), store)
    choose(page, film)
    card = start(page)
    expect(card.locator(".note")).to_contain_text("The object store refuses the part (403)")
    expect(card.locator(".note")).to_contain_text("Trying again")
    refusing = False
    page.context.set_offline(True)
    expect(card.locator(".note")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    expect(card.locator("header .badge")).to_have_text("Arrived, in work")
    assert arrived(api) == CONTENT


def test_a_file_that_changes_while_it_is_sent_is_not_mixed(
    upload_page: Page, api: FakeApi, film: Path, problems: Problems
) -> None:
    page = upload_page
    problems.expect("ERR_UPLOAD_FILE_CHANGED")
    api.hold_from = 2
    choose(page, film)
    card = start(page)
    expect(card.locator(".part[data-state=done], .part[data-state=sent]")).to_have_count(2)
    film.write_bytes(CONTENT[::-1])
    api.gate.set()
    expect(card.locator(".note")).to_contain_text("The file has changed")
    choose(page, film, button="Try again")
    expect(card.locator(".note")).to_contain_text("That is another version")


def test_a_file_that_is_gone_before_it_begins_keeps_no_other_from_being_sent(
    upload_page: Page, api: FakeApi, film: Path, tmp_path: Path
) -> None:
    page = upload_page
    gone = tmp_path / "Gone.mp4"
    gone.write_bytes(b"gone")
    choose(page, gone, film)
    expect(page.locator("#chosen li")).to_have_count(2)
    gone.unlink()
    card = start(page)
    expect(page.get_by_role("alert")).to_contain_text("Gone.mp4: The file has changed or can no longer be read.")
    expect(card.locator("header .badge")).to_have_text("Arrived, in work")
    assert arrived(api) == CONTENT


def test_a_title_is_never_cut_within_a_character(upload_page: Page, site: Site, api: FakeApi, tmp_path: Path) -> None:
    page = upload_page
    film = tmp_path / f"{'a' * 99}😀 and more.mp4"
    film.write_bytes(CONTENT)
    choose(page, film)
    page.get_by_label("YouTube, sent").check()
    card = start(page)
    expect(card.locator(".badge").first).to_have_text("Arrived, in work")
    assert site.bodies[-1]["title"] == "a" * 99


def test_one_who_may_only_look_is_told_so(page: Page, site: Site, api: FakeApi) -> None:
    site.viewer = Viewer(user="vera", can_start=False, can_change=False)
    visit(page, f"{site.url}/media/upload")
    expect(page.get_by_text("You may look at uploads, but not start any")).to_be_visible()
    expect(page.get_by_role("button", name="Choose files")).to_be_disabled()


def test_what_the_form_refuses_is_said_at_its_field(upload_page: Page, site: Site, film: Path) -> None:
    page = upload_page
    choose(page, film)
    page.get_by_label("S3, transcoded").uncheck()
    page.get_by_label("Atom").fill("no spaces")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Choose at least one.")).to_be_visible()
    expect(page.get_by_label("Atom")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("S3, transcoded")).to_be_focused()
    axe(page)
    assert site.bodies == []


def test_many_parts_share_cells_and_atoms_are_named_after_files(upload_page: Page) -> None:
    states = upload_page.evaluate(
        """async () => {
          const { cellsOf } = await import("/media/static/js/upload/parts.js");
          const parts = Array.from({ length: 1000 }, (_, n) => ({ start: n * 10, end: n * 10 + 10, complete: n < 15 }));
          return cellsOf(parts, new Map([[15, 5]])).map((cell) => [cell.state, cell.share]);
        }"""
    )
    assert len(states) == 100
    assert states[:3] == [["done", 1], ["running", 0.55], ["waiting", 0]]
    names = upload_page.evaluate(
        """async (files) => {
          const { defaultAtom, isAtom } = await import("/media/static/js/upload/atom.js");
          const names = files.map((file) => defaultAtom(file, new Date(2026, 10, 21)));
          return names.map((name) => isAtom(name) ? name : null);
        }""",
        ["Ünïcode & co.final.mov", "海边.mp4", "x" * 90 + ".mp4", "_.mp4"],
    )
    assert names == ["unicode-co-final-20261121", "upload-20261121", "x" * 48 + "-20261121", "upload-20261121"]


@in_every_look
def test_every_look(page: Page, site: Site, api: FakeApi, film: Path, look: Look) -> None:
    shown = _uploads_to_show()
    site.answer("GET", "/api2/atom/*", lambda request: shown[request.scope["path"].rpartition("/")[2]])
    listed = [
        {"key": key, "id": key, "atom": "story-17", "name": name, "size": upload["parts"][-1]["end"], "print": "", "sent": sent,
         "fields": {"destinations": [at["type"] for at in upload["destinations"]]}}
        for (key, upload), name, sent in zip(
            shown.items(), ["keynote 2026, final.mp4", "海边的小镇.mov", "B-roll-drone-footage-of-the-quiet-harbour-at-dawn.mp4"],
            [True, False, True], strict=True,
        )
    ]  # fmt: skip
    page.add_init_script(f"localStorage.setItem('reelflow:uploads', {json.dumps(json.dumps(listed))})")
    page.add_init_script("delete window.showOpenFilePicker")
    visit(page, f"{site.url}/media/upload", look)
    expect(page.locator(".transfer .part").first).to_be_attached()
    page.locator("#files").dispatch_event("click")
    with page.expect_file_chooser() as chooser:
        page.locator("#choose").click()
    chooser.value.set_files(film)
    page.locator("input[value=youtube]").check()
    expect(page.locator(".transfer header .badge[data-state=failed]")).to_have_count(1)
    axe(page)
    fits(page)
    shot(page, "upload", look)


def _uploads_to_show() -> dict[str, dict[str, Any]]:
    def parts(count: int, done: int) -> list[dict[str, Any]]:
        size = 100 * 2**20
        return [{"start": n * size, "end": (n + 1) * size, "key": f"k{n}", "complete": n < done} for n in range(count)]

    return {
        "a": {
            "parts": parts(37, 37),
            "destinations": [
                {"type": "s3Bucket", "status": "transcoding", "progress": 56.54},
                {"type": "youtube", "status": "upload", "progress": 25.56},
            ],
        },
        "b": {"parts": parts(24, 9), "destinations": [{"type": "s3Bucket", "status": "waiting", "progress": 0}]},
        "c": {
            "parts": parts(12, 12),
            "destinations": [{"type": "youtube", "status": "failed", "progress": 10, "error": "The daily quota is used up."}],
        },
    }  # fmt: skip
