"""Counters that restart: totals grow by observed differences only (T1, T2)."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from agent.measure.reading import Moment

START_PREFIX = "start:"
"""An epoch `start:<Unix seconds>` tells when the process began, so it can be checked against the clock."""
START_SLACK_SECONDS = 5.0
"""A process may tell its start this much too early (the kernel's boot time moves with clock slewing)."""
FOREIGN_LIMIT = 3
"""An impossible epoch seen this often in a row is believed: the clock was stepped."""


class Change(StrEnum):
    """What one observation of a raw counter meant."""

    FIRST = "first"  # never seen before: the total starts at 0
    GREW = "grew"
    RESET = "reset"  # its process restarted: counted from zero
    IMPLAUSIBLE = "implausible"  # more than the source can produce: not counted
    FOREIGN = "foreign"  # another process answers at this address: not counted
    ADOPTED = "adopted"  # a foreign process that stayed: counted from here on
    LATE = "late"  # read before what was seen last: not counted


class Counter(NamedTuple):
    """One raw counter and the total made of it."""

    total: float
    raw: float
    epoch: str | None
    """Identity of the counting process, when it tells."""
    seen_unix_seconds: float
    seen_monotonic_seconds: float | None
    """None after a restart of rackwatt: the monotonic clock may be another one."""
    resets: int = 0
    foreign: int = 0


class Step(NamedTuple):
    """The counter after one observation, and by how much its total grew."""

    counter: Counter
    delta: float
    change: Change


def begin(raw: float, at: Moment, epoch: str | None, *, from_zero: bool = False) -> Step:
    """See a counter for the first time; `from_zero` when its source was known before it appeared (T25)."""
    total = raw if from_zero else 0.0
    counter = Counter(total, raw, epoch, at.unix_seconds, at.monotonic_seconds)
    return Step(counter, total, Change.FIRST)


def advance(
    counter: Counter,
    raw: float,
    at: Moment,
    epoch: str | None,
    *,
    restarted: bool = False,
    adopted: bool = False,
    max_rate: float | None = None,
) -> Step:
    """Observe a raw counter again.

    `restarted` says that its process is known to be a new one, `adopted` that it is one whose past is
    not ours; `max_rate` (units per second) bounds what can be true.
    """
    if counter.seen_monotonic_seconds is not None and at.monotonic_seconds < counter.seen_monotonic_seconds:
        return Step(counter, 0.0, Change.LATE)
    if adopted:
        return _adopt(counter, raw, at, epoch)
    if epoch != counter.epoch:  # a restart is told by the epoch where both sides know it, always by a fall
        if _is_foreign(counter, epoch):
            return _meet_foreign(counter, raw, at, epoch)
        restarted = restarted or (epoch is not None and counter.epoch is not None)
    restarted = restarted or raw < counter.raw
    delta = raw if restarted else raw - counter.raw
    change = Change.RESET if restarted else Change.GREW
    if max_rate is not None and max_rate < delta > _most(counter, at, max_rate, restarted=restarted):
        change, delta = Change.IMPLAUSIBLE, 0.0
    moved = Counter(  # not `_replace`, which takes longer: this runs hundreds of times a second
        total=counter.total + delta,
        raw=raw,
        epoch=epoch if epoch is not None else counter.epoch,
        seen_unix_seconds=at.unix_seconds,
        seen_monotonic_seconds=at.monotonic_seconds,
        resets=counter.resets + (change is not Change.GREW),
    )
    return Step(moved, delta, change)


def _is_foreign(counter: Counter, epoch: str | None) -> bool:
    """Tell a process that cannot have followed ours: it began before we last saw ours."""
    if epoch is None or counter.epoch is None or epoch == counter.epoch:
        return False
    began = _start_of(epoch)
    return began is not None and began < counter.seen_unix_seconds - START_SLACK_SECONDS


def _start_of(epoch: str) -> float | None:
    """Return when a process began, in Unix seconds; None when its epoch does not tell a moment."""
    if not epoch.startswith(START_PREFIX):
        return None
    try:
        began = float(epoch.removeprefix(START_PREFIX))
    except ValueError:
        return None
    return began if math.isfinite(began) else None


def _meet_foreign(counter: Counter, raw: float, at: Moment, epoch: str | None) -> Step:
    """Leave the total alone; after FOREIGN_LIMIT in a row take the newcomer as it stands."""
    if counter.foreign + 1 < FOREIGN_LIMIT:
        return Step(counter._replace(foreign=counter.foreign + 1), 0.0, Change.FOREIGN)
    return _adopt(counter, raw, at, epoch)


def _adopt(counter: Counter, raw: float, at: Moment, epoch: str | None) -> Step:
    """Go on from a raw value as it stands: the total keeps what it has."""
    adopted = Counter(
        counter.total, raw, epoch, at.unix_seconds, at.monotonic_seconds, resets=counter.resets + 1
    )
    return Step(adopted, 0.0, Change.ADOPTED)


def _most(counter: Counter, at: Moment, max_rate: float, *, restarted: bool) -> float:
    """Return the most that can have been produced since the counter was last seen, a second's at least."""
    if counter.seen_monotonic_seconds is not None:
        elapsed = at.monotonic_seconds - counter.seen_monotonic_seconds
    elif restarted:
        elapsed = max(0.0, at.unix_seconds - counter.seen_unix_seconds)
    else:
        return float("inf")
    return max_rate * (elapsed + 1.0)
