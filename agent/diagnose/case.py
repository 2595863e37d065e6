"""What is before a judge: a gap, and how everything stood before it and stands since."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.diagnose.baseline import Baseline
    from agent.diagnose.free import Free
    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import GpuSigns
    from agent.measure.incident import Cause, Evidence

BEFORE_SECONDS = 60.0
APART_SECONDS = 3.0
"""What was just before the gap may be part of it."""
DURING_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """One gap of one deployment on one node."""

    node: str
    since: float
    """Monotonic, when the gap began."""
    before: tuple[Sample, ...]
    """Healthy samples before it, the newest last; never empty."""
    during: tuple[Sample, ...]
    """Samples since; never empty."""
    baseline: Baseline
    expected: float
    """Output tokens per second that should be made."""
    missing: float
    """Share of them that is not made, 0 to 1."""
    wall_seconds: float | None = None
    """What must be added to a monotonic moment to have Unix seconds; None is unknown."""
    lacking: float = 0.0
    """Share of what was due since its incident began that was not made."""
    free: Mapping[int, Free] = field(default_factory=dict)
    """How fast each GPU runs with nothing to hold it down."""
    off: float = 0.0
    """How far chance may put `missing`, where tokens are counted when their request ends."""
    still: frozenset[str] = frozenset()
    """Instances that count so, have requests, and of which nothing moves."""

    @property
    def latest(self) -> tuple[Sample, ...]:
        """The last seconds."""
        newest = self.during[-1].seconds
        return tuple(each for each in self.during if each.seconds > newest - DURING_SECONDS)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one cause says of a case."""

    cause: Cause
    explained: float | None
    """Share of the expected rate that it takes away, where that can be reckoned; None where it cannot."""
    weight: float
    """How sure its evidence is, 0 to 1, whatever it explains."""
    text: str
    evidence: tuple[Evidence, ...]
    gpu: int | None = None
    instance: str = ""
    usual: bool = False
    """It comes and goes here all the time."""
    over: bool = False
    """What it speaks of has ended."""


def middle(values: Iterable[float | None]) -> float | None:
    """Return the median of what is known."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def usual_rates(case: Case) -> dict[str, float]:
    """Return the output tokens per second of each instance before the gap; 0 where none are known."""
    return {
        name: middle(sample.rates[name].output for sample in case.before if name in sample.rates) or 0.0
        for name in case.before[-1].engines
    }


def gpu_numbers(case: Case) -> tuple[int, ...]:
    """Return the GPUs of the deployment before the gap, and those that came since."""
    numbers = {gpu.gpu for sample in (case.before[-1], case.during[-1]) for gpu in sample.gpus}
    return tuple(sorted(numbers))


def of_gpu(samples: Iterable[Sample], number: int, read: Callable[[GpuSigns], float | None]) -> float | None:
    """Return the median of one value of one GPU over samples."""
    return middle(read(gpu) for sample in samples for gpu in sample.gpus if gpu.gpu == number)


def share_of(samples: Iterable[Sample], number: int, holds: Callable[[GpuSigns], bool]) -> float:
    """Return the share of samples in which something holds for one GPU."""
    told = [holds(gpu) for sample in samples for gpu in sample.gpus if gpu.gpu == number]
    return sum(told) / len(told) if told else 0.0


def came(case: Case, number: int, read: Callable[[GpuSigns], float], within: float) -> float | None:
    """Return when a count of one GPU first grew since so long before the gap; None when it did not."""
    last = None
    for sample in (*case.before, *case.during):
        for gpu in sample.gpus:
            if gpu.gpu == number:
                value = read(gpu)
                if last is not None and value > last and sample.seconds >= case.since - within:
                    return sample.seconds
                last = value
    return None


def grown(case: Case, number: int, read: Callable[[GpuSigns], float]) -> float:
    """Return by how much a count of one GPU has grown since just before the gap."""
    since = case.since - 2.0 * APART_SECONDS
    earlier = [sample for sample in case.before if sample.seconds <= since] or case.before[:1]
    was = [read(gpu) for gpu in earlier[-1].gpus if gpu.gpu == number]
    now = [read(gpu) for gpu in case.during[-1].gpus if gpu.gpu == number]
    return now[0] - was[0] if was and now else 0.0
