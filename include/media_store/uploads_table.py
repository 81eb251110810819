"""The DynamoDB table of uploads: attributes that hold JSON text, each changed by itself and only from what was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from include.errors import ObjectExists, StorageError
from include.media_store.client import dynamodb_client
from include.media_store.errors import error_code
from include.settings import Settings

__all__ = ["DynamoUploadsTable", "UploadsTable", "make_uploads_table"]

EXPIRY = "expires_at"
_KEYS = ("atom_id", "upload_id")


class UploadsTable(Protocol):
    """Items named by atom and upload. Every method raises ``StorageError`` where the table does not answer.

    Methods may be called from several threads and by several processes that share the table.
    """

    def create(self, atom_id: str, upload_id: str, attributes: Mapping[str, str], expires_at: int) -> None:
        """Keep a new item until ``expires_at`` (epoch seconds); ``ObjectExists`` where there is one."""
        ...

    def get(self, atom_id: str, upload_id: str, *, consistent: bool = True) -> dict[str, str] | None:
        """Return an item's attributes, or ``None``; inconsistent reads cost half as much and may be a second old."""
        ...

    def list(self, atom_id: str) -> list[tuple[str, dict[str, str]]]:
        """Return ids and attributes of all items of an atom, greatest id first; eventually consistent."""
        ...

    def replace(self, atom_id: str, upload_id: str, name: str, *, old: str | None, new: str) -> bool:
        """Set one attribute that still is ``old`` (``None``: absent); ``False`` where it is not, or there is no item."""
        ...


class DynamoUploadsTable:
    """:class:`UploadsTable` in DynamoDB, or in any server that speaks its protocol."""

    def __init__(self, settings: Settings, *, client: Any = None) -> None:
        self._client = client or dynamodb_client()
        self._table = settings.uploads_table

    def create(self, atom_id: str, upload_id: str, attributes: Mapping[str, str], expires_at: int) -> None:
        """Keep a new item; see :meth:`UploadsTable.create`."""
        item = _key(atom_id, upload_id) | {name: {"S": value} for name, value in attributes.items()}
        try:
            with self._translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=item | {EXPIRY: {"N": str(expires_at)}},
                    ConditionExpression="attribute_not_exists(upload_id)",
                )
        except _ConditionFailed as error:
            # Where an answer was lost the SDK has asked again, and what is there is what was to be written.
            if self.get(atom_id, upload_id) == dict(attributes):
                return
            raise ObjectExists(f"There is an upload {upload_id} already.") from error

    def get(self, atom_id: str, upload_id: str, *, consistent: bool = True) -> dict[str, str] | None:
        """Return an item's attributes; see :meth:`UploadsTable.get`."""
        with self._translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(atom_id, upload_id), ConsistentRead=consistent)
        return _attributes(answer["Item"]) if "Item" in answer else None

    def list(self, atom_id: str) -> list[tuple[str, dict[str, str]]]:
        """Return an atom's items; see :meth:`UploadsTable.list`."""
        with self._translated():
            pages = self._client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="atom_id = :atom",
                ExpressionAttributeValues={":atom": {"S": atom_id}},
                ScanIndexForward=False,
            )
            return [(item["upload_id"]["S"], _attributes(item)) for page in pages for item in page["Items"]]

    def replace(self, atom_id: str, upload_id: str, name: str, *, old: str | None, new: str) -> bool:
        """Set one attribute; see :meth:`UploadsTable.replace`."""
        condition = "attribute_exists(upload_id) AND " + ("attribute_not_exists(#name)" if old is None else "#name = :old")
        try:
            with self._translated():
                self._client.update_item(
                    TableName=self._table,
                    Key=_key(atom_id, upload_id),
                    UpdateExpression="SET #name = :new",
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#name": name},
                    ExpressionAttributeValues={":new": {"S": new}} | ({} if old is None else {":old": {"S": old}}),
                )
        except _ConditionFailed:
            return False
        return True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                raise _ConditionFailed from error
            raise StorageError(f"The table {self._table} answered {error_code(error) or 'an error without a code'}.") from error
        except BotoCoreError as error:
            raise StorageError(f"The table {self._table} did not answer ({type(error).__name__}).") from error


class _ConditionFailed(Exception):
    """The item is not what the condition says."""


def make_uploads_table(settings: Settings, client: Any = None) -> None:
    """Make the table in a server that has none (moto); on AWS ``infra/tables.yaml`` makes it."""
    client = client or dynamodb_client()
    try:
        client.create_table(
            TableName=settings.uploads_table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in _KEYS],
            KeySchema=[{"AttributeName": _KEYS[0], "KeyType": "HASH"}, {"AttributeName": _KEYS[1], "KeyType": "RANGE"}],
        )
    except ClientError as error:
        if error_code(error) != "ResourceInUseException":
            raise


def _key(atom_id: str, upload_id: str) -> dict[str, Any]:
    return {"atom_id": {"S": atom_id}, "upload_id": {"S": upload_id}}


def _attributes(item: Mapping[str, Any]) -> dict[str, str]:
    # Attributes of another kind are another writer's.
    return {name: value["S"] for name, value in item.items() if name not in _KEYS and "S" in value}
