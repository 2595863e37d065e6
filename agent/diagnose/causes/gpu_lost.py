"""A GPU that fell off the bus, or that the driver wants reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation
from agent.diagnose.free import is_missed
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator


EARLIER = 0.7
"""What was lost before the drop cost nothing then: something else is new."""


def explain(case: Case) -> Iterator[Explanation]:
    """Yield what the GPUs explain that were lost since; if none was, those that are missed since before."""
    before = {gpu.gpu for gpu in case.before[-1].gpus if gpu.is_lost}
    now, seconds = case.during[-1].gpus, case.during[-1].seconds
    lost = [gpu for gpu in now if gpu.is_lost and gpu.gpu not in before]
    weight, since = 1.0, ""
    earlier = not lost
    if earlier:
        lost = [gpu for gpu in now if gpu.is_lost and is_missed(case.free.get(gpu.gpu), seconds)]
        weight, since = EARLIER, ", since before the drop"
    if not lost:
        return
    evidence = tuple(
        Evidence(
            "gpu_up", case.node, gpu.gpu, 1.0, 0.0, f"GPU {gpu.gpu} no longer answers{since}: {gpu.state}"
        )
        for gpu in lost
    )
    names = ", ".join(str(gpu.gpu) for gpu in lost)
    text = f"GPU{'s' if len(lost) > 1 else ''} {names} fell away"
    share = len(lost) / len(now)
    # With a copy on each GPU its share is gone; an engine over several GPUs stands still without one of them.
    stands_still = not earlier and case.missing > (1.0 + share) / 2.0
    yield Explanation(Cause.GPU_LOST, 1.0 if stands_still else share, weight, text, evidence, lost[0].gpu)
