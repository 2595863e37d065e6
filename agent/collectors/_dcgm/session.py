"""One connection to a host engine: its groups and watches, from connecting to hanging up; one thread's."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from agent.collectors._dcgm.fields import COUNTED, FAST, LINK_FIELDS, SLOW
from agent.collectors._dcgm.library import Code, Identity, Refusal, forget
from agent.measure.dcgm_fields import ENERGY, XID

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.collectors._dcgm.library import Address, Bindings, Engine, Sample, Samples, Watch

KEEP_PERIODS, KEEP_LEAST_SECONDS = 3, 10.0
"""The host engine keeps values for so many periods: we ask for the newest only."""
XID_KEEP_SECONDS = 600.0
"""Events wait for us while we are busy or our connection is being made anew."""
CONNECT_SHARE = 0.5
"""Of the deadline of a collection that connecting may take."""
NEVER = {Code.NOT_SUPPORTED, Code.PROFILING_NOT_SUPPORTED, Code.MODULE_NOT_LOADED, Code.BAD_PARAMETER}
"""Refusals of profiling that stand for as long as the host engine runs."""
GONE = {Code.CONNECTION_NOT_VALID, Code.TIMEOUT}
"""Refusals after which a host engine is told nothing more."""
PULSES = (ENERGY, 155, 150)
"""Energy, power, temperature: the first that all GPUs tell is always measured, to know that they live."""
COUNTERS_RETRY_SECONDS = 60.0
COUNTERS_SILENT_SECONDS = 30.0
"""Two samples are needed for the first value, and a profiler may hold the counters for a moment."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for, and how often."""

    address: Address
    timeout_seconds: float
    period_seconds: float
    slow_seconds: float
    profiling: bool = True
    nvlinks: bool = True


@dataclass(slots=True)
class Gpu:
    """One GPU of a host engine, as of now."""

    number: int
    identity: Identity
    status: int | None = None
    fast: Mapping[int, Sample] = field(default_factory=dict)
    counters: Mapping[int, Sample] = field(default_factory=dict)
    slow: Mapping[int, Sample] = field(default_factory=dict)
    xids: list[Sample] = field(default_factory=list)
    """The events that the host engine keeps."""
    links: list[int] = field(default_factory=list)
    """State of each NVLink, as DCGM's number."""


class Asked(NamedTuple):
    """Fields that are watched under one group, and those that this host engine does not have."""

    watch: Watch
    unknown: tuple[int, ...]


class Session:
    """Connects, has its fields measured, reads them; raises Refusal whenever DCGM does."""

    def __init__(self, bindings: Bindings, plan: Plan) -> None:
        self._plan = plan
        self._name = f"rackwatt-{secrets.token_hex(6)}"
        """Two agents on one host engine must not use each other's groups."""
        self._watches: list[Watch] = []
        self._counters: Watch | None = None
        self._counters_at = float("-inf")
        self._counters_never = not plan.profiling
        self._counters_since = 0.0
        self._fast: Watch | None = None
        self._slow: Watch | None = None
        self._slow_at = float("-inf")
        self._left: frozenset[int] | None = None
        self._wanted: frozenset[int] | None = None
        """Fields that are measured, where not all are."""
        self._group: object = None
        self.gpus: list[Gpu] = []
        self.unreachable: list[int] = []
        """GPUs that no group takes: detached, or not visible to the host engine."""
        self.unknown: tuple[int, ...] = ()
        """Fields that an older host engine does not have."""
        self.counters_note = ""
        """Why there are no figures of hardware counters."""
        self._engine: Engine = bindings.connect(plan.address, plan.timeout_seconds * CONNECT_SHARE)
        try:
            self._open()
        except Refusal as refusal:
            self.close(gone=refusal.code in GONE)
            raise

    def _open(self) -> None:
        engine, plan = self._engine, self._plan
        numbers = engine.gpus()
        self.gpus = [Gpu(number, engine.identity(number)) for number in numbers]
        self._group, self.unreachable = engine.group(self._name, numbers)
        self._watch_figures()
        self._xids = self._watch("xid", [XID], plan.period_seconds, XID_KEEP_SECONDS).watch

    def _watch_figures(self) -> None:
        """Watch what is wanted, but hardware counters."""
        self._fast = self._watch_wanted("fast", FAST, self._plan.period_seconds)
        self._slow = self._watch_wanted("slow", SLOW, self._plan.slow_seconds)

    def _watch_wanted(self, name: str, numbers: Collection[int], period_seconds: float) -> Watch | None:
        leave_out = {*self.unknown, *(() if self._plan.nvlinks else LINK_FIELDS)}
        wanted = [number for number in numbers if self._wants(number) and number not in leave_out]
        if not wanted:
            return None
        asked = self._watch(name, wanted, period_seconds)
        self.unknown = (*self.unknown, *asked.unknown)
        return asked.watch

    def _wants(self, number: int) -> bool:
        return self._wanted is None or number in self._wanted

    def _divide(self, left: frozenset[int] | None) -> bool:
        """Have only these fields measured, None for all; tell whether that is another share now.

        The old watches go first: to a host engine the fields of one connection are watched once, whatever
        group they are in.
        """
        wanted = left
        if left is not None:
            pulse = next((number for number in PULSES if all(_tells(gpu, number) for gpu in self.gpus)), None)
            if pulse is None:
                return False
            wanted = left | {pulse}
        counted = self._wants_counted
        self._left, self._wanted = left, wanted
        self._drop(self._fast, self._slow)
        self._slow_at = float("-inf")
        self._watch_figures()
        if self._wants_counted != counted:
            self._drop(self._counters)
            self._counters, self._counters_at = None, float("-inf")
            self._watch_counters(time.monotonic())
        return True

    @property
    def _wants_counted(self) -> list[int]:
        return [number for number in COUNTED if self._wants(number)]

    def _drop(self, *watches: Watch | None) -> None:
        for watch in watches:
            if watch is not None:
                self._watches.remove(watch)
                self._engine.unwatch(watch)

    def _watch(
        self, name: str, numbers: Collection[int], period_seconds: float, keep_seconds: float = 0.0
    ) -> Asked:
        """Watch what this host engine knows of these fields."""
        keep = max(keep_seconds, KEEP_PERIODS * period_seconds, KEEP_LEAST_SECONDS)
        known, unknown = list(numbers), []
        full_name = f"{self._name}-{name}"
        try:
            watch = self._engine.watch(self._group, full_name, known, period_seconds, keep)
        except Refusal as refusal:
            if refusal.code not in {Code.BAD_PARAMETER, Code.UNKNOWN_FIELD}:
                raise
            unknown = [number for number in known if not self._engine.knows(f"{full_name}-probe", number)]
            known = [number for number in known if number not in unknown]
            if not unknown or not known:
                raise
            watch = self._engine.watch(self._group, full_name, known, period_seconds, keep)
        self._watches.append(watch)
        return Asked(watch, tuple(unknown))

    def read(self, left: frozenset[int] | None = None) -> list[Gpu]:
        """Read what is due; return every GPU. An empty list says that the GPUs are others now: open anew.

        `left` are the fields that are left to us, None for all. When they change, the last values stand for
        this once: what is watched anew was not measured yet.
        """
        if left != self._left and self._divide(left):
            return self.gpus
        engine, now = self._engine, time.monotonic()
        slow: Samples | None = None
        if now - self._slow_at >= self._plan.slow_seconds:
            if engine.gpus() != [gpu.number for gpu in self.gpus]:
                return []
            slow, self._slow_at = self._latest(self._slow), now
            links = engine.links() if self._plan.nvlinks and self._wanted is None else {}
        fast, kept = self._latest(self._fast), engine.kept(self._xids)
        counters = self._read_counters(now)
        for gpu in self.gpus:
            gpu.fast, gpu.xids = _newest(fast, gpu.number), kept.get(gpu.number, {}).get(XID, [])
            gpu.counters = _newest(counters, gpu.number)
            if slow is not None:
                gpu.slow, gpu.links = _newest(slow, gpu.number), links.get(gpu.number, [])
            if slow is not None or all(sample.value is None for sample in gpu.fast.values()):
                gpu.status = engine.status(gpu.number)
        return self.gpus

    def _latest(self, watch: Watch | None) -> Samples:
        return {} if watch is None else self._engine.latest(watch)

    def _read_counters(self, now: float) -> Samples:
        """Read hardware counters, where they are supported and nobody else has hold of them."""
        if self._counters is None:
            self._watch_counters(now)
        if self._counters is None:
            return {}
        told = self._engine.latest(self._counters)
        if any(samples[-1].value is not None for each in told.values() for samples in each.values()):
            self._counters_since, self.counters_note = now, ""
        elif now - self._counters_since > COUNTERS_SILENT_SECONDS:
            self.counters_note = (
                "dcgm: hardware counters say nothing: a profiler has hold of them, or profiling is paused; "
                "they come back when it ends (`dcgmi profile --resume`)"
            )
        return told

    def _watch_counters(self, now: float) -> None:
        """Ask for those that are supported; another profiler's hold on them is respected, and tried again."""
        if self._counters_never or now - self._counters_at < COUNTERS_RETRY_SECONDS or not self.gpus:
            return
        if not self._wants_counted:
            self.counters_note = ""
            return
        self._counters_at = self._counters_since = now
        try:
            supported = self._engine.profiling(self._group)
            if supported.intersection(COUNTED):
                if wanted := [number for number in self._wants_counted if number in supported]:
                    self._counters = self._watch("counters", wanted, self._plan.period_seconds).watch
                self.counters_note = ""
                return
            self._counters_never = True
            self.counters_note = "dcgm: the host engine supports no hardware counters of these GPUs"
        except Refusal as refusal:
            if refusal.code == Code.CONNECTION_NOT_VALID:
                raise
            self._counters_never = refusal.code in NEVER
            self.counters_note = f"dcgm: no figures of hardware counters: {refusal}"

    def close(self, *, gone: bool = False) -> None:
        """Remove what is ours from the host engine and hang up; never raises.

        One that is gone, or does not answer, is asked nothing more: each question would take a minute. It
        does the same by itself when the connection has ended.
        """
        for watch in self._watches:
            if gone:
                forget(watch)
            else:
                self._engine.unwatch(watch)
        if self._group is not None and not gone:
            self._engine.remove(self._group)
        self._watches, self._group, self._counters = [], None, None
        self._engine.close()


def _newest(samples: Samples, gpu: int) -> dict[int, Sample]:
    return {number: kept[-1] for number, kept in samples.get(gpu, {}).items() if kept}


def _tells(gpu: Gpu, number: int) -> bool:
    sample = gpu.fast.get(number)
    return sample is not None and sample.value is not None
