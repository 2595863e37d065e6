"""One machine of a shape read by the real collectors, through a story in which the clock is moved by hand.

A program, because the dynamic loader finds the fake driver only at its start. It writes, as JSON, what
`rackwatt doctor` said and, at each point of the story, what a snapshot, `rackwatt once` and `/metrics` say.
Nothing waits while the clock stands still, and no reading comes late: what is told can be held to the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import io
import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from fakes import redfish_trees as trees
from fakes.bmc import Bmc
from fakes.nvml.driver import EVERY, FakeDriver
from fakes.processes import LOOPBACK, free_port
from fakes.shapes import BEGAN_SECONDS, SHAPES, World

from agent import cli, config, plugins
from agent.collectors._nvml import examine
from agent.loop import SourceLoop
from agent.measure.reading import Moment
from agent.reckoners import reckoner_of
from agent.table import table_of
from exporters import prometheus

if TYPE_CHECKING:
    from agent.measure.reading import Outcome, Reading
    from agent.measure.snapshot import Snapshot

BASE_LOAD, FULL_LOAD = 0.3, 0.9
STEP_SECONDS = 1.0
OFF_GRID_SECONDS = 0.03
"""Counters are renewed every 100 ms; a real reading is seldom taken right then."""
SETTLED_SECONDS = 5.0
WINDOW_STEPS = 13
"""A window of 10 s is full of what is now."""
DAC_OVERRIDE, DAC_READ_SEARCH, CAPABILITIES_3 = 1 << 1, 1 << 2, 0x20080522


class Clock:
    """The monotonic clock of this process and of the driver in it, once it is stopped."""

    def __init__(self) -> None:
        self._driver = ctypes.CDLL("libnvidia-ml.so.1")
        self._real = time.monotonic
        self.seconds = 0.0

    def move(self, seconds: float) -> None:
        """Stand at a moment."""
        self.seconds = seconds
        self._driver.fake_nvml_clock(ctypes.c_int64(round(seconds * 1e9)))
        time.monotonic = lambda: self.seconds

    def go_on(self) -> None:
        """Be real again."""
        self._driver.fake_nvml_clock(ctypes.c_int64(0))
        time.monotonic = self._real


class Controller(Bmc):
    """A BMC in a thread of its own, which tells what its world draws when it is asked."""

    def __init__(self, world: World) -> None:
        super().__init__(trees.gb300_tray() if world.shape.sockets else trees.dgx())
        self._world = world
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self.__aenter__(), self._loop).result(5)

    def _answered(self, *asked: Any) -> tuple[int, dict[str, str], bytes]:
        self._world.documents(time.monotonic(), self.tree)
        return super()._answered(*asked)


class Watch:
    """The sources and the reckoner of a configuration, read when they are told to."""

    def __init__(self, settings: config.Config, clock: Clock) -> None:
        rooms = ((plugins.COLLECTORS, name, each) for name, each in settings.collectors.items())
        self.collectors = [plugins.load(room, name).build(each) for room, name, each in rooms]
        sources = [source for collector in self.collectors for source in collector.sources(None)]
        self._clock = clock
        self._reckoner = reckoner_of(settings)
        self._reckoner.expect(source.name for source in sources)
        self._loops = [SourceLoop(s, self._deliver, lambda: None, clock=self._now) for s in sources]

    def _now(self) -> Moment:
        return Moment(self._clock.seconds, 1_760_000_000.0 + self._clock.seconds)

    def _deliver(self, reading: Reading | None, outcome: Outcome, cadence_seconds: float) -> None:
        if reading is None:
            self._reckoner.miss(outcome.source)
        else:
            self._reckoner.take(reading, cadence_seconds)

    async def read(self) -> Snapshot:
        """Read every source once."""
        for loop in self._loops:
            await loop.once()
        outcomes = tuple(loop.outcome for loop in self._loops if loop.outcome)
        return self._reckoner.snapshot(self._now(), outcomes, {})


def told(snapshot: Snapshot) -> dict[str, Any]:
    """What a snapshot says, for another process."""
    page, _ = prometheus.build(prometheus.Settings()).render(snapshot, "")
    return {
        "at": snapshot.at.monotonic_seconds,
        "boundaries": {
            at.boundary: [at.source, at.power_watts, at.energy_joules_total, at.at_monotonic_seconds]
            for at in snapshot.boundaries
        },
        "rests": [[rest.inner, rest.boundary, rest.power_watts] for rest in snapshot.remainders],
        "parts": [asdict(part) for part in snapshot.parts],
        "crosschecks": [[*key, watts] for key, watts in snapshot.crosschecks.items()],
        "meters": [[*key, up] for key, up in snapshot.meters.items()],
        "notes": snapshot.notes,
        "once": table_of(snapshot),
        "page": page.decode(),
    }


async def story(world: World, driver: FakeDriver, settings: config.Config) -> dict[str, Any]:
    """Live through a load that rises and falls, then through the end of a meter."""
    clock, points = Clock(), {}
    clock.move(world.epoch + BEGAN_SECONDS + OFF_GRID_SECONDS)
    watch = Watch(settings, clock)

    async def live(steps: int) -> Snapshot:
        for _ in range(steps):
            clock.move(clock.seconds + STEP_SECONDS)
            world.refresh(clock.seconds)
            snapshot = await watch.read()
        return snapshot

    points["rest"] = told(await live(WINDOW_STEPS))
    driver.load(EVERY, FULL_LOAD, at=clock.seconds + STEP_SECONDS / 4)
    points["rise"] = told(await live(3))
    points["full"] = told(await live(WINDOW_STEPS))
    driver.load(EVERY, BASE_LOAD, at=clock.seconds + STEP_SECONDS / 4)
    points["fall"] = told(await live(3))
    points["again"] = told(await live(WINDOW_STEPS))
    if world.shape.mortal:
        world.kill(world.shape.mortal)
        points["dead"] = told(await live(1))
    clock.go_on()
    for collector in watch.collectors:
        await collector.close()
    return points


def lose_rights() -> None:
    """Take from root what lets it read everything, so that it is kept out as other users are."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    for each in (0, 1, 2):  # effective, permitted, inheritable
        sets[each] &= ~(DAC_OVERRIDE | DAC_READ_SEARCH)
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def configured(world: World, folder: Path, name: str) -> Path:
    """Write the configuration of a machine; its controller begins to answer."""
    collectors: dict[str, Any] = {
        "nvml": {"kmsg": "", "xid_events": False, "processes": False, "slow_interval": "2s"},
    }
    if world.shape.metered:
        collectors["hwmon"] = {"root": str(world.root), "node_meter": world.shape.node_meter}
    if world.shape.controller:
        target = {"url": Controller(world).url, "name": "bmc", "boundary": "node"}
        collectors["redfish"] = {"targets": [target], "interval": "1s"}
    settings = {
        "listen": f"{LOOPBACK}:{free_port()}",
        "state_dir": str(folder / "state"),
        "node": {"name": name, "gpus": world.shape.gpus},
        "collectors": collectors,
        "site": {"pue": {"value": 1.2, "source": "test"}},
    }
    file = folder / "rackwatt.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def live_through(folder: Path, name: str) -> None:
    """Writes what was told of a machine."""
    epoch = repr(time.monotonic() - SETTLED_SECONDS)
    driver = FakeDriver(folder, SHAPES[name].preset, epoch=epoch, **dict(SHAPES[name].header))
    os.environ["RACKWATT_FAKE_NVML"] = str(driver.tape)
    driver.load(EVERY, BASE_LOAD, at=0.0)
    world = World(SHAPES[name], driver.tape, folder / "sys")
    world.refresh(time.monotonic())
    if world.shape.root_only:
        lose_rights()
    file = configured(world, folder, name)
    examine.WATCH_SECONDS = 0.6  # enough to see a counter renewed every 100 ms
    with contextlib.redirect_stdout(io.StringIO()) as doctor:
        cli.main(["doctor", "--config", str(file)])
    points = asyncio.run(story(world, driver, config.load(file)))
    (folder / "told.json").write_text(json.dumps({"doctor": doctor.getvalue(), **points}))


def main(folder: Path, names: list[str]) -> None:
    """Lives through the story of every machine at once, each in a process of its own."""
    children = {}
    for name in names:
        (folder / name).mkdir()
        children[name] = os.fork()
        if not children[name]:
            live_through(folder / name, name)
            os._exit(0)
    failed = [name for name, child in children.items() if os.waitpid(child, 0)[1]]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
