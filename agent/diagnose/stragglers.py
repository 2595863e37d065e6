"""Who is behind its like: the members of a rack that serve the same with as much to do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.case import middle
from agent.diagnose.spread import NEARLY_ALL, reach
from agent.measure.incident import Cause, Evidence
from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.diagnose.rack_signs import MemberSigns, PeerGpuSigns, RackSigns

BEHIND_RATIO = 0.95
"""The noise band of the published record is 5 % around the median; its slowest node was 6.7 % below."""
LEAST_LIKE = 4
"""So many members that serve the same make a median."""
LOAD_RATIO = 0.9
"""One that has fewer requests than this share of the median's may take more joules: it has less to do."""
OTHER_WORK_RATIO = 1.1
"""One that computes so many more prompt tokens for each output token than the median does other work."""
WASTEFUL_RATIO = 0.93
"""Power of like GPUs differs by some percent from one to the next; a node sums several of them …"""
ALIKE_RATIO = 0.95
"""… and where many are more alike than that, less is enough; never less than this."""
IDLE_SHARE = 0.5
"""So much of the load that it has less may be in its tokens per joule: idle power is shared by fewer."""
MORE_RATIO = 1.05
GPU_RATIO = 0.97
HOTTER_CELSIUS = 8.0
MEGAHERTZ, GIGA = 1e6, 1e9


SMOOTHED_SECONDS = 15.0
"""What comes by chance is not compared, but the mean of about so long."""
FEW_REQUESTS, MOST_CHANCE = 1.0, 0.5
"""Of few requests, one in each engine that has just begun or is about to end makes a share of the rate."""
SPREADS = 1.0
"""Four times of how far a mean over so long is off, where a load varies from second to second."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a member does, smoothed."""

    at: float
    """Monotonic."""
    rate: float
    """Output tokens per second."""
    load: float | None
    """Requests in flight."""
    ratio: float | None
    """Output tokens for each joule of its GPUs."""
    spread: float = 0.0
    """How far its load is from that from moment to moment, as a share."""
    engines: int = 1

    @property
    def pace(self) -> float | None:
        """Output tokens per second of each request in flight."""
        return self.rate / self.load if self.load else None


def worked(before: Mapping[str, Work], rack: RackSigns) -> dict[str, Work]:
    """Return what every member that serves one model does, after one moment more."""
    now, found = rack.at.monotonic_seconds, {}
    for member in rack.members:
        if member.up and not member.drained and member.rate and len(member.models) == 1:
            engines = member.engines or 1
            fresh = Work(now, member.rate, member.in_flight, member.ratio, engines=engines)
            known = before.get(member.node)
            found[member.node] = fresh if known is None else _smoothed(known, fresh)
    return found


def _smoothed(before: Work, now: Work) -> Work:
    share = 1.0 - math.exp((before.at - now.at) / SMOOTHED_SECONDS)
    rate = before.rate + (now.rate - before.rate) * share
    load, ratio = _nearer(before.load, now.load, share), _nearer(before.ratio, now.ratio, share)
    off = abs(now.load / before.load - 1.0) if now.load is not None and before.load else 0.0
    spread = before.spread + (min(off, 1.0) - before.spread) * share
    return Work(now.at, rate, load, ratio, spread, now.engines)


def _nearer(before: float | None, now: float | None, share: float) -> float | None:
    return now if before is None or now is None else before + (now - before) * share


@dataclass(frozen=True, slots=True)
class Like:
    """One member among those that serve the same."""

    rate: float
    middle: float
    """Output tokens per second of the median among them."""
    like: Sequence[MemberSigns]
    behind: bool
    ratio: float | None = None
    """Its output tokens per joule of its GPUs …"""
    usual_ratio: float | None = None
    """… and the median's; None while too few tell."""
    wasteful: bool = False
    """It makes as many tokens as its like, and takes more joules for them (T18: with as much to do)."""
    clearly: bool = False
    """By more than like GPUs differ, whatever the spread of these is."""
    load: float | None = None
    """Its requests in flight …"""
    fair: float = 0.0
    """… and what the median would make of as many, where it has fewer than that."""


def likes_of(rack: RackSigns, works: Mapping[str, Work] | None = None) -> dict[str, Like]:
    """Return every member that can be compared, by its name.

    With what was smoothed, one is only behind or wasteful that is so on average, too.
    """
    now = _likes(rack, worked({}, rack))
    if works is None:
        return now
    usually = _likes(rack, works)
    return {node: _both(each, usually[node]) for node, each in now.items() if node in usually}


def _both(now: Like, usually: Like) -> Like:
    behind, wasteful = now.behind and usually.behind, now.wasteful and usually.wasteful
    return replace(now, behind=behind, wasteful=wasteful)


@dataclass(frozen=True, slots=True)
class Group:
    """Members that serve the same model, and the median of each thing among them."""

    works: Sequence[tuple[Work, MemberSigns]]
    like: Sequence[MemberSigns]
    rate: float
    pace: float | None
    load: float | None
    ratio: float | None
    mix: float | None


def _likes(rack: RackSigns, works: Mapping[str, Work]) -> dict[str, Like]:
    groups: dict[tuple[str, ...], list[tuple[Work, MemberSigns]]] = {}
    for member in rack.members:
        if member.node in works:
            groups.setdefault(member.models, []).append((works[member.node], member))
    found = {}
    for each in groups.values():
        if len(each) >= LEAST_LIKE:
            group = _group(each)
            found.update({member.node: _like(work, member, group) for work, member in each})
    return found


def _group(works: Sequence[tuple[Work, MemberSigns]]) -> Group:
    ratios = [work.ratio for work, _ in works if work.ratio is not None]
    return Group(
        works=works,
        like=[member for _, member in works],
        rate=median(work.rate for work, _ in works),
        pace=middle(work.pace for work, _ in works),
        load=middle(work.load for work, _ in works),
        ratio=median(ratios) if len(ratios) >= LEAST_LIKE else None,
        mix=middle(member.prompts for _, member in works),
    )


def _like(work: Work, member: MemberSigns, group: Group) -> Like:
    fewer, alike = work.rate < BEHIND_RATIO * group.rate, not _does_other_work(member, group.mix)
    full = group.load is None or work.load is None or work.load >= LOAD_RATIO * group.load
    off = _off(work, group.ratio) if alike and full and not fewer else 0.0
    clearly = off > 1.0 - WASTEFUL_RATIO
    fair = group.rate if full or not group.pace or not work.load else min(group.rate, group.pace * work.load)
    return Like(
        rate=work.rate,
        middle=group.rate,
        like=group.like,
        behind=alike and fewer and _is_slow(work, group.pace),
        ratio=work.ratio,
        usual_ratio=group.ratio,
        wasteful=clearly or (off > 1.0 - ALIKE_RATIO and off > _band(work, member, group)),
        clearly=clearly,
        load=work.load,
        fair=fair,
    )


def _off(work: Work, usual: float | None) -> float:
    """Return by how much less it makes for each joule than is usual, as a share."""
    return 0.0 if not usual or work.ratio is None else 1.0 - work.ratio / usual


def _band(work: Work, member: MemberSigns, group: Group) -> float:
    """Return by how much it may be off: as much as the others differ, and what it has less to do."""
    others = [each for each, one in group.works if one.node != member.node and not one.troubled]
    seen = reach([each.ratio for each in others if each.ratio is not None], NEARLY_ALL)
    most = 1.0 - WASTEFUL_RATIO
    if seen is None or not group.ratio:
        return most
    of_load = work.load / group.load if work.load and group.load else 1.0
    less = 1.0 - min(1.0, work.rate / group.rate, of_load)
    return min(most, max(1.0 - ALIKE_RATIO, seen / group.ratio) + IDLE_SHARE * less)


def _is_slow(work: Work, pace: float | None) -> bool:
    """Whether each of its requests gets less than those of its like: fewer requests are less demand."""
    if pace is None or work.pace is None or not work.load:
        return True
    counted = 1.0 - BEHIND_RATIO + FEW_REQUESTS * work.engines / work.load  # beside how nodes differ
    return work.pace < pace * (1.0 - min(MOST_CHANCE, max(counted, SPREADS * work.spread)))


def _does_other_work(member: MemberSigns, mix: float | None) -> bool:
    """Whether its prompts are longer than those of its like (T18)."""
    return member.prompts is not None and mix is not None and member.prompts > OTHER_WORK_RATIO * mix


def wasting(
    member: MemberSigns, like: Sequence[MemberSigns]
) -> tuple[int | None, Cause, tuple[Evidence, ...]]:
    """Return the GPU that takes more than its like, and why: limit, heat, clock, or only more power."""
    gpu, cause, why = _unlike(member, like)
    others = [each for one in like for each in one.gpus if each.up]
    watts, heat = (
        middle([each.power_watts for each in others]),
        middle([each.temperature_celsius for each in others]),
    )
    drawn = [each for each in member.gpus if each.power_watts is not None]
    if why or not watts or not drawn:
        return gpu, cause, why
    worst = max(drawn, key=lambda each: each.power_watts or 0.0)
    power = worst.power_watts or 0.0
    if power < MORE_RATIO * watts:
        return None, Cause.UNKNOWN, ()
    text = f"GPU {worst.gpu} draws {power:.0f} W, the others {watts:.0f} W"
    evidence = _evidence(member, worst, "gpu_power_watts", watts, text)
    hot = _hotter(member, worst, heat)
    return worst.gpu, Cause.THERMAL if hot else Cause.UNKNOWN, (*hot, evidence)


def suspected(
    member: MemberSigns, like: Sequence[MemberSigns]
) -> tuple[int | None, Cause, tuple[Evidence, ...]]:
    """Return the GPU that differs most from its like, and in what: limit, heat, clock, or NVLinks."""
    found = _unlike(member, like)
    return found if found[1] is not Cause.UNKNOWN else _linked_less(member, like)


def _linked_less(
    member: MemberSigns, like: Sequence[MemberSigns]
) -> tuple[int | None, Cause, tuple[Evidence, ...]]:
    """Return the GPU that has fewer NVLinks than its like, or one that is trained down."""
    others = [gpu for each in like for gpu in each.gpus if gpu.up]
    links = middle([gpu.nvlinks for gpu in others])
    speed = middle([gpu.nvlink_bytes_per_second for gpu in others])
    for gpu in member.gpus:
        if links and gpu.nvlinks is not None and gpu.nvlinks < links:
            text = f"GPU {gpu.gpu} has {gpu.nvlinks} active NVLinks, the others {links:.0f}"
            return gpu.gpu, Cause.NVLINK, (_evidence(member, gpu, "gpu_nvlinks", links, text),)
        own = gpu.nvlink_bytes_per_second
        if speed and own is not None and own < GPU_RATIO * speed:
            slower = f"carries {own / GIGA:.0f} GB/s, those of the others {speed / GIGA:.0f} GB/s"
            text = f"the slowest NVLink of GPU {gpu.gpu} {slower}"
            metric = "gpu_nvlink_slowest_bytes_per_second"
            return gpu.gpu, Cause.NVLINK, (_evidence(member, gpu, metric, speed, text),)
    return None, Cause.UNKNOWN, ()


def _unlike(
    member: MemberSigns, like: Sequence[MemberSigns]
) -> tuple[int | None, Cause, tuple[Evidence, ...]]:
    """Return the GPU that differs most from its like in limit, heat, or clock."""
    others = [gpu for each in like for gpu in each.gpus if gpu.up]
    limit = middle([gpu.power_limit_watts for gpu in others])
    clock = middle([gpu.clock_hertz for gpu in others])
    heat = middle([gpu.temperature_celsius for gpu in others])
    for gpu in sorted(member.gpus, key=lambda each: each.clock_hertz or 0.0):
        if limit and gpu.power_limit_watts is not None and gpu.power_limit_watts < GPU_RATIO * limit:
            text = f"GPU {gpu.gpu} is limited to {gpu.power_limit_watts:.0f} W, the others to {limit:.0f} W"
            return gpu.gpu, Cause.POWER_CAP, (_evidence(member, gpu, "gpu_power_limit_watts", limit, text),)
        slow: tuple[Evidence, ...] = ()
        if clock and gpu.clock_hertz is not None:
            if gpu.clock_hertz >= GPU_RATIO * clock:
                continue  # heat that slows down no clock is nothing
            own, usual = gpu.clock_hertz / MEGAHERTZ, clock / MEGAHERTZ
            text = f"GPU {gpu.gpu} runs at {own:.0f} MHz, the others at {usual:.0f} MHz"
            slow = (_evidence(member, gpu, "gpu_clock_hertz", clock, text),)
        hot = _hotter(member, gpu, heat)
        if hot or slow:
            return gpu.gpu, Cause.THERMAL if hot else Cause.CLOCKS_LOW, (*hot, *slow)
    return None, Cause.UNKNOWN, ()


def _hotter(member: MemberSigns, gpu: PeerGpuSigns, heat: float | None) -> tuple[Evidence, ...]:
    own = gpu.temperature_celsius
    if heat is None or own is None or own <= heat + HOTTER_CELSIUS:
        return ()
    text = f"GPU {gpu.gpu} is at {own:.0f} °C, the others at {heat:.0f} °C"
    return (_evidence(member, gpu, "gpu_temperature_celsius", heat, text),)


def _evidence(member: MemberSigns, gpu: PeerGpuSigns, metric: str, usual: float, text: str) -> Evidence:
    values = {
        "gpu_power_limit_watts": gpu.power_limit_watts,
        "gpu_clock_hertz": gpu.clock_hertz,
        "gpu_power_watts": gpu.power_watts,
        "gpu_temperature_celsius": gpu.temperature_celsius,
        "gpu_nvlinks": gpu.nvlinks,
        "gpu_nvlink_slowest_bytes_per_second": gpu.nvlink_bytes_per_second,
    }
    return Evidence(metric, member.node, gpu.gpu, usual, values[metric], text)
