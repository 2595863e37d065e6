"""Where the watts go, and what a token costs in joules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks, shared
from dashboards.grafana.boards.board import Board, Row, to_board
from dashboards.grafana.boards.panels import Course, Face, bars, figure, series
from dashboards.grafana.boards.queries import Query, in_rack, of_rack
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, timeseries

AT = 'boundary="$boundary"'
KWH = 3_600_000
CO2E = "si:gCO2e"
VERDICTS = {
    "agrees": looks.GOOD,
    "mismatch": looks.BAD,
    "unverified": looks.WARN,
    "unknown": looks.QUIET,
}


def board() -> Board:
    """Return the board."""
    return Board(
        uid="rackwatt-power",
        title="rackwatt: power and efficiency",
        about="Where a rack's watts go, by boundary, and what a token costs in joules, money and CO2e.",
        variables=[shared.rack(), shared.boundary()],
        annotations=shared.marks(),
        rows=[_answers(), _ladder(), _costs(), _efficiency(), _use(), _nodes()],
    )


def _over_range(name: str, *labels: str) -> str:
    """Return by how much a counter of the rack grew in the time shown; two daemons that reckon it are one."""
    chosen = ", ".join(('rack="$rack"', *labels))
    return f"max by (rack) (increase({name}{{{chosen}}}[$__range]))"


def _answers() -> Row:
    return Row(4, [(4, panel) for panel in (*_now(), *_shown())])


def _now() -> list[stat.Panel]:
    return [
        figure(
            "Power",
            "Now, at the chosen boundary.",
            Query(of_rack("rackwatt_rack_power_watts", AT), "power"),
            face=Face(looks.WATTS, 1, colour=looks.fixed(looks.POWER["gpu"]), none="no meter"),
        ),
        figure(
            "Tokens per joule",
            "Output tokens, now: the same number as tokens/s per watt. Withheld below 95 % coverage.",
            Query(of_rack("rackwatt_rack_tokens_per_joule", 'kind="output"', AT), "tokens per joule"),
            face=Face(looks.TOKENS_PER_JOULE, 2, colour=looks.fixed(looks.EFFICIENCY), none="withheld"),
        ),
        figure(
            "Joules per token",
            "Of an output token, now: the same the other way round.",
            Query(of_rack("rackwatt_rack_joules_per_token", 'kind="output"', AT), "joules per token"),
            face=Face(looks.JOULES_PER_TOKEN, 4, colour=looks.fixed(looks.EFFICIENCY), none="withheld"),
        ),
    ]


def _shown() -> list[stat.Panel]:
    joules = _over_range("rackwatt_rack_energy_joules_total", AT)
    tokens = _over_range("rackwatt_rack_tokens_total", 'kind="output"')
    return [
        figure(
            "Energy, time shown",
            "Growth of the rack's energy counter at the chosen boundary over the time shown.",
            Query(f"{joules} / {KWH}", "energy"),
            face=Face(looks.KILOWATT_HOURS, 2, colour=looks.fixed(looks.POWER["gpu"]), none="no meter"),
        ),
        figure(
            "Output tokens, time shown",
            "Growth of the rack's token counter over the time shown: what members made while they were away "
            "is in it.",
            Query(tokens, "tokens"),
            face=Face("short", 2, colour=looks.fixed(looks.TOKENS["output"]), none="none"),
        ),
        figure(
            "Tokens per joule, time shown",
            "Ratio of the two growths. Unlike the live figure it is not withheld while members are "
            "missing: read Coverage on the rack's board.",
            Query(f"{tokens} / {joules}", "tokens per joule"),
            face=Face(looks.TOKENS_PER_JOULE, 2, colour=looks.fixed(looks.EFFICIENCY), none="unknown"),
        ),
    ]


def _ladder() -> Row:
    by_boundary = of_rack("rackwatt_rack_power_watts", by="boundary")
    rest = of_rack("rackwatt_rack_power_remainder_watts", by="boundary, inner")
    ladder = bars(
        "Boundary ladder, now",
        "Power at each boundary that is measured: gpu < module < node < rack < facility. They contain "
        "each other and are never added; an absent one has no meter.",
        *(Query(of_rack("rackwatt_rack_power_watts", f'boundary="{at}"'), at) for at in looks.POWER),
        face=Face(looks.WATTS, 1, colour=looks.fixed(looks.POWER["gpu"])),
    )
    course = series(
        "Power, by boundary",
        "Dashed: what a boundary draws beside the next one inside it, over one window and the same members: "
        "Grace CPUs and regulators, fans and boards, switches and losses. Below 0: one of the two meters is "
        "wrong.",
        Query(by_boundary, "{{boundary}}"),
        Query(rest, "{{boundary}} beside {{inner}}"),
        face=Face(looks.WATTS),
        course=Course(
            colours={**looks.POWER, **{f"{name} beside .*": colour for name, colour in looks.POWER.items()}},
            dashed=[".* beside .*"],
            fill=0,
        ),
    )
    return Row(8, [(6, ladder), (10, course), (8, _meters())], "Where the watts go")


def _meters() -> timeseries.Panel:
    checks = in_rack("rackwatt_power_crosscheck_watts")
    return series(
        "Meters against each other",
        "Dashed: the same boundary by another meter, and all nodes together beside the rack's own. They "
        "should lie on the boundary's line, or below the rack's; 5 % apart for two minutes are "
        "`meters_disagree`.",
        Query(
            of_rack("rackwatt_rack_power_watts", 'boundary!~"gpu|facility"', by="boundary"), "{{boundary}}"
        ),
        Query(
            of_rack("rackwatt_rack_power_crosscheck_watts", by="boundary, source"),
            "{{boundary}} by {{source}}",
        ),
        Query(f"sum by (boundary, source) ({checks})", "{{boundary}} by {{source}}"),
        face=Face(looks.WATTS, low=0, none="No boundary but the GPUs' is metered here"),
        course=Course(
            colours={**looks.POWER, **{f"{name} by .*": looks.QUIET for name in looks.POWER}},
            dashed=[".* by .*"],
            fill=0,
        ),
    )


NO_PRICE = (
    "No price is stated (site.price_per_kwh), or the boundary is facility: its joules have the PUE in them"
)
NO_GRAMS = (
    "Emissions are not stated (site.grams_co2e_per_kwh), their feed is stale, or the boundary is facility"
)
COSTS = {"energy.*": looks.POWER["gpu"], "capacity.*": looks.QUIET}


def _costs() -> Row:
    return Row(8, [(6, panel) for panel in (*_money(), _emitted(), _inputs())], "What it costs and emits")


def _money() -> list[timeseries.Panel]:
    chosen = 'boundary=~"$boundary|"'
    per_million = of_rack(
        "rackwatt_rack_cost_per_million_tokens", 'kind="output"', chosen, by="component, currency"
    )
    money = f'rate(rackwatt_rack_cost_total{{rack="$rack", {chosen}}}[$__rate_interval])'
    unbooked = f'rate(rackwatt_rack_unbooked_joules_total{{rack="$rack", {AT}}}[$__rate_interval])'
    return [
        series(
            "Cost of a million output tokens",
            "Left, energy: joules per token at the chosen boundary, times PUE and the tariff of the moment. "
            "Right, capacity: hours of the GPUs that should be there, made or not. Absent at zero tokens.",
            Query(per_million, "{{component}}, {{currency}}"),
            face=Face(low=0, none=NO_PRICE),
            course=Course(colours=COSTS, fill=0, right={"capacity.*": looks.COUNT}),
        ),
        series(
            "Money an hour",
            "What the rack's cost totals grow by. Energy at one boundary and capacity may be added, "
            "boundaries never. Right: power that is in no total, since nobody knew its price (cost) or what "
            "it emitted (co2e) at its moment.",
            Query(f"3600 * max by (component, currency) ({money})", "{{component}}, {{currency}}"),
            Query(f"max by (total, boundary) ({unbooked})", "in no {{total}}"),
            face=Face(decimals=2, low=0, none=NO_PRICE),
            course=Course(
                colours={**COSTS, "in no.*": looks.BAD},
                stacked=True,
                fill=30,
                right={"in no.*": looks.WATTS},
                dashed=["in no.*"],
            ),
        ),
    ]


def _emitted() -> timeseries.Panel:
    grams = f'rate(rackwatt_rack_co2e_grams_total{{rack="$rack", {AT}}}[$__rate_interval])'
    per_million = of_rack("rackwatt_rack_co2e_grams_per_million_tokens", 'kind="output"', AT)
    return series(
        "CO2e an hour, and of a million output tokens",
        "Left: what the rack's totals grow by. Right: of a million output tokens. Both at the chosen "
        "boundary, times PUE and what electricity emits at that moment.",
        Query(f"3600 * max by (boundary) ({grams})", "an hour, at {{boundary}}"),
        Query(per_million, "a million output tokens"),
        face=Face(CO2E, low=0, none=NO_GRAMS),
        course=Course(
            colours={"an hour.*": looks.QUIET, "a million.*": looks.EFFICIENCY},
            right={"a million.*": CO2E},
            fill=0,
        ),
    )


def _inputs() -> timeseries.Panel:
    here = 'and on (job, instance) rackwatt_rack_nodes_expected{rack="$rack"}'
    return series(
        "What electricity costs and emits",
        "Left: the tariff of the moment for a kilowatt hour. Right: grams of CO2e, as stated or as a feed "
        "tells it; a gap is a stale feed.",
        Query(f"max by (currency) (rackwatt_site_price_per_kwh {here})", "{{currency}} a kWh"),
        Query(f"max(rackwatt_site_co2e_grams_per_kwh {here})", "CO2e a kWh"),
        face=Face(low=0, none="Neither price nor emissions are stated (site)"),
        course=Course(
            colours={".* a kWh": looks.POWER["gpu"], "CO2e.*": looks.QUIET},
            right={"CO2e.*": CO2E},
            dashed=["CO2e.*"],
            fill=0,
        ),
    )


def _efficiency() -> Row:
    at = f'rack="$rack", kind="output", {AT}'
    panels = [
        series(
            "Tokens per joule of the rack, by boundary",
            "Live. The wider the boundary, the lower. Gaps: withheld (Figures on the rack's board tells "
            "why).",
            Query(
                of_rack("rackwatt_rack_tokens_per_joule", 'kind="output"', by="boundary"), "at {{boundary}}"
            ),
            face=Face(looks.TOKENS_PER_JOULE, 2, low=0, none="Withheld all the time shown"),
            course=Course(colours=looks.at_boundary(), fill=0),
        ),
        series(
            "Tokens per joule, by model",
            "Over five minutes, of GPUs that worked for one model and nothing else. Not to be compared "
            "between models: sizes, precisions and request shapes differ.",
            Query(f"model:rackwatt_tokens_per_joule:ratio5m{{{at}}}", "{{model}}"),
            face=Face(
                looks.TOKENS_PER_JOULE,
                2,
                low=0,
                colour=looks.shades(looks.EFFICIENCY),
                none="Withheld: GPUs are shared, or not all are known",
            ),
            course=Course(fill=0),
        ),
        series(
            "Tokens per joule, by node",
            "Over five minutes. Nodes of one model under equal work lie together; one that falls out is "
            "slow or hot.",
            Query(f"node:rackwatt_tokens_per_joule:ratio5m{{{at}}}", "{{node}}"),
            face=Face(
                looks.TOKENS_PER_JOULE, 2, low=0, colour=looks.shades(looks.EFFICIENCY), none="Withheld"
            ),
            course=Course(fill=0, legend="hidden"),
        ),
    ]
    return Row(8, [(8, panel) for panel in panels], "What a joule makes")


def _use() -> Row:
    spent = in_rack(f"rate(rackwatt_deployment_energy_joules_total{{{AT}}}[$__rate_interval])")
    power, limit = in_rack("rackwatt_gpu_power_watts"), in_rack("rackwatt_gpu_power_limit_watts")
    verdicts = in_rack("rackwatt_gpu_energy_crosscheck")
    panels = [
        series(
            "Watts by what the deployments did",
            "Mean power of the GPUs that belong to one deployment, by what it did meanwhile: serving, "
            "idle (asleep included) or unknown. Watts of shared and free GPUs are nobody's, and not here.",
            Query(f"sum by (state) ({spent})", "{{state}}"),
            face=Face(looks.WATTS, low=0, none="No GPU belongs to one deployment alone"),
            course=Course(
                colours={"serving": looks.TOKENS["output"], "idle": looks.QUIET, "unknown": looks.WARN},
                stacked=True,
                fill=30,
            ),
        ),
        series(
            "GPU power and enforced limits",
            "Sum of both over the GPUs that report. Where they meet, the rack is capped.",
            Query(f"sum({power})", "power"),
            Query(f"sum({limit})", "limit"),
            face=Face(looks.WATTS, low=0),
            course=Course(colours={"power": looks.POWER["gpu"], "limit": looks.QUIET}, dashed=["limit"]),
        ),
        series(
            "GPUs, by energy cross-check",
            "What minutes of energy counter against integrated power say of each GPU. mismatch: do not "
            "trust either, and tokens per joule are withheld. unknown: no full minute above idle yet.",
            Query(f"sum by (verdict) ({verdicts})", "{{verdict}}"),
            face=Face(decimals=0, low=0),
            course=Course(colours=VERDICTS, fill=0),
        ),
    ]
    return Row(8, [(8, panel) for panel in panels], "How they are used")


def _nodes() -> Row:
    joules = in_rack(f"increase(rackwatt_energy_joules_total{{{AT}}}[$__range])")
    made = (
        'max by (node) (increase(rackwatt_rack_member_tokens_total{rack="$rack", kind="output"}[$__range]))'
    )
    spent = f"max by (node) ({joules})"
    table = rows(
        "Nodes, time shown",
        "Energy at the chosen boundary and output tokens of each node over the time shown, and their "
        "ratio; the least efficient first.",
        Query(f"{spent} / {KWH}"),
        Query(made),
        Query(f"{made} / {spent}"),
        Query(f"{spent} / ({made} > 0)"),
        columns=[
            Column(
                "node",
                "Node",
                link=("Node", to_board(shared.NODE_BOARD, rack="${rack}", node="${__value.raw}")),
            ),
            Column("A", "Energy", looks.KILOWATT_HOURS, 2),
            Column("B", "Output tokens", "short", 2),
            Column("C", "Tokens per joule", looks.TOKENS_PER_JOULE, 2),
            Column("D", "Joules per token", looks.JOULES_PER_TOKEN, 4),
        ],
        sort=[("Tokens per joule", False)],
        none="No node reports",
    )
    return Row(10, [(24, table)])
