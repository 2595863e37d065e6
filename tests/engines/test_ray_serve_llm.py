"""Ray's table, on the page of a Ray node whose actors used vLLM's names."""

from __future__ import annotations

from pathlib import Path

from agent import plugins
from agent.engines.ray_serve_llm import TABLE
from agent.measure.engine import Latency, TokenKind
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

PAGE = (Path(__file__).parents[1] / "captures" / "ray_serve_llm-2.60.0-rendered.prom").read_bytes()


def read(body: bytes):
    table = identify(plugins.engine_tables(), sample_names(body))
    assert table is not None
    page = engine_page.reader(table, PageLimits(), latencies=True).read(body)
    return table, engine_page.plan(table, page.series), page


def output(body: bytes) -> list[float]:
    _, plan, page = read(body)
    counters = engine_page.counters(plan, page, "m", override=False)
    return [one.value for one in counters if one.kind is TokenKind.OUTPUT]


def test_page_is_known_by_names_as_printed_and_read_with_the_engine_inside():
    table, plan, _ = read(PAGE)

    assert table.engine == "ray_serve_llm"
    assert table.model_label == "model_name"
    assert plan.identified


def test_replicas_are_summed():
    _, plan, page = read(PAGE)
    demand = engine_page.demand(plan, page)

    assert output(PAGE) == [192.0, 384.0]
    assert (demand.running, demand.waiting, demand.succeeded) == (4.0, 2.0, 9.0)
    assert (
        engine_page.latencies(plan, page, "m", override=False)["tiny", Latency.FIRST_TOKEN].counts[-1] == 6.0
    )


def test_deprecated_gauge_beside_a_counter_is_never_read():
    line = next(line for line in PAGE.splitlines(keepends=True) if line.startswith(b"ray_vllm_generation"))
    twin = line.replace(b"generation_tokens_total", b"generation_tokens")

    assert output(PAGE + twin) == [192.0, 384.0]


def test_counter_that_never_moved_is_absent_and_so_unknown():
    _, plan, page = read(PAGE)

    assert b"num_preemptions" not in PAGE
    assert engine_page.demand(plan, page).preemptions is None


def test_of_thousands_of_series_only_those_of_the_engine_are_kept():
    own = b"".join(b'ray_operation_count_total{Method="m%d"} 1\n' % number for number in range(20_000))
    _, _, page = read(own + PAGE)

    assert len(page.series) == len(read(PAGE)[2].series)


def test_series_of_the_engine_that_are_gone_make_the_page_be_looked_at_anew():
    table, _, _ = read(PAGE)
    body = b"".join(line for line in PAGE.splitlines(keepends=True) if not line.startswith(b"ray_vllm"))
    page = engine_page.reader(table, PageLimits()).read(body)

    assert not engine_page.plan(table, page.series).identified


def test_T2_counters_begin_with_the_agent_on_whose_page_they_are():  # noqa: N802 - the rule's name
    _, plan, page = read(PAGE)

    assert engine_page.start_time(plan, page) == "start:1.7955832542e+09"


def test_workers_report_now_and_then_so_nothing_is_live():
    table, plan, _ = read(PAGE)

    assert [count.live for count in table.tokens[TokenKind.OUTPUT]] == [True]
    assert not plan.live
    assert table.gauges_stale_seconds == 20.0


def test_port_is_what_ray_was_told():
    assert TABLE.flag == "--metrics-export-port"
