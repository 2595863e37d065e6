"""The quick tray shows diagnosis what the whole node shows it: the benchmark's short cut is no other node."""

from dataclasses import replace

import pytest

from agent.diagnose.signs import signs_of
from agent.measure.snapshot import Activity
from agent.twin import scenario
from benchmarks.quick_tray import QuickNode
from benchmarks.virtual_tray import Missing, VirtualNode

SECONDS = 90
RACK = "seed: 5\nrack: {trays: 1, gpus_per_tray: 2, engines_per_tray: 2, queue: 100}\n"
LOAD = "load: {level: 1.05, noise: 0.02}\n"
EVENTS = {
    "a crash": "{kind: engine_crash, at: 30s, lasts: 20s, engines: [1]}",
    "a lost GPU": "{kind: gpu_lost, at: 30s, lasts: 20s, gpus: [1]}",
    "a full cache": "{kind: kv_saturation, at: 30s, lasts: 30s}",
    "a low limit": "{kind: power_cap, at: 30s, lasts: 30s, watts: 700}",
    "a tray that is off": "{kind: node_down, at: 30s, lasts: 20s}",
}


def plain(signs):
    """What diagnosis reads: not the spread of a moment's last digit, nor what an engine is doing."""
    units = tuple(replace(unit, engines=tuple(map(engine, by_name(unit)))) for unit in signs.units)
    gpus = tuple(replace(each, xids={x: n for x, n in each.xids.items() if n}) for each in signs.gpus)
    return replace(signs, units=tuple(replace(unit, gpus=gpus) for unit in units), gpus=gpus)


def by_name(unit):
    return sorted(unit.engines, key=lambda each: each.instance)


def engine(each):
    points = {
        name: point and point._replace(spread_seconds=0.0)
        for name in ("output", "prompt", "cached")
        for point in [getattr(each, name)]
    }
    return replace(each, activity=Activity.UNKNOWN, **points)


@pytest.mark.parametrize("name", EVENTS)
def test_the_signs_of_each_second_are_the_same(name):
    played = scenario.parse(f"{RACK}{LOAD}events:\n  - {EVENTS[name]}\n", "test")
    missing = (Missing("gpus", 60, 64), Missing("engines", 70, 74), Missing("drained", 80, 84))
    whole, quick = VirtualNode(played, missing=missing), QuickNode(played, missing=missing)
    seconds = enumerate(zip(whole.run(SECONDS), quick.run(SECONDS), strict=True), start=1)

    for second, (of_whole, of_quick) in seconds:
        assert of_whole[0] == of_quick[0]
        assert plain(signs_of(whole.snapshot)) == plain(quick.latest), second
