"""A GPU that fell off the bus, or that the driver wants reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator


def explain(case: Case) -> Iterator[Explanation]:
    """Yield what the GPUs that are lost now, and were not before, explain."""
    before = {gpu.gpu for gpu in case.before[-1].gpus if gpu.is_lost}
    now = case.during[-1].gpus
    lost = [gpu for gpu in now if gpu.is_lost and gpu.gpu not in before]
    if not lost:
        return
    evidence = tuple(
        Evidence("gpu_up", case.node, gpu.gpu, 1.0, 0.0, f"GPU {gpu.gpu} no longer answers: {gpu.state}")
        for gpu in lost
    )
    names = ", ".join(str(gpu.gpu) for gpu in lost)
    text = f"GPU{'s' if len(lost) > 1 else ''} {names} fell away"
    share = len(lost) / len(now)
    # With a copy on each GPU its share is gone; an engine over several GPUs stands still without one of them.
    explained = 1.0 if case.missing > (1.0 + share) / 2.0 else share
    yield Explanation(Cause.GPU_LOST, explained, 1.0, text, evidence, lost[0].gpu)
