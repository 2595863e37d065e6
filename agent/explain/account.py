"""What a recording comes to: its incident judged once more, what changed when, and what else it could be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from agent.diagnose.considered import Considered, considered
from agent.diagnose.rack_signs import RackSigns
from agent.diagnose.replay import replayed
from agent.diagnose.signs import NodeSigns
from agent.diagnose.timeline import Event, timeline
from agent.diagnose.watch import case_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.diagnose.case import Case
    from agent.diagnose.diagnosis import Memory
    from agent.diagnose.verdict import Verdict
    from agent.measure.incident import Incident
    from agent.recorder.reading import Recording

SAME_SECONDS = 5.0
"""A replay may find the beginning so much earlier or later: it learned from less."""
EVENTS_BEFORE_SECONDS, EVENTS_AFTER_SECONDS = 60.0, 30.0
HOLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """All that can be told of one incident."""

    incident: Incident
    """As it was told, or as the replay finds it where nothing was."""
    again: Incident | None = None
    """As this rackwatt judges it; None when it finds none."""
    events: tuple[Event, ...] = ()
    others: tuple[Considered, ...] = ()
    """What it is not, the likeliest first."""
    unknown: tuple[str, ...] = ()
    """What was not known to the judge."""
    missing: float | None = None
    """Share of the expected rate that was missing when it was judged …"""
    explained: float | None = None
    """… and what the cause would take away; None where that cannot be reckoned."""
    notes: tuple[str, ...] = ()
    recorded: tuple[float, float] | None = None
    """First and last moment, Unix seconds; None without a recording."""

    @property
    def same(self) -> bool:
        """Whether the replay tells what was told."""
        again = self.again
        told = self.incident
        return again is not None and (again.kind, again.cause) == (told.kind, told.cause)


class NothingFoundError(Exception):
    """A recording in which nothing is wrong."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A verdict and what it was made of."""

    case: Case
    verdict: Verdict
    signs: NodeSigns


def account_of(recording: Recording) -> Account:
    """Judge a recording once more. Raises NothingFoundError."""
    moments = [step for step in recording.steps if isinstance(step, NodeSigns)]
    incidents: dict[str, Incident] = {}
    judged: dict[str, _Judged] = {}
    for signs, memory in replayed(step for step in recording.steps if not isinstance(step, RackSigns)):
        incidents |= {each.id: each for each in memory.incidents}
        judged |= _judgements(memory, signs, judged)
    again = _again(recording.incident, incidents.values())
    told = recording.incident or again
    if told is None:
        raise NothingFoundError
    case = None if again is None else judged.get(again.id)
    notes = (*recording.notes, *holes(moments))
    return Account(
        incident=told,
        again=again,
        events=around(timeline(moments), told),
        others=() if case is None else considered(case.case, case.verdict),
        unknown=() if case is None else tuple(_unknown(case)),
        missing=None if case is None else case.case.missing,
        explained=None if case is None else case.verdict.best.explained,
        notes=notes,
        recorded=(moments[0].at.unix_seconds, moments[-1].at.unix_seconds),
    )


def _judgements(memory: Memory, signs: NodeSigns, known: dict[str, _Judged]) -> dict[str, _Judged]:
    """Return the verdicts that are new, with what they were made of."""
    found = {}
    for watch in memory.watches.values():
        incident, verdict = watch.incident, watch.verdict
        if incident is None or verdict is None or not watch.case_before:
            continue
        before = known.get(incident.id)
        if before is None or before.verdict is not verdict:
            found[incident.id] = _Judged(case_of(watch, signs), verdict, signs)
    return found


def _again(told: Incident | None, found: Iterable[Incident]) -> Incident | None:
    """Return the incident of a replay that is the one that was told, or the costliest where none was."""
    if told is None:
        return max(found, key=lambda each: (each.severity != "info", each.lost_tokens), default=None)
    id_ = told.id
    same = [each for each in found if each.id == id_ or id_.endswith(f"/{each.id}")]
    near = [
        each
        for each in found
        if each.model == told.model and abs(each.started - told.started) <= SAME_SECONDS
    ]
    return next(iter(same or near), None)


def around(events: tuple[Event, ...], told: Incident) -> tuple[Event, ...]:
    """Return what changed around an incident, with its own moments among it."""
    last = float("inf") if told.ended is None else told.ended + EVENTS_AFTER_SECONDS
    first = told.started - EVENTS_BEFORE_SECONDS
    near = [each for each in events if first <= each.unix_seconds <= last]
    own = [Event(told.started, f"the {told.kind} begins"), Event(told.detected, "it is sure, and told")]
    if told.ended is not None:
        own.append(Event(told.ended, "it is over"))
    # Of the same second what changed comes first: it is seen in one look with what came of it.
    return tuple(sorted((*near, *own), key=lambda each: (round(each.unix_seconds), each in own)))


def holes(moments: Sequence[NodeSigns | RackSigns]) -> list[str]:
    """Return a note of the time that is missing within a recording."""
    pairs = pairwise(moments)
    holes = [after.at.monotonic_seconds - before.at.monotonic_seconds for before, after in pairs]
    long = [hole for hole in holes if hole > HOLE_SECONDS]
    return [f"{sum(long):.0f} s within the recording are missing from it"] if long else []


def _unknown(judged: _Judged) -> Iterable[str]:
    """Yield what the judge would have liked to know."""
    sample = judged.case.during[-1]
    gpus, engines = sample.gpus, [each for each in sample.engines.values() if each.up]
    if not gpus:
        yield "no GPU is known to belong to these engines: nothing is said of hardware"
    for name, what in (
        ("clock_hertz", "clock"),
        ("power_watts", "power"),
        ("limit_watts", "power limit"),
        ("temperature_celsius", "temperature"),
        ("fabric_healthy", "state in the NVLink fabric"),
    ):
        numbers = [str(gpu.gpu) for gpu in gpus if not gpu.is_lost and getattr(gpu, name) is None]
        if numbers:
            whose = "any GPU" if len(numbers) == len(gpus) else f"GPU {', '.join(numbers)}"
            yield f"the {what} of {whose}"
    for name, what in (
        ("running", "how many requests are in work"),
        ("waiting", "how many requests wait"),
        ("kv_cache_usage_ratio", "how full the KV cache is"),
        ("preemptions", "how many requests are put off"),
        ("prompt", "how many prompt tokens are computed"),
    ):
        if any(getattr(each, name) is None for each in engines):
            yield f"{what}: the engine does not tell"
    for name in sample.unread:
        yield f"what {name} does: its page cannot be read"


def account_without(incident: Incident, why: str) -> Account:
    """Return what can be told of an incident of which there is no recording."""
    bare = Account(incident, events=around((), incident))
    return replace(bare, notes=(why,))
