"""One moment of a node in, its incidents out; what must be remembered is a value that goes round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose import blindness, hardware, saturation
from agent.diagnose.baseline import dumped, recalled
from agent.diagnose.gap import Gap
from agent.diagnose.watch import Watch, watched
from agent.measure.incident import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.signs import NodeSigns
    from agent.measure.incident import Incident

KEPT_SECONDS = 86400.0
"""Ended incidents are told for a day …"""
MOST_KEPT = 200
"""… but no more than so many."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a node from one moment to the next."""

    watches: Mapping[str, Watch] = field(default_factory=dict)
    """By deployment."""
    crowds: Mapping[str, saturation.Crowd] = field(default_factory=dict)
    """Full caches, by deployment."""
    blind: blindness.Blind = blindness.Blind()
    gpus: hardware.Known = hardware.Known()
    incidents: tuple[Incident, ...] = ()
    """Those that stand and those that ended, the newest first."""


def diagnosed(memory: Memory, signs: NodeSigns) -> Memory:
    """Take one moment more."""
    if signs.drained:
        # Taken out on purpose: nothing is missed.
        return replace(
            with_baselines(Memory(), baselines_of(memory)), incidents=_with(memory.incidents, (), signs)
        )
    watches, crowds, told = dict(memory.watches), {}, []
    down, hidden = set[str](), set[str]()
    for name in watches.keys() - {unit.deployment for unit in signs.units}:
        watches[name] = Watch(gap=Gap(baseline=watches[name].gap.baseline))
    for unit in signs.units:
        watches[unit.deployment], incident = watched(
            memory.watches.get(unit.deployment, Watch()), unit, signs
        )
        if incident is not None:
            told.append(incident)
            if incident.cause is Cause.ENGINE_DOWN and incident.ended is None:
                down |= set(watches[unit.deployment].samples[-1].gone)
        hidden |= set(watches[unit.deployment].samples[-1].unread) & {
            e.instance for e in unit.engines if e.gone
        }
        crowd = memory.crowds.get(unit.deployment, saturation.Crowd())
        crowds[unit.deployment], full = saturation.watched(crowd, watches[unit.deployment], unit, signs)
        if full is not None:
            told.append(full)
    blind, gap = blindness.watched(memory.blind, signs, frozenset(hidden), frozenset(down))
    if gap is not None:
        told.append(gap)
    gpus, faults = hardware.watched(memory.gpus, signs, [each for each in told if each.ended is None])
    told.extend(faults)
    return Memory(watches, crowds, blind, gpus, _with(memory.incidents, tuple(told), signs))


def baselines_of(memory: Memory) -> dict[str, Any]:
    """Return what each deployment usually gives, as plain values."""
    return {name: dumped(watch.gap.baseline) for name, watch in memory.watches.items()}


def with_baselines(memory: Memory, kept: Mapping[str, Any]) -> Memory:
    """Begin with what was kept. Raises ValueError, TypeError or KeyError when it is something else."""
    watches = {str(name): Watch(gap=Gap(baseline=recalled(each))) for name, each in dict(kept).items()}
    return replace(memory, watches=watches)


def _with(kept: tuple[Incident, ...], told: tuple[Incident, ...], signs: NodeSigns) -> tuple[Incident, ...]:
    """Return all incidents: those told now as they stand, those no longer told as ended."""
    now, named = signs.at.unix_seconds, {each.id for each in told}
    others = [
        each if each.ended is not None else replace(each, ended=now)
        for each in kept
        if each.id not in named and (each.ended is None or now - each.ended < KEPT_SECONDS)
    ]
    return tuple(sorted((*told, *others), key=lambda each: -each.started)[:MOST_KEPT])
