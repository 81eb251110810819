"""What is asked of Batch, and under which name: pure functions, whole documents."""

from __future__ import annotations

import re

import pytest

from include.orchestration.batch.names import job_name, job_prefix, slug, tag
from include.orchestration.batch.submission import Work, lane_of, submission
from include.settings import Settings
from tests.orchestration.batch.fakes import REQUEST, audio_unit, first_unit, upscale_unit

ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ein schöner Film #1", "Ein-schoner-Film-1"),
        ("放大", ""),
        ("a/../b; rm -rf /", "a-b-rm-rf"),
        ("x" * 300, "x" * 40),
        ("-a-", "a"),
    ],
)
def test_strangers_text_becomes_a_slug(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_tags_hold_no_character_that_aws_refuses() -> None:
    assert tag("manual__2026-11-20T20:00:00+00:00 ünit;") == "manual__2026-11-20T20:00:00+00:00 _nit_"
    assert len(tag("a" * 999)) == 256


def test_a_name_says_which_unit_which_version_and_for_people_which_film() -> None:
    name = job_name([audio_unit()])
    assert re.fullmatch(rf"reelflow-{REQUEST.job_id}-audio-[0-9a-f]{{8}}-Ein-schoner-Film-1", name)
    assert name.startswith(job_prefix(REQUEST.job_id))
    other = audio_unit().model_copy(update={"source": audio_unit().source.model_copy(update={"etag": "f"})})  # type: ignore[union-attr]
    assert job_name([other]) != name
    assert job_name([upscale_unit(2), upscale_unit(3)]).startswith(f"reelflow-{REQUEST.job_id}-segment-00002-x2-")
    for units in ([first_unit()], [audio_unit()], [upscale_unit()]):
        assert ALLOWED.fullmatch(job_name(units))


def test_a_submission_says_all_and_carries_no_secret() -> None:
    settings = Settings(_env_file=None, bucket="media", buckets="media,other", quality=False, api_keys="a:secret", cache_dir="/x")
    work = Work((audio_unit(),))
    environ = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "AWS_ENDPOINT_URL_S3": "http://objects:8333",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "secret",
        "AIRFLOW__CORE__FERNET_KEY": "secret",
        "MEDIA_API_KEYS": "a:secret",
    }
    document = submission(
        work, settings, queue="q", definition="Transcode:3", command=["run", "s3://media/u.json"], environ=environ,
        tags={"reelflow:run": "r"},
    )  # fmt: skip
    assert document == {
        "jobName": work.name,
        "jobQueue": "q",
        "jobDefinition": "Transcode:3",
        "containerOverrides": {
            "command": ["run", "s3://media/u.json"],
            "environment": [
                {"name": "AWS_DEFAULT_REGION", "value": "eu-central-1"},
                {"name": "AWS_ENDPOINT_URL", "value": "http://127.0.0.1:5000"},
                {"name": "AWS_ENDPOINT_URL_S3", "value": "http://objects:8333"},
                {"name": "MEDIA_BUCKET", "value": "media"},
                {"name": "MEDIA_BUCKETS", "value": "media,other"},
                {"name": "MEDIA_QUALITY", "value": "false"},
            ],
        },
        "retryStrategy": {
            "attempts": 3,
            "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}],
        },
        "timeout": {"attemptDurationSeconds": 21600},
        "tags": {"reelflow:run": "r"},
        "propagateTags": True,
    }
    assert "secret" not in str(document)


def test_on_aws_itself_a_job_is_told_of_no_endpoint_and_settings_can_be_read_back() -> None:
    settings = Settings(_env_file=None, x264_preset="fast", batch_attempts=1, unit_timeout_seconds=5)
    document = submission(
        Work((audio_unit(),)), settings, queue="q", definition="d", command=["run", "u"], size=4, environ={}, tags={}
    )
    given = {one["name"]: one["value"] for one in document["containerOverrides"]["environment"]}
    assert given == {"MEDIA_X264_PRESET": "fast", "MEDIA_UNIT_TIMEOUT_SECONDS": "5"}
    assert document["arrayProperties"] == {"size": 4}
    assert document["retryStrategy"]["attempts"] == 1
    assert document["timeout"] == {"attemptDurationSeconds": 60}, "Batch takes no less"


@pytest.mark.parametrize(
    ("unit", "cpu_env", "queue", "definition"),
    [
        (upscale_unit(env="spot"), "onDemand", "SuperResolution_queue_Spot", "SuperResolution"),
        (upscale_unit(env="onDemand"), "spot", "SuperResolution_queue_onDemand", "SuperResolution"),
        (audio_unit(), "spot", "Transcode_queue_Spot", "Transcode"),
        (first_unit(), "onDemand", "Transcode_queue_onDemand", "Transcode"),
    ],
    ids=["upscale spot", "upscale onDemand", "audio", "plan"],
)
def test_the_queue_follows_from_the_kind_and_env(unit, cpu_env: str, queue: str, definition: str) -> None:
    lane = lane_of(Work((unit,)), Settings(_env_file=None, batch_cpu_env=cpu_env))
    assert (lane.queue, lane.definition) == (queue, definition)
    assert set(lane.queues) == {lane.spot, lane.on_demand}
    assert lane.queues[0] == queue


def test_kinds_of_units_are_checked() -> None:
    assert Settings(_env_file=None, batch_units="upscale, video").batch_units == ("upscale", "video")
    with pytest.raises(ValueError, match="batch_units"):
        Settings(_env_file=None, batch_units="upscale,films")
