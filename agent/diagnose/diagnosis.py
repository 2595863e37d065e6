"""One moment of a node in, its incidents out; what must be remembered is a value that goes round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose import blindness, hardware, kept, lull, saturation, thrift
from agent.diagnose.baseline import dumped, recalled
from agent.diagnose.gap import Gap
from agent.diagnose.watch import Watch, watched
from agent.measure.incident import Cause, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.signs import NodeSigns, UnitSigns
    from agent.measure.incident import Incident
    from agent.measure.reading import Moment

KEPT_SECONDS = 86400.0
"""Ended incidents are told for a day …"""
MOST_KEPT = 200
"""… but no more than so many."""
AWAITED_SECONDS = 60.0
"""What stood before a restart is over when nothing is seen of it for so long after it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a node from one moment to the next."""

    watches: Mapping[str, Watch] = field(default_factory=dict)
    """By deployment."""
    crowds: Mapping[str, saturation.Crowd] = field(default_factory=dict)
    """Full caches, by deployment."""
    lulls: Mapping[str, lull.Lull] = field(default_factory=dict)
    """What is asked for, by deployment …"""
    thrifts: Mapping[str, thrift.Thrift] = field(default_factory=dict)
    """… and what a token takes."""
    blind: blindness.Blind = blindness.Blind()
    gpus: hardware.Known = hardware.Known()
    incidents: tuple[Incident, ...] = ()
    """Those that stand and those that ended, the newest first."""
    resumed: kept.Resumed | None = None
    """What an earlier run knew, until the first moment."""
    awaited: frozenset[str] = frozenset()
    """Incidents of an earlier run …"""
    awaited_until: float = float("-inf")
    """… that stand until then, if nothing is seen of them."""


def diagnosed(memory: Memory, signs: NodeSigns) -> Memory:
    """Take one moment more."""
    if memory.resumed is not None:
        memory = _taken_up(memory, memory.resumed, signs.at)
    if signs.drained:
        # Taken out on purpose: nothing is missed.
        return replace(
            with_baselines(Memory(), baselines_of(memory)), incidents=_with(memory.incidents, (), signs)
        )
    waits = signs.at.monotonic_seconds < memory.awaited_until
    watches, told = _of_units(memory, signs, waits=waits)
    beside = _beside(memory, watches, signs, told, waits=waits)
    down = {name for each in watches.values() for name in _told_down(each)}
    hidden = {name for unit in signs.units for name in _hidden(unit, watches[unit.deployment])}
    blind, gap = blindness.watched(memory.blind, signs, frozenset(hidden), frozenset(down))
    if gap is not None:
        told.append(gap)
    gpus, faults = hardware.watched(memory.gpus, signs, [each for each in told if each.ended is None])
    told.extend(faults)
    awaited = memory.awaited if waits else frozenset[str]()
    incidents = _with(memory.incidents, tuple(told), signs, awaited)
    return replace(
        beside,
        watches=watches,
        blind=blind,
        gpus=gpus,
        incidents=incidents,
        awaited=awaited,
        awaited_until=memory.awaited_until,
    )


def _of_units(memory: Memory, signs: NodeSigns, *, waits: bool) -> tuple[dict[str, Watch], list[Incident]]:
    """Watch each deployment; what one that is not seen any more usually gives is not forgotten."""
    told: list[Incident] = []
    watches = dict(memory.watches)
    for name in watches.keys() - {unit.deployment for unit in signs.units}:
        if not (waits and watches[name].incident is not None and not watches[name].samples):
            watches[name] = Watch(gap=Gap(baseline=watches[name].gap.baseline))
    for unit in signs.units:
        name = unit.deployment
        watches[name], incident = watched(memory.watches.get(name, Watch()), unit, signs)
        told.extend(each for each in (incident, *watches[name].other.incidents) if each is not None)
    return watches, told


def _beside(
    memory: Memory, watches: Mapping[str, Watch], signs: NodeSigns, told: list[Incident], *, waits: bool
) -> Memory:
    """Watch what is no drop: full caches, less demand, more joules for each token."""
    crowds, lulls = (dict(memory.crowds), dict(memory.lulls)) if waits else ({}, {})
    thrifts = {name: each if waits else thrift.rested(each) for name, each in memory.thrifts.items()}
    for unit in signs.units:
        name, watch = unit.deployment, watches[unit.deployment]
        crowds[name], full = saturation.watched(
            memory.crowds.get(name, saturation.Crowd()), watch, unit, signs
        )
        lulls[name], less = lull.watched(memory.lulls.get(name, lull.Lull()), watch, unit, signs)
        thrifts[name], more = thrift.watched(memory.thrifts.get(name, thrift.Thrift()), watch, unit, signs)
        told.extend(each for each in (full, less, more) if each is not None)
    return Memory(crowds=crowds, lulls=lulls, thrifts=thrifts)


def _told_down(watch: Watch) -> tuple[str, ...]:
    """Return the engines that are told to be down."""
    both = (watch.incident, watch.other.incident)
    if not watch.samples or not any(each and each.cause is Cause.ENGINE_DOWN for each in both):
        return ()
    return watch.samples[-1].gone


def _hidden(unit: UnitSigns, watch: Watch) -> set[str]:
    """Return the engines that work though nothing listens at their pages."""
    return {each.instance for each in unit.engines if each.gone} & set(watch.samples[-1].unread)


def _taken_up(memory: Memory, resumed: kept.Resumed, at: Moment) -> Memory:
    """Go on with what stood before a restart."""
    watches = dict(memory.watches)
    for name, standing in resumed.standing.items():
        watches[name] = kept.watch_of(standing, watches.get(name, Watch()).gap.baseline, at)
    crowds = {
        name: saturation.Crowd(since=kept.since_of(each, at), incident=each)
        for name, each in resumed.crowds.items()
    }
    more = {
        name: replace(memory.thrifts.get(name, thrift.Thrift()), since=kept.since_of(each, at), incident=each)
        for name, each in resumed.thrifts.items()
    }
    fewer = {
        name: lull.Lull(usual=usual, since=kept.since_of(each, at), incident=each)
        for name, (each, usual) in resumed.lulls.items()
    }
    standing_now = [each for each in resumed.incidents if each.ended is None]
    gap = next((each for each in standing_now if each.kind is Kind.GAP), None)
    blind = blindness.Blind() if gap is None else blindness.Blind(kept.since_of(gap, at), True, gap)  # noqa: FBT003  # its fields
    return replace(
        memory,
        watches=watches,
        crowds=crowds,
        lulls=fewer,
        thrifts={**memory.thrifts, **more},
        blind=blind,
        gpus=hardware.resumed(standing_now, at.monotonic_seconds),
        incidents=resumed.incidents,
        resumed=None,
        awaited=frozenset(each.id for each in standing_now),
        awaited_until=at.monotonic_seconds + AWAITED_SECONDS,
    )


def standing_of(memory: Memory) -> dict[str, Any]:
    """Return what stands, as plain values; its incidents are told beside it."""
    return kept.standing_of(memory.watches, memory.crowds, memory.thrifts, memory.lulls)


def baselines_of(memory: Memory) -> dict[str, Any]:
    """Return what each deployment usually gives, and takes, as plain values."""
    takes = {name: {"thrift": thrift.dumped(each)} for name, each in memory.thrifts.items() if each.usual}
    return {name: dumped(watch.gap.baseline) | takes.get(name, {}) for name, watch in memory.watches.items()}


def with_baselines(memory: Memory, told: Mapping[str, Any]) -> Memory:
    """Begin with what was kept. Raises ValueError, TypeError or KeyError when it is something else."""
    watches = {str(name): Watch(gap=Gap(baseline=recalled(each))) for name, each in dict(told).items()}
    thrifts = {
        str(name): thrift.recalled(each["thrift"]) for name, each in dict(told).items() if "thrift" in each
    }
    return replace(memory, watches=watches, thrifts=thrifts)


def _with(
    known: tuple[Incident, ...],
    told: tuple[Incident, ...],
    signs: NodeSigns,
    awaited: frozenset[str] = frozenset(),
) -> tuple[Incident, ...]:
    """Return all incidents: those told now as they stand, those no longer told as ended."""
    now, named = signs.at.unix_seconds, {each.id for each in told}
    others = [
        each if each.ended is not None or each.id in awaited else replace(each, ended=now)
        for each in known
        if each.id not in named and (each.ended is None or now - each.ended < KEPT_SECONDS)
    ]
    return tuple(sorted((*told, *others), key=lambda each: -each.started)[:MOST_KEPT])
