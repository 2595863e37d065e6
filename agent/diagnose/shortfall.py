"""What a member that is behind its like makes less than they do: lost, where requests wait in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.demand import WAITING_RATIO
from agent.diagnose.spread import LIKELY, reach
from agent.diagnose.stragglers import BEHIND_RATIO
from agent.measure.incident import Bounds, Evidence
from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.place import Place
    from agent.diagnose.rack_signs import MemberSigns, RackSigns
    from agent.diagnose.stragglers import Like
    from agent.measure.incident import Incident

LONGEST_STEP_SECONDS = 5.0
"""A moment stands for no longer than this: what nobody looked at is not counted."""
RECENT_SECONDS = 60.0
"""Its own node may tell of a drop that began so long ago: from then on what is missing is the drop's."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Output tokens since it is behind, and the time of GPUs that they would have taken."""

    tokens: float = 0.0
    """What its like made more while requests waited in it."""
    least: float = 0.0
    """The same if it is as slow by nature as one of their kind may be …"""
    most: float = 0.0
    """… or as fast, and what it made less while no request waited in it."""
    gpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What one member has lost since it is behind."""

    lost: Lost = Lost()
    recent: tuple[tuple[float, Lost], ...] = ()
    """What it was lately, by Unix seconds."""

    def until(self, unix_seconds: float) -> Lost:
        """Return what had been lost by then, or as early as is remembered."""
        earlier = [lost for at, lost in self.recent if at <= unix_seconds]
        return (earlier[-1:] or [lost for _, lost in self.recent[:1]] or [self.lost])[0]


def counted(
    before: Mapping[str, Shortfall],
    rack: RackSigns,
    places: Mapping[str, Place],
    likes: Mapping[str, Like],
    seconds: float,
) -> dict[str, Shortfall]:
    """Take one moment more, which stands for so many seconds, of each that is behind."""
    found, at = {}, rack.at.unix_seconds
    for member in rack.members:
        place, like = places[member.node], likes.get(member.node)
        if place.behind_since is None:
            continue
        known = before.get(member.node, Shortfall())
        lost = known.lost
        if like is not None and place.ahead_since is None:
            lost = _sum(lost, _of_moment(member, like, min(seconds, LONGEST_STEP_SECONDS)))
        recent = tuple(each for each in known.recent if each[0] > at - RECENT_SECONDS)
        found[member.node] = Shortfall(lost, (*recent, (at, lost)))
    return found


def _of_moment(member: MemberSigns, like: Like, seconds: float) -> Lost:
    """Return what is lost: while none waits in it, others may make what it does not."""
    others = [each.rate for each in like.like if each.node != member.node and not each.troubled and each.rate]
    if not others:
        return Lost()
    if not (member.waiting and member.waiting > WAITING_RATIO * (member.in_flight or 0.0)):
        return Lost(most=max(0.0, like.fair - like.rate) * seconds)
    usual, noise = median(others), (1.0 - BEHIND_RATIO) * median(others)
    off = min(noise, noise if (seen := reach(others, LIKELY)) is None else seen)
    tokens, least, most = (max(0.0, usual + each - like.rate) * seconds for each in (0.0, -off, off))
    return Lost(tokens, least, most, sum(gpu.up for gpu in member.gpus) * tokens / usual)


def _sum(one: Lost, more: Lost) -> Lost:
    return Lost(
        one.tokens + more.tokens,
        one.least + more.least,
        one.most + more.most,
        one.gpu_seconds + more.gpu_seconds,
    )


def costs_of(lost: Lost) -> dict[str, Any]:
    """Return the fields of an incident that say so; what GPUs did is not known where no token is known."""
    return {
        "lost_tokens": lost.tokens,
        "lost_tokens_bounds": Bounds(lost.least, lost.most),
        "lost_gpu_seconds": lost.gpu_seconds if lost.tokens > 0.0 else None,
    }


def why_unknown(shortfall: Shortfall, member: MemberSigns) -> tuple[Evidence, ...]:
    """Return why nothing is said to be lost, where that is not known."""
    if shortfall.lost.tokens > 0.0:
        return ()
    text = "no request waits in it: whether others make what it does not is not known"
    if member.waiting is None:
        text = "its engines do not tell whether requests wait in them: what is lost is not known"
    return (Evidence("engine_requests", member.node, None, None, member.waiting, text),)


def left_to_its_node(incident: Incident, shortfall: Shortfall, since: float, now: float) -> Incident:
    """Return one that is over, as its own node tells of a drop since then: nothing is counted twice."""
    lost = shortfall.until(since) if since > incident.started else Lost()
    return replace(incident, ended=min(now, max(since, incident.started)), **costs_of(lost))
