"""Errors that the driver dates: Xids, uncorrected memory errors, links and fabric."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, came, gpu_numbers, grown, of_gpu, share_of
from agent.measure.incident import Cause, Evidence
from agent.measure.xid import cause_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.diagnose.signs import GpuSigns


JOINED_SECONDS = 30.0
"""An error that came so long before throughput fell may be what it fell of …"""
NEAR_SECONDS = 10.0
"""… and most likely is within this time."""
SURE, UNSURE = 0.8, 0.6
SLOWER_LINK, GIGA = 0.95, 1e9


def explain(case: Case) -> Iterator[Explanation]:
    """Yield one explanation for each GPU and kind of error that is new."""
    for number in gpu_numbers(case):
        yield from _xids(case, number)
        yield from _memory(case, number)
        yield from _fabric(case, number)
        yield from _links(case, number)


def _xids(case: Case, number: int) -> Iterator[Explanation]:
    told = {xid for sample in case.during for gpu in sample.gpus if gpu.gpu == number for xid in gpu.xids}
    for xid in sorted(told):
        cause = cause_of(xid)
        if cause is None:
            continue
        at = came(case, number, lambda gpu, xid=xid: gpu.xids.get(xid, 0.0), JOINED_SECONDS)  # type: ignore[misc]  # bound now
        if at is None:
            continue
        text = f"GPU {number} reported Xid {xid}{_joined(case, at)}"
        evidence = Evidence("gpu_xid_errors_total", case.node, number, None, None, text)
        near = abs(at - case.since) <= NEAR_SECONDS
        yield Explanation(cause, None, SURE if near else UNSURE, text, (evidence,), number)


def _joined(case: Case, at: float) -> str:
    """Say when it came and when throughput fell, where the wall clock is known."""
    if case.wall_seconds is None:
        return ""
    moments = (datetime.fromtimestamp(each + case.wall_seconds, UTC) for each in (at, case.since))
    came_at, fell_at = (f"{moment:%H:%M:%S}" for moment in moments)
    return f" at {came_at} UTC, throughput fell at {fell_at}"


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


def _links(case: Case, number: int) -> Iterator[Explanation]:
    """Yield it when links went away, or the slowest of them is slower than it was: trained down."""
    before, now = (of_gpu(each, number, _active) for each in (case.before, case.latest))
    if before and now is not None and now < before:
        text = f"GPU {number} has {now:.0f} active NVLinks, before {before:.0f}"
        evidence = Evidence("gpu_nvlinks", case.node, number, before, now, text)
        yield Explanation(Cause.NVLINK, None, 0.8, text, (evidence,), number)
    before, now = (of_gpu(each, number, _speed) for each in (case.before, case.latest))
    if before and now is not None and now < before * SLOWER_LINK:
        carries = f"carries {now / GIGA:.0f} GB/s, before {before / GIGA:.0f} GB/s"
        text = f"the slowest NVLink of GPU {number} {carries}"
        evidence = Evidence("gpu_nvlink_slowest_bytes_per_second", case.node, number, before, now, text)
        yield Explanation(Cause.NVLINK, None, 0.8, text, (evidence,), number)


def _active(gpu: GpuSigns) -> float | None:
    return gpu.nvlinks


def _speed(gpu: GpuSigns) -> float | None:
    return gpu.nvlink_bytes_per_second
