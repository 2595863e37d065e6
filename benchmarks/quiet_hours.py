"""False alarms where nothing is wrong: hours of requests that come by chance, served without the twin.

`PYTHONPATH=tests python -m benchmarks.quiet_hours HOURS [SEED]` plays each load for so many virtual hours;
with `--ended` on an engine that counts what has ended, beside a GPU that draws more with more to do.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from fakes.replayed_node import ReplayedNode
from fakes.requests_served import Asked, Served, Traits

from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Power, PowerScope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.incident import Incident
    from agent.measure.reading import Moment

HOUR_SECONDS = 3600
IDLE_WATTS, BUSY_WATTS, BUSY_REQUESTS = 250.0, 750.0, 8.0
"""What a GPU draws without work, beyond that at full work, and the requests that make most of that."""
WATTS_SPREAD, CLOCK_SPREAD = 0.04, 0.005
LOUDNESS = ("info", "warning", "critical")
LOADS = {
    "one at a time": Asked(per_second=0.25),
    "a few": Asked(per_second=0.8),
    "about ten": Asked(per_second=2.6),
    "about thirty": Asked(per_second=6.0),
    "long answers": Asked(per_second=0.6, output=900.0),
    "short answers": Asked(per_second=12.0, output=30.0, prompt=200.0),
    "long prompts": Asked(per_second=1.0, prompt=5000.0, spread=1.2),
    "in bursts": Asked(per_second=2.6, together=16),
    "two clients": Asked(per_second=1.0, clients=2),
    "eight clients": Asked(per_second=1.0, clients=8),
    "eight clients, long prompts": Asked(per_second=1.0, clients=8, prompt=4000.0, spread=1.2),
    "thirty-two clients": Asked(per_second=1.0, clients=32),
    "more clients than fit": Asked(per_second=1.0, clients=100),
    "more than it can": Asked(per_second=15.0),
}


def incidents_of(load: str, seconds: int, seed: int, *, ended: bool = False) -> tuple[Incident, ...]:
    """Play one load and return every incident as it was told last."""
    return tuple({each.id: each for each in incidents_seen(load, seconds, seed, ended=ended)}.values())


def incidents_seen(load: str, seconds: int, seed: int, *, ended: bool = False) -> tuple[Incident, ...]:
    """Play one load and return every incident, each time that its kind, cause, severity or end is another.

    One that is loud for a second has rung by then, whatever it turns out to be.
    """
    served = Served(Traits(), LOADS[load], seed)
    if ended:
        worked = Worked(served, random.Random(f"worked {seed}"))
        node = ReplayedNode(lambda _: served.page_of_ended(), worked.read)
    else:
        node = ReplayedNode(lambda _: served.page())
    told: dict[tuple[str, ...], Incident] = {}
    moments = node.run(1, seconds)
    for second in range(1, seconds + 1):
        served.live(float(second))
        for each in next(moments)[1]:
            told[each.id, each.kind, each.cause, each.severity, str(each.ended)] = each
    node.end()
    return tuple(told.values())


class Worked:
    """A GPU that is worked by an engine: what it draws goes with what is in work, and varies."""

    def __init__(self, served: Served, dice: random.Random) -> None:
        self._served, self._dice = served, dice

    def read(self, now: Moment) -> tuple[GpuReading, ...]:
        """Return what it shows now."""
        busy = 1.0 - math.exp(-self._served.in_work / BUSY_REQUESTS)
        watts = (IDLE_WATTS + BUSY_WATTS * busy) * self._dice.gauss(1.0, WATTS_SPREAD)
        return (
            GpuReading(
                GpuIdentity("GPU-0", "NVIDIA GB300", "00000000:06:00.0", "580.173.02"),
                now,
                GpuState.OK,
                power={PowerScope.GPU: Power(watts, watts)},
                power_limit_watts={PowerScope.GPU: 1400.0},
                utilization_ratio=0.95 if busy else 0.0,
                temperature_celsius={"gpu": 62.0},
                clock_hertz={"sm": 2.07e9 * self._dice.gauss(1.0, CLOCK_SPREAD)},
                throttle_active=frozenset(),
            ),
        )


def loudest(seen: Sequence[Incident]) -> dict[str, Incident]:
    """Return each incident as it was when it was loudest."""
    found: dict[str, Incident] = {}
    for each in seen:
        if each.id not in found or LOUDNESS.index(each.severity) > LOUDNESS.index(found[each.id].severity):
            found[each.id] = each
    return found


def main(arguments: Sequence[str]) -> int:
    """Print what was told at each load, and what zero of it proves."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quiet_hours", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("hours", type=float, nargs="?", default=1.0)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--ended", action="store_true", help="on an engine that counts what has ended")
    given = parser.parse_args(arguments)
    play = partial(
        incidents_seen, seconds=round(given.hours * HOUR_SECONDS), seed=given.seed, ended=given.ended
    )
    loud = 0
    with ProcessPoolExecutor(2) as pool:
        for load, seen in zip(LOADS, pool.map(play, LOADS), strict=True):
            told = loudest(seen).values()
            counts = Counter(f"{each.severity}/{each.kind}/{each.cause}" for each in told)
            loud += sum(each.severity != "info" for each in told)
            print(f"{load}: {dict(counts) or 'silence'}", flush=True)
    days = given.hours * len(LOADS) / 24.0
    bound = f", so fewer than {3.0 / days:.1f} a node and day (95 %)" if loud == 0 else ""
    print(f"{loud} incidents louder than info in {days:.2f} quiet node-days{bound}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
