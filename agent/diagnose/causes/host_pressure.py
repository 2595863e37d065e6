"""GPUs that wait: requests are there and clocks are right, but they are worked less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, gpu_numbers, middle, of_gpu
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_FALL = 0.03
"""Power differs by this much without anything being wrong."""


def explain(case: Case) -> Iterator[Explanation]:
    """Yield it when the power of all GPUs fell though their clocks did not."""
    numbers = gpu_numbers(case)
    before = [of_gpu(case.before, number, lambda gpu: gpu.power_watts) for number in numbers]
    now = [of_gpu(case.latest, number, lambda gpu: gpu.power_watts) for number in numbers]
    pairs = [(was, here) for was, here in zip(before, now, strict=True) if was and here is not None]
    if not pairs or len(pairs) < len(numbers):
        return
    falls = [1.0 - here / was for was, here in pairs]
    if min(falls) < LEAST_FALL:
        return
    requests = middle(sample.in_flight for sample in case.latest)
    watts_before, watts = sum(was for was, _ in pairs), sum(here for _, here in pairs)
    text = f"every GPU is worked less ({watts:.0f} W, before {watts_before:.0f} W) at its full clock"
    if requests is not None:
        text += f", though {requests:.0f} requests are there"
    evidence = (Evidence("gpu_power_watts", case.node, None, watts_before, watts, text),)
    yield Explanation(Cause.HOST_PRESSURE, None, 0.4, text, evidence)
