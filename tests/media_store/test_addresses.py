"""Addresses for browsers: what they read, and how long they stay the same."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest

from include.media_store.addresses import Addresses
from include.media_store.objects import S3ObjectStore
from include.settings import Settings
from tests.servers import S3Server


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def settings(s3: S3Server) -> Settings:
    return Settings(_env_file=None, pages_address_seconds=600)  # type: ignore[call-arg]


def test_an_address_reads_the_object_and_a_download_bears_its_name(settings: Settings, store: S3ObjectStore, bucket: str) -> None:
    key = f"out/{uuid.uuid4().hex[:8]} #1/Glück 中+.mp4"
    store.put_bytes(bucket, key, b"film")
    addresses = Addresses(settings)
    with urllib.request.urlopen(addresses.of(bucket, key), timeout=30) as answer:
        assert answer.read() == b"film"
    download = parse_qs(urlsplit(addresses.of(bucket, key, download=True)).query)
    assert download["response-content-disposition"] == ["attachment; filename*=UTF-8''Gl%C3%BCck%20%E4%B8%AD%2B.mp4"]
    assert download["X-Amz-Expires"] == ["600"]
    # It is for this object, and for reading alone.
    other = addresses.of(bucket, key).replace("Gl%C3%BCck", "other")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(other, timeout=30)


def test_addresses_stay_for_half_of_their_life(settings: Settings) -> None:
    clock = Clock()
    addresses = Addresses(settings, clock=clock)
    made: list[str] = []
    addresses._signed = lambda *_: made.append("x") or f"address {len(made)}"  # type: ignore[method-assign,func-returns-value]
    first = addresses.of("media", "a.jpg", "1")
    clock.now = 299
    assert addresses.of("media", "a.jpg", "1") == first
    assert addresses.of("media", "a.jpg", "2") != first
    clock.now = 301
    assert addresses.of("media", "a.jpg", "1") != first


def test_addresses_are_those_of_the_credentials_of_now(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = Addresses(settings)
    first = addresses.of("media", "a.jpg")
    assert addresses.of("media", "a.jpg") == first
    monkeypatch.setattr(addresses, "_holder", lambda: "the next credentials")
    assert addresses._known
    addresses.of("media", "a.jpg")
    assert len(addresses._known) == 2


def test_browsers_get_the_address_that_they_reach(settings: Settings) -> None:
    outside = settings.model_copy(update={"upload_endpoint_url": "https://s3.example:9000"})
    assert Addresses(outside).of("media", "a b.jpg").startswith("https://s3.example:9000/media/a%20b.jpg?")
