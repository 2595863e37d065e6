"""The composition root: the only file that knows everyone."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import time
from typing import TYPE_CHECKING, Any

from agent import __version__, config, garbage, plugins, systemd
from agent.binding import ConfigError
from agent.flight import Flight
from agent.gather import Gatherer
from agent.incident_desk import IncidentDesk
from agent.listener import Listener, ListenError
from agent.measure.history import History
from agent.measure.incident_cost import Pricing
from agent.measure.ports import Pusher, Renderer
from agent.measure.rack import RackReckoner
from agent.measure.rack_of_one import beside_of, point_of
from agent.measure.reading import Moment
from agent.push import Pushes
from agent.rack_desk import QUIET_SECONDS, RackDesk, burst_over
from agent.reckoners import plan_of, reckoner_of
from agent.store import RACK_FILE_NAME, Saver, Store, StoreError
from agent.web.api import Drains

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from agent.config import Config, General
    from agent.measure.ports import Collector
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.snapshot import Snapshot

log = logging.getLogger("rackwatt")

SAVE_SECONDS = 5.0
"""Totals are kept this often; after a kill the sources' own counters bring back what is missing."""
FLUSH_SECONDS = 2.0
"""A disk that hangs delays a stop by at most this much."""
BASELINES = "baselines"
"""Where the kept state says what deployments usually give."""
INCIDENTS = "incidents"
"""Where it says what stands."""


class StartError(Exception):
    """The daemon cannot start; says what to do."""


class Daemon:
    """One node's agent: gathers, keeps totals, serves pages, follows signals."""

    def __init__(self, settings: Config) -> None:
        self._config = settings
        self._exporters = plugins.built(plugins.EXPORTERS, settings.exporters)
        self._fixed = _fixed(settings, self._exporters)
        self.renderers: Sequence[Renderer] = [e for e in self._exporters.values() if isinstance(e, Renderer)]
        self._pushes = Pushes(lambda: self.snapshot, self._stop_on_failure)
        self._store = Store(settings.state_dir)
        self._saver = Saver(self._store)
        self._reckoner = reckoner_of(settings)
        plan = plan_of(settings)
        rack = RackReckoner(plan, settings.general.window)
        who = {"rackwatt": __version__, "node": settings.node_name, "rack": settings.general.rack.name}
        self._flight = Flight(settings.general.recorder, settings.state_dir, who)
        self._incidents = IncidentDesk(
            self._flight if settings.general.recorder.memory else None, pricing=_pricing_of(settings)
        )
        kept = Store(settings.state_dir, RACK_FILE_NAME)
        self._desk = RackDesk(rack, plan, kept, self._incidents.examined_rack)
        self._gatherer = Gatherer(
            settings.node_name,
            settings.general.interval,
            self._reckoner,
            rack,
            self._pushes.figures,
            self._incidents.examined,
        )
        self.history = History()
        self._reload_success = True
        self._membered = asyncio.Event()
        """Set while there are members, and until a rack whose members were taken away is gone."""
        if settings.general.rack.has_members:
            self._membered.set()
        self._changing = asyncio.Lock()
        """Held by whoever sets collectors: one change at a time, in the order they were asked for."""
        self._stop = asyncio.Event()
        self._exit_code = 0
        self._listener = Listener(self, settings)

    @property
    def snapshot(self) -> Snapshot | None:
        """The last snapshot."""
        return self._gatherer.snapshot

    @property
    def ready(self) -> bool:
        """Whether every source has had its first outcome."""
        return self._gatherer.ready

    @property
    def rack(self) -> RackSnapshot | None:
        """The rack: of the members, or the rack of one that this node is without them."""
        if self._config.general.rack.has_members:
            return self._desk.snapshot
        node = self.snapshot
        return None if node is None else self._desk.of_one(node)

    async def next_rack(self, after_sequence: int) -> RackSnapshot:
        """Wait for a rack that is not the one of this sequence number."""
        while True:
            rack = self.rack
            if rack is not None and rack.sequence != after_sequence:
                return rack
            await self._desk.made()

    async def recording(self, incident: str) -> bytes | None:
        """Return what was recorded around an incident; None when nothing was."""
        return await self._flight.recording(incident)

    @property
    def drains(self) -> Drains:
        """Who was taken out on purpose."""
        return Drains(self._config.node_name, self._reckoner.drained, self._desk.reckoner.drained)

    def drain(self, node: str, why: str | None) -> None:
        """Take a node out on purpose, or (None) back in: this one, or a member of the rack.

        Raises LookupError when there is none of that name.
        """
        members = {member.name for member in self._desk.reckoner.members}
        if not node or (node == self._config.node_name and node not in members):
            self._reckoner.drained = why
            self._saver.submit(self._dump())
        else:
            self._desk.reckoner.drain(node, why)
            self._desk.save()
        log.info("drained" if why is not None else "back in duty", extra={"node": node or "this one"})

    async def run(self) -> int:
        """Run until told to stop; return the exit code."""
        self._follow_signals()
        facts = {"version": __version__, "config": self._config.path or "defaults"}
        log.info("starting", extra=facts | {"state_dir": self._config.state_dir})
        try:
            self._store.lock()
        except StoreError as error:
            raise StartError(str(error)) from error
        self._take_kept_totals()
        await self._listen()
        async with self._changing:
            await self._gatherer.set_collectors(collectors_of(self._config))
        garbage.make_room(0)
        tasks = self._start_jobs()
        await self._pushes.set(_pushers(self._exporters), FLUSH_SECONDS)
        systemd.notify("READY=1")
        await self._stop.wait()
        systemd.notify("STOPPING=1")
        log.info("stopping")
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)  # a reckoning that was under way books what came in meanwhile
        self._save()
        flushed = self._pushes.close(FLUSH_SECONDS), self._flight.close(FLUSH_SECONDS)
        await asyncio.gather(self._gatherer.close(), *flushed)
        if not (self._saver.flush(FLUSH_SECONDS) and self._desk.flush(FLUSH_SECONDS)):
            log.warning("state_dir did not take the totals in time")
        await self._listener.close()
        return self._exit_code

    def _start_jobs(self) -> list[asyncio.Task[None]]:
        """Start what runs as long as the daemon does; it leaves when one of them fails."""
        tasks = [
            asyncio.create_task(job(), name=name)
            for name, job in (
                ("reckon", self._keep_reckoning),
                ("save", self._keep_saving),
                ("rack", self._keep_reckoning_rack),
                ("watchdog", self._keep_watchdog),
                ("access", self._listener.keep_access),
                ("mismatch", self._stop_on_mismatch),
                ("broken", self._stop_on_broken_loop),
                ("settle", garbage.settle),
            )
        ]
        for task in tasks:
            task.add_done_callback(self._stop_on_failure)
        return tasks

    def stop(self, exit_code: int = 0) -> None:
        """Stop soon."""
        self._exit_code = exit_code
        self._stop.set()

    async def _listen(self) -> None:
        try:
            await self._listener.open()
        except ListenError as error:
            raise StartError(str(error)) from error

    def _take_kept_totals(self) -> None:
        self._desk.take_kept()
        kept = self._store.load()
        if kept.note:
            log.warning("totals of an earlier run are lost", extra={"detail": kept.note})
        if kept.state is None:
            return
        try:
            self._reckoner.load(kept.state)
        except (KeyError, TypeError, ValueError) as error:
            detail = self._store.set_aside(f"is not understood ({error!r})")
            log.warning("totals of an earlier run are lost", extra={"detail": detail})
        try:
            self._incidents.load(kept.state.get(BASELINES, {}))
        except (KeyError, TypeError, ValueError) as error:
            log.warning("what deployments usually give is learned anew", extra={"detail": repr(error)})
        try:
            if INCIDENTS in kept.state:
                self._incidents.load_standing(kept.state[INCIDENTS])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            log.warning("incidents of an earlier run are lost", extra={"detail": repr(error)})

    async def _keep_reckoning(self) -> None:
        while True:
            await self._gatherer.reckon_once(self._self_gauges())
            node = self.snapshot
            if node is not None and not self._config.general.rack.has_members:
                self.history.take(point_of(node))
                self._desk.wake()
            if self._gatherer.count_began or self._incidents.changed:
                self._gatherer.count_began = False
                self._saver.submit(self._dump())

    async def _keep_reckoning_rack(self) -> None:
        while True:
            await self._membered.wait()
            await burst_over(self._gatherer.rack_news)
            node, began = self.snapshot, time.monotonic()
            if node is not None and self._config.general.rack.has_members:
                garbage.make_room(len(self._desk.reckoner.members))
                beside = beside_of(node, self._reckoner.rack_meter)
                now = Moment(time.monotonic(), time.time())
                self._desk.reckoner.read_here = self._reckoner.others.told()
                rack = await self._desk.reckon(now, node.node.rack, beside)
                self._reckoner.others.known = frozenset(member.node for member in rack.members)
                self._gatherer.show_rack(rack)
                self.history.take(rack)
            elif not self._config.general.rack.has_members:  # a reload took them away
                self._desk.snapshot = None
                self._gatherer.show_rack(None)
                self._membered.clear()
            took = time.monotonic() - began
            await asyncio.sleep(max(QUIET_SECONDS, self._desk.spacing_seconds - QUIET_SECONDS - took))

    async def _keep_saving(self) -> None:
        while True:
            self._save()
            await asyncio.sleep(SAVE_SECONDS)

    def _dump(self) -> dict[str, Any]:
        standing = self._incidents.dump_standing()
        return self._reckoner.dump() | {BASELINES: self._incidents.dump(), INCIDENTS: standing}

    def _save(self) -> None:
        self._saver.submit(self._dump())
        if self._config.general.rack.has_members:
            self._desk.save()

    async def _keep_watchdog(self) -> None:
        """Tell systemd that we live, as long as snapshots are made."""
        seconds = systemd.watchdog_seconds()
        told = -1
        while seconds is not None:
            snapshot = self.snapshot
            if snapshot is not None and snapshot.sequence != told:
                told = snapshot.sequence
                systemd.notify("WATCHDOG=1")
            await asyncio.sleep(seconds)

    async def _stop_on_mismatch(self) -> None:
        await self._gatherer.library_mismatch.wait()
        log.error("the driver was replaced while rackwatt ran; leaving so that the supervisor restarts it")
        self.stop(1)

    async def _stop_on_broken_loop(self) -> None:
        await self._gatherer.broken.wait()
        self.stop(1)

    def _stop_on_failure(self, task: asyncio.Task[None]) -> None:
        """Leave when a job of the daemon itself ends by an error: half an agent would lie."""
        if not task.cancelled() and task.exception() is not None:
            log.error(
                "stopping by an error of rackwatt", extra={"job": task.get_name()}, exc_info=task.exception()
            )
            self.stop(1)

    def _self_gauges(self) -> dict[str, float]:
        gauges = {
            "state_writable": float(not self._saver.error),
            "config_reload_success": float(self._reload_success),
        }
        gauges |= self._listener.gauges | self._flight.gauges
        if self._saver.saved_unix_seconds is not None:
            gauges["state_saved_timestamp_seconds"] = self._saver.saved_unix_seconds
        return gauges

    def _follow_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.stop)
        loop.add_signal_handler(signal.SIGUSR1, self._gatherer.release)
        loop.add_signal_handler(signal.SIGUSR2, self._gatherer.resume)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        self._reloading = asyncio.create_task(self._reload())
        self._reloading.add_done_callback(self._stop_on_failure)

    async def _reload(self) -> None:
        async with self._changing:
            await self._take_changed_configuration()

    async def _take_changed_configuration(self) -> None:
        """Take what the file says now; one that is wrong changes nothing."""
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            fresh = config.load(self._config.path)
            now = self._config
            collectors = plugins.built(
                plugins.COLLECTORS, fresh.collectors, now.collectors, self._gatherer.collectors
            )
            exporters = plugins.built(plugins.EXPORTERS, fresh.exporters, now.exporters, self._exporters)
        except (ConfigError, OSError, LookupError, ValueError) as error:
            self._reload_success = False
            log.error("configuration refused, the old one stays", extra={"detail": str(error)})  # noqa: TRY400  (no traceback: it is the operator's typo)
        else:
            if _fixed(fresh, exporters) != self._fixed:
                log.warning("only collectors, pushes, site and rack are reloaded; the rest needs a restart")
            self._config, self._exporters, self._reload_success = fresh, exporters, True
            self._desk.replan(plan_of(fresh))
            self._reckoner.account_for(fresh.general.site)
            self._incidents.price(_pricing_of(fresh))
            if fresh.general.rack.has_members:
                self._membered.set()
            await self._gatherer.set_collectors(collectors)
            await self._pushes.set(_pushers(exporters), FLUSH_SECONDS)
            log.info("configuration reloaded", extra={"sources": len(self._gatherer.sources)})
        systemd.notify("READY=1")


def _pricing_of(settings: Config) -> Pricing:
    """Return what incidents cost at the site."""
    return Pricing(settings.general.site, config.zone_of(settings.general.site))


def _fixed(settings: Config, exporters: Mapping[str, Any]) -> tuple[General, dict[str, Any]]:
    """Return what only a restart can change: not the site, of the rack its name, exporters with a path."""
    rack, site = config.RackSettings(name=settings.general.rack.name), config.General().site
    pages = {name: s for name, s in settings.exporters.items() if name not in _pushers(exporters)}
    return dataclasses.replace(settings.general, rack=rack, site=site), pages


def collectors_of(settings: Config) -> dict[str, Collector]:
    """Build every configured collector."""
    return plugins.built(plugins.COLLECTORS, settings.collectors)


def _pushers(exporters: Mapping[str, Any]) -> dict[str, Pusher]:
    return {name: exporter for name, exporter in exporters.items() if isinstance(exporter, Pusher)}


async def sample(settings: Config, seconds: float) -> Snapshot:
    """Read every source for a while, without keeping or serving anything; return the last snapshot."""
    gatherer = Gatherer(settings.node_name, settings.general.interval, reckoner_of(settings))
    await gatherer.set_collectors(collectors_of(settings))
    try:
        ends = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < ends or not gatherer.ready:
            await gatherer.reckon_once({})
        return gatherer.reckon({})
    finally:
        await gatherer.close()
