"""The table of Dynamo's worker: its own recorded series, with those of engines beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import plugins
from agent.engines.dynamo_worker import TABLE
from agent.measure.engine import Role, TokenKind
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

CAPTURES = Path(__file__).parents[1] / "captures"
WORKER = (CAPTURES / "dynamo_worker-1.6.1-idle.prom").read_bytes()
SIMULATED = (CAPTURES / "dynamo_worker-1.6.1-busy.prom").read_bytes()
VLLM = (CAPTURES / "vllm-0.32.0-busy.prom").read_bytes()
SGLANG = (CAPTURES / "sglang-0.5.23-busy.prom").read_bytes()


def passed_through(body: bytes, prefix: bytes) -> bytes:
    """Return an engine's series as the worker shows them: labelled with its own identity."""
    lines = [line for line in body.splitlines(keepends=True) if line.startswith(prefix)]
    return b"".join(lines).replace(b"{", b'{dynamo_component="backend",worker_id="7",')


def read(body: bytes):
    table = identify(plugins.engine_tables(), sample_names(body))
    assert table is not None
    page = engine_page.reader(table, PageLimits(), latencies=True).read(body)
    return table, engine_page.plan(table, page.series), page


def counted(body: bytes) -> dict[TokenKind, float]:
    _, plan, page = read(body)
    found: dict[TokenKind, float] = {}
    for one in engine_page.counters(plan, page, "m", override=False):
        found[one.kind] = found.get(one.kind, 0.0) + one.value
    return found


def test_tokens_are_those_of_vllm_inside():
    table, plan, _ = read(WORKER + passed_through(VLLM, b"vllm:"))

    assert table.engine == "dynamo_worker"
    assert plan.live
    assert counted(WORKER + passed_through(VLLM, b"vllm:")) == {
        TokenKind.OUTPUT: 3922.0,
        TokenKind.PROMPT: 3970.0,
        TokenKind.PROMPT_CACHED: 0.0,
    }


def test_tokens_of_sglang_inside_are_its_steps_for_it_has_no_http_server():
    embedded = b"".join(
        line
        for line in passed_through(SGLANG, b"sglang:").splitlines(keepends=True)
        if not line.startswith(b"sglang:http_")
    )
    table, plan, _ = read(WORKER + embedded)

    assert table.engine == "dynamo_worker"
    assert plan.live
    assert counted(WORKER + embedded)[TokenKind.OUTPUT] == 1161.0


def test_running_and_waiting_are_told_apart_by_the_engine():
    _, plan, page = read(SIMULATED)
    demand = engine_page.demand(plan, page)

    assert b'inflight_requests{dynamo_component="backend",dynamo_endpoint="generate"' in SIMULATED
    assert (demand.running, demand.waiting) == (8.0, 4.0)


def test_only_the_endpoint_that_generates_counts():
    body = SIMULATED.replace(
        b'source_19682233f63fa",dynamo_namespace="dynamo",worker_id="74dd4805728c0b6"} 0', b'x"} 9'
    )
    _, plan, page = read(body)
    demand = engine_page.demand(plan, page)

    assert (demand.arrivals, demand.aborted) == (117.0, 0.0)


def test_before_its_engine_shows_the_worker_tells_its_own_demand_and_is_looked_at_anew():
    table, plan, page = read(WORKER)

    assert table == TABLE
    assert not plan.identified
    assert engine_page.demand(plan, page).running == 0.0


@pytest.mark.parametrize(
    ("component", "role"), [(b"prefill", Role.PREFILL), (b"backend", Role.UNIFIED), (b"decode", Role.DECODE)]
)
def test_component_tells_the_role_where_the_engine_does_not(component, role):
    named = WORKER + passed_through(VLLM, b"vllm:").replace(b'"backend"', b'"%s"' % component)
    table, plan, _ = read(named.replace(b'dynamo_component="backend"', b'dynamo_component="%s"' % component))

    assert engine_page.role(plan, table) is role


def test_engine_type_of_sglang_tells_the_role():
    told = passed_through(SGLANG, b"sglang:").replace(b'"unified"', b'"decode"')
    table, plan, _ = read(WORKER + told)

    assert engine_page.role(plan, table) is Role.DECODE


@pytest.mark.parametrize("name", [b"gpu_cache_usage_percent", b"kvstats_gpu_cache_usage_percent"])
def test_cache_usage_has_two_names(name):
    _, plan, page = read(b"dynamo_component_%s 0.5\n" % name)

    assert engine_page.kv_cache_usage_ratio(plan, page) == 0.5


def test_simulated_engine_without_counters_counts_no_output_though_it_serves():
    table, plan, page = read(SIMULATED)

    assert not engine_page.counts_output(plan, page, table)
    assert engine_page.demand(plan, page).running == 8.0


def test_engine_inside_that_has_its_counters_counts_output():
    table, plan, page = read(WORKER + passed_through(VLLM, b"vllm:"))

    assert engine_page.counts_output(plan, page, table)
