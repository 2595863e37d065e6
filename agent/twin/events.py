"""What can happen to a rack: one entry in KINDS for each kind, one small function for what it does."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.settings import Seconds, setting
from agent.twin import gb300
from agent.twin.grid import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.twin.effects import Effects, GpuEffects

AMOUNTS = ("degrees", "watts", "factor", "xid")
LINK_DOWN_XID = 149
FELL_OFF_XID = 79
LARGEST_XID = 1023


class Kind(StrEnum):
    """Kinds of event."""

    DEMAND = "demand"
    THERMAL = "thermal"
    POWER_CAP = "power_cap"
    POWER_BRAKE = "power_brake"
    GPU_LOST = "gpu_lost"
    GPU_FAULT = "gpu_fault"
    NVLINK = "nvlink"
    STRAGGLER = "straggler"
    ENGINE_CRASH = "engine_crash"
    ENGINE_RESTART = "engine_restart"
    ENGINE_STALL = "engine_stall"
    KV_SATURATION = "kv_saturation"
    PREFILL_SHIFT = "prefill_shift"
    SLOW_NODE = "slow_node"
    NODE_DOWN = "node_down"
    TELEMETRY_GAP = "telemetry_gap"
    METER_DEAD = "meter_dead"


@dataclass(frozen=True, slots=True)
class Event:
    """One item of `events`."""

    kind: Kind = setting(MISSING, "What happens; see below.")
    at: Seconds = setting(Seconds(0.0), "When it begins, from the start of the twin.")
    lasts: Seconds | None = setting(None, "How long; default: as the kind says, or for ever.")
    until: Seconds | None = setting(None, "When it ends, instead of `lasts`.")
    every: Seconds | None = setting(None, "Begin again after this time, again and again.")
    trays: tuple[int, ...] = setting((), "Trays, from 0; default: all.")
    gpus: tuple[int, ...] = setting((), "GPUs of those trays, from 0; default: as the kind says.")
    engines: tuple[int, ...] = setting((), "Engines of those trays, from 0; default: all.")
    degrees: float | None = setting(None, "By how much the coolant is warmer.")
    watts: float | None = setting(None, "The power limit of each GPU.")
    factor: float | None = setting(None, "What is left of speed or demand, or what prompts grow by.")
    xid: int | None = setting(None, "Number of the driver's error.")

    def __post_init__(self) -> None:
        """Refuse what means nothing for this kind."""
        entry = KINDS[self.kind]
        for key in AMOUNTS:
            if getattr(self, key) is not None and key != entry.amount:
                wanted = f"; it takes {entry.amount}" if entry.amount else ""
                raise ValueError(f"{key}: means nothing for {self.kind.value}{wanted}")
        if self.lasts is not None and self.until is not None:
            raise ValueError("until: give either lasts or until")
        if self.until is not None and self.until <= self.at:
            raise ValueError("until: must be later than at")
        self._check_target(entry)
        self._check_amount(entry)
        if self.every is not None and (self.seconds is None or self.every <= self.seconds):
            raise ValueError("every: must be longer than the event lasts")

    def _check_target(self, entry: Entry) -> None:
        if self.gpus and not entry.of_gpus:
            raise ValueError(f"gpus: means nothing for {self.kind.value}, which is about whole trays")
        if self.engines and not entry.of_engines:
            raise ValueError(f"engines: means nothing for {self.kind.value}")

    def _check_amount(self, entry: Entry) -> None:
        low, high = entry.range
        if entry.amount and not low <= self.amount <= high:
            raise ValueError(f"{entry.amount}: must be from {low:g} to {high:g} for {self.kind.value}")

    @property
    def amount(self) -> float:
        """The one number of this kind, or its default."""
        entry = KINDS[self.kind]
        given = getattr(self, entry.amount) if entry.amount else None
        return entry.default if given is None else float(given)

    @property
    def seconds(self) -> float | None:
        """How long it lasts; None is for ever."""
        if self.until is not None:
            return self.until - self.at
        return KINDS[self.kind].seconds if self.lasts is None else self.lasts

    def active(self, step: int) -> bool:
        """Whether it holds in a step."""
        since = step - steps(self.at)
        if since < 0:
            return False
        if self.every is not None:
            since %= steps(self.every)
        return self.seconds is None or since < max(1, steps(self.seconds))

    def hits(self, tray: int) -> bool:
        """Whether a tray is its target."""
        return not self.trays or tray in self.trays


@dataclass(frozen=True, slots=True)
class Entry:
    """What there is to know of one kind."""

    doc: str
    apply: Callable[[Event, Effects], None]
    amount: str = ""
    default: float = 0.0
    range: tuple[float, float] = (0.0, 1.0)
    seconds: float | None = None
    of_gpus: bool = False
    of_engines: bool = False


def chosen(event: Event, gpus: Sequence[GpuEffects], default: slice = slice(None)) -> list[GpuEffects]:
    """Return the GPUs that an event is about."""
    if event.gpus:
        return [gpus[number] for number in event.gpus if number < len(gpus)]
    return list(gpus[default])


FIRST = slice(1)


def _demand(event: Event, effects: Effects) -> None:
    effects.demand *= event.amount


def _thermal(event: Event, effects: Effects) -> None:
    for gpu in chosen(event, effects.gpus):
        gpu.degrees += event.amount


def _power_cap(event: Event, effects: Effects) -> None:
    for gpu in chosen(event, effects.gpus):
        gpu.limit_watts = min(gpu.limit_watts, event.amount)


def _power_brake(event: Event, effects: Effects) -> None:
    for gpu in chosen(event, effects.gpus):
        gpu.brake = True


def _gpu_lost(event: Event, effects: Effects) -> None:
    for gpu in chosen(event, effects.gpus, FIRST):
        gpu.lost = True
        gpu.xids.add(FELL_OFF_XID)


def _gpu_fault(event: Event, effects: Effects) -> None:
    for gpu in chosen(event, effects.gpus, FIRST):
        gpu.xids.add(int(event.amount))


def _nvlink(event: Event, effects: Effects) -> None:
    effects.links *= event.amount
    for gpu in chosen(event, effects.gpus, FIRST):
        gpu.xids.add(LINK_DOWN_XID)


def _straggler(event: Event, effects: Effects) -> None:
    for gpu in chosen(event, effects.gpus, FIRST):
        gpu.clock_share *= event.amount


def _engine_down(event: Event, effects: Effects) -> None:
    effects.down.update(event.engines or range(effects.engines))


def _engine_stall(event: Event, effects: Effects) -> None:
    effects.stalled.update(event.engines or range(effects.engines))


def _kv_saturation(event: Event, effects: Effects) -> None:
    effects.cache *= event.amount


def _prefill_shift(event: Event, effects: Effects) -> None:
    effects.prompts *= event.amount


def _slow_node(event: Event, effects: Effects) -> None:
    effects.host *= event.amount


def _node_down(_: Event, effects: Effects) -> None:
    effects.off = True


def _telemetry_gap(_: Event, effects: Effects) -> None:
    effects.gap = True


def _meter_dead(_: Event, effects: Effects) -> None:
    effects.meter_dead = True


KINDS: dict[Kind, Entry] = {
    Kind.DEMAND: Entry(
        "Clients ask for `factor` of what the load says (0.3).", _demand, "factor", 0.3, (0.0, 10.0)
    ),
    Kind.THERMAL: Entry(
        "A coolant fault: water that is `degrees` warmer (30) reaches all GPUs, or `gpus`.",
        _thermal,
        "degrees",
        30.0,
        (0.0, 80.0),
        of_gpus=True,
    ),
    Kind.POWER_CAP: Entry(
        "The power limit of all GPUs, or `gpus`, is `watts` (900).",
        _power_cap,
        "watts",
        900.0,
        (gb300.LEAST_LIMIT_WATTS, gb300.LIMIT_WATTS),
        of_gpus=True,
    ),
    Kind.POWER_BRAKE: Entry(
        "The hardware brakes all GPUs, or `gpus`: the shelf is short of power.", _power_brake, of_gpus=True
    ),
    Kind.GPU_LOST: Entry(
        "GPU 0, or `gpus`, falls off the bus with Xid 79. At the end it was reset: its energy starts anew.",
        _gpu_lost,
        of_gpus=True,
    ),
    Kind.GPU_FAULT: Entry(
        "GPU 0, or `gpus`, reports `xid` (94) once at the beginning; work goes on.",
        _gpu_fault,
        "xid",
        94.0,
        (1.0, LARGEST_XID),
        10.0,
        of_gpus=True,
    ),
    Kind.NVLINK: Entry(
        "Slow links: collectives leave `factor` (0.6) of the speed of an engine over several GPUs; Xid 149.",
        _nvlink,
        "factor",
        0.6,
        of_gpus=True,
    ),
    Kind.STRAGGLER: Entry(
        "GPU 0, or `gpus`, runs at `factor` (0.7) of its clock and gives no reason.",
        _straggler,
        "factor",
        0.7,
        of_gpus=True,
    ),
    Kind.ENGINE_CRASH: Entry(
        "The engines die; connections are refused. After 60 s, or `lasts`, a new process starts.",
        _engine_down,
        seconds=60.0,
        of_engines=True,
    ),
    Kind.ENGINE_RESTART: Entry(
        "The engines are restarted, which takes 15 s, or `lasts`: a new start time, counters from zero.",
        _engine_down,
        seconds=15.0,
        of_engines=True,
    ),
    Kind.ENGINE_STALL: Entry(
        "The engines answer, but their requests make no progress and their counters stand still.",
        _engine_stall,
        of_engines=True,
    ),
    Kind.KV_SATURATION: Entry(
        "Long contexts fill the cache: batches shrink to `factor` (0.6) and requests are preempted.",
        _kv_saturation,
        "factor",
        0.6,
    ),
    Kind.PREFILL_SHIFT: Entry(
        "Prompts are `factor` (4) times as long; computing them leaves less for output.",
        _prefill_shift,
        "factor",
        4.0,
        (0.0, 100.0),
    ),
    Kind.SLOW_NODE: Entry(
        "The host feeds its GPUs at `factor` (0.7) of the usual pace.", _slow_node, "factor", 0.7
    ),
    Kind.NODE_DOWN: Entry(
        "The tray is off: no pages, no power. At the end it boots: all its counters start anew.", _node_down
    ),
    Kind.TELEMETRY_GAP: Entry("The pages of the tray hang while its work goes on.", _telemetry_gap),
    Kind.METER_DEAD: Entry("The power meter of the tray tells nothing (with `rack.meters`).", _meter_dead),
}
"""Every kind, in the order of the documentation."""
