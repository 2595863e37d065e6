"""The power meters of a node: each boundary has one source, the others are cross-checks (T7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from agent.measure.efficiency import Member
from agent.measure.energy import CHECK_SECONDS
from agent.measure.meter import BOUNDARIES, FACILITY, NODE, PUE, RACK, PartFigures
from agent.measure.meter_book import MAX_RACK_WATTS, MAX_WATTS, MeterBook
from agent.measure.meter_check import MeterCheck
from agent.measure.series import max_gap_seconds
from agent.measure.snapshot import BoundaryFigures
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from agent.measure.ledger import Ledger
    from agent.measure.meter import MeterReading
    from agent.measure.reading import Reading
    from agent.measure.series import Horizon

PREFERENCE = ("redfish", "hwmon")
"""Of several sources of one boundary, the one that measures further out and for longer comes first."""


METERED = (*BOUNDARIES, RACK)


class BoundaryMeter(NamedTuple):
    """One boundary as its source measures it."""

    boundary: str
    members: list[Member]
    reasons: frozenset[Invalid]
    flags: frozenset[Flag]


class RackMeter(NamedTuple):
    """A meter of the whole rack, or of a node in it, which the daemon that reckons the rack reads."""

    source: str
    figures: BoundaryFigures | None
    """None while none of its units answers."""
    members: tuple[Member, ...]
    """Energy of its units, on this machine's clock."""


class NodeMeters:
    """Every meter that was told of, by source, part and unit."""

    def __init__(self, ledger: Ledger, horizon: Horizon, scope: str = "") -> None:
        """Start empty; `scope` is the path of whose meters they are in the ledger: empty for our own."""
        self._ledger, self._horizon, self._scope = ledger, horizon, scope
        self._books: dict[tuple[str, str, str], MeterBook] = {}
        self._readers: dict[str, float] = {}
        """How often each reading comes …"""
        self._cadences: dict[str, float] = {}
        """… and the slowest of those that a source is told by."""
        self._checks: dict[tuple[str, str], MeterCheck] = {}
        """By boundary, and the source that is compared with the boundary's own."""
        self._failed: set[str] = set()
        """Sources that told nothing when they were last asked: that is said elsewhere."""
        self.pue: float | None = None
        """Energy of the facility over that of this node, as somebody stated it."""

    def expect(self, sources: Collection[str]) -> None:
        """Know the meters of the sources that are offered, and only those."""
        self._books = {key: book for key, book in self._books.items() if book.reader in sources}
        self._readers = {name: sec for name, sec in self._readers.items() if name in sources}
        told = {key[0] for key in self._books}
        self._cadences = {source: sec for source, sec in self._cadences.items() if source in told}
        self._checks = {pair: check for pair, check in self._checks.items() if pair[1] in told}

    def take(self, reading: Reading, cadence_seconds: float, elsewhere: Collection[str]) -> None:
        """Book what one source says; boundaries that are measured `elsewhere` it only cross-checks."""
        reader = reading.source
        told = {_key(reader, meter): meter for meter in reading.meters}
        if not told and reader not in self._readers:
            return
        self._readers[reader] = cadence_seconds
        self._failed.discard(reader)
        self._horizon.stretch(cadence_seconds)
        self._miss(reader, told)
        for key, meter in told.items():
            source = key[0]
            joules = self._book(key, reader).take(meter, max_gap_seconds(cadence_seconds))
            readers = {book.reader for each, book in self._books.items() if each[0] == source}
            self._cadences[source] = max(self._readers.get(name, 0.0) for name in readers)
            if meter.part in METERED and self._leads(source, meter.part, elsewhere):
                self._ledger.add(f"{self._scope}boundary/{meter.part}", joules, meter.at)
                if meter.part == NODE and self.pue is not None:
                    self._ledger.add(f"boundary/{FACILITY}", joules * self.pue, meter.at)

    def miss(self, source: str) -> None:
        """Note that a source failed."""
        self._failed.add(source)
        self._miss(source, ())

    def figures(self, elsewhere: Collection[str]) -> tuple[BoundaryFigures, ...]:
        """Return each boundary whose source is one of these meters, and that any of them tells."""
        if not self._books:
            return ()
        found = []
        for boundary, source in self._sources(elsewhere).items():
            figures = None if boundary == RACK else self._figures(boundary, source)
            if figures is not None:
                found.append(figures)
            if figures is not None and boundary == NODE and self.pue is not None:
                found.append(self._facility(figures, self.pue))
        return tuple(found)

    def rack(self) -> RackMeter | None:
        """Return what a meter of the whole rack says; None where there is none."""
        return self.of(RACK)

    def of(self, boundary: str) -> RackMeter | None:
        """Return what the meters of one boundary say; None where there are none."""
        source = self._sources(()).get(boundary)
        if source is None:
            return None
        return RackMeter(source, self._figures(boundary, source), tuple(self._members(boundary, source)))

    def _facility(self, node: BoundaryFigures, pue: float) -> BoundaryFigures:
        """Model the facility's part in this node."""
        return replace(
            node,
            boundary=FACILITY,
            source=PUE,
            power_watts=None if node.power_watts is None else node.power_watts * pue,
            energy_joules_total=self._ledger.total(f"boundary/{FACILITY}"),
            flags=node.flags | {Flag.MODELLED},
        )

    def meters(self, elsewhere: Collection[str]) -> list[BoundaryMeter]:
        """Return the same boundaries as members of sums."""
        return [
            BoundaryMeter(
                boundary,
                self._members(boundary, source),
                _reasons(books),
                _flags(books),
            )
            for boundary, source in self._sources(elsewhere).items()
            if boundary != RACK and (books := self._of(source, boundary))
        ]

    def crosschecks(self, elsewhere: Collection[str]) -> Mapping[tuple[str, str], float]:
        """Return the power of each boundary by every source that is not its own; whole ones only."""
        if not self._books:
            return {}
        lead = self._sources(elsewhere)
        sums = {}
        for boundary in METERED:
            for source in self._cadences:
                books = self._of(source, boundary)
                watts = _total(books)
                whole = books and Invalid.MEMBER_MISSING not in _reasons(books)
                if whole and watts is not None and lead.get(boundary) != source:
                    sums[boundary, source] = watts
        return sums

    def parts(self) -> tuple[PartFigures, ...]:
        """Return what is known of each part of the node."""
        return tuple(
            PartFigures(part, unit, source, book.power_watts, book.total if book.reading else None)
            for (source, part, unit), book in sorted(self._books.items())
            if part not in METERED
        )

    @property
    def cadence_seconds(self) -> float:
        """The slowest cadence at which they are read; 0 without any."""
        return max(self._cadences.values(), default=0.0)

    @property
    def up(self) -> dict[tuple[str, str, str], bool]:
        """Tell of each meter, by source, part and unit, whether it answered when it was last asked."""
        return {key: book.up for key, book in sorted(self._books.items())}

    @property
    def energy_by(self) -> dict[tuple[str, str, str], str]:
        """Tell of each meter that answers how its total is known."""
        return {key: book.energy_by for key, book in sorted(self._books.items()) if book.up}

    def check(self, elsewhere: Mapping[str, tuple[Sequence[Member], float | None]]) -> frozenset[str]:
        """Compare meters of one boundary; return the boundaries on which they disagree.

        `elsewhere` has energy and power of those that are measured by something else.
        """
        if not self._cadences:
            return frozenset()
        lead = self._sources(elsewhere)
        for boundary in METERED:
            for source in self._cadences:
                if boundary in elsewhere:
                    own, watts = elsewhere[boundary]
                elif lead.get(boundary) not in (None, source):
                    own = self._members(boundary, lead[boundary])
                    watts = _total(self._of(lead[boundary], boundary))
                else:
                    continue
                if self._told_by(source, boundary) & self._told_by(lead.get(boundary, ""), boundary):
                    continue  # before and behind the supplies of one machine: they lose the difference
                other = self._members(boundary, source)
                if other:
                    self._checks.setdefault((boundary, source), MeterCheck()).look(own, other, watts)
        return frozenset(boundary for (boundary, _), check in self._checks.items() if check.disagrees)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which meters of a boundary are dead, and which contradict each other."""
        dead = [
            f"{source}: the meter of {part} {unit} does not answer, so power at the boundary {part} lacks it"
            for (source, part, unit), book in sorted(self._books.items())
            if part in METERED and not book.up and book.reader not in self._failed
        ]
        apart = [
            f"{boundary}: its meters disagree, {check.watts[0]:.1f} W by its source and "
            f"{check.watts[1]:.1f} W by {source}, over {CHECK_SECONDS:.0f} s: one does not measure what its "
            "name says"
            for (boundary, source), check in sorted(self._checks.items())
            if check.disagrees and check.watts is not None
        ]
        return (*dead, *apart)

    def _members(self, boundary: str, source: str) -> list[Member]:
        cadence = self._cadences[source]
        return [Member(book.energy if book.reading else None, cadence) for book in self._of(source, boundary)]

    def _sources(self, elsewhere: Collection[str]) -> dict[str, str]:
        """Return the source of each boundary that is one of ours."""
        ours: dict[str, str] = {}
        for source in sorted(self._cadences, key=_rank):
            for boundary in METERED:
                if boundary not in elsewhere and self._of(source, boundary):
                    ours.setdefault(boundary, source)
        return ours

    def _leads(self, source: str, boundary: str, elsewhere: Collection[str]) -> bool:
        return self._sources(elsewhere).get(boundary) == source

    def _figures(self, boundary: str, source: str) -> BoundaryFigures | None:
        """Return one boundary; None when none of its meters answers."""
        books = self._of(source, boundary)
        told = [book for book in books if book.power_watts is not None]
        if not told:
            return None
        reasons = _reasons(books)
        moments = [book.energy.last.seconds for book in told if book.energy.last is not None]
        holes = [book.energy.began for book in told if book.energy.began is not None]
        return BoundaryFigures(
            boundary=boundary,
            source=source,
            power_watts=None if boundary == RACK and Invalid.MEMBER_MISSING in reasons else _total(told),
            energy_joules_total=self._ledger.total(f"{self._scope}boundary/{boundary}"),
            at_monotonic_seconds=sum(moments) / len(moments) if moments else None,
            since_monotonic_seconds=max(holes, default=None),
            cadence_seconds=self._cadences[source],
            reasons=reasons,
            flags=_flags(books),
        )

    def _of(self, source: str, part: str) -> list[MeterBook]:
        return [book for (of, what, _), book in self._books.items() if (of, what) == (source, part)]

    def _told_by(self, source: str, part: str) -> set[str]:
        return {book.reader for book in self._of(source, part)}

    def _book(self, key: tuple[str, str, str], reader: str) -> MeterBook:
        if key not in self._books:
            most = MAX_RACK_WATTS if key[1] == RACK else MAX_WATTS
            name = f"{self._scope}meter/{'/'.join(key)}"
            self._books[key] = MeterBook(name, self._ledger, self._horizon, most, reader)
        return self._books[key]

    def _miss(self, reader: str, but: Collection[tuple[str, str, str]]) -> None:
        for key, book in self._books.items():
            if book.reader == reader and key not in but:
                book.miss()


def _key(reader: str, meter: MeterReading) -> tuple[str, str, str]:
    return (meter.source or reader, meter.part, meter.unit)


def _reasons(books: Iterable[MeterBook]) -> frozenset[Invalid]:
    books = list(books)
    reasons = set()
    wanted = {name for book in books if book.reading is not None for name in book.reading.readings}
    unread = wanted - {book.reader for book in books}
    if unread or any(book.power_watts is None for book in books):
        reasons.add(Invalid.MEMBER_MISSING)
    if any(book.mismatch for book in books):
        reasons.add(Invalid.COUNTER_POWER_MISMATCH)
    return frozenset(reasons)


def _total(books: Iterable[MeterBook]) -> float | None:
    """Add the power of meters up; None when one does not tell it."""
    watts = [book.power_watts for book in books]
    return None if None in watts else sum(each for each in watts if each is not None)


def _flags(books: Sequence[MeterBook]) -> frozenset[Flag]:
    flags = set()
    if any(not book.counts for book in books):
        flags.add(Flag.INTEGRATED)
    if any(book.unverified for book in books):
        flags.add(Flag.UNVERIFIED)
    return frozenset(flags)


def _rank(source: str) -> tuple[int, str]:
    return (PREFERENCE.index(source) if source in PREFERENCE else len(PREFERENCE)), source
