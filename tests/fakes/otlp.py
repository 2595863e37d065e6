"""A real OpenTelemetry collector (rotel), and a receiver that keeps what it is sent."""

from __future__ import annotations

import gzip
import http.server
import importlib.util
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fakes.processes import LOOPBACK, ProcessFailedError, Program, free_port
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics

START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Point:
    """One number as a receiver sees it."""

    metric: str
    attributes: dict[str, str]
    value: float
    unix_seconds: float
    total_since_unix_seconds: float | None = None
    """Of a total that cannot fall: since when it counts; 0 is not known."""


@dataclass(slots=True)
class Sink:
    """A receiver of OTLP over HTTP; usable as a context manager."""

    resources: list[ResourceMetrics] = field(default_factory=list)
    """Everything that came, in the order of its coming."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each request, names in lower case."""
    status: int = 200
    wait_seconds: float = 0.0
    rejected: int = 0
    """Points of each request that it says it did not want."""
    port: int = field(default_factory=free_port)
    _server: http.server.ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sink.take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def points(self) -> list[Point]:
        """Every number that came."""
        return [point for resource in list(self.resources) for point in _points(resource)]

    def take(self, request: http.server.BaseHTTPRequestHandler) -> None:
        """Keep what came, and answer."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        time.sleep(self.wait_seconds)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.status == 200:
            self.resources += ExportMetricsServiceRequest.FromString(body).resource_metrics
        answer = ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = self.rejected
        said = answer.SerializeToString()
        request.send_response(self.status)
        request.send_header("Content-Length", str(len(said)))
        request.end_headers()
        request.wfile.write(said)

    def wait_for(self, true: Callable[[Sink], object], seconds: float = 15.0) -> None:
        """Wait until something holds of what came."""
        ends = time.monotonic() + seconds
        while not true(self):
            assert time.monotonic() < ends, f"{len(self.resources)} requests came"
            time.sleep(0.02)


class Collector:
    """rotel, an OpenTelemetry collector of others, which hands on what it takes."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self.port = free_port()
        spec = importlib.util.find_spec("rotel")
        assert spec is not None
        assert spec.origin is not None
        self.program = Program(
            [
                str(Path(spec.origin).parent / "rotel-agent"),
                "start",
                f"--pid-file={folder / 'rotel.pid'}",
                f"--otlp-http-endpoint={LOOPBACK}:{self.port}",
                f"--otlp-grpc-endpoint={LOOPBACK}:{free_port()}",
                "--batch-timeout=50ms",
                "--exporter=otlp",
                f"--otlp-exporter-endpoint={sink.url}",
                "--otlp-exporter-protocol=http",
            ],
            log=folder / "rotel.log",
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.program.kill()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it listens."""
        self.program.start()
        ends = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((LOOPBACK, self.port), 1.0).close()
            except OSError:
                if time.monotonic() > ends or not self.program.running:
                    raise ProcessFailedError(self.program.tail()) from None
                time.sleep(0.02)
            else:
                return self


def _points(resource: ResourceMetrics) -> Iterator[Point]:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            kind = metric.WhichOneof("data")
            if kind in {"gauge", "sum"}:
                for point in getattr(metric, kind).data_points:
                    attributes = {pair.key: pair.value.string_value for pair in point.attributes}
                    since = point.start_time_unix_nano / 1e9
                    total = kind == "sum" and metric.sum.is_monotonic
                    at = point.time_unix_nano / 1e9
                    yield Point(metric.name, attributes, point.as_double, at, since if total else None)
