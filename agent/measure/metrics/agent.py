"""rackwatt itself: its sources, its exporters, its state and its settings."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C = MetricType.GAUGE, MetricType.COUNTER

METRICS: tuple[Metric, ...] = (
    Metric(
        "collector_success",
        _G,
        ("collector",),
        "1 while the last collection of every source of it succeeded.",
    ),
    Metric(
        "collector_duration_seconds", _G, ("collector",), "Longest of the last collections of its sources."
    ),
    Metric(
        "collector_last_success_timestamp_seconds",
        _G,
        ("collector",),
        "When the last collection succeeded; of the source for which that is longest ago.",
    ),
    Metric(
        "collector_failures_total", _C, ("collector", "reason"), "Failed collections since rackwatt started."
    ),
    Metric(
        "source_calls_total",
        _C,
        ("collector", "function"),
        "Calls into a source's library since rackwatt started.",
    ),
    Metric(
        "source_call_seconds_total",
        _C,
        ("collector", "function"),
        "Time spent in a source's library since rackwatt started.",
    ),
    Metric(
        "exporter_pushes_total",
        _C,
        ("exporter", "outcome"),
        "Attempts to send a batch, of exporters that push, since rackwatt started: delivered, or why not. "
        "What was not delivered waits and is sent again.",
    ),
    Metric(
        "exporter_lost_points_total",
        _C,
        ("exporter", "reason"),
        "Points that will never be delivered, since rackwatt started: overflow (the receiver was away for "
        "longer than the buffer holds), refused by it, or stopped (rackwatt ended first).",
    ),
    Metric(
        "exporter_waiting_bytes", _G, ("exporter",), "Size of what waits to be sent; bounded by `buffer`."
    ),
    Metric(
        "exporter_last_success_timestamp_seconds",
        _G,
        ("exporter",),
        "When a batch was last delivered.",
    ),
    Metric(
        "state_writable", _G, (), "1 while totals can be kept on disk; 0 means that a restart loses them."
    ),
    Metric("state_saved_timestamp_seconds", _G, (), "When totals were last kept on disk."),
    Metric(
        "recordings_lost_total",
        _C,
        (),
        "Recordings of incidents, or parts of them, that could not be kept on disk (full, not writable, too "
        "slow), since rackwatt started. Absent where none is to be kept.",
    ),
    Metric("config_reload_success", _G, (), "1 unless the last reload of the configuration was refused."),
    Metric(
        "web_config_reload_success",
        _G,
        (),
        "1 unless web.config_file, or a certificate that it names, has changed and was refused; the old one "
        "stays. Absent without web.config_file.",
    ),
)
