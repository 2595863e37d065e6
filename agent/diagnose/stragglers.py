"""Who is behind its like: the members of a rack that serve the same with as much to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.case import middle
from agent.measure.incident import Cause, Evidence
from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.rack_signs import MemberSigns, PeerGpuSigns, RackSigns

BEHIND_RATIO = 0.95
"""The noise band of the published record is 5 % around the median; its slowest node was 6.7 % below."""
LEAST_LIKE = 4
"""So many members that serve the same make a median."""
LOAD_RATIO = 0.9
"""One that has fewer requests than this share of the median's is not behind: it is asked for less."""
OTHER_WORK_RATIO = 1.1
"""One that computes so many more prompt tokens for each output token than the median does other work."""
WASTEFUL_RATIO = 0.93
"""Power of like GPUs differs by some percent from one to the next; a node sums several of them."""
MORE_RATIO = 1.05
GPU_RATIO = 0.97
HOTTER_CELSIUS = 8.0
MEGAHERTZ, GIGA = 1e6, 1e9


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


def likes_of(rack: RackSigns) -> dict[str, Like]:
    """Return every member that can be compared, by its name."""
    groups: dict[tuple[str, ...], list[tuple[float, MemberSigns]]] = {}
    for member in rack.members:
        if member.up and not member.drained and member.rate and len(member.models) == 1:
            groups.setdefault(member.models, []).append((member.rate, member))
    found = {}
    for group in groups.values():
        if len(group) < LEAST_LIKE:
            continue
        usual_rate = median(rate for rate, _ in group)
        loads = [member.in_flight for _, member in group if member.in_flight is not None]
        load = median(loads) if loads else None
        ratios = [member.ratio for _, member in group if member.ratio is not None]
        usual = median(ratios) if len(ratios) >= LEAST_LIKE else None
        mix = middle(member.prompts for _, member in group)
        like = [member for _, member in group]
        for rate, member in group:
            asked = _is_asked_as_much(member, load, mix)
            behind = asked and rate < BEHIND_RATIO * usual_rate
            ratio = member.ratio
            wasteful = usual is not None and ratio is not None and ratio < WASTEFUL_RATIO * usual
            found[member.node] = Like(
                rate, usual_rate, like, behind, ratio, usual, wasteful and asked and not behind
            )
    return found


def _is_asked_as_much(member: MemberSigns, load: float | None, mix: float | None) -> bool:
    """Whether a member has as many requests as the median, and no longer prompts (T18)."""
    if member.prompts is not None and mix is not None and member.prompts > OTHER_WORK_RATIO * mix:
        return False
    return load is None or member.in_flight is None or member.in_flight >= LOAD_RATIO * load


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
    if heat is None or (worst.temperature_celsius or 0.0) <= heat + HOTTER_CELSIUS:
        return worst.gpu, Cause.UNKNOWN, (evidence,)
    text = f"GPU {worst.gpu} is at {worst.temperature_celsius:.0f} °C, the others at {heat:.0f} °C"
    hot = _evidence(member, worst, "gpu_temperature_celsius", heat, text)
    return worst.gpu, Cause.THERMAL, (hot, evidence)


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
        if not clock or gpu.clock_hertz is None or gpu.clock_hertz >= GPU_RATIO * clock:
            continue
        own, usual = gpu.clock_hertz / MEGAHERTZ, clock / MEGAHERTZ
        text = f"GPU {gpu.gpu} runs at {own:.0f} MHz, the others at {usual:.0f} MHz"
        slow = _evidence(member, gpu, "gpu_clock_hertz", clock, text)
        if heat is not None and (gpu.temperature_celsius or 0.0) > heat + HOTTER_CELSIUS:
            text = f"GPU {gpu.gpu} is at {gpu.temperature_celsius:.0f} °C, the others at {heat:.0f} °C"
            return (
                gpu.gpu,
                Cause.THERMAL,
                (_evidence(member, gpu, "gpu_temperature_celsius", heat, text), slow),
            )
        return gpu.gpu, Cause.CLOCKS_LOW, (slow,)
    return None, Cause.UNKNOWN, ()


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
