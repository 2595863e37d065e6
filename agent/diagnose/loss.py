"""What a gap costs: at each moment what was due less what was made, reckoned once it is known what was due.

What clients ask for is seen while requests pile up or shrink, over some seconds around a moment. While it
cannot be seen (the engine is gone, its queue is full, clients wait or give up) it is taken to go in a
straight line from where it was last seen to where it is seen again; until then, as it was last seen. Where
it came in bursts before, no moment speaks for another: it is taken to come as it came before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BLIND = 600
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
    """… and that could have been."""
    queued: bool = False
    """Whether requests waited: then no fewer came than were answered, or they would have shrunk."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients asked for when it was seen."""

    seconds: float
    rate: float


@dataclass(frozen=True, slots=True)
class Loss:
    """The books of one gap."""

    before: Seen = Seen(0.0, 0.0)
    """What was asked for before the gap, on average, and in the middle of which time."""
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
    lost_tokens: float = 0.0
    """… and how much of that was not."""

    @property
    def held(self) -> Seen:
        """What is asked for as far as was seen, the last seconds before it was lost from sight left out."""
        return self.seen[0] if self.seen else self.before

    def reckoned(self) -> Loss:
        """Return it with what is not settled yet at what is held to be asked for."""
        return closed(self, self.held)


def stepped(
    loss: Loss, now: float, moment: Moment | None, asked_for: float | None, meanwhile: float | None = None
) -> Loss:
    """Take one moment more, None where nothing was missing.

    `asked_for` is what clients asked for around the moment that is one side ago; None was not seen. With
    `meanwhile` it is known afterwards what they asked for since it was last seen, on average.
    """
    if meanwhile is not None and loss.blind:
        left = (*loss.blind, *loss.young, *([] if moment is None else [moment]))
        return _booked(replace(loss, young=(), blind=()), ((each, (meanwhile,)) for each in left))
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
    return _booked(loss, ((each, (asked_for,)) for each in ripe))


def closed(loss: Loss, after: Seen | None) -> Loss:
    """Return the books of a gap that is over: `after` is what is asked for now, where that is known."""
    left = (*loss.blind, *loss.young)
    return _filled(replace(loss, young=(), blind=()), left, after or loss.held)


def _filled(loss: Loss, moments: Iterable[Moment], end: Seen) -> Loss:
    """Book moments in which it was not seen what is asked for, up to when it is seen."""
    start, span = loss.held, end.seconds - loss.held.seconds

    def asked(moment: Moment) -> tuple[float, ...]:
        if loss.bursts:
            enough = tuple(each for each in loss.bursts if each >= moment.rate)
            return (enough or (moment.rate,)) if moment.queued else loss.bursts
        share = min(1.0, max(0.0, (moment.seconds - start.seconds) / span)) if span > 0.0 else 1.0
        return (start.rate + (end.rate - start.rate) * share,)

    return _booked(loss, ((each, asked(each)) for each in moments))


def _booked(loss: Loss, moments: Iterable[tuple[Moment, tuple[float, ...]]]) -> Loss:
    """Book moments, each with what was asked for: one rate, or several that are as likely."""
    due_tokens, lost_tokens = loss.due_tokens, loss.lost_tokens
    for each, asked in moments:
        due = [min(each.can, rate) for rate in asked]
        lost_tokens += sum(max(0.0, rate - each.rate) for rate in due) / len(due) * each.lasts
        due_tokens += sum(max(rate, each.rate) for rate in due) / len(due) * each.lasts
    return replace(loss, due_tokens=due_tokens, lost_tokens=lost_tokens)


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
    return Moment(second.seconds, lasts, rate, can, first.queued and second.queued)
