"""Servers that take metrics: StatsD over UDP, and OpenTelemetry over HTTP."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA

__all__ = ["Line", "OtlpServer", "Point", "StatsdServer", "otlp_server", "statsd_server"]


@dataclass(frozen=True)
class Line:
    """One StatsD metric in InfluxDB's notation: ``name,tag=value,…:1|c``."""

    name: str
    tags: str
    value: float
    type: str


@dataclass
class StatsdServer:
    port: int
    taken: list[bytes] = field(default_factory=list)

    def lines(self, prefix: str = "") -> list[Line]:
        """Return what has come so far."""
        return [line for line in map(_line, b"\n".join(self.taken).decode().splitlines()) if line.name.startswith(prefix)]


def _line(text: str) -> Line:
    head, _, rest = text.partition(":")
    name, _, tags = head.partition(",")
    value, kind, *_ = rest.split("|")
    return Line(name, tags, float(value), kind)


@contextmanager
def statsd_server() -> Iterator[StatsdServer]:
    """Listen on loopback; what has been sent by the end is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 2**20)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.2)
        server, over = StatsdServer(listener.getsockname()[1]), threading.Event()

        def listen() -> None:
            while True:
                try:
                    server.taken.append(listener.recv(65535))
                except TimeoutError:
                    if over.is_set():
                        return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            thread.join()


@dataclass(frozen=True)
class Point:
    """One data point; ``sum`` of a counter or a histogram, or the value of a gauge."""

    name: str
    tags: Mapping[str, str]
    sum: float
    count: int
    is_delta: bool


@dataclass
class OtlpServer:
    url: str
    requests: list[ExportMetricsServiceRequest] = field(default_factory=list)

    def points(self, prefix: str = "") -> list[Point]:
        """Return what has come so far."""
        return [
            point
            for request in list(self.requests)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name.startswith(prefix)
            for point in _points(metric)
        ]

    def total(self, name: str, tags: Mapping[str, str]) -> float:
        """Return the sum over all deltas of a counter."""
        return sum(point.sum for point in self.points(name) if point.name == name and tags.items() <= point.tags.items())


def _points(metric) -> Iterator[Point]:  # type: ignore[no-untyped-def]
    data = getattr(metric, metric.WhichOneof("data"))
    is_delta = getattr(data, "aggregation_temporality", None) == AGGREGATION_TEMPORALITY_DELTA
    for point in data.data_points:
        tags = {item.key: item.value.string_value for item in point.attributes}
        if hasattr(point, "sum"):
            yield Point(metric.name, tags, point.sum, point.count, is_delta)
        else:
            yield Point(metric.name, tags, point.as_double or point.as_int, 1, is_delta)


@contextmanager
def otlp_server() -> Iterator[OtlpServer]:
    """Serve ``/v1/metrics`` on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                found.requests.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = OtlpServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
