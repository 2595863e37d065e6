"""Reads the pages of one engine, one after the other, as its table says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.wire import engine_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.engine import Histogram, Latency
    from agent.measure.engine_table import EngineTable
    from agent.wire.http import Fetched
    from agent.wire.page import Page, PageLimits

LATENCIES_SECONDS = 5.0
"""Histograms are most of a page, and quantiles speak of a minute: they are read this often."""


class Dialect:
    """How one engine's pages are read: its table, readers that learn their layout, the plans for them."""

    def __init__(self, table: EngineTable, limits: PageLimits) -> None:
        self.table = table
        self._readers = [engine_page.reader(table, limits, latencies=whole) for whole in (False, True)]
        self._plans: list[engine_page.Plan | None] = [None, None]
        self._whole = False
        """Whether the last page was read with its histograms."""
        self._whole_next = float("-inf")

    def read(self, fetched: Fetched) -> Page:
        """Read a page; its histograms, which are most of it, only now and then."""
        moment = fetched.first_byte_monotonic
        self._whole = bool(self.table.latencies) and moment >= self._whole_next
        if self._whole:
            self._whole_next = moment + LATENCIES_SECONDS
        return self._readers[self._whole].read(fetched.body, fetched.headers.get("content-type", ""))

    def plan(self, page: Page) -> engine_page.Plan:
        """Return where the series of the table are on a page that was just read."""
        known = self._plans[self._whole]
        if known is None or known.series is not page.series:
            known = self._plans[self._whole] = engine_page.plan(self.table, page.series)
        return known

    def latencies(
        self, page: Page, told: str, *, override: bool
    ) -> Mapping[tuple[str, Latency], Histogram] | None:
        """Return the histograms, or None when they were not read this time."""
        if not self._whole:
            return None
        return engine_page.latencies(self.plan(page), page, told, override=override)
