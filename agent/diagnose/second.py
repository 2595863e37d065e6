"""Two faults that overlap: what comes within a drop that stands and costs more is a second incident.

It is judged against the time in which only the first was there: what is new since then, and how much of what
was still made is missing now. What is lost from then on is divided between the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.case import middle
from agent.diagnose.costs import Costs, added, costing, costs_of, grown, scaled, without
from agent.diagnose.story import severity_of
from agent.diagnose.verdict import LEAST_SCORE, verdict_of
from agent.measure.incident import Cause, Incident, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.case import Case, Explanation
    from agent.diagnose.sample import Sample
    from agent.diagnose.verdict import Verdict

BEGINNING_SECONDS = 10.0
"""A fault needs so long to show what it does …"""
ALONE_SECONDS, APART_SECONDS = 60.0, 15.0
"""… what it does alone is seen over so long, which ended so long ago: a second may come slowly."""
LEAST_LEVELS = 8
GROWN, NOISES = 0.05, 2.0
"""A second fault takes at least this share of the rate, and more than so many times its noise."""
USUALLY = 0.1
"""While loads change, all but this share of the time tell how deep the first alone is."""
SURE_SECONDS, PATIENT_SECONDS = 6.0, 20.0
"""It is told when it has spoken for so long, and over when it was silent for so long. Weak evidence must
stand for longer, and an engine that is gone: one that is back within that time was restarted by somebody."""
LEAST_WEIGHT, SURE_WEIGHT = 0.4, 0.6
LEAST_UNEXPLAINED, LEAST_SHARE = 0.1, 0.25
"""From the beginning there are two, where the first leaves so much of the rate, and of what is missing …"""
LEAST_FIT, MOST_FIT = 0.75, 1.35
"""… and both together explain about what is missing."""
STILL_RATIO = 0.2
"""Where less than this share of the rate is made, nothing is seen of what holds down who would work."""
EXACT = {Cause.KV_SATURATION, Cause.ENGINE_DOWN}
"""A slow engine fills its cache, and an engine that is gone says how much it made: only with a share."""
HARDWARE = {Cause.GPU_LOST, Cause.GPU_FAULT, Cause.ECC, Cause.NVLINK}
STOPPED = {Cause.ENGINE_DOWN, Cause.ENGINE_STALL}
"""Engines stop because of such hardware: at the same time that is no second fault."""


@dataclass(frozen=True, slots=True)
class Level:
    """How deep a gap is at a moment."""

    seconds: float
    missing: float
    """Share of what should be made."""
    rate: float


@dataclass(frozen=True, slots=True)
class Second:
    """What is known of a second cause of one gap."""

    levels: tuple[Level, ...] = ()
    """Of late."""
    floor: Level | None = None
    """How deep it is with the first alone …"""
    alone: tuple[Sample, ...] = ()
    """… and samples of that time. Both stand still while there is a second."""
    deeper_since: float | None = None
    """Monotonic, since when it is deeper than that."""
    found: Explanation | None = None
    since: float = 0.0
    """Monotonic, since when it speaks."""
    silent_since: float | None = None
    stands: bool = False
    share: float = 0.0
    """Of what is missing."""
    whole: Costs = Costs()
    """What the gap had cost when that was divided last …"""
    own: Costs = Costs()
    """… and how much of it is of the second."""
    incident: Incident | None = None
    """It stands."""
    past: tuple[Incident, ...] = ()
    """Incidents of the same gap that are over."""

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """All that are told beside the first."""
        return self.past if self.incident is None else (self.incident, *self.past)

    @property
    def is_restless(self) -> bool:
        """Whether it must be looked at with each sample."""
        waits = self.found is not None and not self.stands
        return waits or self.silent_since is not None or (self.deeper_since is not None and not self.stands)


def seen(second: Second, case: Case) -> Second:
    """Take one sample more of a gap: how deep it is now, and how deep it was with the first cause alone."""
    now, rate = case.during[-1].seconds, middle(sample.rate for sample in case.latest)
    if rate is None or not case.expected:
        return second
    level = Level(now, max(0.0, 1.0 - rate / case.expected), rate)
    since = now - ALONE_SECONDS - APART_SECONDS
    second = replace(second, levels=(*(each for each in second.levels if each.seconds > since), level))
    if second.found is None:
        second = _with_floor(second, case, now)
    deeper = second.floor is not None and _is_deeper(second.floor, level, case, 1.0)
    return replace(second, deeper_since=(second.deeper_since or now) if deeper else None)


def _with_floor(second: Second, case: Case, now: float) -> Second:
    first, last = case.since + BEGINNING_SECONDS, now - APART_SECONDS
    levels = [each for each in second.levels if first <= each.seconds <= last]
    alone = tuple(
        each
        for each in case.during
        if max(first, now - ALONE_SECONDS - APART_SECONDS) <= each.seconds <= last and each.rate is not None
    )
    if len(levels) < LEAST_LEVELS or len(alone) < LEAST_LEVELS:
        return replace(second, floor=None, alone=())
    odd = int(len(levels) * USUALLY)
    missing = sorted(each.missing for each in levels)[-1 - odd]
    rate = sorted(each.rate for each in levels)[odd]
    return replace(second, floor=Level(last, missing, rate), alone=alone)


def _is_deeper(floor: Level, now: Level, case: Case, part: float) -> bool:
    """Whether more is missing and less is made: with more to do, or less, one fault costs another share."""
    least = part * max(GROWN, NOISES * case.baseline.noise, case.off)
    return now.missing - floor.missing >= least and floor.rate - now.rate >= least * case.expected


def judged(second: Second, case: Case, first: Verdict, fresh: Verdict) -> Second:
    """Take one judgement more of a case: `first` is what is told, `fresh` what is seen now."""
    now, missing = case.during[-1].seconds, second.levels[-1].missing if second.levels else case.missing
    told = explanations(fresh)
    new = _new(second, case)
    if second.stands:
        return _standing(second, case, first, (*new, *told))
    deepest = [each for each in new if _may_be(each, first.best)][:1] if second.deeper_since else []
    if deepest and deepest[0].weight < SURE_WEIGHT and _has_less_to_do(second, case):
        deepest = []
    if deepest and new[0].cause is first.best.cause:
        deepest = []  # it deepens by its own cause
    seen_now = deepest[0] if deepest else None
    if seen_now is None:
        seen_now, second = _both(second, first.best, told, missing, case)
    if seen_now is None:
        return replace(second, found=None, own=Costs())
    if second.found is None or second.found.cause is not seen_now.cause:
        second = replace(second, since=now, own=Costs())
    patient = seen_now.cause is Cause.ENGINE_DOWN or seen_now.weight < SURE_WEIGHT
    sure = now - second.since >= (PATIENT_SECONDS if patient else SURE_SECONDS)
    return _shared(replace(second, found=seen_now, silent_since=None, stands=sure), missing)


def _has_less_to_do(second: Second, case: Case) -> bool:
    """Whether fewer requests are there than with the first alone: then GPUs are worked less for that."""
    alone, now = (middle(each.in_flight for each in part) for part in (second.alone, case.latest))
    return alone is not None and now is not None and now < (1.0 - GROWN) * alone


def explanations(verdict: Verdict) -> tuple[Explanation, ...]:
    """Return all that speaks, the likeliest first."""
    told = (verdict.best, *(each for each, _ in verdict.others))
    return tuple(each for each in told if each.cause is not Cause.UNKNOWN)


def _new(second: Second, case: Case) -> tuple[Explanation, ...]:
    """Return what speaks now and did not while the first was alone, the likeliest first."""
    floor = second.floor
    if floor is None or not second.alone or floor.missing >= 1.0 - GROWN:
        return ()
    since = second.deeper_since or second.since or case.during[-1].seconds
    during = tuple(each for each in case.during if each.seconds >= since) or case.during[-1:]
    left, missing = 1.0 - floor.missing, second.levels[-1].missing
    inner = replace(
        case,
        since=since,
        before=second.alone,
        during=during,
        expected=case.expected * left,
        missing=max(0.0, (missing - floor.missing) / left),
        free={},
    )
    verdict = verdict_of(inner)
    ranked = [(verdict.best, verdict.confidence), *verdict.others]
    return tuple(e for e, score in ranked if score >= LEAST_SCORE and e.cause is not Cause.UNKNOWN)


def _may_be(each: Explanation, first: Explanation) -> bool:
    if each.over or each.cause is first.cause or each.weight < LEAST_WEIGHT or each.usual:
        return False
    if first.cause in HARDWARE and each.cause in HARDWARE and each.gpu == first.gpu:
        return False
    return each.explained is not None or each.cause not in EXACT


def _both(
    second: Second, first: Explanation, told: Sequence[Explanation], missing: float, case: Case
) -> tuple[Explanation | None, Second]:
    """Return what explains the rest, where both say how much they take away and together it is that much."""
    known = next((each for each in told if each.cause is first.cause), first).explained
    if known is None or missing - known < max(LEAST_UNEXPLAINED, LEAST_SHARE * missing):
        return None, second
    for each in told:
        if not _may_be(each, first) or each.explained is None or _is_one(each, first):
            continue
        together = 1.0 - (1.0 - known) * (1.0 - each.explained)
        if LEAST_FIT <= together / missing <= MOST_FIT:
            floor = Level(case.during[-1].seconds, known, (1.0 - known) * case.expected)
            return each, replace(second, floor=floor)
    return None, second


def _is_one(each: Explanation, first: Explanation) -> bool:
    """Whether both come of one fault: engines stop for want of a GPU, and one clock is held down once."""
    stopped = first.cause in HARDWARE | {Cause.ENGINE_DOWN} and each.cause in STOPPED
    return stopped or bool(_slowed(each) & _slowed(first))


def _slowed(each: Explanation) -> set[int | None]:
    """Return the GPUs whose clocks it holds down."""
    return {row.gpu for row in each.evidence if row.metric == "gpu_clock_hertz"}


def _shared(second: Second, missing: float) -> Second:
    """Divide what is missing: the first takes what it took alone."""
    floor = 0.0 if second.floor is None else second.floor.missing
    return replace(second, share=max(0.0, missing - floor) / missing if missing > 0.0 else 0.0)


def _standing(second: Second, case: Case, first: Verdict, told: Sequence[Explanation]) -> Second:
    """Return one that is told already: a third has to wait until it is over."""
    found, now, level = second.found, case.during[-1].seconds, second.levels[-1]
    assert found is not None  # noqa: S101  # it stands
    again = next((each for each in told if each.cause is found.cause and not each.over), None)
    ended = any(each.cause is found.cause and each.over for each in told)
    hidden = again is None and not ended and level.rate < STILL_RATIO * case.expected
    back = found.explained is None and not (second.floor and _is_deeper(second.floor, level, case, 0.5))
    if first.best.cause is found.cause:
        return replace(second, stands=False)
    if hidden or (again is not None and not back):
        second = replace(second, found=again or found, silent_since=None)
        return _shared(second, level.missing)
    silent = now if second.silent_since is None else second.silent_since
    return replace(second, silent_since=silent, stands=now - silent < SURE_SECONDS)


def told(second: Second, whole: Incident, unix_seconds: float) -> tuple[Second, Incident]:
    """Return the second incident as it stands, within `second`, and the first without what is the others'.

    `whole` is the first with all that the gap has cost.
    """
    second = _divided(second, costs_of(whole))
    taken = second.own if second.incident is not None or second.stands else Costs()
    for each in second.past:
        taken = added(taken, costs_of(each))
    first = without(whole, taken)
    if second.incident is None and not second.stands:
        return second, first
    own = _own(second, whole, unix_seconds)
    if second.stands and whole.ended is None:
        return replace(second, incident=own), first
    ended = replace(own, ended=whole.ended or unix_seconds)
    return Second(levels=second.levels, whole=second.whole, past=(ended, *second.past)), first


def _divided(second: Second, whole: Costs) -> Second:
    """Divide what was lost since the last sample; what was told too much is taken from all alike."""
    own = second.own
    if whole.tokens < second.whole.tokens:
        part = whole.tokens / second.whole.tokens
        past = tuple(costing(each, scaled(costs_of(each), part)) for each in second.past)
        return replace(second, whole=whole, own=scaled(own, part), past=past)
    if second.found is not None:
        own = added(own, grown(second.whole, whole), second.share)
    return replace(second, whole=whole, own=own)


def _own(second: Second, whole: Incident, now: float) -> Incident:
    found, known = second.found, second.incident
    assert found is not None  # noqa: S101  # `told` has seen to it
    part = f"{second.share * 100.0:.0f} % of what {whole.model} lacks"
    name = f"{whole.id}/{found.cause}"
    if any(each.id == name for each in second.past):
        name += f"/{now:.0f}"
    own = replace(
        whole,
        id=name if known is None else known.id,
        kind=Kind.DROP,
        cause=found.cause,
        severity=severity_of(Kind.DROP, found.cause, found.explained or 0.0),
        gpu=found.gpu,
        engine_instance=found.instance,
        started=now if known is None else known.started,
        detected=now if known is None else known.detected,
        ended=None,
        confidence=found.weight,
        evidence=found.evidence,
        summary=f"{whole.node}: {part} comes of something else: {found.text}",
    )
    return costing(own, second.own)
