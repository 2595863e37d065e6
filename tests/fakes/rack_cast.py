"""A whole rack of real processes: a twin, a daemon for each of its trays, and those that reckon the rack."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Self

from fakes.agent import RunningAgent
from fakes.forge import Forge
from fakes.netns import Netns
from fakes.processes import LOOPBACK, http_get
from fakes.stand_in import StandIn
from fakes.twin import RunningTwin

from agent.demo import node_settings
from agent.twin.ports import ReservedPort

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NODES = 18
KINDS = ("output", "prompt", "prompt_cached")


class Cast:
    """Everyone on loopback; usable as a context manager, which starts the twin only."""

    def __init__(self, folder: Path, scenario: str) -> None:
        self._folder = folder
        self._scenario = scenario
        self._stack = contextlib.ExitStack()
        self.nodes: dict[int, RunningAgent] = {}
        self.urls: dict[int, str] = {}
        """Where the rack reads each node."""
        self.heads: dict[str, RunningAgent] = {}
        self.stand_ins: dict[int, StandIn] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.twin = stack.enter_context(RunningTwin(self._folder, self._scenario))
            self.forge = stack.enter_context(Forge(self._folder))
            stack.callback(self._kill)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _kill(self) -> None:
        for daemon in (*self.heads.values(), *self.nodes.values()):
            daemon.program.kill()

    def node(self, number: int, env: Mapping[str, str] | None = None) -> RunningAgent:
        """Configure the daemon of a tray; one with an environment of its own is no fork."""
        return self._node(number, self.twin.url, self._engines(number), env=env)

    def node_behind(self, number: int) -> StandIn:
        """Configure one that the rack reads through a stand-in."""
        node = self.node(number)
        stand_in = self._stack.enter_context(StandIn((LOOPBACK, node.port)))
        self.stand_ins[number], self.urls[number] = stand_in, stand_in.url
        return stand_in

    def node_apart(self, number: int) -> Netns:
        """Configure one in a network of its own."""
        net = self._stack.enter_context(Netns())
        twin, *engines = [
            self._stack.enter_context(StandIn((LOOPBACK, _port_of(url)), net.twin_side)).url
            for url in (self.twin.url, *self._engines(number))
        ]
        pages = [f"{engine}/metrics" for engine in engines]
        self._node(number, twin, pages, address=(net.address, 9744), prefix=net.prefix, env={})
        return net

    def _node(
        self,
        number: int,
        twin_url: str,
        engines: list[str],
        *,
        address: tuple[str, int] | None = None,
        env: Mapping[str, str] | None = None,
        **how: Any,
    ) -> RunningAgent:
        host, port = address or (LOOPBACK, self._reserved())
        settings = node_settings(number, port, twin_url, engines, gpus=4)
        settings["listen"] = f"{host}:{port}"
        node = RunningAgent(
            self._folder / settings["node"]["name"],
            settings,
            env,
            address=(host, port),
            forge=self.forge if env is None else None,
            **how,
        )
        self.nodes[number], self.urls[number] = node, node.url
        return node

    def head(self, name: str, **settings: Any) -> RunningAgent:
        """Start a daemon that reckons all members configured so far."""
        rack = {"name": "r12", "members": [self.urls[number] for number in sorted(self.urls)]}
        daemon = RunningAgent(
            self._folder / name,
            {"node": {"name": name}, "rack": rack | settings.pop("rack", {}), "collectors": {}} | settings,
            address=(LOOPBACK, self._reserved()),
            forge=self.forge,
        )
        self.heads[name] = daemon
        return daemon.start(wait=False)

    def _reserved(self) -> int:
        """A port that stays ours while its daemon is away."""
        reserved = ReservedPort(LOOPBACK)
        self._stack.callback(reserved.close)
        return reserved.port

    def _engines(self, number: int) -> list[str]:
        return list(self.twin.index["trays"][number]["engines"])

    def totals(self, number: int) -> dict[str, Any]:
        """What a node tells its rack."""
        status, body = http_get(f"{self.nodes[number].url}/api/v1/node?view=totals")
        assert status == 200, body
        return dict(json.loads(body))

    def rack(self, name: str) -> dict[str, Any]:
        """What a daemon tells of the rack."""
        status, body = http_get(f"{self.heads[name].url}/api/v1/rack")
        assert status == 200, body
        return dict(json.loads(body))

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
        """Wait until something holds."""
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, f"{what} took more than {seconds} s"
            time.sleep(0.1)


def tokens_of(totals: Mapping[str, Any]) -> dict[str, float]:
    """Tokens by kind in a node's totals, over its models."""
    return {kind: sum(total for _, each, total in totals["tokens"] if each == kind) for kind in KINDS}


def joules_of(totals: Mapping[str, Any], boundary: str) -> tuple[float, float] | None:
    """Energy at a boundary in a node's totals, and its moment; None when it tells none."""
    return next(((row[2], row[3]) for row in totals["boundaries"] if row[0] == boundary), None)


def _port_of(url: str) -> int:
    return int(url.removesuffix("/metrics").rpartition(":")[2])
