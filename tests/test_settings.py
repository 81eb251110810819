"""Settings: parsing, and the page that documents them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from include.settings import Settings, render_table


def test_api_keys_are_client_key_pairs_and_stay_secret():
    settings = Settings(api_keys="alice:k1, bob:k2:with:colons")
    assert {client: key.get_secret_value() for client, key in settings.api_keys.items()} == {
        "alice": "k1",
        "bob": "k2:with:colons",
    }
    assert "k1" not in repr(settings)


@pytest.mark.parametrize("value", ["alice", ":key", "alice:"])
def test_a_broken_pair_is_refused_without_repeating_it(value):
    with pytest.raises(ValidationError, match="wants client:key pairs") as caught:
        Settings(api_keys=f"ok:secretvalue,{value}")
    assert "secretvalue" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("api_keys", "ott:secretvalue,ott:other"), ("alert_seconds", "transcode:60,transcode:90"), ("batch_instances", "q:a,q:b")],
)
def test_a_name_that_is_said_twice_is_refused_rather_than_that_the_last_one_holds(setting, value):
    with pytest.raises(ValidationError, match="no name twice") as caught:
        Settings(**{setting: value})
    assert "secretvalue" not in str(caught.value)


def test_only_configured_buckets_are_allowed():
    assert Settings(bucket="one").allows_bucket("one")
    assert not Settings(bucket="one").allows_bucket("two")
    settings = Settings(bucket="one", buckets="two,three")
    assert settings.allows_bucket("three")
    assert not settings.allows_bucket("one")


def test_the_page_lists_every_setting_as_it_is():
    page = Path(__file__).parents[1].joinpath("docs/settings.md").read_text()
    assert page.endswith(render_table()), "run: python -m include.settings, and put its table into docs/settings.md"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "plain text"])
def test_a_webhook_secret_that_others_could_not_verify_with_is_refused_without_repeating_it(secret):
    with pytest.raises(ValidationError, match="24 to 64 bytes") as caught:
        Settings(webhook_secrets=f"ott:{secret}")
    assert secret.removeprefix("whsec_") == "" or secret not in str(caught.value)


def test_signing_keys_are_client_public_private_and_stay_secret():
    settings = Settings(signing_keys="a:public-1:private-1, a:public-2:private-2")
    assert [(key.client, key.public_key, key.private_key.get_secret_value()) for key in settings.signing_keys] == [
        ("a", "public-1", "private-1"),
        ("a", "public-2", "private-2"),
    ]
    assert "private-1" not in repr(settings)


@pytest.mark.parametrize("value", ["a:b", "a:b:", ":b:c", "a::c", "a:b:secretvalue:d", "a:b:secretvalue,a:b:other"])
def test_signing_keys_that_are_wrong_are_refused_without_repeating_them(value):
    with pytest.raises(ValidationError, match="MEDIA_SIGNING_KEYS") as refused:
        Settings(signing_keys=value)
    assert "secretvalue" not in str(refused.value)


@pytest.mark.parametrize("value", ["", "work", "/work/"], ids=["empty", "no-folder", "from-the-root"])
def test_work_files_have_a_folder_of_their_own(value):
    with pytest.raises(ValidationError, match="MEDIA_WORK_PREFIX wants a folder"):
        Settings(_env_file=None, work_prefix=value)
