"""Air, coolant, fans and leaks."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G = MetricType.GAUGE

METRICS: tuple[Metric, ...] = (
    Metric(
        "environment_temperature_celsius",
        _G,
        ("target", "place", "sensor"),
        "Temperature of the air (intake, exhaust, ambient) or of the coolant (coolant_supply, "
        "coolant_return), as the management controller `target` tells it.",
    ),
    Metric(
        "coolant_flow_liters_per_second",
        _G,
        ("target", "sensor"),
        "Coolant that flows through a connector of a chassis or of a cooling unit.",
    ),
    Metric(
        "coolant_pressure_pascals",
        _G,
        ("target", "place", "sensor"),
        "Pressure of the coolant at a connector: supply, return, and the delta between them.",
    ),
    Metric(
        "coolant_heat_watts",
        _G,
        ("target", "sensor"),
        "Heat that the coolant carries away through a connector.",
    ),
    Metric("fan_speed_ratio", _G, ("target", "sensor"), "Speed of a fan, as a share of its full speed."),
    Metric(
        "leak_detector_state",
        _G,
        ("target", "sensor", "state"),
        "1 for what a leak detector says: ok, warning, critical; unknown while it is there and says nothing.",
    ),
)
