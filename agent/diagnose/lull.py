"""Clients ask for less: fewer tokens are made, and none is missing. Information: nobody has to search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.demand import is_waiting
from agent.measure.incident import Cause, Evidence, Incident, Kind, Severity

if TYPE_CHECKING:
    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import NodeSigns, UnitSigns
    from agent.diagnose.watch import Watch

SMOOTHED_SECONDS = 20.0
USUAL_SECONDS = 600.0
"""What is usual is the mean of about so long …"""
KNOWN_SECONDS = 180.0
"""… and known after so long."""
FALLEN_RATIO, BACK_RATIO = 0.6, 0.8
"""Less than this share of what was usual is a fall worth a word; from that share on it is over."""
LASTS_SECONDS = 150.0
"""Chance arrivals in bursts leave pauses of a minute."""
BACK_SECONDS = 15.0
ACCUSTOMED_SECONDS = 1800.0
"""After this time it is the usual."""
LEAST_RATE = 1.0
LONGEST_STEP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What is made and asked for, on average over some time."""

    rate: float
    in_flight: float
    seconds: float = 0.0
    """For how long it was seen."""


@dataclass(frozen=True, slots=True)
class Lull:
    """What is usual of one deployment, and since when it is asked for less."""

    usual: Pace | None = None
    now: Pace | None = None
    at: float = 0.0
    since: float | None = None
    back_since: float | None = None
    incident: Incident | None = None


def watched(lull: Lull, watch: Watch, unit: UnitSigns, node: NodeSigns) -> tuple[Lull, Incident | None]:
    """Take one moment more; return the incident while it stands, and once more when it has ended."""
    now, sample = node.at.monotonic_seconds, watch.samples[-1]
    if watch.gap.since is not None or sample.gone or sample.unread:
        # What is missing, or not seen, is told as that: there is no saying how much is asked for.
        return _over(replace(lull, at=now), node) if watch.gap.sure or sample.gone else (lull, lull.incident)
    if sample.rate is None or sample.in_flight is None:
        return lull, lull.incident
    seconds = min(now - lull.at, LONGEST_STEP_SECONDS) if lull.at else 0.0
    pace = _nearer(lull.now, sample, seconds, SMOOTHED_SECONDS)
    lull = replace(lull, now=pace, at=now)
    usual = lull.usual
    if usual is None or lull.since is None:
        fallen = usual is not None and _has_fallen(pace, usual, sample)
        if not fallen:
            return replace(lull, usual=_nearer(usual, sample, seconds, USUAL_SECONDS)), None
        return replace(lull, since=now), None
    return _lasting(lull, lull.since, usual, pace, unit, node, _is_back(pace, usual, sample))


def _is_back(pace: Pace, usual: Pace, sample: Sample) -> bool:
    return pace.rate >= BACK_RATIO * usual.rate or is_waiting(sample, sample.in_flight or 0.0)


def _lasting(
    lull: Lull,
    since: float,
    usual: Pace,
    pace: Pace,
    unit: UnitSigns,
    node: NodeSigns,
    back: bool,  # noqa: FBT001  # one of seven
) -> tuple[Lull, Incident | None]:
    """Go on with a fall that has begun: tell it when it lasts, and end it."""
    now = node.at.monotonic_seconds
    back_since = (now if lull.back_since is None else lull.back_since) if back else None
    lull = replace(lull, back_since=back_since)
    if back_since is not None and (lull.incident is None or now - back_since >= BACK_SECONDS):
        return _over(lull, node)
    if now - since >= ACCUSTOMED_SECONDS:
        return _over(replace(lull, usual=pace), node)
    if now - since < LASTS_SECONDS:
        return lull, None
    lull = replace(lull, incident=lull.incident or _told(lull, usual, pace, unit, node))
    return lull, lull.incident


def _nearer(pace: Pace | None, sample: Sample, seconds: float, over: float) -> Pace:
    rate, in_flight = sample.rate or 0.0, sample.in_flight or 0.0
    if pace is None:
        return Pace(rate, in_flight)
    share = min(1.0, seconds / min(over, pace.seconds + seconds)) if seconds else 0.0
    return Pace(
        pace.rate + (rate - pace.rate) * share,
        pace.in_flight + (in_flight - pace.in_flight) * share,
        min(over, pace.seconds + seconds),
    )


def _has_fallen(now: Pace, usual: Pace, sample: Sample) -> bool:
    """Whether less is asked for: fewer tokens are made, on fewer requests, and none of them waits."""
    if usual.seconds < KNOWN_SECONDS or usual.rate < LEAST_RATE:
        return False
    fewer = now.in_flight < BACK_RATIO * usual.in_flight
    return now.rate < FALLEN_RATIO * usual.rate and fewer and not is_waiting(sample, sample.in_flight or 0.0)


def _over(lull: Lull, node: NodeSigns) -> tuple[Lull, Incident | None]:
    over = lull.incident and replace(lull.incident, ended=node.at.unix_seconds)
    return replace(lull, since=None, back_since=None, incident=None), over


def _told(lull: Lull, usual: Pace, now: Pace, unit: UnitSigns, node: NodeSigns) -> Incident:
    started = node.at.unix_seconds - (node.at.monotonic_seconds - (lull.since or 0.0))
    made = f"{now.rate:.0f} output tokens/s are made, {usual.rate:.0f} lately"
    there = f"{now.in_flight:.0f} requests are there, {usual.in_flight:.0f} lately"
    return Incident(
        id=f"{node.node}/{unit.deployment}/demand/{started:.0f}",
        scope="node",
        kind=Kind.DEMAND,
        cause=Cause.DEMAND,
        severity=Severity.INFO,
        node=node.node,
        gpu=None,
        engine_instance="",
        model=unit.model,
        started=started,
        detected=node.at.unix_seconds,
        ended=None,
        lost_tokens=0.0,
        lost_joules=None,
        confidence=1.0,
        evidence=(
            Evidence("deployment_requests", node.node, None, usual.in_flight, now.in_flight, there),
            Evidence("engine_tokens_per_second", node.node, None, usual.rate, now.rate, made),
        ),
        summary=f"{node.node}: clients ask {unit.model} for less, and nothing is missing: {made}, {there}",
    )
