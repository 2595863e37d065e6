"""Tables: a row for each node, GPU or alert, few columns, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.grafana.boards import looks
from dashboards.grafana.boards.panels import begun

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import dashboard as build

    from dashboards.grafana.boards.queries import Query

NOTHING = "-"
"""In a cell; the panel's own word stands where there is no row at all."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a label, or the value of a query by its letter."""

    of: str
    """Name of a label, or the letter of a query."""
    title: str
    unit: str | None = None
    decimals: int | None = None
    steps: build.ThresholdsConfig | None = None
    words: model.ValueMap | None = None
    link: tuple[str, str] | None = None
    """What it leads to, and the address."""
    width: int | None = None

    def properties(self) -> list[model.DynamicConfigValue]:
        """Return how it is told."""
        told: dict[str, Any] = {
            "noValue": NOTHING,
            "unit": self.unit,
            "decimals": self.decimals,
            "mappings": None if self.words is None else [self.words],
            "custom.width": self.width,
        }
        if self.steps is not None:
            told |= {"thresholds": self.steps.build(), "color": {"mode": "thresholds"}}
        if self.steps is not None or self.words is not None:
            told["custom.cellOptions"] = {"type": "color-text"}
        if self.link is not None:
            told["links"] = [{"title": self.link[0], "url": self.link[1]}]
        return [
            model.DynamicConfigValue(id_val=name, value=value)
            for name, value in told.items()
            if value is not None
        ]


def rows(
    title: str, about: str, *queries: Query, columns: list[Column], sort: list[tuple[str, bool]], none: str
) -> table.Panel:
    """Return a table; queries of several columns are put together by the labels that they share."""
    panel = table.Panel()
    begun(panel, title, about, queries, PromQueryFormat.TABLE, now=True)
    panel.no_value(none).unit(looks.COUNT)
    fields = {each.of if len(each.of) > 1 else _value(each.of, len(queries)): each for each in columns}
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    shown = {"include": {"names": list(fields)}}
    panel.with_transformation(model.DataTransformerConfig(id_val="filterFieldsByName", options=shown))
    named = {
        "renameByName": {field: each.title for field, each in fields.items()},
        "indexByName": {field: place for place, field in enumerate(fields)},
        "excludeByName": {},
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=named))
    for each in columns:
        panel.override_by_name(each.title, each.properties())
    panel.sort_by([common.TableSortByFieldState().display_name(name).desc(down) for name, down in sort])
    return panel


def _value(letter: str, queries: int) -> str:
    return f"Value #{letter}" if queries > 1 else "Value"
