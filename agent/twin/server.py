"""One process that answers for the whole rack: a port for each engine, and one for GPUs and truth."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from agent.twin import vllm_page
from agent.twin.ports import ReservedPort
from agent.twin.rack import TooFarError
from agent.twin.world import SCHEMA, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.twin.scenario import Scenario

TICK_SECONDS = 0.1
"""Ports open and close this soon after their engine did."""
GAP_POLL_SECONDS = 0.1
JSON = "application/json"


@dataclass(slots=True)
class EnginePort:
    """Where one engine answers, while it lives."""

    tray: int
    place: int
    port: ReservedPort
    server: asyncio.Server | None = None


class TwinServer:
    """Serves a world until told to stop."""

    def __init__(self, scenario: Scenario, host: str, port: int) -> None:
        """Begin the world. Raises OSError when the port is taken."""
        self.control = ReservedPort(host, port)
        shape = scenario.rack
        self._engines = [
            EnginePort(tray, place, ReservedPort(host))
            for tray in range(shape.trays)
            for place in range(shape.engines_per_tray)
        ]
        self._by_port = {engine.port.port: engine for engine in self._engines}
        self.world = World(scenario)
        self._stop = asyncio.Event()

    @property
    def url(self) -> str:
        """Where GPUs and truth are told."""
        return self._url(self.control)

    def _url(self, port: ReservedPort) -> str:
        host = f"[{port.host}]" if ":" in port.host else port.host
        return f"http://{host}:{port.port}"

    async def run(self, ready: Callable[[str], None]) -> None:
        """Serve until SIGTERM, SIGINT or `stop`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        serving = web.Server(self._answer, access_log=None, handler_cancellation=True)
        control = await loop.create_server(serving, sock=self.control.listening())
        await self._open_and_close(serving)
        ready(self.url)
        ticking = asyncio.create_task(self._tick(serving))
        waiting = asyncio.create_task(self._stop.wait())
        await asyncio.wait({ticking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for server in (control, *(engine.server for engine in self._engines if engine.server)):
            server.close()
        await serving.shutdown(0.2)
        for task in (ticking, waiting):
            task.cancel()
        if ticking.done() and not ticking.cancelled():
            ticking.result()

    def stop(self) -> None:
        """Stop soon."""
        self._stop.set()

    async def _tick(self, serving: web.Server) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self._open_and_close(serving)

    async def _open_and_close(self, serving: web.Server) -> None:
        """Let the rack live on, and listen for exactly the engines that live."""
        for engine in self._engines:
            tray, _, _ = self.world.tray(engine.tray)
            lives = not tray.engines[engine.place].down
            if lives and engine.server is None:
                listener = engine.port.listening()
                engine.server = await asyncio.get_running_loop().create_server(serving, sock=listener)
            elif not lives and engine.server is not None:
                engine.server.close()
                engine.server = None
                _hang_up(serving, engine.port.port)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, text="only GET\n")
        engine = self._by_port.get(transport.get_extra_info("sockname")[1])
        if engine is not None:
            return await self._engine(request, engine)
        return await self._told(request)

    async def _engine(self, request: web.BaseRequest, engine: EnginePort) -> web.Response:
        """Answer as vLLM does, or not at all."""
        await self._pass_gap(request, engine.tray)
        tray, _, _ = self.world.tray(engine.tray)
        if tray.engines[engine.place].down:
            raise _abort(request)
        if request.path == "/metrics":
            body = self.world.engine_page(engine.tray, engine.place)
            return web.Response(body=body, headers={"Content-Type": vllm_page.CONTENT_TYPE})
        if request.path == "/v1/models":
            model = self.world.scenario.rack.model(engine.tray)
            card = {"id": model, "object": "model", "owned_by": "vllm", "root": model}
            return _json({"object": "list", "data": [card]})
        if request.path == "/version":
            return _json({"version": vllm_page.VERSION})
        return web.Response(status=200 if request.path == "/health" else 404)

    async def _told(self, request: web.BaseRequest) -> web.Response:
        """Answer for the rack: what there is, the GPUs of a tray, the truth."""
        head, _, tail = request.path.lstrip("/").partition("/")
        if head == "gpus" and tail.isascii() and tail.isdigit() and int(tail) < len(self.world.rack):
            return await self._gpus(request, int(tail))
        if request.path == "/rack" and self.world.scenario.rack.meters:
            return web.Response(body=self.world.shelves(), content_type=JSON)
        if request.path == "/truth":
            try:
                return web.Response(body=self.world.truth(request.query.get("at")), content_type=JSON)
            except TooFarError as error:
                return web.Response(status=400, text=f"{error}\n")
        if request.path == "/":
            return _json(self.index())
        return web.Response(status=404, text="there are: / /truth /gpus/TRAY /rack\n")

    async def _gpus(self, request: web.BaseRequest, number: int) -> web.Response:
        await self._pass_gap(request, number)
        tray, _, _ = self.world.tray(number)
        if tray.effects.off:
            raise _abort(request)
        return web.Response(body=self.world.gpus(number), content_type=JSON)

    async def _pass_gap(self, request: web.BaseRequest, number: int) -> None:
        """Hang for as long as the pages of a tray do; whoever hangs up meanwhile is gone."""
        while self.world.tray(number)[0].effects.gap:
            if request.transport is None:
                raise ConnectionResetError
            await asyncio.sleep(GAP_POLL_SECONDS)

    def index(self) -> dict[str, Any]:
        """Return what there is and where it answers."""
        scenario = self.world.scenario
        trays: list[dict[str, Any]] = [
            {"tray": number, "gpus": f"{self.url}/gpus/{number}", "model": scenario.rack.model(number)}
            | {"engines": []}
            for number in range(scenario.rack.trays)
        ]
        for engine in self._engines:
            trays[engine.tray]["engines"].append(f"{self._url(engine.port)}/metrics")
        return {
            "schema": SCHEMA,
            "scenario": scenario.name,
            "about": scenario.about,
            "seed": scenario.seed,
            "rack": scenario.rack.name,
            "record": scenario.record,
            "began_monotonic_ns": self.world.epoch_ns,
            "truth": f"{self.url}/truth",
            "trays": trays,
        }


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type=JSON)


def _abort(request: web.BaseRequest) -> Exception:
    """Reset the connection, as the kernel does for a process that died."""
    if request.transport is not None:
        request.transport.abort()
    return ConnectionResetError("nobody is there")


def _hang_up(serving: web.Server, port: int) -> None:
    """Reset the idle connections of an engine that died."""
    for connection in list(serving.connections):
        transport = connection.transport
        if transport is not None and transport.get_extra_info("sockname")[1] == port:
            transport.abort()
