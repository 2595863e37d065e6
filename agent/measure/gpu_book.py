"""GPU readings into totals, per GPU: energy, its cross-check, throttling, errors."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from agent.measure.counters import Change
from agent.measure.energy import MEAN_LAG_SECONDS, CrossCheck, PowerIntegral
from agent.measure.gpu import NO_POWER, GpuState, PowerScope
from agent.measure.gpu_handover import Carry, Handover
from agent.measure.series import Point, Series
from agent.measure.snapshot import GpuFigures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.counters import Step
    from agent.measure.gpu import GpuReading, Power
    from agent.measure.gpu_sources import Told
    from agent.measure.ledger import Ledger
    from agent.measure.reading import Moment
    from agent.measure.series import Horizon

MAX_WATTS = 3000.0
"""No GPU draws this much: a counter that grows faster is not believed (GB300: 1,400 W)."""
HARDWARE_XIDS = (48, 63, 64, 74, 79, 92, 94, 95, 119, 120, 145, 149, 154)
"""Xids that speak of hardware; their counters exist at 0 from the start."""
NO_XIDS = {str(xid): 0 for xid in HARDWARE_XIDS}
BY_NAME = ("throttled", "ecc", "nvlink", "nvlink_errors", "c2c_errors")
RAWS_BY_NAME = attrgetter("throttled_seconds", "ecc_errors", "nvlink_bytes", "nvlink_errors", "c2c_errors")
"""Where a reading has them."""
COUNTS = (*BY_NAME, "xid", "pcie")
REPLAYS = "replays"
UNCERTAIN = frozenset({Change.RESET, Change.IMPLAUSIBLE, Change.ADOPTED})
"""After these the energy of the open window of the cross-check is not known."""


class GpuBook:
    """What is remembered of one GPU between readings."""

    def __init__(self, gpu: int, uuid: str, ledger: Ledger, horizon: Horizon) -> None:
        self.gpu = gpu
        self.uuid = uuid
        self.energy = Series(horizon)
        """Joules by the best source there is: the counter, else the integral of the mean."""
        self.reading: GpuReading | None = None
        self.reports = False
        """Whether the GPU answers its driver."""
        self.serial: str | None = None
        """Of its board, as last told."""
        self.integrated_only = False
        self._ledger = ledger
        self._horizon = horizon
        self._energy_key, self._integrated_key = self._key("energy"), self._key("integrated")
        self._counted_joules, self._integrated_joules = (
            ledger.total(self._energy_key),
            ledger.total(self._integrated_key),
        )
        """Totals as they were last booked; None is never."""
        self._integral = PowerIntegral()
        self.check = CrossCheck()
        """Whether the energy counter agrees with power."""
        self._handover = Handover()
        self._counts = {what: self._kept(what) for what in COUNTS}
        """Totals by name; a new mapping whenever one has changed, for snapshots hold on to it."""
        self._raws: dict[str, dict[str, float]] = {what: {} for what in COUNTS}
        self._booked: dict[str, Mapping[str, float] | None] = dict.fromkeys(COUNTS)
        """The mapping of raws that was booked last: most of them are told again and again until read anew."""
        self._xids = self._by_number()
        """Totals by Xid, in the same way."""

    def take(self, reading: GpuReading, epoch: str, run: str) -> float:
        """Book one reading; `epoch` is the kernel's boot, `run` this process. Returns the joules it adds."""
        self.reading, self.serial = reading, reading.identity.serial
        self.reports = reading.state is GpuState.OK
        if reading.xid_errors or self._booked["xid"] is not NO_XIDS:
            self._book_xids(reading, run)
        if not self.reports:
            return 0.0
        booked = self._booked
        for what, raws in zip(BY_NAME, RAWS_BY_NAME(reading), strict=True):
            if raws is not booked[what]:
                self._book_counts(what, raws, reading.at, epoch)
        replays = reading.pcie_replays
        if replays is not None and replays != self._raws["pcie"].get(REPLAYS):
            self._book_counts("pcie", {REPLAYS: replays}, reading.at, epoch)
        return self._book_energy(reading, epoch)

    def miss(self) -> None:
        """Note that its source failed: nothing is known of it now."""
        self.reading, self.reports = None, False

    def change_source(self, at: Moment) -> None:
        """Note that another source tells of this GPU from now on."""
        self._handover.begin(at.monotonic_seconds)
        self.check.restart()

    def figures(self, known: Told | None) -> GpuFigures:
        """Return what outputs may see; `known` is the reading, filled with what other sources know."""
        reading = self.reading
        told = self.reports
        return GpuFigures(
            gpu=self.gpu,
            uuid=self.uuid,
            state=None if reading is None else reading.state,
            reading=reading if known is None else known.reading,
            sources={} if known is None else known.sources,
            energy_joules_total=self._counted_joules if told else None,
            energy_integrated_joules_total=self._integrated_joules if told else None,
            verdict=self.check.verdict,
            throttled_seconds_total=self._counts["throttled"] if told else {},
            ecc_errors_total=self._counts["ecc"] if told else {},
            nvlink_bytes_total=self._counts["nvlink"] if told else {},
            nvlink_errors_total=self._counts["nvlink_errors"] if told else {},
            c2c_errors_total=self._counts["c2c_errors"] if told else {},
            xid_errors_total=self._xids,
            pcie_replays_total=self._counts["pcie"].get(REPLAYS) if told else None,
        )

    def _book_xids(self, reading: GpuReading, run: str) -> None:
        xids = NO_XIDS
        if reading.xid_errors:
            xids = NO_XIDS | {str(xid): count for xid, count in reading.xid_errors.items()}
        if self._book_counts("xid", xids, reading.at, run, from_zero=True):
            self._xids = self._by_number()

    def _book_energy(self, reading: GpuReading, epoch: str) -> float:
        """Book energy by its counter, else by integrated mean power; return the joules added.

        A counter that is silent for once is waited for: what it says next holds all that came between.
        Where there is no counter and only instant power, energy is absent (`no_meter`): instant power
        aliases with periodic load, and its integral would be a number that nobody measured (T9).
        """
        power = reading.power.get(PowerScope.GPU, NO_POWER)
        integral = self._integrate(power, reading.at)
        if reading.energy_joules is not None:
            counted = self._count(reading.energy_joules, reading.at, epoch)
            if counted is None:
                return 0.0
            self._verify(reading, power)
            return self._extend(reading.at.monotonic_seconds, counted)
        self.integrated_only = self._ledger.get(self._energy_key) is None
        if not self.integrated_only or power.average_watts is None:
            return 0.0
        if integral is None:
            self.energy = Series(self._horizon)
        return self._extend(reading.at.monotonic_seconds - MEAN_LAG_SECONDS, integral or 0.0)

    def _extend(self, seconds: float, joules: float) -> float:
        last = self.energy.last
        self.energy.add(Point(seconds, (0.0 if last is None else last.value) + joules))
        return joules

    def _integrate(self, power: Power, at: Moment) -> float | None:
        """Book the integral of the mean; None when it is unknown what the GPU drew since the last."""
        if power.average_watts is None:
            return None
        joules = self._integral.add(at.monotonic_seconds, power.average_watts)
        self._integrated_joules = self._ledger.add(self._integrated_key, joules or 0.0, at)
        if joules is None:
            self.check.restart()
        return joules

    def _count(self, raw_joules: float, at: Moment, epoch: str) -> float | None:
        """Book the counter; None while it lags behind what another source told of it."""
        self.integrated_only = False
        step = self._observe(self._energy_key, raw_joules, at, epoch, max_rate=MAX_WATTS)
        if step is None:
            return None
        self._counted_joules = step.counter.total
        if step.change in UNCERTAIN:
            self.check.restart()
        if step.change is Change.ADOPTED:
            self.energy = Series(self._horizon)  # nobody knows what was drawn meanwhile
        return step.delta

    def _observe(
        self,
        key: str,
        raw: float,
        at: Moment,
        epoch: str,
        *,
        from_zero: bool = False,
        max_rate: float | None = None,
    ) -> Step | None:
        """Book one raw counter; None when it is to be waited for."""
        adopted = False
        if self._handover.begun:
            carry = self._handover.judge(key, raw, self._ledger.get(key), at.monotonic_seconds)
            if carry is Carry.WAIT:
                return None
            adopted = carry is Carry.ADOPT
        return self._ledger.observe(
            key, raw, at, epoch, from_zero=from_zero, adopted=adopted, max_rate=max_rate
        )

    def _verify(self, reading: GpuReading, power: Power) -> None:
        counted, integrated = self._counted_joules, self._integrated_joules
        if counted is None or integrated is None or power.average_watts is None:
            self.check.doubt()
            return
        limit = reading.power_limit_watts.get(PowerScope.GPU)
        self.check.add(reading.at.monotonic_seconds, counted, integrated, power.average_watts, limit)

    def _book_counts(
        self, what: str, raws: Mapping[str, float], at: Moment, epoch: str, *, from_zero: bool = False
    ) -> bool:
        """Book counts by name; tell whether any may have changed."""
        known = self._raws[what]
        if raws == known:
            self._booked[what] = raws
            return False  # mostly; `epoch` is the same for as long as we run
        totals = self._counts[what] = dict(self._counts[what])
        for name, raw in raws.items():
            if known.get(name) == raw:
                continue
            step = self._observe(self._key(f"{what}/{name}"), raw, at, epoch, from_zero=from_zero)
            if step is None:
                continue
            totals[name] = step.counter.total
            if step.change is not Change.LATE:
                known[name] = raw
        return True

    def _by_number(self) -> dict[int, float]:
        return {int(xid): count for xid, count in self._counts["xid"].items() if xid.isdecimal()}

    def _kept(self, what: str) -> dict[str, float]:
        prefix = self._key(f"{what}/")
        return {key.removeprefix(prefix): self._ledger.total(key) or 0.0 for key in self._ledger.keys(prefix)}

    def _key(self, what: str) -> str:
        return f"gpu/{self.uuid}/{what}"


class ModuleBook:
    """Power of one superchip, told by both of its GPUs: counted once per board serial (T8)."""

    def __init__(self, serial: str, ledger: Ledger, horizon: Horizon) -> None:
        self.serial = serial
        self.energy = Series(horizon)
        self.power_watts: float | None = None
        self._ledger = ledger
        self._horizon = horizon
        self._integral = PowerIntegral()

    def take(self, readings: tuple[GpuReading, ...]) -> float:
        """Book what the GPUs of one board say of their module; return the joules it adds."""
        told = [
            (reading.at, reading.power[PowerScope.MODULE].average_watts)
            for reading in readings
            if PowerScope.MODULE in reading.power
        ]
        watts = [power for _, power in told if power is not None]
        if not watts:
            self.power_watts = None
            return 0.0
        at = told[-1][0]
        self.power_watts = sum(watts) / len(watts)
        joules = self._integral.add(at.monotonic_seconds, self.power_watts)
        if joules is None:
            self.energy = Series(self._horizon)
        total = self._ledger.add(f"module/{self.serial}/integrated", joules or 0.0, at)
        self.energy.add(Point(at.monotonic_seconds - MEAN_LAG_SECONDS, total))
        return joules or 0.0

    def miss(self) -> None:
        """Note that its source failed."""
        self.power_watts = None
