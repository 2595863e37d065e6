"""NVML through the unmodified pynvml: every call timed, every refusal a number we can name."""

from __future__ import annotations

import ctypes
import importlib
import threading
import time
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from agent.measure.reading import Cost, Reason, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Code(IntEnum):
    """The return codes of NVML that we react to."""

    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    OPERATING_SYSTEM = 17
    LIB_RM_VERSION_MISMATCH = 18
    ARGUMENT_VERSION_MISMATCH = 25
    DEPRECATED = 26
    GPU_NOT_FOUND = 28
    UNKNOWN = 999


NEVER = frozenset(
    {
        Code.NOT_SUPPORTED,
        Code.NO_PERMISSION,
        Code.FUNCTION_NOT_FOUND,
        Code.DEPRECATED,
        Code.INVALID_ARGUMENT,
        Code.ARGUMENT_VERSION_MISMATCH,
    }
)
"""Answers to a probe that will not change while this driver runs: never asked again until re-init."""

DRIVER_WIDE = frozenset({Code.UNINITIALIZED, Code.DRIVER_NOT_LOADED, Code.LIB_RM_VERSION_MISMATCH})
"""Refusals that are not about one GPU: the whole session is over."""

GPU_WIDE = frozenset({Code.GPU_IS_LOST, Code.RESET_REQUIRED})
"""Refusals that are not about one function: the GPU is over."""

EXPORTED = {
    "nvmlDeviceGetCount": "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex": "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetPciInfo": "nvmlDeviceGetPciInfo_v3",
}
"""Where the symbol that the driver exports is not called as pynvml calls it."""

FIELD_VALUES = "nvmlDeviceGetFieldValues"
EVENT_WAIT = "nvmlEventSetWait_v2"


_NAMES = {int(code): code.name.lower() for code in Code}


class Refusal(Exception):  # noqa: N818 - NVML did not err, it answered with a code
    """NVML answered with a code other than success."""

    def __init__(self, code: int, function: str) -> None:
        name = _NAMES.get(code, "unnamed")
        super().__init__(f"{function} answered NVML error {code} ({name})")
        self.code = code
        self.function = function


class Library:
    """One process's use of NVML; outlives every nvmlInit and nvmlShutdown."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._costs: dict[str, list[float]] = {}
        self._told: dict[str, Cost] = {}
        """The same as last told: most functions were not called since."""
        self._pynvml: Any = None

    @property
    def pynvml(self) -> Any:
        """The binding, imported when first needed."""
        if self._pynvml is None:
            self._pynvml = importlib.import_module("pynvml")
        return self._pynvml

    def call(self, function: str, *arguments: Any) -> Any:
        """Call one function of pynvml. Raises Refusal with NVML's code."""
        pynvml = self.pynvml
        ask = getattr(pynvml, function)
        started = time.perf_counter()
        try:
            return ask(*arguments)
        except pynvml.NVMLError as error:
            raise Refusal(error.value, function) from None
        finally:
            seconds = time.perf_counter() - started
            cost = self._cost(EXPORTED.get(function, function))
            with self._lock:
                cost[0] += 1
                cost[1] += seconds

    def event_wait(self, events: Any, milliseconds: int) -> Callable[[], tuple[int, Any]]:
        """Return a call that blocks until an event or the time is over: NVML's code, and one event's data.

        The bare C function, since pynvml's raises and makes anew at each call; its time is not a cost.
        """
        pointer = self._pointer(EVENT_WAIT)
        data = self.pynvml.c_nvmlEventData_t()
        arguments = (events, ctypes.byref(data), ctypes.c_uint(milliseconds))

        def wait() -> tuple[int, Any]:
            return pointer(*arguments), data

        return wait

    def bare(self, function: str, *arguments: Any) -> Callable[[], None]:
        """Return a call of one C function with these arguments, which it may write to.

        What is asked each second is asked so: pynvml makes arguments anew at every call, which takes several
        times as long (15 times with field values). The call raises Refusal with NVML's code.
        """
        pointer = self._pointer(function)
        cost, lock, clock = self._cost(function), self._lock, time.perf_counter

        def call() -> None:
            started = clock()
            code = pointer(*arguments)
            seconds = clock() - started
            with lock:
                cost[0] += 1
                cost[1] += seconds
            if code:
                raise Refusal(code, function)

        return call

    def _pointer(self, function: str) -> Any:
        try:
            return self.pynvml.nvmlLib[function]
        except AttributeError:
            raise Refusal(Code.FUNCTION_NOT_FOUND, function) from None

    def _cost(self, function: str) -> list[float]:
        """Return the calls and seconds of a function, to be changed with the lock held.

        A thread that was left behind may come back at any time, and count with the one that took over.
        """
        with self._lock:
            return self._costs.setdefault(function, [0, 0.0])

    def costs(self) -> Mapping[str, Cost]:
        """Return calls and seconds per exported function since this process started."""
        with self._lock:
            for name, (calls, seconds) in self._costs.items():
                known = self._told.get(name)
                if calls and (known is None or known.calls != calls):
                    self._told[name] = Cost(int(calls), seconds)
            return dict(self._told)


def failure(refusal: Refusal) -> SourceError:
    """Say a refusal that ends the session in our words, with what to do."""
    match refusal.code:
        case Code.LIBRARY_NOT_FOUND:
            return SourceError(
                Reason.UNSUPPORTED,
                "libnvidia-ml.so.1 not found: install the NVIDIA driver's libraries; in a container set "
                "NVIDIA_DRIVER_CAPABILITIES=utility; without NVIDIA GPUs remove `nvml` from `collectors`",
            )
        case Code.FUNCTION_NOT_FOUND:
            return SourceError(Reason.UNSUPPORTED, f"driver too old: {refusal}")
        case Code.DRIVER_NOT_LOADED:
            return SourceError(
                Reason.UNREACHABLE, "NVIDIA driver not loaded: load it (modprobe nvidia); retrying by itself"
            )
        case Code.LIB_RM_VERSION_MISMATCH:
            return SourceError(
                Reason.LIBRARY_MISMATCH,
                "the NVML library and the driver that is loaded differ in version: reload the driver or "
                "reboot (in a container, start it anew); if the driver was upgraded while rackwatt ran, "
                "restart rackwatt",
            )
        case Code.NO_PERMISSION:
            return SourceError(
                Reason.DENIED, "no permission to use the driver: allow this user to open /dev/nvidia*"
            )
    return SourceError(Reason.UNREACHABLE, f"driver does not work: {refusal}; retrying by itself")
