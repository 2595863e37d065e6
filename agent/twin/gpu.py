"""One GPU: clocks follow temperature and limits, power follows work and clocks, heat follows power."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.twin import gb300
from agent.twin.grid import MILLI, NANO, STEP_NS, STEP_SECONDS, STEPS_PER_SECOND, chance

if TYPE_CHECKING:
    from agent.twin.effects import GpuEffects

SW_POWER_CAP = "sw_power_cap"
SW_THERMAL = "sw_thermal_slowdown"
HW_THERMAL = "hw_thermal_slowdown"
HW_BRAKE = "hw_power_brake_slowdown"
HW_SLOWDOWN = "hw_slowdown"
METERED = (SW_POWER_CAP, SW_THERMAL, HW_THERMAL, HW_BRAKE)
"""Reasons whose time the driver counts; hw_slowdown is an umbrella over the last two."""
DECAY = 1.0 - math.exp(-STEP_SECONDS / gb300.THERMAL_LAG_SECONDS)
LEAST_CAPPED_SHARE = 0.01
RECENT = STEPS_PER_SECOND
"""Steps that the driver's mean of one second goes over."""


class GpuTraits:
    """In what one GPU differs from the next; never changes."""

    __slots__ = ("busy_watts", "celsius_per_watt", "coolant_celsius", "idle_watts")

    def __init__(self, seed: int, tray: int, gpu: int, busy_watts: float) -> None:
        def spread(what: int, share: float) -> float:
            return 1.0 + share * chance(seed, what, tray, gpu)

        self.idle_watts = gb300.IDLE_WATTS * spread(1, gb300.IDLE_SPREAD)
        self.busy_watts = busy_watts * spread(2, gb300.BUSY_SPREAD)
        self.celsius_per_watt = gb300.CELSIUS_PER_WATT * spread(3, gb300.RESISTANCE_SPREAD)
        self.coolant_celsius = gb300.COOLANT_CELSIUS + gb300.COOLANT_SPREAD_CELSIUS * chance(
            seed, 4, tray, gpu
        )


class Gpu:
    """State at the beginning of a step, and the power that stands during it."""

    __slots__ = (
        "activity",
        "celsius",
        "clock_share",
        "energy_base_pj",
        "energy_pj",
        "held_ns",
        "hot",
        "limit_watts",
        "lost",
        "power_mw",
        "reasons",
        "recent_mw",
        "traits",
        "utilization",
        "xids",
    )

    def __init__(self, traits: GpuTraits) -> None:
        """Begin as a GPU that has idled for long."""
        self.traits = traits
        self.activity = 0.0
        self.utilization = 0.0
        self.clock_share = 1.0
        self.limit_watts = gb300.LIMIT_WATTS
        self.power_mw = round(traits.idle_watts * MILLI)
        self.celsius = traits.coolant_celsius + traits.celsius_per_watt * traits.idle_watts
        self.hot = False
        self.lost = False
        self.reasons: tuple[str, ...] = ()
        self.energy_pj = 0
        self.energy_base_pj = 0
        """Where the driver's counter began: it starts anew when the GPU was reset."""
        self.recent_mw = (self.power_mw,) * RECENT
        self.held_ns = [0, 0, 0, 0]
        self.xids: tuple[tuple[int, int], ...] = ()
        """Nanoseconds since the twin's start, and number, of each of the driver's errors."""

    def clone(self) -> Gpu:
        """Return a copy that can go its own way."""
        twin = Gpu.__new__(Gpu)
        for name in Gpu.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.held_ns = list(self.held_ns)
        return twin

    def integrate(self) -> None:
        """Live through one step."""
        power_mw = self.power_mw
        self.energy_pj += power_mw * STEP_NS
        self.recent_mw = (*self.recent_mw[1:], power_mw)
        for reason in self.reasons:
            if reason != HW_SLOWDOWN:
                self.held_ns[METERED.index(reason)] += STEP_NS

    def warm(self, degrees: float) -> None:
        """Let the temperature follow the power of the step before."""
        traits = self.traits
        settled = traits.coolant_celsius + degrees + traits.celsius_per_watt * self.power_mw / MILLI
        self.celsius += (settled - self.celsius) * DECAY
        if self.celsius >= gb300.SLOWDOWN_CELSIUS:
            self.hot = True
        elif self.celsius < gb300.HARD_RELEASE_CELSIUS:
            self.hot = False

    def clock(self, effects: GpuEffects) -> None:
        """Settle the clocks for the next step, and why they are low."""
        reasons = []
        share = effects.clock_share
        above = self.celsius - gb300.SOFT_CELSIUS
        if above > 0 and self.activity:
            reasons.append(SW_THERMAL)
            share = min(share, max(gb300.LEAST_CLOCK_SHARE, 1.0 - gb300.SOFT_SHARE_PER_CELSIUS * above))
        if self.hot:
            reasons += [HW_SLOWDOWN, HW_THERMAL]
            share = min(share, gb300.HARD_CLOCK_SHARE)
        if effects.brake:
            reasons += [HW_SLOWDOWN, HW_BRAKE]
            share = min(share, gb300.BRAKE_CLOCK_SHARE)
        self.limit_watts = effects.limit_watts
        capped = self._capped_share()
        if capped < share:
            reasons.append(SW_POWER_CAP)
            share = capped
        self.clock_share = share
        self.reasons = tuple(dict.fromkeys(reasons))

    def _capped_share(self) -> float:
        """Return the highest clock that keeps to the power limit."""
        traits = self.traits
        wanted = (traits.busy_watts - traits.idle_watts) * self.activity
        room = self.limit_watts - traits.idle_watts
        if wanted <= room:
            return 1.0
        return float(max(room / wanted, LEAST_CAPPED_SHARE) ** (1.0 / gb300.CLOCK_EXPONENT))

    @property
    def speed(self) -> float:
        """What its clocks leave of its speed."""
        return gb300.SPEED_FLOOR + (1.0 - gb300.SPEED_FLOOR) * self.clock_share

    def work(self, activity: float, utilization: float) -> None:
        """Settle the power of the next step: how hard it works, and the share of time with work on it."""
        traits = self.traits
        self.activity = activity
        self.utilization = utilization
        dynamic = (traits.busy_watts - traits.idle_watts) * activity
        watts = traits.idle_watts + dynamic * self.clock_share**gb300.CLOCK_EXPONENT
        self.power_mw = round(min(watts, self.limit_watts) * MILLI)

    def switch_off(self) -> None:
        """Draw nothing."""
        self.activity = self.utilization = 0.0
        self.clock_share = 1.0
        self.reasons = ()
        self.hot = False
        self.power_mw = 0

    def reset(self) -> None:
        """Begin the driver's counters anew."""
        self.energy_base_pj = self.energy_pj
        self.held_ns = [0, 0, 0, 0]

    def energy_at_pj(self, rest_ns: int) -> int:
        """Picojoules since the twin's start, so long after the beginning of the step."""
        return self.energy_pj + self.power_mw * rest_ns

    def mean_mw(self, rest_ns: int) -> int:
        """Return the mean of the last second."""
        return (sum(self.recent_mw) * STEP_NS + (self.power_mw - self.recent_mw[0]) * rest_ns) // NANO

    def held_at_ns(self, place: int, rest_ns: int) -> int:
        """Nanoseconds that one reason of METERED has held the clocks down."""
        return self.held_ns[place] + (rest_ns if METERED[place] in self.reasons else 0)
