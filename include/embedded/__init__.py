"""The one-machine stack: Airflow's processes and a moto server under supervisord, with all state in one folder."""

from include.embedded.lifecycle import down, status, up
from include.embedded.stack import Stack, connect

__all__ = ["Stack", "connect", "down", "status", "up"]
