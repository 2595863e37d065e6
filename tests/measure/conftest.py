"""Hand-made readings, and a node that takes them."""

import json
from dataclasses import dataclass, field

import pytest

from agent.measure.engine import Demand, EngineReading, TokenCounter, TokenKind
from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Power, PowerScope
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading

UNIX = 1_760_000_000.0


def make_moment(seconds, stepped=0.0):
    """Monotonic `seconds`; the wall clock may have been stepped."""
    return Moment(seconds, UNIX + seconds + stepped)


def make_gpu(
    seconds, joules=None, watts=None, *, number=0, serial=None, module_watts=None, instant=None, **more
):
    power = {}
    if watts is not None or instant is not None:
        power[PowerScope.GPU] = Power(watts, instant)
    if module_watts is not None:
        power[PowerScope.MODULE] = Power(module_watts)
    return GpuReading(
        identity=GpuIdentity(
            f"GPU-{number}", "NVIDIA GB300", f"0000000{number}:06:00.0", "580.95.05", serial=serial
        ),
        at=more.pop("at", make_moment(seconds)),
        power=power,
        energy_joules=joules,
        **more,
    )


def make_page(
    seconds,
    output=None,
    *,
    instance="a:8000",
    epoch="start:1759999000",
    model="llama",
    asked=None,
    more=(),
    running=None,
    waiting=None,
    asleep=None,
    at=None,
    resolution=0.0,
    **fields,
):
    counters = list(more)
    if output is not None:
        counters.insert(0, TokenCounter("generated", model, TokenKind.OUTPUT, output, resolution))
    return EngineReading(
        engine="vllm",
        instance=instance,
        model=model,
        at=make_moment(seconds) if at is None else at,
        asked_monotonic_seconds=seconds if asked is None else asked,
        epoch=epoch,
        counters=tuple(counters),
        demand=Demand(running=running, waiting=waiting, asleep=asleep),
        **fields,
    )


@dataclass
class Bench:
    """A node with its engines, fed by hand."""

    window: float = 10.0
    epoch: str = "boot:1"
    run: str = "run:1"
    engines: tuple[str, ...] = ("a:8000",)
    cadence: float = 1.0
    kept: str = ""
    node: NodeReckoner = field(init=False)

    def __post_init__(self):
        self.node = NodeReckoner("tray-07", "", self.window, self.epoch, self.run)
        if self.kept:
            self.node.load(json.loads(self.kept))
        self.node.expect(["nvml", *(f"engines/{instance}" for instance in self.engines)])

    def restart(self, *, epoch=None):
        """Restart rackwatt: what is kept goes through JSON into a new process."""
        kept = json.dumps(self.node.dump(), allow_nan=False)
        return Bench(self.window, epoch or self.epoch, f"{self.run}+", self.engines, self.cadence, kept)

    def take_gpus(self, *gpus, source="nvml"):
        self.node.take(Reading(source, gpus[0].at if gpus else make_moment(0.0), gpus=gpus), self.cadence)

    def take_page(self, page, cadence=None):
        source = f"engines/{page.instance}"
        return self.node.take(Reading(source, page.at, engines=(page,)), cadence or self.cadence)

    def miss(self, source):
        self.node.miss(source)

    def snapshot(self, seconds, stepped=0.0):
        return self.node.snapshot(make_moment(seconds, stepped), (), {})

    def serve(self, seconds, *, tokens_per_second=1000.0, watts=500.0, since=0.0):
        """One second of the plain case: GPU 0 and every engine, at a constant rate."""
        elapsed = seconds - since
        self.take_gpus(make_gpu(seconds, 10_000 + watts * elapsed, watts))
        for instance in self.engines:
            self.take_page(make_page(seconds, 5000 + tokens_per_second * elapsed, instance=instance))


@pytest.fixture
def moment():
    return make_moment


@pytest.fixture
def gpu():
    return make_gpu


@pytest.fixture
def page():
    return make_page


@pytest.fixture
def token_counter():
    """A raw token counter of a page."""

    def make(series, value, kind="output", model="llama", resolution=0.0):
        return TokenCounter(series, model, TokenKind(kind), value, resolution)

    return make


@pytest.fixture
def new_bench():
    return Bench


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def lost_gpu():
    """A GPU that fell off the bus."""

    def make(seconds, number=0, **more):
        return make_gpu(seconds, number=number, state=GpuState.LOST, trouble="fell off the bus", **more)

    return make


@pytest.fixture
def standing():
    """The validity of one figure of a snapshot."""

    def find(snapshot, figure):
        return next(each for each in snapshot.validity if each.figure == figure)

    return find


@pytest.fixture
def total():
    """The total of one engine instance."""

    def find(snapshot, instance="a:8000", model="llama", kind="output"):
        engine = next(each for each in snapshot.engines if each.instance == instance)
        return next((t.total for t in engine.tokens if (t.model, t.kind) == (model, kind)), None)

    return find
