"""What only a rack knows of its members, as plain values, and how it goes on after a restart."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.absence import Absence, Absences
from agent.diagnose.place import MOMENTS, Place
from agent.diagnose.rack_power import Away, PowerBook
from agent.diagnose.shortfall import Lost, Shortfall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.incident import Incident
    from agent.measure.reading import Moment


@dataclass(frozen=True, slots=True)
class RackResumed:
    """What an earlier run knew of its members; its moments are Unix seconds."""

    places: Mapping[str, Place] = field(default_factory=dict)
    away: Mapping[str, Away] = field(default_factory=dict)
    lost: Mapping[str, Absence] = field(default_factory=dict)
    """Of each that is away."""
    shortfalls: Mapping[str, Shortfall] = field(default_factory=dict)
    """Of each that is behind."""
    incidents: tuple[Incident, ...] = ()


def places_of(
    places: Mapping[str, Place],
    power: PowerBook,
    absences: Absences,
    shortfalls: Mapping[str, Shortfall],
    at: Moment | None,
) -> dict[str, Any]:
    """Return what is known of members as plain values."""
    if at is None:
        return {"places": {}, "away": {}, "lost": {}, "behind": {}}
    shift = at.unix_seconds - at.monotonic_seconds
    return {
        "places": {node: _shifted(place, shift) for node, place in places.items() if place.reported},
        "away": {
            node: [each.since + shift, dict(each.watts), each.before, each.spread, each.now, each.own]
            for node, each in power.known.items()
        },
        "lost": {
            node: [each.since + shift, each.before.get(node, 0.0), each.lost_tokens, each.most_tokens]
            for node, each in absences.away.items()
        },
        "behind": {node: list(astuple(each.lost)) for node, each in shortfalls.items()},
    }


def _shifted(place: Place, shift: float) -> list[float | None]:
    return [None if (told := getattr(place, name)) is None else told + shift for name in MOMENTS]


def recalled(kept: Any, incidents: tuple[Incident, ...]) -> RackResumed:
    """Take what `places_of` gave, and the incidents. Raises ValueError, TypeError or KeyError."""
    places = {}
    for node, moments in dict(kept["places"]).items():
        told = [None if each is None else _number(each) for each in moments]
        places[str(node)] = Place(**dict(zip(MOMENTS, told, strict=True)), reported=True)
    away = {}
    for node, (since, watts, before, spread, now, own) in dict(kept["away"]).items():
        drew = {str(name): _number(each) for name, each in dict(watts).items()}
        began, drawn = _number(since), None if now is None else _number(now)
        away[str(node)] = Away(
            began, began, drew, _number(before), _number(spread), frozenset(), drawn, own=bool(own)
        )
    lost = {}
    for node, told in dict(kept["lost"]).items():
        since, rate, tokens, most = map(_number, told)
        lost[str(node)] = Absence(since, {str(node): rate}, tokens, most)
    behind = {str(node): Shortfall(_lost(told)) for node, told in dict(kept.get("behind", {})).items()}
    return RackResumed(places, away, lost, behind, incidents)


def _lost(told: Any) -> Lost:
    tokens, least, most, gpu_seconds = map(_number, told)
    return Lost(tokens, least, most, gpu_seconds)


def _number(told: Any) -> float:
    value = float(told)
    if not math.isfinite(value):
        raise ValueError(f"{told!r} is no number")
    return value


def taken_up(resumed: RackResumed, at: Moment) -> tuple[dict[str, Place], PowerBook, Absences]:
    """Return what is known of members now; what was kept is on the clock of the wall."""
    shift = at.monotonic_seconds - at.unix_seconds
    places = {
        node: replace(
            place,
            **{name: told + shift for name in MOMENTS if (told := getattr(place, name)) is not None},
        )
        for node, place in resumed.places.items()
    }
    away = {
        node: replace(each, since=each.since + shift, latest=each.latest + shift)
        for node, each in resumed.away.items()
    }
    lost = {node: replace(each, since=each.since + shift) for node, each in resumed.lost.items()}
    rates = {node: each.before[node] for node, each in lost.items()}
    return places, PowerBook(known=away), Absences(at.monotonic_seconds, rates, lost)
