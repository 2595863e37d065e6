"""The shipped boards: their panels, and every query that they ask."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent import dashboards

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES = sorted((dashboards.source_folder() / "grafana").glob("*.json"))
_LABEL_VALUES = re.compile(r"label_values\((?P<expr>.+), (?P<label>\w+)\)")
_QUERY_RESULT = re.compile(r"query_result\((?P<expr>.+)\)")
_VARIABLE = re.compile(r"\$\{([a-z]\w*)(?::\w+)?\}|\$([a-z]\w*)")
_RANGES = re.compile(r"\$\{?__(?:rate_interval|interval|range)\}?")


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of a board: who asks, what, and which labels it is read by."""

    board: str
    by: str
    expr: str
    labels: tuple[str, ...] = ()
    """Labels that a legend, a column or a variable reads of the result."""

    @property
    def name(self) -> str:
        return f"{self.board}/{self.by}"

    def with_values(self, values: Mapping[str, str], interval: str) -> str:
        """Return the expression as Grafana sends it."""
        expr = _RANGES.sub(interval, self.expr)
        return _VARIABLE.sub(lambda found: values[found[1] or found[2]], expr)


def loaded() -> dict[str, dict[str, Any]]:
    """Return the boards by their uid."""
    boards = [json.loads(file.read_text()) for file in FILES]
    return {board["uid"]: board for board in boards}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board: dict[str, Any]) -> list[dict[str, Any]]:
    return list(board["templating"]["list"])


def asked(board: dict[str, Any]) -> Iterator[Asked]:
    """Return every query: of panels, variables and annotations."""
    uid = board["uid"]
    for panel in panels(board):
        for target in panel["targets"]:
            legend = tuple(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            yield Asked(uid, f"{panel['title']}/{target['refId']}", target["expr"], legend)
    for variable in variables(board):
        if variable["type"] == "query":
            yield of_variable(uid, variable)
    for mark in board["annotations"].get("list", []):
        named = tuple(re.findall(r"\{\{(\w+)\}\}", mark["titleFormat"] + mark["textFormat"]))
        yield Asked(uid, f"mark/{mark['name']}", mark["target"]["expr"], named)


def of_variable(uid: str, variable: dict[str, Any]) -> Asked:
    """Return what is asked for the values of a variable."""
    query = variable["query"]["query"]
    found = _LABEL_VALUES.fullmatch(query)
    if found is not None:
        return Asked(uid, f"variable/{variable['name']}", found["expr"], (found["label"],))
    found = _QUERY_RESULT.fullmatch(query)
    assert found is not None, query
    label = re.search(r"(\w+)=", variable["regex"])
    assert label is not None, variable["regex"]
    return Asked(uid, f"variable/{variable['name']}", found["expr"], (label[1],))
