"""The same as a virtual node, several times as fast: what diagnosis reads is taken from the tray itself.

Pages, collectors and the node's reckoning are left out; `tests/diagnose/test_quick_tray.py` holds that what
diagnosis reads is the same, second by second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.diagnosis import Memory, baselines_of, diagnosed, with_baselines
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns
from agent.measure.reading import Moment, Reason
from agent.measure.series import Point
from agent.measure.snapshot import Activity
from agent.twin import gb300
from agent.twin.engine import Engine
from agent.twin.gpu_page import UNCORRECTED_XIDS
from agent.twin.grid import MILLI, PICO
from agent.twin.vllm_page import TOKENS_PER_PREEMPTION
from benchmarks.virtual_tray import (
    ANSWER_SECONDS,
    ENGINES,
    EPOCH_SECONDS,
    FIRST_PORT,
    GPUS,
    LATER_SECONDS,
    WALL_SECONDS,
    Missing,
    TrayLife,
    Truth,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.measure.incident import Incident
    from agent.twin.gpu import Gpu
    from agent.twin.scenario import Scenario

MEGA = 1e6


class QuickEngine(Engine):
    """An engine without latency histograms: diagnosis reads none."""

    __slots__ = ()

    def _observe(self, output: int) -> None:
        """Leave it out."""


class Unread:
    """What draws power beside the GPUs: diagnosis reads none of it."""

    def integrate(self) -> None:
        """Leave it out."""

    def settle(self, gpus: list[Gpu]) -> None:
        """Leave it out."""


@dataclass(slots=True)
class Counted:
    """What was counted of one engine over its restarts, as a reader of its page would."""

    started: int = -1
    restarts: int = 0
    raw: tuple[int, ...] = (0, 0, 0, 0, 0)
    total: tuple[int, ...] = (0, 0, 0, 0, 0)
    """Output, prompt, cached, finished, put off."""

    def take(self, engine: Engine) -> None:
        """Read its page."""
        counters = engine.counters(0)
        finished = counters[0] // engine.traits.output_tokens
        raw = (*counters, finished, engine.preempted_pt // (PICO * TOKENS_PER_PREEMPTION))
        if self.started < 0:  # what was made before it was first seen is not counted
            self.raw = raw
        elif engine.started_step != self.started:
            self.restarts, self.raw = self.restarts + 1, (0,) * len(raw)
        self.total = tuple(t + now - was for t, now, was in zip(self.total, raw, self.raw, strict=True))
        self.started, self.raw = engine.started_step, raw


class QuickNode(TrayLife):
    """A node whose signs are those of its tray; `run` lives through a scenario second by second."""

    def __init__(self, scenario: Scenario, number: int = 0, missing: tuple[Missing, ...] = ()) -> None:
        super().__init__(scenario, number, missing)
        for engine in self.tray.engines:
            engine.__class__ = QuickEngine
        self.tray.modules, self.tray.rest = [], Unread()  # type: ignore[assignment]  # not read here
        self.model = scenario.rack.model(number)
        self.name = f"tray-{number:02d}"
        self._counted = [Counted() for _ in self.tray.engines]
        self._points: list[EngineSigns | None] = [None] * len(self.tray.engines)
        self._xids = [dict[int, float]() for _ in self.tray.gpus]
        self._newest = [-1] * len(self.tray.gpus)
        self.memory = Memory()
        self.latest: NodeSigns | None = None

    def run(self, seconds: int) -> Iterator[tuple[Truth, tuple[Incident, ...]]]:
        """Yield the truth and the incidents of each second."""
        for second in range(1, seconds + 1):
            truth = self.live(second)
            self.look(second)
            yield truth, self.memory.incidents

    def look(self, second: int) -> None:
        """See how the tray stands, and judge it."""
        self.latest = self.signs(second)
        self.memory = diagnosed(self.memory, self.latest)

    def restart(self, *, kept: bool) -> None:
        """Be a new daemon, with what the one before kept in its `state_dir` or with nothing."""
        baselines = baselines_of(self.memory)
        self.memory, self.latest = Memory(), None
        self._points = [None] * len(self._points)
        if kept:
            self.memory = with_baselines(self.memory, baselines)
        else:
            self._counted = [Counted() for _ in self._counted]
            self._xids = [{} for _ in self._xids]

    def signs(self, second: int) -> NodeSigns:
        """Return what diagnosis reads of this second."""
        at = Moment(EPOCH_SECONDS + second + LATER_SECONDS, WALL_SECONDS + second + LATER_SECONDS)
        missed = self.why_missing(GPUS, second)
        gpus = tuple(self._gpu(place, gpu, missed) for place, gpu in enumerate(self.tray.gpus))
        why = self.why_missing(ENGINES, second)
        engines = tuple(self._engine(place, second, why) for place in range(len(self.tray.engines)))
        unit = UnitSigns(self.model, self.model, engines, gpus)
        return NodeSigns(at, self.name, self.is_drained(second), (unit,), gpus)

    def _engine(self, place: int, second: int, why: Reason | None) -> EngineSigns:
        engine, before = self.tray.engines[place], self._points[place]
        name = f"127.0.0.1:{FIRST_PORT + place}"
        if why is None and engine.down:
            why = Reason.UNREACHABLE
        if why is not None:
            gone = why is Reason.UNREACHABLE
            if before is None:
                return EngineSigns(name, up=False, gone=gone, activity=Activity.UNKNOWN, restarts=0.0)
            return EngineSigns(
                name, False, gone, Activity.UNKNOWN, before.restarts, before.output, before.prompt,
                before.cached, preemptions=before.preemptions, finished=before.finished,
            )  # fmt: skip
        counted = self._counted[place]
        counted.take(engine)
        output, prompt, cached, finished, put_off = map(float, counted.total)
        seconds = EPOCH_SECONDS + second + ANSWER_SECONDS
        told = EngineSigns(
            instance=name,
            up=True,
            gone=False,
            activity=Activity.SERVING,
            restarts=float(counted.restarts),
            output=Point(seconds, output, ANSWER_SECONDS, 0.0),
            prompt=Point(seconds, prompt, ANSWER_SECONDS, 0.0),
            cached=Point(seconds, cached, ANSWER_SECONDS, 0.0),
            running=float(engine.running),
            waiting=float(engine.waiting),
            kv_cache_usage_ratio=engine.cache,
            preemptions=put_off,
            finished=finished,
        )
        self._points[place] = told
        return told

    def _gpu(self, place: int, gpu: Gpu, missed: Reason | None) -> GpuSigns:
        xids, uncorrected = self._xids[place], float(sum(xid in UNCORRECTED_XIDS for _, xid in gpu.xids))
        if missed is not None:
            return GpuSigns(place, "unknown", xids=dict(xids))
        for at_ns, xid in gpu.xids:
            if at_ns > self._newest[place]:
                self._newest[place] = at_ns
                xids[xid] = xids.get(xid, 0.0) + 1.0
        if gpu.lost:
            return GpuSigns(place, "lost", xids=dict(xids))
        busy = gpu.activity > 0 or gpu.utilization > 0
        clock = round(gb300.FULL_CLOCK_MEGAHERTZ * gpu.clock_share) if busy else gb300.IDLE_CLOCK_MEGAHERTZ
        return GpuSigns(
            gpu=place,
            state="ok",
            power_watts=gpu.mean_mw(0) / MILLI,
            limit_watts=round(gpu.limit_watts * MILLI) / MILLI,
            utilization_ratio=round(100 * gpu.utilization) / 100,
            clock_hertz=clock * MEGA,
            temperature_celsius=round(gpu.celsius),
            throttle=frozenset(gpu.reasons),
            xids=dict(xids),
            uncorrected=uncorrected,
            fabric_healthy=True,
        )
