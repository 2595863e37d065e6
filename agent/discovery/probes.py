"""Which socket is an engine's page: asked for known paths only, with GET, a bounded number of times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.discovery import command
from agent.measure.reading import Reason, SourceError
from agent.wire.engine_identity import identify
from agent.wire.engine_paths import USUAL_PATH, owner_of
from agent.wire.http import Limits
from agent.wire.page import PageLimits, sample_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.discovery.processes import Family, Key, Listener
    from agent.measure.engine_table import EngineTable
    from agent.wire.http import Fetched, HttpClient

PATIENT_WAITS = (5.0, 10.0, 15.0, 30.0, *[60.0] * 10, *[300.0] * 6)
"""An engine that loads a model listens long before it answers: asked again after these, 41 minutes in all."""
BRIEF_WAITS = (5.0, 30.0)
"""A socket that no command line names is given up soon, and at once when it does not speak HTTP."""
PAGELESS_ROUNDS = 3
"""An engine that answers so often that it has no such page has none."""
PATIENT_SECONDS, BRIEF_SECONDS = 2.0, 0.5
PROBE_BYTES = 8 * 1024 * 1024
LIMITS = PageLimits(200_000, 64 * 1024, 10_000)
AT_ONCE = 4
"""So many are asked at a time."""


class Verdict(StrEnum):
    """What is known of a socket."""

    OPEN = "open"  # it will be asked (again)
    ENGINE = "engine"  # a page of a known engine
    SECOND = "second"  # the page of a process that has one already
    GUARDED = "guarded"  # asks for credentials: never asked again
    PAGELESS = "pageless"  # an HTTP server without an engine's page: never asked again
    SILENT = "silent"  # does not speak HTTP, or not in time: never asked again


@dataclass(slots=True)
class Probe:
    """One socket, and how asking went."""

    listener: Listener
    paths: tuple[str, ...]
    patient: bool
    remedy: str = ""
    """What to do when it has no page, if it looks like a known engine."""
    unsupported: str = ""
    """Why it cannot be read at all, if it looks like an engine that cannot."""
    likely: bool = False
    """Whether the command line tells which engine it is."""
    fresh: EngineTable | None = None
    """The engine whose page is empty until its first request, if the command line tells it and no other."""
    verdict: Verdict = Verdict.OPEN
    path: str = ""
    """Of the page that was found."""
    engine: str = ""
    rounds: int = 0
    due_seconds: float = 0.0
    asked: int = 0

    def give(self, verdict: Verdict | None, now_seconds: float) -> None:
        """Note how one round ended; None: not ready yet."""
        self.rounds += 1
        waits = PATIENT_WAITS if self.patient else BRIEF_WAITS
        if verdict is None:
            verdict = Verdict.OPEN if self.rounds <= len(waits) else Verdict.SILENT
        elif verdict is Verdict.PAGELESS and self.rounds < PAGELESS_ROUNDS:
            verdict = Verdict.OPEN
        self.verdict = verdict
        if verdict is Verdict.OPEN:
            self.due_seconds = now_seconds + waits[self.rounds - 1]


class Prober:
    """Remembers each socket for as long as it is there, so that none is asked more than it may be."""

    def __init__(self, client: HttpClient, tables: Sequence[EngineTable]) -> None:
        self._client = client
        self._tables = tuple(tables)
        self._known: dict[Key, Probe] = {}

    @property
    def probes(self) -> tuple[Probe, ...]:
        """All that are known now."""
        return tuple(self._known.values())

    def expect(self, families: Iterable[Family], taken: Iterable[Listener]) -> None:
        """Take the sockets that there are, but for those that somebody else reads."""
        others = {listener.key for listener in taken}
        known, self._known = self._known, {}
        for family in families:
            for listener in family.listeners:
                if listener.key not in others:
                    probe = known.get(listener.key) or self._probe(listener, family)
                    probe.listener = listener
                    self._known[listener.key] = probe

    async def advance(self, now_seconds: float) -> bool:
        """Ask those that are due; tell whether there were any."""
        due = [p for p in self.probes if p.verdict is Verdict.OPEN and p.due_seconds <= now_seconds]
        due.sort(key=lambda probe: not probe.patient)
        for at in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._ask(probe, now_seconds) for probe in due[at : at + AT_ONCE]))
        return bool(due)

    def _probe(self, listener: Listener, family: Family) -> Probe:
        likely = [table for table in self._tables if command.mentions(table.engine, family.commands)]
        patient = listener.named or listener.port in {table.port for table in self._tables}
        destructive = command.reads_destructively(family.commands)
        paths = paths_of(self._tables, likely, destructive=destructive)
        remedy = likely[0].remedy if likely else ""
        unsupported = likely[0].unsupported if all(table.unsupported for table in likely) and likely else ""
        verdict = Verdict.PAGELESS if unsupported or not paths else Verdict.OPEN
        fresh = self._silent(likely[0]) if len(likely) == 1 else None
        return Probe(listener, paths, patient, remedy, unsupported, bool(likely), fresh, verdict)

    def _silent(self, likely: EngineTable) -> EngineTable | None:
        """Return an engine whose empty page is nobody else's."""
        alike = [each for each in self._tables if each.silent_when_fresh and each.path == likely.path]
        return likely if alike == [likely] else None

    async def _ask(self, probe: Probe, now_seconds: float) -> None:
        """Ask for one path after another, until one answer decides."""
        verdict: Verdict | None = Verdict.PAGELESS
        for path in probe.paths:
            probe.asked += 1
            try:
                if await self._must_not_ask(probe, path):
                    break
                fetched = await self._get(probe, path)
            except SourceError as error:
                verdict = _verdict_of(error, patient=probe.patient)
                if verdict is not Verdict.PAGELESS:
                    break
            else:
                probe.engine = self._engine_of(fetched) or _fresh(probe, path, fetched)
                if probe.engine:
                    probe.path, verdict = path, self._engine_or_again(probe)
                    break
                verdict = None if probe.patient and not fetched.body.strip() else verdict
        probe.give(verdict, now_seconds)

    async def _must_not_ask(self, probe: Probe, path: str) -> bool:
        """Tell whether a server is one that the path empties: it names the owner of its models."""
        touchy = [table for table in self._tables if table.destructive_path == path]
        if not touchy or probe.likely:
            return False
        usual = f"http://{probe.listener.place}{path}"
        owner = await owner_of(usual, touchy, lambda url: self._get(probe, urlsplit(url).path))
        if owner is not None:
            probe.remedy = owner.remedy
        return owner is not None

    def _engine_or_again(self, probe: Probe) -> Verdict:
        """Take one page of a process: on another port it would be the same once more."""
        others = [p for p in self.probes if p is not probe and p.verdict is Verdict.ENGINE]
        again = any(other.listener.key[:2] == probe.listener.key[:2] for other in others)
        return Verdict.SECOND if again else Verdict.ENGINE

    async def _get(self, probe: Probe, path: str) -> Fetched:
        seconds = PATIENT_SECONDS if probe.patient else BRIEF_SECONDS
        url = f"http://{probe.listener.place}{path}"
        return await self._client.get(url, Limits(seconds, PROBE_BYTES), headers={"Connection": "close"})

    def _engine_of(self, fetched: Fetched) -> str:
        try:
            table = identify(self._tables, sample_names(fetched.body, LIMITS))
        except SourceError:
            return ""
        return "" if table is None else table.engine


def _fresh(probe: Probe, path: str, fetched: Fetched) -> str:
    """Return the engine that an empty page is of: its series come with its first request (T25)."""
    table = probe.fresh
    at_home = table is not None and probe.listener.named and path == table.path
    return table.engine if table is not None and at_home and not fetched.body.strip() else ""


def paths_of(
    tables: Iterable[EngineTable], likely: Iterable[EngineTable], *, destructive: bool
) -> tuple[str, ...]:
    """Return the paths to ask for: the likely engine's first, `/metrics` last or, where it hurts, never."""
    every = sorted(
        {table.path for table in tables if table.path}, key=lambda path: (path == USUAL_PATH, path)
    )
    first = [table.path for table in likely if table.path and not table.unsupported]
    ordered = dict.fromkeys([*([] if destructive else first), *every])
    return tuple(path for path in ordered if not (destructive and path == USUAL_PATH))


def _verdict_of(error: SourceError, *, patient: bool) -> Verdict | None:
    """Say what a failure means; None: it may be ready later. An answer of HTTP has no cause."""
    if error.reason is Reason.DENIED:
        return Verdict.GUARDED
    if error.reason is Reason.UNSUPPORTED:
        return Verdict.PAGELESS
    ready_later = error.reason in {Reason.UNREACHABLE, Reason.TIMED_OUT}
    spoke = error.__cause__ is None
    return None if ready_later and (patient or spoke) else Verdict.SILENT
