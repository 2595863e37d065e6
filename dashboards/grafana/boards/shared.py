"""What several boards show: variables, marks on the time axis, alerts, and why a figure is invalid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks
from dashboards.grafana.boards.board import choice, mark, to_board
from dashboards.grafana.boards.panels import Face, figure, states
from dashboards.grafana.boards.queries import Query, in_rack, of_rack
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.builders import dashboard as build
    from grafana_foundation_sdk.builders import stat, statetimeline, table
    from grafana_foundation_sdk.models import dashboard as model

NAMED = 'alertname=~"Rackwatt.+", alertname!="RackwattWatchdog"'
"""Ours, without the one that fires always so that its silence is told."""
ALERTS = f'{NAMED}, alertstate="firing"'
GRAVE = f'{ALERTS}, severity=~"critical|warning"'
RANKS = {"critical": 1, "warning": 2, "info": 3}
WATCHED = 'ALERTS{alertname="RackwattWatchdog", alertstate="firing"}'
"""Fires always: without it no alert is reckoned here, and none firing means nothing."""
RUNBOOKS = "@{runbook_url_prefix}"
STANDING = "rack:rackwatt_incidents:standing"
"""Incidents that stand, each once, whoever tells of it."""
TOLD = 'severity=~"critical|warning"'
NODE_BOARD, RACK_BOARD = "rackwatt-node", "rackwatt-rack"
UP = looks.words(is_1=("up", looks.GOOD), is_0=("missing", looks.BAD))
COVERED = looks.steps(looks.BAD, (0.95, looks.GOOD))
"""0.95 is where the agent withholds tokens per joule."""


def rack() -> build.QueryVariable:
    """Return the choice of one rack, of those that a daemon reckons."""
    return choice("rack", "Rack", "label_values(rackwatt_rack_nodes_expected, rack)")


def boundary() -> build.QueryVariable:
    """Return the choice of where power is measured."""
    return choice(
        "boundary", "Power at", 'label_values(rackwatt_rack_power_watts{rack="$rack"}, boundary)', first="gpu"
    )


def marks() -> Sequence[build.AnnotationQuery]:
    """Return what is marked on every time axis of a rack."""
    restarted = in_rack("increase(rackwatt_engine_restarts_total[2m])")
    return (
        mark(
            "Alerts",
            looks.BAD,
            f'ALERTS{{{ALERTS}, rack=~"$rack|"}}',
            "{{alertname}}",
            "{{severity}} {{node}} {{gpu}} {{model}}",
        ),
        incident_marks('rack="$rack"'),
        mark(
            "Engine restarts",
            "purple",
            f"{restarted} > 0",
            "engine restarted",
            "{{node}} {{engine_instance}}",
        ),
        mark(
            "Drained nodes",
            "blue",
            of_rack("rackwatt_rack_nodes_drained") + " > 0",
            "nodes drained",
            "taken out on purpose; rackwatt_rack_nodes_drained tells how many",
        ),
    )


def incident_marks(where: str) -> build.AnnotationQuery:
    """Return where incidents began and ended, with what and why."""
    return mark(
        "Incidents",
        looks.WARN,
        f"{STANDING}{{{where}, {TOLD}}}",
        "{{kind}}, cause {{cause}}",
        "{{severity}} {{node}} {{gpu}}",
        tags="severity,kind,cause,node",
    )


def incidents(where: str, watched: str, about: str) -> statetimeline.Panel:
    """Return which incidents stood when, with place and cause; `none` while all is well and watched."""
    ranks = {"critical": 3, "warning": 2, "info": 1}
    ranked = " or ".join(
        f'{rank} * ({STANDING}{{{where}, severity="{severity}"}} > bool 0)'
        for severity, rank in ranks.items()
    )
    told = f'max by (what) (label_join({ranked}, "what", " ", "node", "kind", "cause"))'
    none = f"0 * max({watched}) unless on () {STANDING}{{{where}}}"
    return states(
        "Incidents: where, what, why",
        f"{about} Green while none stands and somebody looks; nothing at all: nobody does. Evidence and "
        "loss are on the live page.",
        Query(f'{told} or label_replace({none}, "what", "none", "", "")', "{{what}}"),
        face=Face(
            words=looks.words(
                is_0=("none", looks.GOOD),
                is_1=("info", looks.QUIET),
                is_2=("warning", looks.WARN),
                is_3=("critical", looks.BAD),
            ),
            none="Nobody reckons incidents here, or recording.yml is not loaded",
        ),
    )


def firing(where: str, *, racks: bool = False) -> table.Panel:
    """Return the alerts that fire, the gravest first, each with its runbook; of many racks with the rack."""
    alerts = f"ALERTS{{{ALERTS}, {where}}}"
    since = f"ALERTS_FOR_STATE{{{NAMED}, {where}}}"
    which = "${__data.fields.Rack}" if racks else "${rack}"
    to_node = to_board(NODE_BOARD, rack=which, node="${__value.raw}")
    to_rack = to_board(RACK_BOARD, rack="${__value.raw}")
    return rows(
        "What is wrong, since when",
        "Alerts of rackwatt that fire now, and since when their condition holds. An alert's name leads to "
        "its runbook, a node's to its board.",
        Query(_ranked(f"1000 * {since} * ignoring (alertstate) group_right () {alerts}")),
        columns=[
            Column("severity", "Severity", words=_severities(), width=85),
            Column("alertname", "Alert", link=("Runbook", RUNBOOKS + "${__value.raw}.md")),
            *([Column("rack", "Rack", link=("Rack", to_rack), width=90)] if racks else []),
            Column("node", "Node", link=("Node", to_node), width=90),
            Column("gpu", "GPU", width=50),
            Column("A", "Since", unit=looks.SINCE, width=150),
        ],
        sort=[("Severity", False)],
        none="No alert fires, or alerts.yml is not loaded here: see Alerts firing",
    )


def _ranked(alerts: str) -> str:
    """Return alerts whose severity is a number, for a table sorts by letters."""
    for severity, rank in RANKS.items():
        alerts = f'label_replace({alerts}, "severity", "{rank}", "severity", "{severity}")'
    return alerts


def alerts_firing(about: str, where: str = "") -> stat.Panel:
    """Return how many alerts fire; none only where alerts are reckoned at all."""
    return figure(
        "Alerts firing",
        f"{about} Unknown where alerts.yml is not loaded, which the alert that fires always tells.",
        Query(f"count(ALERTS{{{GRAVE}{where}}}) or 0 * count({WATCHED})", "firing"),
        face=Face(steps=looks.steps(looks.QUIET, (0, looks.GOOD), (1, looks.BAD)), none="not loaded"),
    )


def _severities() -> model.ValueMap:
    return looks.words(is_1=("critical", looks.BAD), is_2=("warning", looks.WARN), is_3=("info", looks.QUIET))


def validity(title: str, about: str, figures: str, join: str) -> stat.Panel:
    """Return `valid`, or the reasons why one of these figures is not."""
    reasons = f'rackwatt_figure_invalid_reason{{figure=~"{figures}"}} {join}'
    valid = f'rackwatt_figure_valid{{figure=~"{figures}"}} {join}'
    good = f'label_replace(min({valid}) == 1, "reason", "valid", "", "")'
    said = f"(max by (reason) ({reasons}) == 1) - 1 or {good}"
    return figure(
        title,
        about,
        Query(said, "{{reason}}"),
        face=Face(steps=looks.steps(looks.BAD, (1, looks.GOOD)), none="unknown"),
        says="name",
    )
