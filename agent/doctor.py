"""`rackwatt doctor`: what is found, what is missing, how to mend it. Each plug-in examines its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import plugins
from agent.config import why_not_listening
from agent.measure.finding import Finding, Level
from agent.measure.gpu import GpuState
from agent.measure.gpu_sources import DEFAULT
from agent.measure.meter import FACILITY, LADDER, NODE
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, SourceError
from agent.store import trial

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

    from agent.config import Config
    from agent.measure.snapshot import GpuFigures, Snapshot

EXAMINE_SECONDS = 30.0
"""An examination that takes longer has met something that hangs."""
A_GPU = "GPU "
"""Begins the subject of findings about one GPU."""
SEEN = "seen"
"""Argument of `examine` by which a plug-in asks for the GPUs."""
NO_GPUS = ("engines", "host", "peers", "redfish", "twin")
"""Collectors that tell of no GPUs of this machine."""
DCGM, HWMON, REDFISH = "dcgm", "hwmon", "redfish"
SPARING = "; until then its host engine measures only what the others lack"
NO_NODE_METER = (
    "name its BMC: collectors: {redfish: {targets: [{url: https://bmc, boundary: node}]}}, on the rack's "
    "daemon if the node cannot reach it; or an ACPI meter of the whole: hwmon.node_meter "
    "(docs/power_meters.md)"
)
CLOCK_PROBE_SECONDS = 0.5
CLOCK_DRIFT_RATIO = 0.01
SANE_FROM_UNIX_SECONDS = 1_735_689_600.0
"""1 January 2025: an earlier wall clock was never set."""


async def examine(settings: Config) -> list[Finding]:
    """Look at the machine and at everything that is configured."""
    findings = [_state(settings), _listen(settings), await _clock()]
    seen, tellers = await _seen(settings)
    for name, examine_plugin, plugin_settings in _examined(settings):
        told = {SEEN: seen} if SEEN in inspect.signature(examine_plugin).parameters else {}
        try:
            async with asyncio.timeout(EXAMINE_SECONDS):
                findings.extend(await examine_plugin(plugin_settings, **told))
        except TimeoutError:
            text = f"did not end within {EXAMINE_SECONDS:g} s: something it asks hangs"
            remedy = "look for tasks in state D (ps -eo pid,stat,wchan:30,comm) and Xid lines in dmesg"
            findings.append(Finding(Level.PROBLEM, name, text, remedy))
    troubled = any(each.level is Level.PROBLEM and each.subject.startswith(A_GPU) for each in findings)
    findings.extend(expected_gpus(settings.general.node.gpus, seen.gpus, troubled=troubled))
    findings.extend(shared_gpus(seen.gpus, tellers))
    findings.extend(boundaries(settings, seen))
    findings.extend(await _unread_meters(settings))
    if "engines" not in settings.collectors:
        remedy = "collectors: {engines: {}} finds those of this node; or name them under its targets"
        findings.append(Finding(Level.NOTE, "engines", "no serving engine is configured", remedy))
    return findings


def _examined(settings: Config) -> Iterator[tuple[str, Callable[..., Awaitable[Sequence[Finding]]], Any]]:
    """Name every plug-in that can look at what it needs: all collectors, and exporters that send."""
    for room, configured in (
        (plugins.COLLECTORS, settings.collectors),
        (plugins.EXPORTERS, settings.exporters),
    ):
        for name, plugin_settings in configured.items():
            examine_plugin = getattr(plugins.load(room, name), "examine", None)
            if examine_plugin is not None:
                yield name, examine_plugin, plugin_settings


def expected_gpus(
    wanted: int | None, gpus: Sequence[GpuFigures], *, troubled: bool = False
) -> Iterator[Finding]:
    """Compare the GPUs that are seen with those that should be; `troubled` if one is known to be ill."""
    seen = sum(gpu.state is GpuState.OK for gpu in gpus)
    if wanted is None and not gpus:
        return
    if wanted is None:
        text = f"{seen} answer; one that fell off the bus before rackwatt ever saw it would not be missed"
        number = "HOW_MANY" if troubled else len(gpus)
        yield Finding(
            Level.NOTE, "node.gpus", text, f"say how many there should be: node: {{gpus: {number}}}"
        )
    elif seen < wanted:
        remedy = (
            "compare lspci with nvidia-smi -L, look for NVRM in the kernel log; drain the node, then reset"
        )
        yield Finding(Level.PROBLEM, "node.gpus", f"only {seen} of {wanted} GPUs answer", remedy)
    elif len(gpus) > wanted:
        text = f"{len(gpus)} GPUs are here, and node.gpus says {wanted}"
        yield Finding(Level.NOTE, "node.gpus", text, f"set node.gpus to {len(gpus)}")
    else:
        yield Finding(Level.OK, "node.gpus", f"all {wanted} GPUs answer")


def boundaries(settings: Config, seen: Snapshot) -> Iterator[Finding]:
    """Say at which boundaries power is measured here, and how the whole node could be."""
    if not seen.gpus:
        return
    found = {at.boundary: at.source for at in seen.boundaries if at.boundary != FACILITY}
    targets = getattr(settings.collectors.get(REDFISH), "targets", ())
    if any(target.boundary == NODE and not target.node for target in targets):
        found[NODE] = REDFISH
    told = ", ".join(f"{at} ({found[at]})" for at in LADDER if at in found) or "nothing"
    if NODE in found:
        yield Finding(Level.OK, "boundaries", f"power is measured at: {told}")
    else:
        text = f"power is measured at: {told}; nothing here measures the whole node"
        yield Finding(Level.NOTE, "boundaries", text, NO_NODE_METER)


async def _unread_meters(settings: Config) -> list[Finding]:
    """Look for power meters that the kernel shows and that nobody reads."""
    if HWMON in settings.collectors:
        return []
    hwmon = plugins.load(plugins.COLLECTORS, HWMON)
    found = [each for each in await hwmon.examine(hwmon.Settings()) if each.level is Level.OK]
    remedy = "collectors: {hwmon: {}} reads them"
    return [Finding(Level.NOTE, HWMON, f"nobody reads the kernel's {each.text}", remedy) for each in found]


def shared_gpus(gpus: Sequence[GpuFigures], tellers: Collection[str]) -> Iterator[Finding]:
    """Say who tells what of GPUs that several collectors read: nothing should be polled twice for nothing."""
    if len(tellers) < 2:  # noqa: PLR2004 - two tell the same only when there are two
        return
    led = {gpu.sources[DEFAULT]: None for gpu in gpus if DEFAULT in gpu.sources}
    for teller in sorted(set(tellers) - led.keys()):
        filled = sorted({name for gpu in gpus for name, source in gpu.sources.items() if source == teller})
        if filled:
            text = f"{teller} fills what {', '.join(led)} does not tell: {', '.join(filled)}"
            yield Finding(Level.OK, "gpu_sources", text)
        else:
            text = f"{teller} tells nothing of these GPUs that {', '.join(led)} does not"
            remedy = "leave it out, unless it is there to take over; node.gpu_sources says who is believed"
            remedy += SPARING if teller == DCGM else ""
            yield Finding(Level.NOTE, "gpu_sources", text, remedy)


async def _seen(settings: Config) -> tuple[Snapshot, frozenset[str]]:
    """Read the GPUs once, for plug-ins that find things by them; return also which collectors told of any.

    Failures are told by their own plug-in.
    """
    collectors = [
        plugins.load(plugins.COLLECTORS, name).build(plugin_settings)
        for name, plugin_settings in settings.collectors.items()
        if name not in NO_GPUS
    ]
    sources = [source for collector in collectors for source in collector.sources(None)]
    reckoner = NodeReckoner(settings.node_name, "", settings.general.window, "", "")
    reckoner.prefer(settings.general.node.gpu_sources)
    reckoner.expect(source.name for source in sources)
    tellers = set()
    for source in sources:
        with contextlib.suppress(SourceError, TimeoutError):
            async with asyncio.timeout(source.timeout_seconds):
                reading = await source.collect(_now(), None)
                tellers |= {reading.source} if reading.gpus else set()
                reckoner.take(reading, source.interval_seconds)
    for collector in collectors:
        await collector.close()
    return reckoner.snapshot(_now(), (), {}), frozenset(tellers)


def _now() -> Moment:
    return Moment(time.monotonic(), time.time())


def _state(settings: Config) -> Finding:
    directory = settings.state_dir
    trouble, _, remedy = trial(directory).partition("; ")
    if trouble:
        remedy = f"{remedy or 'set state_dir to another place'}; without it a restart loses totals"
        return Finding(Level.PROBLEM, "state_dir", trouble, remedy)
    return Finding(Level.OK, "state_dir", f"{directory} can be written")


def _listen(settings: Config) -> Finding:
    """Try the address: somebody else may have it, or the agent itself, which is fine."""
    host, port = settings.listen_address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        why, _, remedy = why_not_listening(error).partition("; ")
        level = Level.NOTE if error.errno == errno.EADDRINUSE else Level.PROBLEM
        return Finding(level, "listen", f"{settings.general.listen} cannot be used: {why}", remedy)
    return Finding(Level.OK, "listen", f"{settings.general.listen} is free")


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
