"""What changed, when: states, limits, errors and engines of a node, moment by moment, as sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.xid import cause_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns

TOGETHER_SECONDS = 2.5
"""The same of several GPUs within this time is one event."""
REPEAT_SECONDS = 60.0
"""What comes and goes is told again only after this time."""
SLOWER_RATIO, HOTTER_CELSIUS = 0.05, 10.0
FULL_RATIO = 0.95
MHZ = 1e6


@dataclass(frozen=True, slots=True)
class Event:
    """Something that changed."""

    unix_seconds: float
    text: str
    gpus: tuple[int, ...] = ()


@dataclass(slots=True)
class _Seen:
    """What was seen of a node so far."""

    gpus: dict[int, GpuSigns] = field(default_factory=dict)
    engines: dict[str, EngineSigns] = field(default_factory=dict)
    clocks: dict[int, float] = field(default_factory=dict)
    """The clock of each GPU when it was last told of."""
    heat: dict[int, float] = field(default_factory=dict)
    full: dict[str, bool] = field(default_factory=dict)
    drained: bool = False
    told: dict[tuple[int, str], float] = field(default_factory=dict)
    """When each thing that comes and goes was told last."""


def timeline(moments: Iterable[NodeSigns]) -> tuple[Event, ...]:
    """Return all that changed, in order, the same of several GPUs as one."""
    seen, events = _Seen(), list[Event]()
    for signs in moments:
        for text, gpus in _changes(seen, signs):
            _add(events, Event(signs.at.unix_seconds, text, gpus))
    return tuple(events)


def _add(events: list[Event], event: Event) -> None:
    for place in range(len(events) - 1, -1, -1):
        other = events[place]
        if event.unix_seconds - other.unix_seconds > TOGETHER_SECONDS:
            break
        if event.gpus and other.text == event.text and not set(event.gpus) & set(other.gpus):
            gpus = tuple(sorted({*other.gpus, *event.gpus}))
            events[place] = Event(other.unix_seconds, event.text, gpus)
            return
    events.append(event)


def _changes(seen: _Seen, signs: NodeSigns) -> Iterator[tuple[str, tuple[int, ...]]]:
    if signs.drained != seen.drained:
        yield "the node is drained" if signs.drained else "the node is back in duty", ()
        seen.drained = signs.drained
    for gpu in signs.gpus:
        before = seen.gpus.get(gpu.gpu)
        if before is not None:
            for text in _of_gpu(seen, before, gpu, signs.at.unix_seconds):
                yield text, (gpu.gpu,)
        seen.gpus[gpu.gpu] = gpu
        seen.clocks.setdefault(gpu.gpu, gpu.clock_hertz or 0.0)
        seen.heat.setdefault(gpu.gpu, gpu.temperature_celsius or 0.0)
    now = {each.instance: each for unit in signs.units for each in unit.engines}
    for name, engine in now.items():
        for text in _of_engine(seen, seen.engines.get(name), engine):
            yield f"engine {name} {text}", ()
    for name in seen.engines.keys() - now.keys():
        yield f"engine {name} is not found any more", ()
    seen.engines = now


def _of_gpu(seen: _Seen, before: GpuSigns, now: GpuSigns, at: float) -> Iterator[str]:
    if now.state != before.state:
        yield f"state {now.state}, was {before.state}"
    if None not in (before.limit_watts, now.limit_watts) and now.limit_watts != before.limit_watts:
        yield f"power limit {now.limit_watts:.0f} W, was {before.limit_watts:.0f} W"
    yield from _errors(before, now)
    for reason in sorted(now.throttle - before.throttle):
        if at - seen.told.get((now.gpu, reason), float("-inf")) > REPEAT_SECONDS:
            yield f"held down by {reason}"
        seen.told[now.gpu, reason] = at
    yield from _drifts(seen, now)


def _errors(before: GpuSigns, now: GpuSigns) -> Iterator[str]:
    for xid in sorted(now.xids):
        if now.xids[xid] > before.xids.get(xid, 0.0):
            yield f"Xid {xid}" + (", of the program that ran" if cause_of(xid) is None else "")
    if now.uncorrected > before.uncorrected:
        yield "an uncorrected memory error"
    if now.fabric_healthy is not None and now.fabric_healthy != before.fabric_healthy:
        yield "NVLink fabric " + ("healthy" if now.fabric_healthy else "unhealthy")


def _drifts(seen: _Seen, now: GpuSigns) -> Iterator[str]:
    """Yield what moved far since it was last told."""
    clock, was = now.clock_hertz, seen.clocks.get(now.gpu)
    if clock and was and abs(clock / was - 1.0) > SLOWER_RATIO:
        yield f"clock {_round(clock)} MHz, was {_round(was)} MHz"
        seen.clocks[now.gpu] = clock
    heat, known = now.temperature_celsius, seen.heat.get(now.gpu)
    if heat and known and abs(heat - known) >= HOTTER_CELSIUS:
        yield f"{_fives(heat)} °C, was {_fives(known)} °C"
        seen.heat[now.gpu] = heat


def _fives(celsius: float) -> int:
    return round(celsius / 5.0) * 5


def _round(clock_hertz: float) -> int:
    """Return megahertz, in tens: GPUs that fell together did not fall to the same step."""
    return round(clock_hertz / MHZ / 10.0) * 10


def _of_engine(seen: _Seen, before: EngineSigns | None, now: EngineSigns) -> Iterator[str]:
    if before is None:
        return
    if now.restarts > before.restarts:
        yield "is a new process"
    if before.up and not now.up:
        yield "does not listen any more" if now.gone else "cannot be read"
    elif now.up and not before.up:
        yield "answers again"
    if now.kv_cache_usage_ratio is not None:
        full = now.kv_cache_usage_ratio >= FULL_RATIO
        if full != seen.full.get(now.instance, full):
            yield f"has its KV cache {'full' if full else 'no longer full'} ({now.kv_cache_usage_ratio:.0%})"
        seen.full[now.instance] = full
