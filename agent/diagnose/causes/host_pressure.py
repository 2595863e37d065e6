"""GPUs that wait: requests are there and clocks are right, but they are worked less.

What the machine says of itself makes it sure: pressure, stolen time, slow processors, links that went down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, gpu_numbers, middle, of_gpu
from agent.diagnose.causes import clocks
from agent.diagnose.pressure import links_lost, pressures
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.diagnose.signs import GpuSigns

LEAST_FALL = 0.03
"""Power, or the time that kernels run, differs by this much without anything being wrong."""
SURE, SURE_WITHOUT_GPUS, UNSURE = 0.9, 0.6, 0.4
LINK = 0.7
SHOWN = 3


def explain(case: Case) -> Iterator[Explanation]:
    """Yield what the machine explains; GPUs that are worked as much as before do not wait for it."""
    falls = _falls(case, _power) or _falls(case, _busy)
    if falls is None or max(falls) >= LEAST_FALL:
        for lost in links_lost(case):
            yield Explanation(Cause.HOST_PRESSURE, None, LINK, lost.text, (lost,), lost.gpu)
    if falls is not None and min(falls) < LEAST_FALL:
        return
    told = [] if falls is None or clocks.are_held(case) else [_worked_less(case)]
    pressed = pressures(case)
    if pressed:
        text = f"the machine is short: {pressed[0].text}"
        evidence = [Evidence(e.metric, case.node, None, e.before, e.during, e.text) for e in pressed[:SHOWN]]
        weight = SURE if told else SURE_WITHOUT_GPUS
        # Some task waits for so much of the time, the engine's loop for no more: a bound from above.
        explained = min(pressed[0].rise, case.missing)
        yield Explanation(Cause.HOST_PRESSURE, explained, weight, text, (*evidence, *told))
    elif told:
        yield Explanation(Cause.HOST_PRESSURE, None, UNSURE, told[0].text, (*told,))


def _falls(case: Case, read: Callable[[GpuSigns], float | None]) -> list[float] | None:
    """Return by how much less each GPU does than before; None unless every one of them tells."""
    numbers = gpu_numbers(case)
    pairs = [(of_gpu(case.before, gpu, read), of_gpu(case.latest, gpu, read)) for gpu in numbers]
    falls = [1.0 - now / before for before, now in pairs if before and now is not None]
    return falls if falls and len(falls) == len(numbers) else None


def _power(gpu: GpuSigns) -> float | None:
    return gpu.power_watts


def _busy(gpu: GpuSigns) -> float | None:
    return gpu.utilization_ratio


def _worked_less(case: Case) -> Evidence:
    numbers = gpu_numbers(case)
    watts_before, watts = (
        [of_gpu(samples, gpu, _power) for gpu in numbers] for samples in (case.before, case.latest)
    )
    before, now = sum(each or 0.0 for each in watts_before), sum(each or 0.0 for each in watts)
    requests = middle(sample.in_flight for sample in case.latest)
    drawn = f" ({now:.0f} W, before {before:.0f} W)" if before else ""
    text = f"every GPU is worked less{drawn}{_at_clock(case)}"
    if requests is not None:
        text += f", though {requests:.0f} requests are there"
    return Evidence("gpu_power_watts", case.node, None, before or None, now if before else None, text)


def _at_clock(case: Case) -> str:
    """Say how fast they run meanwhile, as far as it is known: nothing must seem to be what was not read."""
    pairs = [
        (before, now)
        for gpu in gpu_numbers(case)
        if (before := of_gpu(case.before, gpu, _hertz))
        and (now := of_gpu(case.latest, gpu, _hertz)) is not None
    ]
    if not pairs:
        return ""
    before, now = min(pairs, key=lambda pair: pair[1] / pair[0])
    if now >= before * (1.0 - clocks.LEAST_SLOWDOWN):
        return " at its full clock"
    return f", the slowest at {now / clocks.MHZ:.0f} MHz, before at {before / clocks.MHZ:.0f} MHz"


def _hertz(gpu: GpuSigns) -> float | None:
    return gpu.clock_hertz
