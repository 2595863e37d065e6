"""The GPUs and modules of a node: which there are, which source tells of each, and since when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.measure.efficiency import Member
from agent.measure.gpu import GpuState, PowerScope
from agent.measure.gpu_book import GpuBook, ModuleBook
from agent.measure.gpu_sources import GpuSources
from agent.measure.meter import MODULE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agent.measure.gpu import GpuReading
    from agent.measure.ledger import Ledger
    from agent.measure.reading import Moment, Reading
    from agent.measure.series import Horizon
    from agent.measure.snapshot import GpuFigures

NEVER = float("-inf")
FORGET_SECONDS = 7 * 86400.0
"""A GPU that was not seen for so long was taken out, not lost: a week covers a repair at the vendor's."""
ABSENT = (
    "only {known} of {wanted} GPUs were ever seen here (node.gpus): compare lspci with nvidia-smi -L, look "
    "for NVRM in the kernel log, and drain the node"
)
FIRST_SOURCE = "nvml"
"""Files of the first version do not say who told of a GPU; there was only this one."""


class Added(NamedTuple):
    """The joules that one reading added."""

    gpus: Mapping[str, float]
    """By UUID."""
    modules: Mapping[str, float]
    """By board serial."""
    boards: Mapping[str, str]
    """Board serial of each GPU that tells one, by UUID."""


@dataclass(slots=True)
class _Origin:
    """Who told of a GPU last, and when."""

    source: str
    unix_seconds: float
    monotonic_seconds: float | None = None
    """None when it was an earlier run: the monotonic clock may be another one."""

    def unseen_seconds(self, now: Moment) -> float:
        if self.monotonic_seconds is not None:
            return now.monotonic_seconds - self.monotonic_seconds
        return now.unix_seconds - self.unix_seconds


class NodeGpus:
    """Books of all GPUs that are expected, and of the superchips that they sit on."""

    def __init__(self, ledger: Ledger, horizon: Horizon, epoch: str, run: str) -> None:
        self._sources = GpuSources()
        self._ledger, self._horizon = ledger, horizon
        self._epoch, self._run = epoch, run
        self._books: dict[str, GpuBook] = {}
        self._by_number: list[GpuBook] | None = None
        """The same by number, until there are others."""
        self._modules: dict[str, ModuleBook] = {}
        self._module_sources: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._origins: dict[str, _Origin] = {}
        """Also of GPUs without a book: those whose source is not offered now."""
        self._cadences: dict[str, float] = {}
        self._forget_seconds = NEVER
        """Monotonic: before this none is to be forgotten."""
        self.wanted = 0
        """So many there should be, as somebody stated it."""

    @property
    def absent(self) -> int:
        """How many there should be and were never seen; nobody knows before every source has told."""
        return max(0, self.wanted - len(self._books)) if self._sources.settled else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Say that GPUs are absent, and what to do."""
        if not self.absent:
            return ()
        return (ABSENT.format(known=len(self._books), wanted=self.wanted),)

    @property
    def books(self) -> Sequence[GpuBook]:
        """Every GPU that is expected, by number."""
        if self._by_number is None:
            self._by_number = sorted(self._books.values(), key=lambda book: book.gpu)
        return self._by_number

    @property
    def modules(self) -> Sequence[ModuleBook]:
        """Every superchip, in the order in which they were found."""
        return list(self._modules.values())

    @property
    def boundaries(self) -> frozenset[str]:
        """The boundaries that these measure themselves."""
        return frozenset(("gpu", "module") if self._modules else ("gpu",))

    @property
    def measured(self) -> dict[str, tuple[list[Member], float | None]]:
        """Energy and power of the superchips, to compare other meters with; empty where nobody tells them."""
        if not self._modules:
            return {}
        cadence, books = self.cadence_seconds, self._modules.values()
        members = [Member(book.energy if book.power_watts is not None else None, cadence) for book in books]
        watts = [book.power_watts for book in books if book.power_watts is not None]
        return {MODULE: (members, sum(watts) if len(watts) == len(books) else None)}

    @property
    def source(self) -> str:
        """Who tells of these GPUs."""
        return min([self._origins[uuid].source for uuid in self._books], default="")

    @property
    def cadence_seconds(self) -> float:
        """The slowest cadence at which they are read."""
        return max(self._cadences.values(), default=1.0)

    @property
    def boards(self) -> dict[str, str]:
        """Return the board serial of each GPU that tells one, by UUID."""
        return {uuid: book.serial for uuid, book in self._books.items() if book.serial}

    @property
    def computing(self) -> dict[str, bool | None]:
        """Tell of each GPU whether processes compute on it."""
        return {uuid: _computes(book.reading) for uuid, book in self._books.items()}

    def prefer(self, sources: Sequence[str], wanted: int | None) -> None:
        """Believe the first of these before the others; without `wanted` expect what was ever seen."""
        self._sources, self.wanted = GpuSources(sources), wanted or 0

    def figures(self) -> tuple[GpuFigures, ...]:
        """Return what outputs may see of every GPU."""
        complete, origins = self._sources.complete, self._origins
        told = [complete(book.uuid, origins[book.uuid].source, book.reading) for book in self.books]
        return tuple([book.figures(known) for book, known in zip(self.books, told, strict=True)])

    def dump(self) -> dict[str, Any]:
        """Return what must survive a restart, as plain values."""
        origins = {uuid: [origin.source, origin.unix_seconds] for uuid, origin in self._origins.items()}
        return {"gpus": dict(self._numbers), "gpu_origins": origins}

    def load(self, numbers: Mapping[str, int], origins: Mapping[str, tuple[str, float]] | None) -> None:
        """Take what was kept. Without `origins` (a file of the first version) the totals tell when."""
        self._numbers = dict(numbers)
        if origins is None:
            seen = {uuid: self._ledger.newest_unix_seconds(f"gpu/{uuid}/") for uuid in numbers}
            origins = {uuid: (FIRST_SOURCE, at) for uuid, at in seen.items() if at > float("-inf")}
        self._origins = {uuid: _Origin(*origin) for uuid, origin in origins.items()}

    def expect(self, sources: Collection[str]) -> None:
        """Know the GPUs of the sources that are offered, and only those.

        One that an earlier run knew is missing until it is told of, not forgotten: a reboot may have left
        it off the bus.
        """
        self._sources.expect(sources)
        for uuid in [uuid for uuid in self._books if self._origins[uuid].source not in sources]:
            del self._books[uuid]
            self._by_number = None
        for serial in [serial for serial, source in self._module_sources.items() if source not in sources]:
            del self._modules[serial], self._module_sources[serial]
        for source in self._cadences.keys() - set(sources):
            del self._cadences[source]
        for uuid, origin in self._origins.items():
            if origin.source in sources:
                self._book(uuid)

    def take(self, reading: Reading, cadence_seconds: float) -> Added | None:
        """Book what one source says of GPUs; one of its GPUs that it does not name is missing.

        Return what that added; None when it says nothing of GPUs, or nothing that others do not know better.
        """
        source = reading.source
        gpus = self._sources.take(reading)
        if not gpus and source not in {origin.source for origin in self._origins.values()}:
            self._cadences.pop(source, None)
            return None
        self._cadences[source] = cadence_seconds
        self._horizon.stretch(cadence_seconds)
        self._miss_books(source, {gpu.identity.uuid for gpu in gpus})
        joules = {}
        for gpu in gpus:
            uuid = gpu.identity.uuid
            more = self._claimed(source, uuid, gpu.at).take(gpu, self._epoch, self._run)
            if gpu.state is GpuState.OK:
                joules[uuid] = more
        if gpus:
            self._ledger.add("boundary/gpu", sum(joules.values()), gpus[-1].at)
        return Added(joules, self._take_modules(source, gpus, reading.at), self.boards)

    def _claimed(self, source: str, uuid: str, at: Moment) -> GpuBook:
        """Return the book of a GPU that this source tells of from now on."""
        origin, book = self._origins.get(uuid), self._books.get(uuid)
        if origin is not None and book is not None and origin.source == source:  # as nearly always
            origin.unix_seconds, origin.monotonic_seconds = at.unix_seconds, at.monotonic_seconds
            return book
        self._origins[uuid] = _Origin(source, at.unix_seconds, at.monotonic_seconds)
        book = self._book(uuid)
        if origin is not None and origin.source != source:
            book.change_source(at)
        return book

    def miss(self, source: str) -> None:
        """Note that a source failed: what it told is no longer known (T15)."""
        self._sources.miss(source)
        self._miss_books(source, set())
        self._miss_modules(source, set())

    def forget(self, now: Moment) -> None:
        """Let go of GPUs that were not seen for FORGET_SECONDS, and of the modules they leave behind."""
        if now.monotonic_seconds >= self._forget_seconds:
            self._forget_unseen(now)
        boards = {book.serial for book in self._books.values()} if self._modules else set()
        for serial in self._modules.keys() - boards:
            del self._modules[serial], self._module_sources[serial]

    def _forget_unseen(self, now: Moment) -> None:
        for uuid, origin in list(self._origins.items()):
            if origin.unix_seconds > now.unix_seconds and origin.monotonic_seconds is None:
                origin.unix_seconds = now.unix_seconds  # the clock was wrong then, or is now
            if origin.unseen_seconds(now) >= FORGET_SECONDS:
                del self._origins[uuid]
                self._books.pop(uuid, None)
                self._by_number = None
        seen = [origin.monotonic_seconds for origin in self._origins.values()]
        known = [seconds for seconds in seen if seconds is not None]
        # Of an earlier run's only the wall clock tells, which may be set: they are looked at each time.
        self._forget_seconds = min(known) + FORGET_SECONDS if known and len(known) == len(seen) else NEVER

    def _book(self, uuid: str) -> GpuBook:
        if uuid not in self._books:
            number = self._numbers.setdefault(uuid, max(self._numbers.values(), default=-1) + 1)
            self._books[uuid] = GpuBook(number, uuid, self._ledger, self._horizon)
            self._by_number = None
        return self._books[uuid]

    def _take_modules(self, source: str, gpus: Sequence[GpuReading], at: Moment) -> dict[str, float]:
        """Book the power of superchips; return the joules that each adds."""
        by_serial: dict[str, list[GpuReading]] = {}
        for gpu in gpus:
            if gpu.identity.serial and PowerScope.MODULE in gpu.power:
                by_serial.setdefault(gpu.identity.serial, []).append(gpu)
        self._miss_modules(source, by_serial.keys())
        joules = {}
        for serial, pair in by_serial.items():
            if serial not in self._modules:
                self._modules[serial] = ModuleBook(serial, self._ledger, self._horizon)
            self._module_sources[serial] = source
            joules[serial] = self._modules[serial].take(tuple(pair))
            self._ledger.add("boundary/module", joules[serial], at)
        return joules

    def _miss_books(self, source: str, but: Collection[str]) -> None:
        for uuid, book in self._books.items():
            if self._origins[uuid].source == source and uuid not in but:
                book.miss()

    def _miss_modules(self, source: str, but: Collection[str]) -> None:
        for serial, of in self._module_sources.items():
            if of == source and serial not in but:
                self._modules[serial].miss()


def _computes(reading: GpuReading | None) -> bool | None:
    """Tell whether processes compute on a GPU; None is unknown.

    A GPU that is busy without one hides them: they are of another namespace.
    """
    if reading is None or reading.processes is None:
        return None
    if not reading.processes and reading.utilization_ratio:
        return None
    return bool(reading.processes)


def origins_of(kept: Any) -> dict[str, tuple[str, float]]:
    """Check what was kept of where GPUs came from: the source of each, and when it last told of it."""
    origins = {str(uuid): (str(source), float(seen)) for uuid, (source, seen) in dict(kept).items()}
    if not all(math.isfinite(seen) for _, seen in origins.values()):
        raise ValueError("a GPU was seen at no moment")
    return origins
