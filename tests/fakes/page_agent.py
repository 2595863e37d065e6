"""Serves a scripted sequence of rack snapshots through the real web application, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from aiohttp import web
from fakes.processes import LOOPBACK, free_port

from agent.measure.history import History
from agent.measure.reading import Moment, Outcome, Reason
from agent.measure.snapshot import Activity, NodeIdentity, Snapshot
from agent.web.access import OPEN, Access
from agent.web.guard import Guard
from agent.web.routes import application

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.ports import Renderer
    from agent.measure.rack_snapshot import RackSnapshot

WAIT_SECONDS = 20.0
FAILING = Outcome(
    "engines 127.0.0.1:8000", False, Reason.TIMED_OUT, "no page within 1 s", 1.0, 1_800_000_000.0, {}
)
NODE = Snapshot(
    sequence=1,
    at=Moment(1.0, 1_800_000_001.0),
    node=NodeIdentity("tray-01", "r12"),
    activity=Activity.IDLE,
    gpus=(),
    engines=(),
    boundaries=(),
    tokens_per_second={},
    tokens_per_joule={},
    validity=(),
    outcomes=(FAILING,),
    costs={},
)


class ScriptedAgent:
    """What the routes need to know of a daemon; `publish` is its next snapshot."""

    snapshot: Snapshot | None = NODE
    ready = True
    renderers: Sequence[Renderer] = ()

    def __init__(self) -> None:
        self.rack: RackSnapshot | None = None
        self.history = History()
        self._news = asyncio.Event()

    async def recording(self, _incident: str) -> bytes | None:
        """Nothing is recorded."""
        return None

    def publish(self, rack: RackSnapshot) -> None:
        """Make this the last snapshot; call it in the loop."""
        self.rack = rack
        self.history.take(rack)
        self._news.set()
        self._news = asyncio.Event()

    async def next_rack(self, after_sequence: int) -> RackSnapshot:
        """Wait for a newer one."""
        while self.rack is None or self.rack.sequence <= after_sequence:
            await self._news.wait()
        return self.rack


class ScriptedServer:
    """A daemon's web side on a loopback port, told from another thread what to say; a context manager."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.agent = ScriptedAgent()
        self._sequence = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    def listen(self) -> None:
        """Answer on the port."""
        self._run(self._listen())

    def hang_up(self) -> None:
        """Stop answering; every stream ends."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self._run(runner.cleanup())

    def publish(self, rack: RackSnapshot) -> RackSnapshot:
        """Say this from now on; its sequence is made the next one."""
        self._sequence += 1
        fresh = replace(rack, sequence=self._sequence)
        self._loop.call_soon_threadsafe(self.agent.publish, fresh)
        return fresh

    def _run(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_SECONDS)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        self._runner = web.AppRunner(application(self.agent, Guard(Access(OPEN))), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.port, reuse_address=True).start()
