"""Reads serving engines over HTTP: their token counters, their queue, their cache."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.collectors._engines import doctor, join, target_source, targets
from agent.collectors._engines.engine_source import EngineSource
from agent.collectors._engines.process_source import ProcessSource
from agent.collectors._engines.settings import Settings, Target, instances, tables_of
from agent.measure.reading import Reason, SourceError
from agent.wire import address
from agent.wire.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.collectors._engines.found import Found
    from agent.discovery.kubernetes import Pod
    from agent.measure.engine_table import EngineTable
    from agent.measure.finding import Finding
    from agent.measure.ports import Source
    from agent.measure.snapshot import Snapshot

__all__ = ["Settings", "Target", "build", "examine"]


def build(settings: Settings) -> EnginesCollector:
    """Make the collector."""
    return EnginesCollector(settings, tables_of(settings))


class EnginesCollector:
    """Offers one source for each engine, configured or found, and those that find engines."""

    def __init__(self, settings: Settings, tables: tuple[EngineTable, ...]) -> None:
        self._settings, self._tables = settings, tables
        self._client = HttpClient()
        self._configured = tuple(zip(instances(settings.targets, tables), settings.targets, strict=True))
        self._pods: dict[str, str] = {}
        """Pods by the address of their page."""
        self._names: dict[str, str] = {}
        """Names of targets that were found in lists, by page: they stay."""
        self._found: dict[str, Found] = {}
        self._made: dict[tuple[object, ...], EngineSource] = {}
        self._sources: tuple[Source, ...] = ()
        self.finders = target_source.sources_of(
            settings.targets_from, self._client, self._take_pods, targets.readable(tables)
        )
        self.processes = None if settings.discover is False else self._process_source()
        for finder in self.finders:
            finder.changed = self._offer
        self._offer()

    def sources(self, seen: Snapshot | None) -> Sequence[Source]:  # noqa: ARG002 - sources look themselves
        """Return the sources of all engines: the same object until they change."""
        return self._sources

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.close()

    def _process_source(self) -> ProcessSource:
        settings = self._settings
        return ProcessSource(
            settings.interval, self._client, self._tables, self._take_found, asks=settings.discovers
        )

    def _take_found(self, found: Sequence[Found]) -> None:
        self._found = {one.instance: one for one in found}
        self._offer()

    def _take_pods(self, pods: Sequence[Pod]) -> None:
        self._pods = {pod.url: pod.uid for pod in pods if pod.url}
        if self.processes is not None:
            self.processes.pods = {pod.uid: pod for pod in pods}

    def _targets(self) -> Iterator[tuple[str, Target]]:
        """Yield every target with its name; of two for one page the first counts."""
        yield from self._configured
        names = {name for name, _ in self._configured}
        pages = {self._page_of(target) for _, target in self._configured}
        for target in (target for finder in self.finders for target in finder.targets):
            page = self._page_of(target)
            if page not in pages:
                place, whole = address.names(page)
                name = self._names.get(page) or (whole if place in names else place)
                if name not in names:
                    self._names[page] = name
                    pages.add(page)
                    names.add(name)
                    yield name, target

    def _page_of(self, target: Target) -> str:
        return targets.page_url(target.url, targets.named(self._tables, target.engine))

    def _offer(self) -> None:
        """Make the sources that there are to be; those that stay are the same."""
        made: dict[tuple[object, ...], EngineSource] = {}
        wanted = dict(self._targets())
        for name, target in wanted.items():
            key: tuple[object, ...] = (name, target)
            made[key] = self._made.get(key) or self._source(name, target)
        for name, found in self._found.items():
            key = (name, found.listener.key)
            target = Target(url=found.url, engine=found.engine)
            made[key] = self._made.get(key) or self._source(name, target, found)
        self._made = made
        if self.processes is not None:
            self.processes.claimed = tuple(self._page_of(target) for target in wanted.values())
            self.processes.reserved = frozenset(wanted)
        processes = () if self.processes is None else (self.processes,)
        self._sources = (*made.values(), *self.finders, *processes)

    def _source(self, name: str, target: Target, found: Found | None = None) -> EngineSource:
        source = EngineSource(target, name, self._settings, self._tables, self._client)
        source.joined = lambda seen: self._joined(name, target, seen)
        if found is not None:
            source.require = lambda: self._require(found)
        return source

    def _joined(self, name: str, target: Target, seen: Snapshot | None) -> join.Joined:
        """Return the GPUs of an engine: as configured, or those that its processes hold."""
        if target.gpus:
            return join.of_numbers(target.gpus, seen)
        if name in self._found:
            return join.of_listener(self._found[name].listener)
        if self.processes is None:
            return join.Joined()
        pod = self._pods.get(target.url)
        return self.processes.joined(self._page_of(target)) if pod is None else self.processes.of_pod(pod)

    def _require(self, found: Found) -> None:
        """Ask nobody but the process that was found: another may have its port by now."""
        if self.processes is not None and not self.processes.lives(found.listener):
            text = f"{found.url}: its process {found.listener.pid} has ended"
            raise SourceError(Reason.UNREACHABLE, text)


async def examine(settings: Settings, seen: Snapshot | None = None) -> tuple[Finding, ...]:
    """Look at every engine once, for `rackwatt doctor`: also at those that `seen` helps to find."""
    collector = build(settings)
    try:
        findings = [await doctor.found_by(finder) for finder in collector.finders]
        if collector.processes is not None and seen is not None:
            findings += await doctor.looked_for(collector.processes, seen)
        engines = [source for source in collector.sources(None) if isinstance(source, EngineSource)]
        return (*await asyncio.gather(*(doctor.examined(engine) for engine in engines)), *findings)
    finally:
        await collector.close()
