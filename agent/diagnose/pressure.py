"""How the machine was pressed before a gap and is since: shares of time, and when they began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.case import middle
from agent.measure.incident import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent.diagnose.case import Case
    from agent.diagnose.host_signs import HostSigns
    from agent.diagnose.sample import Sample

RECENT_SECONDS = 12.0
"""Most of the machine is read every five seconds: over so long there are two readings."""
ONSET_SECONDS = 6.0
"""What presses later than this after the rate fell did not make it fall."""
LEAD_SECONDS = 3.0
"""A rate goes over two seconds: it fell a little before it is seen to have fallen."""
ONSET_SHARE = 0.35
"""In the seconds around that, so much of the rise must be there."""
LEAST_RISE = 0.15
"""Tasks wait for so much more of the time: an engine's own loop is delayed."""
LEAST_STOLEN_CORES = 0.25
LEAST_SLOWER = 0.15
"""Processors run at so much less of their clock."""
STALLS = {
    "cpu some": "some task waited for a processor",
    "memory full": "all tasks waited for memory",
    "io full": "all tasks waited for disks",
    "irq full": "all tasks waited for interrupts",
}
MEGAHERTZ = 1e6


@dataclass(frozen=True, slots=True)
class Pressure:
    """One thing that presses more than before the gap, from its beginning on."""

    metric: str
    before: float
    during: float
    rise: float
    """Share of its time that an engine may lose by it, at most."""
    text: str


def pressures(case: Case) -> list[Pressure]:
    """Return what presses, the most first."""
    return sorted((*_stalls(case), *_stolen(case), *_slower(case)), key=lambda each: -each.rise)


def links_lost(case: Case) -> Iterator[Evidence]:
    """Yield each link of the machine that went down, and each GPU that lost lanes, since before the gap."""
    before, now = case.before[-1].host, case.during[-1].host
    if before is None or now is None:
        return
    for link in sorted(now.links_down - before.links_down):
        metric = "host_infiniband_up" if " port " in link else "host_network_up"
        yield Evidence(metric, case.node, None, 1.0, 0.0, f"link {link} is down")
    for gpu, lanes in now.lanes.items():
        was = before.lanes.get(gpu)
        if was is not None and lanes < was:
            text = f"GPU {gpu} is connected by {lanes:.0f} PCIe lanes, before by {was:.0f}"
            yield Evidence("gpu_pcie_link_width_lanes", case.node, gpu, was, lanes, text)


def oom_kills(case: Case) -> float:
    """Return how many processes the kernel has killed for want of memory since just before the gap."""
    before, now = case.before[-1].host, case.during[-1].host
    if before is None or now is None or before.oom_kills is None or now.oom_kills is None:
        return 0.0
    return max(0.0, now.oom_kills - before.oom_kills)


def _stalls(case: Case) -> Iterator[Pressure]:
    for kind, does in STALLS.items():
        rates = _rates(case, lambda host, kind=kind: host.stalled.get(kind), LEAST_RISE)  # type: ignore[misc]  # bound now
        if rates is not None:
            before, now = rates
            text = f"{does} {now:.0%} of the time, before {before:.0%}"
            yield Pressure("host_pressure_stalled_seconds_total", before, now, min(1.0, now - before), text)


def _stolen(case: Case) -> Iterator[Pressure]:
    rates = _rates(case, lambda host: host.stolen, LEAST_STOLEN_CORES)
    if rates is not None:
        before, now = rates
        text = f"the hypervisor takes {now:.1f} processors, before {before:.1f}"
        yield Pressure("host_cpu_steal_seconds_total", before, now, min(1.0, now - before), text)


def _slower(case: Case) -> Iterator[Pressure]:
    """Yield it when processors run slower; all of them, so what an engine loses by it is known."""
    before, now, early = (_hertz(samples) for samples in (case.before, _recent(case), _early(case)))
    if not before or now is None or early is None or max(now, early) > before * (1.0 - LEAST_SLOWER):
        return
    text = f"processors run at {now / MEGAHERTZ:.0f} MHz, before at {before / MEGAHERTZ:.0f} MHz"
    yield Pressure("host_cpu_frequency_hertz", before, now, 1.0 - now / before, text)


def _hertz(samples: Sequence[Sample]) -> float | None:
    return middle(None if each.host is None else each.host.cpu_hertz for each in samples)


def _rates(case: Case, read: Callable[[HostSigns], float | None], least: float) -> tuple[float, float] | None:
    """Return how fast a total grew before and grows now, if it does so by more than least, in time."""
    before, now = _growth(case.before, read), _growth(_recent(case), read)
    early = _growth(_early(case), read)
    if before is None or now is None or early is None or now - before < least:
        return None
    return (before, now) if early - before >= ONSET_SHARE * min(now - before, 1.0) else None


def _growth(samples: Sequence[Sample], read: Callable[[HostSigns], float | None]) -> float | None:
    known = [
        (sample.seconds, value)
        for sample in (samples[0], samples[-1])
        if sample.host is not None and (value := read(sample.host)) is not None
    ]
    if len(known) < 2 or known[1][0] <= known[0][0]:  # noqa: PLR2004  # two make a difference
        return None
    return max(0.0, known[1][1] - known[0][1]) / (known[1][0] - known[0][0])


def _recent(case: Case) -> Sequence[Sample]:
    """Return the last seconds of the gap, with the newest sample before it while it is young."""
    newest = case.during[-1].seconds
    recent = tuple(each for each in case.during if each.seconds > newest - RECENT_SECONDS)
    return recent if len(recent) < len(case.during) else (case.before[-1], *recent)


def _early(case: Case) -> Sequence[Sample]:
    """Return the seconds around the fall of the rate: chance may have begun the gap some seconds earlier."""
    low = case.expected * (1.0 - case.missing / 2.0)
    fallen = (each.seconds for each in case.during if each.rate is not None and each.rate <= low)
    fell = next(fallen, case.since)
    first, last = fell - LEAD_SECONDS, fell + ONSET_SECONDS
    around = tuple(each for each in case.during if first <= each.seconds <= last)
    return (case.before[-1], *around) if first <= case.during[0].seconds else around
