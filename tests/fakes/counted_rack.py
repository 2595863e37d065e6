"""Racks of node reckoners that are fed by hand: their documents go through JSON to a rack reckoner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.incident_desk import IncidentDesk
from agent.measure.engine import Demand, EngineReading, TokenCounter, TokenKind
from agent.measure.gpu import GpuIdentity, GpuProcess, GpuReading, Power, PowerScope
from agent.measure.node import NodeReckoner
from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.reading import Moment, Reading
from agent.measure.totals import MemberReading, totals_of
from agent.wire.totals import from_json, to_json

if TYPE_CHECKING:
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.snapshot import Snapshot
    from agent.measure.totals import NodeTotals

OUTPUT, PROMPT = TokenKind.OUTPUT, TokenKind.PROMPT
BUSY = (GpuProcess(7, None),)
EVERY_SECOND = 1.0
WATTS = 500.0


@dataclass
class Node:
    """Each instance makes 1,000 output and 3,000 prompt tokens a second, each GPU draws 500 W."""

    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields of the readings of each instance."""
    gpus: int = 1
    processes: tuple[GpuProcess, ...] | None = BUSY
    workers: bool = False


class CountedRack:
    """Nodes, and the rack that polls them once a second."""

    def __init__(self, **nodes: Node) -> None:
        self.nodes = nodes
        self.reckoners = {name: self._reckoner(name, node) for name, node in nodes.items()}
        self.desks = {name: IncidentDesk() for name in nodes}
        self.rack = RackReckoner(RackPlan(), 10.0)
        self.rack.expect([f"http://{name}:9744" for name in nodes])

    def run(self, start: int = 0, end: int = 14) -> RackSnapshot:
        """Poll every node once a second; return the rack at the end."""
        for second in range(start, end):
            for name in self.nodes:
                reading = MemberReading(self.document(name, float(second)), second - 0.001, second + 0.001)
                self.rack.take(f"http://{name}:9744", reading, EVERY_SECOND)
        return self.rack.snapshot(Moment(end - 0.9, 0.0), "own")

    def document(self, name: str, seconds: float) -> NodeTotals:
        """What a node says at a moment, as its reader understands it."""
        snapshot = self.desks[name].examined(self.snapshot(name, seconds))
        return from_json(to_json(totals_of(snapshot, Moment(seconds, 0.0))))

    def snapshot(self, name: str, seconds: float) -> Snapshot:
        """Feed a node everything that there is at a moment."""
        node, reckoner, at = self.nodes[name], self.reckoners[name], Moment(seconds, 0.0)
        gpus = tuple(_gpu(f"{name}-{number}", at, node.processes) for number in range(node.gpus))
        reckoner.take(Reading("nvml", at, gpus=gpus), EVERY_SECOND)
        reckoner.take(Reading("processes", at, serves_elsewhere=node.workers), EVERY_SECOND)
        for instance, fields in node.engines.items():
            told = _page(instance, at, **fields)
            reckoner.take(Reading(f"engines/{instance}", at, engines=(told,)), EVERY_SECOND)
        return reckoner.snapshot(at, (), {})

    def _reckoner(self, name: str, node: Node) -> NodeReckoner:
        reckoner = NodeReckoner(name, "r12", 10.0, f"boot:{name}", "run:1", ledger=f"ledger-{name}")
        reckoner.expect(["nvml", "processes", *(f"engines/{instance}" for instance in node.engines)])
        return reckoner


def one(instance: str = "e:8000", **fields: Any) -> Node:
    """A node of one engine."""
    return Node({instance: fields})


def _gpu(uuid: str, at: Moment, processes: tuple[GpuProcess, ...] | None) -> GpuReading:
    return GpuReading(
        identity=GpuIdentity(uuid, "NVIDIA GB300", "00000000:06:00.0", "580.95.05"),
        at=at,
        power={PowerScope.GPU: Power(WATTS)},
        energy_joules=WATTS * at.monotonic_seconds,
        utilization_ratio=0.0,
        processes=processes,
    )


def _page(instance: str, at: Moment, *, model: str = "llama", **fields: Any) -> EngineReading:
    seconds = at.monotonic_seconds
    return EngineReading(
        engine="vllm",
        instance=instance,
        model=model,
        at=at,
        asked_monotonic_seconds=seconds,
        epoch="start:0",
        counters=(
            TokenCounter("generated", model, OUTPUT, 1000.0 * seconds),
            TokenCounter("prompts", model, PROMPT, 3000.0 * seconds),
        ),
        demand=Demand(running=2.0, waiting=1.0),
        **fields,
    )
