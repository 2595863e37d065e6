"""The node: takes readings, keeps totals and windows, reckons snapshots. Time is an argument."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.measure.attribution import Claim, group_of
from agent.measure.deployment_books import DeploymentBooks, state_of
from agent.measure.deployment_figures import NodeView, deployments_of, ratios_of_models
from agent.measure.deployment_work import DeploymentWork
from agent.measure.engine_book import EngineBook
from agent.measure.engine_tokens import forget_unexpected
from agent.measure.environment import EnvironmentBook
from agent.measure.host_book import HostBook
from agent.measure.latency_book import ModelLatencies
from agent.measure.ledger import Ledger
from agent.measure.member_meters import MemberMeters
from agent.measure.model_figures import models_of
from agent.measure.model_tokens import ModelTokens
from agent.measure.node_boundaries import boundaries_of, doubted
from agent.measure.node_counting import NodeCounting, recalled
from agent.measure.node_figures import figures_of, rungs_of
from agent.measure.node_gpus import NodeGpus, origins_of
from agent.measure.node_ladder import with_ladder
from agent.measure.node_meters import NodeMeters
from agent.measure.series import Horizon
from agent.measure.service import ServiceBook
from agent.measure.site import NO_SITE
from agent.measure.slo import NO_PROMISES
from agent.measure.snapshot import Activity, NodeIdentity, Origin, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.measure.carbon import CarbonReading
    from agent.measure.gpu import Placement
    from agent.measure.node_figures import NodeFigures
    from agent.measure.node_gpus import Added
    from agent.measure.node_meters import RackMeter
    from agent.measure.owner import GpuOwner
    from agent.measure.push import PushFigures
    from agent.measure.rack_snapshot import DeploymentFigures, RackSnapshot
    from agent.measure.reading import Cost, Moment, Outcome, Reading
    from agent.measure.site import Site
    from agent.measure.slo import Slo

ENGINES_PREFIX = "engines/"
HORIZON_WINDOWS = 3.0
"""Series are kept for this many windows: the slowest page may lag by one."""
LEAST_HORIZON_SECONDS = 120.0
"""… and for this long even when the window is short; slow sources stretch it further."""


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
        ledger: str = "",
        slo: Slo = NO_PROMISES,
    ) -> None:
        """Start empty.

        `epoch` is the kernel's boot id, `run` identifies this process, `ledger` the count that begins here.
        """
        self.drained: str | None = None
        """Why the node was taken out on purpose; kept over restarts."""
        self._origin = Origin(epoch, run, ledger)
        self._version = version
        self._name, self._rack = name, rack
        self._window_seconds = window_seconds
        self._horizon = Horizon(max(LEAST_HORIZON_SECONDS, HORIZON_WINDOWS * window_seconds))
        self._ledger = Ledger()
        self._gpus = NodeGpus(self._ledger, self._horizon, epoch, run)
        self._host, self._environment = HostBook(self._ledger, epoch), EnvironmentBook()
        self._meters, self._site = NodeMeters(self._ledger, self._horizon), NO_SITE
        self.others = MemberMeters(self._ledger, Horizon(HORIZON_WINDOWS * window_seconds))
        self._models, self._counting = ModelTokens(self._ledger), NodeCounting()
        self._deployments, self._work = DeploymentBooks(self._ledger), DeploymentWork(self._ledger)
        self._latencies, self._services = ModelLatencies(), ServiceBook(slo)
        self._engines: dict[str, EngineBook] = {}
        self._engine_names: dict[str, tuple[str, str]] = {}
        self._costs: dict[str, Mapping[str, Cost]] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._owners: dict[str, tuple[GpuOwner, ...]] = {}
        self._carbon: dict[str, CarbonReading] = {}
        self._found: Mapping[str, str] = {}
        self._placed: Placement | None = None
        """Where the driver last said that the node stands: a rack does not lose it with its driver."""
        self._sequence = 0

    def begin(self, unix_seconds: float) -> None:
        """Say when this process began to count; without kept totals its ledger begins then, too."""
        self._origin = replace(
            self._origin, began_unix_seconds=unix_seconds, started_unix_seconds=unix_seconds
        )

    def prefer(self, gpu_sources: Sequence[str], gpus: int | None = None) -> None:
        """Say whom to believe of a GPU that several sources tell of, and how many GPUs there should be."""
        self._gpus.prefer(gpu_sources, gpus)

    @property
    def rack_meter(self) -> RackMeter | None:
        """What a meter of the whole rack says, which is no figure of this node; None without one."""
        return self._meters.rack()

    def account_for(self, site: Site) -> None:
        """Say with which PUE the facility is modelled; what was reckoned with another one stays."""
        self._site = site
        self._meters.pue = None if site.pue is None else site.pue.value

    def dump(self) -> dict[str, Any]:
        """Return what must survive a restart, as plain values; what is too old is forgotten first."""
        for book in self._engines.values():
            book.prune()
        kept = forget_unexpected(self._ledger, self._engines.keys())
        self._engine_names = {name: pair for name, pair in self._engine_names.items() if name in kept}
        names = {instance: list(pair) for instance, pair in self._engine_names.items()}
        names |= {instance: [book.engine, book.model] for instance, book in self._engines.items()}
        counting = self._counting.dump({name for name, book in self._engines.items() if book.begins})
        origin = {"ledger": self._origin.ledger, "began": self._origin.began_unix_seconds}
        own: dict[str, Any] = {
            "drained": self.drained,
            "counting": counting,
            "found": dict(self._found),
        } | origin
        return {"counters": self._ledger.dump(), "engines": names} | own | self._gpus.dump()

    def load(self, kept: Mapping[str, Any]) -> None:
        """Take what `dump` gave, all of it or nothing.

        Raises ValueError, TypeError or KeyError when it is something else.
        """
        numbers = {str(uuid): int(number) for uuid, number in dict(kept["gpus"]).items()}
        names = {
            str(instance): (str(engine), str(model))
            for instance, (engine, model) in dict(kept["engines"]).items()
        }
        origins = origins_of(kept["gpu_origins"]) if "gpu_origins" in kept else None
        counting = recalled(kept.get("counting", {}))
        found = {str(instance): str(likeness) for instance, likeness in dict(kept.get("found", {})).items()}
        ledger, drained = str(kept.get("ledger") or self._origin.ledger), kept.get("drained")
        began = _moment(kept.get("began"))
        self._ledger.load(kept["counters"])
        self._origin = replace(self._origin, ledger=ledger, began_unix_seconds=began)
        self.drained = None if drained is None else str(drained)
        self._models.recall()
        self._counting.recall(counting)
        self._deployments.recall()
        self._work.recall()
        self._engine_names, self._found = names, found
        self._gpus.load(numbers, origins)

    def expect(self, sources: Iterable[str]) -> None:
        """Say which sources there are: an engine among them exists even before it answers.

        What a source told that is no longer offered is neither known nor missed.
        """
        offered = set(sources)
        instances = {s.removeprefix(ENGINES_PREFIX) for s in offered if s.startswith(ENGINES_PREFIX)}
        for instance in instances - self._engines.keys():
            book = EngineBook(instance, self._ledger, self._horizon, self._models, self._latencies)
            book.engine, book.model = self._engine_names.get(instance, (book.engine, book.model))
            self._engines[instance] = book
        for instance in self._engines.keys() - instances:
            gone = self._engines.pop(instance)
            self._engine_names[instance] = (gone.engine, gone.model)
        self._gpus.expect(offered)
        self._host.expect(offered)
        self._environment.expect(offered)
        self._meters.expect(offered)
        self.others.expect(offered)
        self._counting.expect(
            {name: book.model for name, book in self._engines.items()}, offered, self._gpus.computing
        )
        self._count()
        for told in (self._costs, self._notes, self._owners, self._carbon):
            for source in told.keys() - offered:
                del told[source]

    def take(self, reading: Reading, cadence_seconds: float) -> bool:
        """Book one reading of a source that is read at this cadence; tell whether an engine began a count."""
        self._host.take(reading.source, reading.host)
        self._environment.take(reading.source, reading.environment)
        if reading.carbon is not None:
            self._carbon[reading.source] = reading.carbon
        cadence_seconds = max(cadence_seconds, reading.renewed_seconds)
        added = self._gpus.take(reading, cadence_seconds)
        own = self.others.take(reading, cadence_seconds)
        self._meters.take(own, cadence_seconds, self._gpus.boundaries)
        if self._counting.learn(reading, self._gpus.computing if reading.gpus else None):
            self._count()
        self._book(added, reading)
        began = False
        for engine in reading.engines:
            if engine.instance in self._engines:
                book = self._engines[engine.instance]
                began |= book.take(engine, cadence_seconds)
                if book.ended:
                    self._work.book(book, group_of(self._counting.instances[engine.instance]), engine.at)
        self._found = self._found if reading.found is None else reading.found
        self._costs[reading.source] = reading.costs
        self._notes[reading.source] = reading.notes
        self._owners[reading.source] = reading.owners
        return began

    def miss(self, source: str) -> None:
        """Note that a source failed: what it told is no longer known (T15)."""
        self._notes.pop(source, None)
        self._carbon.pop(source, None)
        self._owners.pop(source, None)
        if source.startswith(ENGINES_PREFIX):
            book = self._engines.get(source.removeprefix(ENGINES_PREFIX))
            if book is not None:
                book.miss()
        self._gpus.miss(source)
        self._host.miss(source)
        self._environment.miss(source)
        self._meters.miss(source)
        self.others.miss(source)
        if self._counting.miss(source, self._gpus.computing):
            self._count()

    def snapshot(
        self,
        now: Moment,
        outcomes: tuple[Outcome, ...],
        self_gauges: Mapping[str, float],
        rack: RackSnapshot | None = None,
        pushes: tuple[PushFigures, ...] = (),
    ) -> Snapshot:
        """Reckon everything that is known now; the rack, if there is one, and pushes are shown beside it."""
        self._sequence += 1
        self._gpus.forget(now)
        disagreeing = self._meters.check(self._gpus.measured)
        engines = self._in_order()
        figures = self._figures(engines, now, disagreeing)
        deployments = self._deployments_of(figures, now)
        told = tuple(book.figures(now, self._window_seconds) for book in engines)
        return Snapshot(
            sequence=self._sequence,
            at=now,
            activity=self._activity(),
            gpus=self._gpus.figures(),
            engines=told,
            remainders=figures.remainders,
            tokens_per_second=figures.tokens_per_second,
            tokens_per_joule=figures.tokens_per_joule,
            validity=figures.validity,
            outcomes=outcomes,
            costs=dict(self._costs),
            self_gauges=self_gauges,
            pushes=pushes,
            models=models_of(engines, told, figures, self._models.totals, ratios_of_models(deployments)),
            deployments=deployments,
            claims=self._claims(),
            model_energy=dict(self._deployments.model_energy),
            rack=rack,
            **self._metered(disagreeing),
            **self._served(engines, now),
            **self._facts(),
        )

    def _metered(self, disagreeing: frozenset[str]) -> dict[str, Any]:
        """Return power and energy at each boundary, and what meters tell beside."""
        elsewhere = self._gpus.boundaries
        found = boundaries_of(self._gpus, self._ledger) + self._meters.figures(elsewhere)
        return {
            "boundaries": tuple(doubted(at) if at.boundary in disagreeing else at for at in found),
            "crosschecks": self._meters.crosschecks(elsewhere),
            "meters": self._meters.up | self.others.up,
            "meter_energy": self._meters.energy_by | self.others.energy_by,
            "parts": self._meters.parts(),
        }

    def _served(self, engines: list[EngineBook], now: Moment) -> dict[str, Any]:
        """Return how well models are served, and deployments."""
        models = self._services.figures(engines, self._latencies.histograms, now.monotonic_seconds)
        groups = self._deployments.attribution.instances.items()
        members = {group: [self._engines[name] for name in names] for group, names in groups}
        served = self._services.of_deployments(members, models, now.monotonic_seconds)
        return {"services": models, "deployment_services": served}

    def _facts(self) -> dict[str, Any]:
        """Return what is told of the node, and not reckoned."""
        return {
            "node": self._identity(),
            "host": self._host.figures,
            "environment": self._environment.readings,
            "notes": self._all_notes(),
            "owners": tuple(owner for owners in self._owners.values() for owner in owners),
            "version": self._version,
            "origin": self._origin,
            "drained": self.drained,
            "site": self._site,
            "carbon": next(iter(self._carbon.values()), None),
            "zeros": self._counting.now.zeros,
            "found": self._found,
            "spans_nodes": self._counting.now.spans_nodes,
            "gpus_absent": self._gpus.absent,
        }

    def _book(self, added: Added | None, reading: Reading) -> None:
        """Give the joules of a reading to the deployments that hold the GPUs."""
        books, at = self._deployments, reading.at
        books.learn(self._counting, at.monotonic_seconds)
        if added is not None:
            groups = books.attribution.instances.items()
            doing = {g: state_of(self._engines[name].activity() for name in names) for g, names in groups}
            books.book(added, doing, at)

    def _count(self) -> None:
        """Have every instance count as was decided last."""
        for instance, book in self._engines.items():
            book.counted = self._counting.now.kinds[instance]
            if instance in self._counting.fresh:
                book.begin_counting()

    def _figures(self, engines: list[EngineBook], now: Moment, disagreeing: frozenset[str]) -> NodeFigures:
        gpus, pue = self._gpus, self._meters.pue
        others = self._meters.meters(gpus.boundaries)
        rungs = rungs_of(gpus.books, gpus.modules, gpus.cadence_seconds, others, disagreeing, gpus.absent)
        spans, seconds = self._counting.now.spans_nodes, now.monotonic_seconds
        figures = figures_of(engines, rungs, self._window_seconds, seconds, spans_nodes=spans)
        return with_ladder(figures, rungs, self._window_seconds, seconds, pue)

    def _in_order(self) -> list[EngineBook]:
        """Return every engine by name, and keep series for as long as the slowest of them needs."""
        books = sorted(self._engines.values(), key=lambda book: book.instance)
        slowest = [self._gpus.cadence_seconds, self._meters.cadence_seconds]
        self._horizon.follow(max([*slowest, *(book.cadence_seconds for book in books)]))
        return books

    def _claims(self) -> dict[int, Claim]:
        claims = self._deployments.attribution.claims
        return {book.gpu: claims.get(book.uuid, Claim.UNKNOWN) for book in self._gpus.books}

    def _deployments_of(self, figures: NodeFigures, now: Moment) -> tuple[DeploymentFigures, ...]:
        self._deployments.learn(self._counting, now.monotonic_seconds)
        view = NodeView(
            self._deployments,
            self._work,
            self._engines,
            self._counting.instances,
            self._gpus,
            figures,
            self._window_seconds,
            now.monotonic_seconds,
        )
        return deployments_of(view)

    def _all_notes(self) -> tuple[str, ...]:
        told = [note for notes in self._notes.values() for note in notes]
        told += [book.note for book in self._engines.values() if book.note]
        return (*self._gpus.notes, *told, *self._counting.now.notes, *self._meters.notes, *self.others.notes)

    def _activity(self) -> Activity:
        counted = [book for book in self._engines.values() if book.counted]
        activities = {book.activity() for book in counted or self._engines.values()}
        for activity in (Activity.SERVING, Activity.UNKNOWN, Activity.IDLE):
            if activity in activities:
                return activity
        return Activity.ASLEEP if activities else Activity.UNKNOWN

    def _identity(self) -> NodeIdentity:
        placements = [book.reading.placement for book in self._gpus.books if book.reading is not None]
        self._placed = placed = next((each for each in placements if each is not None), self._placed)
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


def _moment(kept: Any) -> float | None:
    """Check what was kept of when the ledger began; an older rackwatt did not keep it."""
    if kept is not None and not math.isfinite(float(kept)):
        raise ValueError("the totals began at no moment")
    return None if kept is None else float(kept)
