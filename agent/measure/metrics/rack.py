"""The rack: sums over its members, what it costs, and how much of it is covered."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C = MetricType.GAUGE, MetricType.COUNTER
_DEPLOYMENT = ("deployment", "model")

METRICS: tuple[Metric, ...] = (
    Metric(
        "rack_tokens_per_second",
        _G,
        ("rack", "kind"),
        "Live rate over the window, summed over the members' engines that are covered: never scaled up, so "
        "read rack_coverage_ratio beside it. Rack series come only from a daemon that has members.",
    ),
    Metric(
        "rack_tokens_total",
        _C,
        ("rack", "kind"),
        "Sum of the members' own totals, also of members that are away or were removed; survives restarts.",
    ),
    Metric(
        "rack_backfilled_tokens_total",
        _C,
        ("rack", "kind"),
        "Part of rack_tokens_total that members had made while they, or this daemon, were away: no rate "
        "shows it.",
    ),
    Metric(
        "rack_member_tokens_total",
        _C,
        ("rack", "node", "kind"),
        "What one member has added to the rack's total.",
    ),
    Metric("rack_member_tokens_per_second", _G, ("rack", "node", "kind"), "Live rate of one member."),
    Metric(
        "rack_member_rate_to_median_ratio",
        _G,
        ("rack", "node"),
        "Output rate of one member over the median member of the rack.",
    ),
    Metric("rack_member_up", _G, ("rack", "node"), "1 while a member answers with its totals."),
    Metric(
        "rack_power_watts",
        _G,
        ("rack", "boundary", "source"),
        "Power now at one boundary, summed over the members in duty that report. Never add boundaries.",
    ),
    Metric(
        "rack_energy_joules_total",
        _C,
        ("rack", "boundary", "source"),
        "Sum of the members' energy at one boundary, also of members that are away or were removed.",
    ),
    Metric(
        "rack_power_remainder_watts",
        _G,
        ("rack", "boundary", "inner"),
        "What a boundary draws beside the next one inside it, over figure_window_seconds of "
        "rack_power_remainder_<boundary>: of members that tell both, or of the whole rack. Less than 0: a "
        "meter is wrong.",
    ),
    Metric(
        "rack_power_coverage_ratio",
        _G,
        ("rack", "boundary"),
        "Share of the expected nodes whose energy at a boundary is known over the window.",
    ),
    Metric(
        "rack_power_crosscheck_watts",
        _G,
        ("rack", "boundary", "source"),
        "Power at a boundary by what is not its source, such as all nodes together (`nodes`) beside the "
        "rack's meter.",
    ),
    Metric(
        "rack_cost_total",
        _C,
        ("rack", "component", "boundary", "currency"),
        "What the rack has cost while its daemon saw it: energy, measured at a boundary, times PUE and the "
        "price of its moment; capacity, by the hours of the GPUs that should be there. Never add boundaries.",
    ),
    Metric(
        "rack_co2e_grams_total",
        _C,
        ("rack", "boundary"),
        "Grams of CO2 equivalent of the rack's energy, measured at a boundary, times PUE and what "
        "electricity emitted at its moment.",
    ),
    Metric(
        "rack_unbooked_joules_total",
        _C,
        ("rack", "total", "boundary"),
        "Energy that is not in rack_cost_total (total `cost`) or rack_co2e_grams_total (`co2e`), because "
        "nobody knew what it cost or emitted at its moment: a feed that is stale, a price that is gone.",
    ),
    Metric(
        "rack_cost_per_million_tokens",
        _G,
        ("rack", "kind", "component", "boundary", "currency"),
        "What a million tokens cost now: energy from rack_tokens_per_joule, capacity from the rate per "
        "expected GPU; absent at zero tokens.",
    ),
    Metric(
        "rack_co2e_grams_per_million_tokens",
        _G,
        ("rack", "kind", "boundary"),
        "Grams of CO2 equivalent that a million tokens emit now, from rack_tokens_per_joule.",
    ),
    Metric(
        "site_price_per_kwh", _G, ("currency",), "What a kilowatt hour costs at this moment, by the tariff."
    ),
    Metric(
        "site_co2e_grams_per_kwh",
        _G,
        (),
        "Grams of CO2 equivalent that a kilowatt hour emits now, as stated or as a feed tells it.",
    ),
    Metric(
        "rack_tokens_per_joule",
        _G,
        ("rack", "kind", "boundary"),
        "Tokens per joule over the window: ratio of sums over the members that are valid on both sides. "
        "Absent below 95 % of the members.",
    ),
    Metric(
        "rack_joules_per_token",
        _G,
        ("rack", "kind", "boundary"),
        "The same the other way round; absent at zero tokens.",
    ),
    Metric(
        "rack_coverage_ratio",
        _G,
        ("rack",),
        "Valid member-seconds over expected member-seconds of rack_tokens_per_second's window.",
    ),
    Metric(
        "rack_deployment_tokens_per_second",
        _G,
        ("rack", *_DEPLOYMENT, "kind"),
        "Live rate of one deployment over the members that are covered.",
    ),
    Metric(
        "rack_deployment_tokens_per_joule",
        _G,
        ("rack", *_DEPLOYMENT, "kind", "boundary"),
        "Tokens per joule of one deployment: ratio of sums over its GPUs on all members. Absent below 95 % "
        "of the members that serve it.",
    ),
    Metric("rack_nodes_expected", _G, ("rack",), "Nodes that should report; drained ones are not expected."),
    Metric("rack_nodes_reporting", _G, ("rack",), "Nodes in duty that answered the last poll."),
    Metric("rack_nodes_drained", _G, ("rack",), "Nodes taken out on purpose."),
    Metric("rack_gpus_expected", _G, ("rack",), "GPUs that should report."),
    Metric("rack_gpus_reporting", _G, ("rack",), "GPUs of nodes in duty that answer their driver."),
    Metric(
        "rack_record_ratio",
        _G,
        ("rack", "kind", "record"),
        "The rack's rate compared with a published record, for orientation: conditions differ, and a live "
        "figure is not a benchmark result. Absent unless the record's model alone is served.",
    ),
)
