"""Causes that stand beside the one that is told and cost nothing more: they are named in its incident.

The slower of two hides the other, and an engine that is gone hides all. Who mends one must know of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.diagnose.case import gpu_numbers, of_gpu, share_of
from agent.diagnose.causes.clocks import LEAST_SHARE
from agent.diagnose.causes.gpu_lost import lost_row
from agent.diagnose.free import BRAKE, LOWERED, THERMAL
from agent.diagnose.second import HARDWARE, SURE_SECONDS, explanations
from agent.diagnose.signs import are_idle
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.diagnose.case import Case, Explanation
    from agent.diagnose.signs import GpuSigns
    from agent.diagnose.verdict import Verdict
    from agent.measure.incident import Incident

ALSO = "also"
MOST_NAMED = 2
SHOWN, FIRST_SHOWN = 6, 2
"""Pieces of evidence that an incident carries at most; a rack shows the first of them only."""
HOTTER_CELSIUS = 5.0
"""A GPU that does nothing and is so much hotter than at work is not cooled."""
LEAST_LOWERED_CLOCK = 0.05
STILL = {Cause.ENGINE_DOWN, Cause.ENGINE_STALL, Cause.GPU_LOST}
"""GPUs that have less to do, or other work, tell nothing by their clocks."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A cause beside the one that is told."""

    cause: Cause
    evidence: Evidence
    since: float
    """Monotonic."""
    seen: float
    """When it was last seen."""
    over: bool = False

    @property
    def is_sure(self) -> bool:
        """Whether it was there for long enough to be named."""
        return self.seen - self.since >= SURE_SECONDS


def watched(
    known: tuple[Beside, ...], case: Case, told: Sequence[Explanation], fresh: Verdict
) -> tuple[Beside, ...]:
    """Take one judgement more: `told` are the causes that have incidents."""
    now, causes = case.during[-1].seconds, {each.cause for each in told}
    before = {each.cause: each for each in known if each.cause not in causes}
    seen: dict[Cause, Beside] = {}
    for cause, row in _seen(case, told, fresh):
        since = before[cause].since if cause in before else now
        seen.setdefault(cause, Beside(cause, row, since, now))
    gone = [each for each in before.values() if each.cause not in seen and each.is_sure]
    return (*seen.values(), *(replace(each, over=True) for each in gone))


def _seen(case: Case, told: Sequence[Explanation], fresh: Verdict) -> Iterator[tuple[Cause, Evidence]]:
    causes = {each.cause for each in told}
    facts = [(each.cause, each.evidence[0]) for each in explanations(fresh) if _is_fact(each, told)]
    for cause, row in (*facts, *_lost(case), *_hot(case), *_braked(case), *_limited(case)):
        if cause not in causes:
            yield cause, row


def _is_fact(each: Explanation, told: Sequence[Explanation]) -> bool:
    """Whether it is true whatever comes of it, and no more than what the causes that are told say."""
    if each.over or not each.evidence:
        return False
    if each.cause is Cause.CLOCKS_LOW:
        return (each.explained or 0.0) >= LEAST_LOWERED_CLOCK and not STILL & {e.cause for e in told}
    if each.cause in HARDWARE:
        return each.gpu not in {known.gpu for known in told if known.cause in HARDWARE}
    return each.cause is Cause.ENGINE_DOWN and not HARDWARE & {known.cause for known in told}


def _lost(case: Case) -> Iterator[tuple[Cause, Evidence]]:
    """Yield a GPU that was lost before the drop."""
    lost = [gpu for gpu in case.during[-1].gpus if gpu.is_lost]
    before = {gpu.gpu for gpu in case.before[-1].gpus if gpu.is_lost}
    for gpu in lost:
        if gpu.gpu in before:
            yield Cause.GPU_LOST, lost_row(case, gpu, earlier=True)


def _hot(case: Case) -> Iterator[tuple[Cause, Evidence]]:
    """Yield the hottest of the GPUs that heat holds down, or that are hotter though they do nothing."""
    held = [number for number in gpu_numbers(case) if _held(case, number, THERMAL)]
    hot = held or [number for number in gpu_numbers(case) if _is_hot_at_rest(case, number)]
    heats = [(now, number) for number in hot if (now := of_gpu(case.latest, number, _celsius)) is not None]
    if heats:
        now, number = max(heats)
        before = of_gpu(case.before, number, _celsius)
        was = "" if before is None else f", before at {before:.0f} °C"
        what = f"heat holds down {_gpus(held)}" if held else f"{_gpus(hot)} got hotter though nothing is done"
        text = f"{what}; GPU {number} is at {now:.0f} °C{was}"
        yield Cause.THERMAL, Evidence("gpu_temperature_celsius", case.node, number, before, now, text)


def _is_hot_at_rest(case: Case, number: int) -> bool:
    before, now = (of_gpu(part, number, _celsius) for part in (case.before, case.latest))
    idle = share_of(case.latest, number, lambda gpu: are_idle((gpu,))) > 1.0 - LEAST_SHARE
    return idle and before is not None and now is not None and now >= before + HOTTER_CELSIUS


def _braked(case: Case) -> Iterator[tuple[Cause, Evidence]]:
    held = [number for number in gpu_numbers(case) if _held(case, number, BRAKE)]
    if held:
        text = f"the hardware brakes {_gpus(held)} (hw_power_brake_slowdown)"
        gpu = held[0] if len(held) == 1 else None
        yield Cause.POWER_BRAKE, Evidence("gpu_throttled_seconds_total", case.node, gpu, None, None, text)


def _limited(case: Case) -> Iterator[tuple[Cause, Evidence]]:
    """Yield the GPU whose power limit was lowered most."""
    lowered = []
    for number in gpu_numbers(case):
        before, now = (of_gpu(part, number, _limit) for part in (case.before, case.latest))
        usual = case.free.get(number)
        before = before if usual is None or usual.limit_watts is None else usual.limit_watts
        if before and now is not None and now < LOWERED * before:
            lowered.append((now / before, number, before, now))
    if lowered:
        _, number, before, now = min(lowered)
        which = (
            f"GPU {number}"
            if len(lowered) == 1
            else f"{_gpus([each[1] for each in lowered])}, least of all {number},"
        )
        text = f"the power limit of {which} is {now:.0f} W, before {before:.0f} W"
        yield Cause.POWER_CAP, Evidence("gpu_power_limit_watts", case.node, number, before, now, text)


def _held(case: Case, number: int, reasons: frozenset[str]) -> bool:
    return share_of(case.latest, number, lambda gpu: bool(reasons & gpu.throttle)) >= LEAST_SHARE


def _gpus(numbers: Iterable[int]) -> str:
    named = sorted(numbers)
    return f"GPU{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"


def _celsius(gpu: GpuSigns) -> float | None:
    return gpu.temperature_celsius


def _limit(gpu: GpuSigns) -> float | None:
    return gpu.limit_watts


def named_in(incident: Incident, beside: Sequence[Beside], wall_seconds: float | None) -> Incident:
    """Return an incident that names what stands beside its cause, and claims no tokens for it."""
    sure = [each for each in beside if each.is_sure]
    shown = sorted(sure, key=lambda each: (each.over, each.since))[:MOST_NAMED]
    if not shown:
        return incident
    rows = tuple(replace(each.evidence, text=_text(each, wall_seconds)) for each in shown)
    own = [each for each in incident.evidence if not each.text.startswith(ALSO)][: SHOWN - len(rows)]
    stand = [each.evidence.text for each in shown if not each.over]
    summary = incident.summary + (f"; {ALSO}: {'; '.join(stand)}" if stand else "")
    return replace(incident, evidence=(*own[:FIRST_SHOWN], *rows, *own[FIRST_SHOWN:]), summary=summary)


def _text(each: Beside, wall_seconds: float | None) -> str:
    if not each.over:
        return f"{ALSO}: {each.evidence.text}"
    until = (
        ""
        if wall_seconds is None
        else f", until {datetime.fromtimestamp(each.seen + wall_seconds, UTC):%H:%M:%S} UTC"
    )
    return f"{ALSO}{until}: {each.evidence.text}"
