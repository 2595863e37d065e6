"""One nvmlInit: its GPUs and its event thread, until nvmlShutdown."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from agent.collectors._nvml.device import REPROBE_SECONDS, Device
from agent.collectors._nvml.library import DRIVER_WIDE, GPU_WIDE, Refusal
from agent.collectors._nvml.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.collectors._nvml.device import Rates
    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.xids import Tally
    from agent.measure.gpu import GpuIdentity

INIT_FLAG_NO_GPUS = 1
"""A machine without a GPU (yet) is no error."""

EVENT_THREAD_SECONDS = 1.5
"""One wait of the event thread and a little more."""


class Session:
    """The driver between one nvmlInit and its nvmlShutdown; opened and closed in a sampler thread."""

    def __init__(
        self, nvml: Library, rates: Rates, known: Mapping[int, GpuIdentity], tally: Tally | None
    ) -> None:
        self._nvml = nvml
        self._tally = tally
        nvml.call("nvmlInitWithFlags", INIT_FLAG_NO_GPUS)
        try:
            self.driver: str = nvml.call("nvmlSystemGetDriverVersion")
            count = nvml.call("nvmlDeviceGetCount")
        except Refusal:
            self._shut_down()
            raise
        shared = rates.shared_by(count)
        self.devices = tuple(
            Device(nvml, index, self.driver, shared, known.get(index)) for index in range(count)
        )
        self._watcher = Watcher(nvml, tally) if tally else None
        self._watched: set[str] = set()
        self._well_seconds = time.monotonic()

    def watch(self) -> None:
        """Have the events of every GPU that has been opened counted."""
        if self._watcher is None or len(self._watched) == len(self.devices):
            return
        new = [
            (device.handle, device.identity.uuid)
            for device in self.devices
            if device.well and device.identity and device.identity.uuid not in self._watched
        ]
        if new:
            self._watched.update(uuid for _, uuid in new)
            self._watcher.add(new)

    def hopeless(self, now_seconds: float) -> bool:
        """Whether nothing has answered for so long that starting over is all that is left to try."""
        if any(device.well or device.stuck for device in self.devices):
            self._well_seconds = now_seconds
        return now_seconds - self._well_seconds > REPROBE_SECONDS

    @property
    def events_note(self) -> str:
        """Why Xid events do not come, if they do not."""
        refused = self._watcher.refused if self._watcher else None
        if refused is None or refused in DRIVER_WIDE | GPU_WIDE:
            return ""
        return f"Xid events are refused (NVML error {refused}): Xids come from the kernel log only"

    def stop(self) -> None:
        """Let the event thread end, so that closing need not wait for it."""
        if self._watcher is not None:
            self._watcher.stop()

    def close(self) -> None:
        """Free the event set and shut NVML down."""
        self.stop()
        if self._watcher is not None:
            self._watcher.join(EVENT_THREAD_SECONDS)
        for device in self.devices:
            device.close()
        self._shut_down()

    def _shut_down(self) -> None:
        with contextlib.suppress(Refusal):  # a driver that is gone has nothing left to let go of
            self._nvml.call("nvmlShutdown")
