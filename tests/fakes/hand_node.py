"""A node second by second as a test says: rates of its engine and its GPUs, straight into diagnosis."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.diagnosis import Memory, baselines_of, diagnosed, standing_of, with_baselines
from agent.diagnose.kept import recalled
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.incident import Incident

BOOTED_SECONDS, WALL_SECONDS = 1000.0, 1_760_000_000.0
GPU = GpuSigns(0, "ok", power_watts=900.0, limit_watts=1400.0, utilization_ratio=0.97, clock_hertz=2.0e9)


@dataclass(slots=True)
class HandNode:
    """`live` goes on for some seconds; what it was told since the beginning is in `told`."""

    rate: float = 1000.0
    gpus: tuple[GpuSigns, ...] = (GPU,)
    engine: dict[str, Any] = field(default_factory=dict)
    """Fields of its engine that are not as usual."""
    second: int = 0
    booted: float = BOOTED_SECONDS
    memory: Memory = field(default_factory=Memory)
    told: list[tuple[int, Incident]] = field(default_factory=list)
    unseen: bool = False
    """Nothing offers its deployment."""
    _made: float = 0.0

    def live(self, seconds: int, rate: float | None = None, **engine: Any) -> HandNode:
        """Go on at this rate with these fields of the engine, until they are said to be others."""
        self.rate, self.engine = self.rate if rate is None else rate, engine or self.engine
        for _ in range(seconds):
            self.second += 1
            self._made += self.rate
            self.memory = diagnosed(self.memory, self.signs())
            self.told += [(self.second, each) for each in self.memory.incidents if each.ended is None]
        return self

    def gpu(self, number: int = 0, **changes: Any) -> HandNode:
        """Let one GPU be another from now on."""
        gpus = [replace(each, **changes) if each.gpu == number else each for each in self.gpus]
        self.gpus = tuple(gpus)
        return self

    def signs(self) -> NodeSigns:
        """Return what it shows now."""
        at = Moment(self.booted + self.second, WALL_SECONDS + self.second)
        usual = EngineSigns(
            "e",
            up=True,
            gone=False,
            activity=Activity.SERVING,
            restarts=0.0,
            output=Point(at.monotonic_seconds, self._made),
            running=20.0,
            waiting=0.0,
        )
        unit = UnitSigns("m", "llama", (replace(usual, **self.engine),), self.gpus)
        units = () if self.unseen else (unit,)
        return NodeSigns(at, "node-a", drained=False, units=units, gpus=self.gpus)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """All of them, the newest first."""
        return self.memory.incidents


def restarted(node: HandNode, pause_seconds: int = 5, *, without: Sequence[str] = ()) -> HandNode:
    """The same node to a daemon that begins anew, on a machine whose monotonic clock begins anew as well.

    An earlier version kept nothing that is called so.
    """
    told = json.loads(json.dumps([standing_of(node.memory), baselines_of(node.memory)]))
    for each in (told[0], *told[1].values()):
        for name in without:
            each.pop(name, None)
    memory = with_baselines(Memory(resumed=recalled(told[0], node.incidents)), told[1])
    booted = 50.0 - node.second
    return type(node)(node.rate, node.gpus, node.engine, node.second + pause_seconds, booted, memory)
