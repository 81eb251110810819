"""From what is emitted to what is drawn: no panel asks for a metric that nobody sends."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.orchestration.metric_names import METRICS
from tests.compose.files import MONITORING, compose, services

PREFIX = "airflow."
# In Airflow's registry, but sent by nothing in 3.3: tasks are started through the execution API, which does not.
NEVER_SENT = {"task.queued_duration", "dagrun.first_task_start_delay"}
# Of a histogram Prometheus has these three; their names end so.
HISTOGRAM = ("_bucket", "_sum", "_count")
# Functions, operators and the rest of PromQL that look like names.
PROMQL = {"sum", "max", "by", "le", "rate", "increase", "histogram_quantile", "or", "vector", "unless", "absent"}


@cache
def airflow_registry() -> dict[str, dict[str, Any]]:
    """Airflow's own list of what it emits."""
    found = find_spec("airflow")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "sdk/_shared/observability/metrics/metrics_template.yaml"
    return {metric["name"]: metric for metric in yaml.safe_load(path.read_text())["metrics"]}


@cache
def mappings() -> list[dict[str, Any]]:
    return [rule for rule in yaml.safe_load((MONITORING / "statsd.yaml").read_text())["mappings"] if rule.get("action") != "drop"]


def emitted(match: str) -> str:
    """Return the type of what a rule matches: counter, gauge, timer."""
    name = match.removeprefix(PREFIX)
    assert name != match, f"{match}: what Airflow's client sends begins with its prefix"
    if name in METRICS:
        return "timer" if METRICS[name].type == "timing" else METRICS[name].type
    assert name not in NEVER_SENT, f"Airflow lists {name}, but does not send it"
    assert name in airflow_registry(), f"neither Airflow nor we emit {name}"
    return str(airflow_registry()[name]["type"])


def dashboards() -> list[Path]:
    return sorted((MONITORING / "dashboards").glob("*.json"))


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    found = [(panel["title"], target["expr"]) for path in dashboards() for panel in panels(path) for target in panel["targets"]]
    return found + alerts()


def alerts() -> list[tuple[str, str]]:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def names_in(expression: str) -> set[str]:
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without)\s*\([^)]*\)|\boffset \w+', " ", expression)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - PROMQL


def series() -> dict[str, set[str]]:
    """Return what Prometheus will have, with the labels that it has: those of the tags, and of the rule."""
    found: dict[str, set[str]] = {}
    for rule in mappings():
        kind = emitted(rule["match"])
        name = rule["name"]
        labels = set(rule.get("labels", {})) | tags_of(rule["match"].removeprefix(PREFIX))
        for made in [name + suffix for suffix in HISTOGRAM] if kind == "timer" else [name]:
            found.setdefault(made, set()).update(labels | ({"le"} if made.endswith("_bucket") else set()))
    return found


def tags_of(name: str) -> set[str]:
    if name in METRICS:
        return set(METRICS[name].tags)
    return set(airflow_registry()[name]["name_variables"]) | {"dag_id", "task_id", "run_type", "queue"}


@pytest.mark.parametrize("rule", mappings(), ids=lambda rule: rule["match"])
def test_every_rule_matches_something_that_is_emitted_and_names_it_by_its_type(rule: dict[str, Any]) -> None:
    kind = emitted(rule["match"])
    assert rule["name"].endswith("_total") == (kind == "counter")
    if kind == "timer":
        assert rule["name"].endswith("_seconds")
    assert rule["name"].startswith("airflow_" if rule["match"].removeprefix(PREFIX) in airflow_registry() else "reelflow_")


def test_everything_that_we_emit_is_kept() -> None:
    assert {PREFIX + name for name in METRICS} <= {rule["match"] for rule in mappings()}


def test_an_alert_of_a_single_event_sees_the_first_one_too_with_which_its_counter_comes_into_being() -> None:
    found = 0
    for title, expression in alerts():
        for counter in re.findall(r"increase\(([^\[]+)\[30m\]\) > 0", expression):
            found += 1
            assert f"or ({counter} unless {counter} offset 30m)" in expression, title
    assert found == 2


def test_a_scheduler_that_has_never_beaten_is_silent() -> None:
    assert "or absent(airflow_scheduler_heartbeat_total)" in dict(alerts())["SchedulerSilent"]


def test_nobody_is_sent_to_a_metric_that_airflow_lists_and_does_not_send() -> None:
    named = {name for metric in METRICS.values() for name in re.findall(r"`([a-z_.]+)`", metric.meaning)}
    assert named & set(airflow_registry())
    assert not named & NEVER_SENT


def test_what_has_no_rule_is_dropped_lest_airflows_names_grow_without_end() -> None:
    last = yaml.safe_load((MONITORING / "statsd.yaml").read_text())["mappings"][-1]
    assert (last["match"], last["match_type"], last["action"]) == (".", "regex", "drop")


@pytest.mark.parametrize(("title", "expression"), queries(), ids=lambda value: value if " " not in value else None)
def test_every_query_asks_for_what_there_is_and_by_labels_that_it_has(title: str, expression: str) -> None:
    known = series()
    asked = names_in(expression)
    assert asked, f"{title}: {expression}"
    assert asked <= set(known), f"{title} asks for what nobody sends: {asked - set(known)}"
    labels = {label for match in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*[=!]", match)}
    labels |= {label.strip() for match in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expression) for label in match.split(",")}
    assert labels <= set.union(*(known[name] for name in asked)), f"{title}: {labels}"
    for name in asked:
        rated = re.search(rf"(rate|increase)\({name}\b", expression)
        assert bool(rated) == name.endswith(("_total", *HISTOGRAM)), f"{title}: {name} is a counter, or is none"


@pytest.mark.parametrize("expression", [expression for _, expression in queries()])
def test_brackets_of_queries_match(expression: str) -> None:
    closing = {")": "(", "]": "[", "}": "{"}
    stack: list[str] = []
    for character in re.sub(r'"[^"]*"', "", expression):
        if character in "([{":
            stack.append(character)
        elif character in closing:
            assert stack.pop() == closing[character]
    assert not stack


def test_the_dashboard_shows_runs_units_fps_queue_times_and_failures() -> None:
    asked = set.union(
        *(names_in(target["expr"]) for path in dashboards() for panel in panels(path) for target in panel["targets"])
    )
    assert asked >= {
        "reelflow_runs_total",
        "reelflow_units_total",
        "reelflow_frames_total",
        "airflow_task_scheduled_seconds_bucket",
        "reelflow_unit_wait_seconds_bucket",
        "reelflow_failures_total",
    }


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.name)
def test_a_dashboard_can_be_loaded(path: Path) -> None:
    document = json.loads(path.read_text())
    assert document["uid"]
    every = document["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken = set()
    for panel in every:
        where = panel["gridPos"]
        assert where["x"] + where["w"] <= 24
        cells = {(x, y) for x in range(where["x"], where["x"] + where["w"]) for y in range(where["y"], where["y"] + where["h"])}
        assert not taken & cells, f"{panel['title']} lies on another panel"
        taken |= cells
    sources = yaml.safe_load((MONITORING / "grafana/datasources/prometheus.yaml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels(path)} == {source["uid"] for source in sources}


def test_the_parts_find_each_other() -> None:
    environment = compose()["x-airflow"]["environment"]
    exporter = services()["statsd-exporter"]["command"]
    assert f"--statsd.listen-udp=:{environment['AIRFLOW__METRICS__STATSD_PORT']}" in exporter
    assert environment["AIRFLOW__METRICS__STATSD_HOST"] == "statsd-exporter"
    assert environment["AIRFLOW__METRICS__STATSD_PREFIX"] + "." == PREFIX
    # Without tags in InfluxDB's notation the labels would be lost, with old names everything would be there twice.
    assert environment["AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED"] == "True"
    assert environment["AIRFLOW__METRICS__LEGACY_NAMES_ON"] == "False"
    targets = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == ["statsd-exporter:9102"]
    assert "--web.listen-address=:9102" in exporter
