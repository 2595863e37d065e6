"""A GPU that fell off the bus, or that the driver wants reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation
from agent.diagnose.free import EARLIER, is_missed
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.diagnose.signs import GpuSigns


def explain(case: Case) -> Iterator[Explanation]:
    """Yield what the GPUs explain that were lost since; if none was, those that are missed since before."""
    before = {gpu.gpu for gpu in case.before[-1].gpus if gpu.is_lost}
    now, seconds = case.during[-1].gpus, case.during[-1].seconds
    lost = [gpu for gpu in now if gpu.is_lost and gpu.gpu not in before]
    earlier = not lost
    if earlier:
        lost = [gpu for gpu in now if gpu.is_lost and is_missed(case.free.get(gpu.gpu), seconds)]
    if not lost:
        return
    evidence = tuple(lost_row(case, gpu, earlier=earlier) for gpu in lost)
    names = ", ".join(str(gpu.gpu) for gpu in lost)
    text = f"GPU{'s' if len(lost) > 1 else ''} {names} fell away"
    share = len(lost) / len(now)
    # With a copy on each GPU its share is gone; an engine over several GPUs stands still without one of them.
    explained = 1.0 if not earlier and case.missing > (1.0 + share) / 2.0 else share
    weight = EARLIER if earlier else 1.0
    yield Explanation(Cause.GPU_LOST, explained, weight, text, evidence, lost[0].gpu)


def lost_row(case: Case, gpu: GpuSigns, *, earlier: bool) -> Evidence:
    """Return the evidence of one GPU that is lost; `earlier` says that it was before the drop."""
    since = ", since before the drop" if earlier else ""
    text = f"GPU {gpu.gpu} no longer answers{since}: {gpu.state}"
    return Evidence("gpu_up", case.node, gpu.gpu, 0.0 if earlier else 1.0, 0.0, text)
