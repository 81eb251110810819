"""DynamoDB tables of contract 3: nonces of signed requests, and the profiles that clients have made."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from include.errors import ObjectExists, StorageError
from include.media_store.client import dynamodb_client
from include.media_store.errors import error_code
from include.settings import Settings

__all__ = ["DynamoTables", "Tables", "make_tables", "sweep_nonces"]

EXPIRY = "expires_at"
_TAKEN = "ConditionalCheckFailedException"


class Tables(Protocol):
    """What the API keeps beside Airflow and S3. Every method raises ``StorageError`` where the tables do not answer.

    Methods may be called from several threads, and by several API servers that share the tables.
    """

    def claim_nonce(self, key: str, nonce: str, expires_at: int) -> bool:
        """Take ``nonce`` of a signing key until ``expires_at`` (UTC seconds); ``False`` where somebody has taken it before."""
        ...

    def get_profile(self, client: str, name: str) -> Mapping[str, Any] | None:
        """Return a client's profile, or ``None`` where it has none of that name."""
        ...

    def list_profiles(self, client: str) -> list[Mapping[str, Any]]:
        """Return all profiles of a client, by name."""
        ...

    def add_profile(self, client: str, name: str, profile: Mapping[str, Any]) -> None:
        """Keep a profile; raises ``ObjectExists`` where the client has another one of that name."""
        ...

    def delete_profile(self, client: str, name: str) -> bool:
        """Remove a profile; ``False`` where there was none."""
        ...


class DynamoTables:
    """:class:`Tables` in DynamoDB, or in any server that speaks its protocol."""

    def __init__(self, settings: Settings, *, client: Any = None) -> None:
        self._client = client or dynamodb_client()
        self._nonces = settings.nonces_table
        self._profiles = settings.profiles_table

    def claim_nonce(self, key: str, nonce: str, expires_at: int) -> bool:
        """Take ``nonce``; see :meth:`Tables.claim_nonce`."""
        # The SDK asks again where an answer was lost, and then meets its own item.
        claim = {"S": uuid.uuid4().hex}
        try:
            with _translated(self._nonces):
                self._client.put_item(
                    TableName=self._nonces,
                    Item={"public_key": {"S": key}, "nonce": {"S": nonce}, EXPIRY: {"N": str(expires_at)}, "claim": claim},
                    # DynamoDB removes what has expired within days, not at once.
                    ConditionExpression="attribute_not_exists(nonce) OR expires_at < :now OR claim = :claim",
                    ExpressionAttributeValues={":now": {"N": str(int(time.time()))}, ":claim": claim},
                )
        except ObjectExists:
            return False
        return True

    def get_profile(self, client: str, name: str) -> Mapping[str, Any] | None:
        """Return a client's profile; see :meth:`Tables.get_profile`."""
        with _translated(self._profiles):
            # Consistent: a profile may be used as soon as it has been made.
            answer = self._client.get_item(TableName=self._profiles, Key=_profile_key(client, name), ConsistentRead=True)
        return _document(answer["Item"]) if "Item" in answer else None

    def list_profiles(self, client: str) -> list[Mapping[str, Any]]:
        """Return all profiles of a client; see :meth:`Tables.list_profiles`."""
        with _translated(self._profiles):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._profiles,
                KeyConditionExpression="client = :client",
                ExpressionAttributeValues={":client": {"S": client}},
                ConsistentRead=True,
            )
            return [_document(item) for page in pages for item in page["Items"]]

    def add_profile(self, client: str, name: str, profile: Mapping[str, Any]) -> None:
        """Keep a profile; see :meth:`Tables.add_profile`."""
        text = json.dumps(profile, sort_keys=True)
        with _translated(self._profiles):
            self._client.put_item(
                TableName=self._profiles,
                Item=_profile_key(client, name) | {"document": {"S": text}},
                ConditionExpression="attribute_not_exists(profile_name) OR document = :document",
                ExpressionAttributeValues={":document": {"S": text}},
            )

    def delete_profile(self, client: str, name: str) -> bool:
        """Remove a profile; see :meth:`Tables.delete_profile`."""
        with _translated(self._profiles):
            answer = self._client.delete_item(TableName=self._profiles, Key=_profile_key(client, name), ReturnValues="ALL_OLD")
        return bool(answer.get("Attributes"))


def make_tables(settings: Settings, client: Any = None) -> None:
    """Make both tables in a server that has none (moto); on AWS ``infra/tables.yaml`` makes them."""
    client = client or dynamodb_client()
    for name, keys in ((settings.nonces_table, ("public_key", "nonce")), (settings.profiles_table, ("client", "profile_name"))):
        try:
            client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
                KeySchema=[
                    {"AttributeName": keys[0], "KeyType": "HASH"},
                    {"AttributeName": keys[1], "KeyType": "RANGE"},
                ],
            )
        except ClientError as error:
            if error_code(error) != "ResourceInUseException":
                raise


def sweep_nonces(settings: Settings, client: Any = None) -> int:
    """Remove expired nonces where nobody else does (moto), and return how many there were."""
    client = client or dynamodb_client()
    pages = client.get_paginator("scan").paginate(
        TableName=settings.nonces_table,
        FilterExpression="expires_at < :now",
        ExpressionAttributeValues={":now": {"N": str(int(time.time()))}},
    )
    keys = [{name: item[name] for name in ("public_key", "nonce")} for page in pages for item in page["Items"]]
    for key in keys:
        client.delete_item(TableName=settings.nonces_table, Key=key)
    return len(keys)


def _profile_key(client: str, name: str) -> dict[str, Any]:
    return {"client": {"S": client}, "profile_name": {"S": name}}


def _document(item: Mapping[str, Any]) -> Mapping[str, Any]:
    document = json.loads(item["document"]["S"])
    if not isinstance(document, dict):
        raise StorageError("A profile in the table is no document; delete it and make it again.")
    return document


@contextmanager
def _translated(table: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) == _TAKEN:
            raise ObjectExists(f"The table {table} has another item of this key.") from error
        raise StorageError(f"The table {table} answered {error_code(error) or 'an error without a code'}.") from error
    except BotoCoreError as error:
        raise StorageError(f"The table {table} did not answer ({type(error).__name__}).") from error
