"""Debian's real Alertmanager, whoever it notifies, and the shipped rules with shorter durations."""

from __future__ import annotations

import http.server
import json
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fakes.processes import LOOPBACK, Program, free_port, wait_http
from fakes.prometheus import found_program

from agent import dashboards

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")
TIMES_FASTER = 60
LONGEST_HOLD_SECONDS = 15
"""What is held for hours is held so long at most; the rest is TIMES_FASTER."""


def write_faster(folder: Path, overrides: Mapping[str, str]) -> list[Path]:
    """Write recording.yml, alerts.yml and alertmanager.yml as `rackwatt dashboards --set` would."""
    shorter = {
        name: _shorter(row.value, LONGEST_HOLD_SECONDS if name.endswith("_for") else None)
        for name, row in dashboards.parameters().items()
        if row.is_duration
    }
    texts = {str(to): text for to, text in dashboards.files_with({**shorter, **overrides})}
    # The windows of recorded rates are in their names, and no parameters.
    texts["rules/recording.yml"] = re.sub(
        r"(?<=[\[ ])(\d+[mh])(?=[\] ])", lambda found: _shorter(found[1], None), texts["rules/recording.yml"]
    )
    written = []
    for name in ("rules/recording.yml", "rules/alerts.yml", "alertmanager/alertmanager.yml"):
        written.append(folder / name.rpartition("/")[2])
        written[-1].write_text(texts[name])
    return written


def _shorter(duration: str, longest: int | None) -> str:
    seconds = sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", duration))
    return f"{max(1, min(round(seconds / TIMES_FASTER), longest or seconds))}s"


@dataclass(frozen=True, slots=True)
class Told:
    """One alert in one notification."""

    at: float
    to: str
    """Path of the webhook: /page, /ticket or /watchdog."""
    group: str
    name: str
    firing: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Webhook:
    """Takes notifications in a thread of its own; usable as a context manager."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.notifications: list[tuple[str, Mapping[str, str]]] = []
        """Path and labels of the group of each."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.take(self.path, body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, body: Mapping[str, Any]) -> None:
        """Note what a notification says."""
        self.notifications.append((path, body["groupLabels"]))
        now = time.monotonic()
        for alert in body["alerts"]:
            labels = alert["labels"]
            firing = alert["status"] == "firing"
            self.told.append(
                Told(now, path, body["groupKey"], labels["alertname"], firing, labels, alert["annotations"])
            )

    def of(self, name: str, *, firing: bool = True, **labels: str) -> list[Told]:
        """What was told of an alert."""
        return [
            each
            for each in list(self.told)
            if each.name == name and each.firing is firing and labels.items() <= each.labels.items()
        ]


class Alertmanager:
    """Runs it with a configuration file; usable as a context manager."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.address = f"{LOOPBACK}:{free_port()}"
        binary = found_program("prometheus-alertmanager")
        self._program = Program(
            [
                *_with_its_templates(binary),
                binary,
                f"--config.file={config}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            log=folder / "alertmanager.log",
        )

    def __enter__(self) -> Self:
        self._program.start()
        wait_http(f"http://{self.address}/-/ready", self._program)
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()


def _with_its_templates(binary: str) -> list[str]:
    """Debian's wants templates under /usr/share; one that is only unpacked gets a /usr/share of its own."""
    if TEMPLATES.exists():
        return []
    unpacked = Path(binary).parents[1] / "share" / "prometheus"
    own = f'mount -t tmpfs tmpfs /usr/share && ln -s {unpacked} /usr/share/prometheus && exec "$@"'
    as_root = ["--map-root-user"] if os.geteuid() else []
    return ["unshare", *as_root, "--mount", "sh", "-c", own, "sh"]


class Chosen:
    """A daemon's page whose values the test chooses; counters grow with time; usable as a context manager."""

    def __init__(self, node: str, rack: str, port: int = 0) -> None:
        self.gauges: dict[str, float] = {
            f'rackwatt_node_info{{node="{node}",rack="{rack}",chassis="",tray="",domain=""}}': 1.0,
            'rackwatt_build_info{version="0.1.0",revision="x"}': 1.0,
        }
        self.per_second: dict[str, float] = {}
        """Counters, by how fast they grow."""
        self._counts: dict[str, float] = {}
        self._at = time.monotonic()
        self._lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(outer.lines()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, port), Handler)
        self.address = f"{LOOPBACK}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer nobody any more; a second time does nothing."""
        self._server.shutdown()
        self._server.server_close()

    def lines(self) -> Iterator[str]:
        """Yield the page."""
        with self._lock:
            now = time.monotonic()
            for series, rate in self.per_second.items():
                self._counts[series] = self._counts.get(series, 0.0) + rate * (now - self._at)
            self._at = now
            for series, value in {**self.gauges, **self._counts}.items():
                yield f"{series} {value}\n"
