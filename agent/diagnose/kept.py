"""What stands, as plain values, and how it goes on after a restart: an incident is opened once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.baseline import amount
from agent.diagnose.case import Explanation
from agent.diagnose.costs import added, costs_of
from agent.diagnose.demand import Asked
from agent.diagnose.gap import Gap
from agent.diagnose.loss import Loss, Seen, Sum
from agent.diagnose.lull import Pace
from agent.diagnose.second import Level, Second
from agent.diagnose.toll import Toll, Usual
from agent.diagnose.verdict import Verdict
from agent.diagnose.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.baseline import Baseline
    from agent.diagnose.lull import Lull
    from agent.diagnose.saturation import Crowd
    from agent.diagnose.thrift import Thrift
    from agent.measure.incident import Evidence, Incident
    from agent.measure.reading import Moment


@dataclass(frozen=True, slots=True)
class Standing:
    """A gap that stood: its incident, what was asked for before it, and what it had cost."""

    incident: Incident
    text: str
    """Of its cause."""
    asked: Asked
    due_tokens: float
    toll: Toll
    other: Second = Second()
    """A second cause of it, and what is over."""
    begun_tokens: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Resumed:
    """What an earlier run knew; taken up at the first moment."""

    standing: Mapping[str, Standing] = field(default_factory=dict)
    """By deployment."""
    crowds: Mapping[str, Incident] = field(default_factory=dict)
    """Full caches, by deployment."""
    thrifts: Mapping[str, Incident] = field(default_factory=dict)
    """Joules of a token that are too many, by deployment."""
    lulls: Mapping[str, tuple[Incident, Pace]] = field(default_factory=dict)
    """Less demand, and what was usual before, by deployment."""
    incidents: tuple[Incident, ...] = ()
    """All that were told."""


def standing_of(
    watches: Mapping[str, Watch],
    crowds: Mapping[str, Crowd],
    thrifts: Mapping[str, Thrift],
    lulls: Mapping[str, Lull],
) -> dict[str, Any]:
    """Return what stands as plain values, with the names of its incidents."""
    gaps = {
        name: _plain(watch.incident, watch.verdict, watch.gap, watch.toll) | _plain_other(watch)
        for name, watch in watches.items()
        if watch.incident is not None and watch.verdict is not None and watch.gap.asked is not None
    }
    fewer = {
        name: [each.incident.id, each.usual.rate, each.usual.in_flight, each.usual.seconds]
        for name, each in lulls.items()
        if each.incident is not None and each.usual is not None
    }
    return {"gaps": gaps, "crowds": _named(crowds), "thrifts": _named(thrifts), "lulls": fewer}


def _named(known: Mapping[str, Crowd] | Mapping[str, Thrift]) -> dict[str, str]:
    return {name: each.incident.id for name, each in known.items() if each.incident is not None}


def _plain(incident: Incident, verdict: Verdict, gap: Gap, toll: Toll) -> dict[str, Any]:
    asked, usual = gap.asked or Asked(0.0, 0.0, None), toll.usual
    return {
        "incident": incident.id,
        "text": verdict.best.text,
        "asked": [asked.rate, asked.mean, asked.in_flight],
        "due": gap.due_tokens,
        "toll": [toll.joules, toll.dark_joules, toll.tokens, toll.gpu_seconds],
        "usual": None
        if usual is None
        else [usual.joules_per_token, [[gpu, watts] for gpu, watts in usual.watts.items()]],
    }


def _plain_other(watch: Watch) -> dict[str, Any]:
    other, told = watch.other, None
    if other.incident is not None and other.found is not None:
        floor = None if other.floor is None else [other.floor.missing, other.floor.rate]
        told = [other.incident.id, other.found.text, other.found.explained, floor, other.share]
    past = [each.id for each in other.past]
    return {"second": told, "past": past, "begun": list(watch.begun_tokens)}


def recalled(kept: Any, incidents: tuple[Incident, ...]) -> Resumed:
    """Take what `standing_of` gave, and all incidents. Raises ValueError, TypeError or KeyError."""
    known = {each.id: each for each in incidents if each.ended is None}
    standing = {
        str(name): _standing(plain, known[plain["incident"]], {each.id: each for each in incidents})
        for name, plain in dict(kept["gaps"]).items()
        if plain["incident"] in known
    }
    full, more = (
        {str(name): known[each] for name, each in dict(told).items() if each in known}
        for told in (kept["crowds"], kept.get("thrifts", {}))
    )
    fewer = {
        str(name): (known[each], Pace(*map(amount, usual)))
        for name, (each, *usual) in dict(kept.get("lulls", {})).items()
        if each in known
    }
    return Resumed(standing, full, more, fewer, incidents)


def _standing(plain: Mapping[str, Any], incident: Incident, known: Mapping[str, Incident]) -> Standing:
    rate, mean, in_flight = plain["asked"]
    asked = Asked(amount(rate), amount(mean), None if in_flight is None else amount(in_flight))
    joules, dark, tokens, gpu_seconds = map(amount, plain["toll"])
    usual = None
    if plain["usual"] is not None:
        per_token, watts = plain["usual"]
        usual = Usual(amount(per_token), {int(gpu): amount(each) for gpu, each in watts})
    toll = Toll(usual, joules, dark, tokens, gpu_seconds)
    begun_due, begun_lost = map(amount, plain.get("begun", (0.0, 0.0)))
    other, begun = _other(plain, known), (begun_due, begun_lost)
    return Standing(incident, str(plain["text"]), asked, amount(plain["due"]), toll, other, begun)


def _other(plain: Mapping[str, Any], known: Mapping[str, Incident]) -> Second:
    """Return what is kept of a second cause; what an earlier rackwatt wrote has none."""
    past = tuple(known[str(each)] for each in plain.get("past", ()) if str(each) in known)
    told = plain.get("second")
    incident = None if told is None else known.get(str(told[0]))
    if told is None or incident is None or incident.ended is not None:
        return Second(past=past)
    _, text, explained, floor, share = told
    level = None if floor is None else Level(0.0, *map(amount, floor))
    best = _explanation(incident, str(text), incident.evidence, explained)
    return Second(
        floor=level,
        found=best,
        stands=True,
        share=min(1.0, amount(share)),
        own=costs_of(incident),
        incident=incident,
        past=past,
    )


def _explanation(
    told: Incident, text: str, evidence: tuple[Evidence, ...], explained: Any = None
) -> Explanation:
    share = None if explained is None else amount(explained)
    weight = told.confidence
    return Explanation(told.cause, share, weight, text, evidence, told.gpu, told.engine_instance)


def watch_of(standing: Standing, baseline: Baseline, at: Moment) -> Watch:
    """Return the watch of a gap that goes on: as sure as it was, with the cause that was found.

    What was before it is not kept, so its cause is not judged again.
    """
    incident, now, other = standing.incident, at.monotonic_seconds, standing.other
    costs = costs_of(incident)
    for each in other.incidents:
        costs = added(costs, costs_of(each))
    since = since_of(incident, at)
    loss = Loss(
        before=Seen(now, standing.asked.rate),
        noise=baseline.noise,
        due_tokens=standing.due_tokens,
        lost=_sum((incident, *other.incidents)),
    )
    gap = Gap(baseline=baseline, since=since, asked=standing.asked, sure=True, loss=loss)
    best = _explanation(incident, standing.text, incident.evidence[1:])
    return Watch(
        gap=gap,
        toll=standing.toll,
        verdict=Verdict(best, incident.confidence, ()),
        incident=incident,
        other=replace(other, whole=costs),
        begun_tokens=standing.begun_tokens,
    )


def _sum(incidents: tuple[Incident, ...]) -> Sum:
    """Return what all of a gap have lost."""
    sums = [(each.lost_tokens, each.lost_tokens_bounds) for each in incidents]
    lost = sum(tokens for tokens, _ in sums)
    least = sum(tokens if bounds is None else bounds.lower for tokens, bounds in sums)
    most = sum(tokens if bounds is None else bounds.upper for tokens, bounds in sums)
    return Sum(lost, least, most)


def since_of(incident: Incident, at: Moment) -> float:
    """Return when an incident began, on the monotonic clock of now."""
    return at.monotonic_seconds - max(0.0, at.unix_seconds - incident.started)
