"""Every metric there is, in the order of the page. Names are public: added, never renamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.metrics import (
    agent,
    deployment,
    engine,
    environment,
    figure,
    gpu,
    host,
    incident,
    node,
    rack,
)

if TYPE_CHECKING:
    from agent.measure.metric import Metric

PREFIX = "rackwatt_"

CATALOGUE: tuple[Metric, ...] = (
    *node.METRICS,
    *figure.METRICS,
    *gpu.METRICS,
    *host.METRICS,
    *environment.METRICS,
    *engine.METRICS,
    *deployment.METRICS,
    *rack.METRICS,
    *incident.METRICS,
    *agent.METRICS,
)

BY_NAME = {metric.name: metric for metric in CATALOGUE}
