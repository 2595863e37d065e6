"""What one deployment shows of its bounds: looks at it every other second, and their means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.diagnose.nvlink_capacity import capacity_of
from agent.measure.engine import TokenKind
from agent.measure.gpu import GpuState, PowerScope, gpu_watts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.measure.gpu import GpuReading
    from agent.measure.host import HostFigures
    from agent.measure.rack_snapshot import DeploymentFigures
    from agent.measure.snapshot import GpuFigures, Snapshot

HOT = frozenset({"sw_thermal_slowdown", "hw_thermal_slowdown"})
BRAKE = "hw_power_brake_slowdown"
CAP = "sw_power_cap"


@dataclass(frozen=True, slots=True)
class GpuLook:
    """One GPU at one moment; None is unknown."""

    gpu: int
    busy: float | None = None
    """Share of time in which a kernel ran."""
    active: Mapping[str, float] = field(default_factory=dict)
    """Share of its peak at which a unit worked: sm, tensor, dram. Empty before Hopper without DCGM."""
    power: float | None = None
    """Share of its power limit."""
    watts: float | None = None
    limit_watts: float | None = None
    celsius: float | None = None
    reasons: frozenset[str] | None = None
    """What holds its clocks down; None is unknown."""
    link_rate: float | None = None
    """Bytes a second over NVLink, of the busier direction, where the hardware tells a rate …"""
    link_bytes: Mapping[str, float] = field(default_factory=dict)
    """… and totals by direction, from which one is reckoned."""
    link_capacity: float | None = None
    """Bytes a second that its NVLinks carry in one direction; None is unknown."""


@dataclass(frozen=True, slots=True)
class Look:
    """One deployment at one moment; None is unknown."""

    seconds: float
    running: float | None
    waiting: float | None
    cache: float | None
    """KV cache in use, of its fullest instance."""
    preemptions: float | None
    """Total."""
    rate: float | None
    """Output tokens per second."""
    gpus: tuple[GpuLook, ...] = ()
    cpu_stalled: float | None = None
    """Seconds in which some task waited for a processor, total."""
    stolen: float | None = None
    """Processor seconds that the hypervisor took, total."""


def look_of(snapshot: Snapshot, deployment: DeploymentFigures) -> Look:
    """Look at one deployment of a node."""
    engines = [each for each in snapshot.engines if each.instance in deployment.instances]
    own = [each for each in snapshot.gpus if each.gpu in deployment.gpu_numbers]
    # Where nothing tells whose a GPU is, the only deployment of a node is taken to have them all.
    alone = sum(each.nodes > 0 for each in snapshot.deployments) == 1
    gpus = own or (snapshot.gpus if alone else ())
    put_off = [each.work["preemptions"] for each in engines if "preemptions" in each.work]
    host = snapshot.host
    return Look(
        seconds=snapshot.at.monotonic_seconds,
        running=deployment.running,
        waiting=deployment.waiting,
        cache=deployment.kv_cache_usage_ratio,
        preemptions=sum(put_off) if put_off else None,
        rate=deployment.tokens_per_second.get(TokenKind.OUTPUT),
        gpus=tuple(_gpu(each) for each in gpus),
        cpu_stalled=_stalled(host),
        stolen=None if host is None else host.cpu_steal_seconds_total,
    )


def _stalled(host: HostFigures | None) -> float | None:
    return None if host is None else host.stalled_seconds_total.get(("cpu", "some"))


def _gpu(figures: GpuFigures) -> GpuLook:
    reading = figures.reading
    if reading is None or reading.state is not GpuState.OK:
        return GpuLook(figures.gpu)
    watts, limit = gpu_watts(reading), reading.power_limit_watts.get(PowerScope.GPU)
    return GpuLook(
        gpu=figures.gpu,
        busy=reading.utilization_ratio,
        active=reading.active_ratio,
        power=watts / limit if watts is not None and limit else None,
        watts=watts,
        limit_watts=limit,
        celsius=reading.temperature_celsius.get("gpu"),
        reasons=reading.throttle_active,
        link_rate=_link_rate(reading),
        link_bytes=figures.nvlink_bytes_total,
        link_capacity=capacity_of(reading.identity.product, reading.nvlinks.get("active")),
    )


def _link_rate(reading: GpuReading) -> float | None:
    told = [rate for way, rate in reading.link_bytes_per_second.items() if way.startswith("nvlink_")]
    return max(told, default=None)


@dataclass(frozen=True, slots=True)
class View:
    """Some looks at one deployment, the oldest first; never empty."""

    looks: tuple[Look, ...]

    @property
    def running(self) -> float | None:
        """Requests in work, the mean."""
        return mean(look.running for look in self.looks)

    @property
    def waiting(self) -> float | None:
        """Requests that wait, the mean."""
        return mean(look.waiting for look in self.looks)

    @property
    def cache(self) -> float | None:
        """KV cache in use, the mean."""
        return mean(look.cache for look in self.looks)

    @property
    def rate(self) -> float | None:
        """Output tokens per second, the mean."""
        return mean(look.rate for look in self.looks)

    @property
    def put_off(self) -> float | None:
        """Requests put off per second for want of cache."""
        return self.growth(lambda look: look.preemptions)

    @property
    def gpus(self) -> tuple[int, ...]:
        """Numbers of its GPUs."""
        return tuple(each.gpu for each in self.looks[-1].gpus)

    def growth(self, read: Callable[[Look], float | None]) -> float | None:
        """Return by how much a total grew per second over these looks."""
        known = [(look.seconds, value) for look in self.looks if (value := read(look)) is not None]
        if len(known) < 2 or known[-1][0] <= known[0][0]:  # noqa: PLR2004  # two make a difference
            return None
        return max(0.0, known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0])

    def of_gpu(self, gpu: int, read: Callable[[GpuLook], float | None]) -> float | None:
        """Return the mean of one value of one GPU."""
        return mean([read(each) for look in self.looks for each in look.gpus if each.gpu == gpu])

    def by_gpu(self, read: Callable[[GpuLook], float | None]) -> dict[int, float]:
        """Return the mean of one value of each GPU that tells it."""
        means = {gpu: self.of_gpu(gpu, read) for gpu in self.gpus}
        return {gpu: value for gpu, value in means.items() if value is not None}

    def held(self, gpu: int, reasons: frozenset[str]) -> float:
        """Return the share of looks in which one of these reasons held down the clocks of a GPU."""
        told = [each.reasons for look in self.looks for each in look.gpus if each.gpu == gpu]
        known = [bool(reasons & each) for each in told if each is not None]
        return sum(known) / len(known) if known else 0.0

    def link_rate(self, gpu: int) -> float | None:
        """Return the bytes per second of a GPU over NVLink, of the busier direction."""
        told = self.of_gpu(gpu, lambda each: each.link_rate)
        return self._counted_rate(gpu) if told is None else told

    def _counted_rate(self, gpu: int) -> float | None:
        ways = {way for each in self.looks[-1].gpus if each.gpu == gpu for way in each.link_bytes}
        rates = [self.growth(lambda look, way=way: _counted(look, gpu, way)) for way in ways]  # type: ignore[misc]  # bound now
        return max((rate for rate in rates if rate is not None), default=None)


def _counted(look: Look, gpu: int, way: str) -> float | None:
    return next((each.link_bytes.get(way) for each in look.gpus if each.gpu == gpu), None)


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is known."""
    known: Sequence[float] = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
