"""A recording as if it happened now: what diagnosis was given then is read again, a second for a second."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.aside import Aside
from agent.diagnose.signs import NodeSigns
from agent.measure.engine import Demand, EngineReading, TokenCounter, TokenKind
from agent.measure.finding import Finding, Level, problem_of
from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Placement, Power, PowerScope
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Seconds, setting
from agent.recorder.reading import MOST_PACKED_BYTES, RecordingError, read
from agent.small_file import SmallFileError, read_small

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.signs import EngineSigns, GpuSigns, UnitSigns
    from agent.measure.series import Point
    from agent.measure.snapshot import Snapshot

NAME = "replay"
ENGINE = "recorded"
"""What kind of engine it was is not recorded."""
DEADLINE_SECONDS = 20.0
"""To read the largest recording takes seconds."""
LOST = "was lost when this was recorded"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `collectors.replay`."""

    file: str = setting("", "A recording of a node's incident, as `rackwatt explain` reads it.")
    interval: Seconds = setting(Seconds(1.0), "How often a moment of it is taken.")


def build(settings: Settings) -> ReplayCollector:
    """Make the collector; nothing is read before the first collection."""
    return ReplayCollector(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Read the recording, for `rackwatt doctor`."""
    try:
        moments = _moments(settings.file)
    except SourceError as error:
        return (problem_of(NAME, error),)
    seconds = moments[-1].at.monotonic_seconds - moments[0].at.monotonic_seconds
    return (Finding(Level.OK, NAME, f"{settings.file}: {seconds:.0f} s of {moments[0].node}"),)


def _moments(file: str) -> list[NodeSigns]:
    """Read a recording. Raises SourceError."""
    if not file:
        raise SourceError(Reason.UNSUPPORTED, "collectors.replay: set file, a recording of an incident")
    try:
        recording = read(read_small(file, MOST_PACKED_BYTES))
    except SmallFileError as error:
        raise SourceError(Reason.TOO_LARGE if error.too_large else Reason.DENIED, str(error)) from error
    except RecordingError as error:
        raise SourceError(Reason.MALFORMED, f"{file} {error}") from error
    moments = [step for step in recording.steps if isinstance(step, NodeSigns)]
    if not moments:
        raise SourceError(Reason.UNSUPPORTED, f"{file} is of a rack: rackwatt explain tells its story")
    return moments


class Tape:
    """The moments of a recording, on the clock of now."""

    def __init__(self, file: str) -> None:
        self._file, self._aside = file, Aside[list[NodeSigns]](NAME)
        self._moments: list[NodeSigns] = []
        self._seconds: list[float] = []
        self.began: Moment | None = None

    async def open(self, now: Moment) -> None:
        """Read the file; its first moment is now. Raises SourceError."""
        if self.began is None:
            moments = await self._aside.run(lambda: _moments(self._file))
            first = moments[0].at.monotonic_seconds
            self._moments = moments
            self._seconds = [each.at.monotonic_seconds - first for each in moments]
            self.began = now

    @property
    def engines(self) -> tuple[str, ...]:
        """Every engine that there was in it."""
        return tuple(
            {each.instance: None for signs in self._moments for unit in signs.units for each in unit.engines}
        )

    def at(self, now: Moment) -> NodeSigns:
        """Return what was seen last by now. Raises SourceError when it is over, or has not begun."""
        if self.began is None:
            raise SourceError(Reason.UNREACHABLE, f"{self._file} is not read yet")
        passed = now.monotonic_seconds - self.began.monotonic_seconds
        if passed > self._seconds[-1] + 1.0:
            raise SourceError(Reason.UNREACHABLE, f"{self._file} is over: {self._seconds[-1]:.0f} s")
        return self._moments[max(0, bisect.bisect_right(self._seconds, passed) - 1)]

    def moment(self, then_seconds: float) -> Moment:
        """Return when it is now what was then, on the monotonic clock of the recording."""
        began = self.began or Moment(0.0, 0.0)
        later = then_seconds - self._moments[0].at.monotonic_seconds
        return Moment(began.monotonic_seconds + later, began.unix_seconds + later)


class ReplayCollector:
    """The plug-in: the source of GPUs, and one for each engine."""

    def __init__(self, settings: Settings) -> None:
        self._tape = Tape(settings.file)
        self._gpus = Gpus(self._tape, settings)
        self._engines: dict[str, Engine] = {}
        self._settings = settings

    def sources(self, seen: Snapshot | None) -> Sequence[Gpus | Engine]:  # noqa: ARG002 - the port's signature
        """Return the GPUs, which read the file, and the engines that are in it."""
        for name in self._tape.engines:
            if name not in self._engines:
                self._engines[name] = Engine(self._tape, self._settings, name)
        return (self._gpus, *self._engines.values())

    async def close(self) -> None:
        """Nothing is held open."""


class _Source:
    """What both kinds have."""

    def __init__(self, tape: Tape, settings: Settings, name: str) -> None:
        self._tape, self.name = tape, name
        self.interval_seconds: float = settings.interval
        self.timeout_seconds = DEADLINE_SECONDS

    async def close(self) -> None:
        """Nothing is held open."""


class Gpus(_Source):
    """All GPUs of the recording."""

    def __init__(self, tape: Tape, settings: Settings) -> None:
        super().__init__(tape, settings, NAME)

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - the port's signature
        """Tell what was seen of them by now."""
        await self._tape.open(now)
        signs = self._tape.at(now)
        at = self._tape.moment(signs.at.monotonic_seconds)
        return Reading(self.name, at, gpus=tuple(_gpu(each, at) for each in signs.gpus))


class Engine(_Source):
    """One engine of the recording."""

    def __init__(self, tape: Tape, settings: Settings, instance: str) -> None:
        super().__init__(tape, settings, f"engines/{instance}")
        self._instance = instance

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - the port's signature
        """Tell what its page said by now; fails as it failed then."""
        signs = self._tape.at(now)
        for unit in signs.units:
            for each in unit.engines:
                if each.instance == self._instance:
                    return Reading(self.name, now, engines=(self._reading(unit, each),))
        raise SourceError(Reason.UNREACHABLE, f"{self._instance} was not there")

    def _reading(self, unit: UnitSigns, each: EngineSigns) -> EngineReading:
        told = {
            TokenKind.OUTPUT: each.output,
            TokenKind.PROMPT: each.prompt,
            TokenKind.PROMPT_CACHED: each.cached,
        }
        points = {kind: point for kind, point in told.items() if point is not None}
        if not each.up or TokenKind.OUTPUT not in points:
            reason = Reason.UNREACHABLE if each.gone else Reason.TIMED_OUT
            raise SourceError(reason, f"{self._instance} did not answer when this was recorded")
        at = self._tape.moment(points[TokenKind.OUTPUT].seconds)
        return EngineReading(
            engine=ENGINE,
            instance=self._instance,
            model=unit.model,
            at=at,
            asked_monotonic_seconds=at.monotonic_seconds - points[TokenKind.OUTPUT].spread_seconds,
            epoch=f"{each.restarts:.0f}",
            counters=tuple(_counter(unit.model, kind, point) for kind, point in points.items()),
            demand=Demand(
                running=each.running,
                waiting=each.waiting,
                preemptions=each.preemptions,
                succeeded=each.finished,
                heartbeat=each.heartbeat,
            ),
            kv_cache_usage_ratio=each.kv_cache_usage_ratio,
            live=not each.on_finish,
            deployment=unit.deployment,
            gpus=tuple(_uuid(gpu) for gpu in unit.gpus) or None,
        )


def _counter(model: str, kind: TokenKind, point: Point) -> TokenCounter:
    return TokenCounter(str(kind), model, kind, point.value, point.step)


def _uuid(gpu: GpuSigns) -> str:
    """Return a name for a GPU, whose own is not recorded."""
    return f"GPU-recorded-{gpu.gpu}"


def _gpu(gpu: GpuSigns, at: Moment) -> GpuReading:
    identity = GpuIdentity(_uuid(gpu), "recorded", f"{gpu.gpu:08x}:00:00.0", "")
    xids = {number: int(count) for number, count in gpu.xids.items()}
    if gpu.state != GpuState.OK:
        state = GpuState(gpu.state) if gpu.state in set(GpuState) else GpuState.FAILED
        return GpuReading(identity, at, state, LOST, xid_errors=xids)
    return GpuReading(
        identity,
        at,
        power={PowerScope.GPU: Power(average_watts=gpu.power_watts)},
        power_limit_watts={} if gpu.limit_watts is None else {PowerScope.GPU: gpu.limit_watts},
        utilization_ratio=gpu.utilization_ratio,
        clock_hertz={} if gpu.clock_hertz is None else {"sm": gpu.clock_hertz},
        temperature_celsius={} if gpu.temperature_celsius is None else {"gpu": gpu.temperature_celsius},
        throttle_active=gpu.throttle,
        ecc_errors={"uncorrected": int(gpu.uncorrected)},
        xid_errors=xids,
        placement=Placement(fabric_healthy=gpu.fabric_healthy),
    )
