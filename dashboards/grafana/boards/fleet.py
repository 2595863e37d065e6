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
ALL = 'rack!=""'
AT = 'boundary="$boundary"'


def board() -> Board:
    """Return the board."""
    return Board(
        uid="rackwatt-fleet",
        title="rackwatt: fleet",
        about="All racks side by side, from recorded figures of whole racks: cheap for any number of nodes.",
        variables=[
            choice("rack", "Rack", "label_values(rack:rackwatt_nodes:expected, rack)", several=True),
            choice(
                "boundary",
                "Power at",
                "label_values(site:rackwatt_power_watts:rate5m, boundary)",
                first="gpu",
            ),
        ],
        annotations=[shared.incident_marks(RACKS)],
        rows=[_answers(), _racks(), _course(), _gaps()],
    )


def each_rack(record: str, *labels: str, racks: str = RACKS) -> str:
    """Return a record of each rack; what two servers record of one is one."""
    chosen = ", ".join((racks, *labels))
    return f"max by (rack) (rack:rackwatt_{record}{{{chosen}}})"


def _missing() -> str:
    return f"{each_rack('nodes:expected')} - {each_rack('nodes:reporting')}"


def _answers() -> Row:
    return Row(4, [(4, panel) for panel in (*_made(), *_believed())])


def _made() -> list[stat.Panel]:
    return [
        figure(
            "Output tokens/s",
            "All racks, over five minutes; a rack that two daemons reckon counts once.",
            Query('site:rackwatt_tokens:rate5m{kind="output"}', "output"),
            face=Face(looks.TOKENS_PER_SECOND, colour=looks.fixed(looks.TOKENS["output"]), none="none"),
        ),
        figure(
            "Power",
            "All racks at the chosen boundary, over five minutes.",
            Query(f"site:rackwatt_power_watts:rate5m{{{AT}}}", "power"),
            face=Face(looks.WATTS, 1, colour=looks.fixed(looks.POWER["gpu"]), none="no meter"),
        ),
        figure(
            "Tokens per joule",
            "Sum of output tokens over sum of joules of all racks, over five minutes: what the site makes "
            "of its energy, whatever models it serves.",
            Query(f'site:rackwatt_tokens_per_joule:ratio5m{{kind="output", {AT}}}', "tokens per joule"),
            face=Face(looks.TOKENS_PER_JOULE, 2, colour=looks.fixed(looks.EFFICIENCY), none="withheld"),
        ),
    ]


def _believed() -> list[stat.Panel]:
    return [
        figure(
            "Coverage",
            "Share of all racks' member-seconds that the figures speak of. Red below 95 %.",
            Query("site:rackwatt_coverage:ratio", "coverage"),
            face=Face(looks.RATIO, 1, steps=shared.COVERED, none="unknown"),
        ),
        figure(
            "Nodes",
            "Nodes in duty that report, and those that should, over all racks.",
            Query(f"sum({each_rack('nodes:reporting', racks=ALL)})", "reporting"),
            Query(f"sum({each_rack('nodes:expected', racks=ALL)})", "expected"),
            face=Face(colour=looks.fixed(looks.QUIET), none="unknown"),
            says="value_and_name",
        ),
        shared.alerts_firing("Critical ones and warnings of rackwatt that fire anywhere."),
    ]


def _racks() -> Row:
    alerts = f"count by (rack) (ALERTS{{{shared.GRAVE}, {RACKS}}})"
    none = f"0 * {each_rack('nodes:expected')} and on () {shared.WATCHED}"
    incidents = f"count by (rack) ({shared.STANDING}{{{shared.TOLD}, {RACKS}}})"
    table = rows(
        "Racks, the worst covered first",
        "Over five minutes. A rack's name leads to its board. Tokens per joule are comparable only "
        "between racks that serve the same model in the same precision and shape.",
        Query(each_rack("coverage:ratio")),
        Query(each_rack("tokens:rate5m", 'kind="output"')),
        Query(each_rack("power_watts:rate5m", AT)),
        Query(each_rack("tokens_per_joule:ratio5m", 'kind="output"', AT)),
        Query(_missing()),
        Query(f"{alerts} or {none}"),
        Query(f"{incidents} or 0 * {each_rack('nodes:expected')}"),
        columns=[
            Column("rack", "Rack", link=("Rack", to_board(shared.RACK_BOARD, rack="${__value.raw}"))),
            Column("A", "Coverage", looks.RATIO, 1, shared.COVERED),
            Column("B", "Output", looks.TOKENS_PER_SECOND, 1),
            Column("C", "Power", looks.WATTS, 1),
            Column("D", "Tokens/J", looks.TOKENS_PER_JOULE, 2),
            Column("E", "Missing", decimals=0, steps=looks.steps(looks.GOOD, (1, looks.BAD))),
            Column("F", "Alerts", decimals=0, steps=looks.steps(looks.GOOD, (1, looks.BAD))),
            Column("G", "Incidents", decimals=0, steps=looks.steps(looks.GOOD, (1, looks.WARN))),
        ],
        sort=[("Coverage", False)],
        none="No daemon reckons a rack, or the recording rules are not loaded",
    )
    return Row(9, [(12, table), (12, shared.firing('rack=~"$rack|"', racks=True))])


def _course() -> Row:
    panels = [
        series(
            "Output tokens per second, by rack",
            "Over five minutes.",
            Query(each_rack("tokens:rate5m", 'kind="output"'), "{{rack}}"),
            face=Face(looks.TOKENS_PER_SECOND, low=0, colour=looks.shades(looks.TOKENS["output"])),
            course=Course(fill=0),
        ),
        series(
            "Power, by rack",
            "At the chosen boundary, over five minutes.",
            Query(each_rack("power_watts:rate5m", AT), "{{rack}}"),
            face=Face(looks.WATTS, low=0, colour=looks.shades(looks.POWER["gpu"])),
            course=Course(fill=0),
        ),
        series(
            "Output tokens per joule, by rack",
            "Over five minutes. Compare a rack with its own past; with another only under the same model "
            "and shape.",
            Query(each_rack("tokens_per_joule:ratio5m", 'kind="output"', AT), "{{rack}}"),
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
            Query(each_rack("coverage:ratio"), "{{rack}}"),
            face=Face(looks.RATIO, steps=shared.COVERED, colour=looks.by_threshold(), low=0, high=1),
            course=Course(by_value=True, limits=True, fill=0, legend="hidden"),
        ),
        series(
            "Nodes that do not report, by rack",
            "Expected less reporting. Drained nodes are not expected.",
            Query(_missing(), "{{rack}}"),
            face=Face(
                decimals=0, low=0, steps=looks.steps(looks.QUIET, (1, looks.BAD)), colour=looks.by_threshold()
            ),
            course=Course(by_value=True, fill=0, soft=3),
        ),
    ]
    return Row(7, [(12, panel) for panel in panels])
