"""How well models are served, as rows of the catalogue."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from agent.measure.engine import Latency
from agent.measure.row import KEPT, Row, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.measure.attribution import Group
    from agent.measure.engine import Histogram
    from agent.measure.service import LatencyFigures, ServiceFigures

HISTOGRAMS = {
    Latency.FIRST_TOKEN: "model_time_to_first_token_seconds",
    Latency.INTER_TOKEN: "model_inter_token_latency_seconds",
    Latency.END_TO_END: "model_request_duration_seconds",
    Latency.QUEUE: "model_queue_time_seconds",
}
BOUNDS = ("lower", "upper")


def service_rows(services: Iterable[ServiceFigures]) -> Iterator[Row]:
    """Yield the rows of each model. Unknown is left out, never 0."""
    for service in services:
        model = (service.model,)
        for latency, whole in service.histograms.items():
            yield from histogram_rows(HISTOGRAMS[latency], model, whole)
        yield Row("model_latency_window_seconds", model, service.window_seconds)
        for figures in service.latencies:
            yield from _latency_rows(service.model, figures)
        for bound, ratio in zip(BOUNDS, service.goodput_ratio or (), strict=False):
            yield Row("model_goodput_ratio", (*model, bound), ratio)
        for bound, rate in zip(BOUNDS, service.goodput_requests_per_second or (), strict=False):
            yield Row("model_goodput_requests_per_second", (*model, bound), rate)
        yield from known("model_cached_prompt_ratio", model, service.cached_prompt_ratio)
        yield from known("model_speculative_accepted_ratio", model, service.speculative_accepted_ratio)


def deployment_service_rows(served: Mapping[Group, ServiceFigures]) -> Iterator[Row]:
    """Yield the rows of each deployment, likewise; its histograms are its model's."""
    for who, service in served.items():
        for figures in service.latencies:
            for share, seconds in figures.quantiles.items():
                labels = (*who, figures.latency, f"{100 * share:g}")
                yield Row("deployment_latency_quantile_seconds", labels, seconds)
        for bound, ratio in zip(BOUNDS, service.goodput_ratio or (), strict=False):
            yield Row("deployment_goodput_ratio", (*who, bound), ratio)
        for bound, rate in zip(BOUNDS, service.goodput_requests_per_second or (), strict=False):
            yield Row("deployment_goodput_requests_per_second", (*who, bound), rate)
        yield from known("deployment_cached_prompt_ratio", who, service.cached_prompt_ratio)


def histogram_rows(metric: str, labels: tuple[str, ...], whole: Histogram) -> Iterator[Row]:
    """Yield the series of one histogram; OpenMetrics allows no count without a sum, and +Inf tells it."""
    for of_bucket, count in zip(_bucket_labels(labels, whole.bounds), whole.counts, strict=True):
        yield Row(metric, of_bucket, count, "_bucket")
    if whole.sum_seconds is not None:
        yield Row(metric, labels, whole.sum_seconds, "_sum")
        yield Row(metric, labels, whole.counts[-1], "_count")


@lru_cache(KEPT)
def _bucket_labels(labels: tuple[str, ...], bounds: tuple[float, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple([(*labels, "+Inf" if math.isinf(bound) else repr(float(bound))) for bound in bounds])


def _latency_rows(model: str, figures: LatencyFigures) -> Iterator[Row]:
    series = (model, figures.latency)
    for share, seconds in figures.quantiles.items():
        yield Row("model_latency_quantile_seconds", (*series, f"{100 * share:g}"), seconds)
    yield from known("model_latency_mean_seconds", series, figures.mean_seconds)
    yield from known("model_slo_attained_ratio", series, figures.attained_ratio)
