"""A prometheus_client server with vLLM's metrics: what a scrape costs a real engine is what it costs here.

    python -m benchmarks.vllm_server PORT ENGINES PAGE

The registry is made of prometheus_client's own counters, gauges and histograms, with the names, labels and
buckets of a recorded page, once for each engine label; it is served as vLLM serves it, by
prometheus_client's own exposition.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import Metric as Family

KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge}
ENGINE = "engine"
MARK = b"."


def registry_of(page: str, engines: int) -> CollectorRegistry:
    """Build vLLM's families from a recorded page, for as many engine labels."""
    registry = CollectorRegistry()
    for family in text_string_to_metric_families(page):
        if family.type == "histogram":
            _add_histogram(registry, family, engines)
        elif family.type in KINDS and not family.name.endswith("_created"):
            _add_single(registry, family, engines)
    return registry


def _add_single(registry: CollectorRegistry, family: Family, engines: int) -> None:
    samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    names = sorted(samples[0].labels)
    metric = KINDS[family.type](family.name, family.documentation, names, registry=registry)
    for sample in samples:
        for labels in _for_each_engine(sample.labels, engines):
            child = metric.labels(**labels) if names else metric
            (child.inc if family.type == "counter" else child.set)(sample.value)


def _add_histogram(registry: CollectorRegistry, family: Family, engines: int) -> None:
    children: dict[tuple[tuple[str, str], ...], list[float]] = defaultdict(list)
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            children[tuple(sorted(labels.items()))].append(float(sample.labels["le"]))
    names = [name for name, _ in next(iter(children))]
    bounds = next(iter(children.values()))
    metric = Histogram(family.name, family.documentation, names, buckets=bounds, registry=registry)
    for pairs in children:
        for labels in _for_each_engine(dict(pairs), engines):
            child = metric.labels(**labels) if names else metric
            for bound in bounds[:-1]:
                child.observe(bound)


def _for_each_engine(labels: dict[str, str], engines: int) -> Iterable[dict[str, str]]:
    """Repeat what an engine label is on; leave the process's own families single."""
    if ENGINE not in labels:
        return [labels]
    return [labels | {ENGINE: str(number)} for number in range(engines)]


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed; prints a mark for each page that is asked for."""
    port, engines, page = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).read_text()
    metrics = make_wsgi_app(registry_of(page, engines))

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            os.write(1, MARK)
            body: Iterable[bytes] = metrics(environ, start)
            return body
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"ready\n"]

    with make_server("127.0.0.1", port, application, handler_class=_Quiet) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
