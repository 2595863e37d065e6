"""Panels with our manners: a description, a legend, a word of sense where Grafana would say 'No data'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.grafana.boards import looks
from dashboards.grafana.boards.queries import SOURCE, Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REFS = "ABCDEFGHIJ"
HOVER = common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING)
LAST = common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False)


@dataclass(frozen=True, slots=True)
class Face:
    """How values are told: unit, digits, thresholds, words, and what stands where there is none."""

    unit: str = looks.COUNT
    decimals: int | None = None
    steps: build.ThresholdsConfig | None = None
    colour: build.FieldColor | None = None
    words: model.ValueMap | None = None
    none: str | None = None
    low: float | None = None
    high: float | None = None

    def on(self, panel: Any) -> None:
        """Give it to a panel."""
        panel.unit(self.unit)
        told = {
            "decimals": self.decimals,
            "thresholds": self.steps,
            "color_scheme": self.colour,
            "mappings": None if self.words is None else [self.words],
            "no_value": self.none,
            "min": self.low,
            "max": self.high,
        }
        for name, value in told.items():
            if value is not None:
                getattr(panel, name)(value)


def begun(
    panel: Any,
    title: str,
    about: str,
    queries: Sequence[Query],
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
    *,
    now: bool = False,
) -> None:
    """Give a panel what each has."""
    panel.title(title).description(about).datasource(SOURCE)
    for ref, query in zip(REFS, queries, strict=False):
        panel.with_target(query.target(ref, form, now=now))


def figure(
    title: str,
    about: str,
    *queries: Query,
    face: Face,
    says: Literal["value", "name", "value_and_name"] = "value",
) -> stat.Panel:
    """Return the value of now, large.

    Without its course behind it: that would be asked for over the time shown, and the last value of a series
    that is gone would pass for now's.
    """
    panel = stat.Panel()
    begun(panel, title, about, queries, now=True)
    face.on(panel)
    panel.reduce_options(LAST).color_mode(look.BigValueColorMode.VALUE)
    panel.graph_mode(look.BigValueGraphMode.NONE)
    panel.text_mode(look.BigValueTextMode(says)).justify_mode(look.BigValueJustifyMode.CENTER)
    panel.text(common.VizTextDisplayOptions().value_size(26))
    if len(queries) > 1:
        panel.orientation(look.VizOrientation.VERTICAL)
    return panel


@dataclass(frozen=True, slots=True)
class Course:
    """How a time series is drawn."""

    colours: Mapping[str, str] | None = None
    """By the names of the series, or patterns of them."""
    legend: Literal["list", "table", "hidden"] = "list"
    stacked: bool = False
    bars: bool = False
    fill: int = 8
    limits: bool = False
    """Whether the thresholds are drawn as lines."""
    by_value: bool = False
    """Whether a line has the colour of the threshold that its value has passed."""
    right: Mapping[str, str] | None = None
    """Series with an axis on the right, and their units."""
    dashed: Sequence[str] = ()
    soft: float | None = None
    """What the axis reaches at least, so that zero is not drawn on a scale of nothing."""


def series(
    title: str, about: str, *queries: Query, face: Face, course: Course | None = None
) -> timeseries.Panel:
    """Return values over time."""
    drawn = course or Course()
    panel = timeseries.Panel()
    begun(panel, title, about, queries)
    face.on(panel)
    panel.tooltip(HOVER).legend(_legend(drawn)).line_width(1).fill_opacity(drawn.fill)
    panel.show_points(look.VisibilityMode.NEVER).span_nulls(span_nulls=False)
    if drawn.bars:
        panel.draw_style(look.GraphDrawStyle.BARS).fill_opacity(70).bar_width_factor(0.8)
    if drawn.stacked:
        panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A")).line_width(0)
    if drawn.limits:
        style = common.GraphThresholdsStyleConfig().mode(look.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(style)
    if drawn.by_value:
        panel.gradient_mode(look.GraphGradientMode.SCHEME)
    if drawn.soft is not None:
        panel.axis_soft_max(drawn.soft)
    _overrides(panel, drawn)
    return panel


def _legend(drawn: Course) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(drawn.legend != "hidden")
    legend.placement(look.LegendPlacement.BOTTOM).display_mode(look.LegendDisplayMode.LIST)
    if drawn.legend == "table":
        legend.display_mode(look.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    return legend


def _overrides(panel: timeseries.Panel, drawn: Course) -> None:
    for pattern, colour in (drawn.colours or {}).items():
        value = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_regexp(f"/^{pattern}$/", [model.DynamicConfigValue(id_val="color", value=value)])
    for pattern, unit in (drawn.right or {}).items():
        properties = [
            model.DynamicConfigValue(id_val="unit", value=unit),
            model.DynamicConfigValue(id_val="custom.axisPlacement", value="right"),
            model.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        ]
        if drawn.stacked:  # areas without lines; what has an axis of its own lies on nothing
            alone = {"mode": "none", "group": "A"}
            properties.append(model.DynamicConfigValue(id_val="custom.stacking", value=alone))
            properties.append(model.DynamicConfigValue(id_val="custom.lineWidth", value=1))
        panel.override_by_regexp(f"/^{pattern}$/", properties)
    for pattern in drawn.dashed:
        properties = [
            model.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}),
            model.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        ]
        panel.override_by_regexp(f"/^{pattern}$/", properties)


def states(title: str, about: str, *queries: Query, face: Face) -> statetimeline.Panel:
    """Return what was when, as bars of colour."""
    panel = statetimeline.Panel()
    begun(panel, title, about, queries)
    face.on(panel)
    panel.tooltip(HOVER).legend(common.VizLegendOptions().show_legend(show_legend=False))
    panel.show_value(look.VisibilityMode.NEVER).row_height(0.8).fill_opacity(70).line_width(0)
    return panel


def bars(title: str, about: str, *queries: Query, face: Face) -> bargauge.Panel:
    """Return last values side by side, as bars from zero."""
    panel = bargauge.Panel()
    begun(panel, title, about, queries, now=True)
    face.on(panel)
    panel.reduce_options(LAST).orientation(look.VizOrientation.HORIZONTAL).min(0)
    panel.display_mode(look.BarGaugeDisplayMode.BASIC).value_mode(look.BarGaugeValueMode.TEXT)
    panel.legend(common.VizLegendOptions().show_legend(show_legend=False))
    panel.text(common.VizTextDisplayOptions().title_size(16).value_size(18))
    return panel
