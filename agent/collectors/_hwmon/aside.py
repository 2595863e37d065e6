"""Reads beside the event loop; a read that hangs in the firmware costs a thread, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from agent.measure.reading import Reason, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.measure.meter import MeterReading
    from agent.measure.reading import Moment

    Meters = tuple[MeterReading, ...]
    Read = Callable[[Moment], Meters]


class Aside:
    """A read that is never begun a second time before it has come back."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._busy = False

    async def run(self, now: Moment) -> Meters:
        """Read once. Raises SourceError while an earlier read has not come back."""
        if self._busy:
            raise SourceError(Reason.OVERLAPPED, "the firmware has not returned from an earlier reading")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Meters] = loop.create_future()
        # A daemon: the interpreter would wait for any other at its end, for ever.
        self._busy = True
        threading.Thread(target=self._work, args=(now, loop, future), daemon=True).start()
        return await future

    def _work(self, now: Moment, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Meters]) -> None:
        meters: Meters = ()
        error: Exception | None = None
        try:
            meters = self._read(now)
        except Exception as failure:  # noqa: BLE001 - handed to the collection, which raises it
            error = failure
        self._busy = False
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_settle, future, meters, error)


def _settle(future: asyncio.Future[Meters], meters: Meters, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(meters)
