"""Power of members that the rack's daemon reads itself, of nodes that do not tell it; none is counted twice.

A node that tells its own power is believed. What is read here counts only as long as the node has never told
any, and what both have counted at the hand-over counts once.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.measure.meter import NODE
from agent.measure.totals import BoundaryTotals

if TYPE_CHECKING:
    from agent.measure.node_meters import RackMeter
    from agent.measure.totals import NodeTotals

READ_HERE = "@rack"
"""The source of what the rack's daemon reads ends so: redfish@rack."""


def with_meter(totals: NodeTotals, meter: RackMeter | None, shift_seconds: float) -> NodeTotals:
    """Return what a node tells, with its power as it was read here; `shift_seconds` leads to our clock."""
    told = None if meter is None else meter.figures
    if meter is None or told is None or any(at.boundary == NODE for at in totals.boundaries):
        return totals
    if told.energy_joules_total is None or told.at_monotonic_seconds is None:
        return totals
    since = told.since_monotonic_seconds
    read = BoundaryTotals(
        boundary=NODE,
        source=f"{meter.source}{READ_HERE}",
        joules=told.energy_joules_total,
        at_seconds=told.at_monotonic_seconds - shift_seconds,
        since_seconds=None if since is None else since - shift_seconds,
        cadence_seconds=told.cadence_seconds,
        power_watts=told.power_watts,
        reasons=told.reasons,
        flags=told.flags,
    )
    return replace(totals, boundaries=(*totals.boundaries, read))


def moved(before: NodeTotals | None, after: NodeTotals) -> list[str]:
    """Return the boundaries that are read elsewhere now, here or there: theirs is another count."""
    was = {} if before is None else {at.boundary: at.source for at in before.boundaries}
    return [
        at.boundary
        for at in after.boundaries
        if was.get(at.boundary, at.source).endswith(READ_HERE) != at.source.endswith(READ_HERE)
    ]


class OutsideBook:
    """Energy that was read here, by name of the node; never falls (T1)."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        """The meter's total when it was last looked at."""
        self._joules: dict[str, float] = {}
        self._open: dict[str, float] = {}
        """Part of it since the node last told its own power."""

    @property
    def joules(self) -> dict[str, float]:
        """Energy of all nodes, by boundary; empty where nothing was ever read here."""
        return {NODE: math.fsum(self._joules.values())} if self._joules else {}

    def take(self, node: str, total: float, *, counts: bool) -> None:
        """See a meter's total; what it has grown by counts if its node has never told its power."""
        grown = max(0.0, total - self._seen.get(node, total))
        self._seen[node] = total
        if counts:
            self._joules[node] = self._joules.get(node, 0.0) + grown
            self._open[node] = self._open.get(node, 0.0) + grown

    def hand_over(self, node: str, told: float) -> None:
        """Take out what a node that begins to tell its power has counted as well."""
        both = min(self._open.pop(node, 0.0), told)
        if node in self._joules:
            self._joules[node] = max(0.0, self._joules[node] - both)

    def dump(self) -> list[list[Any]]:
        """Return what must survive a restart, as plain values."""
        return [
            [node, seen, self._joules.get(node), self._open.get(node)] for node, seen in self._seen.items()
        ]

    def load(self, kept: Any) -> None:
        """Take what `dump` gave. Raises ValueError or TypeError when it is something else."""
        rows = [(str(node), _total(seen), _maybe(own), _maybe(part)) for node, seen, own, part in kept]
        self._seen = {node: seen for node, seen, _, _ in rows}
        self._joules = {node: own for node, _, own, _ in rows if own is not None}
        self._open = {node: part for node, _, _, part in rows if part is not None}


def _maybe(value: Any) -> float | None:
    return None if value is None else _total(value)


def _total(value: Any) -> float:
    number = float(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"not a total: {value!r}")
    return number
