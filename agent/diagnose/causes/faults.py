"""Errors that the driver dates: Xids, uncorrected memory errors, links and fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, gpu_numbers, grown, share_of
from agent.measure.incident import Cause, Evidence
from agent.measure.xid import cause_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.diagnose.signs import GpuSigns


def explain(case: Case) -> Iterator[Explanation]:
    """Yield one explanation for each GPU and kind of error that is new."""
    for number in gpu_numbers(case):
        yield from _xids(case, number)
        yield from _memory(case, number)
        yield from _fabric(case, number)


def _xids(case: Case, number: int) -> Iterator[Explanation]:
    told = {xid for sample in case.during for gpu in sample.gpus if gpu.gpu == number for xid in gpu.xids}
    for xid in sorted(told):
        cause = cause_of(xid)
        if cause is None or grown(case, number, lambda gpu, xid=xid: gpu.xids.get(xid, 0.0)) <= 0:  # type: ignore[misc]  # bound now
            continue
        text = f"GPU {number} reported Xid {xid}"
        evidence = Evidence("gpu_xid_errors_total", case.node, number, None, None, text)
        yield Explanation(cause, None, 0.8, text, (evidence,), number)


def _memory(case: Case, number: int) -> Iterator[Explanation]:
    errors = grown(case, number, lambda gpu: gpu.uncorrected)
    if errors > 0:
        text = f"GPU {number} had {errors:.0f} uncorrected memory errors"
        evidence = Evidence("gpu_ecc_errors_total", case.node, number, 0.0, errors, text)
        yield Explanation(Cause.ECC, None, 0.8, text, (evidence,), number)


def _fabric(case: Case, number: int) -> Iterator[Explanation]:
    def sick(gpu: GpuSigns) -> bool:
        return gpu.fabric_healthy is False

    if share_of(case.latest, number, sick) > 0.5 > share_of(case.before, number, sick):  # noqa: PLR2004  # most of the time
        text = f"the NVLink fabric reports GPU {number} unhealthy"
        evidence = Evidence("gpu_fabric_healthy", case.node, number, 1.0, 0.0, text)
        yield Explanation(Cause.NVLINK, None, 0.8, text, (evidence,), number)
