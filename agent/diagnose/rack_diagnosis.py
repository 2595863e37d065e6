"""What only the whole rack can see: who does not report, and who is behind its like."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose import absence, rack_kept, shortfall
from agent.diagnose.place import Place
from agent.diagnose.rack_power import PowerBook, powered
from agent.diagnose.stragglers import likes_of, suspected, wasting, worked
from agent.measure.incident import Cause, Evidence, Incident, Kind, Severity, recording_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agent.diagnose.rack_signs import MemberSigns, RackSigns
    from agent.diagnose.stragglers import Like, Work
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.reading import Moment

MISSING_SECONDS = 5.0
BEHIND_SECONDS = 60.0
SLIGHTLY_SECONDS = 240.0
"""What is off by little more than its like are from each other must be so for longer."""
AHEAD_SECONDS = 30.0
"""One that was behind has caught up after this time."""
KEPT_SECONDS = 86400.0
MOST_KEPT = 200
AWAITED_SECONDS = 60.0
"""What stood before a restart is over when nothing is seen of it for so long after it."""


@dataclass(frozen=True, slots=True)
class RackMemory:
    """What is remembered of a rack from one moment to the next."""

    places: Mapping[str, Place] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    own: frozenset[str] = frozenset()
    """Those among them that no member told: nobody else records them."""
    power: PowerBook = PowerBook()
    absences: absence.Absences = absence.Absences()
    at: Moment | None = None
    """Of this moment."""
    resumed: rack_kept.RackResumed | None = None
    """What an earlier run knew, until the first moment."""
    awaited: frozenset[str] = frozenset()
    """Incidents of an earlier run …"""
    awaited_until: float = float("-inf")
    """… that stand until then, if nothing is seen of them."""
    works: Mapping[str, Work] = field(default_factory=dict)
    """What members do, by name …"""
    shortfalls: Mapping[str, shortfall.Shortfall] = field(default_factory=dict)
    """… and what those have lost that are behind."""

    @property
    def own_incidents(self) -> tuple[Incident, ...]:
        """What only the rack sees."""
        return tuple(each for each in self.incidents if each.id in self.own)


def rack_diagnosed(memory: RackMemory, rack: RackSigns, told: Iterable[Incident] = ()) -> RackMemory:
    """Take one moment more: what the members do not know, beside what they `told` of themselves."""
    if memory.resumed is not None:
        memory = _taken_up(memory.resumed, rack.at)
    now = rack.at.monotonic_seconds
    works = worked(memory.works, rack)
    like = likes_of(rack, works)
    places = _places(memory, rack, like)
    seconds = now - memory.at.monotonic_seconds if memory.at is not None else 0.0
    fresh = replace(
        memory,
        places=places,
        power=powered(memory.power, rack),
        absences=absence.counted(memory.absences, rack),
        at=rack.at,
        awaited=memory.awaited if now < memory.awaited_until else frozenset[str](),
        works=works,
        shortfalls=shortfall.counted(memory.shortfalls, rack, places, like, seconds),
    )
    own = _of_rack(memory, fresh, rack, like)
    incidents = _merged(
        memory.incidents, {each.id: each for each in told} | own, rack.at.unix_seconds, fresh.awaited
    )
    mine = (memory.own | own.keys()) & {each.id for each in incidents}
    return replace(fresh, incidents=incidents, own=mine)


def _places(memory: RackMemory, rack: RackSigns, like: Mapping[str, Like]) -> dict[str, Place]:
    """Return since when something is so of each member."""
    now, places = rack.at.monotonic_seconds, {}
    for member in rack.members:
        before = memory.places.get(member.node, Place())
        place = _seen(before, member, like.get(member.node), now)
        place = _weighed(place, before, member, like.get(member.node), now)
        if now < memory.awaited_until and not member.up:  # after a restart nobody has been asked yet
            place = replace(before, missing_since=place.missing_since)
        places[member.node] = place
    return places


def _of_rack(
    before: RackMemory, memory: RackMemory, rack: RackSigns, like: Mapping[str, Like]
) -> dict[str, Incident]:
    """Return what only the rack sees, by its id."""
    now, own = rack.at.monotonic_seconds, dict[str, Incident]()
    known = {each.id: each for each in before.incidents if each.ended is None}
    compared: dict[str, list[Incident]] = {}
    for each in known.values():
        if each.id in before.own:
            compared.setdefault(each.node, []).append(each)
    for member in rack.members:
        place, lost = memory.places[member.node], memory.shortfalls.get(member.node)
        stood = [each for each in compared.get(member.node, ()) if _stands(place, each)]
        beside = like.get(member.node)  # what it makes may not be known for a moment
        found = stood if beside is None else [*_own(rack, member, place, beside, lost, stood)]
        if place.missing_since is not None and now - place.missing_since >= MISSING_SECONDS:
            found.append(_away(rack, member, place.missing_since, memory.power, memory.absences))
        for incident in found:
            own[incident.id] = _told(incident, known.get(incident.id), place)
    own |= {each.id: each for each in _left_to_nodes(before, rack, known.values())}
    return own


def _stands(place: Place, told: Incident) -> bool:
    """Whether what was told of a member against its like may still be so."""
    since = {Kind.STRAGGLER: place.behind_since, Kind.EFFICIENCY: place.wasteful_since}.get(told.kind)
    return since is not None


def _left_to_nodes(before: RackMemory, rack: RackSigns, standing: Iterable[Incident]) -> Iterator[Incident]:
    """Yield the stragglers that are over because their own nodes tell of a drop."""
    since = {each.node: each.dropped_since for each in rack.members}
    for each in standing:
        began, lost = since.get(each.node), before.shortfalls.get(each.node)
        if each.kind is Kind.STRAGGLER and began is not None and lost is not None:
            yield shortfall.left_to_its_node(each, lost, began, rack.at.unix_seconds)


def _taken_up(resumed: rack_kept.RackResumed, at: Moment) -> RackMemory:
    """Go on with what stood before a restart."""
    places, power, absences = rack_kept.taken_up(resumed, at)
    return RackMemory(
        places=places,
        shortfalls=resumed.shortfalls,
        incidents=resumed.incidents,
        own=frozenset(each.id for each in resumed.incidents),
        power=power,
        absences=absences,
        awaited=frozenset(each.id for each in resumed.incidents if each.ended is None),
        awaited_until=at.monotonic_seconds + AWAITED_SECONDS,
    )


def standing_of(memory: RackMemory) -> dict[str, Any]:
    """Return what is known of members, as plain values; incidents are told beside it."""
    return rack_kept.places_of(memory.places, memory.power, memory.absences, memory.shortfalls, memory.at)


def _away(
    rack: RackSigns,
    member: MemberSigns,
    since: float,
    power: PowerBook,
    absences: absence.Absences,
) -> Incident:
    """Return what is told of a member that does not report; by its name it stays one incident."""
    told = absence.told_of(
        member,
        absences.away.get(member.node),
        power.known.get(member.node),
        rack.at.monotonic_seconds - since,
    )
    evidence, summary = told.pop("evidence"), told.pop("summary")
    kind, cause = told.pop("kind"), told.pop("cause")
    incident = _incident(rack, member, kind, cause, None, since, evidence, summary)
    return replace(incident, id=f"{rack.rack}/{member.node}/away/{incident.started:.0f}", **told)


def _told(now: Incident, before: Incident | None, place: Place) -> Incident:
    """Return an incident as it stands; one that may be over is told as it was: what is seen now denies it."""
    if before is None:
        return now
    waning = {Kind.STRAGGLER: place.ahead_since, Kind.EFFICIENCY: place.thrifty_since}.get(now.kind)
    return before if waning is not None else replace(now, detected=before.detected)


def told_by_members(rack: RackSnapshot) -> Iterator[Incident]:
    """Yield what members say is wrong with them, as incidents of their rack."""
    for member in rack.members:
        for each in member.incidents:
            place = recording_at(each.id, member.url) if member.url else ""
            yield replace(each, id=f"{rack.rack}/{each.id}", scope="rack", recording=place)


def _merged(
    kept: tuple[Incident, ...], told: Mapping[str, Incident], now: float, awaited: frozenset[str]
) -> tuple[Incident, ...]:
    others = [
        each if each.ended is not None or each.id in awaited else replace(each, ended=now)
        for each in kept
        if each.id not in told and (each.ended is None or now - each.ended < KEPT_SECONDS)
    ]
    return tuple(sorted((*told.values(), *others), key=lambda each: -each.started)[:MOST_KEPT])


def _seen(place: Place, member: MemberSigns, like: Like | None, now: float) -> Place:
    away = not member.up and not member.drained and place.reported
    behind = like is not None and like.behind and not member.troubled
    if behind:
        since = now if place.behind_since is None else place.behind_since
        return Place(now if away else None, since, None, reported=True)
    ahead = None if place.behind_since is None else (now if place.ahead_since is None else place.ahead_since)
    caught_up = ahead is not None and (now - ahead >= AHEAD_SECONDS or member.troubled or not member.up)
    return Place(
        missing_since=(now if place.missing_since is None else place.missing_since) if away else None,
        behind_since=None if caught_up else place.behind_since,
        ahead_since=None if caught_up else ahead,
        reported=place.reported or member.up,
    )


def _weighed(place: Place, before: Place, member: MemberSigns, like: Like | None, now: float) -> Place:
    """Note since when a member is wasteful; one that was, and is not seen to be, is thrifty after a while."""
    if like is not None and like.wasteful and not member.troubled:
        since = now if before.wasteful_since is None else before.wasteful_since
        return replace(place, wasteful_since=since, thrifty_since=None)
    if before.wasteful_since is None:
        return replace(place, wasteful_since=None, thrifty_since=None)
    thrifty = now if before.thrifty_since is None else before.thrifty_since
    another = member.troubled or not member.up or (like is not None and like.behind)
    over = now - thrifty >= AHEAD_SECONDS or another
    return replace(
        place,
        wasteful_since=None if over else before.wasteful_since,
        thrifty_since=None if over else thrifty,
    )


def _own(
    rack: RackSigns,
    member: MemberSigns,
    place: Place,
    like: Like,
    lost: shortfall.Shortfall | None,
    stood: Sequence[Incident],
) -> Iterator[Incident]:
    now = rack.at.monotonic_seconds
    needed = BEHIND_SECONDS if like.clearly or stood else SLIGHTLY_SECONDS
    if place.behind_since is not None and now - place.behind_since >= BEHIND_SECONDS:
        yield _straggler(rack, member, place.behind_since, like, lost or shortfall.Shortfall())
    elif place.wasteful_since is not None and now - place.wasteful_since >= needed:
        yield _wasteful(rack, member, place.wasteful_since, like)


def _wasteful(rack: RackSigns, member: MemberSigns, since: float, like: Like) -> Incident:
    gpu, cause, why = wasting(member, like.like)
    ratio, usual = like.ratio or 0.0, like.usual_ratio or 0.0
    text = f"{member.node} makes {ratio:.3g} tokens/J, {usual:.3g} is the median of {len(like.like)}"
    less = Evidence("node_tokens_per_joule", member.node, None, usual, ratio, text)
    summary = f"{member.node} makes as many tokens as its like, and takes more for each: {text}"
    if why:
        summary += f"; {why[0].text}"
    return _incident(rack, member, Kind.EFFICIENCY, cause, gpu, since, (less, *why), summary)


def _straggler(
    rack: RackSigns, member: MemberSigns, since: float, like: Like, lost: shortfall.Shortfall
) -> Incident:
    gpu, cause, why = suspected(member, like.like)
    among, share = len(like.like), f"{member.node} is {1.0 - like.rate / like.fair:.1%} behind"
    text = f"{member.node} makes {like.rate:.0f} tokens/s, {like.middle:.0f} is the median of {among}"
    summary = f"{share} the median of its like"
    if like.fair < like.middle:
        less = f"makes {like.rate:.0f} tokens/s of {like.load:.0f} requests"
        text = f"{member.node} {less}, the median of {among} would make {like.fair:.0f} of as many"
        summary = f"{share} what the median of its like makes of as many requests"
    behind = Evidence("rack_member_tokens_per_second", member.node, None, like.fair, like.rate, text)
    if why:
        summary += f": {why[0].text}"
    incident = _incident(rack, member, Kind.STRAGGLER, cause, gpu, since, (behind, *why), summary)
    evidence = (*incident.evidence, *shortfall.why_unknown(lost, member))
    return replace(incident, evidence=evidence, **shortfall.costs_of(lost.lost))


def _incident(
    rack: RackSigns,
    member: MemberSigns,
    kind: Kind,
    cause: Cause,
    gpu: int | None,
    since: float,
    evidence: tuple[Evidence, ...],
    summary: str,
) -> Incident:
    started = rack.at.unix_seconds - (rack.at.monotonic_seconds - since)
    return Incident(
        id=f"{rack.rack}/{member.node}/{kind}/{started:.0f}",
        scope="rack",
        kind=kind,
        cause=cause,
        severity=Severity.WARNING,
        node=member.node,
        gpu=gpu,
        engine_instance="",
        model=member.models[0] if len(member.models) == 1 else "",
        started=started,
        detected=rack.at.unix_seconds,
        ended=None,
        lost_tokens=0.0,
        lost_joules=None,
        confidence=0.9 if evidence[1:] else 0.5,
        evidence=evidence,
        summary=summary,
    )
