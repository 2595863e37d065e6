"""Runs `rackwatt twin` in a process of its own, and asks it for the truth."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from fakes.processes import LOOPBACK, Program, free_port, http_get, wait_http

if TYPE_CHECKING:
    from pathlib import Path

NANOSECONDS = 1_000_000_000


class RunningTwin:
    """The twin of a scenario given as text; usable as a context manager."""

    def __init__(self, folder: Path, scenario: str) -> None:
        """Write the scenario into the folder; nothing is started."""
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.index: dict[str, Any] = {}
        path = folder / "scenario.yaml"
        path.write_text(scenario)
        command = [sys.executable, "-P", "-m", "agent.cli", "twin", "--scenario", str(path)]
        log = folder / "twin.log"
        self.program = Program([*command, "--listen", f"{LOOPBACK}:{self.port}"], log=log)

    def __enter__(self) -> Self:
        """Start."""
        self.program.start()
        self.index = json.loads(wait_http(self.url, self.program))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.program.stop()

    def engine(self, tray: int = 0, place: int = 0) -> str:
        """The address of an engine's page."""
        return str(self.index["trays"][tray]["engines"][place])

    def truth(self, at: float | None = None) -> dict[str, Any]:
        """What is true now, or at a moment of the monotonic clock."""
        status, body = http_get(f"{self.url}/truth" + ("" if at is None else f"?at={at:.9f}"))
        assert status == 200, body
        return dict(json.loads(body))

    def wait_until(self, seconds: float) -> None:
        """Sleep until so many seconds after the start of the twin."""
        ends = self.index["began_monotonic_ns"] / NANOSECONDS + seconds
        time.sleep(max(0.0, ends - time.monotonic()))
