"""A whole board: its variables, links and annotations, and where its panels stand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from dashboards.grafana.boards.queries import SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence

TAG = "rackwatt"
WIDE = 24
UNASKED = {
    ("repeatDirection", "h"),
    ("transparent", False),
    ("placement", "inControlsMenu"),  # where links and marks are hidden from who does not look for them
    ("auto", False),  # this and the next two: of variables of another kind
    ("auto_count", 30),
    ("auto_min", "10s"),
}
"""What the library writes though nobody asks for it."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, each with its width of 24; a title begins a part of the board."""

    height: int
    panels: Sequence[tuple[int, Any]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """What a board is made of."""

    uid: str
    title: str
    about: str
    variables: Sequence[build.QueryVariable]
    rows: Sequence[Row]
    annotations: Sequence[build.AnnotationQuery] = ()
    links: Sequence[build.DashboardLink] = ()

    def json(self) -> str:
        """Return it as Grafana imports and provisions it."""
        made = build.Dashboard(self.title).uid(self.uid).description(self.about).tags([TAG])
        made.time("now-1h", "now").refresh("30s").timezone("browser")
        made.tooltip(model.DashboardCursorSync.CROSSHAIR)
        made.variables([_source(), *self.variables]).annotations(list(self.annotations))
        made.links([_boards(), *self.links])
        told = json.loads(JSONEncoder().encode(made.build()))
        told["panels"] = _placed(self.rows)
        return json.dumps(_without_defaults(told), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Put the panels on the grid, numbered in the order of reading."""
    placed: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        if row.title:
            header = build.Row(row.title).collapsed(collapsed=False)
            placed.append(_at(header, len(placed) + 1, 0, y, WIDE, 1))
            y += 1
        x = 0
        for width, panel in row.panels:
            placed.append(_at(panel, len(placed) + 1, x, y, width, row.height))
            x += width
        if x > WIDE:
            raise ValueError(f"a row is {x} wide, not {WIDE}: begin another")
        y += row.height
    return placed


def _at(panel: Any, number: int, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    panel.id(number).grid_pos(model.GridPos(x=x, y=y, w=width, h=height))
    told: dict[str, Any] = json.loads(JSONEncoder().encode(panel.build()))
    if told["type"] == "table":
        del told["options"]["footer"]  # the library writes it; Grafana 12.4 has none
    return told


def _without_defaults(told: Any) -> Any:
    """Leave out what nobody asked for, where Grafana would choose otherwise."""
    if isinstance(told, list):
        return [_without_defaults(each) for each in told]
    if not isinstance(told, dict):
        return told
    return {
        name: _without_defaults(value)
        for name, value in told.items()
        if not (isinstance(value, str | bool | int) and (name, value) in UNASKED)
    }


def _source() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus")


def choice(
    name: str,
    label: str,
    query: str,
    *,
    several: bool = False,
    first: str | None = None,
    hidden: bool = False,
    pattern: str = "",
) -> build.QueryVariable:
    """Return a variable whose values are those of a label: one of them, or all until some are chosen."""
    made = build.QueryVariable(name).label(label).datasource(SOURCE)
    made.query({"query": query, "refId": f"variable-{name}"}).definition(query)
    made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.NATURAL_ASC)
    if pattern:
        made.regex(pattern)
    if hidden:
        made.hide(model.VariableHide.HIDE_VARIABLE)
    if several:
        made.multi(multi=True).include_all(include_all=True).all_value(".+")
        made.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    elif first is not None:
        made.current(model.VariableOption(selected=True, text=first, value=first))
    return made


def mark(
    name: str, colour: str, expr: str, title: str, text: str, *, tags: str = ""
) -> build.AnnotationQuery:
    """Return what is marked on every time axis while an expression has a value; its tags are labels."""
    made = build.AnnotationQuery().name(name).icon_color(colour).enable(enable=True).datasource(SOURCE)
    made.target(prometheus.Dataquery().expr(expr).ref_id("Anno").interval("30s"))
    if tags:
        made.tag_keys(tags)
    return made.title_format(title).text_format(text)


def address(title: str, url: str, hint: str) -> build.DashboardLink:
    """Return a link to a page elsewhere."""
    made = build.DashboardLink(title).type(model.DashboardLinkType.LINK).icon("external link")
    return made.url(url).tooltip(hint).target_blank(target_blank=True)


def _boards() -> build.DashboardLink:
    made = build.DashboardLink("Boards").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return made.keep_time(keep_time=True).include_vars(include_vars=True).icon("dashboard")


def to_board(uid: str, **values: str) -> str:
    """Return the address of another board, with variables and the time range kept."""
    chosen = "".join(f"&var-{name}={value}" for name, value in values.items())
    return f"/d/{uid}/?${{datasource:queryparam}}{chosen}&${{__url_time_range}}"
