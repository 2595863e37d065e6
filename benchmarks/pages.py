"""Reading an engine's page: our reader against prometheus_client's parser, interleaved in one process."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from fakes.engines.truth import TruthEngine
from fakes.engines.vllm_page import CAPTURES
from prometheus_client.parser import text_string_to_metric_families

from agent.plugins import engine_tables
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names
from benchmarks.report import Figure, at_least

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.measure.engine import EngineTable

ROUNDS = 31
READS_PER_ROUND = 10
PARSER = "prometheus_client.parser"
METHOD = (
    "thread CPU, median of {} interleaved rounds; ours {} on a known layout, and gives {} of {} samples; the "
    "parser gives all of them, as it must; learning the layout {:.3g} ms (1/{:.3g} of the parser)"
)


def reader(*, quick: bool) -> list[Figure]:
    """Compare on the page of eight engines, whose numbers move, and on each recorded page."""
    rounds = 5 if quick else ROUNDS
    with TruthEngine(engines=8) as engine:
        pages = [engine.page().encode() for _ in range(2)]
    size = f"{len(pages[0]) / 1000:.0f} KB"
    figures = [_compared(f"8 engines, {size}", pages, rounds, budget=True)]
    for capture in sorted(CAPTURES.glob("*.prom")):
        figures.append(_compared(capture.stem, [capture.read_bytes()] * 2, rounds, budget=False))
    return figures


def _compared(what: str, pages: list[bytes], rounds: int, *, budget: bool) -> Figure:
    table = table_of(pages[0])
    reader = engine_page.reader(table, PageLimits())
    reader.read(pages[0])
    ours: list[float] = []
    parser: list[float] = []
    learning: list[float] = []
    for _ in range(rounds):
        ours.append(_seconds(lambda: [reader.read(page) for page in pages * (READS_PER_ROUND // 2)]))
        parser.append(_seconds(lambda: list(text_string_to_metric_families(pages[0].decode()))))
        learning.append(_seconds(lambda: engine_page.reader(table, PageLimits()).read(pages[0])))
    quick, slow, first = (
        statistics.median(ours) / READS_PER_ROUND,
        *map(statistics.median, (parser, learning)),
    )
    wanted = len(reader.read(pages[0]).series)
    samples = sum(len(family.samples) for family in text_string_to_metric_families(pages[0].decode()))
    how = f"read the page {READS_PER_ROUND} times a round"
    method = METHOD.format(rounds, how, wanted, samples, 1e3 * first, slow / first)
    kept = at_least(slow / quick, 100.0, ">= 100 x faster") if budget else None
    return Figure(what, 1e3 * quick, "ms", method, PARSER, 1e3 * slow, kept)


def table_of(page: bytes) -> EngineTable:
    """Return the table by which the daemon would read a page."""
    table = identify(tuple(engine_tables()), sample_names(page))
    if table is None:
        raise ValueError("a page of no engine that is known")
    return table


def _seconds(work: Callable[[], Any]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1e9
