"""False alarms where nothing is wrong: many quiet days, several at once, each in a process of its own.

    PYTHONPATH=tests python -m benchmarks.quiet_days FIRST LAST [--kept FILE] [--seconds N] [--exact]

A rack-day is one virtual day of one rack; what happens on it is in `benchmarks.quiet_day`. With `--kept` each
day is a line of JSON in a file, and days in it are not played again: so a run can be split and resumed. The
twin lives in steps of a second, with `--exact` of a tenth as it does elsewhere (`benchmarks.whole_seconds`).
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.careful_rules import RULES
from benchmarks.quiet_day import TRAYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DAY = "benchmarks.quiet_day"


def played(seed: int, exact: bool, ends: float) -> dict[str, Any] | None:
    """Play one day in a process of its own; None when it is too late to begin."""
    if time.monotonic() > ends:
        return None
    modules = [DAY] if exact else ["benchmarks.whole_seconds", DAY]
    command = [sys.executable, "-m", *modules, str(seed)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return told


def results_of(
    seeds: Sequence[int], workers: int, kept: Path | None, exact: bool, seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield what came of each day, those that are kept first."""
    lines = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    known = {told["seed"]: told for told in map(json.loads, lines)}
    yield from (known[seed] for seed in seeds if seed in known)
    ends = time.monotonic() + seconds
    with ThreadPoolExecutor(workers) as pool:
        for done in as_completed(
            [pool.submit(played, seed, exact, ends) for seed in seeds if seed not in known]
        ):
            told = done.result()
            if told is None:
                continue
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(told) + "\n")
            yield told


def summary(results: Sequence[dict[str, Any]]) -> str:
    """Return the figures of many days as text."""
    lines = []
    for trays in TRAYS:
        of_it = [each for each in results if each["trays"] == trays]
        if of_it:
            lines.append(_share(f"racks of {trays} trays" if trays > 1 else "racks of one tray", of_it))
    lines.append(_share("all", results))
    happened, infos = (
        sum((Counter(each[key]) for each in results), Counter()) for key in ("happened", "infos")
    )
    lines.append(f"what happened: {_counts(happened)}")
    lines.append(f"gaps told while telemetry was missing: {sum(each['true_gaps'] for each in results)}")
    lines.append(f"infos: {_counts(infos)}")
    for name, rule in RULES.items():
        count = sum(each["rules"][name] for each in results)
        lines.append(
            f"rule in PromQL, {name}: {count} alerts, {count / len(results):.2g} a rack-day ({rule})"
        )
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counter.most_common()) or "none"


def _share(name: str, results: Sequence[dict[str, Any]]) -> str:
    """Say how many were false, and what none of them proves: fewer than 3/N with 95 %."""
    days, false = len(results), sum(len(each["false"]) for each in results)
    trays = sum(each["trays"] for each in results)
    rated = (
        f"fewer than {3.0 / days:.2g} a rack-day (3/N, 95 %)"
        if not false
        else f"{false / days:.2g} a rack-day"
    )
    return f"{name}: {false} false incidents in {days} rack-days ({trays} tray-days), {rated}"


def main(arguments: Sequence[str]) -> int:
    """Play days and print what was told."""
    parser = argparse.ArgumentParser(prog="benchmarks.quiet_days", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, help="the day after the last")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no day after so long")
    given = parser.parse_args(arguments)
    results = []
    seeds = range(given.first, given.last)
    for each in results_of(seeds, given.workers, given.kept, given.exact, given.seconds):
        results.append(each)
        for false in each["false"]:
            print(f"day {each['seed']} ({each['load']}): FALSE {json.dumps(false)}", flush=True)
    print(summary(results) if results else "no day was played")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
