"""What else was looked at, and why it is not what is told: causes that lost, and those that saw nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.case import gpu_numbers, middle, of_gpu, usual_rates
from agent.measure.incident import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.diagnose.case import Case, Explanation
    from agent.diagnose.sample import Sample
    from agent.diagnose.verdict import Verdict

PERCENT = 100.0
MHZ = 1e6
MUCH = 1.3
"""What explains so many times what is missing explains too much."""


CLOCKS = (Cause.THERMAL, Cause.POWER_CAP, Cause.POWER_BRAKE, Cause.CLOCKS_LOW)
"""Told apart by the reason that the driver gives."""


@dataclass(frozen=True, slots=True)
class Considered:
    """One cause, or several that the same figures speak of, and why it is not told."""

    causes: tuple[Cause, ...]
    text: str
    """What was seen."""
    why: str = ""
    """Why that is not enough; empty where nothing was seen."""
    explained: float | None = None
    """Share of the expected rate that it would take away; None is not known, or nothing."""
    score: float = 0.0


def considered(case: Case, verdict: Verdict) -> tuple[Considered, ...]:
    """Return every cause but the one that is told, the likeliest first."""
    lost = [_lost(each, score, case.missing, verdict) for each, score in verdict.others]
    told = {cause for each in lost for cause in each.causes} | {verdict.best.cause}
    silent = [look for look in _looks(case) if not told & set(look.causes)]
    if told & set(CLOCKS):
        others = tuple(cause for cause in CLOCKS if cause not in told)
        silent.append(Considered(others, _reasons(case)))
    return (*lost, *silent)


def _lost(explanation: Explanation, score: float, missing: float, verdict: Verdict) -> Considered:
    explained = explanation.explained
    if explained is None:
        why = "how much it takes away cannot be reckoned"
    elif explained < missing / MUCH:
        why = f"it takes away {explained:.0%} of the rate, and {missing:.0%} is missing"
    elif explained > missing * MUCH:
        why = f"it would take away {explained:.0%} of the rate, and only {missing:.0%} is missing"
    else:
        why = "it fits as well, with weaker evidence"
    if verdict.best.cause is Cause.UNKNOWN:
        why += "; no cause fits well enough"
    return Considered((explanation.cause,), explanation.text, why, explained, score)


def _looks(case: Case) -> Iterator[Considered]:
    """Yield what the judges that said nothing had looked at, with the figures."""
    yield Considered((Cause.GPU_LOST,), _gpus(case))
    yield Considered((Cause.ENGINE_DOWN, Cause.ENGINE_RESTART, Cause.ENGINE_STALL), _engines(case))
    yield Considered(CLOCKS, _clocks(case))
    yield Considered((Cause.GPU_FAULT, Cause.ECC, Cause.NVLINK), _faults(case))
    yield Considered((Cause.KV_SATURATION,), _cache(case))
    yield Considered((Cause.WORKLOAD_SHIFT,), _prompts(case))
    yield Considered((Cause.HOST_PRESSURE,), _power(case))
    yield Considered((Cause.DEMAND,), _requests(case))


def _gpus(case: Case) -> str:
    now = case.during[-1].gpus
    lost = sum(gpu.is_lost for gpu in now)
    return f"{len(now) - lost} of {len(now)} GPUs answer" if now else "no GPU is known to be its own"


def _engines(case: Case) -> str:
    now, usual = case.during[-1].engines, usual_rates(case)
    up = sum(each.up for each in now.values())
    still = sum(not (case.during[-1].rates[name].output or 0.0) for name in usual if name in now)
    text = f"{up} of {len(now)} engines answer, none was restarted"
    return text + (f"; {still} make nothing" if still else " and each makes tokens")


def _clocks(case: Case) -> str:
    ratios = []
    for number in gpu_numbers(case):
        before = of_gpu(case.before, number, lambda gpu: gpu.clock_hertz)
        now = of_gpu(case.latest, number, lambda gpu: gpu.clock_hertz)
        if before and now is not None:
            ratios.append((now / before, number, before, now))
    if not ratios:
        return "clocks are not known"
    _, number, before, now = min(ratios)
    return (
        f"the GPU whose clock fell most, {number}, runs at {now / MHZ:.0f} MHz, before {before / MHZ:.0f} MHz"
    )


def _reasons(case: Case) -> str:
    reasons = sorted({reason for sample in case.latest for gpu in sample.gpus for reason in gpu.throttle})
    return (
        f"the reasons that the driver gives are {', '.join(reasons)}"
        if reasons
        else "the driver gives no reason"
    )


def _faults(case: Case) -> str:
    healths = {gpu.fabric_healthy for gpu in case.during[-1].gpus}
    fabric = (
        "is not told" if healths <= {None} else "healthy" if False not in healths else "unhealthy before too"
    )
    return f"no new Xid of hardware, no uncorrected memory error; NVLink fabric: {fabric}"


def _cache(case: Case) -> str:
    before, now = (middle(each.cache_usage for each in part) for part in (case.before, case.latest))
    return f"the KV cache is {_share(now)} full, before {_share(before)}"


def _prompts(case: Case) -> str:
    before, now = (middle(map(_mix, part)) for part in (case.before, case.latest))
    if before is None or now is None:
        return "how many prompt tokens are computed is not known"
    return f"{now:.2f} prompt tokens are computed for each output token, before {before:.2f}"


def _power(case: Case) -> str:
    before, now = (middle(map(_watts, part)) for part in (case.before, case.latest))
    if before is None or now is None:
        return "the power of its GPUs is not known"
    return f"its GPUs draw {now:.0f} W, before {before:.0f} W; {_clocks(case)}"


def _requests(case: Case) -> str:
    before, now = (middle(each.in_flight for each in part) for part in (case.before, case.latest))
    if before is None or now is None:
        return "how many requests there are is not known"
    return f"{now:.0f} requests are there, before {before:.0f}: no fewer tokens are asked for"


def _mix(sample: Sample) -> float | None:
    rate, prompts = sample.rate, sample.prompt_rate
    return None if not rate or prompts is None else prompts / rate


def _watts(sample: Sample) -> float | None:
    told = [gpu.power_watts for gpu in sample.gpus]
    known = [watts for watts in told if watts is not None]
    return sum(known) if known and len(known) == len(told) else None


def _share(value: float | None) -> str:
    return "not known to be" if value is None else f"{value:.0%}"
