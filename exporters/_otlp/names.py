"""What each metric of the catalogue is called in OTLP: by OpenTelemetry's conventions, else by one rule.

`hw.*` is https://opentelemetry.io/docs/specs/semconv/hardware/, `gen_ai.server.*` the conventions for
generative AI; where ours means something else (a gap between tokens is no mean time per token) it keeps
its own name.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import Enum

from agent.measure.catalogue import BY_NAME
from agent.measure.metric import Metric, MetricType


class Instrument(Enum):
    """How a metric behaves in OTLP."""

    GAUGE = "gauge"
    COUNTER = "counter"
    UP_DOWN_COUNTER = "updowncounter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Form:
    """One metric in OTLP."""

    name: str
    unit: str
    """UCUM; a thing that is counted stands in braces, and what is no number of anything has none."""
    instrument: Instrument
    attributes: tuple[str, ...]
    """Of its labels, in their order; an empty one is filled in otherwise."""
    component: str = ""
    """hw.type of what it tells of."""


_INSTRUMENTS = {
    MetricType.GAUGE: Instrument.GAUGE,
    MetricType.COUNTER: Instrument.COUNTER,
    MetricType.HISTOGRAM: Instrument.HISTOGRAM,
}
CONVENTIONS = {
    "gpu_power_watts": ("hw.power", "W", Instrument.GAUGE, "gpu"),
    "gpu_energy_joules_total": ("hw.energy", "J", Instrument.COUNTER, "gpu"),
    "gpu_utilization_ratio": ("hw.gpu.utilization", "1", Instrument.GAUGE, "gpu"),
    "gpu_memory_used_bytes": ("hw.gpu.memory.usage", "By", Instrument.UP_DOWN_COUNTER, "gpu"),
    "gpu_memory_total_bytes": ("hw.gpu.memory.limit", "By", Instrument.UP_DOWN_COUNTER, "gpu"),
    "gpu_temperature_celsius": ("hw.temperature", "Cel", Instrument.GAUGE, "temperature"),
    "gpu_ecc_errors_total": ("hw.errors", "{error}", Instrument.COUNTER, "gpu"),
    "model_time_to_first_token_seconds": (
        "gen_ai.server.time_to_first_token",
        "s",
        Instrument.HISTOGRAM,
        "",
    ),
    "model_request_duration_seconds": ("gen_ai.server.request.duration", "s", Instrument.HISTOGRAM, ""),
}
"""Metrics that a convention knows: its name, unit and instrument, and the kind of hardware."""
STATUS = Form("hw.status", "1", Instrument.UP_DOWN_COUNTER, ("", "hw.state"), "gpu")
"""Made of gpu_state, which is sent as well: the convention knows fewer states."""
OWN_NAMES = {
    "gpu_throttled_seconds_total": "rackwatt.gpu.throttled_time",  # `throttled` is a state
    "source_call_seconds_total": "rackwatt.source.call_time",  # `calls` are counted
}
"""Where the rule would give two metrics one name, or a misleading one."""
_SUFFIXES = {
    "_watts": "W",
    "_joules": "J",
    "_seconds": "s",
    "_bytes": "By",
    "_hertz": "Hz",
    "_celsius": "Cel",
    "_pascals": "Pa",
    "_ratio": "1",
}
_PER = {
    "_tokens_per_second": "{token}/s",
    "_tokens_per_joule": "{token}/J",
    "_joules_per_token": "J/{token}",
    "_bytes_per_second": "By/s",
    "_transfers_per_second": "{transfer}/s",
    "_liters_per_second": "L/s",
}
_COUNTED = {
    "tokens": "{token}",
    "requests": "{request}",
    "arrivals": "{request}",
    "preemptions": "{request}",
    "errors": "{error}",
    "failures": "{failure}",
    "restarts": "{restart}",
    "calls": "{call}",
    "pushes": "{push}",
    "points": "{point}",
    "processes": "{process}",
    "kills": "{process}",
    "dropped": "{packet}",
    "changes": "{change}",
    "lanes": "{lane}",
    "rows": "{row}",
    "nodes": "{node}",
    "gpus": "{gpu}",
    "incidents": "{incident}",
    "grams": "g",
}
"""Units of what is counted, by a word of the name."""
ATTRIBUTES = {
    "uuid": "hw.id",
    "product": "hw.model",
    "serial": "hw.serial_number",
    "driver": "hw.driver_version",
    "model": "gen_ai.request.model",
    "namespace": "k8s.namespace.name",
    "pod": "k8s.pod.name",
    "rack": "rackwatt.rack.name",  # `rackwatt.rack` and `rackwatt.node` say who sends
    "node": "rackwatt.rack.member",
}
"""Labels with another name than rackwatt.LABEL."""
TOKEN_TYPES = {"output": "output", "prompt": "input", "prompt_cached": "input_cached"}
"""gen_ai.token.type of our kinds; the last is ours, and a part of `input`."""
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105  (the name of an attribute)


@functools.cache
def form_of(metric: str) -> Form:
    """Return what a metric of the catalogue is in OTLP."""
    known = BY_NAME[metric]
    attributes = tuple(_attribute(known, label) for label in known.labels)
    if metric in CONVENTIONS:
        name, unit, instrument, component = CONVENTIONS[metric]
        return Form(name, unit, instrument, attributes, component)
    stem, unit = _stem_and_unit(metric.removesuffix("_total"))
    subject, _, rest = stem.partition("_")
    name = OWN_NAMES.get(metric) or f"rackwatt.{subject}" + (f".{rest}" if rest else "")
    return Form(name, unit, _INSTRUMENTS[known.type], attributes)


def _stem_and_unit(name: str) -> tuple[str, str]:
    for suffix, unit in _PER.items():
        if name.endswith(suffix):
            return name, unit
    for suffix, unit in _SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), unit
    words = name.split("_")
    return name, next((unit for word, unit in _COUNTED.items() if word in words), "")


def _attribute(metric: Metric, label: str) -> str:
    """Name the attribute of a label; empty for those that become several, or another by the metric."""
    if label == "gpu":
        return ""
    of_tokens = "token" in metric.name or metric.name == "rack_record_ratio"
    # Beside a cause it is the kind of an incident, and that of its tokens has a label of its own.
    if label == "token_kind" or (label == "kind" and of_tokens and "cause" not in metric.labels):
        return TOKEN_TYPE
    if metric.name in CONVENTIONS:
        special = {"sensor": "hw.sensor_location", "severity": "error.type"}
        if label in special:
            return special[label]
    return ATTRIBUTES.get(label, f"rackwatt.{label}")
