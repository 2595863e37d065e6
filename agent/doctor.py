"""`rackwatt doctor`: what is found, what is missing, how to mend it. Each plug-in examines its own."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent import plugins
from agent.measure.finding import Finding, Level

if TYPE_CHECKING:
    from agent.config import Config

EXAMINE_SECONDS = 30.0
"""An examination that takes longer has met something that hangs."""
CLOCK_PROBE_SECONDS = 0.5
CLOCK_DRIFT_RATIO = 0.01
SANE_FROM_UNIX_SECONDS = 1_735_689_600.0
"""1 January 2025: an earlier wall clock was never set."""


async def examine(settings: Config) -> list[Finding]:
    """Look at the machine and at everything that is configured."""
    findings = [_state(settings), await _clock()]
    for name, plugin_settings in settings.collectors.items():
        module = plugins.load(plugins.COLLECTORS, name)
        try:
            async with asyncio.timeout(EXAMINE_SECONDS):
                findings.extend(await module.examine(plugin_settings))
        except TimeoutError:
            text = f"did not end within {EXAMINE_SECONDS:g} s: something it asks hangs"
            remedy = "look for tasks in state D (ps -eo pid,stat,wchan:30,comm) and Xid lines in dmesg"
            findings.append(Finding(Level.PROBLEM, name, text, remedy))
    if "engines" not in settings.collectors:
        remedy = "name them: collectors: {engines: {targets: [{url: 'http://127.0.0.1:8000/metrics'}]}}"
        findings.append(Finding(Level.NOTE, "engines", "no serving engine is configured", remedy))
    return findings


def _state(settings: Config) -> Finding:
    directory = settings.state_dir
    nearest = directory
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if os.access(nearest, os.W_OK | os.X_OK):
        return Finding(Level.OK, "state_dir", f"{directory} can be written")
    remedy = f"give this user {directory}, or set state_dir: without it a restart loses totals"
    return Finding(Level.PROBLEM, "state_dir", f"{directory} cannot be written", remedy)


async def _clock() -> Finding:
    """Compare both clocks over a moment, and the wall clock with common sense."""
    wall, monotonic = time.time(), time.monotonic()
    await asyncio.sleep(CLOCK_PROBE_SECONDS)
    drift = abs((time.time() - wall) / (time.monotonic() - monotonic) - 1.0)
    if wall < SANE_FROM_UNIX_SECONDS:
        return Finding(
            Level.PROBLEM, "clock", "the wall clock was never set", "start a time service (chrony)"
        )
    if drift > CLOCK_DRIFT_RATIO:
        text = f"wall and monotonic clock differ by {drift:.1%} over {CLOCK_PROBE_SECONDS:g} s"
        return Finding(Level.PROBLEM, "clock", text, "look at the time service: the clock is being stepped")
    return Finding(
        Level.OK, "clock", f"sane{', synchronised by systemd-timesyncd' if _synchronised() else ''}"
    )


def _synchronised() -> bool:
    """Whether systemd-timesyncd says that the clock is synchronised; other services do not tell so."""
    return Path("/run/systemd/timesync/synchronized").exists()
