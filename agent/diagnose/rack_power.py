"""Whether a member that does not answer is off: what the rack's own meter says beside those that answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.diagnose.rack_signs import RackSigns

KEPT_SECONDS = 60.0
"""What the rack drew beside its members is known from so long …"""
APART_SECONDS = 3.0
"""… the last seconds left out: who is not told to be away yet may be off."""
LEAST_SAMPLES = 5
SPACING_SECONDS = 0.9
SETTLED_SECONDS = 10.0
"""A meter that is read each few seconds shows by then what has gone."""
NOW_SAMPLES = 10
"""What it draws now is the middle of so many: one that has just gone is missed some seconds later."""
TOGETHER_SECONDS = 15.0
"""Members that go away within this time are judged together: the meter tells them not apart."""
JUDGED_SECONDS = 120.0
"""After this time what the others draw beside their own meters may have changed as well."""
OFF_RATIO, ON_RATIO = 0.35, 0.65
"""Share of what they drew that is still there: at most, of members that are off, and at least, of those that
are on. GPUs that do nothing draw a fifth of what they do at work, a node with its fans a third."""
STANDBY_RATIO, IDLE_RATIO = 0.1, 0.15
"""The same by a node's own controller, which shows nothing beside: a node that is off draws what the
controller needs itself, one that does nothing a fifth of what it does at work."""
NOISES = 3.0
"""A verdict is sure when the spread of what the meter said before could not have made another one."""


class Power(Enum):
    """What is known of the power of a member that is away."""

    OFF = "off"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Beside:
    """What the rack drew at one moment beside the members that told what they draw."""

    seconds: float
    watts: float
    told: frozenset[tuple[str, str]]
    """Those members, each with the outermost boundary that it told."""


@dataclass(frozen=True, slots=True)
class Away:
    """Members that went away together, and what the rack drew beside all others before."""

    since: float
    latest: float
    """When the last of them went away."""
    watts: Mapping[str, float]
    """What each of them drew."""
    before: float
    spread: float
    told: frozenset[tuple[str, str]]
    """Who answered before."""
    now: float | None = None
    """What the rack draws beside all others since."""
    own: bool = False
    """All of this is by the member's own controller, and of nobody else."""

    @property
    def power(self) -> Power | None:
        """What the meter says of them; None while it says nothing for certain."""
        total = sum(self.watts.values())
        if self.now is None or total <= 0.0:
            return None
        if self.own:
            share = self.now / total
            return Power.OFF if share <= STANDBY_RATIO else Power.ON if share >= IDLE_RATIO else None
        still, noise = (self.now - self.before) / total, NOISES * self.spread / total
        if still <= OFF_RATIO and still + noise < 0.5 * (OFF_RATIO + ON_RATIO):
            return Power.OFF
        return Power.ON if still >= ON_RATIO and still - noise > 0.5 * (OFF_RATIO + ON_RATIO) else None


@dataclass(frozen=True, slots=True)
class PowerBook:
    """What is remembered of the power of a rack."""

    samples: tuple[Beside, ...] = ()
    usual: Mapping[str, float] = field(default_factory=dict)
    """What each member drew when it last told."""
    away: Away | None = None
    """Those that are judged now."""
    known: Mapping[str, Away] = field(default_factory=dict)
    """What was found of each member that is away."""


def powered(book: PowerBook, rack: RackSigns) -> PowerBook:
    """Take one moment more of a rack."""
    now = rack.at.monotonic_seconds
    if book.samples and now - book.samples[-1].seconds < SPACING_SECONDS:
        return book
    known = {
        each.node: (each.power_boundary, each.power_watts)
        for each in rack.members
        if each.up and each.power_watts is not None
    }
    gone = {each.node for each in rack.members if not each.up and not each.drained}
    samples = tuple(each for each in book.samples if each.seconds > now - KEPT_SECONDS)
    found = {node: each for node, each in book.known.items() if node in gone}
    found |= _by_controller(book, rack, now)
    book = _left(replace(book, samples=samples, known=found), gone & book.usual.keys(), now)
    usual = {node: watts for node, watts in book.usual.items() if node in gone}
    book = replace(book, usual=usual | {node: watts for node, (_, watts) in known.items()})
    if rack.power_watts is None:
        return book
    sample = _sample(samples, now, rack.power_watts, known)
    return replace(_judged(book, sample), samples=(*samples, sample))


def _by_controller(book: PowerBook, rack: RackSigns, now: float) -> dict[str, Away]:
    """Return what controllers that are read here say of members that are away: each of its own node alone."""
    found = {}
    for each in rack.members:
        usual = book.usual.get(each.node)
        if each.up or each.drained or usual is None or each.controller_watts is None:
            continue
        before = book.known.get(each.node)
        since = now if before is None or not before.own else before.since
        settled = now - since >= SETTLED_SECONDS
        watts = each.controller_watts if settled else None
        found[each.node] = Away(since, since, {each.node: usual}, 0.0, 0.0, frozenset(), watts, own=True)
    return found


def _sample(
    before: Sequence[Beside], now: float, meter: float, known: Mapping[str, tuple[str, float]]
) -> Beside:
    told = frozenset((node, boundary) for node, (boundary, _) in known.items())
    if before and before[-1].told == told:
        told = before[-1].told  # the same object: a set of a thousand is then compared at once
    return Beside(now, meter - sum(watts for _, watts in known.values()), told)


def _left(book: PowerBook, gone: set[str], now: float) -> PowerBook:
    """Begin to judge members that are away since now, with those that went a moment ago."""
    told = book.samples[-1].told if book.samples else frozenset()
    watts = {node: book.usual[node] for node, _ in told if node in gone and node not in book.known}
    if not watts:
        return book
    away = book.away
    if away is not None and now - away.since <= TOGETHER_SECONDS and away.power is None:
        away = replace(away, latest=now, watts={**away.watts, **watts}, now=None)
    else:
        before = [e.watts for e in book.samples if e.told == told and e.seconds <= now - APART_SECONDS]
        if len(before) < LEAST_SAMPLES:
            return book
        middle = median(before)
        spread = median(abs(each - middle) for each in before)
        away = Away(now, now, watts, middle, spread, told)
    return replace(book, away=away, known={**book.known, **dict.fromkeys(away.watts, away)})


def _judged(book: PowerBook, sample: Beside) -> PowerBook:
    """See what the meter says of those that are away now."""
    away = book.away
    if away is None or away.power is Power.OFF:  # one that boots draws power, and is still away
        return book
    others = frozenset(pair for pair in away.told if pair[0] not in away.watts)
    if sample.told != others or sample.seconds - away.latest > JUDGED_SECONDS:
        return replace(book, away=None)
    recent = [e.watts for e in book.samples if e.told == sample.told and e.seconds > away.latest]
    recent = [*recent, sample.watts][-NOW_SAMPLES:]
    if sample.seconds - away.latest < SETTLED_SECONDS or len(recent) < LEAST_SAMPLES:
        return book
    away = replace(away, now=median(recent))
    return replace(book, away=away, known={**book.known, **dict.fromkeys(away.watts, away)})
