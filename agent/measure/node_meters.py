"""The power meters of a node: each boundary has one source, the others are cross-checks (T7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent.measure.efficiency import Member
from agent.measure.energy import POWER_GAP_SECONDS, PowerIntegral
from agent.measure.meter import BOUNDARIES, RACK, MeterReading, PartFigures
from agent.measure.series import Point, Series, max_gap_seconds
from agent.measure.snapshot import BoundaryFigures
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agent.measure.ledger import Ledger
    from agent.measure.reading import Reading
    from agent.measure.series import Horizon

PREFERENCE = ("redfish", "hwmon")
"""Of several sources of one boundary, the one that measures further out and for longer comes first."""
MAX_WATTS = 20_000.0
"""No part of a node draws this much: a counter that grows faster is not believed …"""
RACK_MAX_WATTS = 1_000_000.0
"""… and no meter of a rack this much."""


class BoundaryMeter(NamedTuple):
    """One boundary as its source measures it."""

    boundary: str
    members: list[Member]
    reasons: frozenset[Invalid]
    flags: frozenset[Flag]


class MeterBook:
    """What is remembered of one meter between readings."""

    def __init__(self, key: str, ledger: Ledger, horizon: Horizon, max_watts: float = MAX_WATTS) -> None:
        self.energy = Series(horizon)
        self.reading: MeterReading | None = None
        self.power_watts: float | None = None
        self.counts = False
        """It has a counter of its own."""
        self.sparse = False
        """Its power is integrated over gaps in which nobody knows what happened."""
        self._key, self._ledger, self._horizon, self._max_watts = key, ledger, horizon, max_watts
        self._integral = PowerIntegral()
        self._counted_seconds: float | None = None

    @property
    def total(self) -> float | None:
        """Joules since the meter was first seen, while rackwatt ran."""
        return self._ledger.total(self._key)

    def take(self, reading: MeterReading, gap_seconds: float = POWER_GAP_SECONDS) -> float:
        """Book one reading; return the joules that it adds. Power is integrated over gaps up to this long."""
        self.reading = reading
        if reading.energy_joules is not None:
            return self._extend(reading, self._count(reading, reading.energy_joules))
        self.power_watts = reading.power_watts
        if reading.power_watts is None:
            return 0.0
        self.sparse = gap_seconds > POWER_GAP_SECONDS
        joules = self._integral.add(reading.at.monotonic_seconds, reading.power_watts, gap_seconds)
        if joules is None:
            self.energy = Series(self._horizon)
        self._ledger.add(self._key, joules or 0.0, reading.at)
        return self._extend(reading, joules or 0.0)

    def miss(self) -> None:
        """Note that its source failed, or does not name it any more."""
        self.reading, self.power_watts = None, None

    def _count(self, reading: MeterReading, raw: float) -> float:
        """Book a counter; power is what it grew by since the last reading, unless the meter tells it."""
        at = reading.at
        step = self._ledger.observe(
            self._key, raw, at, adopted=not self.counts and self.total is not None, max_rate=self._max_watts
        )
        since, self._counted_seconds, self.counts = self._counted_seconds, at.monotonic_seconds, True
        elapsed = 0.0 if since is None else at.monotonic_seconds - since
        self.power_watts = reading.power_watts
        if reading.power_watts is None and elapsed > 0.0:
            self.power_watts = step.delta / elapsed
        return step.delta

    def _extend(self, reading: MeterReading, joules: float) -> float:
        last = self.energy.last
        self.energy.add(Point(reading.at.monotonic_seconds, (0.0 if last is None else last.value) + joules))
        return joules


class _Key(NamedTuple):
    """Which meter: the reading that names it, who tells it, of what, and which of several."""

    reading: str
    source: str
    part: str
    unit: str


class NodeMeters:
    """Every meter that was told of: of a node, or of a rack, which knows the boundary `rack` alone."""

    def __init__(
        self,
        ledger: Ledger,
        horizon: Horizon,
        boundaries: Sequence[str] = BOUNDARIES,
        most: float = MAX_WATTS,
    ) -> None:
        """`boundaries` are those that it sums; `most` is more than any one meter of theirs can draw."""
        self._ledger, self._horizon = ledger, horizon
        self._boundaries, self._max_watts = tuple(boundaries), most
        self._books: dict[_Key, MeterBook] = {}
        self._cadences: dict[str, float] = {}
        """By the name of the reading."""

    def expect(self, sources: Collection[str]) -> None:
        """Know the meters of the sources that are offered, and only those."""
        for key in [key for key in self._books if key.reading not in sources]:
            del self._books[key]
        for source in self._cadences.keys() - set(sources):
            del self._cadences[source]

    def take(self, reading: Reading, cadence_seconds: float, elsewhere: Collection[str]) -> None:
        """Book what one source says; boundaries that are measured `elsewhere` it only cross-checks."""
        meters = [each for each in reading.meters if (each.part == RACK) == (RACK in self._boundaries)]
        if not meters and reading.source not in self._cadences:
            return
        self._cadences[reading.source] = cadence_seconds
        self._horizon.stretch(cadence_seconds)
        told = {_key_of(reading, meter): meter for meter in meters}
        self._miss(reading.source, told)
        for key, meter in told.items():
            joules = self._book(key).take(meter, max_gap_seconds(cadence_seconds))
            if key.part in self._boundaries and self._sources(elsewhere).get(key.part) == key.source:
                self._ledger.add(f"boundary/{key.part}", joules, meter.at)

    def miss(self, source: str) -> None:
        """Note that a source failed."""
        self._miss(source, ())

    def figures(self, elsewhere: Collection[str]) -> tuple[BoundaryFigures, ...]:
        """Return each boundary whose source is one of these meters, and that any of them tells."""
        found = []
        for boundary, source in self._sources(elsewhere).items():
            books = self._of(source, boundary)
            if any(book.power_watts is not None for book in books.values()):
                found.append(self._figures(boundary, source, books))
        return tuple(found)

    def meters(self, elsewhere: Collection[str]) -> list[BoundaryMeter]:
        """Return the same boundaries as members of sums."""
        return [
            BoundaryMeter(
                boundary,
                [
                    Member(book.energy if book.reading else None, self._cadences[key.reading])
                    for key, book in books.items()
                ],
                self._reasons(books),
                _flags(books.values()),
            )
            for boundary, source in self._sources(elsewhere).items()
            if (books := self._of(source, boundary))
        ]

    def crosschecks(self, elsewhere: Collection[str]) -> Mapping[tuple[str, str], float]:
        """Return the power of each boundary by every source that is not its own; whole ones only."""
        lead = self._sources(elsewhere)
        sums = {}
        for boundary in self._boundaries:
            for source in {key.source for key in self._books if key.part == boundary} - {lead.get(boundary)}:
                books = self._of(source, boundary)
                if not self._reasons(books):
                    sums[boundary, source] = sum(book.power_watts or 0.0 for book in books.values())
        return sums

    def parts(self) -> tuple[PartFigures, ...]:
        """Return what is known of each part of the node."""
        return tuple(
            PartFigures(
                key.part, key.unit, key.source, book.power_watts, book.total if book.reading else None
            )
            for key, book in sorted(self._books.items(), key=lambda each: each[0][1:])
            if key.part not in self._boundaries
        )

    def _sources(self, elsewhere: Collection[str]) -> dict[str, str]:
        """Return the source of each boundary that is one of ours."""
        ours: dict[str, str] = {}
        for key in sorted(self._books, key=lambda key: _rank(key.source)):
            if key.part in self._boundaries and key.part not in elsewhere:
                ours.setdefault(key.part, key.source)
        return ours

    def _figures(self, boundary: str, source: str, books: Mapping[_Key, MeterBook]) -> BoundaryFigures:
        told = [book for book in books.values() if book.power_watts is not None]
        moments = [book.energy.last.seconds for book in told if book.energy.last is not None]
        holes = [book.energy.began for book in told if book.energy.began is not None]
        reasons = self._reasons(books)
        watts = sum(book.power_watts for book in told if book.power_watts is not None)
        return BoundaryFigures(
            boundary=boundary,
            source=source,
            power_watts=None if boundary == RACK and reasons else watts,
            energy_joules_total=self._ledger.total(f"boundary/{boundary}"),
            at_monotonic_seconds=sum(moments) / len(moments) if moments else None,
            since_monotonic_seconds=max(holes, default=None),
            cadence_seconds=max(self._cadences[key.reading] for key in books),
            reasons=reasons,
            flags=_flags(books.values()),
        )

    def _of(self, source: str, part: str) -> dict[_Key, MeterBook]:
        return {key: book for key, book in self._books.items() if (key.source, key.part) == (source, part)}

    def _book(self, key: _Key) -> MeterBook:
        if key not in self._books:
            name = f"meter/{key.source}/{key.part}/{key.unit}"
            self._books[key] = MeterBook(name, self._ledger, self._horizon, self._max_watts)
        return self._books[key]

    def _miss(self, source: str, but: Collection[_Key]) -> None:
        for key, book in self._books.items():
            if key.reading == source and key not in but:
                book.miss()

    def _reasons(self, books: Mapping[_Key, MeterBook]) -> frozenset[Invalid]:
        """Tell what a sum lacks: a meter of it, or a whole reading that has not come yet."""
        wanted = {name for book in books.values() if book.reading for name in book.reading.readings}
        silent = any(book.power_watts is None for book in books.values())
        lacking = silent or not wanted <= {key.reading for key in books}
        return frozenset({Invalid.MEMBER_MISSING} if lacking else ())


def _key_of(reading: Reading, meter: MeterReading) -> _Key:
    return _Key(reading.source, meter.source or reading.source, meter.part, meter.unit)


def _flags(books: Collection[MeterBook]) -> frozenset[Flag]:
    flags = set()
    if any(not book.counts for book in books):
        flags.add(Flag.INTEGRATED)
    if any(book.sparse or (book.reading is not None and book.reading.unverified) for book in books):
        flags.add(Flag.UNVERIFIED)
    return frozenset(flags)


def _rank(source: str) -> tuple[int, str]:
    return (PREFERENCE.index(source) if source in PREFERENCE else len(PREFERENCE)), source
