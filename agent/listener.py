"""The daemon's HTTP listener: bound, closed as its web-config.yml says, and kept so."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpProcessingError

from agent.binding import ConfigError, load_records
from agent.config import why_not_listening
from agent.web.access import OPEN, Access, Taken, take
from agent.web.guard import PROTOCOL_BOUNDS, Guard
from agent.web.routes import application
from agent.web.web_config import WebConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.config import Config
    from agent.web.routes import Agent

log = logging.getLogger("rackwatt")
http_log = logging.getLogger("rackwatt.http")

BACKLOG = 32
"""asyncio accepts so many connections before it lets us refuse any."""
CLOSE_SECONDS = 1.0
"""Answers under way may take so long to end when the daemon stops."""


class ListenError(Exception):
    """The address cannot be listened on; says why."""


def web_config_of(settings: Config) -> Taken:
    """Read the web-config.yml that the settings name, and all that it names. Raises ConfigError."""
    path = settings.web_config_file
    return OPEN if path is None else take(path, _read)


def _read(path: Path, check: Callable[[WebConfig], None]) -> WebConfig:
    return load_records(path, WebConfig, check)


class Listener:
    """Answers on the configured address."""

    def __init__(self, agent: Agent, settings: Config) -> None:
        self._settings = settings
        self._access = Access(web_config_of(settings))
        self._guard = Guard(self._access)
        self._runner = self._runner_of(agent)
        self._server: asyncio.Server | None = None

    @property
    def gauges(self) -> dict[str, float]:
        """What the listener tells of itself."""
        if self._settings.web_config_file is None:
            return {}
        return {"web_config_reload_success": float(self._access.reload_success)}

    async def open(self) -> None:
        """Listen. Raises ListenError."""
        host, port = self._settings.listen_address
        await self._runner.setup()
        if self._runner.server is None:
            raise ListenError("listen: the HTTP server did not start")
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._guard.factory(self._runner.server), host, port, backlog=BACKLOG, reuse_address=True
            )
        except OSError as error:
            await self._runner.cleanup()
            why = why_not_listening(error)
            raise ListenError(f"listen: cannot listen on {host}:{port}: {why}") from error
        bound = self._server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        scheme = "http" if self._access.context is None else "https"
        log.info("listening", extra={"address": f"{scheme}://{shown}:{bound[1]}"})

    async def keep_access(self) -> None:
        """Follow the web-config.yml and the files that it names, for ever."""
        if self._settings.web_config_file is not None:
            await self._access.follow(self._load)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        self._guard.close()

    def _load(self) -> Taken | str:
        """Read the web-config.yml again; return what is wrong with it, if something is."""
        try:
            return web_config_of(self._settings)
        except ConfigError as error:
            return str(error)

    def _runner_of(self, agent: Agent) -> web.AppRunner:
        app = application(agent, self._guard)
        app.on_response_prepare.append(self._access.add_headers)
        http_log.addFilter(_is_of_ours)
        return web.AppRunner(
            app,
            logger=http_log,
            access_log=http_log,
            access_log_class=self._guard.end_of_request,
            shutdown_timeout=CLOSE_SECONDS,
            **PROTOCOL_BOUNDS,
        )


def _is_of_ours(record: logging.LogRecord) -> bool:
    """Keep what clients send out of the log: it is told to them, and they could fill the disk with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
