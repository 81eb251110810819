"""YouTube's credentials in Airflow: one connection, whose secrets stay in the process that uses them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from include.settings import Settings
from include.uploads.youtube.errors import YouTubeAuthFailed
from include.uploads.youtube.oauth import Account

__all__ = ["async_youtube_account", "youtube_account"]


def youtube_account(settings: Settings, channel: str = "") -> Account:
    """Return the account of a task, by the channel where an upload names one; ``YouTubeAuthFailed`` where there is none."""
    try:
        return _account(Connection.get(settings.youtube_connection), channel)
    except AirflowNotFoundException:
        raise _unknown(settings) from None


async def async_youtube_account(settings: Settings, channel: str = "") -> Account:
    """Return what :func:`youtube_account` does, in the triggerer."""
    try:
        return _account(await Connection.async_get(settings.youtube_connection), channel)
    except AirflowNotFoundException:
        raise _unknown(settings) from None


def _account(connection: Any, channel: str) -> Account:
    return Account.of_connection(connection.login, connection.password, connection.extra_dejson, channel)


def _unknown(settings: Settings) -> YouTubeAuthFailed:
    return YouTubeAuthFailed(f"There is no Airflow connection {settings.youtube_connection} (MEDIA_YOUTUBE_CONNECTION).")
