"""What a metric is: its name, how it behaves, its labels and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MetricType(StrEnum):
    """How a metric behaves."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family; its exported name begins with the catalogue's PREFIX."""

    name: str
    type: MetricType
    labels: tuple[str, ...]
    doc: str
