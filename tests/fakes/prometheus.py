"""Debian's real Prometheus and promtool, on a made configuration in a temporary folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from fakes.processes import LOOPBACK, Program, free_port, http_get, wait_http

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

APT_PACKAGE = "prometheus"
PROMTOOL_SECONDS = 30.0
QUERY_SECONDS = 10.0
POLL_SECONDS = 0.1


class MissingProgramError(RuntimeError):
    """A program that the tests need is not installed."""


def found_program(name: str) -> str:
    """The path of a program of Debian's prometheus package."""
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed: apt-get install -y --no-install-recommends {APT_PACKAGE}"
        raise MissingProgramError(message)
    return path


def promtool_check_metrics(text: str) -> tuple[int, str]:
    """Exit status (0: clean, 3: lint, 1: malformed) and messages of `promtool check metrics`."""
    done = subprocess.run(
        [found_program("promtool"), "check", "metrics"],
        input=text.encode(),
        capture_output=True,
        timeout=PROMTOOL_SECONDS,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def promtool_check_rules(*files: Path) -> tuple[int, str]:
    """Exit status and messages of `promtool check rules` with every lint fatal."""
    return _promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, files))


def promtool_test_rules(file: Path) -> tuple[int, str]:
    """Exit status and messages of `promtool test rules`."""
    return _promtool("test", "rules", str(file))


def promtool_check_config(file: Path) -> tuple[int, str]:
    """Exit status and messages of `promtool check config`, rule files of the configuration included."""
    return _promtool("check", "config", "--lint=all", "--lint-fatal", str(file))


def _promtool(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [found_program("promtool"), *arguments], capture_output=True, timeout=PROMTOOL_SECONDS, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


class Prometheus:
    """Scrapes targets into a temporary folder and answers queries; usable as a context manager."""

    def __init__(
        self,
        targets: Mapping[str, Sequence[str]],
        *,
        scrape_interval: str = "1s",
        evaluation_interval: str = "1s",
        metrics_path: str = "/metrics",
        rule_files: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
        features: Sequence[str] = (),
        remote_write_receiver: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Settle the configuration; `targets` maps a job's name to host:port or host:port/path.

        `config` has top-level keys of the file that are taken as they are.
        """
        self.port: int | None = None
        self.folder: Path | None = None
        self._program: Program | None = None
        self._flags = [f"--enable-feature={','.join(features)}"] if features else []
        if remote_write_receiver:
            self._flags.append("--web.enable-remote-write-receiver")
        self._config = {
            "global": {
                "scrape_interval": scrape_interval,
                "scrape_timeout": scrape_interval,
                "evaluation_interval": evaluation_interval,
            },
            "rule_files": [str(Path(path).resolve()) for path in rule_files],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [_target(address, metrics_path) for address in addresses],
                }
                for job, addresses in targets.items()
            ],
            **(config or {}),
        }

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop and delete what was stored."""
        self.stop()

    @property
    def url(self) -> str:
        """The server's base address, without a final slash."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def program(self) -> Program:
        """The running program, for its pid, processor time and memory."""
        if self._program is None:
            message = "Prometheus is not started"
            raise RuntimeError(message)
        return self._program

    def start(self) -> Self:
        """Start on a free port in a new folder and wait until it is ready."""
        binary = found_program("prometheus")
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="rackwatt-test-prometheus-"))
        config = self.folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config))
        self._program = Program(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address={LOOPBACK}:{self.port}",
                "--web.enable-lifecycle",
                "--log.level=warn",
                *self._flags,
            ],
            log=self.folder / "prometheus.log",
        )
        self._program.start()
        wait_http(f"{self.url}/-/ready", self._program)
        return self

    def stop(self) -> None:
        """Stop and delete what was stored."""
        if self._program is not None:
            self._program.stop()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """The instant vector of an expression, now or at a unix time: rows of metric and value."""
        parameters = {"query": expr} | ({} if at is None else {"time": str(at)})
        rows: list[dict[str, Any]] = self._data("query", parameters)["result"]
        return rows

    def value(self, expr: str, at: float | None = None) -> float | None:
        """The value of an expression that has exactly one row; None when it has none."""
        rows = self.query(expr, at)
        if len(rows) > 1:
            message = f"{expr} has {len(rows)} rows, not one"
            raise ValueError(message)
        return float(rows[0]["value"][1]) if rows else None

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The range matrix of an expression: rows of metric and values."""
        parameters = {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
        rows: list[dict[str, Any]] = self._data("query_range", parameters)["result"]
        return rows

    def wait_for(
        self,
        expr: str,
        predicate: Callable[[list[dict[str, Any]]], bool] = bool,
        deadline: float = 15.0,
    ) -> list[dict[str, Any]]:
        """Query until the predicate holds of the rows (default: there are some); the rows."""
        ends = time.monotonic() + deadline
        while True:
            rows = self.query(expr)
            if predicate(rows):
                return rows
            if time.monotonic() > ends:
                message = f"{expr} was not as wanted in {deadline} s; last {rows}; targets {self.targets()}"
                raise TimeoutError(message)
            time.sleep(POLL_SECONDS)

    def targets(self) -> list[dict[str, Any]]:
        """The active targets with their health and last error."""
        rows: list[dict[str, Any]] = self._data("targets", {"state": "active"})["activeTargets"]
        return rows

    def alerts(self) -> list[dict[str, Any]]:
        """The pending and firing alerts."""
        rows: list[dict[str, Any]] = self._data("alerts", {})["alerts"]
        return rows

    def _data(self, endpoint: str, parameters: Mapping[str, str]) -> Any:
        url = f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        status, body = http_get(url, timeout_seconds=QUERY_SECONDS)
        if status != 200:
            message = f"{url} answered {status}: {body[:500]!r}"
            raise RuntimeError(message)
        return json.loads(body)["data"]


def _target(address: str, metrics_path: str) -> dict[str, Any]:
    host, slash, path = address.partition("/")
    return {"targets": [host], "labels": {"__metrics_path__": slash + path or metrics_path}}
