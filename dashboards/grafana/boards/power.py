"""Where the watts go, and what a token costs in joules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks, shared
from dashboards.grafana.boards.board import Board, Row, to_board
from dashboards.grafana.boards.panels import Course, Face, bars, figure, series
from dashboards.grafana.boards.queries import Query, in_rack, of_rack
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat

AT = 'boundary="$boundary"'
KWH = 3_600_000
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
        about="Where a rack's watts go, boundary by boundary, and what a token costs in joules.",
        variables=[shared.rack(), shared.boundary()],
        annotations=shared.marks(),
        rows=[_answers(), _ladder(), _efficiency(), _use(), _nodes()],
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
    module = of_rack("rackwatt_rack_power_watts", 'boundary="module"')
    gpu = of_rack("rackwatt_rack_power_watts", 'boundary="gpu"')
    ladder = bars(
        "Boundary ladder, now",
        "Power at each boundary that is measured: gpu < module < node < rack < facility. They contain "
        "each other and are never added; an absent one has no meter.",
        Query(by_boundary, "{{boundary}}"),
        face=Face(looks.WATTS, 1, colour=looks.fixed(looks.POWER["gpu"])),
    )
    course = series(
        "Power, by boundary",
        "Dashed: what the modules draw beside their GPUs (Grace CPUs, regulators), the remainder of the "
        "first step.",
        Query(by_boundary, "{{boundary}}"),
        Query(f"{module} - {gpu}", "module beside gpu"),
        face=Face(looks.WATTS, low=0),
        course=Course(
            colours={**looks.POWER, "module beside gpu": looks.QUIET}, dashed=["module beside gpu"], fill=0
        ),
    )
    return Row(8, [(8, ladder), (16, course)], "Where the watts go")


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
