"""What a node's sources say that decides which tokens count; reckoned anew only when something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.measure.counting import ALL, NONE, Around, Counting, Instance, counting_of
from agent.measure.engine import UNKNOWN_MODEL, Role

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.measure.counting import Kinds
    from agent.measure.engine import EngineReading
    from agent.measure.reading import Reading


MOST_AWAY = 256
"""So many instances that have left are remembered: those that left last."""


class NodeCounting:
    """Remembers what each instance last told; while it does not answer, that stands."""

    def __init__(self) -> None:
        self.now = Counting()
        """What was decided last."""
        self.fresh: frozenset[str] = frozenset()
        """Instances that count from now on, and did not: others have counted their tokens until now."""
        self._instances: dict[str, Instance] = {}
        self._around = Around()
        self._elsewhere: set[str] = set()
        """Sources that tell of workers of another node's engine."""
        self._kept: dict[str, tuple[Role, bool]] = {}
        """By instance of an earlier run: its role, and whether it counted."""
        self._before: dict[str, Kinds] = {}
        self._beginning: set[str] = set()
        """Instances of an earlier run that had not begun to count when it ended."""
        self._away: dict[str, Instance] = {}
        """Instances that are not expected any more, as they last told."""
        self._stood_in_for: set[str] = set()
        """Instances that were away, or showed no tokens, while a gateway counted what they made: should they
        count again, it is from their next page on."""

    @property
    def instances(self) -> Mapping[str, Instance]:
        """What each expected instance last told; replaced, never changed."""
        return self._instances

    @property
    def computing(self) -> Mapping[str, bool | None]:
        """Tell of each GPU whether processes compute on it."""
        return self._around.computing

    def dump(self, beginning: Collection[str]) -> dict[str, list[str | bool]]:
        """Return what must survive a restart: a gateway that counted goes on to count meanwhile.

        Those that are `beginning` count from their next page on, and after a restart as well.
        """
        here: dict[str, list[str | bool]] = {
            name: [instance.role, bool(self.now.kinds.get(name)) and name not in beginning]
            for name, instance in self._instances.items()
            if instance.role is not Role.UNIFIED or name in beginning
        }
        for name in self._stood_in_for:
            here[name] = [{**self._away, **self._instances}[name].role, False]
        return here

    def recall(self, kept: Mapping[str, tuple[Role, bool]]) -> None:
        """Take what an earlier run dumped."""
        self._kept = dict(kept)

    def expect(
        self, models: Mapping[str, str], sources: Collection[str], computing: Mapping[str, bool | None]
    ) -> None:
        """Say which instances there are and what each served last; what is gone decides nothing."""
        earlier = self._instances
        for name in models.keys() - self._instances.keys():
            role, counted = self._kept.get(name, (Role.UNIFIED, False))
            self._before[name] = ALL if counted else NONE
            if name in self._kept and not counted:
                self._beginning.add(name)
            self._instances = self._instances | {name: _recalled(role, models[name])}
        away = {name: told for name, told in {**self._away, **earlier}.items() if name not in models}
        self._away = dict([*away.items()][-MOST_AWAY:])
        self._stood_in_for &= self._away.keys() | self._instances.keys()
        self._instances = {name: told for name, told in self._instances.items() if name in models}
        self._elsewhere &= set(sources)
        self._decide(Around(computing, bool(self._elsewhere)), earlier)

    def learn(self, reading: Reading, computing: Mapping[str, bool | None] | None) -> bool:
        """Take what a source told, and what it told of GPUs; tell whether anything is decided anew."""
        changed, earlier = False, self._instances
        for engine in reading.engines:
            told = _told(engine)
            if engine.instance in self._instances and self._instances[engine.instance] != told:
                self._instances = self._instances | {engine.instance: told}
                changed = True
        if reading.serves_elsewhere:
            self._elsewhere.add(reading.source)
        else:
            self._elsewhere.discard(reading.source)
        around = self._around
        known = around.computing if computing is None else computing
        if known != around.computing or bool(self._elsewhere) != around.elsewhere:
            around, changed = Around(known, bool(self._elsewhere)), True
        if changed:
            self._decide(around, earlier)
        return changed

    def miss(self, source: str, computing: Mapping[str, bool | None]) -> bool:
        """Note that a source failed, and what it told of GPUs is unknown; tell whether that decides anew."""
        self._elsewhere.discard(source)
        around = Around(computing, bool(self._elsewhere))
        if around == self._around:
            return False
        self._decide(around, self._instances)
        return True

    def _decide(self, around: Around, earlier: Mapping[str, Instance]) -> None:
        """Decide anew. What a gateway counted until now is not counted again by those who take over."""
        before = self._before | dict(self.now.kinds)
        self._around, self.now = around, counting_of(self._instances, around, before)
        gateways = {
            name: each for name, each in {**earlier, **self._instances}.items() if each.role is Role.GATEWAY
        }
        counts = {name for name, kinds in self.now.kinds.items() if kinds}
        told = [gateways[each] for each in gateways.keys() & counts]
        silent = {
            name: each for name, each in self._instances.items() if name not in counts and each.tokenless
        }
        self._stood_in_for |= {
            name
            for name, each in {**self._away, **silent}.items()
            if any(gateway.serves_with(each) for gateway in told)
        }
        back = self._stood_in_for & counts
        self._stood_in_for -= back
        ceased = [each for name, each in gateways.items() if before.get(name) and name not in counts]
        begun = {name for name in gateways if name in counts and not before.get(name)}
        heirs = {name for name in counts for each in ceased if self._instances[name].serves_with(each)}
        kept, self._beginning = self._beginning & counts, self._beginning - counts
        self.fresh = frozenset(begun | heirs | kept | back)


def recalled(kept: Any) -> dict[str, tuple[Role, bool]]:
    """Check what was kept. Raises ValueError or TypeError when it is something else."""
    return {str(name): (Role(role), bool(counted)) for name, (role, counted) in dict(kept).items()}


def _recalled(role: Role, model: str) -> Instance:
    return Instance(role, _models({model}), model="" if model == UNKNOWN_MODEL else model)


def _told(engine: EngineReading) -> Instance:
    return Instance(
        role=engine.role,
        models=_models({engine.model, *[counter.model for counter in engine.counters]}),
        counted=engine.counted,
        gpus=engine.gpus,
        spans_nodes=engine.spans_nodes,
        deployment=engine.deployment,
        model="" if engine.model == UNKNOWN_MODEL else engine.model,
        tokenless=engine.role is not Role.GATEWAY and not engine.counts_output,
    )


def _models(names: set[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names if name and name != UNKNOWN_MODEL)
