"""The JSON interface: the node, its totals, the rack, and draining."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from agent.measure.reading import Moment
from agent.measure.totals import totals_of
from agent.wire import codec, incident_codec, rack_codec, totals
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.snapshot import Snapshot

    Handler = Callable[[web.Request], Awaitable[web.Response]]

JSON = "application/json"
GZIP = "application/gzip"
MOST_BODY_BYTES = 4096
BODY_SECONDS = 5.0
DRAIN_KEYS = {"drained", "node", "reason"}
DEFAULT_REASON = "drained"


@dataclass(frozen=True, slots=True)
class Drains:
    """Who was taken out on purpose."""

    node: str
    """This one's name."""
    reason: str | None
    """Why this node was; None while it is in duty."""
    members: Mapping[str, str]
    """Why each member was that was drained on this daemon."""


class JsonAgent(Protocol):
    """What these routes need to know of the daemon."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The last snapshot."""

    @property
    def rack(self) -> RackSnapshot | None:
        """The rack: of the members, or of this node alone."""

    async def next_rack(self, after_sequence: int) -> RackSnapshot:
        """Wait for a rack that is not the one of this sequence number."""

    async def recording(self, incident: str) -> bytes | None:
        """Return what was recorded around an incident; None when nothing was."""

    @property
    def drains(self) -> Drains:
        """Who was taken out on purpose."""

    def drain(self, node: str, why: str | None) -> None:
        """Take a node out, or (None) back in; an empty name is this node. Raises LookupError."""


def add_routes(app: web.Application, agent: JsonAgent) -> None:
    """Add all of them."""
    app.router.add_get("/api/v1/node", _node(agent))
    app.router.add_get("/api/v1/rack", _rack(agent))
    app.router.add_get("/api/v1/incidents", _incidents(agent))
    app.router.add_get("/api/v1/incidents/{incident:.+}/recording", _recording(agent))
    app.router.add_get("/api/v1/drain", _drains(agent))
    app.router.add_post("/api/v1/drain", _drain(agent))


def not_yet() -> web.Response:
    """Answer before there is anything to show."""
    return web.Response(status=503, text="no snapshot yet: the first collection is under way\n")


def _node(agent: JsonAgent) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        snapshot, view = agent.snapshot, request.query.get("view", "")
        if view not in {"", "totals"}:
            return _refusal(400, f"view: no {view!a}; there is: totals")
        if snapshot is None:
            return not_yet()
        if view == "totals":
            now = Moment(time.monotonic(), time.time())
            return web.Response(body=totals.to_json(totals_of(snapshot, now)), content_type=JSON)
        return web.Response(body=codec.to_json(snapshot), content_type=JSON)

    return handle


def _rack(agent: JsonAgent) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        rack = agent.rack
        return not_yet() if rack is None else web.Response(body=rack_codec.to_json(rack), content_type=JSON)

    return handle


def _incidents(agent: JsonAgent) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        rack = agent.rack
        if rack is None:
            return not_yet()
        return web.Response(body=incident_codec.to_json(rack.incidents), content_type=JSON)

    return handle


def _recording(agent: JsonAgent) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        incident = request.match_info["incident"]
        body = await agent.recording(incident)
        if body is None:
            return _refusal(
                404, f"{printable(incident)!a}: nothing was recorded of it here; its node may have"
            )
        headers = {"Content-Disposition": 'attachment; filename="incident.jsonl.gz"'}
        return web.Response(body=body, content_type=GZIP, headers=headers)

    return handle


def _drains(agent: JsonAgent) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        return _shown(agent.drains)

    return handle


def _drain(agent: JsonAgent) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await _body_of(request)
        if isinstance(body, web.Response):
            return body
        try:
            node, why = _wish(body)
            agent.drain(node, why)
        except ValueError as error:
            return _refusal(400, str(error))
        except LookupError as error:
            return _refusal(404, str(error))
        return _shown(agent.drains)

    return handle


async def _body_of(request: web.Request) -> bytes | web.Response:
    """Read what was sent, or refuse it."""
    if "Origin" in request.headers:  # a browser: no page of ours asks, under whatever name it was reached
        return _refusal(403, "web pages may not drain; use a command such as curl")
    if request.content_type != JSON:
        return _refusal(415, f"send {JSON}")
    if (request.content_length or 0) > MOST_BODY_BYTES:
        return _refusal(413, f"the body is larger than {MOST_BODY_BYTES} bytes")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError:
        return _refusal(408, f"the body did not come within {BODY_SECONDS:g} s")
    return body if len(body) <= MOST_BODY_BYTES else _refusal(413, f"larger than {MOST_BODY_BYTES} bytes")


def _wish(body: bytes) -> tuple[str, str | None]:
    """Return whom to drain and why, or None to take it back. Raises ValueError."""
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    told = plain.get("drained") if isinstance(plain, dict) else None
    if told is not True and told is not False:  # not `in`, for which 1 is True
        raise ValueError('the body must be {"drained": true or false, "node": NAME, "reason": TEXT}')
    unknown = plain.keys() - DRAIN_KEYS
    if unknown:
        raise ValueError(f"{min(unknown)!a}: unknown key; there are: {', '.join(sorted(DRAIN_KEYS))}")
    node, reason = _text(plain, "node"), _text(plain, "reason")
    return node, (reason or DEFAULT_REASON) if plain["drained"] else None


def _text(plain: Mapping[str, Any], key: str) -> str:
    value = plain.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key}: must be text")
    return printable(value or "")


def _shown(drains: Drains) -> web.Response:
    own = {"node": drains.node, "drained": drains.reason is not None, "reason": drains.reason}
    return web.Response(text=json.dumps({**own, "members": dict(drains.members)}), content_type=JSON)


def _refusal(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")
