"""One GPU: opened, probed and read in a thread that may get stuck in it; reported from the event loop."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml import features, fields
from agent.collectors._nvml.c2c import C2cLinks
from agent.collectors._nvml.gpm import Gpm
from agent.collectors._nvml.group import Group, Values, check, place
from agent.collectors._nvml.identity import read_identity
from agent.collectors._nvml.library import DRIVER_WIDE, FIELD_VALUES, Code, Refusal
from agent.collectors._nvml.nvlink import TRAFFIC, NvLinks
from agent.collectors._nvml.pace import Pace
from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Placement, Power, PowerScope
from agent.measure.reading import Moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.collectors._nvml.library import Library

REPROBE_SECONDS = 30.0
"""A GPU that is lost or must be reset is tried again so often; nothing but a reset brings it back."""

FAILED_RETRY_SECONDS = 1.0
"""First wait after another failure; doubles up to REPROBE_SECONDS."""

TICK_SLACK = 0.4
"""Share of the interval by which a tick may come early and still count for its own."""

HANG_RETRY_SECONDS = 1.0
"""A GPU that hangs again within a minute costs the others nothing more than a thread's start."""

WEDGED = (
    "a driver call for this GPU does not return: look for Xid 119, 120 or 45 in the kernel log; "
    "reset the GPU or reboot when it stays so"
)
SHARED = ("clock_hertz", "temperature_celsius")
"""Attributes of which a part is read each second, and a part more seldom."""
NOTHING: Mapping[str, Any] = MappingProxyType({})
MAPPINGS = tuple(
    each.name for each in fields_of(GpuReading) if each.default_factory is dict and each.name != "xid_errors"
)
"""Attributes that are mappings, empty when there is nothing to tell: made once, not at each reading."""
STATES = {Code.GPU_IS_LOST: GpuState.LOST, Code.RESET_REQUIRED: GpuState.RESET_REQUIRED}
TROUBLES = {
    GpuState.LOST: "fell off the bus: drain the node, reset the GPU or reboot",
    GpuState.RESET_REQUIRED: "needs a reset: stop what uses it, then nvidia-smi --gpu-reset",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """The configured periods, and the share of time that one group of one GPU may take."""

    fast_seconds: float
    medium_seconds: float
    detail_seconds: float
    slow_seconds: float
    share: float
    processes: bool = True
    gpm: bool = True
    nvlinks: bool = True

    def shared_by(self, gpus: int) -> Rates:
        """Return the rates of each of so many GPUs: they share the time, so that one slow GPU pays alone."""
        return replace(self, share=self.share / max(gpus, 1))


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt at a GPU brought."""

    state: GpuState
    at: Moment
    trouble: str = ""
    values: Values = field(default_factory=dict)


class Device:
    """A GPU at an index of the driver; everything but `report` and `suspect` runs in a sampler thread."""

    def __init__(
        self, nvml: Library, index: int, driver: str, rates: Rates, known: GpuIdentity | None
    ) -> None:
        self.index = index
        self.identity = known
        self.handle: Any = None
        self.result: Result | None = None
        self.stuck = False
        """A thread is inside a driver call for this GPU and was given up."""
        self.hangs = 0
        """Calls that did not return, one soon after another."""
        self.denied: frozenset[str] = frozenset()
        """What the driver does not permit this user to ask."""
        self.attempted_seconds = float("-inf")
        self._retry_seconds = float("-inf")
        self._hung_seconds = float("-inf")
        self._failures = 0
        self._nvml = nvml
        self._driver = driver
        self._rates = rates
        self._open = False
        self._nvlinks = NvLinks(nvml, traffic=False)
        self._c2c = C2cLinks(nvml)
        self._power: tuple[tuple[PowerScope, int | None, int | None], ...] = ()
        self._energy: int | None = None
        self._seldom: Values = {}
        """What is read less often than once a second, or once, put together."""
        self._seldom_due_seconds = float("-inf")
        """When the next of that may be due."""
        self._groups()
        self._gpm = Gpm(nvml, self.detail.pace)

    def _groups(self) -> None:
        rates = self._rates
        periods = (rates.fast_seconds, rates.medium_seconds, rates.detail_seconds, *[rates.slow_seconds] * 2)
        self.once = Group(self._nvml, self.handle, Pace(0, 1))
        self.fast, self.medium, self.detail, self.slow, self.links = (
            Group(self._nvml, self.handle, Pace(period, rates.share, rates.fast_seconds * TICK_SLACK))
            for period in periods
        )

    @property
    def well(self) -> bool:
        """Whether it answers."""
        return self.result is not None and self.result.state is GpuState.OK

    def wanted(self, now_seconds: float) -> bool:
        """Whether this sweep should read it."""
        return not self.stuck and now_seconds >= max(self._retry_seconds, self.fast.pace.due_seconds)

    def read(self) -> Result:
        """Ask what is due. Raises Refusal only for what ends the session."""
        self.attempted_seconds = time.monotonic()
        try:
            if not self._open:
                self._prepare()
            return self._read()
        except Refusal as refusal:
            if refusal.code in DRIVER_WIDE:
                raise
            return self._fail(refusal)

    def _prepare(self) -> None:
        """Open the GPU and find out once what it can tell."""
        if self.identity is None:
            self.handle = self._nvml.call("nvmlDeviceGetHandleByIndex", self.index)
        else:
            self.handle = self._reopened(self.identity.uuid)
        self.identity = read_identity(self._nvml, self.handle, self._driver)
        self._groups()
        self.once.probe_features(features.ONCE)
        self.once.read()
        self._probe_fast()
        self.medium.probe_features(features.MEDIUM)
        self._gpm.free()
        self._gpm = Gpm(self._nvml, self.detail.pace)
        counters = [features.gpm(self._gpm)] if self._rates.gpm else []
        self.detail.probe_features((*features.DETAIL, *counters))
        # Without GPM the rate of now is reckoned from counters of traffic, which may not go in steps then.
        rated = bool(counters) and counters[0].name not in self.detail.refused
        self.medium.probe_fields(() if rated else TRAFFIC)
        self.detail.probe_fields((*fields.detail(self._driver), *(TRAFFIC if rated else ())))
        if not self.detail.has("power_limit_watts", PowerScope.GPU):
            self.detail.probe_features((features.LIMIT,))
        self.slow.probe_fields(fields.SLOW)
        self.slow.probe_features((*features.SLOW, *((features.PROCESSES,) if self._rates.processes else ())))
        self._nvlinks = NvLinks(
            self._nvml, traffic=not any(group.has("nvlink_bytes") for group in (self.medium, self.detail))
        )
        self._c2c = C2cLinks(self._nvml)
        self.denied = self._denied()
        self._seldom_due_seconds = float("-inf")
        self._open = True

    def _reopened(self, uuid: str) -> Any:
        try:
            return self._nvml.call("nvmlDeviceGetHandleByUUID", uuid)
        except Refusal as refusal:
            if refusal.code != Code.NOT_FOUND:
                raise
            return self._nvml.call("nvmlDeviceGetHandleByIndex", self.index)

    def _probe_fast(self) -> None:
        self.fast.probe_fields(fields.FAST)
        places = (
            {(f.attribute, f.key): n for n, f in enumerate(self.fast.batch.fields)} if self.fast.batch else {}
        )
        self._energy = places.get(("energy_joules", None))
        scopes = {
            scope: (places.get(("average_watts", scope)), places.get(("instant_watts", scope)))
            for scope in PowerScope
        }
        self._power = tuple((scope, *pair) for scope, pair in scopes.items() if pair != (None, None))
        if self._energy is None:
            self.fast.probe_features((features.ENERGY,))
        if not self._power:  # a GPU that has only module scope keeps to it: scopes are never mixed
            self.fast.probe_features((features.power_usage(self._nvml, self.handle),))

    def _read(self) -> Result:
        at, values = self._read_fast()
        now = at.monotonic_seconds
        if self._read_seldom(now):
            self._seldom = self._joined()
        if now >= self.medium.pace.due_seconds:
            self.medium.read(mig=self.slow.values.get("mig", False))
        seldom, often = self._seldom, self.medium.values
        joined = {**seldom, **often, **values}
        for name in SHARED:
            joined[name] = {**seldom.get(name, NOTHING), **often.get(name, NOTHING)}
        self._failures = 0
        return Result(GpuState.OK, at, values=joined)

    def _read_seldom(self, now: float) -> bool:
        """Ask what is due of all that is read more seldom than once a second; tell whether anything was."""
        if now < self._seldom_due_seconds:
            return False
        read = self._read_slow(now)
        waits = self._gpm.waiting or (self._rates.nvlinks and self._unsettled is not None)
        groups = (self.slow, self.detail, self.links) if self._rates.nvlinks else (self.slow, self.detail)
        next_due = min([group.pace.due_seconds for group in groups])
        self._seldom_due_seconds = float("-inf") if waits else next_due
        return read

    def _read_slow(self, now: float) -> bool:
        slow_due = self.slow.due(now)
        if slow_due:
            self.slow.read()
            self.slow.values["recovery_action"] = _recovery(self.slow.values.get("recovery_action"))
        mig = self.slow.values.get("mig", False)
        detail_due = self.detail.due(now) or (self._gpm.waits(now) and not mig)
        if detail_due:
            self.detail.read(mig=mig)
        return self._read_links(now) or slow_due or detail_due

    def _joined(self) -> Values:
        """Put together what is read seldom, or once."""
        values: Values = {name: {} for name in MAPPINGS}
        values |= {**self.detail.values, **self.slow.values, **self.links.values}
        values.pop("mig", None)
        place = {**self.once.values.get("placement", {}), **values.pop("placement", {})}
        return {**values, "placement": Placement(**place) if place else None}

    def _read_links(self, now: float) -> bool:
        """Ask the links when it is time, at a pace of their own; not in the reading that opens the GPU."""
        unsettled = self._unsettled
        if not self._rates.nvlinks or not self.well or (unsettled is None and not self.links.due(now)):
            return False
        if unsettled is not None:
            tuple(unsettled.ask(self.handle))
            if unsettled.refused == Code.NO_PERMISSION:
                self.denied |= {"NVLink counters" if unsettled is self._nvlinks else "C2C counters"}
            return True
        started = time.monotonic()
        self.links.values = {}
        place(self.links.values, (*self._nvlinks.ask(self.handle), *self._c2c.ask(self.handle)))
        self.links.pace.spent(started, time.monotonic() - started)
        return True

    @property
    def _unsettled(self) -> NvLinks | C2cLinks | None:
        """Links of which it is not known yet what they can be asked."""
        return next((each for each in (self._nvlinks, self._c2c) if not each.settled), None)

    def _read_fast(self) -> tuple[Moment, Values]:
        before = time.monotonic()
        values: Values = {}
        power: dict[PowerScope, Power] = {}
        if self.fast.batch is not None:
            answers, codes = self.fast.batch.ask()
            if any(codes):
                check(codes)
            if self._energy is not None and answers[self._energy] is not None:
                values["energy_joules"] = answers[self._energy]
            for scope, average, instant in self._power:
                mean = None if average is None else answers[average]
                now = None if instant is None else answers[instant]
                if mean is not None or now is not None:
                    power[scope] = Power(mean, now)
            if not values and not power:
                raise Refusal(next(filter(None, codes), Code.UNKNOWN), FIELD_VALUES)
        if self.fast.features:
            self._read_old_fast(values, power)
        after, wall = time.monotonic(), time.time()
        self.fast.pace.spent(before, after - before)
        half = (after - before) / 2
        values["power"] = power
        return Moment(before + half, wall - half), values

    def _read_old_fast(self, values: Values, power: dict[PowerScope, Power]) -> None:
        """Ask drivers that have no field values for energy or power."""
        for _, ask in self.fast.features:
            for attribute, scope, value in ask():
                if attribute == "energy_joules":
                    values[attribute] = value
                elif value is not None:
                    power[scope] = Power(**{attribute: value})

    def _fail(self, refusal: Refusal) -> Result:
        state = STATES.get(Code(refusal.code), GpuState.FAILED) if refusal.code in STATES else GpuState.FAILED
        wait = REPROBE_SECONDS
        if state is GpuState.FAILED:
            wait = min(FAILED_RETRY_SECONDS * 2**self._failures, REPROBE_SECONDS)
            self._failures = min(self._failures + 1, 10)
        self._retry_seconds = time.monotonic() + wait
        values = self._recovery_action() if state is GpuState.RESET_REQUIRED else {}
        self._open = False
        trouble = TROUBLES.get(state, f"the driver answers with errors: {refusal}; trying again by itself")
        return Result(state, moment(), trouble, values)

    def _recovery_action(self) -> Values:
        """Ask a GPU that must be reset what it wants; a failure changes nothing."""
        if not self.slow.has("recovery_action") or self.slow.batch is None:
            return {}
        try:
            answers, _ = self.slow.batch.ask()
        except Refusal:
            return {}
        action = _recovery(answers[self.slow.batch.fields.index(fields.RECOVERY_ACTION)])
        return {} if action is None else {"recovery_action": action}

    def close(self) -> None:
        """Give back what the driver holds for us; not of a GPU in whose driver a thread is stuck."""
        if not self.stuck:
            self._gpm.free()

    def returned(self) -> None:
        """Be told, by the thread that was stuck, that it is back: what it read belongs to the past."""
        for group in (self.fast, self.medium, self.detail, self.slow, self.links):
            group.pace.forget()  # a hang is not what a call costs
        self._seldom_due_seconds = float("-inf")
        self.stuck = False

    def suspect(self) -> None:
        """Be told that a call did not return: once it does, try again at once, or later if it hangs often."""
        now = moment()
        again = now.monotonic_seconds - self._hung_seconds < REPROBE_SECONDS * 2
        self.hangs = self.hangs + 1 if again else 1
        self._hung_seconds = now.monotonic_seconds
        if self.hangs > 1:
            wait = min(HANG_RETRY_SECONDS * 2**self.hangs, REPROBE_SECONDS)
            self._retry_seconds = now.monotonic_seconds + wait
        self.result = Result(GpuState.WEDGED, now, WEDGED)

    def report(self, xid_errors: Mapping[int, int], last_xid: int | None = None) -> GpuReading | None:
        """Say what is known now; None of a GPU that never told its UUID."""
        if self.identity is None or self.result is None:
            return None
        result = self.result
        return GpuReading(
            self.identity,
            result.at,
            result.state,
            result.trouble,
            xid_errors=xid_errors,
            last_xid=last_xid,
            **result.values,
        )

    def _denied(self) -> frozenset[str]:
        groups = (self.once, self.fast, self.medium, self.detail, self.slow)
        refused = (item for group in groups for item in group.refused.items())
        return frozenset(name for name, code in refused if code == Code.NO_PERMISSION)


def _recovery(number: float | None) -> str | None:
    return None if number is None else fields.recovery_action(number)


def moment() -> Moment:
    """Return now, on both clocks."""
    return Moment(time.monotonic(), time.time())
