"""Airflow's cluster policy, which Airflow imports by this name from here: runs that dropped objects start give way to all others.

A backlog of objects takes the places that requests of people and programs leave free, and not one more. Every process of Airflow
imports this, so it imports nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["task_instance_mutation_hook"]

# include.ingest.models.INGEST_CLIENT
INGEST = "ingest"
# More than any task's weight, so that the first task of another run goes before the last one of these.
BEHIND = 1000


def task_instance_mutation_hook(task_instance: Any, dag_run: Any) -> None:
    """Lower the priority of a task of such a run; called more than once for a task, and without a run where it is not known."""
    conf = getattr(dag_run, "conf", None)
    weight = task_instance.priority_weight
    if isinstance(conf, dict) and conf.get("client") == INGEST and weight is not None and weight >= 0:
        task_instance.priority_weight = weight - BEHIND
