"""The same faults on two engines: one counts each token, the other only those of requests that have ended.

    PYTHONPATH=tests python -m benchmarks.on_finish FIRST LAST [--worst]

Requests come by chance or from clients that wait, and are served one by one (`fakes.requests_served`, which
shares nothing with the twin). What happens is the same on both; one shows vLLM's page, the other
TensorRT-LLM's, each read by the real collector. For three minutes it is slowed by heat, hangs, or is gone.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

from fakes.replayed_node import WALL_SECONDS, ReplayedNode
from fakes.requests_served import Served, Traits

from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Power, PowerScope
from agent.measure.reading import Moment, Reason, SourceError
from benchmarks.figures import BIG, share
from benchmarks.quiet_hours import LOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.incident import Incident

WARM_SECONDS, FAULT_SECONDS, AFTER_SECONDS = 600, 180, 60
FAULTS = {"heat": "thermal", "hang": "engine_stall", "gone": "engine_down"}
BUSY = ("a few", "about ten", "about thirty", "eight clients", "thirty-two clients", "more clients than fit")
COUNTED = ("each token", "ended requests")
FULL_MEGAHERTZ, LIMIT_WATTS = 2070.0, 1400.0


@dataclass(frozen=True, slots=True)
class Result:
    """What was told of one fault on one engine."""

    seed: int
    counted: str
    fault: str
    load: str
    size: float
    """Share of what it made before that it did not make."""
    found: bool
    right_cause: bool
    seconds_to_detect: float | None
    false: int
    told: str


class Life:
    """An engine, its GPU and its node."""

    def __init__(self, seed: int, counted: str) -> None:
        dice = random.Random(f"on finish {seed}")
        self.fault, self.load = dice.choice(list(FAULTS)), dice.choice(BUSY)
        self.pace = dice.uniform(1.2, 3.0)
        self.served = Served(Traits(), LOADS[self.load], seed)
        self._ended = counted == COUNTED[1]
        self.node = ReplayedNode(self._page, self._gpus)
        self.wrong = False

    def live(self, second: int) -> None:
        """Live through a second."""
        wrong = WARM_SECONDS < second <= WARM_SECONDS + FAULT_SECONDS
        if wrong and not self.wrong and self.fault == "gone":
            self.served.stop()
        if self.wrong and not wrong and self.fault == "gone":
            self.served.restart(float(second))
        self.wrong = wrong
        self.served.pace = self.pace if wrong and self.fault == "heat" else 1.0
        if wrong and self.fault == "hang":
            self.served.hang(float(second))
        else:
            self.served.live(float(second))

    def _page(self, _: int) -> bytes:
        if self.served.down:
            raise SourceError(Reason.UNREACHABLE, "connection refused")
        return self.served.page_of_ended() if self._ended else self.served.page()

    def _gpus(self, now: Moment) -> tuple[GpuReading, ...]:
        hot = self.wrong and self.fault == "heat"
        still = self.wrong and self.fault != "heat"
        clock = FULL_MEGAHERTZ / self.pace if hot else FULL_MEGAHERTZ
        watts = 150.0 if self.wrong and self.fault == "gone" else 400.0 if still else 700.0 if hot else 900.0
        identity = GpuIdentity("GPU-0", "NVIDIA GB300", "00000000:06:00.0", "580.173.02")
        return (
            GpuReading(
                identity,
                now,
                GpuState.OK,
                power={PowerScope.GPU: Power(watts, watts)},
                power_limit_watts={PowerScope.GPU: LIMIT_WATTS},
                utilization_ratio=0.0 if watts < 200.0 else 0.95,
                temperature_celsius={"gpu": 88.0 if hot else 62.0},
                clock_hertz={"sm": clock * 1e6},
                throttle_active=frozenset({"sw_thermal_slowdown"} if hot else ()),
            ),
        )


def result_of(seed: int, counted: str) -> Result:
    """Play one fault on one engine and judge what was told."""
    life = Life(seed, counted)
    told: dict[str, Incident] = {}
    made = {0: 0, WARM_SECONDS // 2: 0, WARM_SECONDS: 0, WARM_SECONDS + FAULT_SECONDS: 0}
    moments = life.node.run(1, WARM_SECONDS + FAULT_SECONDS + AFTER_SECONDS)
    for second in range(1, WARM_SECONDS + FAULT_SECONDS + AFTER_SECONDS + 1):
        life.live(second)
        told |= {each.id: each for each in next(moments)[1]}
        if second in made:
            made[second] = life.served.output_total
    life.node.end()
    usual = (made[WARM_SECONDS] - made[WARM_SECONDS // 2]) / (WARM_SECONDS / 2)
    now = (made[WARM_SECONDS + FAULT_SECONDS] - made[WARM_SECONDS]) / FAULT_SECONDS
    return _judged(seed, counted, life, 1.0 - now / usual, [*told.values()])


def _judged(seed: int, counted: str, life: Life, size: float, told: list[Incident]) -> Result:
    began, over = WALL_SECONDS + WARM_SECONDS, WALL_SECONDS + WARM_SECONDS + FAULT_SECONDS
    loud = [each for each in told if each.severity != "info"]
    of_it = [e for e in loud if e.kind in {"drop", "stall"} and began - 10 <= e.started <= over]
    best = max(of_it, key=lambda each: each.lost_tokens, default=None)
    return Result(
        seed=seed,
        counted=counted,
        fault=life.fault,
        load=life.load,
        size=size,
        found=best is not None,
        right_cause=best is not None and best.cause == FAULTS[life.fault],
        seconds_to_detect=None if best is None else best.detected - began,
        false=sum(not began - 10 <= each.started <= over + 30 for each in loud),
        told="; ".join(f"{each.kind}/{each.cause}" for each in loud),
    )


def summary(results: Sequence[Result]) -> str:
    """Return the figures of one engine."""
    big = [each for each in results if each.size >= BIG]
    found = [each for each in big if each.found]
    lines = [
        f"drops of 15 % and more: {len(big)}, found {share(len(found), len(big))}",
        f"right cause: {share(sum(each.right_cause for each in found), len(found))}",
    ]
    for fault in FAULTS:
        times = sorted(each.seconds_to_detect or 0.0 for each in found if each.fault == fault)
        if times:
            tenth = times[int(0.9 * len(times))]
            lines.append(f"seconds, {fault}: median {median(times):.0f}, nine of ten within {tenth:.0f}")
    days = len(results) * (WARM_SECONDS + AFTER_SECONDS) / 86_400.0
    lines.append(f"false incidents: {sum(each.false for each in results)} in {days:.2f} quiet node-days")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Play seeds on both engines and print what came of them."""
    parser = argparse.ArgumentParser(prog="benchmarks.on_finish", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, help="the seed after the last")
    parser.add_argument("--worst", action="store_true", help="also each that was judged wrong")
    given = parser.parse_args(arguments)
    seeds = range(given.first, given.last)
    for counted in COUNTED:
        with ProcessPoolExecutor(2) as pool:
            results = list(pool.map(result_of, seeds, [counted] * len(seeds)))
        print(f"== counts {counted}\n{summary(results)}", flush=True)
        for each in results if given.worst else ():
            if each.false or (each.size >= BIG and not (each.found and each.right_cause)):
                print(json.dumps(asdict(each)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
