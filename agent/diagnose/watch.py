"""One deployment on one node, watched: samples, gap, verdict and the incident that comes of them."""

from __future__ import annotations

from bisect import bisect_right as bisect
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.diagnose import beside, blindness, handover, presence, second, witness
from agent.diagnose import ended as of_ended
from agent.diagnose.baseline import with_mix
from agent.diagnose.case import APART_SECONDS, BEFORE_SECONDS, Case, usual_rates
from agent.diagnose.costs import costing
from agent.diagnose.free import Free, learned
from agent.diagnose.gap import LONGEST_STEP_SECONDS, Gap, ended, finished, is_over, stepped
from agent.diagnose.sample import MIX_SECONDS, Sample, mix_of, sample_of
from agent.diagnose.stillness import still_ones
from agent.diagnose.story import told_of
from agent.diagnose.tally import WITNESSED
from agent.diagnose.toll import Toll, begun, paid, with_unseen
from agent.diagnose.verdict import verdict_of
from agent.measure.incident import Cause, Incident, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.signs import EngineSigns, NodeSigns, UnitSigns
    from agent.diagnose.verdict import Verdict

KEPT_SECONDS = 150.0
JUDGED_SECONDS = 30.0
"""While evidence still comes in, a gap is judged with each sample; afterwards with each tenth."""
SELDOM = 10
SURE_ENOUGH = 0.5
PATIENCE_SECONDS = 8.0
"""A cause that is less sure than that is told only so long after the beginning: better evidence may come."""
UNKNOWN_PATIENCE_SECONDS, MUCH_RATIO = 25.0, 0.5
"""Nobody can act on what has no cause, and chance makes dips: it is told later, unless much is missing."""
SHIFT_PATIENCE_SECONDS = 20.0
"""A few long prompts are no other work: that lasts …"""
USUAL_PATIENCE_SECONDS = 150.0
"""… and where prompts vary as much all the time, it must last longer than what is usual can."""
HEALTHY_SAMPLES = 5
BACK = {Cause.ENGINE_RESTART, Cause.ENGINE_STALL}
"""What an engine is told to have been that is there again."""
GRACE_SECONDS = 20.0
"""An engine that is back within this time was restarted by somebody."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is remembered of one deployment."""

    samples: tuple[Sample, ...] = ()
    gap: Gap = Gap()
    case_before: tuple[Sample, ...] = ()
    """Samples before the gap that stands; none are known of one that a restart of ours lies in."""
    toll: Toll = Toll()
    """What that gap has cost so far."""
    verdict: Verdict | None = None
    incident: Incident | None = None
    other: second.Second = second.Second()
    """A second cause of it …"""
    beside: tuple[beside.Beside, ...] = ()
    """… and those that cost nothing beside these."""
    silence: handover.Silence | None = None
    """Since when nothing speaks for its cause any more."""
    begun_tokens: tuple[float, float] = (0.0, 0.0)
    """What was due and lost of this gap when its incident began: another may have stood before."""
    vanished: tuple[tuple[float, EngineSigns], ...] = ()
    """Instances that are no longer offered, and since when."""
    healthy: tuple[Sample, ...] = ()
    """The last of which all was known."""
    work: presence.Work = field(default_factory=dict)
    """What its GPUs usually draw at work …"""
    free: Mapping[int, Free] = field(default_factory=dict)
    """… and how fast they run with nothing to hold them down."""


def watched(watch: Watch, unit: UnitSigns, node: NodeSigns) -> tuple[Watch, Incident | None]:
    """Take one moment more; return what is remembered, and the incident if one stands or just ended."""
    now = node.at.monotonic_seconds
    engines, vanished = presence.present(watch.samples, watch.vanished, watch.work, unit, node)
    sample = sample_of(replace(unit, engines=engines), watch.samples, now, node.host)
    old = bisect(watch.samples, now - KEPT_SECONDS, key=lambda each: each.seconds)
    samples = (*watch.samples[old:], sample)
    step = of_ended.stepped if sample.on_finish else stepped
    gap = _mixed(step(watch.gap, watch.samples, sample), samples)
    watch = _known(replace(watch, samples=samples, vanished=vanished), sample)
    if gap.since is None:
        free = learned(watch.free, sample) if sample.rate and not sample.gone else watch.free
        return replace(_cleared(watch, gap), other=second.Second(), free=free), None
    if watch.gap.since is None:
        before = _before(samples, gap.since) or watch.healthy
        watch = replace(watch, case_before=before, toll=begun(before))
    gap = _witnessed(replace(watch, gap=gap), node)
    made = _made_unseen(replace(watch, gap=gap), node)
    if made is not None:
        return _unseen(watch, gap, made, node)
    if gap.sure and not watch.gap.sure:  # only now is it known since when
        watch = replace(watch, case_before=_before(samples, gap.since or now) or watch.case_before)
        watch = replace(watch, toll=with_unseen(watch.toll, sample, gap))
    toll = paid(watch.toll, sample, gap)
    watch = replace(watch, gap=finished(gap, samples) if is_over(gap, now) else gap, toll=toll)
    if not gap.sure or not (watch.case_before or watch.incident):
        return watch, None
    return _judged(watch, unit, node)


def _witnessed(watch: Watch, node: NodeSigns) -> Gap:
    """Return the gap: of one that counts what has ended it is sure once something speaks of it."""
    gap = watch.gap
    if gap.sure or not watch.samples[-1].on_finish or gap.sum_seconds < WITNESSED or not watch.case_before:
        return gap
    told = witness.speaks(case_of(watch, node), gap.sum_seconds)
    return of_ended.made_sure(gap, watch.samples) if told else gap


def _mixed(gap: Gap, samples: tuple[Sample, ...]) -> Gap:
    """Learn what prompts there are, whether anything is missing or not."""
    if len(samples) < 2:  # noqa: PLR2004  # two make a step
        return gap
    seconds = min(samples[-1].seconds - samples[-2].seconds, LONGEST_STEP_SECONDS)
    return replace(gap, baseline=with_mix(gap.baseline, mix_of(samples, MIX_SECONDS), seconds))


def _known(watch: Watch, sample: Sample) -> Watch:
    """Remember what was seen to work: it is what stands before a gap that begins out of sight."""
    if not sample.rate or sample.gone or sample.unread:
        return watch
    healthy = (*watch.healthy, sample)[-HEALTHY_SAMPLES:]
    return replace(watch, healthy=healthy, work=presence.worked(watch.work, sample))


def case_of(watch: Watch, node: NodeSigns) -> Case:
    """Return what is before a judge now; the watch has a gap, and samples before it."""
    now, gap = node.at.monotonic_seconds, watch.gap
    during = tuple(each for each in watch.samples if each.seconds >= (gap.since or now))
    return Case(
        node=node.node,
        since=gap.since or now,
        before=watch.case_before,
        during=during or watch.samples[-1:],
        baseline=gap.baseline,
        expected=gap.expected or 0.0,
        missing=max(0.0, gap.missing),
        lacking=_lacking(watch),
        free=watch.free,
        wall_seconds=node.at.unix_seconds - now,
        off=of_ended.off_of(gap) if watch.samples[-1].on_finish else 0.0,
        still=still_ones(watch.samples),
    )


def _lacking(watch: Watch) -> float:
    """Return the share of what was due since the incident began that was not made."""
    (due, lost), books = watch.begun_tokens, watch.gap.reckoned
    if books.due_tokens <= due:
        return books.share
    return max(0.0, books.lost_tokens - lost) / (books.due_tokens - due)


def _judged(watch: Watch, unit: UnitSigns, node: NodeSigns) -> tuple[Watch, Incident | None]:
    now, gap = node.at.monotonic_seconds, watch.gap
    case = case_of(watch, node)
    watch = replace(watch, other=second.seen(watch.other, case))
    if watch.verdict is None or (
        case.before and _is_due(watch, case)
    ):  # none is judged again after a restart
        fresh = verdict_of(case)
        watch = _weighed(watch, case, fresh)
        watch = _handed_over(watch, case, fresh, unit, node)
    verdict = watch.verdict
    assert verdict is not None  # noqa: S101  # it was judged
    if watch.incident is None and _is_early(verdict, gap, now - case.since):
        if is_over(gap, now) or gap.sum_seconds <= 0.0:  # it has come back before anybody was told
            return _after(watch, gap), None
        return watch, None
    incident = told_of(case, verdict, gap, watch.toll, unit, node, watch.incident, _restarting(case, verdict))
    if is_over(gap, now):
        incident = replace(incident, ended=node.at.unix_seconds - (now - (gap.healthy_since or now)))
    other = watch.other
    if watch.incident is not None:
        other, incident = second.told(other, incident, node.at.unix_seconds)
        incident = beside.named_in(incident, watch.beside, case.wall_seconds)
    if is_over(gap, now):
        return replace(_after(watch, gap), other=other), incident
    return replace(watch, incident=incident, other=other), incident


def _is_due(watch: Watch, case: Case) -> bool:
    """Whether it is time to judge: evidence still comes in, or something has changed."""
    returned = bool(case.during[-2:-1]) and case.during[-2].gone != case.during[-1].gone
    young = case.during[-1].seconds - case.since < JUDGED_SECONDS
    restless = watch.other.is_restless or watch.silence is not None
    seldom = len(case.during) % SELDOM != 0 and not (young or restless)
    return returned or (watch.gap.healthy_since is None and not seldom)


def _weighed(watch: Watch, case: Case, fresh: Verdict) -> Watch:
    """Take one judgement more: of the cause that is told, of a second one, and of those beside them."""
    verdict = _kept(watch, fresh, case)
    other = second.judged(watch.other, case, verdict, fresh)
    watch = replace(watch, verdict=verdict, other=other)
    if watch.incident is None:
        return watch
    told = [verdict.best, *([other.found] if other.stands and other.found is not None else [])]
    return replace(
        watch,
        beside=beside.watched(watch.beside, case, told, fresh),
        silence=handover.silence_of(watch.silence, case, verdict, fresh, watch.incident, watch.gap),
    )


def _handed_over(watch: Watch, case: Case, fresh: Verdict, unit: UnitSigns, node: NodeSigns) -> Watch:
    """End the incident whose cause is over while another goes on, and begin that of the other."""
    silence, first, other = watch.silence, watch.incident, watch.other
    following = handover.successor(silence, case, first.cause, other, fresh) if first else None
    if following is None or silence is None or first is None:
        return watch
    at = node.at.unix_seconds - (case.during[-1].seconds - silence.since)
    over = replace(costing(first, silence.costs), ended=at)
    known = other.incident if other.found and other.found.cause is following.best.cause else None
    begun = replace(case, lacking=case.missing)
    incident = told_of(begun, following, watch.gap, watch.toll, unit, node, known, False)  # noqa: FBT003  # it stands
    if known is None:
        incident = replace(incident, id=f"{node.node}/{unit.deployment}/{at:.0f}", started=at)
    return replace(
        watch,
        incident=incident,
        verdict=following,
        other=second.Second(whole=other.whole, past=(over, *other.past)),
        beside=tuple(each for each in watch.beside if each.cause is not following.best.cause),
        silence=None,
        begun_tokens=silence.begun_tokens,
    )


def _made_unseen(watch: Watch, node: NodeSigns) -> float | None:
    """Return what engines made that were taken to be gone, and are seen now to have been there."""
    told = watch.verdict is None or watch.verdict.best.cause in {Cause.ENGINE_DOWN, Cause.ENGINE_RESTART}
    if not (told or _second_down(watch)) or watch.samples[-1].gone or not watch.case_before:
        return None
    case = case_of(watch, node)
    return presence.made_unseen(case.before[-1], case.during, usual_rates(case))


def _second_down(watch: Watch) -> Incident | None:
    own = watch.other.incident
    return own if own is not None and own.cause is Cause.ENGINE_DOWN else None


def _unseen(watch: Watch, gap: Gap, made: float, node: NodeSigns) -> tuple[Watch, Incident | None]:
    """Turn what was told to be down into a gap that lost nothing: it was there."""
    now, own, first = node.at.unix_seconds, _second_down(watch), watch.incident
    if own is None:
        return _after(watch, gap), first and blindness.unseen(first, made, now)
    other = second.Second(past=(blindness.unseen(own, made, now), *watch.other.past))
    return replace(_after(watch, gap), other=other), first and replace(first, ended=now)


def _after(watch: Watch, gap: Gap) -> Watch:
    """Return what is remembered when a gap is over."""
    return _cleared(watch, ended(gap))


def _cleared(watch: Watch, gap: Gap) -> Watch:
    return Watch(
        samples=watch.samples,
        gap=gap,
        other=watch.other,
        vanished=watch.vanished,
        healthy=watch.healthy,
        work=watch.work,
        free=watch.free,
    )


def _is_early(verdict: Verdict, gap: Gap, lasts: float) -> bool:
    """Whether it is too early to tell of a gap: what has passed for no sure reason is never told."""
    shift = verdict.best.cause is Cause.WORKLOAD_SHIFT
    if verdict.confidence >= SURE_ENOUGH and not shift:
        return False
    patience = PATIENCE_SECONDS
    if verdict.best.cause is Cause.UNKNOWN and gap.share < MUCH_RATIO:
        patience = UNKNOWN_PATIENCE_SECONDS
    elif shift:
        patience = USUAL_PATIENCE_SECONDS if verdict.best.usual else SHIFT_PATIENCE_SECONDS
    return gap.healthy_since is not None or lasts < patience


def _kept(watch: Watch, now: Verdict, case: Case) -> Verdict:
    """Return the surer of two verdicts: while a gap closes there is less and less to explain.

    An engine that was gone for long was down, also when it is back; and a restart that comes into a drop, or
    ends it, is not what it came of. What is sure and has stood for some time is not renamed: what comes later
    is another fault.
    """
    before, incident = watch.verdict, watch.incident
    if before and incident and incident.kind is Kind.DROP:
        restarted = now.best.cause is Cause.ENGINE_RESTART or _restarting(case, now)
        if before.best.cause is Cause.ENGINE_DOWN or (restarted and before.confidence >= SURE_ENOUGH):
            return before
    if before and before.best.cause is Cause.ENGINE_DOWN and now.best.cause in BACK:
        return now
    if before and _is_settled(watch, before, case) and now.best.cause is not before.best.cause:
        return before
    return now if before is None or now.confidence >= before.confidence - 0.1 else before


def _is_settled(watch: Watch, verdict: Verdict, case: Case) -> bool:
    """Whether a cause is told for so long that it stays what this incident is of.

    That takes a sure one, or that what came since takes more beside it.
    """
    if watch.incident is None or verdict.best.cause is Cause.UNKNOWN:
        return False
    sure = verdict.confidence >= SURE_ENOUGH or watch.other.deeper_since is not None
    return sure and case.during[-1].seconds - case.since >= JUDGED_SECONDS


def _restarting(case: Case, verdict: Verdict) -> bool:
    """Whether an engine was away for a moment only, and may be on its way back."""
    if verdict.best.cause is not Cause.ENGINE_DOWN:
        return False
    latest_first = reversed(case.during)
    last = next((each.seconds for each in latest_first if each.gone), None)
    there = next((each.seconds for each in latest_first if not each.gone), case.since)
    return last is not None and last - max(case.since, there) < GRACE_SECONDS


def _before(samples: tuple[Sample, ...], since: float) -> tuple[Sample, ...]:
    low, high = since - BEFORE_SECONDS - APART_SECONDS, since - APART_SECONDS
    return tuple(each for each in samples if low <= each.seconds <= high and each.rate is not None)
