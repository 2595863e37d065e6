"""What a gap has cost beside its tokens: energy that made none, and time of GPUs; with bounds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.diagnose.case import of_gpu

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.diagnose.gap import Gap
    from agent.diagnose.loss import Sum
    from agent.diagnose.sample import Sample

LEAST_SAMPLES = 5
"""So many samples before the gap tell what a token usually takes."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What it took before the gap."""

    joules_per_token: float
    watts: Mapping[int, float] = field(default_factory=dict)
    """Of each GPU."""


@dataclass(frozen=True, slots=True)
class Toll:
    """What was spent since the gap began; all of it is 0 while there is none."""

    usual: Usual | None = None
    """None while nobody knows what a token usually takes."""
    joules: float = 0.0
    """Drawn by the GPUs that told their power …"""
    dark_joules: float = 0.0
    """… and, as a bound, what the others would have drawn as usual."""
    tokens: float = 0.0
    gpu_seconds: float = 0.0
    """Time of GPUs that was not made use of, though it was asked for."""


@dataclass(frozen=True, slots=True)
class Loss:
    """An amount that was lost, and bounds of it."""

    amount: float
    lower: float
    upper: float


def begun(before: Sequence[Sample]) -> Toll:
    """Return the toll of a gap that begins after these samples."""
    numbers = {gpu.gpu for sample in before for gpu in sample.gpus}
    watts = {
        number: told
        for number in numbers
        if (told := of_gpu(before, number, lambda gpu: gpu.power_watts)) is not None
    }
    pairs = [
        (sum(known), sample.rate)
        for sample in before
        if sample.rate is not None
        and len(known := [gpu.power_watts for gpu in sample.gpus if gpu.power_watts is not None])
        == len(sample.gpus)
        > 0
    ]
    made = sum(rate for _, rate in pairs)
    if len(pairs) < LEAST_SAMPLES or made <= 0.0 or len(watts) < len(numbers):
        return Toll()
    return Toll(Usual(sum(drawn for drawn, _ in pairs) / made, watts))


def paid(toll: Toll, now: Sample, gap: Gap) -> Toll:
    """Add what one sample of a gap has cost; nothing of the seconds in which nothing is missing any more."""
    rate = now.late_rate if now.rate is None else now.rate
    if rate is None or gap.healthy_since is not None:
        return toll
    seconds = gap.step_seconds
    missing = min(1.0, max(0.0, gap.missing))
    told = {gpu.gpu: gpu.power_watts for gpu in now.gpus if gpu.power_watts is not None}
    usual = {} if toll.usual is None else toll.usual.watts
    dark = sum(watts for number, watts in usual.items() if number not in told)
    return replace(
        toll,
        joules=toll.joules + sum(told.values()) * seconds,
        dark_joules=toll.dark_joules + dark * seconds,
        tokens=toll.tokens + rate * seconds,
        gpu_seconds=toll.gpu_seconds + (len(usual) or len(now.gpus)) * missing * seconds,
    )


def with_unseen(toll: Toll, now: Sample, gap: Gap) -> Toll:
    """Add the time of GPUs that a gap cost before it was seen to have begun; nobody saw what they drew."""
    asked = 0.0 if gap.asked is None else gap.asked.rate
    if asked <= 0.0:
        return toll
    gpus = len(now.gpus) if toll.usual is None else len(toll.usual.watts)
    idle = sum(
        max(0.0, 1.0 - each.rate / asked) * each.lasts * (0.5 if each.perhaps else 1.0) for each in gap.unseen
    )
    return replace(toll, gpu_seconds=toll.gpu_seconds + gpus * idle)


def joules_of(toll: Toll, noise: float) -> Loss | None:
    """Return the energy that made no tokens: what was drawn less what they usually take; None is unknown.

    What they usually take is uncertain by the noise of the rate; what silent GPUs drew, by all of it.
    """
    if toll.usual is None:
        return None
    worth = toll.tokens * toll.usual.joules_per_token
    return Loss(
        amount=max(0.0, toll.joules - worth),
        lower=max(0.0, toll.joules - worth * (1.0 + noise)),
        upper=max(0.0, toll.joules + toll.dark_joules - worth * (1.0 - noise)),
    )


def tokens_of(lost: Sum) -> Loss:
    """Return the tokens that were lost, and between what they are."""
    return Loss(lost.amount, min(lost.least, lost.amount), max(lost.most, lost.amount))
