"""The node: takes readings, keeps totals and windows, reckons snapshots. Time is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.measure.engine_book import EngineBook
from agent.measure.gpu import GpuState, Power, PowerScope
from agent.measure.gpu_book import GpuBook, ModuleBook
from agent.measure.ledger import Ledger
from agent.measure.node_figures import figures_of
from agent.measure.snapshot import Activity, BoundaryFigures, NodeIdentity, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.measure.gpu import GpuReading
    from agent.measure.reading import Cost, Moment, Outcome, Reading

ENGINES_PREFIX = "engines/"
HORIZON_WINDOWS = 3.0
"""Series are kept for this many windows: the slowest page may lag by one."""
LEAST_HORIZON_SECONDS = 120.0
HORIZON_CADENCES = 8.0
"""Series hold this many samples of the slowest source: its window takes three, and may lag."""
FORGET_SECONDS = 7 * 86400.0
"""A GPU that was not seen for so long (against the newest total kept) was taken out, not lost."""


class NodeReckoner:
    """Holds a node's books; readings go in, snapshots come out."""

    def __init__(
        self,
        name: str,
        rack: str,
        window_seconds: float,
        epoch: str,
        run: str,
        version: str = "",
        slowest_seconds: float = 1.0,
    ) -> None:
        """Start empty. `epoch` is the kernel's boot id, `run` identifies this process.

        `slowest_seconds` is the slowest cadence that a source is configured for.
        """
        self._version = version
        self._name, self._rack = name, rack
        self._window_seconds = window_seconds
        self._epoch, self._run = epoch, run
        self._horizon_seconds = max(
            LEAST_HORIZON_SECONDS, HORIZON_WINDOWS * window_seconds, HORIZON_CADENCES * slowest_seconds
        )
        self._ledger = Ledger()
        self._numbers: dict[str, int] = {}
        self._gpus: dict[str, GpuBook] = {}
        self._gpu_sources: dict[str, str] = {}
        self._gpu_cadences: dict[str, float] = {}
        self._modules: dict[str, ModuleBook] = {}
        self._engines: dict[str, EngineBook] = {}
        self._engine_names: dict[str, tuple[str, str]] = {}
        self._costs: dict[str, Mapping[str, Cost]] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._sequence = 0

    def dump(self) -> dict[str, Any]:
        """Return what must survive a restart, as plain values."""
        names = {instance: [book.engine, book.model] for instance, book in self._engines.items()}
        kept = {instance: list(pair) for instance, pair in self._engine_names.items()}
        return {"counters": self._ledger.dump(), "gpus": dict(self._numbers), "engines": kept | names}

    def load(self, kept: Mapping[str, Any]) -> None:
        """Take what `dump` gave, all of it or nothing.

        Raises ValueError, TypeError or KeyError when it is something else.
        """
        numbers = {str(uuid): int(number) for uuid, number in dict(kept["gpus"]).items()}
        names = {
            str(instance): (str(engine), str(model))
            for instance, (engine, model) in dict(kept["engines"]).items()
        }
        self._ledger.load(kept["counters"])
        self._numbers, self._engine_names = numbers, names
        self._expect_gpus()

    def expect(self, sources: Iterable[str]) -> None:
        """Say which sources there are: an engine among them exists even before it answers."""
        instances = {s.removeprefix(ENGINES_PREFIX) for s in sources if s.startswith(ENGINES_PREFIX)}
        for instance in instances - self._engines.keys():
            book = EngineBook(instance, self._ledger, self._horizon_seconds)
            book.engine, book.model = self._engine_names.get(instance, (book.engine, book.model))
            self._engines[instance] = book
        for instance in self._engines.keys() - instances:
            gone = self._engines.pop(instance)
            self._engine_names[instance] = (gone.engine, gone.model)

    def take(self, reading: Reading, cadence_seconds: float) -> bool:
        """Book one reading of a source that is read at this cadence; tell whether an engine restarted."""
        if reading.gpus or reading.source in self._gpu_sources.values():
            self._take_gpus(reading, cadence_seconds)
        restarted = False
        for engine in reading.engines:
            if engine.instance in self._engines:
                restarted |= self._engines[engine.instance].take(engine, cadence_seconds)
        self._costs[reading.source] = reading.costs
        self._notes[reading.source] = reading.notes
        return restarted

    def miss(self, source: str) -> None:
        """Note that a source failed: what it told is no longer known (T15)."""
        self._notes.pop(source, None)
        if source.startswith(ENGINES_PREFIX):
            book = self._engines.get(source.removeprefix(ENGINES_PREFIX))
            if book is not None:
                book.miss()
        if source in self._gpu_sources.values():
            for uuid, of in self._gpu_sources.items():
                if of == source:
                    self._gpus[uuid].miss()
            for module in self._modules.values():
                module.miss()

    def snapshot(
        self, now: Moment, outcomes: tuple[Outcome, ...], self_gauges: Mapping[str, float]
    ) -> Snapshot:
        """Reckon everything that is known now."""
        self._sequence += 1
        figures = figures_of(
            list(self._engines.values()),
            list(self._gpus.values()),
            list(self._modules.values()),
            max(self._gpu_cadences.values(), default=1.0),
            self._window_seconds,
            now.monotonic_seconds,
        )
        gpus = sorted(self._gpus.values(), key=lambda book: book.gpu)
        engines = sorted(self._engines.values(), key=lambda book: book.instance)
        return Snapshot(
            sequence=self._sequence,
            at=now,
            node=self._identity(),
            activity=self._activity(),
            gpus=tuple(book.figures() for book in gpus),
            engines=tuple(book.figures(now, self._window_seconds) for book in engines),
            boundaries=self._boundaries(),
            tokens_per_second=figures.tokens_per_second,
            tokens_per_joule=figures.tokens_per_joule,
            validity=figures.validity,
            outcomes=outcomes,
            costs=dict(self._costs),
            notes=tuple(note for notes in self._notes.values() for note in notes),
            self_gauges=self_gauges,
            version=self._version,
        )

    def _expect_gpus(self) -> None:
        """Know the GPUs of the last run: one that a reboot left off the bus is missing, not forgotten."""
        newest = self._ledger.newest_unix_seconds("gpu/")
        for uuid in self._numbers:
            if newest - self._ledger.newest_unix_seconds(f"gpu/{uuid}/") < FORGET_SECONDS:
                self._gpu_book(uuid)

    def _take_gpus(self, reading: Reading, cadence_seconds: float) -> None:
        self._gpu_cadences[reading.source] = cadence_seconds
        told = {gpu.identity.uuid for gpu in reading.gpus}
        for uuid, source in self._gpu_sources.items():
            if source == reading.source and uuid not in told:
                self._gpus[uuid].miss()
        for gpu in reading.gpus:
            self._gpu_sources[gpu.identity.uuid] = reading.source
            joules = self._gpu_book(gpu.identity.uuid).take(gpu, self._epoch, self._run)
            self._ledger.add("boundary/gpu", joules, gpu.at)
        self._take_modules(reading.gpus, reading.at)

    def _gpu_book(self, uuid: str) -> GpuBook:
        if uuid not in self._gpus:
            number = self._numbers.setdefault(uuid, max(self._numbers.values(), default=-1) + 1)
            self._gpus[uuid] = GpuBook(number, uuid, self._ledger, self._horizon_seconds)
        return self._gpus[uuid]

    def _take_modules(self, gpus: tuple[GpuReading, ...], at: Moment) -> None:
        by_serial: dict[str, list[GpuReading]] = {}
        for gpu in gpus:
            if gpu.identity.serial and PowerScope.MODULE in gpu.power:
                by_serial.setdefault(gpu.identity.serial, []).append(gpu)
        for serial in self._modules.keys() - by_serial.keys():
            self._modules[serial].miss()
        for serial, pair in by_serial.items():
            if serial not in self._modules:
                self._modules[serial] = ModuleBook(serial, self._ledger, self._horizon_seconds)
            self._ledger.add("boundary/module", self._modules[serial].take(tuple(pair)), at)

    def _boundaries(self) -> tuple[BoundaryFigures, ...]:
        """Sum each boundary over the members that report; absent when none does (T7)."""
        gpus = [power for book in self._gpus.values() if (power := _gpu_watts(book.reading)) is not None]
        modules = [module.power_watts for module in self._modules.values() if module.power_watts is not None]
        source = min(self._gpu_sources.values(), default="")
        return tuple(
            BoundaryFigures(boundary, source, sum(watts), self._ledger.total(f"boundary/{boundary}"))
            for boundary, watts in (("gpu", gpus), ("module", modules))
            if watts
        )

    def _activity(self) -> Activity:
        activities = {book.activity() for book in self._engines.values()}
        for activity in (Activity.SERVING, Activity.UNKNOWN, Activity.IDLE):
            if activity in activities:
                return activity
        return Activity.ASLEEP if activities else Activity.UNKNOWN

    def _identity(self) -> NodeIdentity:
        placements = [book.reading.placement for book in self._gpus.values() if book.reading is not None]
        placed = next((placement for placement in placements if placement is not None), None)
        if placed is None:
            return NodeIdentity(self._name, self._rack or self._name)
        domain = f"{placed.cluster_uuid}.{placed.clique}" if placed.cluster_uuid else ""
        return NodeIdentity(
            name=self._name,
            rack=self._rack or placed.chassis_serial or domain or self._name,
            chassis=placed.chassis_serial or "",
            tray="" if placed.tray is None else str(placed.tray),
            domain=domain,
        )


def _gpu_watts(reading: GpuReading | None) -> float | None:
    """Return the one-second mean of a GPU, or its instant power where there is no mean."""
    if reading is None or reading.state is not GpuState.OK:
        return None
    power = reading.power.get(PowerScope.GPU, Power())
    return power.average_watts if power.average_watts is not None else power.instant_watts
