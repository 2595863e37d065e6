"""A node of a rack by arithmetic: what its totals document would say at any moment, on a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent.measure.engine import TokenKind
from agent.measure.rack_snapshot import MemberGpu
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity, NodeIdentity, Origin
from agent.measure.totals import BoundaryTotals, EngineTotals, MemberReading, NodeTotals

OUTPUT = TokenKind.OUTPUT


@dataclass
class RackNode:
    """Produces at a constant rate since moment 0 of the rack's clock."""

    name: str
    rate: float = 1000.0
    watts: float = 500.0
    base: float = 0.0
    """Tokens that it had counted by moment 0."""
    ahead: float = 5000.0
    """Its monotonic clock less the rack's."""
    wall: float = 1_760_000_000.0
    ledger: str = "ledger-1"
    boot_id: str = "boot:1"
    model: str = "llama"
    gpus: int = 4
    engines: int = 1
    drained: str | None = None
    began: float = 0.0
    """Moment at which its count began."""
    outer: dict[str, float] = field(default_factory=dict)
    """Watts at the boundaries around its GPUs that it measures."""

    def tokens(self, seconds: float) -> float:
        """The truth at a moment."""
        return self.base + self.rate * self.engines * (seconds - self.began)

    def totals(self, seconds: float, lag: float = 0.25, **changes) -> NodeTotals:
        """What it says at a moment; its sources were read `lag` before."""
        told, clock = seconds - lag, seconds + self.ahead
        engines = tuple(
            EngineTotals(
                engine="vllm",
                instance=f"127.0.0.1:{8000 + number}",
                models=(self.model,),
                up=True,
                activity=Activity.SERVING,
                on_finish=False,
                cadence_seconds=1.0,
                reset_seconds=None,
                running=2.0,
                waiting=1.0,
                live={OUTPUT: Point(clock - lag, self.base + self.rate * (told - self.began))},
            )
            for number in range(self.engines)
        )
        energies = tuple(
            BoundaryTotals(at, "nvml", watts * told, clock - lag, None, 1.0, watts, frozenset(), frozenset())
            for at, watts in {"gpu": self.watts, **self.outer}.items()
        )
        plain = NodeTotals(
            node=NodeIdentity(self.name, "r12"),
            version="0.1.0",
            origin=Origin(self.boot_id, "run:1", self.ledger),
            sequence=int(seconds * 10),
            at=Moment(clock, self.wall + seconds),
            reckoned_seconds=clock - 0.1,
            activity=Activity.SERVING,
            drained=self.drained,
            tokens={(self.model, OUTPUT): self.tokens(told)},
            engines=engines,
            boundaries=energies,
            gpus=tuple(
                MemberGpu(n, f"GPU-{self.name}-{n}", up=True, power_watts=self.watts / self.gpus)
                for n in range(self.gpus)
            ),
        )
        return replace(plain, **changes)

    def reading(self, seconds: float, trip: float = 0.002, **changes) -> MemberReading:
        """A poll that was asked at a moment and answered `trip` later."""
        return MemberReading(self.totals(seconds + trip / 2, **changes), seconds, seconds + trip)
