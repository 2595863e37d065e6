"""What is asked of a GPU by functions of its own, beside the field values, and their older names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml import fields
from agent.collectors._nvml.identity import read_fabric, read_platform
from agent.collectors._nvml.library import DRIVER_WIDE, GPU_WIDE, NEVER, Code, Refusal
from agent.measure.gpu import GpuProcess, PowerScope
from agent.measure.gpu_clocks import reasons_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.collectors._nvml.gpm import Gpm
    from agent.collectors._nvml.library import Library

    Answer = tuple[str, Any, Any]
    """Attribute of GpuReading, key inside it or None, value or None."""
    Ask = Callable[[Library, Any], Iterable[Answer]]

BLANK = 0xFFFFFFFF
MEGA = 1e6
PERCENT = 100
AMPERE = 7
GA100 = (8, 0)
NO_INSTANCE = 0xFFFFFFFF
"""NVML's number of no MIG instance."""
VOLATILE = 0
CODECS = {
    "nvmlDeviceGetEncoderUtilization": "encoder_busy_ratio",
    "nvmlDeviceGetDecoderUtilization": "decoder_busy_ratio",
}
CLOCKS = {"graphics": 0, "sm": 1, "memory": 2, "video": 3}


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing to ask, in the newest way that the driver knows."""

    name: str
    ways: tuple[Ask, ...]
    denied: str = "run rackwatt as root, or do without"
    """What to do when the driver does not permit it."""
    without_mig: bool = False
    """The driver has no honest answer on a GPU that is divided by MIG."""


def settle(nvml: Library, handle: Any, feature: Feature) -> tuple[Ask | None, int]:
    """Find the way that works here; without one, the code that the newest known way was refused with."""
    codes = []
    for way in feature.ways:
        try:
            way(nvml, handle)
        except Refusal as refusal:
            if refusal.code not in NEVER:
                return _passing(refusal, way)
            codes.append(refusal.code)
        else:
            return way, 0
    return None, Code.NO_PERMISSION if Code.NO_PERMISSION in codes else codes[-1]


def _passing(refusal: Refusal, way: Ask) -> tuple[Ask | None, int]:
    """Judge a refusal that says nothing lasting: about the GPU it is raised, about the function it passes."""
    if refusal.code in GPU_WIDE | DRIVER_WIDE:
        raise refusal
    return way, 0


def known(value: int) -> int | None:
    """Return a 32-bit value, or None when it is NVML's "no value"."""
    return None if value in {BLANK, -1} else value


def _scaled(value: int, factor: float) -> float | None:
    return None if known(value) is None else value * factor


def _ratio(percent: int) -> float | None:
    return None if known(percent) is None else percent / PERCENT


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
    return Feature("nvmlDeviceGetPowerUsage", (_power if mean else _instant_power,))


def _utilization(nvml: Library, handle: Any) -> Iterable[Answer]:
    rates = nvml.call("nvmlDeviceGetUtilizationRates", handle)
    return (
        ("utilization_ratio", None, _ratio(rates.gpu)),
        ("memory_busy_ratio", None, _ratio(rates.memory)),
    )


def _codec(function: str, attribute: str) -> Ask:
    def ask(nvml: Library, handle: Any) -> Iterable[Answer]:
        busy, _sampling_microseconds = nvml.call(function, handle)
        return ((attribute, None, _ratio(busy)),)

    return ask


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


def _temperature(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("temperature_celsius", "gpu", known(nvml.call("nvmlDeviceGetTemperatureV", handle, 0))),)


def _temperature_old(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("temperature_celsius", "gpu", known(nvml.call("nvmlDeviceGetTemperature", handle, 0))),)


def _margin(nvml: Library, handle: Any) -> Iterable[Answer]:
    return (("thermal_margin_celsius", None, nvml.call("nvmlDeviceGetMarginTemperature", handle)),)


def _reasons(nvml: Library, handle: Any) -> Iterable[Answer]:
    mask = nvml.call("nvmlDeviceGetCurrentClocksEventReasons", handle)
    return (("throttle_active", None, reasons_of(mask)), ("clock_event_mask", None, mask))


def _reasons_old(nvml: Library, handle: Any) -> Iterable[Answer]:
    mask = nvml.call("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    return (("throttle_active", None, reasons_of(mask)), ("clock_event_mask", None, mask))


def _clock(name: str) -> Ask:
    def ask(nvml: Library, handle: Any) -> Iterable[Answer]:
        megahertz = nvml.call("nvmlDeviceGetClockInfo", handle, CLOCKS[name])
        return (("clock_hertz", name, _scaled(megahertz, MEGA)),)

    return ask


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


def _processes(function: str) -> Ask:
    def ask(nvml: Library, handle: Any) -> Iterable[Answer]:
        found = nvml.call(function, handle)
        processes = tuple(GpuProcess(each.pid, each.usedGpuMemory, _instance(each)) for each in found)
        return (("processes", None, processes),)

    return ask


def _instance(process: Any) -> str:
    """Return the MIG instance in which a process runs; NVML tells it to those who may know."""
    numbers = (process.gpuInstanceId, process.computeInstanceId)
    return "" if NO_INSTANCE in numbers else "/".join(map(str, numbers))


def gpm(samples: Gpm) -> Feature:
    """Say what hardware counters tell between two samples of this GPU."""
    return Feature("nvmlGpmMetricsGet", (lambda _, handle: samples.ask(handle),), without_mig=True)


ENERGY = Feature("nvmlDeviceGetTotalEnergyConsumption", (_energy,))
LIMIT = Feature("nvmlDeviceGetEnforcedPowerLimit", (_limit,))

ONCE = (Feature("nvmlDeviceGetPlatformInfo", (_platform,)),)

MEDIUM = (
    Feature("nvmlDeviceGetUtilizationRates", (_utilization,), without_mig=True),
    Feature("nvmlDeviceGetTemperature", (_temperature, _temperature_old)),
    Feature("nvmlDeviceGetCurrentClocksEventReasons", (_reasons, _reasons_old)),
    Feature("nvmlDeviceGetClockInfo(sm)", (_clock("sm"),)),
)
"""What tells within a second why throughput drops."""

DETAIL = (
    Feature("nvmlDeviceGetMemoryInfo", (_memory_v2, _memory_v1)),
    Feature("nvmlDeviceGetMarginTemperature", (_margin,)),
    *(Feature(f"nvmlDeviceGetClockInfo({name})", (_clock(name),)) for name in CLOCKS if name != "sm"),
)
"""What moves slowly, or follows what is in MEDIUM."""

SLOW = (
    Feature("nvmlDeviceGetMigMode", (_mig,)),
    Feature("nvmlDeviceGetTotalEccErrors", (_ecc,)),
    Feature("nvmlDeviceGetRemappedRows", (_remapped_rows,)),
    Feature("nvmlDeviceGetGpuFabricInfoV", (_fabric,)),
    *(Feature(name, (_codec(name, attribute),)) for name, attribute in CODECS.items()),
)

PROCESSES = Feature(
    "nvmlDeviceGetComputeRunningProcesses",
    (
        _processes("nvmlDeviceGetComputeRunningProcesses_v3"),
        _processes("nvmlDeviceGetComputeRunningProcesses_v2"),
    ),
)
