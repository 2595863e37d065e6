"""The first page: is the rack delivering, how efficiently, what is wrong, since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks, shared
from dashboards.grafana.boards.board import Board, Row, address, choice, to_board
from dashboards.grafana.boards.panels import Course, Face, figure, series, states
from dashboards.grafana.boards.queries import Query, in_rack, of_rack
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.builders import stat, statetimeline, timeseries

ON_PAGE = 'on (job, instance) group_left (node) rackwatt_node_info{rack="$rack"}'
RATE = Query(of_rack("rackwatt_rack_tokens_per_second", 'kind="output"'), "output")
POWER = Query(of_rack("rackwatt_rack_power_watts", 'boundary="$boundary"'), "power")
RATIO = Query(of_rack("rackwatt_rack_tokens_per_joule", 'kind="output"', 'boundary="$boundary"'), "tokens/J")
FIGURES = "rack_tokens_per_second|rack_tokens_per_joule_$boundary"


def board() -> Board:
    """Return the board."""
    return Board(
        uid=shared.RACK_BOARD,
        title="rackwatt: rack",
        about="Is the rack delivering, how efficiently, what is wrong, and since when.",
        variables=[
            shared.rack(),
            shared.boundary(),
            choice(
                "page",
                "Live page",
                'label_values(rackwatt_rack_nodes_expected{rack="$rack"}, instance)',
                hidden=True,
            ),
        ],
        annotations=shared.marks(),
        links=[address("Live page", "http://${page}/", "The rack's own page, one second old")],
        rows=[_answers(), _delivery(), *_why(), *_members(), _record()],
    )


def _answers() -> Row:
    return Row(4, [(3, panel) for panel in (*_made(), *_believed())])


def _made() -> list[stat.Panel]:
    return [
        figure(
            "Output tokens/s",
            "Live rate of the whole rack over the agent's window (10 s), summed over the members that are "
            "covered: never scaled up, so read Coverage beside it.",
            RATE,
            face=Face(looks.TOKENS_PER_SECOND, colour=looks.fixed(looks.TOKENS["output"]), none="unknown"),
        ),
        figure(
            "Power",
            "Power now at the chosen boundary, summed over the members that report. Boundaries contain each "
            "other and are never added.",
            POWER,
            face=Face(looks.WATTS, 1, colour=looks.fixed(looks.POWER["gpu"]), none="unknown"),
        ),
        figure(
            "Tokens per joule",
            "Sum of tokens over sum of joules of the same members and interval: the same number as tokens/s "
            "per watt. Withheld, with the reason under Figures, while it would mislead.",
            RATIO,
            face=Face(looks.TOKENS_PER_JOULE, 2, colour=looks.fixed(looks.EFFICIENCY), none="withheld"),
        ),
    ]


def _believed() -> list[stat.Panel]:
    return [
        figure(
            "Coverage",
            "Share of the rack's member-seconds that the rate speaks of. Red below 95 %: there a falling "
            "rate may be a missing node, and tokens per joule are withheld.",
            Query(of_rack("rackwatt_rack_coverage_ratio"), "coverage"),
            face=Face(looks.RATIO, 1, steps=shared.COVERED, none="unknown"),
        ),
        shared.validity(
            "Figures",
            "Whether rate and tokens per joule can be believed, else why not; docs/metrics.md tells what "
            "each reason means and what to do.",
            FIGURES,
            f"* {ON_PAGE}",
        ),
        figure(
            "Nodes",
            "Nodes in duty that answered the last poll, and those that should. Drained ones are not "
            "expected.",
            Query(of_rack("rackwatt_rack_nodes_reporting"), "reporting"),
            Query(of_rack("rackwatt_rack_nodes_expected"), "expected"),
            face=Face(colour=looks.fixed(looks.QUIET), none="unknown"),
            says="value_and_name",
        ),
        figure(
            "GPUs",
            "GPUs of nodes in duty that answer their driver, and those that should.",
            Query(of_rack("rackwatt_rack_gpus_reporting"), "reporting"),
            Query(of_rack("rackwatt_rack_gpus_expected"), "expected"),
            face=Face(colour=looks.fixed(looks.QUIET), none="unknown"),
            says="value_and_name",
        ),
        shared.alerts_firing(
            "Critical ones and warnings that fire for this rack, its nodes, GPUs and engines; they are "
            "listed below.",
            ', rack=~"$rack|"',
        ),
    ]


def _delivery() -> Row:
    tokens = Query(of_rack("rackwatt_rack_tokens_per_second", 'kind="output"'), "output tokens/s")
    power = Query(
        of_rack("rackwatt_rack_power_watts", 'boundary="$boundary"', by="boundary"), "power at {{boundary}}"
    )
    lost = Query(
        'sum(rack:rackwatt_incident_lost_tokens:rate5m{rack="$rack"})', "lost to incidents, over 5 min"
    )
    return Row(
        9,
        [
            (
                14,
                series(
                    "Tokens per second and power",
                    "Left: live output rate, and what incidents cost of it. Right: power. A rate that falls "
                    "with its power fell for want of work or of members; one that falls alone is held back.",
                    tokens,
                    power,
                    lost,
                    face=Face(looks.TOKENS_PER_SECOND, low=0),
                    course=Course(
                        colours={
                            "output tokens/s": looks.TOKENS["output"],
                            "power at .*": looks.POWER["gpu"],
                            "lost to incidents.*": looks.WARN,
                        },
                        dashed=["lost to incidents.*"],
                        right={"power at .*": looks.WATTS},
                    ),
                ),
            ),
            (10, shared.firing('rack=~"$rack|"')),
        ],
    )


def _why() -> list[Row]:
    return [
        Row(6, [(24, _incidents())], "Why"),
        Row(8, [(8, _demand()), (8, _ratio()), (8, _held_back())]),
        Row(7, [(8, panel) for panel in _believed_when()]),
    ]


def _incidents() -> statetimeline.Panel:
    return shared.incidents(
        'rack="$rack"',
        'rackwatt_rack_nodes_expected{rack="$rack"}',
        "What the daemons of the rack found themselves, by node, kind and cause.",
    )


def _demand() -> timeseries.Panel:
    return series(
        "Demand: requests in the engines",
        "Running and waiting over all models. Fewer running and none waiting: clients ask for less, "
        "nothing is wrong. Waiting grows: the rack cannot keep up.",
        Query('sum(model:rackwatt_requests:running{rack="$rack"})', "running"),
        Query('sum(model:rackwatt_requests:waiting{rack="$rack"})', "waiting"),
        face=Face(low=0),
        course=Course(colours=looks.REQUESTS),
    )


def _ratio() -> timeseries.Panel:
    ratio = of_rack("rackwatt_rack_tokens_per_joule", 'kind="output"', by="boundary")
    return series(
        "Output tokens per joule",
        "By boundary; the wider the boundary, the lower. A gap is an interval in which it was withheld: "
        "Figures tells why.",
        Query(ratio, "at {{boundary}}"),
        face=Face(looks.TOKENS_PER_JOULE, 2, low=0),
        course=Course(colours=looks.at_boundary(), fill=0),
    )


def _held_back() -> timeseries.Panel:
    unwell = in_rack('rackwatt_gpu_state{state!="ok"}')
    return series(
        "GPUs held back, by reason",
        "GPUs whose clocks a limit or slowdown holds down now, and GPUs that are not well. "
        "sw_power_cap at full load is ordinary on power-capped racks; thermal and brake reasons are "
        "not.",
        Query(f"sum by (reason) ({in_rack('rackwatt_gpu_throttled')})", "{{reason}}"),
        Query(f"sum({unwell})", "not ok"),
        face=Face(decimals=0, low=0),
        course=Course(
            colours={
                "not ok": looks.BAD,
                "hw_.*|sw_thermal.*": looks.WARN,
                "sw_power_cap|sync_boost": looks.QUIET,
            },
            fill=0,
            soft=4,
        ),
    )


def _believed_when() -> list[timeseries.Panel | statetimeline.Panel]:
    heat = in_rack('rackwatt_gpu_temperature_celsius{sensor="gpu"}')
    return [
        series(
            "Coverage",
            "Share of the expected member-seconds that are valid. Below the line at 95 % ratios are "
            "withheld.",
            Query(of_rack("rackwatt_rack_coverage_ratio"), "coverage"),
            face=Face(looks.RATIO, low=0, high=1, steps=shared.COVERED, colour=looks.by_threshold()),
            course=Course(by_value=True, limits=True, fill=0, legend="hidden"),
        ),
        states(
            "When figures were valid",
            "By figure of the rack's daemon. Red: something spoke against it.",
            Query(f'min by (figure) (rackwatt_figure_valid{{figure=~"rack_.+"}} * {ON_PAGE})', "{{figure}}"),
            face=Face(words=looks.words(is_1=("valid", looks.GOOD), is_0=("invalid", looks.BAD))),
        ),
        series(
            "Hottest GPU of each node",
            "Highest GPU temperature of each node: one that leaves the others has a cooling fault, all "
            "together are warmer water.",
            Query(f"max by (node) ({heat})", "{{node}}"),
            face=Face(looks.CELSIUS, 0, colour=looks.shades("orange")),
            course=Course(legend="hidden", fill=0),
        ),
    ]


def _members() -> list[Row]:
    node = to_board(shared.NODE_BOARD, rack="${rack}", node="${__value.raw}")
    power = in_rack('rackwatt_power_watts{boundary="$boundary"}')
    each = rows(
        "Members, the worst first",
        "Missing ones first, then by output rate over the rack's median member. Orange below 95 %, the "
        "default of RackwattStraggler (which compares nodes of one model), red below 80 %; a rack of "
        "several models differs by model. Missing figures of a node that is up: it warms up, or its "
        "engine cannot be read.",
        Query(of_rack("rackwatt_rack_member_up", by="node")),
        Query(of_rack("rackwatt_rack_member_rate_to_median_ratio", by="node")),
        Query(of_rack("rackwatt_rack_member_tokens_per_second", 'kind="output"', by="node")),
        Query(f"max by (node) ({power})"),
        columns=[
            Column("node", "Node", link=("Node", node)),
            Column("A", "State", words=shared.UP, width=90),
            Column("B", "To median", looks.RATIO, 1, _slow(), width=110),
            Column("C", "Output", looks.TOKENS_PER_SECOND, 1, width=120),
            Column("D", "Power", looks.WATTS, 2, width=110),
        ],
        sort=[("State", False), ("To median", False)],
        none="No daemon reckons this rack",
    )
    ratio = series(
        "Member rate to the median member",
        "Output rate of each member over the median of the rack: a straggler leaves the bundle downwards, "
        "and the line is coloured below 95 % and 80 %.",
        Query(of_rack("rackwatt_rack_member_rate_to_median_ratio", by="node"), "{{node}}"),
        face=Face(looks.RATIO, steps=_slow(), colour=looks.by_threshold(), low=0),
        course=Course(by_value=True, legend="hidden", fill=0, soft=1.1),
    )
    return [Row(10, [(12, each), (12, ratio)], "Who")]


def _slow() -> build.ThresholdsConfig:
    return looks.steps(looks.BAD, (0.8, looks.WARN), (0.95, looks.GOOD))


def _record() -> Row:
    return Row(
        6,
        [
            (
                24,
                series(
                    "Compared with a published record",
                    "The rack's live output rate compared with the published figure that `rack.record` "
                    "names, for orientation. azure-gb300-llama2-70b is an unverified MLPerf v5.1 entry, "
                    "Offline, the sum of 18 runs of single nodes: conditions differ, and a live figure is "
                    "not a benchmark result. Absent unless the record's model alone is served.",
                    Query(
                        of_rack("rackwatt_rack_record_ratio", 'kind="output"', by="record"),
                        "compared with {{record}} (unverified, Offline; for orientation)",
                    ),
                    face=Face(
                        looks.RATIO,
                        low=0,
                        colour=looks.fixed(looks.TOKENS["output"]),
                        none="No record to compare with: rack.record is not set, or another model is served",
                    ),
                    course=Course(fill=0),
                ),
            )
        ],
    )
