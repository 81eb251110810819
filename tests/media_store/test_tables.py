"""The tables of contract 3 in moto."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from include.compose import templates
from include.compose.setup import INFRA
from include.compose.setup import make_tables as make_templates_tables
from include.errors import ObjectExists, StorageError
from include.media_store.tables import DynamoTables, make_tables, sweep_nonces
from include.settings import Settings

SETTINGS = Settings(_env_file=None, nonces_table="n", profiles_table="p")  # type: ignore[call-arg]


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


@pytest.fixture
def tables(dynamodb: Any) -> DynamoTables:
    make_tables(SETTINGS, dynamodb)
    return DynamoTables(SETTINGS, client=dynamodb)


def soon() -> int:
    return int(time.time()) + 300


def test_a_nonce_is_taken_once_per_key(tables: DynamoTables) -> None:
    assert tables.claim_nonce("demo:public", "42", soon()) is True
    assert tables.claim_nonce("demo:public", "42", soon()) is False
    assert tables.claim_nonce("demo:public", "43", soon()) is True
    assert tables.claim_nonce("demo:another", "42", soon()) is True


def test_a_nonce_is_taken_though_the_first_answer_is_lost(
    tables: DynamoTables, dynamodb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK then asks again."""
    put = dynamodb.put_item
    with monkeypatch.context() as forgetful:
        forgetful.setattr(dynamodb, "put_item", lambda **arguments: (put(**arguments), put(**arguments)))
        assert tables.claim_nonce("demo:public", "42", soon()) is True
    assert tables.claim_nonce("demo:public", "42", soon()) is False


def test_a_nonce_that_has_expired_may_be_taken_again(tables: DynamoTables) -> None:
    """DynamoDB removes expired items within days."""
    assert tables.claim_nonce("demo:public", "42", int(time.time()) - 2) is True
    assert tables.claim_nonce("demo:public", "42", soon()) is True
    assert tables.claim_nonce("demo:public", "42", soon()) is False


def test_expired_nonces_are_swept_out_where_nothing_else_does(tables: DynamoTables, dynamodb: Any) -> None:
    for number in range(30):
        tables.claim_nonce("old", f"{number}", int(time.time()) - 2)
        tables.claim_nonce("new", f"{number}", soon())
    assert sweep_nonces(SETTINGS, dynamodb) == 30
    assert sweep_nonces(SETTINGS, dynamodb) == 0
    assert tables.claim_nonce("new", "1", soon()) is False


def test_of_many_at_once_one_gets_the_nonce(tables: DynamoTables) -> None:
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(tables.claim_nonce("k", "1", soon()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]


def test_profiles_are_kept_by_client_and_name(tables: DynamoTables) -> None:
    tables.add_profile("demo", "b", {"x": [1, None, "ü"]})
    tables.add_profile("demo", "a", {"x": 2})
    tables.add_profile("other", "a", {"x": 3})
    assert tables.get_profile("demo", "b") == {"x": [1, None, "ü"]}
    assert tables.list_profiles("demo") == [{"x": 2}, {"x": [1, None, "ü"]}]
    assert tables.get_profile("other", "b") is None
    assert (tables.delete_profile("demo", "a"), tables.delete_profile("demo", "a")) == (True, False)
    assert tables.get_profile("other", "a") == {"x": 3}
    assert tables.list_profiles("nobody") == []


def test_a_profile_takes_no_others_place(tables: DynamoTables) -> None:
    tables.add_profile("demo", "a", {"x": 1, "y": 2})
    tables.add_profile("demo", "a", {"y": 2, "x": 1})
    with pytest.raises(ObjectExists):
        tables.add_profile("demo", "a", {"x": 2})
    assert tables.get_profile("demo", "a") == {"x": 1, "y": 2}


def test_all_profiles_are_listed_however_many_pages(tables: DynamoTables) -> None:
    for number in range(30):
        tables.add_profile("demo", f"{number:02}", {"number": number, "long": "x" * 50_000})
    assert [profile["number"] for profile in tables.list_profiles("demo")] == list(range(30))


def test_tables_that_are_there_stay(tables: DynamoTables, dynamodb: Any) -> None:
    tables.add_profile("demo", "a", {"x": 1})
    make_tables(SETTINGS, dynamodb)
    assert tables.get_profile("demo", "a") == {"x": 1}


def test_the_tables_that_the_templates_make_are_these(dynamodb: Any) -> None:
    make_templates_tables(dynamodb, templates.tables(templates.load(INFRA / "tables.yaml")))
    make_tables(SETTINGS, dynamodb)
    for ours, theirs in (("n", "reelflow-nonces"), ("p", "reelflow-profiles")):
        keys = [dynamodb.describe_table(TableName=name)["Table"]["KeySchema"] for name in (ours, theirs)]
        assert keys[0] == keys[1]
    expiry = dynamodb.describe_time_to_live(TableName="reelflow-nonces")["TimeToLiveDescription"]
    assert expiry["AttributeName"] == "expires_at"


def test_a_table_that_is_missing_or_does_not_answer_is_an_error_of_ours(dynamodb: Any) -> None:
    missing = DynamoTables(SETTINGS, client=dynamodb)
    closed = boto3.client(
        "dynamodb", region_name="us-east-1", endpoint_url="http://127.0.0.1:9", aws_access_key_id="a", aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    for tables in (missing, DynamoTables(SETTINGS, client=closed)):
        with pytest.raises(StorageError) as raised:
            tables.claim_nonce("k", "1", soon())
        assert "127.0.0.1" not in raised.value.message
