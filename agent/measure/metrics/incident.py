"""What is wrong, and what it cost."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C = MetricType.GAUGE, MetricType.COUNTER

METRICS: tuple[Metric, ...] = (
    Metric(
        "incident_active",
        _G,
        ("scope", "kind", "cause", "severity", "node", "gpu"),
        "Incidents that stand. A node shows its own (scope node); page on scope rack where one is watched.",
    ),
    Metric(
        "incidents_total",
        _C,
        ("scope", "kind", "cause"),
        "Incidents since rackwatt started; one that turns out to have another cause is counted there, too.",
    ),
    Metric(
        "incident_lost_tokens_total",
        _C,
        ("scope", "kind", "cause", "token_kind"),
        "Tokens that were asked for, and would usually have been made, but were not (output tokens alone are "
        "reckoned). What is corrected downwards is taken from what is lost next.",
    ),
)
