"""The page of a rich node, whole; and what rendering costs."""

import dataclasses
import math

import pytest
from fakes.prometheus import promtool_check_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import exporters.prometheus
from agent.measure.catalogue import BY_NAME, CATALOGUE, PREFIX
from agent.measure.engine import Histogram, Latency
from agent.measure.latency import nothing
from agent.measure.metric import MetricType
from agent.measure.row import Row
from agent.measure.rows import rows_of
from exporters.prometheus import Settings, build

TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.fixture
def renderer():
    return build(Settings())


@pytest.fixture
def page(renderer, snapshot):
    """The page without what Linux says of this process."""

    def render(accept):
        body, _ = renderer.render(snapshot, accept)
        families = body.decode().split("# HELP ")
        ours = [family for family in families if not family.startswith("process_")]
        return "# HELP ".join(ours)

    return render


@pytest.fixture
def encoded(monkeypatch):
    """Names of the families that prometheus_client was asked to render."""
    names = []
    original = exporters.prometheus._One.collect

    def collect(self):
        for family in original(self):
            names.append(family.name)
            yield family

    monkeypatch.setattr(exporters.prometheus._One, "collect", collect)
    return names


def test_the_text_page_of_a_rich_node_is_the_golden_one(page, hold_against):
    told = page(TEXT)

    assert told == hold_against(told, "rich_node.prom")


def test_the_openmetrics_page_of_a_rich_node_is_the_golden_one(page, hold_against):
    told = page(OPENMETRICS)

    assert told == hold_against(told, "rich_node.openmetrics")


def test_promtool_finds_nothing_to_say_about_a_page_of_every_row(page):
    told = page(TEXT)

    assert promtool_check_metrics(told) == (0, "")
    assert PREFIX + "rack_tokens_per_joule" in told


def test_prometheus_client_reads_the_text_page(renderer, snapshot):
    body, _ = renderer.render(snapshot, TEXT)
    names = {family.name for family in parse_text(body.decode())}

    assert {"rackwatt_gpu_up", "rackwatt_engine_tokens", "process_cpu_seconds"} <= names


def test_prometheus_client_reads_the_openmetrics_page(renderer, snapshot):
    body, _ = renderer.render(snapshot, OPENMETRICS)
    names = {family.name for family in parse_openmetrics(body.decode())}

    assert {"rackwatt_gpu_up", "rackwatt_engine_tokens", "process_cpu_seconds"} <= names


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_no_series_is_on_the_page_twice(renderer, snapshot, accept):
    body, _ = renderer.render(snapshot, accept)
    series = [line.rsplit(b" ", 1)[0] for line in body.splitlines() if not line.startswith(b"#")]

    assert len(series) == len(set(series))


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_t11_nothing_on_the_page_is_not_a_number(renderer, snapshot, accept):
    body, _ = renderer.render(snapshot, accept)
    values = [float(line.rsplit(b" ", 1)[1]) for line in body.splitlines() if not line.startswith(b"#")]

    assert all(math.isfinite(value) for value in values)


def test_there_are_no_created_series(renderer, snapshot):
    body, _ = renderer.render(snapshot, OPENMETRICS)

    assert b"_created" not in body


def test_the_openmetrics_page_ends_once(renderer, snapshot):
    body, _ = renderer.render(snapshot, OPENMETRICS)

    assert (body.count(b"# EOF"), body.endswith(b"# EOF\n")) == (1, True)


def test_label_values_are_escaped_and_read_back(renderer, snapshot):
    body, _ = renderer.render(snapshot, TEXT)
    up = next(family for family in parse_text(body.decode()) if family.name == "rackwatt_engine_up")

    assert up.samples[0].labels["model"] == 'meta/"llama"\\70b\nfp4'


def test_counters_are_exported_as_counters_and_gauges_as_gauges(renderer, snapshot):
    body, _ = renderer.render(snapshot, TEXT)
    types = {family.name: family.type for family in parse_text(body.decode())}
    wrong = [
        metric.name
        for metric in CATALOGUE
        if types[(PREFIX + metric.name).removesuffix("_total")] != metric.type
    ]

    assert wrong == []


def test_an_unknown_accept_header_gets_plain_text(renderer, snapshot):
    _, content_type = renderer.render(snapshot, "image/png")

    assert content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_t17_every_row_of_the_catalogue_is_emitted_and_no_other(snapshot):
    emitted = {row.metric for row in rows_of(snapshot)}

    assert emitted == {metric.name for metric in CATALOGUE}


def test_t17_every_row_has_a_value_for_each_label_of_its_metric(snapshot):
    wrong = [
        row
        for row in rows_of(snapshot)
        if len(row.labels) != len(BY_NAME[row.metric].labels) + (row.part == "_bucket")
    ]

    assert wrong == []


def test_t6_whatever_is_made_of_tokens_says_which_kind():
    without = [m.name for m in CATALOGUE if "tokens" in m.name and "kind" not in m.labels]

    assert without == []


def test_t7_whatever_is_made_of_power_says_at_which_boundary_or_of_what():
    words = ("watts", "joule")
    without = [
        m.name
        for m in CATALOGUE
        if any(word in m.name for word in words) and not {"boundary", "gpu", "part"} & set(m.labels)
        if m.name != "coolant_heat_watts"  # heat that is carried away is no power that is drawn
    ]

    assert without == []


def test_counters_end_in_total_and_nothing_else_does():
    wrong = [m.name for m in CATALOGUE if m.name.endswith("_total") != (m.type is MetricType.COUNTER)]

    assert wrong == []


def test_no_metric_has_a_label_that_prometheus_adds_itself():
    wrong = [m.name for m in CATALOGUE if {"instance", "job"} & set(m.labels)]

    assert wrong == []


def test_t4_a_gpu_whose_source_failed_is_down_and_unknown(snapshot):
    rows = set(rows_of(snapshot))

    assert {Row("gpu_up", ("2",), 0), Row("gpu_state", ("2", "unknown"), 1)} <= rows


def test_t15_a_gpu_that_is_lost_shows_no_power(snapshot):
    shown = {row.labels[0] for row in rows_of(snapshot) if row.metric == "gpu_power_watts"}

    assert shown == {"0"}


def test_t4_an_unknown_rate_is_left_out(snapshot):
    shown = [row.labels[3] for row in rows_of(snapshot) if row.metric == "engine_tokens_per_second"]

    assert shown == ["output"]


def test_a_collector_succeeds_only_with_all_its_sources(snapshot):
    assert Row("collector_success", ("engines",), 0) in set(rows_of(snapshot))


def test_a_collector_is_as_old_as_the_oldest_success_of_its_sources(snapshot):
    told = Row("collector_last_success_timestamp_seconds", ("engines",), 1_759_999_000.0)

    assert told in set(rows_of(snapshot))


def test_costs_of_two_sources_of_one_collector_are_added(snapshot):
    nvml = snapshot.costs["nvml"]
    twice = dataclasses.replace(snapshot, costs={"engines/a": nvml, "engines/b": nvml})
    told = [row for row in rows_of(twice) if row.metric == "source_calls_total"]

    assert told == [Row("source_calls_total", ("engines", "nvmlDeviceGetFieldValues"), 200)]


def test_the_page_of_one_snapshot_is_rendered_once_per_format(renderer, snapshot, monkeypatch):
    reckoned = []
    monkeypatch.setattr(exporters.prometheus, "rows_of", lambda seen: reckoned.append(seen) or rows_of(seen))
    for accept in (TEXT, OPENMETRICS, TEXT, OPENMETRICS):
        renderer.render(snapshot, accept)

    assert len(reckoned) == 2


def test_each_format_is_rendered_for_itself(renderer, snapshot):
    text, _ = renderer.render(snapshot, TEXT)
    openmetrics, _ = renderer.render(snapshot, OPENMETRICS)

    assert text != openmetrics


def test_a_client_that_names_ever_new_versions_fills_no_memory(renderer, snapshot):
    for number in range(20):
        renderer.render(snapshot, f"application/openmetrics-text;version=1.0.{number}")

    assert len(renderer._pages) <= 4


def test_only_the_family_whose_series_changed_is_encoded_again(renderer, snapshot, encoded):
    renderer.render(snapshot, TEXT)
    encoded.clear()
    later = dataclasses.replace(
        snapshot, sequence=8, version="9", self_gauges={**snapshot.self_gauges, "state_writable": 0.0}
    )
    renderer.render(later, TEXT)

    assert encoded == ["rackwatt_build_info"]


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_new_values_are_written_as_prometheus_client_writes_them(renderer, snapshot, accept):
    values = [0.0, 1, True, -0.5, 1e-7, 123456.0, 1234567.0, 1.0e21, 0.1 + 0.2, 2**53]
    engine = dataclasses.replace(snapshot.engines[0], model='a b\u2028c\nd"e\\')
    for sequence, value in enumerate(values, 8):
        engine = dataclasses.replace(engine, restarts=value)
        later = dataclasses.replace(snapshot, sequence=sequence, engines=(engine,))
        body, _ = renderer.render(later, accept)
        fresh, _ = build(Settings()).render(later, accept)

        assert body.partition(b"# HELP process_")[0] == fresh.partition(b"# HELP process_")[0]


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_new_values_of_a_histogram_are_written_as_prometheus_client_writes_them(renderer, snapshot, accept):
    service, bounds = snapshot.services[0], (0.001, 0.25, 640.0, math.inf)
    whole = Histogram(bounds, (1.0, 2.0, 1234567.0, 2.0**53), 1e-7)
    renderer.render(_with_histogram(snapshot, service, 8, nothing(bounds)), accept)
    later = _with_histogram(snapshot, service, 9, whole)
    body, _ = renderer.render(later, accept)
    fresh, _ = build(Settings()).render(later, accept)

    assert body.partition(b"# HELP process_")[0] == fresh.partition(b"# HELP process_")[0]


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
def test_a_page_that_was_written_from_the_one_before_is_as_one_written_anew(renderer, snapshot, accept):
    """What goes, comes, moves or changes: between any two of these."""
    gpus, engines = snapshot.gpus, snapshot.engines
    changes = [
        {},
        {"gpus": gpus[::-1]},
        {"gpus": gpus[:-1]},
        {"engines": ()},
        {"engines": engines, "drained": "a new fan"},
        {"gpus": (dataclasses.replace(gpus[0], energy_joules_total=1.5), *gpus[1:])},
        {"services": (), "outcomes": ()},
    ]
    ways = [*changes, *reversed(changes)]
    for sequence, change in enumerate(ways, 8):
        later = dataclasses.replace(snapshot, sequence=sequence, **change)
        body, _ = renderer.render(later, accept)
        fresh, _ = build(Settings()).render(later, accept)

        assert body.partition(b"# HELP process_")[0] == fresh.partition(b"# HELP process_")[0]


def test_prometheus_client_reads_a_histogram(renderer, snapshot):
    body, _ = renderer.render(snapshot, OPENMETRICS)
    name = "rackwatt_model_queue_time_seconds"
    told = next(family for family in parse_openmetrics(body.decode()) if family.name == name)

    assert [(s.name.removeprefix(name), s.labels.get("le"), s.value) for s in told.samples] == [
        ("_bucket", "1.0", 97.0),
        ("_bucket", "+Inf", 97.0),
        ("_sum", None, 0.5),
        ("_count", None, 97.0),
    ]


def test_openmetrics_a_histogram_without_a_sum_has_no_count(snapshot):
    rows = [row.part for row in rows_of(snapshot) if row.metric == "model_request_duration_seconds"]

    assert rows == ["_bucket", "_bucket"]


def _with_histogram(snapshot, service, sequence, whole):
    changed = dataclasses.replace(service, histograms={Latency.QUEUE: whole})
    return dataclasses.replace(snapshot, sequence=sequence, services=(changed,))


def test_a_family_that_changed_shows_its_new_value(renderer, snapshot):
    renderer.render(snapshot, TEXT)
    later = dataclasses.replace(snapshot, sequence=8, self_gauges={"state_writable": 0.0})
    body, _ = renderer.render(later, TEXT)

    assert b"rackwatt_state_writable 0.0\n" in body


def test_a_family_that_went_away_leaves_the_page(renderer, snapshot):
    renderer.render(snapshot, TEXT)
    body, _ = renderer.render(dataclasses.replace(snapshot, sequence=8, gpus=()), TEXT)

    assert b"rackwatt_gpu_" not in body


def test_the_path_is_a_setting():
    assert build(Settings(path="/m")).path == "/m"
