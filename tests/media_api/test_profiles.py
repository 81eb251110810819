"""Profiles: everybody's, a client's own, and names that say all themselves."""

from __future__ import annotations

from typing import Any

import pytest

from include.ffmpeg_ops.named_profiles import shipped_profiles
from include.media_api import profiles
from tests.media_api.fakes import FakeAirflow, MemoryStore, MemoryTables
from tests.media_api.signed import Caller, run_id

LIST = "/api/v1/profiles"
ONE = "/api/v1/profile"
NEWS: dict[str, Any] = {
    "profile_name": "news_720p",
    "encodings": [{"container": "mp4", "width": 1280, "height": 720, "bitrate": 1_500_000}],
}


def make(caller: Caller, **changes: Any) -> Any:
    return caller("POST", ONE, json=NEWS | changes)


def names(caller: Caller) -> list[str]:
    return [profile["profile_name"] for profile in caller("GET", LIST).json()["profiles"]]


def test_everybodys_profiles_are_listed_and_shown_whole(demo: Caller) -> None:
    listed = demo("GET", LIST).json()["profiles"]
    assert [profile["profile_name"] for profile in listed] == list(shipped_profiles())
    for profile in listed:
        assert profile["own"] is False
        assert demo("GET", f"{ONE}/{profile['profile_name']}").json() == profile
    fields = {"container", "format", "bitrate", "framerate", "width", "height", "gop_size", "b_frame_size", "rc_mode", "preset",
              "audio_format", "audio_bitrate", "audio_samplerate", "channels"}  # fmt: skip
    assert set(listed[0]["encodings"][0]) == fields


def test_a_name_that_says_all_is_shown_as_what_it_comes_to(demo: Caller) -> None:
    shown = demo("GET", f"{ONE}/video_flv_640x360_800kbps").json()
    (encoding,) = shown["encodings"]
    assert (shown["own"], encoding["container"], encoding["width"], encoding["height"], encoding["bitrate"]) == (
        False,
        "flv",
        640,
        360,
        800_000,
    )


def test_a_client_makes_uses_and_deletes_a_profile(demo: Caller, store: MemoryStore) -> None:
    made = make(demo)
    assert (made.status_code, made.json()["own"], made.json()["profile_name"]) == (200, True, "news_720p")
    assert names(demo)[-1] == "news_720p"
    assert demo("GET", f"{ONE}/news_720p").json() == made.json()
    assert demo.create(profile_name="news_720p").status_code == 200
    assert make(demo).status_code == 200, "the same again is no error"


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_profile_that_tasks_use_stays(demo: Caller, airflow: FakeAirflow, store: MemoryStore, state: str) -> None:
    make(demo)
    task_id = demo.create(profile_name="news_720p").json()["task_id"]
    airflow.begin("transcode", run_id("demo", task_id), state)
    answer = demo("DELETE", f"{ONE}/news_720p")
    assert (answer.status_code, answer.json()["code"]) == (400, "ProfileNotEmpty")
    airflow.begin("transcode", run_id("demo", task_id), "success")
    assert demo("DELETE", f"{ONE}/news_720p").status_code == 200
    assert demo("GET", f"{ONE}/news_720p").json()["code"] == "NoSuchProfile"
    assert demo.show(task_id)["profile_name"] == "news_720p"


def test_tasks_that_use_a_profile_are_found_on_every_page(demo: Caller, airflow: FakeAirflow, store: MemoryStore) -> None:
    make(demo)
    demo.create(profile_name="news_720p")
    for number in range(120):
        demo.create(targets=[f"s3://media/out/{number}.mp4"])
    assert demo("DELETE", f"{ONE}/news_720p").json()["code"] == "ProfileNotEmpty"


def test_a_profile_is_its_clients_only(demo: Caller, other: Caller, store: MemoryStore) -> None:
    make(demo)
    assert "news_720p" not in names(other)
    for answer in (other("GET", f"{ONE}/news_720p"), other("DELETE", f"{ONE}/news_720p"), other.create(profile_name="news_720p")):
        assert (answer.status_code, answer.json()["code"]) == (404, "NoSuchProfile")
    assert make(other, encodings=[{"container": "flv"}]).status_code == 200
    assert demo("GET", f"{ONE}/news_720p").json()["encodings"][0]["container"] == "mp4"
    other("DELETE", f"{ONE}/news_720p")
    assert names(demo)[-1] == "news_720p"


@pytest.mark.parametrize("name", ["news_720p", "archive_h265", "video_mp4_1280x720_1728kbps"])
def test_a_name_that_is_taken_is_refused(demo: Caller, name: str) -> None:
    make(demo)
    answer = make(demo, profile_name=name, encodings=[{"container": "flv"}])
    assert (answer.status_code, answer.json()["code"]) == (400, "ProfileExists")


@pytest.mark.parametrize("name", ["archive_h265", "video_mp4_1280x720_1728kbps"])
def test_everybodys_profiles_cannot_be_deleted(demo: Caller, name: str) -> None:
    answer = demo("DELETE", f"{ONE}/{name}")
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameterException")


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e%2fx", "x" * 300, "ü"])
def test_a_profile_that_is_not_there_is_told(demo: Caller, name: str) -> None:
    for method in ("GET", "DELETE"):
        answer = demo(method, f"{ONE}/{name}")
        assert (answer.status_code, answer.json()["code"]) in {(404, "NoSuchProfile"), (404, "NotFound")}


@pytest.mark.parametrize(
    ("encoding", "field"),
    [
        ({"container": "avi"}, "container"),
        ({"format": "vp9"}, "format"),
        ({"width": 63}, "width"),
        ({"height": 4098}, "height"),
        ({"bitrate": "fast"}, "bitrate"),
        ({"bitrate": 1}, "bitrate"),
        ({"framerate": "1/0"}, "framerate"),
        ({"framerate": "1e1000000000"}, "framerate"),
        ({"framerate": 0}, "framerate"),
        ({"framerate": 241}, "framerate"),
        ({"framerate": "30000/1001/2"}, "framerate"),
        ({"framerate": True}, "framerate"),
        ({"gop_size": 0}, "gop_size"),
        ({"b_frame_size": 17}, "b_frame_size"),
        ({"rc_mode": "crf"}, "rc_mode"),
        ({"preset": "slow"}, "preset"),
        ({"audio_format": "opus"}, "audio_format"),
        ({"channels": 9}, "channels"),
        ({"video_filter": "movie=/etc/passwd"}, "video_filter"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(demo: Caller, tables: MemoryTables, encoding: dict[str, Any], field: str) -> None:
    answer = make(demo, encodings=[encoding])
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameterException")
    assert answer.json()["message"].startswith(f"encodings.0.{field}")
    assert tables.profiles == {}


@pytest.mark.parametrize(
    "changes", [{"profile_name": "../x"}, {"profile_name": ""}, {"encodings": []}, {"encodings": [{}] * 11}, {"owner": "x"}]
)
def test_a_profile_needs_a_name_and_encodings(demo: Caller, changes: dict[str, Any]) -> None:
    assert make(demo, **changes).json()["code"] == "InvalidParameterException"


@pytest.mark.parametrize(
    ("encodings", "code"),
    [
        ([{"rc_mode": "cbr"}], "ParameterError"),
        ([{"format": "copy", "width": 640}], "ParameterError"),
        ([{}, {"width": 640}], "ParameterError"),
        ([{"container": "flv", "format": "h265"}], "OutputNotSupported"),
        ([{"audio_format": "aache2"}], "OutputNotSupported"),
        ([{"width": 641}], "OutputNotSupported"),
        ([{"format": "mpeg2", "framerate": "12"}], "OutputNotSupported"),
    ],
    ids=str,
)
def test_what_cannot_be_made_is_refused_at_once(demo: Caller, encodings: list[dict[str, Any]], code: str) -> None:
    answer = make(demo, encodings=encodings)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_client_has_only_so_many(demo: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MOST_PROFILES", 2)
    answers = [make(demo, profile_name=f"p{number}").status_code for number in range(3)]
    assert answers == [200, 200, 400]


def test_rates_are_kept_exactly(demo: Caller) -> None:
    for rate, kept in ((25, "25"), (29.97, "2997/100"), ("30000/1001", "30000/1001"), ("23.976", "2997/125")):
        made = make(demo, profile_name=f"rate-{kept.replace('/', '-')}", encodings=[{"framerate": rate}])
        assert made.json()["encodings"][0]["framerate"] == kept
        assert demo("GET", f"{ONE}/{made.json()['profile_name']}").json() == made.json()


def test_a_profile_that_cannot_be_read_is_left_out_of_the_list(demo: Caller, tables: MemoryTables) -> None:
    assert make(demo).status_code == 200
    before = names(demo)
    tables.profiles["demo", "broken"] = {"profile_name": "broken", "encodings": "of another version"}
    assert names(demo) == before


def test_a_profile_that_cannot_be_read_is_as_good_as_absent(demo: Caller, tables: MemoryTables, store: MemoryStore) -> None:
    store.add("in/talk.mp4")
    tables.profiles["demo", "news_720p"] = {"profile_name": "news_720p", "encodings": "of another version"}
    answers = [demo("GET", f"{ONE}/news_720p"), demo("DELETE", f"{ONE}/news_720p"), demo.create(profile_name="news_720p")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "NoSuchProfile")] * 3
    assert make(demo).status_code == 200
    assert demo.create(profile_name="news_720p").status_code == 200


def test_a_name_that_no_profile_can_have_is_not_looked_up(
    demo: Caller, tables: MemoryTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB refuses the question."""
    asked: list[str] = []
    monkeypatch.setattr(tables, "get_profile", lambda client, name: asked.append(name))
    assert demo("GET", f"{ONE}/{'x' * 128}").status_code == 404
    answer = demo("GET", f"{ONE}/{'x' * 1025}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NoSuchProfile")
    assert asked == ["x" * 128]
