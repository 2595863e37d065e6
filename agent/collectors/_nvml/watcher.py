"""A thread that waits for NVML's Xid events."""

from __future__ import annotations

import ctypes
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.library import DRIVER_WIDE, Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.xids import Tally

XID_EVENT = 0x8
WAIT_MILLISECONDS = 1000
"""An event ends a wait at once. A wait cannot be ended by us: letting go of the driver, or opening it anew,
takes up to this long."""
PAUSE_SECONDS = 1.0
"""After a wait that failed or came back at once, so that a lost GPU does not make us spin."""

EARLY_SECONDS = 0.05


class Watcher:
    """Counts Xid events of the GPUs it is told of; one per session."""

    def __init__(self, nvml: Library, tally: Tally) -> None:
        self._nvml = nvml
        self._tally = tally
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._new: SimpleQueue[Sequence[tuple[Any, str]]] = SimpleQueue()
        self._uuids: dict[int | None, str] = {}
        self._started = False
        self.refused: int | None = None
        """Why no events come, as NVML's code."""

    def add(self, gpus: Sequence[tuple[Any, str]]) -> None:
        """Watch more GPUs, each a handle and a UUID, from the next wait on."""
        self._new.put(gpus)
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="rackwatt-nvml-events", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end; it needs at most one wait."""
        self._stopping.set()

    def join(self, seconds: float) -> bool:
        """Wait for the thread to have freed its event set; False when it has not."""
        return not self._started or self._ended.wait(seconds)

    def _run(self) -> None:
        try:
            events = self._nvml.call("nvmlEventSetCreate")
        except Refusal as refusal:
            self.refused = refusal.code
            self._ended.set()
            return
        try:
            self._watch(events)
            self._nvml.call("nvmlEventSetFree", events)
        except Refusal as refusal:
            self.refused = refusal.code
        finally:
            self._ended.set()

    def _watch(self, events: Any) -> None:
        wait = self._nvml.event_wait(events, WAIT_MILLISECONDS)
        while not self._stopping.is_set():
            self._register(events)
            if not self._uuids:
                self._stopping.wait(PAUSE_SECONDS)
                continue
            started = time.monotonic()
            code, data = wait()
            if code in DRIVER_WIDE:
                return
            if code:
                if code != Code.TIMEOUT or time.monotonic() - started < EARLY_SECONDS:
                    self._stopping.wait(PAUSE_SECONDS)
                continue
            uuid = self._uuids.get(_place(data.device))
            if uuid is not None and data.eventType & XID_EVENT:
                self._tally.event(uuid, data.eventData)

    def _register(self, events: Any) -> None:
        while True:
            try:
                gpus = self._new.get_nowait()
            except Empty:
                return
            for handle, uuid in gpus:
                try:
                    self._register_one(events, handle, uuid)
                except Refusal as refusal:
                    if refusal.code in DRIVER_WIDE:
                        raise
                    self.refused = refusal.code

    def _register_one(self, events: Any, handle: Any, uuid: str) -> None:
        types = self._nvml.call("nvmlDeviceGetSupportedEventTypes", handle) & XID_EVENT
        if types:
            self._nvml.call("nvmlDeviceRegisterEvents", handle, types, events)
            self._uuids[_place(handle)] = uuid


def _place(handle: Any) -> int | None:
    """Return the address that a handle is: pynvml makes a new object of it each time."""
    return ctypes.cast(handle, ctypes.c_void_p).value
