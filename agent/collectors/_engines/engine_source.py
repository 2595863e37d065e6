"""Reads one engine: its page, and what the page does not tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.collectors._engines import advice, join, json_sides, targets
from agent.measure.counters import START_PREFIX
from agent.measure.engine import UNKNOWN_MODEL, EngineReading
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.wire import address, engine_identity, engine_page, engine_paths
from agent.wire.engine_dialect import Dialect
from agent.wire.http import HttpClient, Limits
from agent.wire.pace import Pace, Retry
from agent.wire.page import PageLimits, check_charset, sample_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.collectors._engines.settings import Settings, Target
    from agent.measure.engine_table import EngineTable
    from agent.measure.snapshot import Snapshot
    from agent.wire.http import Fetched
    from agent.wire.page import Page

MODEL_BODY_BYTES = 1024 * 1024  # a list of models with all their settings


class EngineSource:
    """Reads one engine; keeps only what saves work: layouts, the model's name, waits."""

    def __init__(
        self,
        target: Target,
        instance: str,
        settings: Settings,
        tables: tuple[EngineTable, ...],
        client: HttpClient,
    ) -> None:
        self.name = f"engines/{instance}"
        self._target = target
        self._instance = instance
        self._settings = settings
        self._tables = tables
        self._client = client
        self._pace = Pace(settings.interval)
        self._model = Retry()
        self._model_name = ""
        self._substitute = Retry()
        self._epoch: str | None = None
        configured = targets.named(tables, target.engine)
        self._url = targets.page_url(target.url, configured)
        self._find = not target.engine and engine_paths.must_be_found(self._url, tables)
        """Whether the page must be found before it may be asked for."""
        self._found = not self._find
        self._dialect = Dialect(configured, _page_limits(settings)) if configured else None
        self.joined: Callable[[Snapshot | None], join.Joined] = lambda _: join.Joined()
        """Tells its GPUs."""
        self.require: Callable[[], None] = lambda: None
        """Raises SourceError when it must not be asked."""

    @property
    def interval_seconds(self) -> float:
        """The configured interval, or the multiple of it that the engine can afford (T26)."""
        return self._pace.interval_seconds

    @property
    def timeout_seconds(self) -> float:
        """Deadline of all that one reading asks for."""
        return self._settings.timeout

    async def close(self) -> None:
        """Do nothing: the connections are the collector's."""

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:
        """Ask for the page, then for what the page does not tell."""
        deadline = asyncio.get_running_loop().time() + self._settings.timeout
        fetched, dialect, page = await self._read(deadline)
        plan = dialect.plan(page)
        self._notice_restart(engine_page.start_time(plan, page) or _started(dialect.table, fetched))
        pending, substitute_seconds, note = await self._pending(dialect.table, deadline)
        counts = engine_page.counts_output(plan, page, dialect.table)
        notes = [note, "" if counts else advice.uncounted(dialect.table)]
        notes.append(await self._learn_model(dialect.table, plan, deadline))
        self._pace.learn(_first_byte_seconds(fetched) + substitute_seconds)
        at = _moment_of(fetched, now)
        told = self._target.model or self._model_name or UNKNOWN_MODEL
        counters = engine_page.counters(plan, page, told, override=bool(self._target.model))
        reading = EngineReading(
            engine=dialect.table.engine,
            instance=self._instance,
            model=counters[0].model if counters else self._target.model or plan.model or told,
            at=at,
            asked_monotonic_seconds=fetched.asked_monotonic,
            epoch=self._epoch,
            counters=counters,
            demand=engine_page.demand(plan, page, dialect.table.gauges_stale_seconds),
            kv_cache_usage_ratio=engine_page.kv_cache_usage_ratio(plan, page),
            pending_output_tokens=pending,
            live_output_tokens=(live := engine_page.live_output(plan, page)),
            live=pending is not None or live is not None or (plan.live and counts),
            counts_output=counts,
            page_bytes=len(fetched.body),
            role=self._target.role or engine_page.role(plan, dialect.table),
            drafted_tokens=engine_page.total(page, plan.places("drafted")),
            accepted_tokens=engine_page.total(page, plan.places("accepted")),
            latencies=dialect.latencies(page, told, override=bool(self._target.model)),
            deployment=self._target.deployment,
            gpus=(joined := self.joined(seen)).gpus,
            spans_nodes=joined.spans_nodes,
            counted=self._target.counted,
        )
        return Reading(self.name, at, engines=(reading,), notes=tuple(note for note in notes if note))

    async def _read(self, deadline: float) -> tuple[Fetched, Dialect, Page]:
        try:
            fetched = await self._page(deadline)
            return fetched, *self._understood(fetched)
        except SourceError:
            self._found = not self._find  # who answers next may be another engine
            self._forget_model_unless_known_by_epoch()
            raise

    async def _page(self, deadline: float) -> Fetched:
        self.require()
        try:
            return await self._asked(deadline)
        except SourceError as error:
            if error.reason is not Reason.UNSUPPORTED:
                raise
            remedies = advice.remedies(self._candidates(), self._url, switched_off=True)
            raise SourceError(error.reason, f"{error.detail}; {remedies}") from error

    async def _asked(self, deadline: float) -> Fetched:
        """Ask for the page, once it is known where it is."""
        if self._found:
            return await self._get(self._url, deadline, self._settings.max_bytes)
        self._url, fetched = await engine_paths.find(
            self._target.url,
            self._tables,
            lambda url: self._get(url, deadline, self._settings.max_bytes),
            _page_limits(self._settings),
        )
        self._found = True
        return fetched

    def _understood(self, fetched: Fetched) -> tuple[Dialect, Page]:
        """Read the page as the engine it was so far, or find out whose it is."""
        try:
            if self._dialect is not None:
                page = self._dialect.read(fetched)
                silent = self._dialect.table.silent_when_fresh and not fetched.body.strip()
                if silent or self._dialect.plan(page).identified:
                    return self._dialect, page
            self._dialect = self._identified(fetched)
            return self._dialect, self._dialect.read(fetched)
        except SourceError as error:
            raise SourceError(error.reason, f"{self._url}: {error.detail}") from error

    def _identified(self, fetched: Fetched) -> Dialect:
        limits = _page_limits(self._settings)
        if not fetched.body.strip():
            table = engine_identity.of_empty_page(self._candidates(), urlsplit(self._url).path)
            if table is None:
                raise SourceError(Reason.MALFORMED, "the page is empty")
            return Dialect(table, limits)
        check_charset(fetched.headers.get("content-type", ""))
        names = sample_names(fetched.body, limits)
        table = engine_identity.identify(self._tables, names, self._target.engine)
        if table is not None:
            return Dialect(table, limits)
        whose = self._target.engine or "any engine known here"
        remedies = advice.remedies(self._candidates(), self._url, switched_off=False)
        raise SourceError(Reason.UNSUPPORTED, f"the page has no series of {whose}; {remedies}")

    def _candidates(self) -> tuple[EngineTable, ...]:
        wanted = self._target.engine
        return tuple(table for table in self._tables if wanted in ("", table.engine))

    def _notice_restart(self, epoch: str | None) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._model_name = ""
            self._model, self._substitute = Retry(), Retry()

    def _forget_model_unless_known_by_epoch(self) -> None:
        """Whoever answers next may serve another model; a changed epoch will tell, if there is one."""
        if self._epoch is None:
            self._model_name = ""

    async def _pending(self, table: EngineTable, deadline: float) -> tuple[float | None, float, str]:
        """Return the tokens of unfinished requests, what asking cost, and what a person should know."""
        substitute = table.live_substitute
        if substitute is None:
            return None, 0.0, ""
        if self._substitute.due(_loop_time()):
            url = address.beside(self._url, table.path, substitute.path)
            try:
                fetched = await self._get(url, deadline, self._settings.max_bytes)
                pending = json_sides.pending_tokens(fetched.body, substitute, url)
            except SourceError as error:
                self._substitute.failed(error, _loop_time())
            else:
                self._substitute.worked()
                return pending, _first_byte_seconds(fetched), ""
        failure = self._substitute.failure
        note = f"output tokens show only when a request ends: {failure}; {substitute.remedy}"
        return None, 0.0, note

    async def _learn_model(self, table: EngineTable, plan: engine_page.Plan, deadline: float) -> str:
        """Ask for the model's name when no label tells it; return what a person should know."""
        labelled = bool(plan.shares) and all(share.model for share in plan.shares)
        if labelled or self._target.model or self._model_name or table.model_path is None:
            return ""
        if self._model.due(_loop_time()):
            url = address.beside(self._url, table.path, table.model_path)
            try:
                fetched = await self._get(url, deadline, MODEL_BODY_BYTES)
                self._model_name = json_sides.first_model(fetched.body, table.model_keys, url)
            except SourceError as error:
                self._model.failed(error, _loop_time())
            else:
                self._model.worked()
                return ""
        return f"the model's name is unknown: {self._model.failure}; set `model` for this target"

    async def _get(self, url: str, deadline: float, max_bytes: int) -> Fetched:
        seconds = max(0.0, deadline - _loop_time())
        return await self._client.get(url, Limits(seconds, max_bytes), config=self._target)


def _started(table: EngineTable, fetched: Fetched) -> str | None:
    """Return what a header says about the process; it must not pass for the checked kind of start."""
    started = fetched.headers.get(table.start_header.lower(), "") if table.start_header else ""
    return started if started and not started.startswith(START_PREFIX) else None


def _moment_of(fetched: Fetched, now: Moment) -> Moment:
    """Return the moment of the first byte; the wall clock is taken along from `now`."""
    since = fetched.first_byte_monotonic - now.monotonic_seconds
    return Moment(fetched.first_byte_monotonic, now.unix_seconds + since)


def _first_byte_seconds(fetched: Fetched) -> float:
    return fetched.first_byte_monotonic - fetched.asked_monotonic


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _page_limits(settings: Settings) -> PageLimits:
    return PageLimits(settings.max_lines, settings.max_line_bytes, settings.max_series)
