"""The doors of the house: what a plug-in must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.push import Batch
    from agent.measure.reading import Moment, Reading
    from agent.measure.snapshot import Snapshot


class Source(Protocol):
    """One thing that is read in a loop of its own: it can hang without delaying another."""

    @property
    def name(self) -> str:
        """Unique and stable: `nvml`, `engines/127.0.0.1:8000`."""

    @property
    def interval_seconds(self) -> float:
        """How often it wants to be read; asked again before every tick, so it may adapt."""

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one collection."""

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:
        """Read once. Raises SourceError for every failure that it can name."""

    async def close(self) -> None:
        """Let go of everything; must return at once even when the source hangs."""


@runtime_checkable
class Staggered(Protocol):
    """A source of very many: they are read in a few bursts, not all in one."""

    @property
    def phase_ratio(self) -> float:
        """How far into each interval it is read next, 0 to 1."""

    @property
    def delay_seconds(self) -> float:
        """How long after it was named it is first read: to connect costs more than to ask."""


class Collector(Protocol):
    """A plug-in of `collectors`: offers the sources that exist now."""

    def sources(self, seen: Snapshot | None) -> Sequence[Source]:
        """Return the sources to be read; asked after each snapshot, so discovery may add and drop some."""

    async def close(self) -> None:
        """Let go of what its sources share."""


@runtime_checkable
class Renderer(Protocol):
    """A plug-in of `exporters` that answers when somebody asks (pull)."""

    @property
    def path(self) -> str:
        """HTTP path it answers on."""

    def render(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        """Body and content type for an Accept header."""


@runtime_checkable
class Pusher(Protocol):
    """A plug-in of `exporters` that sends by itself (push)."""

    @property
    def interval_seconds(self) -> float:
        """How often a snapshot is taken to be sent."""

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one sending."""

    @property
    def buffer_bytes(self) -> int:
        """How much may wait while the receiver is away; the oldest goes first."""

    def encode(self, snapshot: Snapshot) -> Batch | None:
        """Bring a snapshot into its form, None if nothing is to be sent now; runs in a thread."""

    async def send(self, batch: Batch) -> int:
        """Send one batch; return how many of its points were refused. Raises PushError, SourceError."""

    async def close(self) -> None:
        """Hang up; must return at once."""


@runtime_checkable
class Releasable(Protocol):
    """A collector that holds a device open and can let go of it (GPU reset, MIG change, driver unload)."""

    def release(self) -> None:
        """Let go soon and pause: collections fail with Reason.RELEASED until `resume`."""

    def resume(self) -> None:
        """Take hold again."""
