"""Clocks below what they were: thermal, power limit, power brake, or for no reason that is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, gpu_numbers, of_gpu, share_of
from agent.diagnose.free import BRAKE, CAP, EARLIER, THERMAL, held
from agent.diagnose.signs import are_idle
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import GpuSigns

LEAST_SLOWDOWN = 0.02
"""Clocks differ by this much without anything being wrong."""
LEAST_SHARE = 0.3
"""A reason that holds for less of the time holds nothing down."""
ENOUGH = 0.8
"""What explains so much of what is missing explains it."""
SURE, WITHOUT_REASON, HIDDEN = 0.95, 0.6, 0.5
"""How sure a reason is that the driver gives, none, and one that holds down only what another one does."""
MHZ = 1e6


@dataclass(frozen=True, slots=True)
class _Slow:
    gpu: int
    before: float
    during: float
    reasons: frozenset[str]
    """What holds it down: what did not do so before, if there is such."""
    earlier: bool = False
    """It did so before the drop as well."""

    @property
    def ratio(self) -> float:
        """Share of its clock that is lost."""
        return 1.0 - self.during / self.before


def explain(case: Case) -> Iterator[Explanation]:
    """Yield one explanation for each reason that holds down clocks that are lower than before.

    Of several that hold down the same GPUs the first is told as the surer one.
    """
    numbers = gpu_numbers(case)
    slow = [each for number in numbers if (each := _slowed(case, number)) is not None]
    free = slow
    for cause, reasons in ((Cause.POWER_BRAKE, BRAKE), (Cause.THERMAL, THERMAL), (Cause.POWER_CAP, CAP)):
        of_it = [each for each in slow if each.reasons & reasons]
        alone = [each for each in of_it if each in free]
        if of_it:
            yield _told(case, cause, alone or of_it, len(numbers), SURE if alone else HIDDEN)
            free = [each for each in free if each not in of_it]
    if free:
        yield _told(case, Cause.CLOCKS_LOW, free, len(numbers), WITHOUT_REASON)


def are_held(case: Case) -> bool:
    """Whether something that the driver names holds a GPU down: then its work is less for that."""
    slow = [_slowed(case, number) for number in gpu_numbers(case)]
    return any(each is not None and each.reasons and not each.earlier for each in slow)


def _slowed(case: Case, number: int) -> _Slow | None:
    before, during = (of_gpu(samples, number, _clock_at_work) for samples in (case.before, case.latest))
    if not before or during is None:
        return None
    if share_of(case.latest, number, lambda gpu: are_idle((gpu,))) > 1.0 - LEAST_SHARE:
        return None
    reasons, earlier = (_reasons(samples, number) for samples in (case.latest, case.before))
    if during < before * (1.0 - LEAST_SLOWDOWN):
        return _Slow(number, before, during, reasons - earlier or reasons)
    free, limit = case.free.get(number), of_gpu(case.latest, number, lambda gpu: gpu.limit_watts)
    usual, unusual = None if free is None else free.clock_hertz, held(free, reasons, limit)
    if usual is None or not unusual or during >= usual * (1.0 - LEAST_SLOWDOWN):
        return None
    return _Slow(number, usual, during, unusual, earlier=True)


def _clock_at_work(gpu: GpuSigns) -> float | None:
    """Return its clock; without work that is low, and holds nothing down."""
    return None if are_idle((gpu,)) else gpu.clock_hertz


def _reasons(samples: Iterable[Sample], number: int) -> frozenset[str]:
    return frozenset(
        reason
        for reason in THERMAL | BRAKE | CAP
        if share_of(samples, number, lambda gpu, reason=reason: reason in gpu.throttle) >= LEAST_SHARE  # type: ignore[misc]  # bound now
    )


def _told(case: Case, cause: Cause, slow: list[_Slow], of: int, weight: float) -> Explanation:
    worst = max(slow, key=lambda each: each.ratio)
    evidence = [
        Evidence(
            "gpu_clock_hertz",
            case.node,
            each.gpu,
            each.before,
            each.during,
            f"GPU {each.gpu} runs at {each.during / MHZ:.0f} MHz instead of {each.before / MHZ:.0f} MHz"
            + (f" ({', '.join(sorted(each.reasons))})" if each.reasons else ", and gives no reason")
            + (", since before the drop" if each.earlier else ""),
        )
        for each in slow
    ]
    evidence += _more(case, cause, worst.gpu)
    # An engine over several GPUs waits for its slowest, one with a copy on each loses in proportion.
    whole = sum(each.ratio for each in slow) / of
    explained = whole if whole >= ENOUGH * case.missing else worst.ratio
    weight = min(weight, EARLIER) if all(each.earlier for each in slow) else weight
    names = ", ".join(str(each.gpu) for each in slow)
    text = f"{_WHY[cause]} GPU{'s' if len(slow) > 1 else ''} {names}"
    gpu = None if len(slow) == of > 1 else worst.gpu
    return Explanation(cause, explained, weight, text, tuple(evidence), gpu)


_WHY = {
    Cause.THERMAL: "heat holds down",
    Cause.POWER_CAP: "the power limit holds down",
    Cause.POWER_BRAKE: "the hardware brakes",
    Cause.CLOCKS_LOW: "low clocks without a reason on",
}


def _more(case: Case, cause: Cause, number: int) -> list[Evidence]:
    """Return the figure that the reason speaks of: temperature, or the limit."""
    if cause is Cause.THERMAL:
        before = of_gpu(case.before, number, lambda gpu: gpu.temperature_celsius)
        during = of_gpu(case.latest, number, lambda gpu: gpu.temperature_celsius)
        if before is not None and during is not None:
            text = f"GPU {number} is at {during:.0f} °C, before at {before:.0f} °C"
            return [Evidence("gpu_temperature_celsius", case.node, number, before, during, text)]
    if cause is Cause.POWER_CAP:
        before = of_gpu(case.before, number, lambda gpu: gpu.limit_watts)
        during = of_gpu(case.latest, number, lambda gpu: gpu.limit_watts)
        if before is not None and during is not None and before != during:
            text = f"the limit of GPU {number} is {during:.0f} W, before {before:.0f} W"
            return [Evidence("gpu_power_limit_watts", case.node, number, before, during, text)]
    return []
