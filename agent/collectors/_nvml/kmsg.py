"""The kernel log from now on, without ever waiting for it."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 8192
"""/dev/kmsg gives one record a read, and refuses a buffer that is smaller than the record."""

MAX_READS = 1000
"""Of one drain, so that a flood in the kernel log cannot hold up the collection; the rest waits."""

MAX_PARTIAL_BYTES = 65536

MISSED = (
    "an Xid that NVML does not tell (79, fell off the bus) may be missed; "
    "run as root or with CAP_SYSLOG, or turn it off with an empty `kmsg`"
)


class KernelLog:
    """The lines that were written after it was opened."""

    def __init__(self, path: str, take: Callable[[str], None]) -> None:
        self._take = take
        self._partial = b""
        self._descriptor: int | None = None
        self.note = ""
        """Why it cannot be read and what to do."""
        if path:
            self._open(path)

    @property
    def is_open(self) -> bool:
        """Whether its lines are seen."""
        return self._descriptor is not None

    def _open(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            self.note = f"{path} cannot be read ({why}): {MISSED}"
            return
        with contextlib.suppress(OSError):  # a pipe starts now by itself
            os.lseek(self._descriptor, 0, os.SEEK_END)

    def drain(self) -> None:
        """Take what has been written since the last time."""
        for _ in range(MAX_READS if self._descriptor is not None else 0):
            try:
                data = os.read(self._descriptor, READ_BYTES)  # type: ignore[arg-type]  # the range is empty
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.EPIPE:  # the ring has overrun us; what is left follows
                    continue
                return
            if not data:
                return
            self._split(data)

    def _split(self, data: bytes) -> None:
        *lines, rest = (self._partial + data).split(b"\n")
        self._partial = rest[-MAX_PARTIAL_BYTES:]
        for line in lines:
            if b"NVRM" in line:
                self._take(line.decode("utf-8", "replace"))

    def close(self) -> None:
        """Let go of the log."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
