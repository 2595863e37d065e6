"""A blocking HTTPS client of one request, and a running agent behind it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from fakes.agent import RunningAgent
from fakes.processes import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fakes.authority import Pair

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Client:
    """How one client comes: whom it trusts, what it shows, who it says it is."""

    ca: Path | None = None
    pair: Pair | None = None
    login: tuple[str, str] | None = None

    def context(self) -> ssl.SSLContext:
        """Its TLS."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if self.pair is not None:
            context.load_cert_chain(self.pair.cert, self.pair.key)
        return context

    def connect(self, port: int) -> socket.socket:
        """A connection, TLS if it trusts somebody."""
        raw = socket.create_connection((LOOPBACK, port), SECONDS)
        return raw if self.ca is None else self.context().wrap_socket(raw, server_hostname=LOOPBACK)

    def get(self, port: int, path: str = "/-/ready", method: str = "GET") -> tuple[int, Any, bytes]:
        """Status, headers and body of one request."""
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=SECONDS)
        connection.sock = self.connect(port)
        headers = {"Connection": "close"}
        if self.login is not None:
            pair = base64.b64encode(":".join(self.login).encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def served_certificate(self, port: int) -> bytes:
        """What the server shows, as DER."""
        with self.connect(port) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            return connection.getpeercert(binary_form=True) or b""


class ClosedAgent(RunningAgent):
    """A daemon whose listener a web-config.yml closes."""

    def __init__(
        self, directory: Path, web: Mapping[str, Any], settings: Mapping[str, Any] | None = None
    ) -> None:
        """Write both files; nothing is read unless `settings` say so."""
        super().__init__(
            directory, {"collectors": {}, "web": {"config_file": "web-config.yml"}, **(settings or {})}
        )
        self.web_file = directory / "web-config.yml"
        self.close_by(web)

    def close_by(self, web: Mapping[str, Any]) -> None:
        """Write the web-config.yml anew."""
        fresh = self.web_file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(dict(web)))
        fresh.replace(self.web_file)

    @contextlib.contextmanager
    def running_for(self, client: Client) -> Iterator[None]:
        """Run; wait until a client that may come in is answered."""
        self.start(wait=False)
        try:
            self.until(lambda: client.get(self.port)[0] == 200)
            yield
        finally:
            self.program.stop()

    def until(self, true: Any, seconds: float = 20.0) -> None:
        """Wait for something to become true; what fails to connect is not true yet."""
        ends = time.monotonic() + seconds
        while True:
            assert self.program.running, self.program.tail()
            try:
                if true():
                    return
            except OSError:
                pass
            assert time.monotonic() < ends, self.program.tail()
            time.sleep(0.05)
