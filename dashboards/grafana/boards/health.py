"""Below the figures: links of the GPUs, cooling, hosts, and the daemons themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks, shared
from dashboards.grafana.boards.board import Board, Row, to_board
from dashboards.grafana.boards.panels import Course, Face, figure, series, states
from dashboards.grafana.boards.queries import Query, in_rack
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries

NO_CONTROLLER = "Not told: no management controller or cooling unit is read (collectors.redfish)"
NO_HOST = "Not told: collectors.host is off, or the kernel does not say"
NO_LINKS = "Not told by this source of GPUs"
LINKS_UP = 'rackwatt_gpu_nvlinks{state=~"active|sleep"}'
LINKS_DOWN = 'rackwatt_gpu_nvlinks{state!~"active|sleep"}'
C2C_UP = 'rackwatt_gpu_c2c_links{state=~"active|low_power"}'
NARROW = "rackwatt_gpu_pcie_link_width_lanes < rackwatt_gpu_pcie_link_max_width_lanes"
PLACES = {
    "coolant_supply": "blue",
    "coolant_return": "orange",
    "intake": "light-blue",
    "exhaust": "light-orange",
    "ambient": looks.QUIET,
}
BAD_IF_ANY = looks.steps(looks.QUIET, (0, looks.GOOD), (1, looks.BAD))
"""Unknown is no verdict."""


def board() -> Board:
    """Return the board."""
    return Board(
        uid="rackwatt-health",
        title="rackwatt: links, cooling and hosts",
        about="What a rack stands on: NVLink and PCIe, coolant and leaks, hosts, the daemons themselves.",
        variables=[shared.rack()],
        annotations=shared.marks(),
        rows=[_answers(), *_links(), *_cooling(), _hosts(), _daemons()],
    )


def _answers() -> Row:
    return Row(4, [(4, panel) for panel in (*_broken(), *_silent())])


def _any(wrong: str, all_of_them: str, name: str = "wrong") -> Query:
    """Return how many are wrong; none only where there are any to look at."""
    return Query(f"count({in_rack(f'({wrong})')}) or 0 * count({in_rack(all_of_them)})", name)


def _broken() -> list[stat.Panel]:
    detectors = "rackwatt_leak_detector_state"
    healthy = in_rack("rackwatt_gpu_fabric_healthy")
    return [
        figure(
            "Leaks",
            "Leak detectors that say warning or critical. Anything but 0: somebody has to go there.",
            _any(f'{detectors}{{state=~"warning|critical"}} == 1', f'{detectors}{{state="ok"}}'),
            face=Face(decimals=0, steps=BAD_IF_ANY, none="no detector"),
        ),
        figure(
            "NVLink fabric",
            "GPUs whose links the fabric manager reports healthy, and those of which it reports.",
            Query(f"sum({healthy})", "healthy"),
            Query(f"count({healthy})", "told"),
            face=Face(colour=looks.fixed(looks.QUIET), none="not told"),
            says="value_and_name",
        ),
        figure(
            "Links down or narrow",
            "NVLinks that are neither active nor asleep, and GPUs whose PCIe link has fewer lanes than its "
            "ends.",
            Query(f"sum({in_rack(LINKS_DOWN)}) or 0 * count({in_rack(LINKS_UP)})", "NVLinks"),
            _any(NARROW, "rackwatt_gpu_pcie_link_width_lanes", "PCIe"),
            face=Face(decimals=0, steps=BAD_IF_ANY, none="not told"),
            says="value_and_name",
        ),
    ]


def _silent() -> list[stat.Panel]:
    meters = in_rack("rackwatt_meter_up")
    return [
        figure(
            "Power meters",
            "Meters beside the GPUs that answer, and those that are known.",
            Query(f"sum({meters})", "answering"),
            Query(f"count({meters})", "known"),
            face=Face(colour=looks.fixed(looks.QUIET), none="no meter"),
            says="value_and_name",
        ),
        figure(
            "Sources failing",
            "Collectors of which a source failed when it was last read; below, why.",
            _any("rackwatt_collector_success == 0", "rackwatt_collector_success"),
            face=Face(decimals=0, steps=BAD_IF_ANY, none="unknown"),
        ),
        figure(
            "State not kept",
            "Daemons that cannot write their state_dir: a restart would lose what they counted since.",
            _any("rackwatt_state_writable == 0", "rackwatt_state_writable"),
            face=Face(decimals=0, steps=BAD_IF_ANY, none="unknown"),
        ),
    ]


def _links() -> list[Row]:
    traffic = in_rack('rate(rackwatt_gpu_nvlink_bytes_total{direction="tx"}[$__rate_interval])')
    errors = in_rack("rate(rackwatt_gpu_nvlink_errors_total[$__rate_interval])")
    replays = in_rack("rate(rackwatt_gpu_pcie_replays_total[$__rate_interval])")
    panels = [
        series(
            "NVLink traffic, by node",
            "Sent, over all links of a node's GPUs. Nodes of one model under equal work lie together.",
            Query(f"sum by (node) ({traffic})", "{{node}}"),
            face=Face("Bps", low=0, colour=looks.shades("blue"), none=NO_LINKS),
            course=Course(fill=0, legend="hidden"),
        ),
        series(
            "Link errors a second",
            "NVLink errors by kind and PCIe packets sent again. effective and symbol errors are corrected "
            "all the time; link_recovery speaks of a link that is failing, replays of one that is badly "
            "seated.",
            Query(f"sum by (error) ({errors})", "NVLink {{error}}"),
            Query(f"sum({replays})", "PCIe replays"),
            face=Face("cps", low=0, colour=looks.shades("purple"), none=NO_LINKS),
            course=Course(
                colours={"NVLink (effective|symbol).*": looks.QUIET, "NVLink link_recovery": looks.WARN},
                fill=0,
            ),
        ),
        _units(),
    ]
    return [Row(9, [(24, _table())], "Links"), Row(8, [(8, panel) for panel in panels])]


def _units() -> timeseries.Panel:
    of_units = [
        ("tensor cores", "rackwatt_gpu_tensor_active_ratio"),
        ("memory bandwidth", "rackwatt_gpu_memory_bandwidth_ratio"),
        ("SMs", "rackwatt_gpu_sm_active_ratio"),
    ]
    return series(
        "Units of the GPUs at work",
        "Mean over the GPUs that tell: tensor cores, memory traffic over what it can carry, SMs with work. "
        "NVML tells them from Hopper on, DCGM by its profiling fields.",
        *(Query(f"avg({in_rack(metric)})", name) for name, metric in of_units),
        face=Face(looks.RATIO, low=0, high=1, none=NO_LINKS),
        course=Course(
            colours={"tensor cores": "blue", "memory bandwidth": "purple", "SMs": looks.QUIET}, fill=0
        ),
    )


def _table() -> table.Panel:
    node = to_board(shared.NODE_BOARD, rack="${rack}", node="${__value.raw}")
    by = "node, gpu"
    replays = in_rack("increase(rackwatt_gpu_pcie_replays_total[$__range])")
    return rows(
        "GPUs by their links, the worst first",
        "NVLinks up (asleep counts as up) and down, the speed of the slowest, the most recoveries of one "
        "link since the driver was loaded; what the fabric manager says; PCIe lanes and packets sent again "
        "in the time shown.",
        Query(f"max by ({by}) ({in_rack('rackwatt_gpu_fabric_healthy')})"),
        Query(f"max by ({by}, state) ({in_rack('rackwatt_gpu_fabric_info')})"),
        Query(f"max by ({by}, trouble) ({in_rack('(rackwatt_gpu_fabric_trouble == 1)')})"),
        Query(f"sum by ({by}) ({in_rack(LINKS_UP)})"),
        Query(f"sum by ({by}) ({in_rack(LINKS_DOWN)})"),
        Query(f"max by ({by}) ({in_rack('rackwatt_gpu_nvlink_slowest_bytes_per_second')})"),
        Query(f"max by ({by}) ({in_rack('rackwatt_gpu_nvlink_worst_recoveries')})"),
        Query(f"sum by ({by}) ({in_rack(C2C_UP)})"),
        Query(f"max by ({by}) ({in_rack('rackwatt_gpu_pcie_link_width_lanes')})"),
        Query(f"round(max by ({by}) ({replays}))"),
        columns=[
            Column("node", "Node", link=("Node", node)),
            Column("gpu", "GPU", width=55),
            Column(
                "A", "Fabric", words=looks.words(is_1=("healthy", looks.GOOD), is_0=("unhealthy", looks.BAD))
            ),
            Column("state", "Registration", words=looks.words(completed=("completed", looks.GOOD))),
            Column("trouble", "Trouble"),
            Column("D", "Links up", decimals=0),
            Column("E", "Down", decimals=0, steps=BAD_IF_ANY),
            Column("F", "Slowest", "Bps", 1),
            Column("G", "Recoveries", decimals=0, steps=looks.steps(looks.QUIET, (1, looks.WARN))),
            Column("H", "C2C up", decimals=0),
            Column("I", "PCIe lanes", decimals=0),
            Column("J", "Replays", decimals=0, steps=looks.steps(looks.QUIET, (1, looks.WARN))),
        ],
        sort=[("Fabric", False), ("Down", True), ("Recoveries", True)],
        none="No GPU of this rack tells of its links",
    )


def _cooling() -> list[Row]:
    warmth = in_rack("rackwatt_environment_temperature_celsius")
    flow = in_rack("rackwatt_coolant_flow_liters_per_second")
    pressure = in_rack("rackwatt_coolant_pressure_pascals")
    heat = in_rack("rackwatt_coolant_heat_watts")
    fans = in_rack("rackwatt_fan_speed_ratio")
    panels = [
        series(
            "Air and coolant",
            "Warmest sensor of each place. Supply that rises is the facility's; return that rises alone is "
            "too little flow.",
            Query(f"max by (place) ({warmth})", "{{place}}"),
            face=Face(looks.CELSIUS, 1, none=NO_CONTROLLER),
            course=Course(colours=PLACES, fill=0),
        ),
        series(
            "Coolant flow and pressure",
            "Left: flow through each connector. Right: pressure at it. Both fall with a leak or a pump.",
            Query(f"sum by (target) ({flow})", "flow, {{target}}"),
            Query(f"max by (target, place) ({pressure}) / 1000", "pressure, {{target}} {{place}}"),
            face=Face("suffix: L/s", low=0, colour=looks.shades("blue"), none=NO_CONTROLLER),
            course=Course(fill=0, right={"pressure.*": "pressurekpa"}, dashed=["pressure.*"]),
        ),
        series(
            "Heat carried away, and fans",
            "Left: heat that the coolant takes. Right: the fastest fan of each controller, of its full "
            "speed.",
            Query(f"sum by (target) ({heat})", "heat, {{target}}"),
            Query(f"max by (target) ({fans})", "fans, {{target}}"),
            face=Face(looks.WATTS, low=0, colour=looks.shades("orange"), none=NO_CONTROLLER),
            course=Course(fill=0, right={"fans.*": looks.RATIO}, dashed=["fans.*"]),
        ),
    ]
    return [Row(8, [(8, panel) for panel in panels], "Cooling"), Row(5, [(24, _leaks())])]


def _leaks() -> statetimeline.Panel:
    ranks = {"unknown": 1, "warning": 2, "critical": 3}
    ranked = " or ".join(
        f'{rank} * rackwatt_leak_detector_state{{state="{state}"}}' for state, rank in ranks.items()
    )
    told = f'label_join({ranked}, "what", " ", "target", "sensor")'
    return states(
        "Leak detectors",
        "What each says. Grey: it is there and says nothing. A gap: whoever reads it does not answer.",
        Query(f"max by (what) ({in_rack(told)})", "{{what}}"),
        face=Face(
            words=looks.words(
                is_0=("ok", looks.GOOD),
                is_1=("unknown", looks.QUIET),
                is_2=("warning", looks.BAD),
                is_3=("critical", looks.BAD),
            ),
            none="No leak detector is told of (collectors.redfish)",
        ),
    )


def _hosts() -> Row:
    stalled = in_rack('rate(rackwatt_host_pressure_stalled_seconds_total{share="some"}[$__rate_interval])')
    steal = in_rack("rate(rackwatt_host_cpu_steal_seconds_total[$__rate_interval])")
    network = in_rack("rate(rackwatt_host_network_errors_total[$__rate_interval])")
    dropped = in_rack("rate(rackwatt_host_network_dropped_total[$__rate_interval])")
    infiniband = in_rack("rate(rackwatt_host_infiniband_errors_total[$__rate_interval])")
    off = in_rack("rackwatt_host_clock_error_bound_seconds")
    panels = [
        series(
            "Waiting for processor, memory or disk",
            "Share of time in which some task of the worst node waited for it; of processors a hypervisor "
            "may take some (steal, in processors). A quarter of the time holds engines up.",
            Query(f"max by (resource) ({stalled})", "{{resource}}"),
            Query(f"max({steal})", "steal"),
            face=Face(looks.RATIO, low=0, colour=looks.shades("purple"), none=NO_HOST),
            course=Course(fill=0, right={"steal": looks.COUNT}, dashed=["steal"], soft=0.25),
        ),
        series(
            "Network errors a second",
            "Over all nodes: packets with errors or dropped, and errors of InfiniBand or RoCE ports by the "
            "kernel's names.",
            Query(f"sum({network})", "errors"),
            Query(f"sum({dropped})", "dropped"),
            Query(f"sum by (error) ({infiniband})", "IB {{error}}"),
            face=Face("cps", low=0, colour=looks.shades("orange"), none=NO_HOST),
            course=Course(fill=0, soft=1),
        ),
        series(
            "How far wall clocks may be off",
            "By node: the bound that the kernel states; it grows to 16 s while nobody keeps the clock. "
            "Totals and rates do not depend on it, logs and traces do.",
            Query(f"max by (node) ({off})", "{{node}}"),
            face=Face(looks.SECONDS, low=0, colour=looks.shades("blue"), none=NO_HOST),
            course=Course(fill=0, legend="hidden"),
        ),
    ]
    return Row(8, [(8, panel) for panel in panels], "Hosts")


def _daemons() -> Row:
    took = in_rack("rackwatt_collector_duration_seconds")
    failed = in_rack("rate(rackwatt_collector_failures_total[$__rate_interval])")
    lost = in_rack("rate(rackwatt_exporter_lost_points_total[$__rate_interval])")
    waiting = in_rack("rackwatt_exporter_waiting_bytes")
    panels = [
        series(
            "How long collections take",
            "The longest of any node, by collector. One that nears its timeout will be late, and then "
            "absent.",
            Query(f"max by (collector) ({took})", "{{collector}}"),
            face=Face(looks.SECONDS, low=0, colour=looks.shades("blue")),
            course=Course(fill=0),
        ),
        series(
            "Failed collections a second, by reason",
            "Over all nodes; docs/metrics.md says what each reason means and what to do.",
            Query(
                f"sum by (collector, reason) ({failed}) > 0 or on () "
                f'label_replace(0 * sum({failed}), "reason", "none", "", "")',
                "{{collector}} {{reason}}",
            ),
            face=Face("cps", low=0, colour=looks.shades("orange")),
            course=Course(colours={" none": looks.QUIET}, fill=0, soft=1),
        ),
        series(
            "What exporters did not get rid of",
            "Left: bytes that wait to be sent. Right: points lost a second. Of exporters that send (otlp, "
            "alertmanager, webhook); scrapes are not in it.",
            Query(f"sum by (exporter) ({waiting})", "waiting, {{exporter}}"),
            Query(f"sum by (exporter) ({lost})", "lost, {{exporter}}"),
            face=Face(
                looks.BYTES, low=0, colour=looks.shades("blue"), none="No exporter here sends anything"
            ),
            course=Course(fill=0, right={"lost.*": "cps"}, colours={"lost.*": looks.WARN}),
        ),
    ]
    return Row(8, [(8, panel) for panel in panels], "The daemons")
