"""The server behind TruthEngine: one asyncio process that renders the page and takes orders."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from aiohttp import web
from fakes.engines.timeline import Era, Timeline, schedule_from_json
from fakes.engines.vllm_page import EngineNumbers, VllmPage
from fakes.processes import LOOPBACK

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
VERSION = "0.32.0"
KEPT_SCRAPES = 10_000
PROMPT_PER_OUTPUT = 2.0
BUSY_RUNNING = 16
PICOTOKENS_PER_TOKEN = 10**12


class State:
    """All that the server knows: production so far, and what it was ordered to do."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Begin to produce now."""
        now = time.monotonic_ns()
        self.settings = settings
        self.random = random.Random(settings.get("seed", 1))
        base = settings.get("base_tokens", 0) * PICOTOKENS_PER_TOKEN
        output = settings.get("output") or [[None, 1000.0, 1000.0]]
        prompt = settings.get("prompt") or _prompt_rows(output)
        count = settings.get("engines", 1)
        self.output = [_timeline(now, base, output) for _ in range(count)]
        self.prompt = [_timeline(now, base, prompt) for _ in range(count)]
        self.process_start = _own_start() - settings.get("started_ago_seconds", 0.0)
        self.created = time.time() - settings.get("started_ago_seconds", 0.0)
        self.multiprocess = bool(settings.get("multiprocess", False))
        self.vanished: tuple[int, ...] = ()
        self.delay_before_ms = self.delay_after_ms = (0.0, 0.0)
        self.drip = {"piece_bytes": 0, "pause_ms": 0.0}
        self.status = 200
        self.hang = False
        self.load: dict[str, Any] = {"running": None, "waiting": None, "kv_cache_usage": None}
        self.scrapes: deque[tuple[int, int, int, int]] = deque(maxlen=KEPT_SCRAPES)
        self._pages: dict[tuple[tuple[int, ...], bool], VllmPage] = {}

    @property
    def model(self) -> str:
        """The model name in the labels."""
        return str(self.settings.get("model", "tiny"))

    def cached(self, prompt: int) -> int:
        """The part of one engine's prompt tokens that came from its cache."""
        return prompt * int(self.settings.get("cached_per_mille", 250)) // 1000

    def numbers(self, engine: int, at_ns: int) -> EngineNumbers:
        """What one engine's series show at a moment."""
        prompt = self.prompt[engine].counter(at_ns)
        busy = BUSY_RUNNING if self.output[engine].rate(at_ns) > 0 else 0
        running = self.load["running"] if self.load["running"] is not None else busy
        usage = self.load["kv_cache_usage"]
        return EngineNumbers(
            output=self.output[engine].counter(at_ns),
            prompt=prompt,
            cached=self.cached(prompt),
            running=running,
            waiting=self.load["waiting"] or 0,
            kv_cache_usage=running / 256 if usage is None else usage,
        )

    def page(self, at_ns: int) -> tuple[bytes, int]:
        """The page of a moment, and the sum of its output counters."""
        shown = tuple(e for e in range(len(self.output)) if e not in self.vanished)
        key = (shown, self.multiprocess)
        if key not in self._pages:
            self._pages[key] = VllmPage(shown, self.model, multiprocess=self.multiprocess)
        numbers = {engine: self.numbers(engine, at_ns) for engine in shown}
        text = self._pages[key].render(numbers, self.process_start, self.created)
        return text.encode(), sum(number.output for number in numbers.values())

    def truth(self, at_ns: int, engine: int | None) -> dict[str, Any]:
        """Exact counts at a moment, whether the page shows them or not."""
        chosen = range(len(self.output)) if engine is None else (engine,)
        prompts = [self.prompt[e].tokens(at_ns) for e in chosen]
        return {
            "at_ns": at_ns,
            "output_tokens": sum(self.output[e].tokens(at_ns) for e in chosen),
            "prompt_tokens": sum(prompts),
            "cached_tokens": sum(map(self.cached, prompts)),
            "output_counter": sum(self.output[e].counter(at_ns) for e in chosen),
            "prompt_counter": sum(self.prompt[e].counter(at_ns) for e in chosen),
            "process_start_seconds": self.process_start,
        }

    def obey(self, orders: dict[str, Any]) -> int:
        """Carry out the orders of one request to /control; the moment they are in force from."""
        now = time.monotonic_ns()
        for name, value in orders.items():
            if name == "schedule":
                self._reschedule(now, value)
            elif name == "reset":
                self._reset(now, **value)
            elif name in {"delay_before_ms", "delay_after_ms", "vanished"}:
                setattr(self, name, tuple(value))
            elif name in {"drip", "status", "hang", "multiprocess", "load"}:
                setattr(self, name, value)
            else:
                message = f"unknown order: {name}"
                raise ValueError(message)
        return now

    def _reschedule(self, now: int, order: dict[str, Any]) -> None:
        output, prompt = order.get("output"), order.get("prompt")
        if prompt is None and output is not None:
            prompt = _prompt_rows(output)
        chosen = range(len(self.output)) if order.get("engine") is None else (order["engine"],)
        for engine in chosen:
            if output is not None:
                self.output[engine] = self.output[engine].then(now, schedule_from_json(output))
            if prompt is not None:
                self.prompt[engine] = self.prompt[engine].then(now, schedule_from_json(prompt))

    def _reset(self, now: int, *, new_start_time: bool, new_created: bool) -> None:
        self.output = [timeline.reset(now) for timeline in self.output]
        self.prompt = [timeline.reset(now) for timeline in self.prompt]
        if new_start_time:
            self.process_start = round(time.time(), 2)
        if new_created:
            self.created = time.time()


def application(state: State) -> web.Application:
    """The routes: vLLM's own that an agent may ask for, and ours to steer and to know."""
    app = web.Application()

    async def metrics(request: web.Request) -> web.StreamResponse:
        arrived = time.monotonic_ns()
        if state.hang:
            await asyncio.Event().wait()
        if state.status != 200:
            return web.Response(status=state.status, text="ordered\n")
        await _sleep(state, state.delay_before_ms)
        read = time.monotonic_ns()
        body, total = state.page(read)
        await _sleep(state, state.delay_after_ms)
        state.scrapes.append((arrived, read, time.monotonic_ns(), total))
        if state.drip["piece_bytes"]:
            return await _drip(request, body, state.drip)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def truth(request: web.Request) -> web.Response:
        at_ns = int(request.query.get("at") or time.monotonic_ns())
        engine = request.query.get("engine")
        return web.json_response(state.truth(at_ns, None if engine is None else int(engine)))

    async def timelines(_: web.Request) -> web.Response:
        both = {"output": state.output, "prompt": state.prompt}
        return web.json_response({k: [t.to_json() for t in v] for k, v in both.items()})

    async def scrapes(request: web.Request) -> web.Response:
        return web.json_response(list(state.scrapes)[-int(request.query.get("last", 1000)) :])

    async def control(request: web.Request) -> web.Response:
        return web.json_response({"at_ns": state.obey(await request.json())})

    async def models(_: web.Request) -> web.Response:
        model = {"id": state.model, "object": "model", "owned_by": "vllm", "root": state.model}
        return web.json_response({"object": "list", "data": [model]})

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/health", health)
    app.router.add_get("/version", version)
    app.router.add_get("/truth", truth)
    app.router.add_get("/timelines", timelines)
    app.router.add_get("/scrapes", scrapes)
    app.router.add_post("/control", control)
    return app


def serve(port: int, settings: dict[str, Any], *, with_parent: bool) -> None:
    """Serve until SIGTERM, or until stdin closes when asked to live no longer than the parent."""
    asyncio.run(_serve(port, settings, with_parent=with_parent))


async def _serve(port: int, settings: dict[str, Any], *, with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), ended.set)
    runner = web.AppRunner(application(State(settings)), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    await ended.wait()
    await runner.cleanup()


async def _sleep(state: State, range_ms: tuple[float, float]) -> None:
    low, high = range_ms
    if high > 0:
        await asyncio.sleep(state.random.uniform(low, high) / 1000)


async def _drip(request: web.Request, body: bytes, drip: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    response.content_length = len(body)
    await response.prepare(request)
    size = int(drip["piece_bytes"])
    for start in range(0, len(body), size):
        await response.write(body[start : start + size])
        await asyncio.sleep(drip["pause_ms"] / 1000)
    await response.write_eof()
    return response


def _timeline(now: int, base: int, rows: list[list[Any]]) -> Timeline:
    return Timeline((Era(now, base, schedule_from_json(rows)),))


def _prompt_rows(rows: list[list[Any]]) -> list[list[Any]]:
    return [[seconds, a * PROMPT_PER_OUTPUT, b * PROMPT_PER_OUTPUT] for seconds, a, b in rows]


def _own_start() -> float:
    """This process's start as prometheus_client reckons it: boot time plus ticks, to 10 ms."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = next(line.split()[1] for line in Path("/proc/stat").read_text().splitlines() if "btime" in line)
    return float(boot) + ticks / 100
