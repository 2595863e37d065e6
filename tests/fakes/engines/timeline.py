"""Exact token production as a function of CLOCK_MONOTONIC: integers only, the same in every process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NANOSECONDS = 1_000_000_000
PICOTOKENS = 1_000_000_000_000
"""One millitoken per second for one nanosecond is one picotoken."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the schedule whose rate goes in a straight line from one value to another."""

    seconds: float | None
    """None: for ever, at `from_rate`."""
    from_rate: float
    """Tokens per second at the start."""
    to_rate: float

    def picotokens(self, elapsed_ns: int) -> int:
        """What this stretch has produced this long after its start, within its length."""
        start, end = round(self.from_rate * 1000), round(self.to_rate * 1000)
        if self.seconds is None or start == end:
            return start * elapsed_ns
        length_ns = self.length_ns
        return start * elapsed_ns + (end - start) * elapsed_ns * elapsed_ns // (2 * length_ns)

    @property
    def length_ns(self) -> int:
        """The length of a stretch that ends."""
        if self.seconds is None:
            message = "an endless segment has no length"
            raise ValueError(message)
        return round(self.seconds * NANOSECONDS)


Schedule = tuple[Segment, ...]


def constant(rate: float, seconds: float | None = None) -> Schedule:
    """One rate, for a time or for ever."""
    return (Segment(seconds, rate, rate),)


def ramp(from_rate: float, to_rate: float, seconds: float) -> Schedule:
    """A straight line from one rate to another."""
    return (Segment(seconds, from_rate, to_rate),)


def idle(seconds: float | None = None) -> Schedule:
    """No production."""
    return constant(0.0, seconds)


def produced(schedule: Schedule, elapsed_ns: int) -> int:
    """Picotokens of a schedule this long after its start; after its last segment nothing is made."""
    total = 0
    left = max(0, elapsed_ns)
    for segment in schedule:
        if segment.seconds is None or left <= segment.length_ns:
            return total + segment.picotokens(left)
        total += segment.picotokens(segment.length_ns)
        left -= segment.length_ns
    return total


def rate_at(schedule: Schedule, elapsed_ns: int) -> float:
    """Tokens per second of a schedule this long after its start."""
    left = max(0, elapsed_ns)
    for segment in schedule:
        if segment.seconds is None:
            return segment.from_rate
        if left < segment.length_ns:
            change = segment.to_rate - segment.from_rate
            return segment.from_rate + change * left / segment.length_ns
        left -= segment.length_ns
    return 0.0


@dataclass(frozen=True, slots=True)
class Era:
    """A schedule from a moment on, with what had been produced before it."""

    start_ns: int
    before_picotokens: int
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Timeline:
    """All that one engine has produced and will produce, and when its counter began again at zero."""

    eras: tuple[Era, ...]
    resets_ns: tuple[int, ...] = ()

    def tokens(self, at_ns: int) -> int:
        """Whole tokens produced since the start, resets or not."""
        return self._picotokens(at_ns) // PICOTOKENS

    def counter(self, at_ns: int) -> int:
        """What a counter shows: whole tokens since the last reset."""
        past = [moment for moment in self.resets_ns if moment <= at_ns]
        return self.tokens(at_ns) - (self.tokens(past[-1]) if past else 0)

    def rate(self, at_ns: int) -> float:
        """Tokens per second at a moment."""
        era = self._era(at_ns)
        return rate_at(era.schedule, at_ns - era.start_ns)

    def then(self, start_ns: int, schedule: Schedule) -> Timeline:
        """This timeline with another schedule from a moment on."""
        era = Era(start_ns, self._picotokens(start_ns), schedule)
        return Timeline((*self.eras, era), self.resets_ns)

    def reset(self, at_ns: int) -> Timeline:
        """This timeline with the counter back at zero at a moment."""
        return Timeline(self.eras, (*self.resets_ns, at_ns))

    def to_json(self) -> dict[str, Any]:
        """A form that `from_json` reads back, exactly."""
        return {
            "eras": [
                [era.start_ns, era.before_picotokens, schedule_to_json(era.schedule)] for era in self.eras
            ],
            "resets_ns": list(self.resets_ns),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Timeline:
        """Read what `to_json` made."""
        eras = tuple(Era(start, before, schedule_from_json(s)) for start, before, s in value["eras"])
        return cls(eras, tuple(value["resets_ns"]))

    def _era(self, at_ns: int) -> Era:
        for era in reversed(self.eras):
            if era.start_ns <= at_ns:
                return era
        return self.eras[0]

    def _picotokens(self, at_ns: int) -> int:
        era = self._era(at_ns)
        return era.before_picotokens + produced(era.schedule, at_ns - era.start_ns)


def schedule_to_json(schedule: Schedule) -> list[list[float | None]]:
    """Rows of seconds, first rate, last rate."""
    return [[segment.seconds, segment.from_rate, segment.to_rate] for segment in schedule]


def schedule_from_json(rows: list[list[Any]]) -> Schedule:
    """Read what `schedule_to_json` made."""
    return tuple(Segment(*row) for row in rows)
