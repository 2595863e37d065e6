"""A snapshot as OTLP metrics data: the rows of the page, with their moments and attributes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.measure.catalogue import BY_NAME, CATALOGUE
from agent.measure.gpu import GpuState
from agent.measure.rows import rows_of
from exporters._otlp.names import STATUS, TOKEN_TYPE, TOKEN_TYPES, Instrument, form_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.measure.row import Row
    from agent.measure.snapshot import Snapshot
    from exporters._otlp.names import Form

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""Of the conventions that `names` follows."""
SCOPE = "rackwatt"
NOT_KEPT = ("collector_", "source_", "exporter_")
"""What begins anew with every start of rackwatt, as histograms do; other totals are kept over restarts."""
OF_MEMBERS = "rack_"
"""Sums of the members' totals, which began at moments of their own."""
UNKNOWN = 0
"""A start that nobody knows, as OTLP writes it."""
FAILED = {GpuState.LOST, GpuState.RESET_REQUIRED, GpuState.WEDGED, GpuState.FAILED}

Labels = tuple[str, ...]


def request_of(snapshot: Snapshot, resource: Mapping[str, str]) -> tuple[ExportMetricsServiceRequest, int]:
    """Return the request that tells a snapshot, and how many points it has."""
    by_metric: dict[str, list[Row]] = {metric.name: [] for metric in CATALOGUE}
    for row in rows_of(snapshot):
        by_metric[row.metric].append(row)
    writer = _Writer(snapshot)
    metrics = [writer.metric(name, rows) for name, rows in by_metric.items() if rows]
    if snapshot.gpus:
        metrics.append(writer.status())
    scope = InstrumentationScope(name=SCOPE, version=snapshot.version)
    told = ResourceMetrics(
        resource=Resource(attributes=_pairs(resource.items())),
        scope_metrics=[ScopeMetrics(scope=scope, metrics=metrics, schema_url=SCHEMA_URL)],
        schema_url=SCHEMA_URL,
    )
    return ExportMetricsServiceRequest(resource_metrics=[told]), writer.points


class _Writer:
    """Makes the metrics of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.points = 0
        self._snapshot = snapshot
        self._at = _nanoseconds(snapshot.at.unix_seconds)
        self._uuids = {str(gpu.gpu): gpu.uuid for gpu in snapshot.gpus}

    def metric(self, name: str, rows: list[Row]) -> Metric:
        """Make one metric of its rows."""
        form = form_of(name)
        made = Metric(name=form.name, unit=form.unit, description=BY_NAME[name].doc)
        if form.instrument is Instrument.HISTOGRAM:
            self._add_histograms(made, form, rows)
        else:
            values = [(self._attributes(form, name, row.labels), row.value) for row in rows]
            self._add_numbers(made, form, values, self._start(name))
        return made

    def status(self) -> Metric:
        """Make the conventions' hw.status: 1 for ok or failed; neither when nobody knows."""
        values: list[tuple[list[KeyValue], float]] = []
        for gpu in self._snapshot.gpus:
            for state, holds in (("ok", gpu.state is GpuState.OK), ("failed", gpu.state in FAILED)):
                pairs = {**self._component(STATUS, str(gpu.gpu)), "hw.state": state}
                values.append((_pairs(pairs.items()), holds))
        made = Metric(name=STATUS.name, unit=STATUS.unit, description="Whether a GPU is well, by its driver.")
        self._add_numbers(made, STATUS, values, UNKNOWN)
        return made

    def _add_numbers(
        self, made: Metric, form: Form, values: list[tuple[list[KeyValue], float]], start: int
    ) -> None:
        gauge = form.instrument is Instrument.GAUGE
        if gauge:
            points = made.gauge.data_points
        else:
            points = made.sum.data_points
            made.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            made.sum.is_monotonic = form.instrument is Instrument.COUNTER
        points.extend(
            NumberDataPoint(
                attributes=pairs,
                start_time_unix_nano=UNKNOWN if gauge else start,
                time_unix_nano=self._at,
                as_double=float(value),
            )
            for pairs, value in values
        )
        self.points += len(values)

    def _add_histograms(self, made: Metric, form: Form, rows: list[Row]) -> None:
        made.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        for labels, (bounds, counts, total) in _histograms(rows):
            made.histogram.data_points.append(
                HistogramDataPoint(
                    attributes=self._attributes(form, made.name, labels),
                    start_time_unix_nano=self._begun(self._snapshot.origin.started_unix_seconds),
                    time_unix_nano=self._at,
                    count=sum(counts),
                    sum=total,
                    bucket_counts=counts,
                    explicit_bounds=bounds,
                )
            )
            self.points += 1

    def _start(self, metric: str) -> int:
        """Return when a total began to be counted."""
        origin = self._snapshot.origin
        if metric.startswith(NOT_KEPT):
            return self._begun(origin.started_unix_seconds)
        return UNKNOWN if metric.startswith(OF_MEMBERS) else self._begun(origin.began_unix_seconds)

    def _begun(self, unix_seconds: float | None) -> int:
        """Return a start that is not after its point, also when the wall clock was set back meanwhile."""
        return UNKNOWN if unix_seconds is None else min(_nanoseconds(unix_seconds), self._at)

    def _attributes(self, form: Form, metric: str, labels: Labels) -> list[KeyValue]:
        """Name the labels of a row; one that is empty is none, as in Prometheus."""
        told: dict[str, str] = {}
        for key, value in zip(form.attributes, labels, strict=True):
            if not key:
                told |= self._component(form, value)
            elif key == TOKEN_TYPE:
                told[key] = TOKEN_TYPES.get(value, value)
            elif value:
                told[key] = value
        if "rackwatt.rack.member" in told and not metric.startswith("node_"):
            told.pop("hw.id", None)  # the number is of a GPU of that member, not of ours
        if form.component == "temperature":
            told["hw.parent"] = told["hw.id"]
            told["hw.id"] += f"/{told['hw.sensor_location']}"
        return _pairs(told.items())

    def _component(self, form: Form, gpu: str) -> dict[str, str]:
        uuid = self._uuids.get(gpu)
        told = {"rackwatt.gpu": gpu} if uuid is None else {"rackwatt.gpu": gpu, "hw.id": uuid}
        return told | ({"hw.type": form.component} if form.component else {})


def _histograms(rows: Iterable[Row]) -> Iterator[tuple[Labels, tuple[list[float], list[int], float | None]]]:
    """Put the series of each histogram together: finite bounds, counts of each bucket, sum if it is known."""
    buckets: dict[Labels, list[tuple[float, float]]] = {}
    sums: dict[Labels, float] = {}
    for row in rows:
        if row.part == "_bucket":
            buckets.setdefault(row.labels[:-1], []).append((float(row.labels[-1]), row.value))
        elif row.part == "_sum":
            sums[row.labels] = row.value
    for labels, told in buckets.items():
        counts = [round(count) for _, count in told]
        inside = [count - below for count, below in zip(counts, [0, *counts], strict=False)]
        bounds = [bound for bound, _ in told if math.isfinite(bound)]
        yield labels, (bounds, inside, sums.get(labels))


def _pairs(told: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in told]


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
