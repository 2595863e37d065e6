"""Work that can hang, in a daemon thread beside the event loop, never in more than one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Aside(Generic[T]):
    """Runs one kind of work; whoever asks while it runs waits for the same.

    The event loop's executor will not do: a file system that hangs would fill it, totals would wait for it
    as well, and the interpreter for its threads at exit.
    """

    def __init__(self, name: str) -> None:
        self._name = f"rackwatt-{name}"
        self._working: asyncio.Future[T | Exception] | None = None

    @property
    def busy(self) -> bool:
        """Whether work has not returned yet."""
        return self._working is not None

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises."""
        if self._working is None:
            loop = asyncio.get_running_loop()
            self._working = loop.create_future()
            target, arguments = self._work, (work, loop)
            threading.Thread(target=target, args=arguments, name=self._name, daemon=True).start()
        done = await asyncio.shield(self._working)
        if isinstance(done, Exception):
            raise done
        return done

    def _work(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        """Work in the thread, and bring home what came of it."""
        done: T | Exception
        try:
            done = work()
        except Exception as error:  # noqa: BLE001 - goes to whoever asked
            done = error
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finish, done)

    def _finish(self, done: T | Exception) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.set_result(done)
