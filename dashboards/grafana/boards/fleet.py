"""All racks side by side, from the racks' own figures only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.grafana.boards import looks, shared
from dashboards.grafana.boards.board import Board, Row, choice, to_board
from dashboards.grafana.boards.panels import Course, Face, figure, series
from dashboards.grafana.boards.queries import Query
from dashboards.grafana.boards.tables import Column, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat

RACKS = 'rack=~"$rack"'
AT = 'boundary="$boundary"'


def board() -> Board:
    """Return the board."""
    return Board(
        uid="rackwatt-fleet",
        title="rackwatt: fleet",
        about="All racks side by side, from recorded figures of whole racks: cheap for any number of nodes.",
        variables=[
            choice("rack", "Rack", "label_values(rackwatt_rack_nodes_expected, rack)", several=True),
            choice(
                "boundary",
                "Power at",
                "label_values(site:rackwatt_power_watts:rate5m, boundary)",
                first="gpu",
            ),
        ],
        rows=[_answers(), _racks(), _course(), _gaps()],
    )


def _answers() -> Row:
    return Row(4, [(4, panel) for panel in (*_made(), *_believed())])


def _made() -> list[stat.Panel]:
    return [
        figure(
            "Output tokens/s",
            "All racks, over five minutes; a rack that two daemons reckon counts once.",
            Query('site:rackwatt_tokens:rate5m{kind="output"}', "output", now=True),
            face=Face(looks.TOKENS_PER_SECOND, colour=looks.fixed(looks.TOKENS["output"]), none="none"),
            course=True,
        ),
        figure(
            "Power",
            "All racks at the chosen boundary, over five minutes.",
            Query(f"site:rackwatt_power_watts:rate5m{{{AT}}}", "power", now=True),
            face=Face(looks.WATTS, 1, colour=looks.fixed(looks.POWER["gpu"]), none="no meter"),
            course=True,
        ),
        figure(
            "Tokens per joule",
            "Sum of output tokens over sum of joules of all racks, over five minutes: what the site makes "
            "of its energy, whatever models it serves.",
            Query(
                f'site:rackwatt_tokens_per_joule:ratio5m{{kind="output", {AT}}}', "tokens per joule", now=True
            ),
            face=Face(looks.TOKENS_PER_JOULE, 2, colour=looks.fixed(looks.EFFICIENCY), none="withheld"),
            course=True,
        ),
    ]


def _believed() -> list[stat.Panel]:
    alerts = f"count(ALERTS{{{shared.GRAVE}}}) or vector(0)"
    return [
        figure(
            "Coverage",
            "Share of all racks' member-seconds that the figures speak of. Red below 95 %.",
            Query("site:rackwatt_coverage:ratio", "coverage", now=True),
            face=Face(looks.RATIO, 1, steps=shared.COVERED, none="unknown"),
        ),
        figure(
            "Nodes",
            "Nodes in duty that report, and those that should, over all racks.",
            Query("sum(rack:rackwatt_nodes:reporting)", "reporting", now=True),
            Query("sum(rack:rackwatt_nodes:expected)", "expected", now=True),
            face=Face(colour=looks.fixed(looks.QUIET), none="unknown"),
            says="value_and_name",
        ),
        figure(
            "Alerts firing",
            "Critical ones and warnings of rackwatt that fire anywhere.",
            Query(alerts, "firing", now=True),
            face=Face(steps=looks.steps(looks.GOOD, (1, looks.BAD))),
        ),
    ]


def _racks() -> Row:
    missing = f"rack:rackwatt_nodes:expected{{{RACKS}}} - rack:rackwatt_nodes:reporting{{{RACKS}}}"
    alerts = f"count by (rack) (ALERTS{{{shared.GRAVE}, {RACKS}}})"
    table = rows(
        "Racks, the worst covered first",
        "Over five minutes. A rack's name leads to its board. Tokens per joule are comparable only "
        "between racks that serve the same model in the same precision and shape.",
        Query(f"max by (rack) (rack:rackwatt_coverage:ratio{{{RACKS}}})"),
        Query(f'max by (rack) (rack:rackwatt_tokens:rate5m{{kind="output", {RACKS}}})'),
        Query(f"max by (rack) (rack:rackwatt_power_watts:rate5m{{{AT}, {RACKS}}})"),
        Query(f'max by (rack) (rack:rackwatt_tokens_per_joule:ratio5m{{kind="output", {AT}, {RACKS}}})'),
        Query(f"max by (rack) ({missing})"),
        Query(f"{alerts} or 0 * max by (rack) (rack:rackwatt_nodes:expected{{{RACKS}}})"),
        columns=[
            Column("rack", "Rack", link=("Rack", to_board(shared.RACK_BOARD, rack="${__value.raw}"))),
            Column("A", "Coverage", looks.RATIO, 1, shared.COVERED),
            Column("B", "Output", looks.TOKENS_PER_SECOND, 1),
            Column("C", "Power", looks.WATTS, 1),
            Column("D", "Tokens/J", looks.TOKENS_PER_JOULE, 2),
            Column("E", "Missing", decimals=0, steps=looks.steps(looks.GOOD, (1, looks.BAD))),
            Column("F", "Alerts", decimals=0, steps=looks.steps(looks.GOOD, (1, looks.BAD))),
        ],
        sort=[("Coverage", False)],
        none="No daemon reckons a rack, or the recording rules are not loaded",
    )
    return Row(9, [(14, table), (10, shared.firing('rack=~"$rack|"', racks=True))])


def _course() -> Row:
    panels = [
        series(
            "Output tokens per second, by rack",
            "Over five minutes.",
            Query(f'rack:rackwatt_tokens:rate5m{{kind="output", {RACKS}}}', "{{rack}}"),
            face=Face(looks.TOKENS_PER_SECOND, low=0, colour=looks.shades(looks.TOKENS["output"])),
            course=Course(fill=0),
        ),
        series(
            "Power, by rack",
            "At the chosen boundary, over five minutes.",
            Query(f"rack:rackwatt_power_watts:rate5m{{{AT}, {RACKS}}}", "{{rack}}"),
            face=Face(looks.WATTS, low=0, colour=looks.shades(looks.POWER["gpu"])),
            course=Course(fill=0),
        ),
        series(
            "Output tokens per joule, by rack",
            "Over five minutes. Compare a rack with its own past; with another only under the same model "
            "and shape.",
            Query(f'rack:rackwatt_tokens_per_joule:ratio5m{{kind="output", {AT}, {RACKS}}}', "{{rack}}"),
            face=Face(
                looks.TOKENS_PER_JOULE, 2, low=0, colour=looks.shades(looks.EFFICIENCY), none="Withheld"
            ),
            course=Course(fill=0),
        ),
    ]
    return Row(8, [(8, panel) for panel in panels], "Side by side")


def _gaps() -> Row:
    panels = [
        series(
            "Coverage, by rack",
            "A fall here is missing nodes or figures; a fall of the rate without it is not. The line is "
            "at 95 %.",
            Query(f"rack:rackwatt_coverage:ratio{{{RACKS}}}", "{{rack}}"),
            face=Face(looks.RATIO, steps=shared.COVERED, colour=looks.by_threshold(), low=0, high=1),
            course=Course(by_value=True, limits=True, fill=0, legend="hidden"),
        ),
        series(
            "Nodes that do not report, by rack",
            "Expected less reporting. Drained nodes are not expected.",
            Query(
                f"rack:rackwatt_nodes:expected{{{RACKS}}} - rack:rackwatt_nodes:reporting{{{RACKS}}}",
                "{{rack}}",
            ),
            face=Face(
                decimals=0, low=0, steps=looks.steps(looks.QUIET, (1, looks.BAD)), colour=looks.by_threshold()
            ),
            course=Course(by_value=True, fill=0, soft=3),
        ),
    ]
    return Row(7, [(12, panel) for panel in panels])
