"""GPUs through DCGM: what NVIDIA's host engine measures, for nodes where it runs already."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.aside import Lane
from agent.collectors._dcgm.library import Address
from agent.collectors._dcgm.link import Link
from agent.collectors._dcgm.session import Plan
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Seconds, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.finding import Finding
    from agent.measure.snapshot import Snapshot

EMBEDDED = "embedded"
UNIX = "unix://"
TCP = "tcp://"
PORT = 5555
"""Of nv-hostengine."""
MARGIN = 0.9
"""Share of the deadline after which we give up ourselves, with a better explanation."""
CLOSE_SECONDS = 0.8
"""A collector that hangs when closed is left behind after a second."""
LEAVE_SECONDS = 120.0
"""DCGM's own deadline of a call is 60 s: one that takes longer does not come back …"""
MOST_LEFT = 3
"""… and so many threads are left behind in such calls, no more."""
RELEASE_SECONDS = 300.0
"""After a release for a GPU reset, take hold again by itself after this time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `collectors.dcgm`."""

    address: str = setting(
        "127.0.0.1:5555",
        "Where nv-hostengine listens: host:port, or `unix:///tmp/nv-hostengine`. `embedded` starts a host "
        "engine in this process instead: it opens the GPUs, and wants root for hardware counters.",
    )
    interval: Seconds = setting(
        Seconds(1.0), "How often the host engine measures for us, and how often it is asked."
    )
    timeout: Seconds = setting(Seconds(5.0), "Deadline of one collection.")
    slow_interval: Seconds = setting(
        Seconds(15.0), "How often limits, errors, remapped rows, links, fabric and place are measured."
    )
    profiling: bool = setting(
        default=True,
        doc="Whether hardware counters are measured, where DCGM supports them and no other profiler has hold "
        "of them.",
    )
    nvlinks: bool = setting(
        default=True,
        doc="Whether the counters of NVLinks are measured; on GB200, DCGM before 4.5 shows no ECC errors "
        "beside them.",
    )
    bindings: str = setting(
        "", "Folder of DCGM's Python bindings; by default it is looked for where DCGM installs them."
    )
    stale_after: Seconds = setting(
        Seconds(15.0), "A GPU of which nothing new was measured for so long is not told."
    )

    def __post_init__(self) -> None:
        """Refuse what can never be read."""
        for key in ("interval", "timeout", "slow_interval", "stale_after"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be longer than 0")
        if self.stale_after < 2 * self.interval:
            raise ValueError("stale_after: must be at least two intervals, or every value is old")
        address_of(self.address)


def address_of(text: str) -> Address:
    """Read an address. Raises ValueError."""
    if text == EMBEDDED:
        return Address()
    if text.startswith((UNIX, "/")):
        return Address(socket=text.removeprefix(UNIX))
    host, colon, port = text.removeprefix(TCP).rpartition(":")
    if not colon or port.endswith("]"):
        host, port = f"{host}{colon}{port}", str(PORT)
    if not host or not (port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ValueError(f"address: {text!r} is not host:port, unix:///path or `{EMBEDDED}`")
    return Address(host=f"{host}:{port}")


def build(settings: Settings) -> DcgmCollector:
    """Make the collector; nothing is loaded or opened before the first collection."""
    return DcgmCollector(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at the bindings and the host engine, for `rackwatt doctor`."""
    from agent.collectors._dcgm.examine import findings  # noqa: PLC0415 - only the doctor pays for it

    return await findings(_link(settings), settings.timeout * 2)


def _link(settings: Settings) -> Link:
    plan = Plan(
        address=address_of(settings.address),
        timeout_seconds=settings.timeout,
        period_seconds=settings.interval,
        slow_seconds=max(settings.slow_interval, settings.interval),
        profiling=settings.profiling,
        nvlinks=settings.nvlinks,
    )
    return Link(plan, settings.bindings, settings.stale_after)


class DcgmCollector:
    """The plug-in, its only source, and what can be released: one host engine, one thread."""

    name = "dcgm"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lane = Lane("dcgm")
        self._link = _link(settings)
        self._released_until: float | None = None
        self._closed = False

    @property
    def interval_seconds(self) -> float:
        """The configured interval."""
        return self._settings.interval

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one collection."""
        return self._settings.timeout

    def sources(self, seen: Snapshot | None) -> Sequence[DcgmCollector]:  # noqa: ARG002 - the port's signature
        """One source: the host engine."""
        return (self,)

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:
        """Read every GPU of the host engine; of those that others tell of, what they lack."""
        self._refuse_while_released(now)
        self._clear_way(now)
        try:
            read = functools.partial(self._link.read, seen)
            reading: Reading = await self._lane.run(read, self._settings.timeout * MARGIN)
        except TimeoutError:
            raise SourceError(
                Reason.TIMED_OUT,
                f"{self._settings.address}: the host engine did not answer within "
                f"{self._settings.timeout:g} s; it is asked again when it does. Look at its log, and for Xid "
                "119, 120 or 45 in the kernel's",
            ) from None
        return reading

    def _clear_way(self, now: Moment) -> None:
        """See to it that the thread is free. Raises SourceError while it is not."""
        if not self._lane.busy:
            return
        stuck_seconds = now.monotonic_seconds - self._lane.since_seconds
        if stuck_seconds < LEAVE_SECONDS or self._lane.left_behind >= MOST_LEFT:
            raise SourceError(
                Reason.OVERLAPPED,
                f"{self._settings.address}: the host engine has not returned from a call for "
                f"{stuck_seconds:.0f} s; restart it when it stays so (systemctl restart nvidia-dcgm)",
            )
        self._lane.leave(self._link.close)
        pasts, self._link = self._link.pasts, _link(self._settings)
        self._link.pasts = pasts

    def _refuse_while_released(self, now: Moment) -> None:
        if self._released_until is None:
            return
        left = self._released_until - now.monotonic_seconds
        if left <= 0:
            self._released_until = None
            return
        raise SourceError(
            Reason.RELEASED, f"hung up on the host engine on request; back in {left:.0f} s at the latest"
        )

    def release(self) -> None:
        """Remove our watches and hang up, for a GPU reset; until `resume`, or RELEASE_SECONDS."""
        self._released_until = time.monotonic() + RELEASE_SECONDS
        self._lane.submit(self._link.close)

    def resume(self) -> None:
        """Take hold again with the next collection."""
        self._released_until = None

    async def close(self) -> None:
        """Remove our groups from the host engine and hang up; one that hangs is not waited for.

        It does the same by itself when our connection ends.
        """
        if self._closed:
            return
        self._closed, self._released_until = True, math.inf
        try:
            await self._lane.run(self._link.close, CLOSE_SECONDS)
        except TimeoutError:
            pass
        finally:
            self._lane.end()
