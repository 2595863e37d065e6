"""A deployment that makes as many tokens as usual at a load, and takes more joules for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.baseline import amount, load_of, place_of
from agent.measure.incident import Cause, Evidence, Incident, Kind, Severity
from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import NodeSigns, UnitSigns
    from agent.diagnose.watch import Watch

SMOOTHED_SECONDS = 30.0
KNOWN_SECONDS = 300.0
"""So long it takes to know what a token takes at a load …"""
MEMORY_SECONDS = 3600.0
"""… and so long until it is renewed."""
WORSE_RATIO, BETTER_RATIO = 1.15, 1.08
"""So many times the usual joules for a token are more; from there on down it is over."""
OTHER_WORK_RATIO = 1.1
"""So many times the usual prompts for each output token are other work."""
LASTS_SECONDS = 120.0
OVER_SECONDS = 60.0
LEAST_LOAD_RATIO = 0.5
"""Idle power is shared by few tokens at a low load (T18): there nothing is judged."""
HOTTER_CELSIUS, MORE_RATIO = 8.0, 1.08
LEAST_RATE = 1.0
LONGEST_STEP_SECONDS = 5.0
MOST_KEPT = 16
"""So many loads, those seen for longest, are kept over a restart."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Joules of an output token at one load."""

    joules: float
    seconds: float
    """For how long it was seen."""
    watts: Mapping[int, float]
    """Of each GPU, usually …"""
    celsius: Mapping[int, float]
    """… and how hot it was."""
    mix: float | None = None
    """Computed prompt tokens for each output token: longer prompts take more of both."""


@dataclass(frozen=True, slots=True)
class Thrift:
    """What a token usually takes by load, and since when it takes more."""

    usual: Mapping[int, Cost] = field(default_factory=dict)
    now: Cost | None = None
    at: float = 0.0
    place: int | None = None
    """The load that `now` is of."""
    since: float | None = None
    better_since: float | None = None
    incident: Incident | None = None


def rested(thrift: Thrift) -> Thrift:
    """Return what is known of a deployment that is not seen: what stood is over, what is usual stays."""
    return Thrift(usual=thrift.usual)


def dumped(thrift: Thrift) -> list[Any]:
    """Return what a token usually takes as plain values, to be kept over a restart."""
    longest = sorted(thrift.usual.items(), key=lambda pair: -pair[1].seconds)[:MOST_KEPT]
    return [
        [place, each.joules, round(each.seconds, 1), each.mix, _rounded(each.watts), _rounded(each.celsius)]
        for place, each in longest
    ]


def _rounded(of_gpus: Mapping[int, float]) -> list[list[float]]:
    return [[gpu, round(each, 1)] for gpu, each in of_gpus.items()]


def recalled(kept: Any) -> Thrift:
    """Take what `dumped` gave. Raises ValueError or TypeError when it is something else."""
    usual = {}
    for place, joules, seconds, mix, watts, celsius in kept:
        known = min(amount(seconds), MEMORY_SECONDS)
        heat = {int(gpu): amount(each) for gpu, each in celsius}
        draws = {int(gpu): amount(each) for gpu, each in watts}
        usual[int(place)] = Cost(amount(joules), known, draws, heat, None if mix is None else amount(mix))
    return Thrift(usual=usual)


def watched(thrift: Thrift, watch: Watch, unit: UnitSigns, node: NodeSigns) -> tuple[Thrift, Incident | None]:
    """Take one moment more; return the incident while it stands, and once more when it has ended."""
    now, sample = node.at.monotonic_seconds, watch.samples[-1]
    seconds = min(now - thrift.at, LONGEST_STEP_SECONDS) if thrift.at else 0.0
    thrift = replace(thrift, at=now)
    seen = _seen(watch, sample)
    if seen is None or seconds <= 0.0:
        if watch.gap.since is None and thrift.incident is None:
            return thrift, None
        return _over(thrift, node) if watch.gap.sure else (thrift, thrift.incident)
    place, cost = seen
    same = thrift.place == place
    thrift = replace(
        thrift, now=_nearer(thrift.now if same else None, cost, seconds, SMOOTHED_SECONDS), place=place
    )
    usual = thrift.usual.get(place)
    if thrift.now is None or thrift.now.seconds < SMOOTHED_SECONDS:
        return thrift, thrift.incident
    if usual is not None and _is_other_work(thrift.now, usual):
        return _eased(thrift, now, node)
    if usual is None or usual.seconds < KNOWN_SECONDS or _is_fair(thrift, usual):
        renewed = {**thrift.usual, place: _nearer(usual, cost, seconds, MEMORY_SECONDS)}
        return _eased(replace(thrift, usual=renewed), now, node)
    thrift = replace(thrift, since=now if thrift.since is None else thrift.since, better_since=None)
    if now - (thrift.since or now) < LASTS_SECONDS:
        return thrift, thrift.incident
    thrift = replace(thrift, incident=_told(thrift, usual, unit, node))
    return thrift, thrift.incident


def _seen(watch: Watch, sample: Sample) -> tuple[int, Cost] | None:
    """Return the load and what a token takes at it, where all of it is known and there is enough to do."""
    load, capacity = load_of(watch.gap.baseline, sample.in_flight), watch.gap.baseline.capacity
    watts = {gpu.gpu: gpu.power_watts for gpu in sample.gpus if gpu.power_watts is not None}
    if watch.gap.since is not None or not load or not sample.rate or sample.rate < LEAST_RATE or not watts:
        return None
    if len(watts) < len(sample.gpus) or not capacity or sample.rate < LEAST_LOAD_RATIO * capacity:
        return None
    heat = {g.gpu: g.temperature_celsius for g in sample.gpus if g.temperature_celsius is not None}
    mix = None if sample.prompt_rate is None else sample.prompt_rate / sample.rate
    return round(place_of(load)), Cost(sum(watts.values()) / sample.rate, 0.0, watts, heat, mix)


def _is_other_work(now: Cost, usual: Cost) -> bool:
    return now.mix is not None and usual.mix is not None and now.mix > OTHER_WORK_RATIO * usual.mix


def _nearer(before: Cost | None, now: Cost, seconds: float, over: float) -> Cost:
    if before is None:
        return replace(now, seconds=seconds)
    share = min(1.0, seconds / min(over, before.seconds + seconds))

    def nearer(old: Mapping[int, float], new: Mapping[int, float]) -> dict[int, float]:
        return {gpu: old.get(gpu, each) + (each - old.get(gpu, each)) * share for gpu, each in new.items()}

    return Cost(
        before.joules + (now.joules - before.joules) * share,
        min(over, before.seconds + seconds),
        nearer(before.watts, now.watts),
        nearer(before.celsius, now.celsius),
        now.mix if now.mix is None or before.mix is None else before.mix + (now.mix - before.mix) * share,
    )


def _is_fair(thrift: Thrift, usual: Cost) -> bool:
    """Whether a token takes no more than usual; once it takes more, it must take clearly less again."""
    least = WORSE_RATIO if thrift.since is None else BETTER_RATIO
    return thrift.now is not None and thrift.now.joules < least * usual.joules


def _eased(thrift: Thrift, now: float, node: NodeSigns) -> tuple[Thrift, Incident | None]:
    if thrift.incident is None:
        return replace(thrift, since=None, better_since=None), None
    better = now if thrift.better_since is None else thrift.better_since
    if now - better >= OVER_SECONDS:
        return _over(thrift, node)
    return replace(thrift, better_since=better), thrift.incident


def _over(thrift: Thrift, node: NodeSigns) -> tuple[Thrift, Incident | None]:
    over = thrift.incident and replace(thrift.incident, ended=node.at.unix_seconds)
    return replace(thrift, since=None, better_since=None, incident=None), over


def _told(thrift: Thrift, usual: Cost, unit: UnitSigns, node: NodeSigns) -> Incident:
    before, cost = thrift.incident, thrift.now or usual
    started = node.at.unix_seconds - (node.at.monotonic_seconds - (thrift.since or 0.0))
    text = f"a token takes {cost.joules:.3g} J, {usual.joules:.3g} J is usual at this load"
    more = Evidence(
        "deployment_tokens_per_joule", node.node, None, 1.0 / usual.joules, 1.0 / cost.joules, text
    )
    gpu, cause, why = _suspected(usual, cost, node.node)
    summary = f"{node.node}: {unit.model} makes as many tokens as usual and takes more for each: {text}"
    return Incident(
        id=f"{node.node}/{unit.deployment}/efficiency/{started:.0f}" if before is None else before.id,
        scope="node",
        kind=Kind.EFFICIENCY,
        cause=cause,
        severity=Severity.WARNING,
        node=node.node,
        gpu=gpu,
        engine_instance="",
        model=unit.model,
        started=started if before is None else before.started,
        detected=node.at.unix_seconds if before is None else before.detected,
        ended=None,
        lost_tokens=0.0,
        lost_joules=None,
        confidence=0.9 if why else 0.5,
        evidence=(more, *why),
        summary=summary + (f"; {why[0].text}" if why else ""),
    )


def _suspected(usual: Cost, now: Cost, node: str) -> tuple[int | None, Cause, tuple[Evidence, ...]]:
    """Return the GPU that draws most beyond what it did, and whether it is hotter."""
    grown = {gpu: watts / usual.watts[gpu] for gpu, watts in now.watts.items() if usual.watts.get(gpu)}
    if not grown:
        return None, Cause.UNKNOWN, ()
    worst = max(grown, key=lambda gpu: grown[gpu])
    if grown[worst] < MORE_RATIO:
        return None, Cause.UNKNOWN, ()
    alone = len(grown) > 1 and grown[worst] >= MORE_RATIO * median(grown.values())
    gpu = worst if alone or len(grown) == 1 else None
    text = f"GPU {worst} draws {now.watts[worst]:.0f} W, usually {usual.watts[worst]:.0f} W"
    why = [Evidence("gpu_power_watts", node, worst, usual.watts[worst], now.watts[worst], text)]
    heat, was = now.celsius.get(worst), usual.celsius.get(worst)
    if heat is None or was is None or heat < was + HOTTER_CELSIUS:
        return gpu, Cause.UNKNOWN, tuple(why)
    text = f"GPU {worst} is at {heat:.0f} °C, usually at {was:.0f} °C"
    why.insert(0, Evidence("gpu_temperature_celsius", node, worst, was, heat, text))
    return gpu, Cause.THERMAL, tuple(why)
