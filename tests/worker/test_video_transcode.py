"""Contract 1's request and its paths."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from include.errors import LimitExceeded, NotFound, ParameterError
from include.settings import Settings
from include.worker.models import TranscodeRequest
from include.worker.video_transcode import Element, VideoTranscodeRequest, existing_keys, resolve
from tests.media_api.fakes import MemoryStore

CONTRACT_EXAMPLE = {
    "bucket": "ottcloud",
    "contentprovider": "publicspace",
    "dst": "publicspace/videos/dst/test/",
    "src": "publicspace/videos/src/2016.04.20/",
    "testflag": "test",
    "time": "20160426000001",
    "type": "mp4",
    "v_bitrate": 2700000,
    "v_height": 720,
}
BODY = {"bucket": "media", "src": "in/", "dst": "out/", "time": "t1", "type": "m3u8", "testflag": "no"}


def request(**changes: Any) -> VideoTranscodeRequest:
    return VideoTranscodeRequest.model_validate(BODY | changes)


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **({"bucket": "media"} | values))


def transcode(element: Element) -> TranscodeRequest:
    assert element.request is not None
    return element.request


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("media", "secret")


# -- the request


def test_the_example_of_the_contract_is_accepted_as_it_stands() -> None:
    read = VideoTranscodeRequest.model_validate(CONTRACT_EXAMPLE)
    assert read.model_dump(exclude={"testflag", "callback_url"}) == {k: v for k, v in CONTRACT_EXAMPLE.items() if k != "testflag"}
    assert read.is_test
    assert read.is_folder


@pytest.mark.parametrize("field", ["bucket", "src", "dst", "time", "type"])
def test_a_required_field_that_is_missing_is_named(field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        VideoTranscodeRequest.model_validate({name: value for name, value in BODY.items() if name != field})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


@pytest.mark.parametrize("field", ["contentprovider", "v_bitrate", "v_height"])
def test_an_optional_field_may_be_absent_or_null(field: str) -> None:
    assert getattr(request(), field) is None
    assert getattr(request(**{field: None}), field) is None


@pytest.mark.parametrize("provider", ["a\u0000b", "a\nb", "a\x7f"], ids=repr)
def test_a_content_provider_without_control_characters_is_wanted(provider: str) -> None:
    with pytest.raises(ValidationError, match="must not hold control characters"):
        request(contentprovider=provider)
    assert request(contentprovider="公共 空间").contentprovider == "公共 空间"


def test_src_is_bounded_in_bytes_as_keys_are() -> None:
    longest = "中" * 341 + "/"
    assert request(src=longest).src == longest
    with pytest.raises(ValidationError, match="at most 1024 bytes"):
        request(src=f"中{longest}")


@pytest.mark.parametrize(
    "flag", ["test", "yes", "No", "NO", " no", "", None, True, False, 0, 1, [], {}, ["no"], {"no": "no"}], ids=repr
)
def test_any_testflag_but_no_is_a_test(flag: Any) -> None:
    assert request(testflag=flag).is_test


def test_testflag_no_is_a_real_run_and_an_absent_one_a_test() -> None:
    assert not request(testflag="no").is_test
    assert VideoTranscodeRequest.model_validate({k: v for k, v in BODY.items() if k != "testflag"}).is_test


@pytest.mark.parametrize(("given", "read"), [(2700000, 2700000), ("2700000", 2700000), (" 1 ", 1)])
def test_v_bitrate_is_an_integer_or_an_integer_string(given: Any, read: int) -> None:
    assert request(v_bitrate=given).v_bitrate == read


@pytest.mark.parametrize("wrong", [0, -1, "-5", "2.7M", "", 2.5, True, [], "٣", "9" * 30, 10**30], ids=repr)
def test_a_v_bitrate_that_is_no_positive_whole_number_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="v_bitrate"):
        request(v_bitrate=wrong)


@pytest.mark.parametrize(
    ("given", "read"), [(480, 480), (720, 720), (1080, 1080), (1088, 1080), ("720", 720), ("1088", 1080)], ids=repr
)
def test_v_height_is_one_of_three_and_1088_is_taken_as_1080(given: Any, read: int) -> None:
    assert request(v_height=given).v_height == read


@pytest.mark.parametrize("wrong", [0, 360, 1089, 2160, "tall", 720.5, True], ids=repr)
def test_another_v_height_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="v_height"):
        request(v_height=wrong)


@pytest.mark.parametrize("wrong", ["", "/", "//", " ", "a/../b/", "../other/", "a/./b.mp4", "a\x00b/", "a\n/"], ids=repr)
def test_a_src_that_would_mean_a_whole_bucket_or_leave_it_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="src"):
        request(src=wrong)


@pytest.mark.parametrize("wrong", ["", "out", "out/x.mp4", "/", "/out/", "out/../", "out/\x07/"], ids=repr)
def test_a_dst_that_is_no_folder_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="dst"):
        request(dst=wrong)


@pytest.mark.parametrize("good", ["20160426000001", "a", "A-b_9", "x" * 32])
def test_a_time_of_the_contracts_pattern_is_accepted(good: str) -> None:
    assert request(time=good).time == good


@pytest.mark.parametrize("wrong", ["", "x" * 33, "a b", "a/b", "ä", "t1\n", "..", 20160426000001, None], ids=repr)
def test_another_time_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="time"):
        request(time=wrong)


@pytest.mark.parametrize("wrong", ["hls", "MP4", "", None, 1], ids=repr)
def test_a_type_other_than_mp4_and_m3u8_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="type"):
        request(type=wrong)


def test_fields_that_the_contract_does_not_know_are_ignored() -> None:
    assert request(pipeline="1460012345-abc", user={"a": [1]}) == request()


# -- the bucket


@pytest.mark.parametrize("bucket", ["nowhere", "secret", "x"])
def test_a_bucket_that_is_unknown_or_not_allowed_is_not_found(store: MemoryStore, bucket: str) -> None:
    with pytest.raises(NotFound, match="bucket"):
        resolve(store, settings(), request(bucket=bucket))


def test_an_allowed_bucket_that_does_not_exist_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="bucket"):
        resolve(store, settings(buckets="media,gone"), request(bucket="gone"))


# -- paths


@pytest.mark.parametrize(("kind", "suffix"), [("m3u8", "m3u8"), ("mp4", "mp4")])
def test_the_paths_of_a_folder_are_those_of_the_contract(kind: str, suffix: str) -> None:
    store = MemoryStore("ottcloud")
    src, dst = "publicspace/videos/src/2016.04.20/", "publicspace/videos/dst/"
    store.add(src + "clips/2015.mp4", src + "cp/1.mp4", bucket="ottcloud")
    asked = request(bucket="ottcloud", src=src, dst=dst, time="20160426000001", type=kind)
    elements = resolve(store, settings(bucket="ottcloud"), asked)
    assert [transcode(element).destination_key for element in elements] == [
        f"publicspace/videos/dst/clips/2015_20160426000001/2015.{suffix}",
        f"publicspace/videos/dst/cp/1_20160426000001/1.{suffix}",
    ]
    assert [element.src for element in elements] == [src + "clips/2015.mp4", src + "cp/1.mp4"]


def test_the_output_of_one_file_lies_in_dst_itself(store: MemoryStore) -> None:
    store.add("in/deep/film.mp4")
    (element,) = resolve(store, settings(), request(src="in/deep/film.mp4"))
    assert transcode(element).folder == "out/film_t1/"
    assert transcode(element).destination_key == "out/film_t1/film.m3u8"


def test_only_the_last_extension_is_taken_off(store: MemoryStore) -> None:
    store.add("in/a.b.c.mp4")
    (element,) = resolve(store, settings(), request())
    assert transcode(element).destination_key == "out/a.b.c_t1/a.b.c.m3u8"


def test_only_the_leading_src_is_replaced(store: MemoryStore) -> None:
    store.add("in/x/in/a.mp4")
    (element,) = resolve(store, settings(), request())
    assert transcode(element).folder == "out/x/in/a_t1/"


HOSTILE = [
    *("sp ace", "has#hash", "100%25", "a+b", "中文视频", "🎬", "-rf", "'quoted\"", "back\\slash"),
    *("$(id)", "a;b|c", "...", "%s%d", "&amp;", "nb\u00a0sp", "e\u0301", "C:"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_kept_as_it_is(store: MemoryStore, name: str) -> None:
    store.add(f"in/{name}/{name}.mp4")
    (element,) = resolve(store, settings(), request())
    assert transcode(element).source_key == f"in/{name}/{name}.mp4"
    assert transcode(element).destination_key == f"out/{name}/{name}_t1/{name}.m3u8"


def test_what_the_request_says_is_passed_on(store: MemoryStore) -> None:
    store.add("in/a.mp4")
    asked = request(v_bitrate="2700000", v_height=1088, contentprovider="publicspace", type="mp4")
    (element,) = resolve(store, settings(), asked, "ott")
    assert transcode(element) == TranscodeRequest(
        bucket="media",
        source_key="in/a.mp4",
        folder="out/a_t1/",
        name="a",
        container="mp4",
        source_bit_rate=2700000,
        source_height=1080,
        content_provider="publicspace",
        client="ott",
    )


# -- which files


def test_files_that_the_contract_skips_are_not_mentioned(store: MemoryStore) -> None:
    store.add("in/", "in/sub/", "in/a.png", "in/a.jpg", "in/a.m3u8", "in/a.txt", "in/.mp4", "in/.DS_Store", "in/B.JPG")
    assert resolve(store, settings(), request()) == ()


@pytest.mark.parametrize("name", ["a.mov", "a.mkv", "a.webm", "a.ts", "a.mp3", "mp4", "README", "a.mp4.part", "a.gif"])
def test_another_file_is_not_an_mp4(store: MemoryStore, name: str) -> None:
    store.add(f"in/{name}")
    assert resolve(store, settings(), request()) == (Element("not_mp4", f"in/{name}"),)


def test_a_suffix_in_capitals_is_the_same_suffix(store: MemoryStore) -> None:
    store.add("in/CLIP.MP4")
    (element,) = resolve(store, settings(), request())
    assert transcode(element).destination_key == "out/CLIP_t1/CLIP.m3u8"


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".webm", ".ts"])
def test_a_setting_widens_the_suffixes(store: MemoryStore, suffix: str) -> None:
    store.add(f"in/a{suffix}")
    (element,) = resolve(store, settings(source_suffixes=f".mp4,{suffix}"), request())
    assert transcode(element).destination_key == "out/a_t1/a.m3u8"
    (element,) = resolve(store, settings(source_suffixes=f".mp4,{suffix}"), request(src=f"in/a{suffix}"))
    assert element.status == "transcode"


@pytest.mark.parametrize("src", ["in/a.mov", "in", "in/.mp4", "in/a.mp4.txt"])
def test_one_file_must_be_an_mp4(store: MemoryStore, src: str) -> None:
    store.add(src)
    with pytest.raises(ParameterError, match=r"src: not \.mp4"):
        resolve(store, settings(), request(src=src))


def test_one_file_that_is_not_there_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="there is no object"):
        resolve(store, settings(), request(src="in/gone.mp4"))


def test_a_folder_is_not_its_namesakes(store: MemoryStore) -> None:
    store.add("in2/a.mp4", "in.mp4", "in/b.mp4")
    assert [element.src for element in resolve(store, settings(), request())] == ["in/b.mp4"]


def test_an_empty_folder_has_no_videos(store: MemoryStore) -> None:
    assert resolve(store, settings(), request(src="nothing/")) == ()


def test_two_sources_of_one_output_are_told_apart(store: MemoryStore) -> None:
    store.add("in/a.MOV", "in/a.mp4")
    first, second = resolve(store, settings(source_suffixes=".mp4,.mov"), request())
    assert (first.status, first.src) == ("transcode", "in/a.MOV")
    assert (second.status, second.src) == ("refused", "in/a.mp4")
    assert "'in/a.MOV'" in str(second.error)


def test_a_source_that_is_too_large_or_empty_is_refused_by_itself(store: MemoryStore) -> None:
    store.add("in/big.mp4", data=b"12345")
    store.add("in/empty.mp4", data=b"")
    store.add("in/fine.mp4", data=b"1234")
    big, empty, fine = resolve(store, settings(max_source_bytes=4), request())
    assert (big.status, empty.status, fine.status) == ("refused", "refused", "transcode")
    assert "MEDIA_MAX_SOURCE_BYTES" in str(big.error)
    assert "empty" in str(empty.error)


@pytest.mark.parametrize(
    "key", [f"in/{'n' * 300}.mp4", f"in/{'d/' * 450}name.mp4", f"in/{'中' * 100}.mp4"], ids=["name", "folders", "bytes"]
)
def test_an_output_key_that_s3_would_not_take_is_refused_by_itself(store: MemoryStore, key: str) -> None:
    store.add(key, "in/zz.mp4")
    found = {element.src: element.status for element in resolve(store, settings(), request(dst="a-long-destination/" * 8))}
    assert found == {key: "refused", "in/zz.mp4": "transcode"}


@pytest.mark.parametrize("key", ["in/x/../y.mp4", "in/./y.mp4", "in/\x01.mp4", "in/a\x7f.mp4"])
def test_a_key_that_is_refused_as_src_is_refused_in_a_folder_too(store: MemoryStore, key: str) -> None:
    store.add(key)
    (element,) = resolve(store, settings(), request())
    assert (element.status, element.src) == ("refused", key)
    assert "The name cannot be used: it must not h" in (element.error or "")


def test_more_files_than_the_cap_are_refused_with_its_name(store: MemoryStore) -> None:
    store.add(*(f"in/{number:04}.mp4" for number in range(12)))
    assert len(resolve(store, settings(max_files_per_request=12), request())) == 12
    with pytest.raises(LimitExceeded, match=r"more than 11 files.*MEDIA_MAX_FILES_PER_REQUEST"):
        resolve(store, settings(max_files_per_request=11), request())


def test_a_huge_folder_is_not_listed_to_its_end(store: MemoryStore) -> None:
    store.add(*(f"in/{number:05}.mp4" for number in range(3000)), *(f"skip/{number:05}.png" for number in range(3000)))
    with pytest.raises(LimitExceeded):
        resolve(store, settings(max_files_per_request=5), request())
    assert store.calls["listed"] < 10
    with pytest.raises(LimitExceeded):
        resolve(store, settings(max_files_per_request=5), request(src="skip/"))
    assert store.calls["listed"] < 600


# -- outputs among sources


def test_work_in_progress_is_no_source(store: MemoryStore) -> None:
    store.add("work/jobs/1/chunks/video-00000/hls0800k.mp4", "a.mp4", "work.mp4")
    found = resolve(store, settings(work_prefix="work/"), request(src="w", dst="out/").model_copy(update={"src": "work.mp4"}))
    assert [element.src for element in found] == ["work.mp4"]
    for field in ("src", "dst"):
        with pytest.raises(ParameterError, match=f"{field}: 'work/'"):
            resolve(store, settings(work_prefix="work/"), request(**{field: "work/jobs/"}))


def test_no_output_lies_in_a_folder_whose_new_objects_start_runs(store: MemoryStore) -> None:
    store.add("in/a.mp4", "in/transcode/b.mp4", "in/transcoded/c.mp4")
    with pytest.raises(ParameterError, match="dst: "):
        resolve(store, settings(), request(dst="incoming/transcode/x/"))
    found = {element.src: element.status for element in resolve(store, settings(), request(dst="incoming/"))}
    assert found == {"in/a.mp4": "transcode", "in/transcode/b.mp4": "refused", "in/transcoded/c.mp4": "transcode"}
    # Only in the bucket that is watched.
    elsewhere = settings(bucket="secret", buckets=("media",))
    assert [element.status for element in resolve(store, elsewhere, request(dst="incoming/transcode/"))] == ["transcode"] * 3


def test_outputs_in_a_folder_under_the_sources_are_no_sources(store: MemoryStore) -> None:
    store.add("in/a.mp4", "in/out/a_t0/a.mp4", "in/out/old.mp4", "in/out/b_t1/hls0800k/b00000.ts")
    (element,) = resolve(store, settings(), request(dst="in/out/", type="mp4"))
    assert element.src == "in/a.mp4"


def test_outputs_between_their_sources_are_no_sources(store: MemoryStore) -> None:
    store.add("in/a.mp4", "in/sub/b.mp4", "in/year_2016/c.mp4")
    asked = request(dst="in/", type="mp4")
    first = resolve(store, settings(), asked)
    assert [element.src for element in first] == ["in/a.mp4", "in/sub/b.mp4", "in/year_2016/c.mp4"]
    store.add(*(transcode(element).destination_key for element in first), "in/a_t0_x/hls0800k/a00000.ts", "in/a_t0_x/report.json")
    second = resolve(store, settings(), asked)
    assert [(element.src, element.status) for element in second] == [(element.src, "exist") for element in first]


def test_outputs_between_their_sources_do_not_count_for_the_cap(store: MemoryStore) -> None:
    store.add("in/a.mp4", *(f"in/a_t1/hls0800k/a{number:05}.ts" for number in range(100)))
    assert len(resolve(store, settings(max_files_per_request=2), request(dst="in/"))) == 1


# -- what exists


def test_an_output_that_is_there_exists_whatever_else_its_folder_holds(store: MemoryStore) -> None:
    store.add("in/a.mp4", "in/b.mp4", "in/c.mp4", "out/a_t1/a.m3u8", "out/b_t1/hls0800k/b.m3u8", "out/b_t2/b.m3u8")
    assert [element.status for element in resolve(store, settings(), request())] == ["exist", "transcode", "transcode"]


def test_an_output_of_the_other_type_does_not_count(store: MemoryStore) -> None:
    store.add("in/a.mp4", "out/a_t1/a.mp4")
    (element,) = resolve(store, settings(), request(type="m3u8"))
    assert element.status == "transcode"
    (element,) = resolve(store, settings(), request(type="mp4"))
    assert element.status == "exist"


def test_existence_is_told_by_one_listing_where_that_is_short(store: MemoryStore) -> None:
    store.add(
        *(f"in/{number:03}.mp4" for number in range(300)), *(f"out/{number:03}_t1/{number:03}.m3u8" for number in range(150))
    )
    elements = resolve(store, settings(), request())
    assert [element.status for element in elements] == ["exist"] * 150 + ["transcode"] * 150
    assert (store.calls["list"], store.calls["head"]) == (2, 0)


def test_existence_is_asked_one_by_one_behind_a_long_listing(store: MemoryStore) -> None:
    keys = [f"out/{number}_t1/{number}.m3u8" for number in range(30)]
    store.add(*(f"out/{number}_t1/hls0800k/{segment:05}.ts" for number in range(30) for segment in range(100)), *keys[::2])
    assert existing_keys(store, "media", keys) == set(keys[::2])
    assert store.calls["listed"] == 2001
    assert 0 < store.calls["head"] <= 30


def test_nothing_is_asked_for_nothing(store: MemoryStore) -> None:
    assert existing_keys(store, "media", []) == set()
    assert not store.calls
