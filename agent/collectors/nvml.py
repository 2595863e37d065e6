"""NVIDIA GPUs through NVML: power, energy, clocks, faults; a wedged GPU costs the others nothing."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from agent.aside import Lane
from agent.collectors._nvml.device import Rates
from agent.collectors._nvml.kmsg import KernelLog
from agent.collectors._nvml.library import Code, Library, Refusal, failure
from agent.collectors._nvml.session import Session
from agent.collectors._nvml.sweep import Sweep
from agent.collectors._nvml.xids import NONE as NO_XIDS
from agent.collectors._nvml.xids import Tally
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Seconds, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors._nvml.device import Device
    from agent.measure.finding import Finding
    from agent.measure.gpu import GpuIdentity, GpuReading
    from agent.measure.snapshot import Snapshot

MEDIUM_SECONDS = 1.0
"""Utilisation, temperatures and throttling are not asked more often: the driver renews them that often."""

TURN = attrgetter("hangs", "attempted_seconds")
"""Who comes first in a sweep."""

MARGIN = 0.9
"""Share of the deadline after which we give up ourselves, with a better explanation."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `collectors.nvml`."""

    interval: Seconds = setting(Seconds(1.0), "How often power and energy are read.")
    timeout: Seconds = setting(Seconds(3.0), "Deadline of one collection of all GPUs.")
    call_timeout: Seconds = setting(
        Seconds(1.0), "How long the calls for one GPU may take before it counts as wedged and is left aside."
    )
    detail_interval: Seconds = setting(
        Seconds(5.0),
        "How often hardware counters (GPM), counters of throttling and NVLink traffic, power limits, "
        "memory in use and its temperature, the thermal margin and clocks other than that of the SMs "
        "are read.",
    )
    slow_interval: Seconds = setting(
        Seconds(15.0),
        "How often ECC errors, remapped rows, PCIe replays, video engines, fabric and processes are read.",
    )
    max_load: float = setting(
        0.02,
        "Share of time that a group of driver calls may take; beyond it the group is asked less often.",
    )
    kmsg: str = setting("/dev/kmsg", "Kernel log in which Xid errors are looked for; empty is off.")
    xid_events: bool = setting(default=True, doc="Whether NVML is asked for Xid events.")
    processes: bool = setting(default=True, doc="Whether the processes on each GPU are listed.")
    gpm: bool = setting(
        default=True,
        doc="Whether hardware counters are asked what bounds a GPU (SMs, tensor cores, memory, links): GPM, "
        "from Hopper on.",
    )
    nvlinks: bool = setting(
        default=True,
        doc="Whether every NVLink and C2C link is asked for its state and errors, every `slow_interval`.",
    )
    release_timeout: Seconds = setting(
        Seconds(300.0), "After a release for a GPU reset, take hold again by itself after this time."
    )

    def __post_init__(self) -> None:
        """Refuse durations and shares that mean nothing."""
        for key in (
            "interval",
            "timeout",
            "call_timeout",
            "detail_interval",
            "slow_interval",
            "release_timeout",
        ):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be longer than 0")
        if not 0 < self.max_load <= 1:
            raise ValueError("max_load: must be a share of time, more than 0 and at most 1")


def build(settings: Settings) -> NvmlCollector:
    """Make the collector; nothing is loaded or opened before the first collection."""
    return NvmlCollector(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at everything this collector needs, for `rackwatt doctor`."""
    from agent.collectors._nvml.examine import findings  # noqa: PLC0415 - only the doctor pays for it

    return await findings(settings.kmsg, _rates(settings), settings.timeout * 4)


def _rates(settings: Settings) -> Rates:
    return Rates(
        fast_seconds=settings.interval,
        medium_seconds=max(MEDIUM_SECONDS, settings.interval),
        detail_seconds=max(settings.detail_interval, settings.interval),
        slow_seconds=max(settings.slow_interval, settings.interval),
        share=settings.max_load,
        processes=settings.processes,
        gpm=settings.gpm,
        nvlinks=settings.nvlinks,
    )


class NvmlCollector:
    """The plug-in, its only source, and what can be released: one driver, one object."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._nvml = Library()
        self._lane = Lane("nvml")
        self._tally = Tally()
        self._log: KernelLog | None = None
        self._session: Session | None = None
        self._sweep: Sweep | None = None
        self._known: dict[int, GpuIdentity] = {}
        self._jam: int | None = None
        """Threads left behind when a second GPU hung in one sweep: none is started until one comes back."""
        self._released_until: float | None = None
        self._cheapest_seconds = 0.0
        """The period that the cheapest GPU can afford, as of the last sweep; asked for often."""

    name = "nvml"

    @property
    def interval_seconds(self) -> float:
        """The configured interval, longer when even the cheapest GPU costs more than `max_load`."""
        return max(self._settings.interval, self._cheapest_seconds)

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one collection."""
        return self._settings.timeout

    def sources(self, seen: Snapshot | None) -> Sequence[NvmlCollector]:  # noqa: ARG002 - the port's signature
        """One source: the driver of this machine."""
        return (self,)

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - as above
        """Read every GPU whose turn it is, and say what is known of all."""
        deadline = time.monotonic() + self._settings.timeout * MARGIN
        self._drain_log()
        self._refuse_while_released()
        self._clear_way()
        try:
            try:
                await self._read(deadline)
            except Refusal as refusal:
                self._end_session()
                if refusal.code != Code.UNINITIALIZED:
                    raise
                await self._read(deadline)  # the driver was loaded anew: so must we
        except Refusal as refusal:
            self._end_session()
            raise failure(refusal) from refusal
        return self._reading(now)

    def _drain_log(self) -> None:
        if self._log is None:
            self._log = KernelLog(self._settings.kmsg, self._take_line)
        self._log.drain()

    def _take_line(self, line: str) -> None:
        self._tally.line(line, time.monotonic())

    async def _read(self, deadline: float) -> None:
        session = await self._opened(deadline)
        now = time.monotonic()
        wanted = [device for device in session.devices if device.wanted(now)]
        if wanted:
            wanted.sort(key=TURN)
            await self._attend(Sweep(wanted), deadline)
            session.watch()
        if self._released_until is not None:
            self._refuse_while_released()

    async def _opened(self, deadline: float) -> Session:
        if self._session is not None and self._session.hopeless(time.monotonic()):
            self._end_session()
        if self._session is None:
            try:
                await self._lane.run(self._open, deadline - time.monotonic())
            except TimeoutError:
                text = "the driver does not answer to being initialised"
                raise SourceError(Reason.TIMED_OUT, text) from None
        self._refuse_while_released()
        if self._session is None:
            raise SourceError(Reason.UNREACHABLE, "the driver was let go of while it was being opened")
        return self._session

    def _open(self) -> None:
        tally = self._tally if self._settings.xid_events else None
        session = Session(self._nvml, _rates(self._settings), self._known, tally)
        if self._released_until is None:
            self._session = session
        else:
            session.close()

    async def _attend(self, sweep: Sweep, deadline: float) -> None:
        """Wait for a sweep; leave a GPU that hangs behind, and the driver when a second one does."""
        self._sweep = sweep
        job = self._lane.begin(sweep.run)
        given_up = False
        try:
            while not await job.settled(min(deadline, self._patience(sweep))):
                if time.monotonic() >= deadline:
                    return self._late(sweep)
                if not self._hangs(sweep):
                    continue
                if given_up:
                    self._jam = self._lane.left_behind
                    raise SourceError(Reason.TIMED_OUT, "the driver hangs: calls for two GPUs did not return")
                if self._give_up(sweep):
                    given_up = True
                    job = self._lane.begin(sweep.run)
        finally:
            sweep.stop()
        if sweep.refusal or sweep.error:
            raise sweep.refusal or sweep.error or AssertionError
        return None

    def _patience(self, sweep: Sweep) -> float:
        return sweep.since_seconds + self._settings.call_timeout

    def _late(self, sweep: Sweep) -> None:
        """Be content with a part of the GPUs; the others come first in the next sweep."""
        sweep.stop()
        if not sweep.answered:
            raise SourceError(
                Reason.TIMED_OUT, f"no GPU answered within {self._settings.timeout:g} s: the driver is slow"
            )

    def _give_up(self, sweep: Sweep) -> bool:
        """Leave the GPU that hangs behind; False when it just answered."""
        device = sweep.skip()
        if device is None:
            return False
        device.suspect()
        self._lane.leave()
        return True

    def _clear_way(self) -> None:
        """See to it that the lane is free. Raises SourceError while it is not."""
        sweep = self._sweep
        if self._lane.busy:
            if self._jam is None:
                free = sweep is not None and self._hangs(sweep)
            else:
                free = self._lane.left_behind < self._jam
            if not (free and sweep is not None and self._give_up(sweep)):
                raise SourceError(Reason.OVERLAPPED, "the driver has not returned from an earlier call")
        self._jam = None

    def _hangs(self, sweep: Sweep) -> bool:
        return sweep.device is not None and time.monotonic() >= self._patience(sweep)

    def _reading(self, now: Moment) -> Reading:
        devices = self._session.devices if self._session else ()
        self._cheapest_seconds = min(
            [device.fast.pace.period_seconds for device in devices if device.well], default=0.0
        )
        hears = self._hears_xids
        if self._tally.silent:
            told = [device.report(NO_XIDS, 0 if hears else None) for device in devices]
        else:
            told = [self._reported(device, hears=hears) for device in devices]
        gpus = tuple([gpu for gpu in told if gpu is not None])
        return Reading(self.name, now, gpus=gpus, costs=self._nvml.costs(), notes=self._notes(devices))

    def _reported(self, device: Device, *, hears: bool) -> GpuReading | None:
        """Say what is known of one GPU, its Xids too."""
        if device.identity is None:
            return None
        xids = self._tally.of(device.identity)
        return device.report(xids, self._tally.last(device.identity) if xids or hears else None)

    @property
    def _hears_xids(self) -> bool:
        """Whether somebody would tell us of an Xid: silence is no news only then."""
        if self._log is not None and self._log.is_open:
            return True
        return self._settings.xid_events and self._session is not None and not self._session.events_note

    def _notes(self, devices: Sequence[Device]) -> tuple[str, ...]:
        notes = [self._log.note] if self._log and self._log.note else []
        if self._session and self._session.events_note:
            notes.append(self._session.events_note)
        denied = frozenset[str]().union(*[device.denied for device in devices])
        notes.extend(
            f"{name} is not permitted to this user and stays absent: run as root if it is needed"
            for name in sorted(denied)
        )
        notes.extend(
            f"GPU at index {device.index} never told who it is: {device.result.trouble}"
            for device in devices
            if device.identity is None and device.result
        )
        return tuple(notes)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self._known |= {device.index: device.identity for device in session.devices if device.identity}
        self._cheapest_seconds = 0.0
        session.stop()
        self._lane.submit(session.close)

    def _refuse_while_released(self) -> None:
        if self._released_until is None:
            return
        left = self._released_until - time.monotonic()
        if left <= 0:
            self.resume()
            return
        self._let_go()
        raise SourceError(
            Reason.RELEASED, f"let go of the driver on request; back in {left:.0f} s at the latest"
        )

    def release(self) -> None:
        """Let go of the driver (event set freed, NVML shut down) until `resume` or `release_timeout`."""
        self._released_until = time.monotonic() + self._settings.release_timeout
        self._let_go()

    def _let_go(self) -> None:
        sweep = self._sweep
        if sweep is not None:
            sweep.stop()
            if self._lane.busy and self._hangs(sweep):
                self._give_up(sweep)
        self._end_session()

    def resume(self) -> None:
        """Take hold again with the next collection."""
        self._released_until = None

    async def close(self) -> None:
        """Let go of everything, without waiting for a driver that hangs."""
        self._released_until = float("inf")
        self._let_go()
        self._lane.end()
        if self._log is not None:
            self._log.close()
