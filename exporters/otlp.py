"""OTLP: sends metrics to an OpenTelemetry collector, or whatever speaks OTLP over HTTP with protobuf."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
from collections.abc import Mapping  # noqa: TC003  (settings are read by their types)
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from agent.measure.finding import Finding, Level, problem_of
from agent.measure.push import Batch
from agent.measure.reading import SourceError
from agent.measure.settings import Bytes, Seconds, setting
from agent.wire.address import carries_login, public, require_http
from agent.wire.http import HttpClient, Limits
from agent.wire.http_config import HTTP_TOKEN, Credentials, HttpConfig
from agent.wire.refusal import is_taken, refusal_of
from exporters._otlp.points import request_of

if TYPE_CHECKING:
    from agent.measure.snapshot import Snapshot

PATH = "/v1/metrics"
ANSWER_BYTES = 64 * 1024
"""An answer says at most how many points were refused, and why."""
GZIP_LEVEL = 1
OURS = frozenset(
    {"content-type", "content-encoding", "content-length", "host", "connection", "authorization"}
)
"""Headers that are not to be set."""
LATER = frozenset({408, 429, 502, 503, 504})
"""The only answers after which OTLP lets the same batch be sent again: no other server error."""
MACHINE_ID = Path("/etc/machine-id")


class Compression(StrEnum):
    """How requests are packed."""

    GZIP = "gzip"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(HttpConfig):
    """Settings of the OTLP exporter; the keys of `http_config` stand beside these."""

    endpoint: str = setting(
        "http://127.0.0.1:4318", f"Where the receiver listens; `{PATH}` is added unless it ends so."
    )
    interval: Seconds = setting(Seconds(15.0), "How often metrics are sent.")
    timeout: Seconds = setting(Seconds(10.0), "Deadline of one request.")
    buffer: Bytes = setting(
        Bytes(4 * 1024 * 1024),
        "What may wait, packed, while the receiver is away; then the oldest is lost, and counted.",
    )
    compression: Compression = setting(Compression.GZIP, "gzip or none.")
    headers: Mapping[str, str] = field(
        default_factory=dict, metadata={"doc": "Headers of every request, such as a tenant's name."}
    )
    header_files: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"doc": "Headers that are secrets: the file that holds each; read again when it changes."},
    )
    resource: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "doc": "Attributes of the resource, above those that are found and those of "
            "$OTEL_RESOURCE_ATTRIBUTES (docs/otlp.md); an empty value removes one."
        },
    )

    def __post_init__(self) -> None:
        """Refuse what can never be sent."""
        HttpConfig.__post_init__(self)
        require_http(self.endpoint, "endpoint")
        if carries_login(self.endpoint):
            raise ValueError("endpoint: write name and password under basic_auth, not into the url")
        if self.follow_redirects:
            raise ValueError("follow_redirects: what is sent is not sent elsewhere; set the endpoint itself")
        for key in ("headers", "header_files"):
            for name, value in getattr(self, key).items():
                if not HTTP_TOKEN.fullmatch(name) or name.lower() in OURS or not value.isprintable():
                    raise ValueError(f"{key}: {name!a} cannot be set as a header here")

    @property
    def url(self) -> str:
        """Where requests go."""
        base = self.endpoint.rstrip("/")
        return base if base.endswith(PATH) else base + PATH


def build(settings: Settings) -> OtlpPusher:
    """Make the exporter."""
    return OtlpPusher(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Send nothing, and see whether it is taken."""
    pusher = build(settings)
    try:
        await pusher.send(Batch(pusher.packed(b""), 0))
    except SourceError as error:
        return (problem_of("otlp", error),)
    finally:
        await pusher.close()
    return (Finding(Level.OK, "otlp", f"{public(settings.url)} takes metrics"),)


class OtlpPusher:
    """Sends snapshots, each as one request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client, self._secrets = HttpClient(), Credentials()
        self._found = _found_resource()
        self.interval_seconds = settings.interval
        self.timeout_seconds = settings.timeout
        self.buffer_bytes = settings.buffer

    def encode(self, snapshot: Snapshot) -> Batch:
        """Write a snapshot down as one packed request."""
        request, points = request_of(snapshot, self._resource(snapshot))
        return Batch(self.packed(request.SerializeToString()), points)

    def packed(self, body: bytes) -> bytes:
        """Pack a request as the settings have it."""
        if self._settings.compression is Compression.NONE:
            return body
        return gzip.compress(body, GZIP_LEVEL, mtime=0)

    async def send(self, batch: Batch) -> int:
        """Send one request; return how many of its points were refused. Raises PushError, SourceError."""
        settings = self._settings
        headers = {
            "Content-Type": "application/x-protobuf",
            "Accept": "application/x-protobuf",
            **settings.headers,
            **{
                name: self._secrets.secret(path, f"header_files.{name}")
                for name, path in settings.header_files.items()
            },
        }
        if settings.compression is Compression.GZIP:
            headers["Content-Encoding"] = "gzip"
        limits = Limits(settings.timeout, ANSWER_BYTES)
        posted = await self._client.post(settings.url, batch.body, limits, headers=headers, config=settings)
        if is_taken(posted):
            return min(_refused(posted.body), batch.points)
        raise refusal_of(settings.url, posted, "endpoint, authorization and header_files", LATER)

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    def _resource(self, snapshot: Snapshot) -> dict[str, str]:
        node = snapshot.node
        told = {
            "service.name": "rackwatt",
            "service.version": snapshot.version,
            "service.instance.id": node.name,  # stays over restarts, as totals do
            "rackwatt.node": node.name,
            "rackwatt.rack": node.rack,
        }
        return {
            key: value for key, value in (told | self._found | dict(self._settings.resource)).items() if value
        }


def _found_resource() -> dict[str, str]:
    """Return what the machine and the environment tell of who sends."""
    host = {"host.name": socket.gethostname(), "os.type": "linux"}
    with contextlib.suppress(OSError, ValueError):  # a container has none
        host["host.id"] = MACHINE_ID.read_text(encoding="ascii").strip()
    pairs = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    given = (pair.partition("=") for pair in pairs if "=" in pair)
    return host | {key.strip(): unquote(value.strip()) for key, _, value in given}


def _refused(body: bytes) -> int:
    """Return how many points a receiver that took the request says it did not want."""
    try:
        answer = ExportMetricsServiceResponse.FromString(body)
    except DecodeError:  # some answer in JSON, or with words
        return 0
    return max(0, int(answer.partial_success.rejected_data_points))
