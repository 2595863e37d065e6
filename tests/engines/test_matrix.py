"""Every engine in every era, in every situation: pages over HTTP, through the collector and the node."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import pytest
from fakes.engines.eras import ERAS, FINISH, GATEWAY, LIVE, NONE, PAIR, RANKS, Era
from fakes.page_server import Answer, PageServer

from agent import plugins
from agent.collectors.engines import Settings, Target, build
from agent.measure.engine import TokenKind
from agent.measure.gpu import GpuIdentity, GpuProcess, GpuReading
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading
from agent.measure.snapshot import Activity

UNIX = 1_760_000_000.0
WINDOW_SECONDS = 10.0
GPU = GpuIdentity("GPU-0", "NVIDIA GB300", "00000000:06:00.0", "580.95.05")
WORKING = (GpuProcess(7, None),)
"""Without a process that computes here a gateway's tokens are those of another node."""
REST = {"ended": 5000.0, "steps": 5000.0, "pending": 0.0, "prompt": 900.0, "running": 0.0, "beats": 70.0}
NOTHING = dict.fromkeys(REST, 0.0)


@dataclass(frozen=True)
class Seen:
    """What the node says in the end."""

    output: float | None
    """Total, over all instances of the model."""
    prompt: float | None
    rate: float | None
    """Output tokens per second."""
    activity: Activity | None = None
    restarts: float = 0.0


class Server:
    """One instance of an engine, on a port of its own."""

    def __init__(self, era: Era, http: PageServer, source) -> None:
        self.era, self.source = era, source
        self._http = http
        self._path = plugins.load(plugins.ENGINES, era.engine).TABLE.path

    def show(self, page: str | None = None, role: str = "", **values: float) -> None:
        filled = REST | values
        pages = {self._path: self.era.shown(page, role, **filled)}
        pages |= {path: self.era.shown(text, **filled) for path, text in self.era.beside.items()}
        self._http.answers = {path: Answer(body) for path, body in pages.items()}


class Node:
    """A node that reads instances at moments of the test's choosing."""

    def __init__(self, *servers: Server) -> None:
        self._reckoner = NodeReckoner("n", "", WINDOW_SECONDS, "boot:1", "run:1")
        self.expect(*servers)

    def expect(self, *servers: Server) -> None:
        self._reckoner.expect(["nvml", *(server.source.name for server in servers)])

    async def read(self, seconds: float, server: Server):
        """Read the GPU and one page; return what the collector made of it."""
        at = Moment(seconds, UNIX + seconds)
        self._reckoner.take(Reading("nvml", at, gpus=(GpuReading(GPU, at, processes=WORKING),)), 1.0)
        told = await server.source.collect(at, None)
        engines = [replace(one, at=at, asked_monotonic_seconds=seconds) for one in told.engines]
        self._reckoner.take(replace(told, at=at, engines=tuple(engines)), 1.0)
        return engines[0]

    def seen(self, seconds: float) -> Seen:
        snapshot = self._reckoner.snapshot(Moment(seconds, UNIX + seconds), (), {})
        totals: dict[TokenKind, float] = {}
        for model in snapshot.models:
            for kind, total in model.tokens_total.items():
                totals[kind] = totals.get(kind, 0.0) + total
        return Seen(
            totals.get(TokenKind.OUTPUT),
            totals.get(TokenKind.PROMPT),
            snapshot.tokens_per_second.get(TokenKind.OUTPUT),
            snapshot.activity,
            sum(engine.restarts for engine in snapshot.engines),
        )


@contextlib.asynccontextmanager
async def served(era: Era):
    """Start one instance."""
    async with PageServer({}) as http:
        collector = build(Settings(targets=(Target(url=http.url, engine=era.engine),)))
        try:
            yield Server(era, http, collector.sources(None)[0])
        finally:
            await collector.close()


async def fresh(era: Era) -> Seen:
    """Twelve seconds before the first request."""
    async with served(era) as server:
        node = Node(server)
        server.show(era.fresh, **NOTHING)
        for second in range(12):
            await node.read(second, server)
        return node.seen(11)


async def first_request(era: Era) -> Seen:
    """The first request, of 30 tokens, ten seconds before the end of the window."""
    async with served(era) as server:
        node = Node(server)
        server.show(era.fresh, **NOTHING)
        await node.read(0, server)
        for second in range(1, 12):
            server.show(**NOTHING | {"ended": 30.0, "steps": 30.0, "prompt": 8.0, "beats": 30.0})
            await node.read(second, server)
        return node.seen(11)


async def idle(era: Era) -> Seen:
    """Twelve seconds without a request, after many."""
    async with served(era) as server:
        node = Node(server)
        server.show()
        for second in range(12):
            await node.read(second, server)
        return node.seen(11)


async def busy(era: Era) -> Seen:
    """Twelve seconds of short requests, 100 output tokens a second."""
    async with served(era) as server:
        node = Node(server)
        for second in range(12):
            made = 5000.0 + 100 * second
            server.show(ended=made, steps=made, prompt=900.0 + 20 * second, running=2.0, beats=70.0 + second)
            await node.read(second, server)
        return node.seen(11)


async def on_finish_burst(era: Era) -> Seen:
    """Requests of ten seconds and 1,000 tokens, one after the other; the sixth is half done."""
    async with served(era) as server:
        node = Node(server)
        for second in range(56):
            requests, ahead = divmod(second, 10)
            ended, pending = 1000.0 * requests, 100.0 * ahead
            server.show(
                ended=5000 + ended,
                steps=5000 + ended + pending,
                pending=pending,
                prompt=900.0 + 20 * (requests + 1),
                running=1.0,
                beats=70.0 + second,
            )
            await node.read(second, server)
        return node.seen(55)


async def reset(era: Era) -> Seen:
    """The process restarts behind its port: its counters begin anew."""
    async with served(era) as server:
        node = Node(server)
        for second, made in enumerate((5000.0, 5100.0, 70.0)):
            server.show(ended=made, steps=made, prompt=made / 10, running=1.0)
            await node.read(second, server)
        return node.seen(2)


async def restart_on_new_port(era: Era) -> Seen:
    """The process restarts on another port, where it is found before its first request."""
    async with served(era) as old, served(era) as new:
        node = Node(old)
        for second, made in enumerate((5000.0, 5100.0)):
            old.show(ended=made, steps=made, prompt=made / 10, running=1.0)
            await node.read(second, old)
        node.expect(new)
        new.show(era.fresh, **NOTHING)
        await node.read(2, new)
        new.show(**NOTHING | {"ended": 30.0, "steps": 30.0, "prompt": 3.0, "running": 1.0})
        await node.read(3, new)
        return node.seen(3)


async def stale_gauge(era: Era) -> Seen:
    """Requests run by the gauge, and no token comes: the gauge may be old, or the engine hangs."""
    async with served(era) as server:
        node = Node(server)
        server.show(running=3.0)
        for second in range(12):
            told = await node.read(second, server)
        assert told.demand.stale_seconds == era.stale_seconds
        return node.seen(11)


async def dp_over_two_nodes(era: Era) -> Seen:
    """Two data-parallel ranks, on two nodes, told of by the first node's server."""
    async with served(era) as server:
        node = Node(server)
        for second, made in enumerate((5000.0, 5100.0, 5200.0)):
            server.show(era.two_ranks, ended=made, steps=made, prompt=made / 10, running=1.0)
            await node.read(second, server)
        return node.seen(2)


async def pair(era: Era) -> Seen:
    """A prefill and a decode instance: both count the prompt, both the first output token."""
    async with served(era) as prefill, served(era) as decode:
        node = Node(prefill, decode)
        for second, made in enumerate((5000.0, 5100.0, 5200.0)):
            first = {"ended": 10.0 * second, "steps": 10.0 * second}
            prefill.show(role="prefill", prompt=made / 10, running=1.0, **first)
            decode.show(role="decode", ended=made, steps=made, prompt=made / 10, running=1.0)
            await node.read(second, prefill)
            await node.read(second, decode)
        return node.seen(2)


async def gateway_and_engine(era: Era) -> Seen:
    """A gateway in front of the engine: it counts every token once more."""
    front = next(one for one in ERAS if one.engine == "dynamo_frontend")
    async with served(front) as gateway, served(era) as engine:
        node = Node(gateway, engine)
        for second, made in enumerate((5000.0, 5100.0, 5200.0)):
            for server in (gateway, engine):
                server.show(ended=made, steps=made, prompt=made / 10, running=1.0)
                await node.read(second, server)
        return node.seen(2)


SITUATIONS = {
    "fresh": fresh,
    "first request": first_request,
    "idle": idle,
    "busy": busy,
    "on-finish burst": on_finish_burst,
    "reset": reset,
    "restart on new port": restart_on_new_port,
    "stale gauge": stale_gauge,
    RANKS: dp_over_two_nodes,
    PAIR: pair,
    GATEWAY: gateway_and_engine,
}
EXPECTED = {
    "fresh": Seen(output=0.0, prompt=0.0, rate=0.0, activity=Activity.IDLE),
    "first request": Seen(output=30.0, prompt=8.0, rate=0.0, activity=Activity.IDLE),
    "idle": Seen(output=0.0, prompt=0.0, rate=0.0, activity=Activity.IDLE),
    "busy": Seen(output=1100.0, prompt=220.0, rate=100.0, activity=Activity.SERVING),
    "on-finish burst": Seen(output=5000.0, prompt=100.0, rate=100.0, activity=Activity.SERVING),
    "reset": Seen(output=170.0, prompt=17.0, rate=None, activity=Activity.SERVING, restarts=1.0),
    "restart on new port": Seen(output=130.0, prompt=13.0, rate=None, activity=Activity.SERVING),
    "stale gauge": Seen(output=0.0, prompt=0.0, rate=0.0, activity=Activity.SERVING),
    RANKS: Seen(output=400.0, prompt=40.0, rate=None, activity=Activity.SERVING),
    PAIR: Seen(output=200.0, prompt=20.0, rate=None, activity=Activity.SERVING),
    GATEWAY: Seen(output=200.0, prompt=20.0, rate=None, activity=Activity.SERVING),
}
LIVE_BURST = 5500.0
"""Output of the burst in an engine that counts with every step: half a request more."""
WATCHED_SECONDS = 10.0
"""A situation in which nothing happens is watched for so long."""
QUIET = {"fresh", "first request", "idle", "stale gauge"}
"""Situations in which an engine that does not tell its running requests may be idle or not."""


def expected(situation: str, era: Era) -> Seen:
    """Return what must be seen of one engine in one situation."""
    differs: dict[str, object] = {}
    unseen = era.counts == FINISH and not era.standing_in
    if situation == "stale gauge" and unseen and era.tells_running:
        differs["rate"] = None  # a request may be at work: that none ends is no rate of zero (T21)
    burst = situation == "on-finish burst"
    if burst and era.counts == LIVE:
        differs["output"] = LIVE_BURST
    if situation == "fresh" and era.fresh is not None:
        differs |= {"output": None, "prompt": None}  # no series of them is there
    if not era.tells_running and (situation in QUIET or (burst and era.counts != LIVE)):
        differs["activity"] = Activity.UNKNOWN
    if situation == "first request" and era.stale_seconds:
        differs["activity"] = Activity.UNKNOWN  # what it tells may be of the moment before (T12)
    if situation in {"fresh", "idle"} and era.stale_seconds > WATCHED_SECONDS:
        differs["activity"] = Activity.UNKNOWN
    if era.counts == NONE:
        differs |= {"output": None, "prompt": None, "rate": None, "restarts": 0.0}
        if not era.tells_running:
            differs["activity"] = Activity.UNKNOWN
    return replace(EXPECTED[situation], **differs | dict(era.differs.get(situation, {})))


CELLS = [(situation, era) for era in ERAS for situation in SITUATIONS if situation not in era.why_not]


@pytest.mark.parametrize(("situation", "era"), CELLS, ids=lambda one: getattr(one, "name", one))
async def test_totals_rate_and_activity_are_as_expected(situation, era):
    assert await SITUATIONS[situation](era) == expected(situation, era)


def test_every_engine_is_in_the_matrix():
    missing = {table.engine for table in plugins.engine_tables() if not table.unsupported}

    assert missing - {era.engine for era in ERAS} == set()


@pytest.mark.parametrize("era", ERAS, ids=lambda era: era.name)
def test_situation_in_which_an_engine_cannot_be_has_its_reason(era):
    assert set(era.why_not) <= set(SITUATIONS)
    assert all(len(reason) > 10 for reason in era.why_not.values())
    assert (era.two_ranks is None) == (RANKS in era.why_not)
    assert (not era.role) == (PAIR in era.why_not)
