"""Debian's real VictoriaMetrics, and its vmalert, on loopback and a temporary folder."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from fakes.processes import LOOPBACK, Program, free_port, http_get, wait_http
from fakes.prometheus import QUERY_SECONDS, found_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INDEXED_SECONDS = 1.5
"""A new series is found after a second."""


class VictoriaMetrics:
    """Scrapes what a Prometheus configuration names, records rules with vmalert, answers queries."""

    def __init__(self, scrape: Mapping[str, Any] | None = None, rules: Sequence[Path] = ()) -> None:
        """Take the scraping part of a Prometheus configuration; without one it waits for remote writes."""
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="rackwatt-test-victoria-"))
        self._scrape, self._rules = scrape, rules
        self._programs: list[Program] = []

    def __enter__(self) -> Self:
        """Start."""
        flags = [
            f"-storageDataPath={self._folder / 'data'}",
            f"-httpListenAddr={LOOPBACK}:{self.port}",
            "-search.latencyOffset=0s",  # else it hides the last 30 s
            "-retentionPeriod=1",
        ]
        if self._scrape is not None:
            file = self._folder / "scrape.yml"
            file.write_text(yaml.safe_dump(self._scrape))
            flags += [f"-promscrape.config={file}", "-promscrape.config.strictParse=false"]
        self._start("victoria-metrics", flags, f"{self.url}/health")
        if self._rules:
            port = free_port()
            flags = [f"-rule={path}" for path in self._rules]
            flags += [f"-datasource.url={self.url}", f"-remoteWrite.url={self.url}"]
            flags += ["-evaluationInterval=1s", "-remoteWrite.flushInterval=1s"]
            flags += [f"-httpListenAddr={LOOPBACK}:{port}"]
            self._start("vmalert", flags, f"http://{LOOPBACK}:{port}/health")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and delete what was stored."""
        for program in reversed(self._programs):
            program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The instant vector of an expression, now: rows of metric and value."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        status, body = http_get(url, timeout_seconds=QUERY_SECONDS)
        assert status == 200, body
        rows: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return rows

    def write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store the rows of an instant vector as series of this name."""
        lines = [
            json.dumps(
                {
                    "metric": {**row["metric"], "__name__": name},
                    "values": [float(row["value"][1])],
                    "timestamps": [int(row["value"][0] * 1000)],
                }
            )
            for row in rows
        ]
        request = urllib.request.Request(f"{self.url}/api/v1/import", "\n".join(lines).encode())
        with urllib.request.urlopen(request, timeout=QUERY_SECONDS) as response:
            assert response.status == 204

    def settle(self) -> None:
        """Wait until what was written is found; asked early, it would remember that there is nothing."""
        http_get(f"{self.url}/internal/force_flush")
        time.sleep(INDEXED_SECONDS)

    def log_text(self) -> str:
        """What its programs have logged."""
        return "\n".join(program.tail() for program in self._programs)

    def _start(self, name: str, flags: Sequence[str], ready: str) -> None:
        program = Program([found_program(name), *flags], log=self._folder / f"{name}.log")
        self._programs.append(program)
        program.start()
        wait_http(ready, program)
