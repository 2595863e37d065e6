"""What is asked of a GPU by functions of its own, beside the field values, and their older names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml import fields, often
from agent.collectors._nvml.identity import read_fabric, read_platform
from agent.collectors._nvml.library import DRIVER_WIDE, GPU_WIDE, NEVER, Code, Refusal
from agent.collectors._nvml.often import known, ratio
from agent.measure.gpu import GpuProcess, PowerScope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.collectors._nvml.gpm import Gpm
    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.often import Answer, Ask, Way

AMPERE = 7
GA100 = (8, 0)
NO_INSTANCE = 0xFFFFFFFF
"""NVML's number of no MIG instance."""
VOLATILE = 0
REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
"""What the function is called now, and in older drivers."""
CODECS = {
    "nvmlDeviceGetEncoderUtilization": "encoder_busy_ratio",
    "nvmlDeviceGetDecoderUtilization": "decoder_busy_ratio",
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing to ask, in the newest way that the driver knows."""

    name: str
    ways: tuple[Way, ...]
    denied: str = "run rackwatt as root, or do without"
    """What to do when the driver does not permit it."""
    without_mig: bool = False
    """The driver has no honest answer on a GPU that is divided by MIG."""


def settle(nvml: Library, handle: Any, feature: Feature) -> tuple[Ask | None, int]:
    """Find the way that works here; without one, the code that the newest known way was refused with."""
    codes = []
    for way in feature.ways:
        try:
            ask = way(nvml, handle)
        except Refusal as refusal:  # the driver has no such function
            codes.append(refusal.code)
            continue
        try:
            ask()
        except Refusal as refusal:
            if refusal.code not in NEVER:
                return _passing(refusal, ask)
            codes.append(refusal.code)
        else:
            return ask, 0
    return None, Code.NO_PERMISSION if Code.NO_PERMISSION in codes else codes[-1]


def _passing(refusal: Refusal, ask: Ask) -> tuple[Ask | None, int]:
    """Judge a refusal that says nothing lasting: about the GPU it is raised, about the function it passes."""
    if refusal.code in GPU_WIDE | DRIVER_WIDE:
        raise refusal
    return ask, 0


def _each_time(ask: Callable[[Library, Any], Iterable[Answer]]) -> Way:
    """Return a way that makes its arguments at each call: for what is asked seldom."""
    return lambda nvml, handle: lambda: ask(nvml, handle)


def _energy(nvml: Library, handle: Any) -> Iterable[Answer]:
    joules = nvml.call("nvmlDeviceGetTotalEnergyConsumption", handle) / fields.MILLI
    return (("energy_joules", None, joules),)


def _power(nvml: Library, handle: Any) -> Iterable[Answer]:
    watts = known(nvml.call("nvmlDeviceGetPowerUsage", handle))
    return (("average_watts", PowerScope.GPU, None if watts is None else watts / fields.MILLI),)


def _instant_power(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("instant_watts", PowerScope.GPU, watts) for _, _, watts in _power(nvml, handle))


def power_usage(nvml: Library, handle: Any) -> Feature:
    """Say what nvmlDeviceGetPowerUsage is here: a mean of one second from Ampere on, except on GA100."""
    try:
        architecture = nvml.call("nvmlDeviceGetArchitecture", handle)
        capability = tuple(nvml.call("nvmlDeviceGetCudaComputeCapability", handle))
    except Refusal:
        architecture, capability = AMPERE, ()
    mean = architecture >= AMPERE and capability != GA100
    return Feature("nvmlDeviceGetPowerUsage", (_each_time(_power if mean else _instant_power),))


def _codec(function: str, attribute: str) -> Way:
    def ask(nvml: Library, handle: Any) -> Iterable[Answer]:
        busy, _sampling_microseconds = nvml.call(function, handle)
        return ((attribute, None, ratio(busy)),)

    return _each_time(ask)


def _memory_v2(nvml: Library, handle: Any) -> Iterable[Answer]:
    memory = nvml.call("nvmlDeviceGetMemoryInfo", handle, nvml.pynvml.nvmlMemory_v2)
    return (
        ("memory_used_bytes", None, memory.used),
        ("memory_total_bytes", None, memory.total),
        ("memory_reserved_bytes", None, memory.reserved),
    )


def _memory_v1(nvml: Library, handle: Any) -> Iterable[Answer]:
    memory = nvml.call("nvmlDeviceGetMemoryInfo", handle)
    return (("memory_used_bytes", None, memory.used), ("memory_total_bytes", None, memory.total))


def _margin(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("thermal_margin_celsius", None, nvml.call("nvmlDeviceGetMarginTemperature", handle)),)


def _limit(nvml: Library, handle: Any) -> Iterable[Answer]:
    watts = nvml.call("nvmlDeviceGetEnforcedPowerLimit", handle) / fields.MILLI
    return (("power_limit_watts", PowerScope.GPU, watts),)


def _ecc(nvml: Library, handle: Any) -> Iterable[Answer]:
    function = "nvmlDeviceGetTotalEccErrors"
    return (
        ("ecc_errors", "corrected", nvml.call(function, handle, 0, VOLATILE)),
        ("ecc_errors", "uncorrected", nvml.call(function, handle, 1, VOLATILE)),
    )


def _remapped_rows(nvml: Library, handle: Any) -> Iterable[Answer]:
    counts = nvml.call("nvmlDeviceGetRemappedRows", handle)
    kinds = ("correctable", "uncorrectable", "pending", "failure")
    return (("remapped_rows", kind, count) for kind, count in zip(kinds, counts, strict=True))


def _platform(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("placement", *item) for item in read_platform(nvml, handle).items())


def _fabric(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("placement", *item) for item in read_fabric(nvml, handle).items())


def _mig(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("mig", None, nvml.call("nvmlDeviceGetMigMode", handle)[0] == 1),)


def _processes(function: str) -> Way:
    def ask(nvml: Library, handle: Any) -> Iterable[Answer]:
        found = nvml.call(function, handle)
        processes = tuple(GpuProcess(each.pid, each.usedGpuMemory, _instance(each)) for each in found)
        return (("processes", None, processes),)

    return _each_time(ask)


def _instance(process: Any) -> str:
    """Return the MIG instance in which a process runs; NVML tells it to those who may know."""
    numbers = (process.gpuInstanceId, process.computeInstanceId)
    return "" if NO_INSTANCE in numbers else "/".join(map(str, numbers))


def gpm(samples: Gpm) -> Feature:
    """Say what hardware counters tell between two samples of this GPU."""
    return Feature("nvmlGpmMetricsGet", (lambda _, handle: lambda: samples.ask(handle),), without_mig=True)


ENERGY = Feature("nvmlDeviceGetTotalEnergyConsumption", (_each_time(_energy),))
LIMIT = Feature("nvmlDeviceGetEnforcedPowerLimit", (_each_time(_limit),))

ONCE = (Feature("nvmlDeviceGetPlatformInfo", (_each_time(_platform),)),)

MEDIUM = (
    Feature("nvmlDeviceGetUtilizationRates", (often.utilization,), without_mig=True),
    Feature("nvmlDeviceGetTemperature", (often.temperature, often.temperature_old)),
    Feature("nvmlDeviceGetCurrentClocksEventReasons", tuple(map(often.clock_reasons, REASONS))),
    Feature("nvmlDeviceGetClockInfo(sm)", (often.clock("sm"),)),
)
"""What tells within a second why throughput drops."""

DETAIL = (
    Feature("nvmlDeviceGetMemoryInfo", (_each_time(_memory_v2), _each_time(_memory_v1))),
    Feature("nvmlDeviceGetMarginTemperature", (_each_time(_margin),)),
    *(
        Feature(f"nvmlDeviceGetClockInfo({name})", (often.clock(name),))
        for name in often.CLOCKS
        if name != "sm"
    ),
)
"""What moves slowly, or follows what is in MEDIUM."""

SLOW = (
    Feature("nvmlDeviceGetMigMode", (_each_time(_mig),)),
    Feature("nvmlDeviceGetTotalEccErrors", (_each_time(_ecc),)),
    Feature("nvmlDeviceGetRemappedRows", (_each_time(_remapped_rows),)),
    Feature("nvmlDeviceGetGpuFabricInfoV", (_each_time(_fabric),)),
    *(Feature(name, (_codec(name, attribute),)) for name, attribute in CODECS.items()),
)

PROCESSES = Feature(
    "nvmlDeviceGetComputeRunningProcesses",
    (
        _processes("nvmlDeviceGetComputeRunningProcesses_v3"),
        _processes("nvmlDeviceGetComputeRunningProcesses_v2"),
    ),
)
