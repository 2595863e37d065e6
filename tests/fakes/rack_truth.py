"""What a twin makes over a whole scenario, reckoned in this process: the same physics, no clock."""

from __future__ import annotations

from agent.twin.grid import NANO, PICO, STEP_NS, STEPS_PER_SECOND
from agent.twin.rack import Rack
from agent.twin.scenario import parse
from agent.twin.truth import KINDS

GPU, MODULE = "gpu", "module"


class RackTruth:
    """Cumulative tokens and joules of every tray on the grid of 100 ms; linear in between, so exact."""

    def __init__(self, scenario: str, began_ns: int, seconds: float) -> None:
        rack = Rack(parse(scenario, "test"))
        self.trays = range(len(rack))
        self._began_ns = began_ns
        self._made: list[list[tuple[int, ...]]] = [[] for _ in self.trays]
        for step in range(int(seconds * STEPS_PER_SECOND)):
            for number in self.trays:
                tray, _ = rack.tray(number, step * STEP_NS)
                made = [sum(kind) for kind in zip(*(e.total_pt for e in tray.engines), strict=True)]
                gpus = sum(gpu.energy_pj for gpu in tray.gpus)
                rest = sum(module.rest_pj for module in tray.modules)
                self._made[number].append((*made, gpus, gpus + rest))

    def tokens(self, tray: int, kind: str, at: float) -> float:
        """Tokens that a tray has made by a moment of the monotonic clock."""
        return self._at(tray, KINDS.index(kind), at)

    def joules(self, tray: int, boundary: str, at: float) -> float:
        """Joules that it has drawn by then."""
        return self._at(tray, 3 if boundary == GPU else 4, at)

    def rate(self, tray: int, kind: str, start: float, end: float) -> float:
        """Its mean tokens per second between two moments."""
        return (self.tokens(tray, kind, end) - self.tokens(tray, kind, start)) / (end - start)

    def _at(self, tray: int, column: int, at: float) -> float:
        step, rest_ns = divmod(max(0, round(at * NANO) - self._began_ns), STEP_NS)
        rows = self._made[tray]
        before = rows[step][column]
        return (before + (rows[step + 1][column] - before) * rest_ns / STEP_NS) / PICO
