"""The node: what it is, what it makes, and its power at each boundary."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C = MetricType.GAUGE, MetricType.COUNTER

METRICS: tuple[Metric, ...] = (
    Metric("build_info", _G, ("version", "revision"), "1; the running version of rackwatt."),
    Metric(
        "node_info",
        _G,
        ("node", "rack", "chassis", "tray", "domain"),
        "1; which node this is, its rack, and where NVML says that it stands.",
    ),
    Metric(
        "node_state",
        _G,
        ("state",),
        "1 for what the node is doing: serving, idle, asleep or unknown (a failed read is never idle).",
    ),
    Metric("node_drained", _G, (), "1 while this node is taken out on purpose (/api/v1/drain)."),
    Metric(
        "node_gpus_expected",
        _G,
        (),
        "GPUs that should be in this node: as many as were ever seen, and at least what node.gpus says.",
    ),
    Metric("node_gpus_reporting", _G, (), "GPUs of this node that answer."),
    Metric(
        "node_tokens_per_second",
        _G,
        ("kind",),
        "Live rate over the window, summed over the engines that report. Kinds are never added.",
    ),
    Metric(
        "node_tokens_per_joule",
        _G,
        ("kind", "boundary"),
        "Tokens per joule over the window (the same number as tokens/s per watt): ratio of sums over "
        "common edges. Absent unless every known GPU and engine is valid.",
    ),
    Metric(
        "power_watts",
        _G,
        ("boundary", "source"),
        "Power now at one boundary, summed over what reports. Boundaries contain each other: never add them.",
    ),
    Metric(
        "energy_joules_total",
        _C,
        ("boundary", "source"),
        "Energy at one boundary since it was first seen; survives restarts.",
    ),
    Metric(
        "power_crosscheck_watts",
        _G,
        ("boundary", "source"),
        "Power at a boundary by a meter that is not its source: to compare with power_watts, never to add.",
    ),
    Metric(
        "power_remainder_watts",
        _G,
        ("boundary", "inner"),
        "What a boundary draws beside the next one inside it that is measured, over figure_window_seconds of "
        "node_power_remainder_<boundary>. Less than 0: one of the two meters is wrong.",
    ),
    Metric(
        "meter_up",
        _G,
        ("source", "part", "unit"),
        "1 while a power meter beside the GPUs answers; 0 names the one that does not. The unit of one that "
        "is read for a member of the rack begins with the name of its node.",
    ),
    Metric(
        "site_pue_ratio", _G, (), "Energy of the facility over that of its IT equipment, as it was stated."
    ),
    Metric("site_pue_info", _G, ("source", "date"), "1; who stated the PUE, and of when it is."),
    Metric(
        "part_power_watts",
        _G,
        ("part", "unit", "source"),
        "Power of a part of the node (grace, cpu, sysio, dram, package, …). Parts contain each other: never "
        "add them.",
    ),
    Metric(
        "part_energy_joules_total",
        _C,
        ("part", "unit", "source"),
        "Energy of a part of the node while rackwatt ran: by its counter, else integrated from its power.",
    ),
)
