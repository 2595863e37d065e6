"""Finds engines by the processes that hold GPUs, and tells who these belong to."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from agent.aside import Aside
from agent.collectors._engines import join, notes
from agent.collectors._engines.found import FoundEngines
from agent.discovery.hosts import provably_foreign
from agent.discovery.probes import Prober, Verdict
from agent.discovery.proc import Proc
from agent.discovery.processes import Sight, look
from agent.measure.reading import Moment, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.collectors._engines.found import Found
    from agent.discovery.kubernetes import Pod
    from agent.discovery.processes import Key, Listener
    from agent.measure.engine_table import EngineTable
    from agent.measure.owner import GpuOwner
    from agent.measure.snapshot import Snapshot
    from agent.wire.http import HttpClient

GLANCE_SECONDS = 15.0
"""How often it is looked whether a socket was opened or closed, which costs the kernel milliseconds; at once
when other processes hold GPUs, or an engine's has ended."""
MOST_LOOK_SECONDS = 300.0
"""Everything is looked at at least this often."""
TIMEOUT_SECONDS = 20.0
"""Of one look with what it asks for; the next waits for it."""


class ProcessSource:
    """One source beside those of the engines; what it knows saves work, and names engines."""

    name = "discovery/processes"
    timeout_seconds = TIMEOUT_SECONDS

    def __init__(
        self,
        interval_seconds: float,
        client: HttpClient,
        tables: Sequence[EngineTable],
        found: Callable[[Sequence[Found]], None],
        *,
        asks: bool,
    ) -> None:
        """Look; `asks` says whether sockets are asked, too. `found` is called when engines have changed."""
        self.interval_seconds = interval_seconds
        self.claimed: tuple[str, ...] = ()
        """Addresses that somebody else reads."""
        self.reserved: frozenset[str] = frozenset()
        """Names that somebody else has."""
        self.pods: Mapping[str, Pod] = {}
        """By UID, as the cluster last told them."""
        self.sight = Sight()
        self._prober = Prober(client, tables) if asks else None
        self._tell = found
        self._engines = FoundEngines(self.lives)
        self._aside: Aside[Sight] = Aside("processes")
        self._holders: dict[int, frozenset[str]] = {}
        self._sockets: frozenset[tuple[int, int]] = frozenset()
        """What listened when it was last glanced at …"""
        self._looked_at: frozenset[tuple[int, int]] = frozenset()
        """… and when it was last looked into."""
        self._claims: dict[str, Listener] = {}
        self._claimed: tuple[str, ...] = ()
        self._owners: tuple[GpuOwner, ...] = ()
        self._names: Mapping[str, str] | None = None
        """What the next run must know of the engines; None until sockets were asked."""
        self._headless = False
        """Whether an engine here shows its tokens on another node (T24)."""
        self._owners_of: tuple[Sight, Mapping[str, Pod]] = (self.sight, self.pods)
        self._foreign: dict[str, bool] = {}
        self._ended: set[Key] = set()
        self._glance_at = self._look_by = 0.0

    async def close(self) -> None:
        """Do nothing: the connections are the collector's, and a thread that hangs is a daemon."""

    def joined(self, url: str) -> join.Joined:
        """Return the GPUs of the engine at an address."""
        listener = self._claims.get(url)
        return join.Joined() if listener is None else join.of_listener(listener)

    def of_pod(self, uid: str) -> join.Joined:
        """Return the GPUs of the engine in a pod."""
        return join.of_pod(uid, self.sight)

    @property
    def undecided(self) -> bool:
        """Whether a socket may turn out to be an engine's yet."""
        probes = () if self._prober is None else self._prober.probes
        return any(probe.verdict is Verdict.OPEN for probe in probes)

    def lives(self, listener: Listener) -> bool:
        """Whether the process of a socket is still the one that it was, and still listened there lately."""
        same = Proc().start_ticks(listener.pid) == listener.start_ticks
        if not same and listener.key not in self._ended:
            self._ended.add(listener.key)
            self._glance_at = 0.0  # something may have come in its place
        return same and (listener.inode, listener.port) in self._sockets

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:
        """Look if something has changed; ask the sockets that are due."""
        holders = join.holders_of(seen)
        if holders is None:
            return Reading(self.name, now)
        news = await self._see(holders)
        loop_time = asyncio.get_running_loop().time()
        self._engines.recall({} if seen is None else seen.found, loop_time)
        if self._prober is not None and (await self._prober.advance(loop_time) or news):
            pages = [probe for probe in self._prober.probes if probe.verdict is Verdict.ENGINE]
            claims = {listener.key for listener in self._claims.values()}
            if self._engines.take(pages, claims, self.reserved, loop_time):
                self._tell(self._engines.engines)
            self._names = self._engines.names
        if self._owners_of != (self.sight, self.pods):
            self._owners_of = (self.sight, self.pods)
            self._owners = join.owners_of(self.sight, self._holders, self.pods, join.instances_of(seen))
            self._headless = any(plan.headless for family in self.sight.families for plan in family.plans)
        return Reading(
            self.name,
            now,
            owners=self._owners,
            serves_elsewhere=self._headless,
            notes=self._notes(),
            found=self._names,
        )

    async def _see(self, holders: dict[int, frozenset[str]]) -> bool:
        """Look at the processes in a thread, when it is time or there are others; tell whether it was."""
        clock = asyncio.get_running_loop().time()
        claimed = self.claimed
        changed = holders != self._holders or claimed != self._claimed
        if not changed and clock < self._glance_at:
            return False
        whole = changed or clock >= self._look_by
        self._glance_at = clock + GLANCE_SECONDS
        sight = await self._aside.run(lambda: self._looked(holders, claimed, whole=whole))
        if sight is not self.sight:
            self.sight, self._holders, self._claimed = sight, holders, claimed
            self._look_by = clock + MOST_LOOK_SECONDS
            self._claims = dict(join.claimed_by(claimed, sight, self._foreign))
            if self._prober is not None:
                self._prober.expect(sight.families, self._claims.values())
        self._ended &= {found.listener.key for found in self._engines.engines}
        return True

    def _looked(self, holders: Mapping[int, frozenset[str]], claimed: Sequence[str], *, whole: bool) -> Sight:
        """Look, in the thread; without need only at whether there are other sockets than before."""
        proc = Proc()
        wanted = bool(holders or self._engines.engines)
        sockets = frozenset((each.inode, each.port) for each in proc.listening()) if wanted else frozenset()
        self._sockets = sockets
        if not whole and sockets == self._looked_at:
            return self.sight
        sight = look(holders, proc, os.getpid())
        ports = {each.port for family in sight.families for each in family.listeners}
        for host, port in map(join.place_of, claimed):
            if port in ports and host not in self._foreign:
                self._foreign[host] = provably_foreign(host)
        self._looked_at = sockets
        return sight

    def _notes(self) -> tuple[str, ...]:
        read = frozenset(uid for uid, pod in self.pods.items() if pod.url)
        probes = () if self._prober is None else self._prober.probes
        asked = (*notes.of_sight(self.sight, read), *notes.of_probes(probes))
        return asked if self._prober is not None else ()
