"""DCGM's counters of NVLinks, over all links of a GPU: errors until Hopper, and those from Blackwell on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.dcgm_fields import BY_NUMBER, NVLINK5_ERRORS
from exporters._dcgm_names.field import DcgmField, scaled

if TYPE_CHECKING:
    from exporters._dcgm_names.field import Tell

UNTIL_HOPPER = (409, 419, 429, 439, 497)
TRAFFIC = (1201, 1203)
SINCE = (
    "counts from when rackwatt first saw the GPU and outlives restarts; there: since the driver was loaded"
)


def _counted(error: str) -> Tell:
    return lambda gpu, _: scaled(gpu.nvlink_errors_total.get(error), 1)


def _moved(direction: str) -> Tell:
    return lambda gpu, _: scaled(gpu.nvlink_bytes_total.get(direction), 1)


def _field(number: int, unit: str, doc: str, tell: Tell, source: str) -> DcgmField:
    names = BY_NUMBER[number].names
    return DcgmField(number, names[0], "counter", unit, doc, tell, source, renamed=names[-1], differs=SINCE)


LINKS = (
    *(
        _field(
            number,
            "errors",
            f"Errors of all NVLinks: {BY_NUMBER[number].key}.",
            _counted(str(BY_NUMBER[number].key)),
            f"`rackwatt_gpu_nvlink_errors_total`, error `{BY_NUMBER[number].key}`",
        )
        for number in (*UNTIL_HOPPER, *(number for number, _, _ in NVLINK5_ERRORS))
    ),
    *(
        _field(
            number,
            "bytes",
            f"Bytes over all NVLinks: {BY_NUMBER[number].key}.",
            _moved(str(BY_NUMBER[number].key)),
            f"`rackwatt_gpu_nvlink_bytes_total`, direction `{BY_NUMBER[number].key}`",
        )
        for number in TRAFFIC
    ),
)
