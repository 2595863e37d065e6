"""What every figure says of itself: whether it is valid, why not, and over which window."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G = MetricType.GAUGE

METRICS: tuple[Metric, ...] = (
    Metric("figure_valid", _G, ("figure",), "1 while nothing speaks against a figure."),
    Metric("figure_invalid_reason", _G, ("figure", "reason"), "1 while this reason makes a figure invalid."),
    Metric(
        "figure_flag",
        _G,
        ("figure", "flag"),
        "1 while this is to be known about a figure; it does not make it invalid.",
    ),
    Metric("figure_window_seconds", _G, ("figure",), "Interval that a live figure speaks of."),
    Metric(
        "figure_uncertainty_ratio",
        _G,
        ("figure",),
        "How wrong a live figure may be, as a share of it, because engines take time to answer.",
    ),
)
