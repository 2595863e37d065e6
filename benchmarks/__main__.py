"""Prints the figures that we claim, each beside its peer's, from one run.

PYTHONPATH=tests python -m benchmarks [--quick] [--json] [NAME …]
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fakes.processes import ProcessFailedError
from fakes.prometheus import MissingProgramError

from benchmarks import (
    cardinality,
    demo_start,
    engine_cost,
    fan_in,
    hall,
    latency,
    node,
    page_latency,
    pages,
    push,
    rack,
    recording,
    report,
    soak,
    start,
)
from benchmarks.daemons import MissingPeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.report import Figure

BENCHMARKS: dict[str, Callable[..., Sequence[Figure]]] = {
    "node": node.gpus_alone,
    "engines": node.with_engines,
    "pages": pages.reader,
    "memory": soak.memory,
    "latency": latency.scrapes,
    "engine-cost": engine_cost.engine_cost,
    "start": start.start,
    "demo": demo_start.demo_start,
    "push": push.push,
    "rack": rack.rack,
    "fan-in": fan_in.fan_in,
    "page-latency": page_latency.page_latency,
    "cardinality": cardinality.cardinality,
}
LONG: dict[str, Callable[..., Sequence[Figure]]] = {
    "hall": hall.hall,
    "recording": recording.recording,
    "soak": soak.soak,
}
"""Minutes, or much memory: only when they are named."""


def main() -> int:
    """Run what was named, or all, and print it; a missed budget is told, and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="short windows: shows that it runs, not how fast"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"default: {', '.join(BENCHMARKS)}; when named: {', '.join(LONG)}",
    )
    options = parser.parse_args()
    known = BENCHMARKS | LONG
    unknown = set(options.names) - known.keys()
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    facts = report.machine()
    done: dict[str, Sequence[Figure]] = {}
    for name in options.names or BENCHMARKS:
        try:
            done[name] = known[name](quick=options.quick)
        except (MissingPeerError, MissingProgramError, ProcessFailedError) as error:
            print(f"benchmarks: {name}: {error}", file=sys.stderr)
            return 2
        if not options.json:
            print(report.as_text(name, done[name]), flush=True)
    if options.json:
        print(report.as_json(facts, done))
    else:
        print(report.closing(facts, done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
