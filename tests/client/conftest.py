from __future__ import annotations

from tests.media_api.conftest import airflow, settings, store, tables

__all__ = ["airflow", "settings", "store", "tables"]
