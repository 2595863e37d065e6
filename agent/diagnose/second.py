"""Two faults that overlap: what the cause that is told leaves unexplained is told as a second incident.

What is lost from then on is divided between the two, by what each takes away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.case import middle
from agent.measure.incident import Bounds, Cause, Kind, Severity

if TYPE_CHECKING:
    from agent.diagnose.case import Case, Explanation
    from agent.diagnose.verdict import Verdict
    from agent.measure.incident import Incident

SETTLED_SECONDS = 30.0
"""What is missing, and what speaks, within this time of the beginning is of the first cause …"""
GROWN = 0.05
"""… and what is missing later must be more by this share of the rate, for a new cause."""
SURE_SECONDS = 6.0
"""It is told when it has spoken for so long, and over when it was silent for so long."""
LEAST_WEIGHT = 0.4
LEAST_UNEXPLAINED, LEAST_SHARE = 0.1, 0.25
"""From the beginning there are two, where the first leaves so much of the rate, and of what is missing …"""
LEAST_FIT, MOST_FIT = 0.75, 1.35
"""… and both together explain about what is missing."""
CONSEQUENCES = {Cause.ENGINE_RESTART, Cause.ENGINE_STALL, Cause.UNKNOWN}
"""What follows from a fault, or ends it, is no second one."""
EXACT = {Cause.KV_SATURATION, Cause.ENGINE_DOWN}
"""A slow engine fills its cache, and an engine that is gone says how much it made: only with a share."""
CRITICAL_RATIO = 0.5


@dataclass(frozen=True, slots=True)
class Costs:
    """What a gap has cost up to a moment."""

    tokens: float
    joules: float | None
    gpu_seconds: float | None


@dataclass(frozen=True, slots=True)
class Second:
    """What is known of a second cause of one gap."""

    missing: float = 0.0
    """Share of the rate that was missing while only the first cause was there."""
    early: frozenset[Cause] = frozenset()
    """Causes that spoke then."""
    found: Explanation | None = None
    since: float = 0.0
    """Monotonic, since when it speaks."""
    silent_since: float | None = None
    stands: bool = False
    share: float = 0.0
    """Of what is missing."""
    before: Costs | None = None
    """What the gap had cost when it was first told."""
    incident: Incident | None = None


def judged(second: Second, case: Case, first: Verdict, fresh: Verdict) -> Second:
    """Take one judgement more of a case: `first` is what is told, `fresh` what is seen now."""
    told = [fresh.best, *(each for each, _ in fresh.others)]
    missing, now = _missing(case), case.during[-1].seconds
    if now - case.since < SETTLED_SECONDS:
        early = second.early | {each.cause for each in told}
        second = replace(second, missing=max(second.missing, missing), early=early)
    more = missing - second.missing
    new = [each for each in told if each.cause not in {first.best.cause, *second.early} and _may_be(each)]
    if new and more >= GROWN:
        return _found(
            second, (max(new, key=lambda each: (each.weight, each.explained or 0.0)), more), missing, now
        )
    return _found(second, _both(first.best, told, missing), missing, now)


def _missing(case: Case) -> float:
    rate = middle(sample.rate for sample in case.latest)
    return case.missing if rate is None or not case.expected else max(0.0, 1.0 - rate / case.expected)


def _may_be(each: Explanation) -> bool:
    if each.cause in CONSEQUENCES or each.weight < LEAST_WEIGHT or each.usual:
        return False
    return each.explained is not None or each.cause not in EXACT


def _both(first: Explanation, told: list[Explanation], missing: float) -> tuple[Explanation, float] | None:
    """Return what explains the rest, where both say how much they take away and together it is that much."""
    known = next((each for each in told if each.cause is first.cause), first).explained
    if known is None or missing - known < max(LEAST_UNEXPLAINED, LEAST_SHARE * missing):
        return None
    for each in told:
        if each.cause is first.cause or not _may_be(each) or each.explained is None:
            continue
        together = 1.0 - (1.0 - known) * (1.0 - each.explained)
        if LEAST_FIT <= together / missing <= MOST_FIT:
            return each, missing - known
    return None


def _found(second: Second, seen: tuple[Explanation, float] | None, missing: float, now: float) -> Second:
    if seen is None:
        silent = now if second.silent_since is None else second.silent_since
        over = now - silent >= SURE_SECONDS
        return replace(second, silent_since=silent, stands=second.stands and not over)
    found, part = seen
    same = second.found is not None and second.found.cause is found.cause and second.silent_since is None
    if second.stands and second.found is not None and second.found.cause is not found.cause:
        return second  # a third one has to wait
    since = second.since if same else now
    share = min(1.0, part / missing) if missing > 0.0 else 0.0
    stands = second.stands or now - since >= SURE_SECONDS
    return replace(second, found=found, since=since, silent_since=None, share=share, stands=stands)


def told(second: Second, first: Incident, unix_seconds: float) -> tuple[Second, Incident]:
    """Return the second incident as it stands, within `second`, and the first without what is the other's."""
    known = second.incident
    if second.found is None or (known is None and not second.stands):
        return second, first
    if known is not None and known.ended is not None:
        return second, _without(first, known)
    costs = Costs(first.lost_tokens, first.lost_joules, first.lost_gpu_seconds)
    second = replace(second, before=second.before or costs)
    own = _own(second, first, costs, unix_seconds)
    if not second.stands or first.ended is not None or first.cause is own.cause:
        own = replace(own, ended=first.ended or unix_seconds)
    return replace(second, incident=own), _without(first, own)


def _own(second: Second, first: Incident, costs: Costs, now: float) -> Incident:
    found, before, known = second.found, second.before, second.incident
    assert found is not None and before is not None  # noqa: S101, PT018  # `told` has seen to it
    tokens = second.share * max(0.0, costs.tokens - before.tokens)
    part = f"{second.share * 100.0:.0f} % of what {first.model} lacks"
    bounds = first.lost_tokens_bounds
    width = 0.0 if bounds is None else second.share * (bounds.upper - bounds.lower) / 2.0
    return replace(
        first,
        id=f"{first.id}/{found.cause}" if known is None else known.id,
        kind=Kind.DROP,
        cause=found.cause,
        severity=_severity(found),
        gpu=found.gpu,
        engine_instance=found.instance,
        started=now if known is None else known.started,
        detected=now if known is None else known.detected,
        ended=None,
        confidence=found.weight,
        evidence=found.evidence,
        summary=f"{first.node}: {part} comes of something else: {found.text}",
        lost_tokens=tokens,
        lost_tokens_bounds=None if bounds is None else Bounds(max(0.0, tokens - width), tokens + width),
        lost_joules=_part(second.share, costs.joules, before.joules),
        lost_joules_bounds=None,
        lost_gpu_seconds=_part(second.share, costs.gpu_seconds, before.gpu_seconds),
    )


def _severity(found: Explanation) -> Severity:
    if found.cause is Cause.WORKLOAD_SHIFT:
        return Severity.INFO
    return Severity.CRITICAL if (found.explained or 0.0) >= CRITICAL_RATIO else Severity.WARNING


def _part(share: float, now: float | None, before: float | None) -> float | None:
    return None if now is None else share * max(0.0, now - (before or 0.0))


def _without(first: Incident, own: Incident) -> Incident:
    bounds, joules, seconds = first.lost_tokens_bounds, first.lost_joules, first.lost_gpu_seconds
    less = own.lost_tokens
    return replace(
        first,
        lost_tokens=max(0.0, first.lost_tokens - less),
        lost_tokens_bounds=bounds and Bounds(max(0.0, bounds.lower - less), max(0.0, bounds.upper - less)),
        lost_joules=None if joules is None else max(0.0, joules - (own.lost_joules or 0.0)),
        lost_gpu_seconds=None if seconds is None else max(0.0, seconds - (own.lost_gpu_seconds or 0.0)),
    )
