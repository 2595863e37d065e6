"""The power meters of a node: each boundary has one source, the others are cross-checks (T7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent.measure.efficiency import Member
from agent.measure.energy import PowerIntegral
from agent.measure.meter import BOUNDARIES, MeterReading, PartFigures
from agent.measure.series import Point, Series
from agent.measure.snapshot import BoundaryFigures
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from agent.measure.ledger import Ledger
    from agent.measure.reading import Reading
    from agent.measure.series import Horizon

PREFERENCE = ("redfish", "hwmon")
"""Of several sources of one boundary, the one that measures further out and for longer comes first."""
MAX_WATTS = 20_000.0
"""No part of a node draws this much: a counter that grows faster is not believed."""


class BoundaryMeter(NamedTuple):
    """One boundary as its source measures it."""

    boundary: str
    members: list[Member]
    reasons: frozenset[Invalid]
    flags: frozenset[Flag]


class MeterBook:
    """What is remembered of one meter between readings."""

    def __init__(self, key: str, ledger: Ledger, horizon: Horizon) -> None:
        self.energy = Series(horizon)
        self.reading: MeterReading | None = None
        self.power_watts: float | None = None
        self.counts = False
        """It has a counter of its own."""
        self._key, self._ledger, self._horizon = key, ledger, horizon
        self._integral = PowerIntegral()
        self._counted_seconds: float | None = None

    @property
    def total(self) -> float | None:
        """Joules since the meter was first seen, while rackwatt ran."""
        return self._ledger.total(self._key)

    def take(self, reading: MeterReading) -> float:
        """Book one reading; return the joules that it adds."""
        self.reading = reading
        if reading.energy_joules is not None:
            return self._extend(reading, self._count(reading, reading.energy_joules))
        self.power_watts = reading.power_watts
        if reading.power_watts is None:
            return 0.0
        joules = self._integral.add(reading.at.monotonic_seconds, reading.power_watts)
        if joules is None:
            self.energy = Series(self._horizon)
        self._ledger.add(self._key, joules or 0.0, reading.at)
        return self._extend(reading, joules or 0.0)

    def miss(self) -> None:
        """Note that its source failed, or does not name it any more."""
        self.reading, self.power_watts = None, None

    def _count(self, reading: MeterReading, raw: float) -> float:
        """Book a counter; power is what it grew by since the last reading."""
        at = reading.at
        step = self._ledger.observe(
            self._key, raw, at, adopted=not self.counts and self.total is not None, max_rate=MAX_WATTS
        )
        since, self._counted_seconds, self.counts = self._counted_seconds, at.monotonic_seconds, True
        elapsed = 0.0 if since is None else at.monotonic_seconds - since
        self.power_watts = step.delta / elapsed if elapsed > 0.0 else reading.power_watts
        return step.delta

    def _extend(self, reading: MeterReading, joules: float) -> float:
        last = self.energy.last
        self.energy.add(Point(reading.at.monotonic_seconds, (0.0 if last is None else last.value) + joules))
        return joules


class NodeMeters:
    """Every meter that was told of, by source, part and unit."""

    def __init__(self, ledger: Ledger, horizon: Horizon) -> None:
        self._ledger, self._horizon = ledger, horizon
        self._books: dict[tuple[str, str, str], MeterBook] = {}
        self._cadences: dict[str, float] = {}

    def expect(self, sources: Collection[str]) -> None:
        """Know the meters of the sources that are offered, and only those."""
        for key in [key for key in self._books if key[0] not in sources]:
            del self._books[key]
        for source in self._cadences.keys() - set(sources):
            del self._cadences[source]

    def take(self, reading: Reading, cadence_seconds: float, elsewhere: Collection[str]) -> None:
        """Book what one source says; boundaries that are measured `elsewhere` it only cross-checks."""
        source = reading.source
        told = {(source, meter.part, meter.unit) for meter in reading.meters}
        if not told and source not in self._cadences:
            return
        self._cadences[source] = cadence_seconds
        self._horizon.stretch(cadence_seconds)
        self._miss(source, told)
        for meter in reading.meters:
            joules = self._book(source, meter).take(meter)
            if meter.part in BOUNDARIES and self._leads(source, meter.part, elsewhere):
                self._ledger.add(f"boundary/{meter.part}", joules, meter.at)

    def miss(self, source: str) -> None:
        """Note that a source failed."""
        self._miss(source, set())

    def figures(self, elsewhere: Collection[str]) -> tuple[BoundaryFigures, ...]:
        """Return each boundary whose source is one of these meters, and that any of them tells."""
        found = []
        for boundary, source in self._sources(elsewhere).items():
            books = self._of(source, boundary)
            told = [book for book in books if book.power_watts is not None]
            if told:
                found.append(self._figures(boundary, source, books, told))
        return tuple(found)

    def meters(self, elsewhere: Collection[str]) -> list[BoundaryMeter]:
        """Return the same boundaries as members of sums."""
        return [
            BoundaryMeter(
                boundary,
                [Member(book.energy if book.reading else None, self._cadences[source]) for book in books],
                _reasons(books),
                _flags(books),
            )
            for boundary, source in self._sources(elsewhere).items()
            if (books := self._of(source, boundary))
        ]

    def crosschecks(self, elsewhere: Collection[str]) -> Mapping[tuple[str, str], float]:
        """Return the power of each boundary by every source that is not its own; whole ones only."""
        lead = self._sources(elsewhere)
        sums = {}
        for boundary in BOUNDARIES:
            for source in self._cadences:
                watts = [book.power_watts for book in self._of(source, boundary)]
                if watts and None not in watts and lead.get(boundary) != source:
                    sums[boundary, source] = sum(each for each in watts if each is not None)
        return sums

    def parts(self) -> tuple[PartFigures, ...]:
        """Return what is known of each part of the node."""
        return tuple(
            PartFigures(part, unit, source, book.power_watts, book.total if book.reading else None)
            for (source, part, unit), book in sorted(self._books.items())
            if part not in BOUNDARIES
        )

    def _sources(self, elsewhere: Collection[str]) -> dict[str, str]:
        """Return the source of each boundary that is one of ours."""
        ours: dict[str, str] = {}
        for source in sorted(self._cadences, key=_rank):
            for boundary in BOUNDARIES:
                if boundary not in elsewhere and self._of(source, boundary):
                    ours.setdefault(boundary, source)
        return ours

    def _leads(self, source: str, boundary: str, elsewhere: Collection[str]) -> bool:
        return self._sources(elsewhere).get(boundary) == source

    def _figures(
        self, boundary: str, source: str, books: Sequence[MeterBook], told: Sequence[MeterBook]
    ) -> BoundaryFigures:
        moments = [book.energy.last.seconds for book in told if book.energy.last is not None]
        holes = [book.energy.began for book in told if book.energy.began is not None]
        return BoundaryFigures(
            boundary=boundary,
            source=source,
            power_watts=sum(book.power_watts for book in told if book.power_watts is not None),
            energy_joules_total=self._ledger.total(f"boundary/{boundary}"),
            at_monotonic_seconds=sum(moments) / len(moments) if moments else None,
            since_monotonic_seconds=max(holes, default=None),
            cadence_seconds=self._cadences[source],
            reasons=_reasons(books),
            flags=_flags(books),
        )

    def _of(self, source: str, part: str) -> list[MeterBook]:
        return [book for (of, what, _), book in self._books.items() if (of, what) == (source, part)]

    def _book(self, source: str, meter: MeterReading) -> MeterBook:
        key = (source, meter.part, meter.unit)
        if key not in self._books:
            self._books[key] = MeterBook(f"meter/{'/'.join(key)}", self._ledger, self._horizon)
        return self._books[key]

    def _miss(self, source: str, but: Collection[tuple[str, str, str]]) -> None:
        for key, book in self._books.items():
            if key[0] == source and key not in but:
                book.miss()


def _reasons(books: Iterable[MeterBook]) -> frozenset[Invalid]:
    return frozenset({Invalid.MEMBER_MISSING} if any(book.power_watts is None for book in books) else ())


def _flags(books: Sequence[MeterBook]) -> frozenset[Flag]:
    flags = set()
    if any(not book.counts for book in books):
        flags.add(Flag.INTEGRATED)
    if any(book.reading is not None and book.reading.unverified for book in books):
        flags.add(Flag.UNVERIFIED)
    return frozenset(flags)


def _rank(source: str) -> tuple[int, str]:
    return (PREFERENCE.index(source) if source in PREFERENCE else len(PREFERENCE)), source
