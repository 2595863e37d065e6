"""Incidents of the twin lived through in virtual time by the real code, with the flight recorder on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.signs import signs_of
from agent.recorder.flight_recorder import Cut, FlightRecorder
from agent.twin import scenario
from benchmarks.virtual_tray import VirtualNode

if TYPE_CHECKING:
    from agent.diagnose.signs import NodeSigns
    from agent.measure.incident import Incident

FACTS = {"scope": "node", "rackwatt": "0.1.0", "node": "tray-00", "rack": "r12", "boot_id": "boot-1"}
MODEL = "meta-llama/Llama-2-70b-chat-hf"


@dataclass
class Recorded:
    """What was recorded, and what was told meanwhile."""

    recorder: FlightRecorder
    cuts: list[Cut]
    signs: list[NodeSigns] = field(default_factory=list)
    incidents: tuple[Incident, ...] = ()


def recorded(event: str, seconds: int, memory_bytes: int = 4 << 20) -> Recorded:
    """Live through one event of a tray."""
    text = f"seed: 3\nrack: {{trays: 1}}\nload: {{level: 0.9, noise: 0.02}}\nevents:\n  - {event}\n"
    node, memory, cuts = VirtualNode(scenario.parse(text, "test")), Memory(), list[Cut]()
    told = Recorded(FlightRecorder(memory_bytes, FACTS, cuts.append), cuts)
    for _ in node.run(seconds):
        assert node.snapshot is not None
        signs, before = signs_of(node.snapshot), memory
        memory = diagnosed(memory, signs)
        told.recorder.take(signs, memory.incidents, before)
        told.signs.append(signs)
    told.incidents = memory.incidents
    return told
