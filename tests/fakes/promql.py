"""Which metrics and labels a PromQL expression names, and which of them there are not."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import promql_parser as promql
import yaml

from agent import dashboards
from agent.measure.catalogue import CATALOGUE, PREFIX
from agent.measure.metric import MetricType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

RECORDING = tuple(dashboards.source_folder() / "rules" / name for name in ("recording.yml", "site.yml"))
"""What a server with nodes, racks and a site loads."""
ALERTING = dashboards.source_folder() / "rules" / "alerts.yml"
"""Alerts, and what is recorded for them."""
TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds to every series that it scrapes."""
OF_PROMETHEUS = {
    "up": TARGET,
    "scrape_duration_seconds": TARGET,
    "scrape_samples_scraped": TARGET,
    "scrape_samples_post_metric_relabeling": TARGET,
    "process_start_time_seconds": TARGET,
    "ALERTS": None,
    "ALERTS_FOR_STATE": None,
}
"""Series of Prometheus itself, and of any process; None: whatever labels their alerts have."""
_SET_OPERATIONS = ("and", "or", "unless")
_MANY = (promql.VectorMatchCardinality.ManyToOne, promql.VectorMatchCardinality.OneToMany)
_INTERVALS = re.compile(r"\$\{?__(?:rate_interval|interval|range)(?:_m?s)?\}?")

Labels = frozenset[str]


def interpolated(expr: str) -> str:
    """Return an expression of a board with an interval in place of Grafana's variables for one."""
    return _INTERVALS.sub("5m", expr)


def queries(block: str) -> list[str]:
    """Return the queries of a block of text, one after another, over one or several lines each."""
    found, begun = [], ""
    for line in block.splitlines():
        text = line.partition("#")[0].strip()
        if begun and (not text or (_is_whole(begun) and _is_whole(text))):
            found.append(begun)
            begun = ""
        begun = f"{begun} {text}".strip()
    return [*found, begun] if begun else found


def used(expr: str) -> set[tuple[str, Labels]]:
    """Return each metric that an expression selects, with the labels that it selects by."""
    return {(name, labels) for name, labels in _selected(promql.parse(expr))}


def recorded(*files: Path) -> dict[str, Labels]:
    """Return the labels of each series that rules files record, in their order."""
    records: dict[str, Labels] = {}
    for rule in rules_of(*files):
        if "record" in rule:
            found = labels_of(rule["expr"], records) | frozenset(rule.get("labels", {}))
            records[rule["record"]] = records.get(rule["record"], frozenset()) | found
    return records


def rules_of(*files: Path) -> list[dict[str, Any]]:
    """Return the rules of files, of all groups."""
    told = [yaml.safe_load(file.read_text()) for file in files]
    return [rule for file in told for group in file["groups"] for rule in group["rules"]]


@functools.cache
def shipped() -> dict[str, Labels]:
    """Return the labels of each series that the shipped rules record."""
    return recorded(*RECORDING)


@functools.cache
def known() -> dict[str, Labels]:
    """Return the same with what is recorded for alerts."""
    return recorded(*RECORDING, ALERTING)


def labels_of(expr: str, records: Mapping[str, Labels]) -> Labels:
    """Return the labels that the result of an expression has."""
    return _Reader(records).labels(promql.parse(expr)) or frozenset()


def unknown(expr: str, records: Mapping[str, Labels]) -> list[str]:
    """Say what an expression names that there is not: metrics, labels selected, grouped or matched by."""
    reader = _Reader(records)
    reader.labels(promql.parse(expr))
    return reader.wrong


@functools.cache
def exported() -> dict[str, Labels]:
    """Return the labels of each series that a scrape of rackwatt has; histograms by their parts."""
    known: dict[str, Labels] = {}
    for metric in CATALOGUE:
        name, labels = PREFIX + metric.name, frozenset(metric.labels) | TARGET
        if metric.type is MetricType.HISTOGRAM:
            known |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}
        else:
            known[name] = labels
    return known


def _is_whole(text: str) -> bool:
    try:
        promql.parse(text)
    except ValueError:
        return False
    return True


def _selected(tree: promql.Expr) -> Iterator[tuple[str, Labels]]:
    found: list[promql.VectorSelector] = []

    def note(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    promql.walk(tree, note)
    for selector in found:
        yield _selection(selector)


def _selection(selector: promql.VectorSelector) -> tuple[str, Labels]:
    matchers = selector.matchers.matchers
    named = next((m.value for m in matchers if m.name == "__name__"), "")
    return selector.name or named, frozenset(m.name for m in matchers if m.name != "__name__")


class _Reader:
    """Follows labels through one expression; None is: any label."""

    def __init__(self, records: Mapping[str, Labels]) -> None:
        self.wrong: list[str] = []
        self._known: dict[str, Labels | None] = {**OF_PROMETHEUS, **exported(), **records}

    def labels(self, node: promql.Expr) -> Labels | None:
        """Return the labels of a part's result, and note what is wrong in it."""
        match node:
            case promql.VectorSelector():
                return self._of_selector(node)
            case promql.MatrixSelector():
                return self._of_selector(node.vector_selector)
            case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
                return self.labels(node.expr)
            case promql.Call():
                return self._of_call(node)
            case promql.AggregateExpr():
                return self._of_aggregate(node)
            case promql.BinaryExpr():
                return self._of_binary(node)
            case _:
                return frozenset()

    def _of_selector(self, selector: promql.VectorSelector) -> Labels | None:
        name, chosen = _selection(selector)
        if name not in self._known:
            self.wrong.append(f"no metric {name}")
            return None
        known = self._known[name]
        self._check(chosen, known, name)
        return known

    def _of_call(self, call: promql.Call) -> Labels | None:
        inner: Labels | None = frozenset()
        for argument in call.args:
            found = self.labels(argument)
            inner = None if found is None or inner is None else inner | found
        name = call.func.name
        if name == "histogram_quantile":
            return _without(inner, {"le"})
        if name == "absent":
            return None
        if name in ("label_replace", "label_join") and inner is not None:
            texts = [each.val for each in call.args if isinstance(each, promql.StringLiteral)]
            return inner | {texts[0]}
        return inner

    def _of_aggregate(self, node: promql.AggregateExpr) -> Labels | None:
        inner = self.labels(node.expr)
        if node.modifier is None:
            return inner if _keeps_labels(node) else frozenset()
        chosen = frozenset(node.modifier.labels)
        self._check(chosen, inner, node.prettify())
        if _keeps_labels(node):
            return inner
        by = node.modifier.type == promql.AggModifierType.By
        return chosen if by else _without(inner, chosen)

    def _of_binary(self, node: promql.BinaryExpr) -> Labels | None:
        left, right = self.labels(node.lhs), self.labels(node.rhs)
        scalars = [_is_scalar(node.lhs), _is_scalar(node.rhs)]
        if any(scalars):
            return right if scalars[0] else left
        how = node.modifier
        matching = None if how is None else how.matching
        chosen = frozenset() if matching is None else frozenset(matching.labels)
        for side in (left, right):
            self._check(chosen, side, node.prettify())
        if str(node.op) in _SET_OPERATIONS:
            return left if str(node.op) != "or" or left is None or right is None else left | right
        if how is not None and how.card in _MANY:
            return self._of_many(node, left, right)
        on = matching is not None and matching.type == promql.LabelModifierType.Include
        return chosen if on else left

    def _of_many(self, node: promql.BinaryExpr, left: Labels | None, right: Labels | None) -> Labels | None:
        """Return the labels of many series matched with one: those of the many, and what the one gives."""
        many = node.modifier.card == promql.VectorMatchCardinality.ManyToOne
        most, one = (left, right) if many else (right, left)
        given = frozenset(node.modifier.group_labels or ())
        self._check(given, one, node.prettify())
        return None if most is None else most | given

    def _check(self, chosen: Labels, known: Labels | None, where: str) -> None:
        if known is not None:
            self.wrong += [f"no label {label} on {where}" for label in sorted(chosen - known)]


def _without(labels: Labels | None, gone: set[str] | Labels) -> Labels | None:
    return None if labels is None else labels - gone


def _keeps_labels(node: promql.AggregateExpr) -> bool:
    return str(node.op) in ("topk", "bottomk")


def _is_scalar(node: promql.Expr) -> bool:
    while isinstance(node, promql.ParenExpr | promql.UnaryExpr):
        node = node.expr
    if isinstance(node, promql.BinaryExpr):
        return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    return isinstance(node, promql.NumberLiteral) or (
        isinstance(node, promql.Call) and node.prettify().startswith(("scalar(", "time(", "vector("))
    )
