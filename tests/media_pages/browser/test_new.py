"""The page New job: forms made of the models' own schemas, in front of the contracts' real app."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from include.media_api.app import create_app
from include.media_pages.forms import forms
from include.media_pages.models import Viewer
from include.settings import Settings
from tests.media_api.fakes import FakeAirflow, MemoryStore
from tests.media_pages.browser.harness import Look, Problems, axe, fits, in_every_look, shot, visit
from tests.media_pages.browser.site import STATIC, Site

KEY = "key-of-a-test-0123456789"
SOURCES = ["in/harbour.mp4", "in/season 2/episode-07.mp4", "in/notes.pdf", "in/old.mp4"]


@pytest.fixture
def settings() -> Settings:
    return Settings(_env_file=None, bucket="media", buckets=("media", "archive"), api_keys=f"ours:{KEY}")  # type: ignore[call-arg]


@pytest.fixture
def contracts(settings: Settings, store: MemoryStore, airflow: FakeAirflow) -> Iterator[TestClient]:
    """The app of contracts 1 and 2 itself, and some files in its bucket."""
    for key in SOURCES:
        store.put_bytes("media", key, b"video")
    store.put_bytes("media", "out/old_v1/old.m3u8", b"#EXTM3U")
    with TestClient(create_app(settings, store, airflow), headers={"x-api-key": KEY}) as client:
        yield client


@pytest.fixture
def new(page: Page, site: Site, settings: Settings, contracts: TestClient) -> Iterator[Page]:
    site.forms = forms(settings)

    asking, is_over = threading.Lock(), threading.Event()

    def relay(request: Request) -> JSONResponse:
        path = request.scope["path"].removeprefix(request.scope["root_path"]).removeprefix("/prod")
        body = {"json": site.bodies[-1]} if request.method == "POST" else {}
        with asking:
            if is_over.is_set():
                return JSONResponse({}, 503)
            answer: httpx.Response = contracts.request(request.method, path, **body)
        return JSONResponse(answer.json(), answer.status_code)

    for method in ("GET", "POST"):
        site.answer(method, "/prod/*", relay)
    yield page
    # It asks on how the job goes, which nobody can tell any more: a client that is closed while it asks never comes back.
    page.close()
    with asking:
        is_over.set()


def fill(page: Page, **values: str) -> None:
    for label, value in values.items():
        page.get_by_label(label.replace("_", " "), exact=False).first.fill(value)


def test_a_test_run_shows_what_would_be_done_and_then_it_is_done(new: Page, site: Site, airflow: FakeAirflow) -> None:
    page = new
    visit(page, f"{site.url}/media/new")
    expect(page.get_by_label("Bucket")).to_have_value("media")
    expect(page.get_by_label("Version")).to_have_value(re.compile(r"^20\d{12}$"))
    fill(page, Source="in/", Output_folder="out/", Version="v1")
    page.get_by_label("Format").select_option("m3u8")
    page.get_by_role("button", name="Show what would be done").click()
    expect(page.locator(".verdict").get_by_text("2 to transcode · 1 left out · 1 there already")).to_be_visible()
    expect(page.get_by_role("heading", name="What would be done")).to_be_focused()
    rows = page.locator(".videos li")
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="episode-07")).to_contain_text("→ out/season 2/episode-07_v1/episode-07.m3u8")
    expect(rows.filter(has_text="notes.pdf")).to_contain_text("It is not an .mp4 file.")
    assert site.bodies == [{"bucket": "media", "src": "in/", "dst": "out/", "time": "v1", "type": "m3u8", "testflag": "test"}]
    assert airflow.dag_runs == {}

    page.get_by_label("Version").fill("v2")
    expect(page.get_by_text("The form has changed since")).to_be_visible()
    expect(page.get_by_role("button", name="Start 2 transcodes")).to_be_disabled()
    page.get_by_role("button", name="Show what would be done").click()
    page.get_by_role("button", name="Start 3 transcodes").click()
    expect(page.locator(".verdict").get_by_text("3 in work · 1 left out")).to_be_visible()
    assert site.bodies[-1]["testflag"] == "no"
    [(dag_id, run)] = airflow.dag_runs
    assert dag_id == "video_transcode"
    expect(page.get_by_role("link", name="Open the job")).to_have_attribute(
        "href", f"{site.url}/media/jobs/video_transcode/{run}"
    )


def test_the_servers_refusal_is_put_to_the_field_it_names(new: Page, site: Site, problems: Problems) -> None:
    page = new
    problems.expect("status of 40[04]")
    visit(page, f"{site.url}/media/new")
    fill(page, Source="in/absent.mp4", Output_folder="out")
    page.get_by_label("Format").select_option("mp4")
    page.get_by_role("button", name="Show what would be done").click()
    expect(page.locator("[data-name=dst] .error")).to_have_text("must be a folder: end it with '/'")
    expect(page.get_by_label("Output folder")).to_be_focused()
    axe(page)
    fill(page, Output_folder="out/")
    expect(page.locator("[data-name=dst] .error")).to_be_hidden()
    page.get_by_role("button", name="Show what would be done").click()
    expect(page.locator("[data-name=src] .error")).to_have_text("there is no object 'in/absent.mp4' in bucket 'media'.")
    site.fail("POST", "/prod/*", 400, "callback_url: must be https; and public; what else is wrong belongs to no field")
    page.get_by_role("button", name="Show what would be done").click()
    expect(page.get_by_label("Callback address")).to_be_focused()
    expect(page.locator("[data-name=callback_url] .error")).to_contain_text("must be https; and public")
    site.fail("POST", "/prod/*", 400, "The bucket is being moved.")
    page.get_by_role("button", name="Show what would be done").click()
    expect(page.locator(".refusal")).to_have_text("The bucket is being moved.")


def test_what_the_schema_forbids_is_said_before_it_is_sent(new: Page, site: Site) -> None:
    page = new
    visit(page, f"{site.url}/media/new?kind=super_resolution")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("[data-name=key] .error")).to_have_text("This is needed.")
    expect(page.get_by_label("Source")).to_be_focused()
    for value, words in [("0", "It has to be more than 0."), ("86401", "At most 86,400."), ("a minute", "Give a number.")]:
        page.get_by_label("Seconds per segment").fill(value)
        page.keyboard.press("Tab")
        expect(page.locator("[data-name=segment_time] .error")).to_have_text(words)
    page.get_by_role("tab", name="Transcode").click()
    for label, value, words in [
        ("Version", "no spaces", "It has to have the form ^[0-9A-Za-z_-]{1,32}$"),
        ("Source", "x" * 1025, "At most 1,024 characters."),
    ]:
        page.get_by_label(label).first.fill(value)
        page.keyboard.press("Tab")
        expect(page.locator(".error", has_text=words)).to_be_visible()
    page.get_by_text("More options").click()
    page.get_by_label("Source bit rate").fill("1.5")
    page.keyboard.press("Tab")
    expect(page.locator("[data-name=v_bitrate] .error")).to_have_text("Give a whole number.")
    assert site.bodies == []


def test_an_upscale_is_started_with_what_the_form_says(new: Page, site: Site) -> None:
    page = new
    answer = {
        "message": "in/harbour.mp4 started",
        "run_id": "super_resolution__1",
        "output_key": "in/harbour_x4.mp4",
        "segments": 3,
    }
    site.answer("POST", "/prod/", lambda _: answer)
    site.answers = {("POST", "/prod/"): site.answers["POST", "/prod/"]}
    visit(page, f"{site.url}/media/new?kind=super_resolution&key=in/harbour.mp4")
    expect(page.get_by_label("Source")).to_have_value("in/harbour.mp4")
    page.get_by_label("Scale").select_option("4")
    page.get_by_text("More options").click()
    page.get_by_label("Network").select_option("quality")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".verdict").get_by_text("Started: 3 segments are planned.")).to_be_visible()
    expect(page.get_by_role("link", name="Open the job")).to_have_attribute(
        "href", f"{site.url}/media/jobs/super_resolution/super_resolution__1"
    )
    assert site.bodies == [
        {"key": "in/harbour.mp4", "scale": 4, "task": "inference", "env": "spot", "segment_time": 60, "model": "quality"}
    ]


def test_tabs_by_keyboard_and_a_language_that_changes_keep_what_was_typed(new: Page, site: Site) -> None:
    page = new
    visit(page, f"{site.url}/media/new")
    fill(page, Source="in/harbour.mp4")
    page.get_by_role("tab", name="Transcode").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Super-resolution")).to_be_focused()
    expect(page.get_by_label("Scale")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_label("源", exact=True)).to_have_value("in/harbour.mp4")
    expect(page.get_by_text("输出的版本，是其路径的一部分。")).to_be_visible()


def test_one_who_may_only_look_is_told_so(new: Page, site: Site) -> None:
    site.viewer = Viewer(user="vera", can_start=False, can_change=False)
    visit(new, f"{site.url}/media/new")
    expect(new.get_by_text("You may look at jobs, but not start any")).to_be_visible()
    expect(new.get_by_role("button", name="Show what would be done")).to_be_disabled()


def test_every_description_of_the_models_is_translated(settings: Settings) -> None:
    translations = (STATIC / "js/new/translations.js").read_text()
    descriptions = {
        field["description"]
        for schema in forms(settings).values()
        for name, field in schema["properties"].items()
        if name != "testflag"
    }
    known = set(re.findall(r'^  "(.*?)":', translations, re.MULTILINE))
    assert known == descriptions
    assert len(descriptions) > 10


def test_every_field_and_choice_has_a_name(settings: Settings) -> None:
    words = (STATIC / "js/messages/new.js").read_text()
    for schema in forms(settings).values():
        for name, field in schema["properties"].items():
            if name == "testflag":
                continue
            assert f'"new.field.{name}"' in words
            kinds: list[dict[str, Any]] = field.get("anyOf", [field])
            for choice in [choice for kind in kinds for choice in kind.get("enum", [])]:
                assert name == "v_height" or f'"new.choice.{name}.{choice}"' in words


@in_every_look
def test_every_look(new: Page, site: Site, look: Look, tmp_path: Path) -> None:
    visit(new, f"{site.url}/media/new", look)
    for name, value in {"src": "in/", "dst": "out/", "time": "v1"}.items():
        new.locator(f"[name={name}]").fill(value)
    new.locator("[name=type]").select_option("m3u8")
    new.locator("button[type=submit]").click()
    expect(new.locator(".videos li")).to_have_count(4)
    axe(new)
    fits(new)
    shot(new, "new-transcode", look)
    new.locator("#tab-super_resolution").click()
    new.locator("summary").click()
    axe(new)
    fits(new)
    shot(new, "new-super-resolution", look)
