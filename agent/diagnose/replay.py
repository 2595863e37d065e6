"""The same diagnosis once more, over what it was given then: what was recorded, in the order it came."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.baseline import recalled
from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.gap import Gap
from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed
from agent.diagnose.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.diagnose.baseline import Baseline
    from agent.diagnose.rack_signs import RackSigns
    from agent.diagnose.signs import NodeSigns


@dataclass(frozen=True, slots=True)
class Usual:
    """What each deployment usually gave, as the daemon knew it before what follows."""

    baselines: Mapping[str, Baseline]


def usual_of(kept: Mapping[str, Any]) -> Usual:
    """Take what `baselines_of` gave. Raises ValueError, TypeError or KeyError when it is something else."""
    return Usual({str(name): recalled(each) for name, each in dict(kept).items()})


def replayed(steps: Iterable[NodeSigns | Usual]) -> Iterator[tuple[NodeSigns, Memory]]:
    """Yield each moment, and what is remembered after it."""
    memory = Memory()
    for step in steps:
        if isinstance(step, Usual):
            memory = _reminded(memory, step)
        else:
            memory = diagnosed(memory, step)
            yield step, memory


def rack_replayed(steps: Iterable[RackSigns]) -> Iterator[tuple[RackSigns, RackMemory]]:
    """Yield each moment of a rack, and what is remembered after it."""
    memory = RackMemory()
    for step in steps:
        memory = rack_diagnosed(memory, step)
        yield step, memory


def _reminded(memory: Memory, usual: Usual) -> Memory:
    """Know what was known: what a replay learns since its beginning is less. What is open is not touched."""
    watches = dict(memory.watches)
    for name, baseline in usual.baselines.items():
        watch = watches.get(name, Watch())
        if watch.gap.since is None:
            watches[name] = replace(watch, gap=Gap(baseline=baseline))
    return replace(memory, watches=watches)
