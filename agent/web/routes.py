"""HTTP routes: pages of the exporters, the JSON interface, health. All from the last snapshot only."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from agent.measure.accept import accepts
from agent.web.api import JsonAgent, add_routes, not_yet
from agent.web.page import add_page
from agent.web.stream import Streams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent.measure.history import History
    from agent.measure.ports import Renderer
    from agent.web.guard import Guard

MOST_BODY_BYTES = 4096
"""No request needs more: the longest names what is drained, and why."""
GZIP_FROM_BYTES = 1024
GZIP_LEVEL = 1
"""A fifth of the cost of level 9 for a quarter more bytes."""

PATHS = ("/api/v1/rack", "/api/v1/node", "/api/v1/incidents", "/api/v1/history", "/-/healthy", "/-/ready")
"""Pages that every daemon has, for the list at the foot of the live page."""


class Agent(JsonAgent, Protocol):
    """What the routes need to know of the daemon."""

    @property
    def history(self) -> History:
        """The last quarter of an hour of the rack."""

    @property
    def ready(self) -> bool:
        """Whether every configured source has had its first outcome."""

    @property
    def renderers(self) -> Sequence[Renderer]:
        """Exporters that answer on a path."""


def application(agent: Agent, guard: Guard) -> web.Application:
    """Build the web application of a daemon."""
    app = web.Application(middlewares=[guard.middleware], client_max_size=MOST_BODY_BYTES)
    add_page(app, [*(renderer.path for renderer in agent.renderers), *PATHS])
    Streams(agent).add_to(app)
    app.router.add_get("/-/healthy", _healthy)
    app.router.add_get("/-/ready", _ready(agent))
    add_routes(app, agent)
    app.router.add_get("/api/v1/openapi.yaml", _description())
    for renderer in agent.renderers:
        app.router.add_get(renderer.path, _page(agent, renderer))
    return app


def _page(agent: Agent, renderer: Renderer) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Answer with an exporter's page; its gzip form is kept until the page changes."""
    packed: dict[str, tuple[bytes, bytes]] = {}

    async def handle(request: web.Request) -> web.Response:
        snapshot = agent.snapshot
        if snapshot is None:
            return not_yet()
        body, content_type = renderer.render(snapshot, request.headers.get("Accept", ""))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if len(body) >= GZIP_FROM_BYTES and accepts(request.headers.get("Accept-Encoding", ""), "gzip"):
            if packed.get(content_type, (b"", b""))[0] is not body:
                packed[content_type] = (body, gzip.compress(body, GZIP_LEVEL))
            body = packed[content_type][1]
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    return handle


def _description() -> Callable[[web.Request], Awaitable[web.Response]]:
    """Answer with the OpenAPI file that describes these routes."""
    body = Path(__file__).with_name("openapi.yaml").read_bytes()

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/yaml")

    return handle


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="rackwatt is healthy\n")


def _ready(agent: Agent) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_request: web.Request) -> web.Response:
        if agent.ready:
            return web.Response(text="rackwatt is ready\n")
        return web.Response(status=503, text="waiting for the first outcome of every source\n")

    return handle
