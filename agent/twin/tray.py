"""One tray: its GPUs, its engines, and what happens to them, step by step; no clock, no randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.twin import gb300
from agent.twin.effects import effects_of
from agent.twin.engine import Engine, EngineTraits
from agent.twin.gpu import Gpu, GpuTraits
from agent.twin.grid import MILLI, NANO, STEP_NS
from agent.twin.load import level_at
from agent.twin.scenario import Parallel

if TYPE_CHECKING:
    from agent.twin.effects import Effects
    from agent.twin.events import Event
    from agent.twin.scenario import Scenario

KEPT_XIDS = 64


class Plan:
    """What never changes about a tray."""

    __slots__ = ("events", "number", "per_engine", "scenario", "tensor")

    def __init__(self, scenario: Scenario, number: int) -> None:
        self.scenario = scenario
        self.number = number
        self.events = tuple(event for event in scenario.events if event.hits(number))
        self.per_engine = scenario.rack.gpus_per_tray // scenario.rack.engines_per_tray
        self.tensor = scenario.rack.parallel is Parallel.TENSOR


class Tray:
    """A tray at the beginning of a step."""

    __slots__ = ("active", "effects", "engines", "gpus", "modules", "plan", "rest", "step")

    def __init__(self, scenario: Scenario, number: int) -> None:
        """Begin at the start of the twin."""
        shape = scenario.rack
        self.plan = Plan(scenario, number)
        self.step = 0
        gpus = range(shape.gpus_per_tray)
        self.gpus = [Gpu(GpuTraits(scenario.seed, number, gpu, shape.busy_watts)) for gpu in gpus]
        idle, busy = gb300.MODULE_REST_WATTS, gb300.BUSY_REST_WATTS
        self.modules = [Rest(idle, busy) for _ in gpus[:: gb300.GPUS_PER_MODULE]]
        self.rest = Rest(gb300.NODE_REST_WATTS, gb300.NODE_BUSY_REST_WATTS)
        self.engines = [Engine(EngineTraits(shape, number)) for _ in range(shape.engines_per_tray)]
        self.active: tuple[Event, ...] = ()
        self.effects: Effects = effects_of((), len(self.engines), len(self.gpus))
        self._settle()

    def clone(self) -> Tray:
        """Return a copy that can go its own way."""
        twin = Tray.__new__(Tray)
        twin.plan, twin.step, twin.active, twin.effects = self.plan, self.step, self.active, self.effects
        twin.gpus = [gpu.clone() for gpu in self.gpus]
        twin.modules = [module.clone() for module in self.modules]
        twin.rest = self.rest.clone()
        twin.engines = [engine.clone() for engine in self.engines]
        return twin

    def advance(self, step: int) -> None:
        """Live up to the beginning of a step."""
        while self.step < step:
            for gpu in self.gpus:
                gpu.integrate()
            for module in self.modules:
                module.integrate()
            self.rest.integrate()
            for engine in self.engines:
                engine.integrate()
            self.step += 1
            self._settle()

    def _settle(self) -> None:
        """Find out what stands during this step."""
        active = tuple(event for event in self.plan.events if event.active(self.step))
        if active != self.active:
            self._change(effects_of(active, len(self.engines), len(self.gpus)))
            self.active = active
        if self.effects.off:
            self._switch_off()
            return
        for gpu, effects in zip(self.gpus, self.effects.gpus, strict=True):
            gpu.warm(effects.degrees)
            gpu.clock(effects)
        scenario = self.plan.scenario
        offered = level_at(scenario.load, scenario.seed, self.plan.number, self.step) * self.effects.demand
        for place, engine in enumerate(self.engines):
            self._run(place, engine, offered)
        for place, module in enumerate(self.modules):
            module.settle(self.gpus[place * gb300.GPUS_PER_MODULE : (place + 1) * gb300.GPUS_PER_MODULE])
        self.rest.settle(self.gpus)

    def _change(self, effects: Effects) -> None:
        """Let events begin and end."""
        before, self.effects = self.effects, effects
        now_ns = self.step * STEP_NS
        for gpu, was, now in zip(self.gpus, before.gpus, effects.gpus, strict=True):
            fresh = tuple((now_ns, xid) for xid in sorted(now.xids - was.xids))
            gpu.xids = (*gpu.xids, *fresh)[-KEPT_XIDS:]
            if (was.lost and not now.lost) or (before.off and not effects.off):
                gpu.reset()
            gpu.lost = now.lost

    def _switch_off(self) -> None:
        for gpu in self.gpus:
            gpu.switch_off()
        for module in self.modules:
            module.rest_mw = 0
        self.rest.rest_mw = 0
        for engine in self.engines:
            engine.crash(0.0)

    def _run(self, place: int, engine: Engine, offered: float) -> None:
        """Let one engine and its GPUs work."""
        group = self.gpus[place * self.plan.per_engine : (place + 1) * self.plan.per_engine]
        alive = [gpu for gpu in group if not gpu.lost]
        if place in self.effects.down or not alive or (self.plan.tensor and len(alive) < len(group)):
            engine.crash(offered)
        elif engine.down:
            engine.start(self.step)
        if engine.down:
            for gpu in group:
                gpu.work(0.0, 0.0)
            return
        effects = self.effects
        stalled = place in effects.stalled
        slowest = min(gpu.speed for gpu in alive)
        speed = slowest if self.plan.tensor else sum(gpu.speed for gpu in alive) / len(group)
        links = effects.links if self.plan.tensor and len(group) > 1 else 1.0
        busy = engine.plan(
            offered, speed * links * effects.host, effects.cache, effects.prompts, stalled=stalled
        )
        waits = links * effects.host * effects.cache
        for gpu in group:
            if gpu.lost:
                gpu.work(0.0, 0.0)
            elif stalled:
                gpu.work(gb300.STALL_ACTIVITY if engine.running else 0.0, 1.0 if engine.running else 0.0)
            else:
                share = slowest / gpu.speed if self.plan.tensor else 1.0
                gpu.work(busy * waits * share, busy)

    def energy_pj(self, rest_ns: int) -> int:
        """Return what the whole tray has used since the start of the twin."""
        beside = sum(each.energy_at_pj(rest_ns) for each in (*self.modules, self.rest))
        return beside + sum(gpu.energy_at_pj(rest_ns) for gpu in self.gpus)

    def mean_mw(self, rest_ns: int) -> int:
        """Return what the whole tray drew in the last second."""
        beside = sum(each.mean_mw(rest_ns) for each in (*self.modules, self.rest))
        return beside + sum(gpu.mean_mw(rest_ns) for gpu in self.gpus)

    @property
    def power_mw(self) -> int:
        """What it draws at this moment."""
        beside = sum(each.rest_mw for each in (*self.modules, self.rest))
        return beside + sum(gpu.power_mw for gpu in self.gpus)


class Rest:
    """What a superchip draws beside its GPUs, or a tray beside its superchips."""

    __slots__ = ("idle_watts", "recent_mw", "rest_mw", "rest_pj", "swing_watts")

    def __init__(self, idle_watts: float, busy_watts: float) -> None:
        self.idle_watts, self.swing_watts = idle_watts, busy_watts - idle_watts
        self.rest_mw = round(idle_watts * MILLI)
        self.rest_pj = 0
        self.recent_mw = (self.rest_mw,) * 10

    def clone(self) -> Rest:
        """Return a copy that can go its own way."""
        twin = Rest.__new__(Rest)
        twin.idle_watts, twin.swing_watts = self.idle_watts, self.swing_watts
        twin.rest_mw, twin.rest_pj, twin.recent_mw = self.rest_mw, self.rest_pj, self.recent_mw
        return twin

    def integrate(self) -> None:
        """Live through one step."""
        self.rest_pj += self.rest_mw * STEP_NS
        self.recent_mw = (*self.recent_mw[1:], self.rest_mw)

    def settle(self, gpus: list[Gpu]) -> None:
        """Follow the work of its GPUs: what is around them feeds and cools them."""
        busy = sum(gpu.utilization for gpu in gpus) / len(gpus)
        self.rest_mw = round((self.idle_watts + self.swing_watts * busy) * MILLI)

    def energy_at_pj(self, rest_ns: int) -> int:
        """Return what it has used since the start of the twin."""
        return self.rest_pj + self.rest_mw * rest_ns

    def mean_mw(self, rest_ns: int) -> int:
        """Return the mean of the last second."""
        return (sum(self.recent_mw) * STEP_NS + (self.rest_mw - self.recent_mw[0]) * rest_ns) // NANO
