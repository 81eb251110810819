from __future__ import annotations

import pytest

from include.uploads.youtube.errors import YouTubeAuthFailed
from include.uploads.youtube.oauth import Account


def test_a_channel_has_a_refresh_token_of_its_own() -> None:
    extra = {"refresh_token": "of-default", "channels": {"UC1": "of-one"}}
    assert Account.of_connection("id", "secret", extra, "UC1").refresh_token.get_secret_value() == "of-one"
    assert Account.of_connection("id", "secret", extra).refresh_token.get_secret_value() == "of-default"


def test_an_unknown_channel_is_an_error_that_names_it() -> None:
    with pytest.raises(YouTubeAuthFailed, match="UC2"):
        Account.of_connection("id", "secret", {"refresh_token": "of-default"}, "UC2")


def test_what_the_connection_lacks_is_named() -> None:
    with pytest.raises(YouTubeAuthFailed, match=r"password.*refresh_token"):
        Account.of_connection("id", None, {})


def test_tokens_are_fetched_over_https_only() -> None:
    with pytest.raises(YouTubeAuthFailed, match="wrong form"):
        Account.of_connection("id", "secret", {"refresh_token": "token", "token_url": "http://tokens.example/"})


def test_secrets_are_not_shown() -> None:
    assert "of-default" not in repr(Account.of_connection("id", "hidden", {"refresh_token": "of-default"}))
