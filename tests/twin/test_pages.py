"""The pages of the twin: an engine's is read by the real table, a GPU's tells what a driver would."""

from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.engines.vllm import TABLE
from agent.measure.engine import TokenKind
from agent.twin.gpu_page import GpuPage
from agent.twin.grid import NANO
from agent.twin.vllm_page import Page, python_float
from agent.wire import engine_page
from agent.wire.page import PageLimits

CAPTURE = Path(__file__).parents[1] / "captures" / "vllm-0.32.0-busy.prom"
LIMITS = PageLimits(lines=200_000, line_bytes=65536, series=10_000)
STARTED = 1_795_304_336.69
DEEP = "load: {level: 1}\nevents: [{kind: engine_stall, at: 30s}]\n"
SHAPE = "rack: {trays: 1, tokens_per_second: 61234.5, cached_share: 0.25, models: ['a \"b\" 100%']}\n"


@pytest.fixture
def page_at(rack_of):
    """The page of the only engine at a moment."""

    def render(text, seconds, shape=SHAPE):
        tray, rest = rack_of(text, shape).tray(0, round(seconds * NANO))
        engine = tray.engines[0]
        return Page(tray.plan.scenario.rack.model(0), engine.histograms).render(
            engine, rest, STARTED, 1.5
        ), engine

    return render


def bounds(family):
    return [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]


def families(body):
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def test_the_real_table_reads_every_number(page_at):
    body, _ = page_at("load: {level: 1}\n", 100.25)
    reader = engine_page.reader(TABLE, LIMITS)
    page = reader.read(body, "text/plain")
    plan = engine_page.plan(TABLE, page.series)
    counters = {each.kind: each.value for each in engine_page.counters(plan, page, "?", override=False)}
    demand = engine_page.demand(plan, page)

    assert plan.identified
    assert counters == {
        TokenKind.OUTPUT: 6_138_758.0,
        TokenKind.PROMPT: 5_758_155.0,
        TokenKind.PROMPT_CACHED: 1_439_538.0,
    }
    assert (demand.running, demand.waiting, demand.asleep, demand.preemptions) == (1024.0, 0.0, False, 0.0)
    assert demand.heartbeat == 5991.0
    assert engine_page.kv_cache_usage_ratio(plan, page) == pytest.approx(0.72)
    assert engine_page.start_time(plan, page) is not None


def test_the_models_name_is_escaped_as_on_a_real_page(page_at):
    body, _ = page_at("", 1)

    assert b'model_name="a \\"b\\" 100%"' in body


def test_prometheus_parser_finds_no_fault_with_it(page_at):
    found = families(page_at("load: {level: 0.9}\n", 60)[0])

    assert found["vllm:generation_tokens"].type == "counter"
    assert found["vllm:time_to_first_token_seconds"].type == "histogram"
    assert found["process_start_time_seconds"].samples[0].value == STARTED


@pytest.mark.parametrize(
    "name",
    [
        "vllm:time_to_first_token_seconds",
        "vllm:inter_token_latency_seconds",
        "vllm:e2e_request_latency_seconds",
        "vllm:request_queue_time_seconds",
        "vllm:iteration_tokens_total",
    ],
)
def test_buckets_are_cumulative_and_end_in_the_count(page_at, name):
    samples = families(page_at("load: {level: 0.9}\n", 60)[0])[name].samples
    buckets = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    count = next(sample.value for sample in samples if sample.name.endswith("_count"))

    assert all(before <= after for before, after in pairwise(buckets))
    assert buckets[-1] == count > 0


def test_vllms_bounds_are_those_of_its_page(page_at):
    found = families(page_at("", 5)[0])
    captured = families(CAPTURE.read_bytes())
    for name in (
        "time_to_first_token_seconds",
        "inter_token_latency_seconds",
        "e2e_request_latency_seconds",
        "request_queue_time_seconds",
        "iteration_tokens_total",
    ):
        assert bounds(found[f"vllm:{name}"]) == bounds(captured[f"vllm:{name}"])


def test_every_series_is_one_that_vllm_has(page_at):
    ours = {(s.name, frozenset(s.labels)) for f in families(page_at("", 5)[0]).values() for s in f.samples}
    real = {(s.name, frozenset(s.labels)) for f in families(CAPTURE.read_bytes()).values() for s in f.samples}

    assert ours - real == set()


def test_prompts_by_source_add_up_to_all_prompts(page_at):
    found = families(page_at("", 30)[0])
    sources = {s.labels["source"]: s.value for s in found["vllm:prompt_tokens_by_source"].samples}

    assert sum(sources.values()) == found["vllm:prompt_tokens"].samples[0].value
    assert sources["local_cache_hit"] == found["vllm:prompt_tokens_cached"].samples[0].value > 0


def test_a_stalled_engine_keeps_its_counters_and_shows_its_requests(page_at):
    early, late = families(page_at(DEEP, 40)[0]), families(page_at(DEEP, 50)[0])

    def value(found, name):
        return found[name].samples[0].value

    assert value(early, "vllm:generation_tokens") == value(late, "vllm:generation_tokens") > 0
    assert value(late, "vllm:num_requests_running") == 1024
    assert value(late, "vllm:num_requests_waiting") > value(early, "vllm:num_requests_waiting") > 0


def test_a_queue_shows_in_the_time_to_the_first_token(page_at):
    def mean(level):
        name = "vllm:time_to_first_token_seconds"
        samples = {
            s.name: s.value for s in families(page_at(f"load: {{level: {level}}}\n", 60)[0])[name].samples
        }
        return samples[f"{name}_sum"] / samples[f"{name}_count"]

    assert mean(0.9) == pytest.approx(0.084, rel=0.01)
    assert mean(1.2) > 1.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"),
        (3922, "3922.0"),
        (999999, "999999.0"),
        (1234567, "1.234567e+06"),
        (2e9, "2e+09"),
        (0.5, "0.5"),
    ],
)
def test_numbers_are_printed_as_prometheus_client_does(value, text):
    assert python_float(value) == text
    assert float(text) == value


def gpus(rack, seconds):
    tray, rest = rack.tray(0, round(seconds * NANO))
    return GpuPage(rack.scenario, 0).plain(tray, rest, 0)


def test_a_superchip_is_told_alike_by_both_of_its_gpus(rack_of):
    first, second, third, _ = gpus(rack_of(), 10)

    assert first["serial"] == second["serial"] != third["serial"]
    assert first["power_milliwatts"]["module"] == second["power_milliwatts"]["module"]
    assert first["power_milliwatts"]["module"]["average"] == (
        first["power_milliwatts"]["gpu"]["average"] + second["power_milliwatts"]["gpu"]["average"] + 210_000
    )


def test_identities_are_told_as_on_a_real_tray(rack_of):
    told = gpus(rack_of(shape="rack: {trays: 1, name: r12}\n"), 1)

    assert [gpu["pci"] for gpu in told] == [
        "00000008:06:00.0",
        "00000009:06:00.0",
        "00000018:06:00.0",
        "00000019:06:00.0",
    ]
    assert [gpu["placement"]["module"] for gpu in told] == [2, 1, 4, 3]
    assert len({gpu["uuid"] for gpu in told}) == 4
    assert {(gpu["placement"]["clique"], len(gpu["placement"]["chassis_serial"])) for gpu in told} == {
        (32766, 13)
    }
    assert told[0]["memory_bytes"]["total"] == 284208 * 2**20


def test_a_lost_gpu_tells_who_it_is_and_what_befell_it_and_nothing_else(rack_of):
    told = gpus(rack_of("events: [{kind: gpu_lost, at: 5s, gpus: [1]}]\n"), 9)

    assert told[1]["state"] == "lost"
    assert told[1]["xids"] == [(5 * NANO, 79)]
    assert "power_milliwatts" not in told[1]
    assert told[0]["state"] == "ok"


def test_an_idle_gpu_has_its_idle_clock(rack_of):
    assert gpus(rack_of("load: {level: 0}\n"), 9)[0]["clock_megahertz"]["sm"] == 120
    assert gpus(rack_of("load: {level: 1}\n"), 9)[0]["clock_megahertz"]["sm"] == 2070


def test_time_below_the_wished_clocks_is_counted_to_the_nanosecond(rack_of):
    rack = rack_of("load: {level: 1}\nevents: [{kind: power_brake, at: 5s}]\n")

    assert gpus(rack, 7.123456789)[0]["throttled_nanoseconds"]["hw_power_brake_slowdown"] == 2_123_456_789
