"""What a snapshot becomes in OTLP: names, units, attributes, moments, values."""

import dataclasses
import gzip
import inspect
import math
import re

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.semconv._incubating.attributes import hw_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics, hw_metrics

from agent.measure.catalogue import BY_NAME, CATALOGUE, PREFIX
from agent.measure.engine import Histogram, Latency
from agent.measure.gpu import GpuState
from agent.measure.rows import rows_of
from exporters._otlp.names import CONVENTIONS, OWN_NAMES, STATUS, Instrument, form_of
from exporters.otlp import Compression, Settings, build

SECOND = 1_000_000_000
AT = 1_760_000_000 * SECOND
BEGAN, STARTED = 1_750_000_000 * SECOND, 1_759_990_000 * SECOND


@pytest.fixture
def told(snapshot, monkeypatch):
    """The one resource that a snapshot becomes."""
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)

    def encode(seen=snapshot, **settings):
        batch = build(Settings(compression=Compression.NONE, **settings)).encode(seen)
        (resource,) = ExportMetricsServiceRequest.FromString(batch.body).resource_metrics
        return resource

    return encode


@pytest.fixture
def metrics(told):
    def by_name(*snapshot):
        return {metric.name: metric for metric in told(*snapshot).scope_metrics[0].metrics}

    return by_name


class Recorder:
    """A meter that returns what it is asked to make."""

    def __getattr__(self, asked):
        kind = asked.removeprefix("create_").removeprefix("observable_").replace("_", "")

        def make(name, callbacks=None, *, description="", unit=""):
            return name, unit, kind

        return make


def points_of(metric):
    return getattr(metric, metric.WhichOneof("data")).data_points


def pairs(point):
    return {pair.key: pair.value.string_value for pair in point.attributes}


def conventional(name):
    """Name, unit and instrument of a metric, as OpenTelemetry's own package makes it."""
    module = hw_metrics if name.startswith("hw.") else gen_ai_metrics
    create = getattr(module, f"create_{name.replace('.', '_')}")
    callbacks = (None,) if "callbacks" in inspect.signature(create).parameters else ()
    return create(Recorder(), *callbacks)


@pytest.mark.parametrize("metric", [*CONVENTIONS, "hw.status"])
def test_conventional_metrics_are_as_the_conventions_have_them(metric):
    form = STATUS if metric == STATUS.name else form_of(metric)

    assert conventional(form.name) == (form.name, form.unit, form.instrument.value)


def test_hw_attributes_are_those_of_the_conventions():
    known = {value for name, value in vars(hw_attributes).items() if name.startswith("HW_")}
    named = {key for metric in CATALOGUE for key in form_of(metric.name).attributes if key.startswith("hw.")}

    assert named
    assert named <= known


def test_the_kind_of_an_incident_is_no_kind_of_tokens():
    assert form_of("incident_lost_tokens_total").attributes == (
        "rackwatt.scope",
        "rackwatt.kind",
        "rackwatt.cause",
        "gen_ai.token.type",
    )


def test_every_metric_of_the_catalogue_has_a_name_of_its_own():
    names = [form_of(metric.name).name for metric in CATALOGUE] + [STATUS.name]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_name_is_conventional_or_follows_the_rule(metric):
    name = form_of(metric.name).name

    assert metric.name in CONVENTIONS or re.fullmatch(r"rackwatt\.[a-z0-9]+(\.[a-z0-9_]+)?", name)


def test_names_end_neither_in_a_unit_nor_in_total():
    names = [form_of(metric.name).name for metric in CATALOGUE]

    assert not [name for name in names if re.search(r"_(watts|joules|seconds|bytes|ratio|total)$", name)]


@pytest.mark.parametrize(
    ("metric", "name", "unit"),
    [
        ("power_watts", "rackwatt.power", "W"),
        ("rack_energy_joules_total", "rackwatt.rack.energy", "J"),
        ("engine_tokens_total", "rackwatt.engine.tokens", "{token}"),
        ("node_tokens_per_second", "rackwatt.node.tokens_per_second", "{token}/s"),
        ("rack_tokens_per_joule", "rackwatt.rack.tokens_per_joule", "{token}/J"),
        ("rack_joules_per_token", "rackwatt.rack.joules_per_token", "J/{token}"),
        ("gpu_clock_hertz", "rackwatt.gpu.clock", "Hz"),
        ("rack_coverage_ratio", "rackwatt.rack.coverage", "1"),
        ("gpu_up", "rackwatt.gpu.up", ""),
    ],
)
def test_the_rule_gives(metric, name, unit):
    form = form_of(metric)

    assert (form.name, form.unit) == (name, unit)


UNIT_WORDS = {
    "W": "_watts",
    "J": "_joules",
    "s": "_seconds",
    "By": "_bytes",
    "Hz": "_hertz",
    "Cel": "_celsius",
    "Pa": "_pascals",
    "1": "_ratio",
}


def test_written_with_unit_and_total_behind_as_prometheus_does_names_are_those_of_the_page():
    other = []
    for metric in CATALOGUE:
        form = form_of(metric.name)
        unit = UNIT_WORDS.get(form.unit, "")
        total = "_total" if form.instrument is Instrument.COUNTER else ""
        if form.name.replace(".", "_") + unit + total != PREFIX + metric.name:
            other.append(metric.name)

    assert sorted(other) == sorted([*CONVENTIONS, *OWN_NAMES])


def test_every_row_becomes_a_point_with_its_value(snapshot, metrics):
    made = metrics()
    for metric in CATALOGUE:
        if form_of(metric.name).instrument is Instrument.HISTOGRAM:
            continue
        wanted = [float(row.value) for row in rows_of(snapshot) if row.metric == metric.name]

        assert [point.as_double for point in points_of(made[form_of(metric.name).name])] == wanted


def test_the_number_of_points_of_a_batch_is_what_a_receiver_counts(snapshot, metrics):
    batch = build(Settings()).encode(snapshot)

    assert batch.points == sum(len(points_of(metric)) for metric in metrics().values())


def test_a_batch_is_packed_and_the_same_snapshot_gives_the_same_bytes(snapshot):
    first, second = (build(Settings()).encode(snapshot).body for _ in range(2))

    assert first == second
    assert gzip.decompress(first) == build(Settings(compression=Compression.NONE)).encode(snapshot).body


def test_no_series_is_told_twice(metrics):
    for metric in metrics().values():
        seen = [tuple(sorted(pairs(point).items())) for point in points_of(metric)]

        assert len(seen) == len(set(seen)), metric.name


def test_counters_are_cumulative_monotonic_sums_and_memory_is_not_monotonic(metrics):
    made = metrics()
    energy, memory, power = (made[name] for name in ("hw.energy", "hw.gpu.memory.usage", "hw.power"))

    assert (energy.sum.is_monotonic, energy.sum.aggregation_temporality) == (True, 2)
    assert (memory.sum.is_monotonic, memory.sum.aggregation_temporality) == (False, 2)
    assert power.WhichOneof("data") == "gauge"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("hw.energy", BEGAN),  # kept over restarts
        ("rackwatt.engine.tokens", BEGAN),
        ("rackwatt.collector.failures", STARTED),  # counted since the start
        ("rackwatt.exporter.pushes", STARTED),
        ("gen_ai.server.time_to_first_token", STARTED),
        ("rackwatt.rack.tokens", 0),  # of members, which began at different moments
        ("hw.power", 0),  # a gauge has none
    ],
)
def test_a_total_says_when_it_began(metrics, name, start):
    points = points_of(metrics()[name])

    assert {point.start_time_unix_nano for point in points} == {start}
    assert {point.time_unix_nano for point in points} == {AT}


def test_a_start_is_never_after_its_point_even_when_the_wall_clock_was_set_back(snapshot, metrics):
    origin = dataclasses.replace(snapshot.origin, began_unix_seconds=1_999_999_999.0)
    made = metrics(dataclasses.replace(snapshot, origin=origin))

    assert points_of(made["hw.energy"])[0].start_time_unix_nano == AT


def test_a_start_that_nobody_knows_is_not_made_up(snapshot, metrics):
    origin = dataclasses.replace(snapshot.origin, began_unix_seconds=None)
    made = metrics(dataclasses.replace(snapshot, origin=origin))

    assert points_of(made["hw.energy"])[0].start_time_unix_nano == 0


def test_a_gpu_is_named_by_its_uuid_and_its_number(metrics):
    made = metrics()

    assert pairs(points_of(made["hw.power"])[0]) == {
        "hw.id": "GPU-aa",
        "hw.type": "gpu",
        "rackwatt.gpu": "0",
    }
    assert pairs(points_of(made["rackwatt.gpu.power_limit"])[0]) == {"hw.id": "GPU-aa", "rackwatt.gpu": "0"}


def test_a_temperature_is_of_a_sensor_whose_parent_is_the_gpu(metrics):
    told = [pairs(point) for point in points_of(metrics()["hw.temperature"])]

    assert told[1] == {
        "hw.id": "GPU-aa/memory",
        "hw.parent": "GPU-aa",
        "hw.sensor_location": "memory",
        "hw.type": "temperature",
        "rackwatt.gpu": "0",
    }


def test_memory_errors_are_told_by_type(metrics):
    told = {pairs(p)["error.type"]: p.as_double for p in points_of(metrics()["hw.errors"])}

    assert told == {"corrected": 3.0, "uncorrected": 0.0}


def test_t4_the_status_of_a_gpu_is_ok_failed_or_neither_when_nobody_knows(snapshot, metrics):
    told = [(pairs(p)["hw.id"], pairs(p)["hw.state"], p.as_double) for p in points_of(metrics()["hw.status"])]

    assert [gpu.state for gpu in snapshot.gpus] == [GpuState.OK, GpuState.LOST, None]
    assert told == [
        ("GPU-aa", "ok", 1.0),
        ("GPU-aa", "failed", 0.0),
        ("GPU-bb", "ok", 0.0),
        ("GPU-bb", "failed", 1.0),
        ("GPU-cc", "ok", 0.0),
        ("GPU-cc", "failed", 0.0),
    ]


def test_tokens_are_told_by_the_conventions_type_and_model(metrics):
    told = [pairs(point) for point in points_of(metrics()["rackwatt.engine.tokens"])]

    assert [each["gen_ai.token.type"] for each in told] == ["output", "input"]
    assert {each["gen_ai.request.model"] for each in told} == {'meta/"llama"\\70b\nfp4'}


def test_another_kind_is_no_token_type(metrics):
    told = [pairs(point) for point in points_of(metrics()["rackwatt.gpu.remapped_rows"])]

    assert {each["rackwatt.kind"] for each in told} == {"correctable", "pending"}


def test_owners_are_told_as_kubernetes_has_them_and_without_what_is_empty(metrics):
    told = [pairs(point) for point in points_of(metrics()["rackwatt.gpu.owner_info"])]

    assert told == [
        {
            "hw.id": "GPU-aa",
            "rackwatt.gpu": "0",
            "k8s.namespace.name": "serving",
            "k8s.pod.name": "llama-0",
        },
        {"hw.id": "GPU-aa", "rackwatt.gpu": "0", "rackwatt.job_id": "4711"},
    ]


def test_buckets_hold_their_own_and_count_and_sum_are_those_of_the_page(metrics):
    (point,) = points_of(metrics()["gen_ai.server.time_to_first_token"])

    assert list(point.explicit_bounds) == [0.01, 0.025, 1.0]
    assert list(point.bucket_counts) == [2, 48, 49, 1]
    assert (point.count, point.sum) == (100, 12.5)


def test_a_histogram_whose_sum_is_not_known_has_none(metrics):
    (point,) = points_of(metrics()["gen_ai.server.request.duration"])

    assert (point.count, point.HasField("sum")) == (97, False)


def test_a_histogram_without_a_highest_bound_of_its_own_counts_all(snapshot, metrics):
    service = snapshot.services[0]
    whole = Histogram((0.5, math.inf), (7.0, 7.0), 1.0)
    changed = dataclasses.replace(service, histograms={Latency.QUEUE: whole})
    (point,) = points_of(
        metrics(dataclasses.replace(snapshot, services=(changed,)))["rackwatt.model.queue_time"]
    )

    assert (list(point.explicit_bounds), list(point.bucket_counts)) == ([0.5], [7, 0])


def test_the_resource_says_who_sends(told):
    resource = pairs(told().resource)

    assert resource.keys() >= {"host.name"}
    assert resource["os.type"] == "linux"
    assert {key: value for key, value in resource.items() if not key.startswith(("host.", "os."))} == {
        "service.name": "rackwatt",
        "service.version": "0.1.0",
        "service.instance.id": "tray-07",
        "rackwatt.node": "tray-07",
        "rackwatt.rack": "r12",
    }


def test_the_environment_and_the_settings_add_to_the_resource(snapshot, monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.node.name=tray%207,deployment.environment.name=lab")
    settings = Settings(
        compression=Compression.NONE, resource={"deployment.environment.name": "prod", "host.id": ""}
    )
    body = build(settings).encode(snapshot).body
    resource = pairs(ExportMetricsServiceRequest.FromString(body).resource_metrics[0].resource)

    assert (resource["k8s.node.name"], resource["deployment.environment.name"]) == ("tray 7", "prod")
    assert "host.id" not in resource


def test_no_point_has_an_attribute_of_the_resource(told):
    made = told()
    keys = {key for metric in made.scope_metrics[0].metrics for p in points_of(metric) for key in pairs(p)}

    assert not keys & pairs(made.resource).keys()


def test_a_metric_is_described_as_in_the_catalogue(metrics):
    assert metrics()["hw.power"].description == BY_NAME["gpu_power_watts"].doc


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
        ("https://otel.example/prefix/", "https://otel.example/prefix/v1/metrics"),
        ("http://h:8428/opentelemetry/v1/metrics", "http://h:8428/opentelemetry/v1/metrics"),
    ],
)
def test_the_path_is_added_to_the_endpoint(endpoint, url):
    assert Settings(endpoint=endpoint).url == url


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"endpoint": "127.0.0.1:4318"}, "endpoint"),
        ({"endpoint": "http://u:p@h:4318"}, "endpoint"),
        ({"headers": {"Content-Type": "text/plain"}}, "headers"),
        ({"headers": {"X-Tenant": "a\nb"}}, "headers"),
        ({"header_files": {"api key": "/run/key"}}, "header_files"),
        ({"follow_redirects": True}, "follow_redirects"),
    ],
)
def test_settings_that_can_never_work_are_refused_with_their_key(settings, key):
    with pytest.raises(ValueError, match=f"^{key}"):
        Settings(**settings)
