"""What a gap costs: at each moment what was due less what was made, reckoned once it is known what was due.

What clients ask for is seen while requests pile up or shrink, over some seconds around a moment. While it
cannot be seen (the engine is gone, its queue is full, clients wait or give up) it is taken to go in a
straight line from where it was last seen to where it is seen again; until then, as it was last seen. Where
it came in bursts before, no moment speaks for another: it is taken to come as it came before.

Of all that is uncertain there is a least and a most; what is told is between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BLIND, MOST_CAPPED = 600, 120
"""More moments than that are joined by two."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Some time in which less was made than should be."""

    seconds: float
    """Monotonic, its end."""
    lasts: float
    rate: float
    """Output tokens per second that were made …"""
    can: float
    """… and that could have been, as far as was ever seen."""
    queued: bool = False
    """Whether requests waited: then no fewer came than were answered, or they would have shrunk."""
    perhaps: bool = False
    """Whether all of what was due may have been made instead."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients asked for when it was seen."""

    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What clients asked for in a moment, at the least and at the most: rates that are as likely."""

    rates: tuple[float, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Beyond:
    """How much more it can give than it ever gave, as a factor."""

    factor: float = 1.0
    least: float = 1.0
    most: float = 1.0


AS_EVER = Beyond()


@dataclass(frozen=True, slots=True)
class Settled:
    """A moment of which it is known what was asked for."""

    moment: Moment
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Sum:
    """Tokens, and between what they are."""

    amount: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def plus(self, more: Sum, less: Sum | None = None) -> Sum:
        """Return it with so many more, and so many less."""
        less = less or Sum()
        return Sum(
            self.amount + more.amount - less.amount,
            self.least + more.least - less.least,
            self.most + more.most - less.most,
        )


@dataclass(frozen=True, slots=True)
class Loss:
    """The books of one gap."""

    before: Seen = Seen(0.0, 0.0)
    """What was asked for before the gap, on average, and in the middle of which time."""
    noise: float = 0.0
    """By what share what is asked for, and what can be given, is uncertain."""
    bursts: tuple[float, ...] = ()
    """Where it came so unevenly that no moment speaks for another: a fair choice of what it was."""
    side_seconds: float = 5.0
    """What is asked for at a moment is seen over so long before and after it."""
    young: tuple[Moment, ...] = ()
    """Of which both sides are not known yet."""
    blind: tuple[Moment, ...] = ()
    """In which it was not seen what is asked for."""
    seen: tuple[Seen, ...] = ()
    """What was seen of late, the newest last."""
    due_tokens: float = 0.0
    """Of the moments that are settled: what should have been made …"""
    lost: Sum = Sum()
    """… and how much of that was not, if no more could have been made than ever was."""
    capped: tuple[Settled, ...] = ()
    """Those of which more was due, if more could have been made."""

    @property
    def held(self) -> Seen:
        """What is asked for as far as was seen, the last seconds before it was lost from sight left out."""
        return self.seen[0] if self.seen else self.before

    @property
    def lost_tokens(self) -> float:
        """What was lost of the moments that are settled."""
        return self.lost.amount

    @property
    def share(self) -> float:
        """Share of what was due that was not made."""
        return self.lost_tokens / self.due_tokens if self.due_tokens else 0.0

    def reckoned(self, beyond: Beyond | None = None) -> Loss:
        """Return it with what is not settled yet, by what is held to be asked for and could be given."""
        loss = closed(self, None)
        if beyond is None:
            return loss
        due_tokens, lost = loss.due_tokens, loss.lost
        for each in loss.capped:
            due, part = _due(loss, each, beyond)
            due_before, part_before = _due(loss, each, AS_EVER)
            due_tokens, lost = due_tokens + due - due_before, lost.plus(part, part_before)
        return replace(loss, due_tokens=due_tokens, lost=lost)


def stepped(
    loss: Loss, now: float, moment: Moment | None, asked_for: float | None, meanwhile: float | None = None
) -> Loss:
    """Take one moment more, None where nothing was missing.

    `asked_for` is what clients asked for around the moment that is one side ago; None was not seen. With
    `meanwhile` it is known afterwards what they asked for since it was last seen, on average.
    """
    if meanwhile is not None and loss.blind:
        left = (*loss.blind, *loss.young, *([] if moment is None else [moment]))
        return _booked(replace(loss, young=(), blind=()), ((each, _seen(loss, meanwhile)) for each in left))
    middle, blurred = now - loss.side_seconds, 2.0 * loss.side_seconds
    waiting = loss.young if moment is None else (*loss.young, moment)
    ripe = tuple(each for each in waiting if each.seconds <= middle)
    young = waiting[len(ripe) :]
    if asked_for is None:
        return replace(loss, young=young, blind=_joined((*loss.blind, *ripe)))
    if loss.blind and middle - loss.blind[-1].seconds < blurred:
        # A part of what is seen comes of what could not be seen: that has not ended yet.
        return replace(loss, young=waiting)
    seen = Seen(middle, asked_for)
    loss = _filled(loss, loss.blind, seen)
    lasting = (each for each in loss.seen if each.seconds > middle - 2.0 * blurred)
    loss = replace(loss, young=young, blind=(), seen=(*lasting, seen))
    return _booked(loss, ((each, _seen(loss, asked_for)) for each in ripe))


def closed(loss: Loss, after: Seen | None) -> Loss:
    """Return the books of a gap that is over: `after` is what is asked for now, where that is known."""
    left = (*loss.blind, *loss.young)
    return _filled(replace(loss, young=(), blind=()), left, after)


def _seen(loss: Loss, rate: float) -> Wanted:
    return Wanted((rate,), (rate * (1.0 - loss.noise),), (rate * (1.0 + loss.noise),))


def _filled(loss: Loss, moments: Iterable[Moment], seen_after: Seen | None) -> Loss:
    """Book moments in which it was not seen what is asked for, up to when it is seen, or as it was before."""
    start, end = loss.held, seen_after or loss.held
    span = end.seconds - start.seconds
    lowest, highest = sorted((start.rate, end.rate))

    def asked(moment: Moment) -> Wanted:
        least = moment.rate if moment.queued else 0.0
        if loss.bursts and not moment.perhaps:
            return _in_bursts(tuple(each for each in loss.bursts if each >= least) or (least,))
        share = min(1.0, max(0.0, (moment.seconds - start.seconds) / span)) if span > 0.0 else 1.0
        rate = start.rate + (end.rate - start.rate) * share
        if moment.perhaps:
            return Wanted((0.0, rate), (0.0,), (highest * (1.0 + loss.noise),))
        if not (moment.queued and seen_after is None):
            least = max(least, lowest * (1.0 - loss.noise))
        return Wanted((rate,), (least,), (highest * (1.0 + loss.noise),))

    return _booked(loss, ((each, asked(each)) for each in moments))


def _in_bursts(rates: tuple[float, ...]) -> Wanted:
    """Return what comes in bursts: some time may have all of the low ones, or of the high ones."""
    half = (len(rates) + 1) // 2
    return Wanted(rates, rates[:half], rates[-half:])


def _booked(loss: Loss, moments: Iterable[tuple[Moment, Wanted]]) -> Loss:
    """Book moments, each with what was asked for."""
    due_tokens, lost, capped = loss.due_tokens, loss.lost, list(loss.capped)
    for each in (Settled(moment, wanted) for moment, wanted in moments):
        due, part = _due(loss, each, AS_EVER)
        due_tokens, lost = due_tokens + due, lost.plus(part)
        if max(each.wanted.most) > each.moment.can:
            capped.append(each)
    return replace(loss, due_tokens=due_tokens, lost=lost, capped=_fewer(tuple(capped)))


def _due(loss: Loss, settled: Settled, beyond: Beyond) -> tuple[float, Sum]:
    """Return the tokens that were due in a moment, and how many of them were not made."""
    moment, wanted = settled.moment, settled.wanted
    lost = Sum(
        _missing(moment, wanted.rates, beyond.factor),
        _missing(moment, wanted.least, beyond.least * (1.0 - loss.noise)),
        _missing(moment, wanted.most, beyond.most * (1.0 + loss.noise)),
    )
    return lost.amount + moment.rate * moment.lasts, lost


def _missing(moment: Moment, rates: tuple[float, ...], beyond: float) -> float:
    """Return the tokens that were not made of what was asked for, and could be given."""
    due = (min(moment.can * beyond, rate) for rate in rates)
    return sum(max(0.0, rate - moment.rate) for rate in due) / len(rates) * moment.lasts


def _joined(moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Return half as many moments when there are too many."""
    if len(moments) <= MOST_BLIND:
        return moments
    joined = [_both(*moments[place : place + 2]) for place in range(0, len(moments) - 1, 2)]
    return (*joined, *moments[len(joined) * 2 :])


def _both(first: Moment, second: Moment) -> Moment:
    lasts = first.lasts + second.lasts
    rate = (first.rate * first.lasts + second.rate * second.lasts) / lasts
    can = (first.can * first.lasts + second.can * second.lasts) / lasts
    return Moment(second.seconds, lasts, rate, can, first.queued and second.queued, first.perhaps)


def _fewer(settled: tuple[Settled, ...]) -> tuple[Settled, ...]:
    """Return half as many settled moments when there are too many."""
    if len(settled) <= MOST_CAPPED:
        return settled
    joined = [_as_one(*settled[place : place + 2]) for place in range(0, len(settled) - 1, 2)]
    return (*joined, *settled[len(joined) * 2 :])


def _as_one(first: Settled, second: Settled) -> Settled:
    moment = _both(first.moment, second.moment)
    share, one, other = first.moment.lasts / moment.lasts, first.wanted, second.wanted
    pairs = zip((one.rates, one.least, one.most), (other.rates, other.least, other.most), strict=True)
    return Settled(moment, Wanted(*((_mean(a) * share + _mean(b) * (1.0 - share),) for a, b in pairs)))


def _mean(rates: tuple[float, ...]) -> float:
    return sum(rates) / len(rates)
