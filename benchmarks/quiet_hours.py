"""False alarms where nothing is wrong: hours of requests that come by chance, served without the twin.

`PYTHONPATH=tests python -m benchmarks.quiet_hours HOURS [SEED]` plays each load for so many virtual hours.
"""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from fakes.replayed_node import ReplayedNode
from fakes.requests_served import Asked, Served, Traits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.incident import Incident

HOUR_SECONDS = 3600
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


def incidents_of(load: str, seconds: int, seed: int) -> tuple[Incident, ...]:
    """Play one load and return every incident as it was told last."""
    return tuple({each.id: each for each in incidents_seen(load, seconds, seed)}.values())


def incidents_seen(load: str, seconds: int, seed: int) -> tuple[Incident, ...]:
    """Play one load and return every incident, each time that its kind, cause, severity or end is another.

    One that is loud for a second has rung by then, whatever it turns out to be.
    """
    served = Served(Traits(), LOADS[load], seed)
    node = ReplayedNode(lambda _: served.page())
    told: dict[tuple[str, ...], Incident] = {}
    moments = node.run(1, seconds)
    for second in range(1, seconds + 1):
        served.live(float(second))
        for each in next(moments)[1]:
            told[each.id, each.kind, each.cause, each.severity, str(each.ended)] = each
    node.end()
    return tuple(told.values())


def loudest(seen: Sequence[Incident]) -> dict[str, Incident]:
    """Return each incident as it was when it was loudest."""
    found: dict[str, Incident] = {}
    for each in seen:
        if each.id not in found or LOUDNESS.index(each.severity) > LOUDNESS.index(found[each.id].severity):
            found[each.id] = each
    return found


def main(arguments: Sequence[str]) -> int:
    """Print what was told at each load, and what zero of it proves."""
    hours = float(arguments[0]) if arguments else 1.0
    seconds, seed = round(hours * HOUR_SECONDS), int(arguments[1]) if len(arguments) > 1 else 1
    loud = 0
    with ProcessPoolExecutor(2) as pool:
        for load, seen in zip(
            LOADS, pool.map(incidents_seen, LOADS, [seconds] * len(LOADS), [seed] * len(LOADS)), strict=True
        ):
            told = loudest(seen).values()
            counts = Counter(f"{each.severity}/{each.kind}/{each.cause}" for each in told)
            loud += sum(each.severity != "info" for each in told)
            print(f"{load}: {dict(counts) or 'silence'}")
    days = hours * len(LOADS) / 24.0
    bound = f", so fewer than {3.0 / days:.1f} a node and day (95 %)" if loud == 0 else ""
    print(f"{loud} incidents louder than info in {days:.2f} quiet node-days{bound}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
