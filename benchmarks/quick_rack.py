"""A rack of quick trays: their own diagnoses, the rack's books and its diagnosis, without waiting.

What the rack reads of a member is made of the tray itself, not of pages and documents;
`tests/diagnose/test_quick_rack.py` holds that the rack's diagnosis reads the same as of whole nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed, told_by_members
from agent.diagnose.rack_signs import rack_signs_of
from agent.measure.engine import TokenKind
from agent.measure.incident import told_to_rack
from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.rack_snapshot import MemberGpu
from agent.measure.reading import Moment
from agent.measure.snapshot import Activity, NodeIdentity, Origin
from agent.measure.totals import BoundaryTotals, EngineTotals, MemberReading, NodeTotals
from agent.measure.validity import Invalid
from agent.twin.grid import PICO
from benchmarks.quick_tray import QuickNode
from benchmarks.virtual_tray import EPOCH_SECONDS, LATER_SECONDS, WALL_SECONDS, Missing, Truth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agent.diagnose.signs import EngineSigns, GpuSigns
    from agent.measure.incident import Incident
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.twin.scenario import Scenario

LINK = "link"
"""A source of `Missing`: the rack does not reach the node, which goes on seeing itself."""
WINDOW_SECONDS = 10.0
POLL_SECONDS, POLLED_AFTER_SECONDS, RECKONED_AFTER_SECONDS = 1.0, 0.02, 0.05
DRAINED = "by plan"


class QuickRack:
    """Trays, their nodes and their rack; `run` lives through a scenario second by second.

    A tray alone is no rack: its node tells of it.
    """

    def __init__(self, scenario: Scenario, missing: Mapping[int, tuple[Missing, ...]] | None = None) -> None:
        told = missing or {}
        self.nodes = [QuickNode(scenario, n, told.get(n, ())) for n in range(scenario.rack.trays)]
        self._missing = told
        self.books = RackBooks(scenario.rack.name, [node.name for node in self.nodes])
        self.memory = RackMemory()
        self.snapshot: RackSnapshot | None = None
        self.runs = [1] * len(self.nodes)

    def run(self, seconds: int) -> Iterator[tuple[list[Truth], tuple[Incident, ...]]]:
        """Yield the truth of each tray, and the incidents of the rack, of each second."""
        for second in range(1, seconds + 1):
            yield self.step(second)

    def step(
        self, second: int, absent: frozenset[int] = frozenset()
    ) -> tuple[list[Truth], tuple[Incident, ...]]:
        """Live through a second in which the daemons of some trays are not there."""
        truths = [node.live(second) for node in self.nodes]
        for number, node in enumerate(self.nodes):
            if number not in absent:
                node.look(second)
        if len(self.nodes) == 1:
            return truths, self.nodes[0].memory.incidents
        for number, node in enumerate(self.nodes):
            seen = number not in absent and not node.tray.effects.off and self.is_linked(number, second)
            self.books.take(
                node.name, member_totals(node, second, self.runs[number]) if seen else None, second
            )
        self.snapshot = self.books.reckoned(second)
        self.memory = rack_diagnosed(
            self.memory, rack_signs_of(self.snapshot), told_by_members(self.snapshot)
        )
        return truths, self.memory.incidents

    def restart(self, number: int, *, kept: bool) -> None:
        """Let the daemon of a tray be a new one."""
        self.runs[number] += 1
        self.nodes[number].restart(kept=kept)

    def is_linked(self, number: int, second: float) -> bool:
        """Whether the rack reaches a node."""
        return not any(each.source == LINK and each.holds(second) for each in self._missing.get(number, ()))


class RackBooks:
    """The real books of a rack, at virtual moments."""

    def __init__(self, name: str, nodes: Sequence[str]) -> None:
        self._name = name
        self._books = RackReckoner(RackPlan(name), WINDOW_SECONDS)
        self._books.expect(_url(node) for node in nodes)

    def take(self, node: str, totals: NodeTotals | None, second: int) -> None:
        """Book what a member told, or that it did not answer."""
        if totals is None:
            self._books.miss(_url(node), "timed_out: no answer")
            return
        asked = EPOCH_SECONDS + second + LATER_SECONDS
        reading = MemberReading(totals, asked, asked + 2.0 * POLLED_AFTER_SECONDS)
        self._books.take(_url(node), reading, POLL_SECONDS)

    def reckoned(self, second: int) -> RackSnapshot:
        """Reckon the rack."""
        later = second + RECKONED_AFTER_SECONDS + LATER_SECONDS
        return self._books.snapshot(Moment(EPOCH_SECONDS + later, WALL_SECONDS + later), self._name)


def told_at(second: int) -> Moment:
    """Return when a member tells what it has reckoned in a second."""
    later = second + LATER_SECONDS + POLLED_AFTER_SECONDS
    return Moment(EPOCH_SECONDS + later, WALL_SECONDS + later)


def member_totals(node: QuickNode, second: int, run: int) -> NodeTotals | None:
    """Return what a node tells its rack; None while it has seen nothing yet."""
    signs = node.latest
    if signs is None:
        return None
    now = told_at(second)
    engines = tuple(_engine(node.model, each) for unit in signs.units for each in unit.engines)
    return NodeTotals(
        node=NodeIdentity(node.name, node.scenario.rack.name),
        version="",
        origin=Origin("boot", f"run {run}", "ledger"),
        sequence=second,
        at=now,
        reckoned_seconds=signs.at.monotonic_seconds,
        activity=Activity.SERVING,
        drained=DRAINED if signs.drained else None,
        tokens={},
        engines=engines,
        boundaries=(_gpu_energy(node, signs.gpus, second),),
        gpus=tuple(_gpu(each) for each in signs.gpus),
        incidents=told_to_rack(node.memory.incidents, now.unix_seconds),
    )


def _engine(model: str, signs: EngineSigns) -> EngineTotals:
    points = {
        TokenKind.OUTPUT: signs.output,
        TokenKind.PROMPT: signs.prompt,
        TokenKind.PROMPT_CACHED: signs.cached,
    }
    return EngineTotals(
        engine="vllm",
        instance=signs.instance,
        models=(model,) if signs.output is not None else (),
        up=signs.up,
        activity=signs.activity,
        on_finish=False,
        cadence_seconds=1.0,
        reset_seconds=None,
        running=signs.running,
        waiting=signs.waiting,
        live={kind: point for kind, point in points.items() if point is not None},
    )


def _gpu_energy(node: QuickNode, gpus: tuple[GpuSigns, ...], second: int) -> BoundaryTotals:
    silent = any(each.power_watts is None for each in gpus)
    return BoundaryTotals(
        boundary="gpu",
        source="twin",
        joules=sum(gpu.energy_at_pj(0) for gpu in node.tray.gpus) / PICO,
        at_seconds=EPOCH_SECONDS + second,
        since_seconds=None,
        cadence_seconds=1.0,
        power_watts=sum(each.power_watts or 0.0 for each in gpus),
        reasons=frozenset({Invalid.MEMBER_MISSING} if silent else ()),
        flags=frozenset(),
    )


def _gpu(signs: GpuSigns) -> MemberGpu:
    if signs.state != "ok":
        return MemberGpu(signs.gpu, f"GPU-{signs.gpu}", up=False)
    return MemberGpu(
        gpu=signs.gpu,
        uuid=f"GPU-{signs.gpu}",
        up=True,
        power_watts=signs.power_watts,
        power_limit_watts=signs.limit_watts,
        temperature_celsius=signs.temperature_celsius,
        utilization_ratio=signs.utilization_ratio,
        clock_hertz=signs.clock_hertz,
        throttled=tuple(sorted(signs.throttle)),
    )


def _url(node: str) -> str:
    return f"http://{node}:9744"
