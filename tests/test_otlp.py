"""The daemon beside a real OpenTelemetry collector: what arrives, and what happens while it is away."""

import itertools
import os
import subprocess
import sys
import time

import pytest
from fakes.agent import RunningAgent
from fakes.engines.timeline import constant
from fakes.engines.truth import TruthEngine
from fakes.nvml.driver import FakeDriver
from fakes.otlp import Collector, Sink
from fakes.processes import http_get, rss_bytes
from prometheus_client.parser import text_string_to_metric_families

from agent.measure.catalogue import BY_NAME, PREFIX
from exporters._otlp.names import TOKEN_TYPE, TOKEN_TYPES, Instrument, form_of

FAST = {"nvml": {"interval": "200ms"}}
CALM = {"window": "2s", "collectors": FAST}
PUSHED = "rackwatt_exporter_pushes_total"
LOST = "rackwatt_exporter_lost_points_total"
POINT_SERIES_OF_OUR_OWN = ("exporter_", "collector_", "source_", "state_")


def otlp(endpoint, **settings):
    return {"prometheus": {}, "otlp": {"endpoint": endpoint, "interval": "200ms", "timeout": "1s"} | settings}


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path, preset="gb300") as fake:
        yield fake


@pytest.fixture
def start(tmp_path, driver):
    """Start an agent on the fake driver."""
    running = []

    def begin(exporters, engines=(), wait=True, **settings):
        collectors = FAST | ({"engines": {"targets": [{"url": url} for url in engines]}} if engines else {})
        settings = CALM | {"collectors": collectors, "exporters": exporters} | settings
        env = driver.env | {"OTEL_RESOURCE_ATTRIBUTES": "k8s.node.name=tray-07"}
        running.append(RunningAgent(tmp_path / f"agent{len(running)}", settings, env=env))
        return running[-1].start(wait=wait)

    yield begin
    for agent in running:
        agent.program.kill()


def page_of(agent):
    """The values of the page by what OTLP calls them; of numbers that are not of the agent's own doings."""
    found = {}
    for family in text_string_to_metric_families(agent.page()):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            if name not in BY_NAME or name.startswith(POINT_SERIES_OF_OUR_OWN):
                continue
            form = form_of(name)
            if form.instrument is not Instrument.HISTOGRAM:
                found[form.name, labels_of(form, BY_NAME[name].labels, sample.labels)] = sample.value
    return found


def labels_of(form, labels, values):
    told = {key or "rackwatt.gpu": values[label] for key, label in zip(form.attributes, labels, strict=True)}
    if TOKEN_TYPE in told:
        told[TOKEN_TYPE] = TOKEN_TYPES[told[TOKEN_TYPE]]
    return frozenset((key, value) for key, value in told.items() if value and key != "hw.id")


def received_of(points):
    wholly_ours = {"hw.id", "hw.type", "hw.parent"}
    return {
        (point.metric, frozenset(pair for pair in point.attributes.items() if pair[0] not in wholly_ours)): (
            point.value
        )
        for point in points
    }


def test_what_a_real_collector_receives_is_what_the_page_says(tmp_path, sink, start):
    with TruthEngine(output=constant(1000.0)) as engine, Collector(tmp_path, sink) as collector:
        agent = start(otlp(collector.url), engines=[f"{engine.url}/metrics"])
        agent.wait_for(lambda node: node["figures"]["node_tokens_per_joule_gpu"]["valid"])
        before = page_of(agent)
        asked = time.time()
        sink.wait_for(lambda sink: any(point.unix_seconds > asked for point in sink.points))
        received = received_of(p for p in sink.points if p.unix_seconds > asked)
        time.sleep(0.5)
        after = page_of(agent)

    assert len(before) > 150
    assert before.keys() - received.keys() == set()
    steady = [series for series in before if before[series] == after.get(series)]
    assert len(steady) > 100
    assert [s for s in steady if received[s] != before[s]] == []
    totals = [
        series for series in before if series[0] in {"hw.energy", "rackwatt.energy", "rackwatt.engine.tokens"}
    ]
    assert len(totals) >= 6
    assert [s for s in totals if not before[s] <= received[s] <= after[s]] == []


def test_the_resource_arrives_as_it_was_sent(sink, start):
    start(otlp(sink.url), node={"name": "tray-07"}, rack={"name": "r12"})
    sink.wait_for(lambda sink: sink.resources)
    told = {pair.key: pair.value.string_value for pair in sink.resources[0].resource.attributes}

    assert told["service.instance.id"] == "tray-07"
    assert (told["rackwatt.rack"], told["k8s.node.name"]) == ("r12", "tray-07")


def test_a_collector_that_was_killed_gets_what_it_missed_when_it_is_back(tmp_path, sink, start):
    with Collector(tmp_path, sink) as collector:
        agent = start(otlp(collector.url))
        sink.wait_for(lambda sink: len(sink.resources) > 3)
        collector.program.kill()
        time.sleep(0.3)  # rotel's own buffer is gone with it: count from what comes now
        killed = time.time()
        time.sleep(2.2)
        failed = agent.value(PUSHED, outcome="unreachable")
        waiting = agent.value("rackwatt_exporter_waiting_bytes")
        collector.start()
        back = time.time()
        sink.wait_for(lambda sink: any(point.unix_seconds > back + 1.0 for point in sink.points))
        agent.wait_for(lambda _: agent.value("rackwatt_exporter_waiting_bytes") < waiting)
        lost = agent.value(LOST)
        moments = sorted({point.unix_seconds for point in sink.points})

    missed = [moment for moment in moments if killed <= moment <= back]
    assert failed >= 2
    assert waiting > 1000
    assert len(missed) >= 4
    assert max(b - a for a, b in itertools.pairwise(missed)) < 1.5
    assert lost == 0


def test_while_a_collector_is_away_memory_is_bounded_and_what_is_lost_is_counted(sink, start):
    sink.status = 503
    agent = start(otlp(sink.url, interval="50ms", buffer="20KiB"))
    agent.wait_for(lambda _: agent.value(LOST, reason="overflow") > 0)
    early = rss_bytes(agent.program.pid)
    time.sleep(1.5)
    waiting, late = agent.value("rackwatt_exporter_waiting_bytes"), rss_bytes(agent.program.pid)
    lost = agent.value(LOST, reason="overflow")
    sink.status = 200
    agent.wait_for(lambda _: agent.value(PUSHED, outcome="delivered") > 3, 40.0)

    assert waiting <= 20 * 1024
    assert late - early < 4 * 1024 * 1024
    assert lost > 500
    assert agent.value(LOST, reason="refused") == 0


def test_a_collector_that_hangs_delays_no_page_no_reading_and_no_end(sink, start):
    sink.wait_seconds = 60.0
    agent = start(otlp(sink.url, timeout="30s"))
    sink.wait_seconds = 60.0
    time.sleep(1.0)
    joules = agent.value("rackwatt_gpu_energy_joules_total")
    began = time.monotonic()
    http_get(f"{agent.url}/metrics")
    page_seconds = time.monotonic() - began
    time.sleep(1.0)
    grown = agent.value("rackwatt_gpu_energy_joules_total") - joules
    began = time.monotonic()
    status = agent.program.stop(grace_seconds=10.0)

    assert page_seconds < 0.5
    assert grown > 100.0
    assert status == 0
    assert time.monotonic() - began < 5.0
    assert "not delivered before the end" in agent.log_text()


def test_a_hung_collector_costs_one_outcome_for_each_timeout(sink, start):
    sink.wait_seconds = 60.0
    agent = start(otlp(sink.url, timeout="400ms"))
    agent.wait_for(lambda _: agent.value(PUSHED, outcome="timed_out") >= 2)

    assert len(sink.headers) == 0
    assert agent.value(PUSHED, outcome="delivered") == 0


def test_a_stop_sends_the_last_snapshot_first(sink, start):
    agent = start(otlp(sink.url, interval="1h"))
    time.sleep(0.5)
    stopped = time.time()
    agent.program.stop()

    assert len(sink.resources) == 1
    assert stopped - sink.points[0].unix_seconds < 1.5


def test_t1_a_total_goes_on_over_a_restart_or_says_that_it_began_anew(sink, start):
    """A receiver takes a total whose start is the same, and that falls, for a new one: none may do that."""
    with TruthEngine(output=constant(1000.0)) as engine:
        agent = start(otlp(sink.url), engines=[f"{engine.url}/metrics"])
        agent.wait_for(lambda _: agent.value("rackwatt_engine_tokens_total", kind="output"))
        agent.wait_for(lambda _: agent.value("rackwatt_state_saved_timestamp_seconds"))
        agent.program.stop()
        before = totals_of(sink)
        sink.resources.clear()
        agent.start()
        sink.wait_for(lambda sink: len(sink.resources) > 3)
        after = totals_of(sink)

    same = [series for series in before if after[series][0] == before[series][0]]
    anew = {series[0] for series in before if after[series][0] > before[series][0]}
    assert {series[0] for series in same} >= {
        "hw.energy",
        "rackwatt.engine.tokens",
        "rackwatt.gpu.throttled_time",
    }
    assert [series for series in same if after[series][1] < before[series][1]] == []
    assert anew == {
        "rackwatt.collector.failures",
        "rackwatt.exporter.lost_points",
        "rackwatt.exporter.pushes",
        "rackwatt.source.call_time",
        "rackwatt.source.calls",
    }


def totals_of(sink):
    """Since when each total counts, and its last value."""
    return {
        (point.metric, frozenset(point.attributes.items())): (point.total_since_unix_seconds, point.value)
        for point in sink.points
        if point.total_since_unix_seconds is not None
    }


def test_a_reload_takes_another_endpoint_and_keeps_what_waits(sink, start):
    sink.status = 503
    agent = start(otlp(sink.url))
    agent.wait_for(lambda _: (agent.value("rackwatt_exporter_waiting_bytes") or 0) > 5000)
    with Sink() as other:
        agent.configure(CALM | {"exporters": otlp(other.url)})
        agent.reload()
        reloaded = time.time()
        other.wait_for(lambda sink: sink.resources)
        oldest = min(point.unix_seconds for point in other.points)

        assert oldest < reloaded
        assert agent.value("rackwatt_config_reload_success") == 1
        assert "needs a restart" not in agent.log_text()
        agent.configure(CALM)
        agent.reload()
        agent.wait_for(lambda _: agent.value(PUSHED) is None)
        agent.reload()
        agent.wait_for(lambda _: agent.log_text().count("configuration reloaded") == 3)

        assert "needs a restart" not in agent.log_text()


@pytest.mark.parametrize(
    ("exporters", "loaded"), [("{prometheus: {}}", False), ("{otlp: {}}", True)], ids=["off", "on"]
)
def test_only_a_daemon_that_pushes_imports_what_pushing_needs(tmp_path, exporters, loaded):
    program = (
        "import sys; from agent import config, daemon;"
        f"daemon.Daemon(config.parse('exporters: {exporters}', 'here'));"
        "print(any(name.split('.')[0] in ('opentelemetry', 'google') for name in sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
    )

    assert told.stdout == f"{loaded}\n"
