"""Replays of written captures: GPUs from a table, an engine that serves request by request; no twin."""

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fakes.replayed_node import WALL_SECONDS, ReplayedNode
from fakes.requests_served import Asked, Served, Traits

from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Power, PowerScope
from agent.measure.host import HostReading
from agent.measure.reading import Reason, SourceError

CAPTURES = Path(__file__).resolve().parents[1] / "captures" / "incidents"
GPUS = 4
LIMIT_WATTS = 1400.0
MHZ = 1e6
SETTLED_SECONDS = 40


@dataclass(frozen=True)
class Row:
    """What one GPU is from a second on."""

    watts: float
    mhz: float
    celsius: float
    busy: float
    state: str
    reasons: frozenset[str]
    xids: tuple[int, ...]


class Capture:
    """One file: rows by second, changes of the engine, when the fault is, and what is right to tell."""

    def __init__(self, path):
        self.rows, self.engine, self.expect = defaultdict(dict), defaultdict(dict), ()
        self.host = defaultdict(dict)
        for line in path.read_text().splitlines():
            words = line.partition("#")[0].split()
            if not words:
                continue
            if words[0] == "fault":
                self.began, self.over = int(words[1]), int(words[2])
            elif words[0] == "expect":
                self.expect = words[1:]
            elif words[1] in {"engine", "host"}:
                told = self.engine if words[1] == "engine" else self.host
                told[int(words[0])] |= dict(word.split("=") for word in words[2:])
            else:
                for gpu in range(GPUS) if words[1] == "*" else [int(words[1])]:
                    self.rows[gpu][int(words[0])] = row_of(words[2:])

    def row(self, gpu, second):
        return self.rows[gpu][max(at for at in self.rows[gpu] if at <= second)]

    def xids(self, gpu, second):
        counts = defaultdict(int)
        for at, row in self.rows[gpu].items():
            for xid in row.xids if at <= second else ():
                counts[xid] += 1
        return dict(counts)


def row_of(words):
    watts, mhz, celsius, busy = map(float, words[:4])
    reasons = frozenset() if words[5] == "-" else frozenset(words[5].split(","))
    xids = () if words[6] == "-" else tuple(map(int, words[6].split(",")))
    return Row(watts, mhz, celsius, busy, words[4], reasons, xids)


class Replay:
    """Plays a capture; what the GPUs say varies as sensors do."""

    def __init__(self, capture, seed=8):
        self.capture, self.dice, self.second = capture, random.Random(seed), 0
        first = capture.engine[0]
        self.served = Served(Traits(cache_tokens=int(first.get("cache", 400_000))), Asked(1.0), seed)
        self.pressed, self.totals, self.oom_kills = {}, defaultdict(float), 0.0
        self.hidden = False
        self.node = ReplayedNode(self.page, self.gpus, host=self.host if capture.host else None)

    def page(self, _):
        if self.served.down or self.hidden:
            raise SourceError(Reason.UNREACHABLE, "connection refused")
        return self.served.page()

    def gpus(self, now):
        return tuple(self.gpu(number, now) for number in range(GPUS))

    def gpu(self, number, now):
        row, vary = self.capture.row(number, self.second), self.dice.gauss
        identity = GpuIdentity(f"GPU-{number}", "NVIDIA GB300", f"0000000{number}:06:00.0", "580.173.02")
        xids = self.capture.xids(number, self.second)
        if row.state != "ok":
            return GpuReading(identity, now, GpuState(row.state), "lost", xid_errors=xids)
        watts = row.watts * (1.0 + vary(0.0, 0.015))
        return GpuReading(
            identity,
            now,
            power={PowerScope.GPU: Power(watts, watts * (1.0 + vary(0.0, 0.05)))},
            power_limit_watts={PowerScope.GPU: LIMIT_WATTS},
            utilization_ratio=min(1.0, max(0.0, row.busy + vary(0.0, 0.01) * (row.busy > 0))),
            temperature_celsius={"gpu": row.celsius + self.dice.choice((-1, 0, 0, 1))},
            clock_hertz={"sm": (row.mhz + self.dice.choice((-15, 0, 0, 0, 15))) * MHZ},
            throttle_active=row.reasons,
            xid_errors=xids,
        )

    def host(self, now):
        """Totals that grow as the capture says, and vary as a busy machine does."""
        for what, share in self.pressed.items():
            self.totals[what] += max(0.0, share + self.dice.gauss(0.0, 0.02))
        return HostReading(
            now,
            stalled_seconds={("cpu", "some"): self.totals["cpu"], ("memory", "full"): self.totals["memory"]},
            cpu_steal_seconds=self.totals["steal"],
            oom_kills=self.oom_kills,
            cpu_frequency_hertz={"mean": 2.9e9},
        )

    def press(self, told):
        told = {what: float(amount) for what, amount in told.items()}
        self.oom_kills += told.pop("oom_kills", 0.0)
        self.pressed |= told

    def change(self, told):
        served = self.served
        numbers = {"per_second": float, "prompt": float, "output": float, "clients": int}
        served.asked = replace(served.asked, **{k: numbers[k](v) for k, v in told.items() if k in numbers})
        served.pace = float(told.get("pace", served.pace))
        self.hidden = told.get("hidden", str(int(self.hidden))) == "1"
        if told.get("down") == "1":
            served.stop()
        elif told.get("down") == "0":
            served.restart(float(self.second))

    def run(self):
        told, moments = {}, self.node.run(1, self.capture.over + SETTLED_SECONDS)
        for second in range(1, self.capture.over + SETTLED_SECONDS + 1):
            self.second = second
            self.change(self.capture.engine.get(second if second > 1 else 0, {}))
            self.press(self.capture.host.get(second if second > 1 else 0, {}))
            self.served.live(float(second))
            told |= {each.id: each for each in next(moments)[1]}
        self.node.end()
        return list(told.values())


def test_an_engine_that_the_kernel_killed_is_told_with_it():
    told = Replay(Capture(CAPTURES / "killed_for_memory.txt")).run()

    (down,) = [each for each in told if each.cause == "engine_down"]
    assert down.summary.endswith("is gone; the kernel killed a process for want of memory")
    assert down.evidence[-1].metric == "host_oom_kills_total"


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.txt")), ids=lambda path: path.stem)
def test_a_capture_is_told_right(path):
    capture = Capture(path)
    told = Replay(capture).run()
    shown = [(f"{e.started - WALL_SECONDS:.0f}", e.kind, e.cause, e.severity, e.gpu, e.summary) for e in told]
    loud = [each for each in told if each.severity != "info"]

    if capture.expect == ["silence"]:
        assert loud == [], shown
        return
    kind, causes, *place = capture.expect
    gpu = int(place[0].removeprefix("gpu=")) if place else None
    of_it = [each for each in told if each.cause in causes.split(",") and gpu in {None, each.gpu}]
    right = [each for each in of_it if each.kind == kind]
    # A lost GPU is told at once as a fault, and then by the drop that comes of it.
    heralds = [each for each in of_it if each.kind == "fault" and each.ended is not None]
    # A full cache comes and goes: it may be told again.
    assert 1 <= len(right) <= 1 + ("kv_saturation" in causes), shown
    assert [each for each in loud if each not in (*right, *heralds)] == [], shown
    # Chance may have begun it: what was missing a little before adds up with what is missing since.
    assert -10.0 <= min(each.started for each in right) - WALL_SECONDS - capture.began <= 15.0, shown
