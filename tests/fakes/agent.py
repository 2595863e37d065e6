"""Runs the real daemon in a process of its own, as a service manager would."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import yaml
from fakes.processes import LOOPBACK, Program, free_port, http_get, wait_http
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fakes.forge import Forge

READY_SECONDS = 20.0


class RunningAgent:
    """`rackwatt run` with a configuration file of its own; usable as a context manager."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
        *,
        address: tuple[str, int] | None = None,
        prefix: Sequence[str] = (),
        forge: Forge | None = None,
    ) -> None:
        """Write the configuration: `settings` on top of an address (a free port) and a state directory.

        `prefix` goes before the command line; a forge forks the daemon, which is quicker.
        """
        directory.mkdir(parents=True, exist_ok=True)
        host, self.port = address or (LOOPBACK, free_port())
        self.url = f"http://{host}:{self.port}"
        self.config_file = directory / "rackwatt.yaml"
        self.state_dir = directory / "state"
        self._base = {"listen": f"{host}:{self.port}", "state_dir": str(self.state_dir)}
        self.configure(settings)
        log, arguments = directory / "rackwatt.log", ["run", "--config", str(self.config_file)]
        command = [*prefix, sys.executable, "-P", "-m", "agent.cli", *arguments]
        self.program = Program(command, log, env) if forge is None else forge.program(arguments, log, env)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.program.stop()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Rewrite the configuration file; `reload` makes the daemon read it."""
        self.config_file.write_text(yaml.safe_dump({**self._base, **settings}))

    def start(self, *, wait: bool = True) -> Self:
        """Start the daemon; unless told otherwise wait until every source has had its first outcome."""
        self.program.start()
        if wait:
            wait_http(f"{self.url}/-/ready", self.program, READY_SECONDS)
        return self

    def restart(self, *, kill: bool = False) -> Self:
        """SIGTERM (or SIGKILL) and start again on the same state."""
        if kill:
            self.program.kill()
        else:
            self.program.stop()
        return self.start()

    def reload(self) -> None:
        """SIGHUP."""
        os.kill(self.program.pid, signal.SIGHUP)

    def page(self, accept: str = "") -> str:
        """The text of /metrics."""
        status, body = http_get(f"{self.url}/metrics", headers={"Accept": accept})
        assert status == 200, body
        return body.decode()

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of one metric over the series with these labels; None when there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.page())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    def node(self) -> dict[str, Any]:
        """The snapshot as JSON."""
        status, body = http_get(f"{self.url}/api/v1/node")
        assert status == 200, body
        return dict(json.loads(body))

    def wait_for(
        self, predicate: Callable[[dict[str, Any]], Any], deadline_seconds: float = 15.0
    ) -> dict[str, Any]:
        """Wait until the snapshot satisfies a predicate; return it."""
        ends = time.monotonic() + deadline_seconds
        while True:
            node = self.node()
            if predicate(node):
                return node
            assert time.monotonic() < ends, f"{json.dumps(node, indent=1)}\n{self.program.tail()}"
            time.sleep(0.05)

    def log_text(self) -> str:
        """Everything that it has logged."""
        return self.program.log.read_text()
