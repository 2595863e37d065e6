"""Meters of other nodes that this daemon reads for its rack: BMCs that their own nodes cannot reach."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.measure.meter import NODE
from agent.measure.node_boundaries import doubted
from agent.measure.node_meters import NodeMeters, RackMeter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.measure.ledger import Ledger
    from agent.measure.meter import MeterReading
    from agent.measure.reading import Reading
    from agent.measure.series import Horizon


class MemberMeters:
    """The meters of each such node, as a node has its own; none of them is a figure of this node."""

    def __init__(self, ledger: Ledger, horizon: Horizon) -> None:
        self.known: frozenset[str] | None = None
        """Names of the rack's members; None while nobody has told of any."""
        self._ledger, self._horizon = ledger, horizon
        self._nodes: dict[str, NodeMeters] = {}

    def expect(self, sources: Collection[str]) -> None:
        """Know the meters of the sources that are offered, and only those."""
        for meters in self._nodes.values():
            meters.expect(sources)
        self._nodes = {name: meters for name, meters in self._nodes.items() if meters.up}

    def take(self, reading: Reading, cadence_seconds: float) -> Reading:
        """Book what is told of other nodes; return the reading without it."""
        if not any(meter.node for meter in reading.meters):
            return reading
        told: dict[str, list[MeterReading]] = {}
        for meter in reading.meters:
            told.setdefault(meter.node, []).append(meter)
        own = told.pop("", [])
        for name, meters in told.items():
            self._of(name).take(replace(reading, meters=tuple(meters)), cadence_seconds, ())
        return replace(reading, meters=tuple(own))

    def miss(self, source: str) -> None:
        """Note that a source failed."""
        for meters in self._nodes.values():
            meters.miss(source)

    def told(self) -> Mapping[str, RackMeter]:
        """Return what is known of the power of each node."""
        found = {name: self._told(meters) for name, meters in self._nodes.items()}
        return {name: meter for name, meter in found.items() if meter is not None}

    @property
    def up(self) -> dict[tuple[str, str, str], bool]:
        """Tell of each meter whether it answers; its unit begins with the name of its node."""
        return {
            (source, part, f"{name}/{unit}"): up
            for name, meters in sorted(self._nodes.items())
            for (source, part, unit), up in meters.up.items()
        }

    @property
    def energy_by(self) -> dict[tuple[str, str, str], str]:
        """Tell of each meter that answers how its total is known."""
        return {
            (source, part, f"{name}/{unit}"): how
            for name, meters in sorted(self._nodes.items())
            for (source, part, unit), how in meters.energy_by.items()
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Name the nodes whose meter is dead, and meters of nodes that are no members."""
        dead = [
            f"{source}: the meter {unit} of node {name} does not answer: the rack lacks the power of {name}, "
            "unless the node tells it itself"
            for name, meters in sorted(self._nodes.items())
            for (source, part, unit), up in meters.up.items()
            if part == NODE and not up
        ]
        strange = [
            f"the meter of node {name!a} is read, and no member of the rack that has answered is called so: "
            "see node under the target"
            for name in sorted(self._nodes)
            if self.known is None or name not in self.known
        ]
        return (*dead, *strange)

    def _of(self, name: str) -> NodeMeters:
        if name not in self._nodes:
            self._nodes[name] = NodeMeters(self._ledger, self._horizon, f"member/{name}/")
        return self._nodes[name]

    def _told(self, meters: NodeMeters) -> RackMeter | None:
        meter = meters.of(NODE)
        if meter is None or meter.figures is None or NODE not in meters.check({}):
            return meter
        return meter._replace(figures=doubted(meter.figures))
