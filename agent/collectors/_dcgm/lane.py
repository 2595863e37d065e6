"""The one thread that talks to a host engine: a call that hangs costs a collection, not the agent."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Lane:
    """Runs jobs one after another in a daemon thread; the interpreter does not wait for it at its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = False
        self._waiting = 0
        self.since_seconds = 0.0
        """When the last job was handed over, on the monotonic clock."""

    @property
    def busy(self) -> bool:
        """Whether a job is not done yet."""
        return self._waiting > 0

    async def run(self, job: Callable[[], Any], seconds: float) -> Any:
        """Run a job and return what it returns. Raises what it raises; TimeoutError when it takes longer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def work() -> None:
            answer: Any = None
            problem: Exception | None = None
            try:
                answer = job()
            except Exception as error:  # noqa: BLE001 - handed to whoever awaits the job, who raises it
                problem = error
            with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(self._settle, future, answer, problem)

        self._hand_over(work)
        await asyncio.wait({future}, timeout=seconds)
        if not future.done():
            raise TimeoutError
        return future.result()

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job for which nobody waits; it must not raise."""
        self._jobs.put(job)

    def _hand_over(self, work: Callable[[], None]) -> None:
        self._waiting += 1
        self.since_seconds = time.monotonic()
        self._jobs.put(work)
        if not self._started:
            self._started = True
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def end(self) -> None:
        """Let the thread go when it has done what it was given."""
        self._jobs.put(None)

    def _settle(self, future: asyncio.Future[Any], answer: Any, problem: Exception | None) -> None:
        self._waiting -= 1
        if future.done():
            return
        if problem is None:
            future.set_result(answer)
        else:
            future.set_exception(problem)
            future.exception()  # whoever awaited it may have given up: nobody need hear of it then

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
