"""A stand-in of Prometheus' statsd-exporter: counters, gauges, timings, InfluxDB's tags, the exact names of a mapping file."""

from __future__ import annotations

import re
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

OPTIONS = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
DOCUMENT = yaml.safe_load(Path(OPTIONS["statsd.mapping-config"]).read_text())
BUCKETS = DOCUMENT["defaults"]["histogram_options"]["buckets"]
RULES = {rule["match"]: rule for rule in DOCUMENT["mappings"] if rule.get("action") != "drop"}
LINE = re.compile(r"^(?P<name>[^,:]+)(?P<tags>(?:,[^:]*)?):(?P<value>[^|]+)\|(?P<type>[a-z]+)")

lock = threading.Lock()
types: dict[str, str] = {}
values: dict[str, dict[str, float]] = {}
dropped: dict[str, int] = {}


def take(line: str) -> None:
    """Count what a line of StatsD says."""
    found = LINE.match(line)
    if not found:
        return
    rule = RULES.get(found["name"])
    if rule is None:
        dropped[found["name"]] = dropped.get(found["name"], 0) + 1
        return
    tags = dict(tag.split("=", 1) for tag in found["tags"].split(",")[1:]) | rule.get("labels", {})
    name, text = rule["name"], found["value"]
    if found["type"] == "c":
        types[name] = "counter"
        add(name, tags, float(text))
    elif found["type"] == "g":
        types[name] = "gauge"
        if text[0] in "+-":
            add(name, tags, float(text))
        else:
            values.setdefault(name, {})[labels(tags)] = float(text)
    else:
        types[name] = "histogram"
        seconds = float(text) / 1000
        for bound in [*BUCKETS, float("inf")]:
            add(f"{name}_bucket", tags | {"le": "+Inf" if bound == float("inf") else f"{bound:g}"}, float(seconds <= bound))
        add(f"{name}_sum", tags, seconds)
        add(f"{name}_count", tags, 1)


def add(name: str, tags: dict[str, str], amount: float) -> None:
    """Add to one series."""
    series = values.setdefault(name, {})
    key = labels(tags)
    series[key] = series.get(key, 0.0) + amount


def labels(tags: dict[str, str]) -> str:
    """Return tags as Prometheus writes labels."""
    return ",".join(f'{name}="{value}"' for name, value in sorted(tags.items()))


class Udp(socketserver.BaseRequestHandler):
    """Receives lines."""

    def handle(self) -> None:
        """Take the lines of one packet."""
        with lock:
            for line in self.request[0].decode(errors="replace").splitlines():
                take(line)


class Http(BaseHTTPRequestHandler):
    """Answers every GET with all series."""

    def do_GET(self) -> None:
        """Write them in Prometheus' text format."""
        with lock:
            lines = [f"# TYPE {name} {kind}" for name, kind in sorted(types.items())]
            lines += [f"{name}{{{key}}} {value:g}" for name, series in sorted(values.items()) for key, value in series.items()]
            lines += [f'stand_in_dropped{{name="{name}"}} {count}' for name, count in sorted(dropped.items())]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print no line per scrape."""


udp = socketserver.ThreadingUDPServer(("0.0.0.0", int(OPTIONS["statsd.listen-udp"].rpartition(":")[2])), Udp)
threading.Thread(target=udp.serve_forever, daemon=True).start()
ThreadingHTTPServer(("0.0.0.0", int(OPTIONS["web.listen-address"].rpartition(":")[2])), Http).serve_forever()
