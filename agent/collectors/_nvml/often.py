"""What is asked of a GPU each second by functions of its own: their arguments are made once.

pynvml makes them anew at each call, of classes whose fields are slow, which takes longer than asking.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from agent.measure.gpu_clocks import reasons_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.collectors._nvml.library import Library

    Answer = tuple[str, Any, Any]
    """Attribute of GpuReading, key inside it or None, value or None."""
    Ask = Callable[[], Iterable[Answer]]
    Way = Callable[[Library, Any], Ask]
    """Makes ready to ask one GPU, by its handle."""

BLANK = 0xFFFFFFFF
"""What NVML calls "no value"; put there before each call, for a driver that answers without writing."""
MEGA = 1e6
PERCENT = 100
GPU_SENSOR = 0
TEMPERATURE_V1 = 0x100000C
"""Its version, which holds its size."""
CLOCKS = {"graphics": 0, "sm": 1, "memory": 2, "video": 3}


def known(value: int) -> int | None:
    """Return a 32-bit value, or None when it is NVML's "no value"."""
    return None if value in {BLANK, -1} else value


def ratio(percent: int) -> float | None:
    """Return a share of percents; None when there is no value."""
    return None if known(percent) is None else percent / PERCENT


def utilization(nvml: Library, handle: Any) -> Ask:
    """Share of the last second in which it worked, and in which its memory did."""
    rates = (ctypes.c_uint * 2)()  # nvmlUtilization_t
    call = nvml.bare("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(rates))

    def ask() -> Iterable[Answer]:
        rates[:] = [BLANK, BLANK]
        call()
        gpu, memory = rates
        return ("utilization_ratio", None, ratio(gpu)), ("memory_busy_ratio", None, ratio(memory))

    return ask


def temperature(nvml: Library, handle: Any) -> Ask:
    """Degrees of the GPU itself."""
    asked = (ctypes.c_int * 3)(TEMPERATURE_V1, GPU_SENSOR)  # nvmlTemperature_v1_t: version, sensor, degrees
    call = nvml.bare("nvmlDeviceGetTemperatureV", handle, ctypes.byref(asked))

    def ask() -> Iterable[Answer]:
        asked[2] = -1
        call()
        return (("temperature_celsius", "gpu", known(asked[2])),)

    return ask


def temperature_old(nvml: Library, handle: Any) -> Ask:
    """Ask the same of drivers that do not know the newer name."""
    number = _number(nvml, "nvmlDeviceGetTemperature", handle, ctypes.c_uint(GPU_SENSOR))
    return lambda: (("temperature_celsius", "gpu", known(number())),)


def clock_reasons(function: str) -> Way:
    """Why its clocks are what they are, by either name of the function."""

    def way(nvml: Library, handle: Any) -> Ask:
        mask = ctypes.c_ulonglong()
        call = nvml.bare(function, handle, ctypes.byref(mask))

        def ask() -> Iterable[Answer]:
            call()
            bits = mask.value
            return (("throttle_active", None, reasons_of(bits)), ("clock_event_mask", None, bits))

        return ask

    return way


def clock(name: str) -> Way:
    """Hertz of one of its clocks."""

    def way(nvml: Library, handle: Any) -> Ask:
        number = _number(nvml, "nvmlDeviceGetClockInfo", handle, ctypes.c_uint(CLOCKS[name]))

        def ask() -> Iterable[Answer]:
            megahertz = number()
            return (("clock_hertz", name, None if known(megahertz) is None else megahertz * MEGA),)

        return ask

    return way


def _number(nvml: Library, function: str, *arguments: Any) -> Callable[[], int]:
    """Return a call that asks for one 32-bit number."""
    answer = ctypes.c_uint()
    call = nvml.bare(function, *arguments, ctypes.byref(answer))

    def ask() -> int:
        answer.value = BLANK
        call()
        return answer.value

    return ask
