"""A member of a rack that does not report: away, as far as is known, or down and making nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.rack_power import Power
from agent.measure.incident import Bounds, Cause, Evidence, Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.diagnose.rack_power import Away
    from agent.diagnose.rack_signs import MemberSigns, RackSigns

RENEWED_SECONDS = 10.0
"""The rate of a member is remembered as the mean of about so long."""
KILO = 1e3


@dataclass(frozen=True, slots=True)
class Absence:
    """What a rack goes without while a member is away, if that makes nothing."""

    since: float
    before: Mapping[str, float]
    """Output tokens per second of each member before, this one among them."""
    lost_tokens: float = 0.0
    most_tokens: float = 0.0
    """The same if nobody else had made more meanwhile."""

    @property
    def share(self) -> float:
        """Share of what it made that nobody makes now."""
        return self.lost_tokens / self.most_tokens if self.most_tokens else 0.0


@dataclass(frozen=True, slots=True)
class Absences:
    """Who is away, and what each member usually makes."""

    at: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    away: Mapping[str, Absence] = field(default_factory=dict)


def counted(absences: Absences, rack: RackSigns) -> Absences:
    """Take one moment more: what others make more than before is not lost."""
    now = rack.at.monotonic_seconds
    seconds = 0.0 if absences.at is None else now - absences.at
    rates = {each.node: each.rate for each in rack.members if each.rate is not None and each.up}
    gone = [each.node for each in rack.members if not each.up and not each.drained]
    away = {
        node: absences.away.get(node) or Absence(now, absences.rates)
        for node in gone
        if node in absences.rates or node in absences.away
    }
    total = sum(each.before.get(node, 0.0) for node, each in away.items())
    for node, each in away.items():
        own = each.before.get(node, 0.0)
        more = sum(rate - each.before.get(other, rate) for other, rate in rates.items())
        due = max(0.0, own - (max(0.0, more) * own / total if total else 0.0))
        away[node] = replace(
            each,
            lost_tokens=each.lost_tokens + due * seconds,
            most_tokens=each.most_tokens + own * seconds,
        )
    return Absences(now, _renewed(absences.rates, rates, seconds, gone), away)


def _renewed(
    before: Mapping[str, float], rates: Mapping[str, float], seconds: float, gone: Iterable[str]
) -> dict[str, float]:
    share = min(1.0, seconds / RENEWED_SECONDS)
    kept = {node: before[node] for node in gone if node in before}
    return kept | {node: _nearer(before.get(node, rate), rate, share) for node, rate in rates.items()}


def _nearer(before: float, now: float, share: float) -> float:
    return before + (now - before) * share


def told_of(
    member: MemberSigns, absence: Absence | None, away: Away | None, seconds: float
) -> dict[str, Any]:
    """Return what an incident says of a member that does not report."""
    text = f"{member.node} does not report: {member.why or 'no answer'}"
    up = Evidence("rack_member_up", member.node, None, 1.0, 0.0, text)
    power = None if away is None else away.power
    if away is None or power is None:
        summary = f"{text}; whether it works meanwhile is not known"
        return _gap((up,), summary, 0.9)
    before, now = away.before + sum(away.watts.values()), away.now or 0.0
    told = _compared(away, before, now, on=power is Power.ON)
    if power is Power.ON:
        summary = f"{text}; its power is still there: the way to it or its daemon is away, not the node"
        return _gap((up, _metered(member, before, now, told)), summary, 0.95)
    summary = f"{member.node} is down: it does not answer, and its power is gone with it: {told}"
    return _down((up, _metered(member, before, now, told)), summary) | _cost(member, absence, seconds)


def _compared(away: Away, before: float, now: float, *, on: bool) -> str:
    """Say what the meter shows, and what it showed before."""
    if away.own:
        return f"its controller shows {now:,.0f} W, at work it was {before:,.0f} W"
    names = ", ".join(sorted(away.watts))
    drew = f"beside the nodes that answer the rack draws {_kilowatts(now)}"
    if on:
        return f"{drew}, as with {names} at work ({_kilowatts(before)})"
    return f"{drew}, with {names} at work it was {_kilowatts(before)}"


def _gap(evidence: tuple[Evidence, ...], summary: str, confidence: float) -> dict[str, Any]:
    return {
        "kind": Kind.GAP,
        "cause": Cause.TELEMETRY_GAP,
        "severity": Severity.WARNING,
        "confidence": confidence,
        "evidence": evidence,
        "summary": summary,
    }


def _down(evidence: tuple[Evidence, ...], summary: str) -> dict[str, Any]:
    return {
        "kind": Kind.DROP,
        "cause": Cause.NODE_DOWN,
        "severity": Severity.CRITICAL,
        "confidence": 0.95,
        "evidence": evidence,
        "summary": summary,
    }


def _cost(member: MemberSigns, absence: Absence | None, seconds: float) -> dict[str, Any]:
    """Return what is lost by it; one that made nothing is down, and wakes nobody."""
    if absence is None or absence.most_tokens <= 0.0:
        return {"severity": Severity.WARNING}
    return {
        "lost_tokens": absence.lost_tokens,
        "lost_tokens_bounds": Bounds(absence.lost_tokens, absence.most_tokens),
        "lost_gpu_seconds": len(member.gpus) * seconds * absence.share,
    }


def _metered(member: MemberSigns, before: float, now: float, text: str) -> Evidence:
    return Evidence("rack_power_watts", member.node, None, before, now, text)


def _kilowatts(watts: float) -> str:
    return f"{watts / KILO:.1f} kW"
