"""Scenarios for diagnosis, drawn by seed: faults, a load, what is missing, and what is right to tell."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from benchmarks.virtual_tray import ENGINES, EVERYTHING, GPUS, Missing

WARM_SECONDS = 900
FAULT_SECONDS = 420
AFTER_SECONDS = 180
LOADS = ("steady", "diurnal", "bursty", "ramp")
ONE, TWO, OUTLASTED, BLIND, RACK = CLASSES = (
    "one fault",
    "two faults",
    "two faults, the second outlasts",
    "missing telemetry",
    "rack of four trays",
)
SECOND_AT = 120
SECOND_LASTS = {TWO: 180, OUTLASTED: 420}
"""It ends two minutes before the first, or two minutes after it."""
BLIND_SECONDS = 60
TRAYS = 4
SPREAD = 0.02
"""Trays of a rack differ by so much."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: its event with an amount to be drawn, and what a right verdict may say."""

    event: str
    amount: str
    low: float
    high: float
    causes: tuple[str, ...]
    parallel: str = "data"
    whole: bool = True
    """Of the whole tray; False: of one GPU."""


FAULTS = {
    "thermal": Fault("thermal", "degrees", 35, 60, ("thermal",)),
    "thermal_one": Fault("thermal", "degrees", 40, 60, ("thermal",), parallel="tensor", whole=False),
    "power_cap": Fault("power_cap", "watts", 400, 900, ("power_cap",)),
    "power_brake": Fault("power_brake", "", 0, 0, ("power_brake",)),
    "gpu_lost": Fault("gpu_lost", "", 0, 0, ("gpu_lost",), whole=False),
    "gpu_lost_tensor": Fault(
        "gpu_lost", "", 0, 0, ("gpu_lost", "engine_down"), parallel="tensor", whole=False
    ),
    "nvlink": Fault("nvlink", "factor", 0.3, 0.9, ("nvlink",), parallel="tensor", whole=False),
    "straggler": Fault("straggler", "factor", 0.2, 0.8, ("clocks_low",), parallel="tensor", whole=False),
    "engine_crash": Fault("engine_crash", "", 0, 0, ("engine_down",)),
    "engine_stall": Fault("engine_stall", "", 0, 0, ("engine_stall",)),
    "kv_saturation": Fault("kv_saturation", "factor", 0.3, 0.9, ("kv_saturation",)),
    "prefill_shift": Fault("prefill_shift", "factor", 2.0, 8.0, ("workload_shift",)),
    "slow_node": Fault("slow_node", "factor", 0.3, 0.9, ("host_pressure",)),
}


@dataclass(frozen=True, slots=True)
class Want:
    """What is right to tell of one fault."""

    name: str
    causes: tuple[str, ...]
    """Any of them is right."""
    gpu: int | None
    """None: it is of the whole tray."""
    node: str

    def cause_is_right(self, cause: str) -> bool:
        """Whether that is what it was."""
        return cause in self.causes

    def place_is_right(self, node: str, gpu: int | None, cause: str) -> bool:
        """Whether it is there."""
        return node == self.node and (self.gpu is None or gpu == self.gpu or cause == "engine_down")


@dataclass(frozen=True, slots=True)
class Play:
    """One scenario and what is true of it."""

    seed: int
    load: str
    head: str
    """Of the scenario: seed, rack and load."""
    events: tuple[str, ...]
    wants: tuple[Want, ...]
    """Of each fault."""
    missing: tuple[Missing, ...] = ()
    tray: int = 0
    """Where the faults are."""
    kind: str = ONE
    over: int = WARM_SECONDS + FAULT_SECONDS
    """When the last of them ends."""

    @property
    def text(self) -> str:
        """The scenario."""
        return self.with_events(self.events)

    def with_events(self, events: tuple[str, ...]) -> str:
        """Return the scenario with other events: the load and its noise are the same."""
        return f"{self.head}events: {'[]' if not events else ''}\n" + "".join(f"  - {e}\n" for e in events)


def play_of(seed: int, kind: str = ONE) -> Play:
    """Draw a scenario; of one seed, the first fault and the load are the same in every class."""
    dice = random.Random(seed)
    name = dice.choice(list(FAULTS))
    fault, load = FAULTS[name], dice.choice(LOADS)
    gpu = None if fault.whole else dice.randrange(TRAYS)
    amount = f", {fault.amount}: {dice.uniform(fault.low, fault.high):.3f}" if fault.amount else ""
    engines = dice.choice((1, 2)) if fault.parallel == "data" and fault.whole else 1
    queue = dice.choice((4096, 1_000_000, 1_000_000))  # vLLM's has no end
    shape = _load(dice, load)
    tray, rack = 0, "trays: 1"
    if kind == RACK:
        more = random.Random(f"{seed} {kind}")
        tray = more.randrange(TRAYS)
        rates = [round(60_000 * more.uniform(1.0 - SPREAD, 1.0 + SPREAD)) for _ in range(TRAYS)]
        rack = f"trays: {TRAYS}, tray_tokens_per_second: {rates}"
    event = _event(fault, gpu, amount, f"at: {WARM_SECONDS}s, lasts: {FAULT_SECONDS}s", tray)
    head = (
        f"seed: {seed}\n"
        f"rack: {{{rack}, parallel: {fault.parallel}, engines_per_tray: {engines}, queue: {queue}}}\n"
        f"load: {shape}\n"
    )
    want = Want(name, fault.causes, gpu, f"tray-{tray:02d}")
    play = Play(seed, load, head, (event,), (want,), tray=tray, kind=kind)
    if kind in SECOND_LASTS:
        return _with_second(play, fault, SECOND_LASTS[kind])
    return _blinded(play) if kind == BLIND else play


def _event(fault: Fault, gpu: int | None, amount: str, times: str, tray: int) -> str:
    where = "" if gpu is None else f", gpus: [{gpu}]"
    return f"{{kind: {fault.event}, {times}, trays: [{tray}]{where}{amount}}}"


def _blinded(play: Play) -> Play:
    """Let a source tell nothing for a minute."""
    dice = random.Random(f"{play.seed} {BLIND}")
    since = WARM_SECONDS + dice.randrange(-BLIND_SECONDS // 2, FAULT_SECONDS - BLIND_SECONDS)
    source = dice.choice((GPUS, ENGINES, EVERYTHING))
    return replace(play, missing=(Missing(source, since, since + BLIND_SECONDS),))


def _with_second(play: Play, first: Fault, lasts: int) -> Play:
    """Let another fault come two minutes after the first; which one it is does not depend on when it ends."""
    dice = random.Random(f"{play.seed} {TWO}")
    alike = [n for n, each in FAULTS.items() if each.parallel == first.parallel and each.event != first.event]
    name = dice.choice(alike)
    second = FAULTS[name]
    gpu = None if second.whole else dice.randrange(TRAYS)
    amount = f", {second.amount}: {dice.uniform(second.low, second.high):.3f}" if second.amount else ""
    times = f"at: {WARM_SECONDS + SECOND_AT}s, lasts: {lasts}s"
    event = _event(second, gpu, amount, times, play.tray)
    want = Want(name, second.causes, gpu, play.wants[0].node)
    over = max(play.over, WARM_SECONDS + SECOND_AT + lasts)
    return replace(play, events=(*play.events, event), wants=(*play.wants, want), over=over)


def _load(dice: random.Random, shape: str) -> str:
    level, noise = dice.uniform(0.5, 1.2), dice.uniform(0.0, 0.05)
    if shape == "diurnal":
        wave = f"{{share: {dice.uniform(0.1, 0.5):.2f}, period: 30m}}"
        return f"{{level: {level:.2f}, noise: {noise:.3f}, wave: {wave}}}"
    if shape == "bursty":
        low = level * dice.uniform(0.3, 0.8)
        stretches = f"[{{lasts: 40s, level: {level:.2f}}}, {{lasts: 30s, level: {low:.2f}}}]"
        return f"{{stretches: {stretches}, repeat: true, noise: {noise:.3f}}}"
    if shape == "ramp":
        end = level * dice.uniform(0.5, 1.5)
        return f"{{stretches: [{{lasts: 25m, level: {level:.2f}, to: {end:.2f}}}], noise: {noise:.3f}}}"
    return f"{{level: {level:.2f}, noise: {noise:.3f}}}"
