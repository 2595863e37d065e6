"""What stands, as plain values, and how it goes on after a restart: an incident is opened once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.diagnose.baseline import amount
from agent.diagnose.case import Explanation
from agent.diagnose.demand import Asked
from agent.diagnose.gap import Gap
from agent.diagnose.loss import Loss, Seen, Sum
from agent.diagnose.lull import Pace
from agent.diagnose.toll import Toll, Usual
from agent.diagnose.verdict import Verdict
from agent.diagnose.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.baseline import Baseline
    from agent.diagnose.lull import Lull
    from agent.diagnose.saturation import Crowd
    from agent.diagnose.thrift import Thrift
    from agent.measure.incident import Incident
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
        name: _plain(watch.incident, watch.verdict, watch.gap, watch.toll)
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


def recalled(kept: Any, incidents: tuple[Incident, ...]) -> Resumed:
    """Take what `standing_of` gave, and all incidents. Raises ValueError, TypeError or KeyError."""
    known = {each.id: each for each in incidents if each.ended is None}
    standing = {
        str(name): _standing(plain, known[plain["incident"]])
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


def _standing(plain: Mapping[str, Any], incident: Incident) -> Standing:
    rate, mean, in_flight = plain["asked"]
    asked = Asked(amount(rate), amount(mean), None if in_flight is None else amount(in_flight))
    joules, dark, tokens, gpu_seconds = map(amount, plain["toll"])
    usual = None
    if plain["usual"] is not None:
        per_token, watts = plain["usual"]
        usual = Usual(amount(per_token), {int(gpu): amount(each) for gpu, each in watts})
    toll = Toll(usual, joules, dark, tokens, gpu_seconds)
    return Standing(incident, str(plain["text"]), asked, amount(plain["due"]), toll)


def watch_of(standing: Standing, baseline: Baseline, at: Moment) -> Watch:
    """Return the watch of a gap that goes on: as sure as it was, with the cause that was found.

    What was before it is not kept, so its cause is not judged again.
    """
    incident, now = standing.incident, at.monotonic_seconds
    since = since_of(incident, at)
    lost, bounds = incident.lost_tokens, incident.lost_tokens_bounds
    loss = Loss(
        before=Seen(now, standing.asked.rate),
        noise=baseline.noise,
        due_tokens=standing.due_tokens,
        lost=Sum(lost, *((lost, lost) if bounds is None else (bounds.lower, bounds.upper))),
    )
    gap = Gap(baseline=baseline, since=since, asked=standing.asked, sure=True, loss=loss)
    best = Explanation(
        incident.cause,
        None,
        incident.confidence,
        standing.text,
        incident.evidence[1:],
        incident.gpu,
        incident.engine_instance,
    )
    verdict = Verdict(best, incident.confidence, ())
    return Watch(gap=gap, toll=standing.toll, verdict=verdict, incident=incident)


def since_of(incident: Incident, at: Moment) -> float:
    """Return when an incident began, on the monotonic clock of now."""
    return at.monotonic_seconds - max(0.0, at.unix_seconds - incident.started)
