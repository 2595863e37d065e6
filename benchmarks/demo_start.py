"""How long a newcomer waits: `make demo` in a fresh clone, until the whole rack has a valid rate."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakes.processes import LOOPBACK, ProcessFailedError, Program, free_port, http_get

from benchmarks.daemons import MissingPeerError, workplace
from benchmarks.report import Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUSE = Path(__file__).resolve().parents[1]
STARTS, QUICK_STARTS = 3, 1
MOST_SECONDS = 30.0
GIVE_UP_SECONDS = 300.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1
MOMENTS = ("Python is set up", "it listens", "every tray reports", "its rate is valid")


def demo_start(*, quick: bool) -> list[Figure]:
    """Start it some times from nothing but pip's cache."""
    if shutil.which("git") is None:
        raise MissingPeerError("git is not installed: apt-get install git")
    starts = [_start() for _ in range(QUICK_STARTS if quick else STARTS)]
    return [
        _figure(moment, seconds) for moment, seconds in zip(MOMENTS, zip(*starts, strict=True), strict=True)
    ]


def _figure(moment: str, seconds: Sequence[float]) -> Figure:
    median = statistics.median(seconds)
    each = ", ".join(f"{each:.1f}" for each in seconds)
    method = (
        f"median of {len(seconds)} ({each} s): wall time from `make demo` in a fresh clone of the "
        "last commit; what pip needs is in its cache or on this disk"
    )
    budget = at_most(median, MOST_SECONDS, f"<= {MOST_SECONDS:.0f} s") if moment == MOMENTS[-1] else None
    return Figure(f"make demo, until {moment}", median, "s", method, budget=budget)


def _start() -> list[float]:
    """Return the seconds until each moment of one start."""
    with workplace() as folder:
        clone = folder / "rackwatt"
        subprocess.run(["git", "clone", "-q", str(HOUSE), str(clone)], check=True)
        listen = f"{LOOPBACK}:{free_port()}"
        command = ["make", "-C", str(clone), "demo", f"DEMO=--listen {listen}"]
        program = Program(command, folder / "demo.log")
        reached: list[float] = []
        began = time.monotonic()
        with program:
            while len(reached) < len(MOMENTS):
                passed = time.monotonic() - began
                reached += [passed] * (_moments(clone, listen) - len(reached))
                if not program.running or passed > GIVE_UP_SECONDS:
                    raise ProcessFailedError(f"the demo does not come:\n{program.tail()}")
                time.sleep(POLL_SECONDS)
            program.stop(STOP_SECONDS)
    return reached


def _moments(clone: Path, listen: str) -> int:
    """How many of the moments have come."""
    if not any(clone.glob(".venv/.setup-run-*")):
        return 0
    rack = _rack(f"http://{listen}/api/v1/rack")
    if rack is None:
        return 1
    if not rack or rack["nodes"]["reporting"] < rack["nodes"]["expected"]:
        return 2
    return 4 if rack["valid"] else 3


def _rack(url: str) -> dict[str, Any] | None:
    """The rack as it is told; empty before there is one, None while nobody listens."""
    try:
        status, body = http_get(url, timeout_seconds=5.0)
    except OSError:
        return None
    return dict(json.loads(body)) if status == 200 else {}
