"""One node: what its GPUs do, what holds them back, what is broken, whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks, shared
from dashboards.grafana.boards.board import Board, Row, address, choice, mark
from dashboards.grafana.boards.panels import Course, Face, figure, series
from dashboards.grafana.boards.queries import Query, of_node
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.builders import stat, table, timeseries

ON_NODE = '* on (job, instance) group_left (node) rackwatt_node_info{rack=~"$rack", node="$node"}'
FIGURES = "node_tokens_per_second|node_tokens_per_joule_$boundary"
GPU = 'gpu=~"$gpu"'
BY_GPU = Course(legend="list", fill=0)


def board() -> Board:
    """Return the board."""
    return Board(
        uid=shared.NODE_BOARD,
        title="rackwatt: node",
        about="What one node and its GPUs do, what holds them back, what is broken, and whose they are.",
        variables=[
            choice("rack", "Rack", "label_values(rackwatt_node_info, rack)", several=True),
            choice(
                "node",
                "Node",
                'query_result(rackwatt_node_info{rack=~"$rack"} and on (job, instance) '
                "(rackwatt_gpu_up or rackwatt_engine_up))",
                pattern='/node="([^"]+)"/',
            ),
            choice(
                "gpu",
                "GPU",
                f"query_result({of_node('rackwatt_gpu_up')})",
                several=True,
                pattern='/gpu="([^"]+)"/',
            ),
            choice("boundary", "Power at", "label_values(rackwatt_power_watts, boundary)", first="gpu"),
            choice(
                "page",
                "Live page",
                'label_values(rackwatt_node_info{rack=~"$rack", node="$node"}, instance)',
                hidden=True,
            ),
        ],
        annotations=_marks(),
        links=[address("Live page", "http://${page}/", "The node's own page, one second old")],
        rows=[_answers(), _incidents(), _work(), *_gpus(), _health()],
    )


def _marks() -> list[build.AnnotationQuery]:
    xids = of_node("increase(rackwatt_gpu_xid_errors_total[2m])")
    restarted = of_node("increase(rackwatt_engine_restarts_total[2m])")
    drained = of_node("rackwatt_node_drained")
    alerts = f'ALERTS{{{shared.ALERTS}, rack=~"$rack|", node="$node"}}'
    return [
        mark("Alerts", looks.BAD, alerts, "{{alertname}}", "{{severity}} {{gpu}} {{model}}"),
        shared.incident_marks('rack=~"$rack", node="$node"'),
        mark("Xid errors", looks.WARN, f"{xids} > 0", "Xid {{xid}}", "GPU {{gpu}}"),
        mark("Engine restarts", "purple", f"{restarted} > 0", "engine restarted", "{{engine_instance}}"),
        mark("Drained", "blue", f"{drained} > 0", "drained", "taken out on purpose"),
    ]


def _answers() -> Row:
    return Row(4, [(3, panel) for panel in (*_made(), *_believed())])


def _made() -> list[stat.Panel]:
    state = f"max by (state) ({of_node('rackwatt_node_state')}) == 1"
    drained = f'label_replace(max({of_node("rackwatt_node_drained")}) == 1, "state", "drained", "", "")'
    rate = of_node('rackwatt_node_tokens_per_second{kind="output"}')
    power = of_node('rackwatt_power_watts{boundary="$boundary"}')
    ratio = of_node('rackwatt_node_tokens_per_joule{kind="output", boundary="$boundary"}')
    return [
        figure(
            "State",
            "What the node does: serving, idle (read, and nothing to do), asleep on purpose, or unknown "
            "(not read). Drained: taken out on purpose.",
            Query(f"{state} or {drained}", "{{state}}"),
            face=Face(colour=looks.fixed(looks.QUIET), none="does not report"),
            says="name",
        ),
        figure(
            "Output tokens/s",
            "Live rate over the agent's window (10 s), of the engines that report.",
            Query(f"max({rate})", "output"),
            face=Face(looks.TOKENS_PER_SECOND, 1, colour=looks.fixed(looks.TOKENS["output"]), none="unknown"),
        ),
        figure(
            "Power",
            "Power now at the chosen boundary, summed over what reports.",
            Query(f"max({power})", "power"),
            face=Face(looks.WATTS, 2, colour=looks.fixed(looks.POWER["gpu"]), none="unknown"),
        ),
        figure(
            "Tokens per joule",
            "Output tokens over joules of the same interval. Withheld unless every known GPU and engine "
            "of the node is valid.",
            Query(f"max({ratio})", "tokens per joule"),
            face=Face(looks.TOKENS_PER_JOULE, 2, colour=looks.fixed(looks.EFFICIENCY), none="withheld"),
        ),
    ]


def _believed() -> list[stat.Panel]:
    up = of_node("rackwatt_gpu_up")
    margin = of_node("rackwatt_gpu_thermal_margin_celsius")
    sources = of_node("rackwatt_collector_success")
    return [
        shared.validity(
            "Figures",
            "Whether rate and tokens per joule can be believed, else why not (docs/metrics.md).",
            FIGURES,
            ON_NODE,
        ),
        figure(
            "GPUs",
            "GPUs that answer their driver, and those that are known. A lost GPU stays known.",
            Query(f"sum({up})", "answering"),
            Query(f"count({up})", "known"),
            face=Face(colour=looks.fixed(looks.QUIET), none="none"),
            says="value_and_name",
        ),
        figure(
            "Thermal margin",
            "Degrees that the hottest GPU has left before the driver slows it down: orange below 10, red "
            "below 3.",
            Query(f"min({margin})", "margin"),
            face=Face(
                looks.CELSIUS,
                0,
                steps=looks.steps(looks.BAD, (3, looks.WARN), (10, looks.GOOD)),
                none="unknown",
            ),
        ),
        figure(
            "Sources",
            "Whether the last collection of each source (GPUs, engines, discovery) succeeded; "
            "rackwatt_collector_failures_total and the agent's log tell why not.",
            Query(f"min({sources})", "sources"),
            face=Face(
                words=looks.words(is_1=("read", looks.GOOD), is_0=("failing", looks.BAD)), none="unknown"
            ),
        ),
    ]


def _incidents() -> Row:
    panel = shared.incidents(
        'rack=~"$rack", node="$node"',
        of_node("rackwatt_incidents_total"),
        "What was found wrong with this node, by kind and cause.",
    )
    return Row(5, [(24, panel)], "Why")


def _work() -> Row:
    tokens = of_node("rackwatt_node_tokens_per_second")
    power = of_node("rackwatt_power_watts")
    requests = of_node("rackwatt_engine_requests")
    panels = [
        series(
            "Tokens per second, by kind",
            "Live rates. prompt has the cached ones in it; kinds are never added.",
            Query(f"max by (kind) ({tokens})", "{{kind}}"),
            face=Face(looks.TOKENS_PER_SECOND, low=0),
            course=Course(colours=looks.TOKENS, fill=0),
        ),
        series(
            "Power, by boundary",
            "Boundaries contain each other: what lies between two lines is drawn by what the wider one "
            "has more.",
            Query(f"max by (boundary) ({power})", "{{boundary}}"),
            face=Face(looks.WATTS, low=0),
            course=Course(colours=looks.POWER, fill=0),
        ),
        series(
            "Requests in the engines",
            "Running and waiting. None of both: nobody asks. Waiting while GPUs are idle: look at the "
            "engine.",
            Query(f"sum by (state) ({requests})", "{{state}}"),
            face=Face(low=0),
            course=Course(colours=looks.REQUESTS),
        ),
    ]
    return Row(8, [(8, panel) for panel in panels], "Work")


def _gpus() -> list[Row]:
    return [Row(8, [(8, panel) for panel in _driven()], "GPUs"), Row(7, [(8, panel) for panel in _held()])]


def _driven() -> list[timeseries.Panel]:
    limit = of_node(f"rackwatt_gpu_power_limit_watts{{{GPU}}}")
    return [
        series(
            "GPU power",
            "Mean of the last second, memory included, and the lowest enforced limit of the chosen GPUs.",
            Query(of_node(f"rackwatt_gpu_power_watts{{{GPU}}}"), "GPU {{gpu}}"),
            Query(f"min({limit})", "limit"),
            face=Face(looks.WATTS, low=0, colour=looks.shades("yellow")),
            course=Course(fill=0, dashed=["limit"], colours={"limit": looks.QUIET}),
        ),
        series(
            "GPU temperature",
            "Of the GPU itself. The margin to the slowdown threshold is in the first row.",
            Query(of_node(f'rackwatt_gpu_temperature_celsius{{{GPU}, sensor="gpu"}}'), "GPU {{gpu}}"),
            face=Face(looks.CELSIUS, 0, colour=looks.shades("orange")),
            course=BY_GPU,
        ),
        series(
            "SM clock",
            "A clock that falls under load is being held back: the panel below says by what.",
            Query(of_node(f'rackwatt_gpu_clock_hertz{{{GPU}, clock="sm"}}'), "GPU {{gpu}}"),
            face=Face(looks.HERTZ, low=0, colour=looks.shades("blue")),
            course=BY_GPU,
        ),
    ]


def _held() -> list[timeseries.Panel]:
    held = f"rate(rackwatt_gpu_throttled_seconds_total{{{GPU}}}[$__rate_interval])"
    used = f"rackwatt_gpu_memory_used_bytes{{{GPU}}} / rackwatt_gpu_memory_total_bytes{{{GPU}}}"
    return [
        series(
            "Held back, by reason",
            "Share of time for which a reason held the clocks of the worst of the chosen GPUs down. "
            "sw_power_cap under full load is ordinary where power is capped; thermal and brake reasons "
            "are not.",
            Query(f"max by (reason) ({of_node(held)})", "{{reason}}"),
            face=Face(looks.RATIO, low=0, high=1),
            course=Course(
                colours={"hw_.*|sw_thermal.*": looks.WARN, "sw_power_cap|sync_boost": looks.QUIET}, fill=0
            ),
        ),
        series(
            "GPU utilization",
            "Share of time in which at least one kernel ran: 100 % says busy, not efficient.",
            Query(of_node(f"rackwatt_gpu_utilization_ratio{{{GPU}}}"), "GPU {{gpu}}"),
            face=Face(looks.RATIO, low=0, high=1, colour=looks.shades("blue")),
            course=BY_GPU,
        ),
        series(
            "GPU memory in use",
            "Share of each GPU's memory. Engines take most of it at their start for the KV cache, so full "
            "is normal.",
            Query(of_node(f"({used})"), "GPU {{gpu}}"),
            face=Face(looks.RATIO, low=0, high=1, colour=looks.shades("purple")),
            course=BY_GPU,
        ),
    ]


def _health() -> Row:
    energy = of_node(f"rate(rackwatt_gpu_energy_joules_total{{{GPU}}}[$__rate_interval])")
    integrated = of_node(f"rate(rackwatt_gpu_energy_integrated_joules_total{{{GPU}}}[$__rate_interval])")
    check = series(
        "Power by the energy counter and by integration",
        "Two outputs of the same sensor, summed over the chosen GPUs. Lines that part for two minutes are a "
        "mismatch: trust neither (the table's Energy column).",
        Query(f"sum({energy})", "energy counter"),
        Query(f"sum({integrated})", "integrated power"),
        face=Face(looks.WATTS, low=0),
        course=Course(
            colours={"energy counter": "yellow", "integrated power": looks.QUIET},
            dashed=["integrated power"],
            fill=0,
        ),
    )
    return Row(9, [(16, _table()), (8, check)], "Health and owner")


def _told(metric: str, label: str, name: str) -> Query:
    """Return, for each GPU, the value of a label under a name of its own."""
    series_ = of_node(f"{metric}{{{GPU}}}")
    return Query(f'max by (gpu, {name}) (label_replace({series_} == 1, "{name}", "$1", "{label}", "(.*)"))')


def _table() -> table.Panel:
    xids = of_node(f"increase(rackwatt_gpu_xid_errors_total{{{GPU}}}[$__range])")
    ecc = of_node(f'increase(rackwatt_gpu_ecc_errors_total{{{GPU}, severity="uncorrected"}}[$__range])')
    owners = of_node(f"rackwatt_gpu_owner_info{{{GPU}}}")
    none = looks.steps(looks.GOOD, (1, looks.BAD))
    return rows(
        "GPUs",
        "State and the recovery that the driver asks for; Xid and uncorrected memory errors of the time "
        "shown; whether energy counter and integrated power agree; whose the GPU is, by deployment, pod "
        "or Slurm job.",
        _told("rackwatt_gpu_state", "state", "health"),
        _told("rackwatt_gpu_recovery_action", "action", "recovery"),
        Query(f"round(sum by (gpu) ({xids}))"),
        Query(f"round(sum by (gpu) ({ecc}))"),
        _told("rackwatt_gpu_energy_crosscheck", "verdict", "energy"),
        _told("rackwatt_gpu_attribution", "state", "use"),
        Query(f"max by (gpu, deployment) ({of_node(f'rackwatt_deployment_gpu_info{{{GPU}}}')})"),
        Query(f"max by (gpu, pod, job_id) ({owners})"),
        columns=[
            Column("gpu", "GPU", width=55),
            Column("health", "State", words=looks.words(ok=("ok", looks.GOOD), lost=("lost", looks.BAD))),
            Column("recovery", "Recovery", words=looks.words(none=("none", looks.GOOD))),
            Column("C", "Xid", decimals=0, steps=none, width=60),
            Column("D", "ECC", decimals=0, steps=none, width=60),
            Column("energy", "Energy", words=looks.words(mismatch=("mismatch", looks.BAD))),
            Column("use", "Use"),
            Column("deployment", "Deployment"),
            Column("pod", "Pod"),
            Column("job_id", "Job"),
        ],
        sort=[("GPU", False)],
        none="The node does not report",
    )
