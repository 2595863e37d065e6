"""What hardware counters tell between two samples of a GPU (GPM), from Hopper on: what bounds it."""

from __future__ import annotations

import contextlib
import ctypes
import math
import struct
import time
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.library import Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.often import Answer
    from agent.collectors._nvml.pace import Pace


LEAST_SECONDS = 0.11
"""Samples must lie more than 0.1 s apart (nvml.h)."""
MOST_SECONDS = 10.0
MOST_PERIODS = 2.5
"""The mean of a longer time, or of so many periods, is no figure of now: after a gap it begins anew."""
PERCENT = 100.0
MEBI = 2.0**20
LINKS = "link_bytes_per_second"
METRICS = (
    (1, "active_ratio", "graphics", 1 / PERCENT),
    (2, "active_ratio", "sm", 1 / PERCENT),
    (3, "active_ratio", "sm_occupancy", 1 / PERCENT),
    (5, "active_ratio", "tensor", 1 / PERCENT),
    (10, "active_ratio", "dram", 1 / PERCENT),
    (11, "active_ratio", "fp64", 1 / PERCENT),
    (12, "active_ratio", "fp32", 1 / PERCENT),
    (13, "active_ratio", "fp16", 1 / PERCENT),
    (20, LINKS, "pcie_tx", MEBI),
    (21, LINKS, "pcie_rx", MEBI),
    (60, LINKS, "nvlink_rx", MEBI),
    (61, LINKS, "nvlink_tx", MEBI),
    (100, LINKS, "c2c_tx", MEBI),
    (101, LINKS, "c2c_rx", MEBI),
)
"""Metric, where it goes, and its unit in ours; percent and MiB/s in NVML."""
HEADER_BYTES, METRIC_BYTES = 24, 40
ENTRY = struct.Struct("<Iid24x")
VERSION = 1


class Gpm:
    """Two samples of one GPU, the older of which is taken anew each time; used in sampler threads only."""

    def __init__(self, nvml: Library, pace: Pace) -> None:
        """`pace` tells how often it is asked."""
        self._nvml = nvml
        self._pace = pace
        self._samples: list[Any] = []
        self._taken_seconds: float | None = None
        """When the newer sample was taken; None before the first."""
        self._lone = False
        """There is none before it to compare it with."""
        self._told: tuple[Answer, ...] = ()
        self._request: Any = None
        self._metrics = memoryview(b"")

    @property
    def waiting(self) -> bool:
        """Whether there is a first sample that waits for a second one."""
        return self._lone

    def waits(self, now_seconds: float) -> bool:
        """Whether a first sample can be compared with a second one now: it need not wait for its turn."""
        taken = self._taken_seconds
        return self._lone and taken is not None and now_seconds - taken >= LEAST_SECONDS

    def ask(self, handle: Any) -> Sequence[Answer]:
        """Take a sample and return the means since the last one; nothing before the second.

        Raises Refusal of a GPU that has no GPM.
        """
        if not self._samples:
            self._prepare(handle)
        now = time.monotonic()
        since = math.inf if self._taken_seconds is None else now - self._taken_seconds
        if since < LEAST_SECONDS:
            return self._told
        self._samples.reverse()
        self._taken_seconds, self._told, self._lone = None, (), False
        self._nvml.call("nvmlGpmSampleGet", handle, self._samples[1])
        self._taken_seconds = now
        self._lone = since > max(MOST_SECONDS, MOST_PERIODS * self._pace.period_seconds)
        if not self._lone:
            self._told = self._means()
        return self._told

    def free(self) -> None:
        """Give the samples back to the driver."""
        samples, self._samples = self._samples, []
        self._taken_seconds, self._told, self._lone = None, (), False
        for sample in samples:
            with contextlib.suppress(Refusal):  # a driver that is gone holds nothing any more
                self._nvml.call("nvmlGpmSampleFree", sample)

    def _prepare(self, handle: Any) -> None:
        """Ask once whether there is GPM here, and make room for what it says."""
        function = "nvmlGpmQueryDeviceSupport"
        if not self._nvml.call(function, handle).isSupportedDevice:
            raise Refusal(Code.NOT_SUPPORTED, function)
        request = self._nvml.pynvml.c_nvmlGpmMetricsGet_t()
        entry = ctypes.sizeof(self._nvml.pynvml.c_nvmlGpmMetric_t)
        if entry != METRIC_BYTES or type(request).metrics.offset != HEADER_BYTES:
            raise TypeError(f"nvmlGpmMetric_t has {entry} bytes, not {METRIC_BYTES}")
        request.version, request.numMetrics = VERSION, len(METRICS)
        for place, (number, *_) in enumerate(METRICS):
            request.metrics[place].metricId = number
        self._request = request
        self._samples = self._allocated()
        whole = memoryview(request).cast("B")
        self._metrics = whole[HEADER_BYTES : HEADER_BYTES + METRIC_BYTES * len(METRICS)]

    def _allocated(self) -> list[Any]:
        first = self._nvml.call("nvmlGpmSampleAlloc")
        try:
            return [first, self._nvml.call("nvmlGpmSampleAlloc")]
        except Refusal:
            self._nvml.call("nvmlGpmSampleFree", first)
            raise

    def _means(self) -> tuple[Answer, ...]:
        """Return what is known of the time between both samples."""
        self._request.sample1, self._request.sample2 = self._samples
        self._nvml.call("nvmlGpmMetricsGet", self._request)
        return tuple(
            (attribute, key, value * scale if attribute == LINKS else min(value * scale, 1.0))
            for (_, code, value), (_, attribute, key, scale) in zip(
                ENTRY.iter_unpack(self._metrics), METRICS, strict=True
            )
            if not code and 0.0 <= value < math.inf
        )
