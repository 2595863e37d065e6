"""One day on which nothing is wrong: load changes, people deploy, telemetry has holes; and what is told.

    PYTHONPATH=tests python -m benchmarks.quiet_day SEED [SECONDS]

A day depends on its seed alone: three of four are of a tray alone, the fourth is of a rack of four trays.
Each tray is judged by its own node, those of a rack also by the rack, as daemons do it. Silence is what is
told as information, and a gap while telemetry is missing. Anything else that stood for a second is false.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from agent.twin import scenario
from benchmarks.careful_rules import Rules
from benchmarks.quick_rack import LINK, QuickRack
from benchmarks.virtual_tray import DRAINED, ENGINES, EVERYTHING, GPUS, Missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.measure.incident import Incident

DAY_SECONDS = 86_400
TRAYS = (1, 4)
RACK_EVERY = 4
"""Of so many days in a row the last is of a rack."""
QUIET_SECONDS = 600
"""At the beginning nothing happens to the trays: what is usual is learned."""
APART_SECONDS = 180
"""Between two times in which engines are away: one after the other without a pause is no restart."""
LEAST_RUNNING = 4
"""Requests in work in each engine where there is any: the twin has no parts of a request, and rounds up.
Fewer are served one by one in `benchmarks.quiet_hours`."""
PROGRAMS_XIDS = (13, 31, 43, 45)
"""A program's own faults; work goes on."""


@dataclass(frozen=True, slots=True)
class Away:
    """A daemon that is restarted."""

    tray: int
    at: int
    lasts: int
    kept: bool
    """Whether it finds what it had kept."""


@dataclass(slots=True)
class Day:
    """What happens on one day, none of which is a fault."""

    text: str
    """The scenario."""
    trays: int
    load: str
    missing: dict[int, tuple[Missing, ...]]
    daemons: list[Away]
    happened: Counter[str]


@dataclass(frozen=True, slots=True)
class Told:
    """One incident as it was told at its loudest."""

    kind: str
    cause: str
    severity: str
    node: str
    second: int
    """Of the day, when it was told first."""
    lasts: float | None
    summary: str


@dataclass(frozen=True, slots=True)
class Result:
    """What was told on one day."""

    seed: int
    trays: int
    load: str
    happened: dict[str, int]
    false: list[Told]
    true_gaps: int
    infos: dict[str, int]
    rules: dict[str, int]
    """Alerts of each rule in PromQL over the whole rack, all of them false."""


class Maker:
    """Draws a day."""

    def __init__(self, seed: int, length: int) -> None:
        self.dice = random.Random(f"quiet day {seed}")
        self.length = length
        self.least = self.lowest = 0.0
        """Of load: at which each engine has something to do, and where there is least of it."""
        self.trays = TRAYS[seed % RACK_EVERY == RACK_EVERY - 1]
        self.events: list[str] = []
        self.missing: dict[int, list[Missing]] = {tray: [] for tray in range(self.trays)}
        self.daemons: list[Away] = []
        self.happened: Counter[str] = Counter()
        self._away: dict[int, list[tuple[float, float]]] = {tray: [] for tray in range(self.trays)}

    def moment(self) -> int:
        """Return a second of the day."""
        return self.dice.randrange(QUIET_SECONDS, self.length - QUIET_SECONDS)

    def tray(self) -> int:
        """Return any tray."""
        return self.dice.randrange(self.trays)

    def free(self, tray: int, lasts: float) -> float | None:
        """Return when engines may be away for so long, apart from any other time; None: nowhere."""
        for _ in range(50):
            at = float(self.moment())
            if all(
                at > end + APART_SECONDS or at + lasts + APART_SECONDS < begin
                for begin, end in self._away[tray]
            ):
                self._away[tray].append((at, at + lasts))
                return at
        return None

    def scaled(self, seconds: float) -> float:
        """Return how long something of a day takes when there is less time for all of it."""
        return max(20.0, seconds * self.length / DAY_SECONDS)

    def happens(self, what: str, event: str) -> None:
        """Note an event."""
        self.events.append(f"  - {{{event}}}")
        self.happened[what] += 1


def day_of(seed: int, length: int = DAY_SECONDS) -> Day:
    """Draw a day; a shorter one has as much in it."""
    make = Maker(seed, length)
    dice = make.dice
    parallel, engines = dice.choice((("data", 1), ("data", 2), ("data", 4), ("tensor", 1), ("tensor", 2)))
    output, prompt = dice.choice((60, 150, 273, 600)), dice.choice((100, 256, 1000, 4000))
    rate = dice.choice((4_000, 20_000, 60_000))
    rates = [round(rate * dice.uniform(0.975, 1.025)) for _ in range(make.trays)]
    running = dice.choice((256, 512, 1024))
    make.least = LEAST_RUNNING * engines / running
    load, shape = _load(make)
    for what in (_demand, _prompts, _restarts, _deploys, _holes, _daemons, _programs):
        what(make, engines)
    if make.trays > 1:
        _links(make)
    text = (
        f"seed: {seed}\n"
        f"rack: {{trays: {make.trays}, parallel: {parallel}, engines_per_tray: {engines}, queue: 1000000,"
        f" tokens_per_second: {rate}, tray_tokens_per_second: {rates}, running: {running},"
        f" output_tokens: {output}, prompt_tokens: {prompt}}}\n"
        f"load: {load}\nevents:\n" + "\n".join(make.events) + "\n"
    )
    missing = {tray: tuple(each) for tray, each in make.missing.items()}
    return Day(text, make.trays, shape, missing, make.daemons, make.happened)


def _load(make: Maker) -> tuple[str, str]:
    """Draw how much is asked for over the day."""
    dice, hour, least = make.dice, make.length / 24, make.least
    shape = dice.choice(("wave", "office", "bursty", "batches", "little"))
    noise = f"noise: {dice.uniform(0.0, 0.1):.3f}"
    if shape == "wave":
        level = dice.uniform(0.3, 0.9)
        share = min(dice.uniform(0.2, 0.95), 1.0 - least / level)
        make.lowest = level * (1.0 - share)
        return f"{{level: {level:.3f}, {noise}, wave: {{share: {share:.2f}, period: {make.length}s}}}}", shape
    if shape == "little":
        spread = dice.uniform(0.2, 0.6)
        level = max(least / (1.0 - spread), dice.uniform(0.01, 0.1))
        make.lowest = level * (1.0 - spread)
        return f"{{level: {level:.3f}, noise: {spread:.2f}}}", shape
    repeat = "false" if shape == "office" else "true"
    if shape == "office":
        night, noon = dice.choice((0.0, max(least, dice.uniform(0.0, 0.3)))), dice.uniform(0.6, 1.1)
        hours = (6, night, night), (2, noon, noon), (4, noon, noon * 0.7), (1, noon * 0.7, noon * 0.7)
        plan = [
            (h * hour, a, b) for h, a, b in (*hours, (4, noon, noon), (3, noon, least), (4, night, night))
        ]
    elif shape == "batches":
        full = dice.uniform(1.02, 1.6)
        plan = [(dice.uniform(1.0, 3.0) * hour, full, full), (dice.uniform(0.5, 3.0) * hour, 0.0, 0.0)]
    else:
        levels = [max(least, dice.uniform(0.1, 1.3)) for _ in range(dice.randrange(3, 8))]
        plan = [(dice.uniform(10.0, 300.0), level, level) for level in levels]
    make.lowest = min(level for _, *both in plan for level in both if level)
    return f"{{stretches: [{_stretches(plan)}], repeat: {repeat}, {noise}}}", shape


def _stretches(plan: Iterable[tuple[float, float, float]]) -> str:
    return ", ".join(f"{{lasts: {lasts:.0f}s, level: {a:.3f}, to: {b:.3f}}}" for lasts, a, b in plan)


def _where(make: Maker) -> str:
    return "" if make.dice.random() < 0.5 else f", trays: [{make.tray()}]"


def _demand(make: Maker, _: int) -> None:
    """Let clients ask for less, nothing or more for a while; no two such times overlap."""
    dice, taken = make.dice, list[tuple[float, float]]()
    for _ in range(dice.randrange(4, 13)):
        factor = dice.choice((0.0, dice.uniform(0.0, 0.3), dice.uniform(0.3, 0.9), dice.uniform(1.1, 2.5)))
        factor = max(factor, make.least / make.lowest) if factor else 0.0
        lasts, at = min(10.0 ** dice.uniform(1.3, 3.9), make.length / 8), make.moment()
        where = _where(make)
        if all(at > end or at + lasts < begin for begin, end in taken):
            taken.append((at, at + lasts))
            event = f"kind: demand, at: {at}s, lasts: {lasts:.0f}s, factor: {factor:.2f}{where}"
            make.happens("demand", event)


def _prompts(make: Maker, _: int) -> None:
    dice = make.dice
    for _ in range(dice.randrange(0, 4)):
        lasts = make.scaled(dice.uniform(300.0, 7200.0))
        event = f"kind: prefill_shift, at: {make.moment()}s, lasts: {lasts:.0f}s"
        make.happens("prompts", f"{event}, factor: {dice.uniform(1.2, 4.0):.2f}{_where(make)}")


def _restarts(make: Maker, engines: int) -> None:
    dice = make.dice
    for _ in range(dice.randrange(2, 7)):
        tray, lasts = make.tray(), dice.randrange(3, 19)
        at = make.free(tray, lasts)
        if at is not None:
            which = "" if dice.random() < 0.5 else f", engines: [{dice.randrange(engines)}]"
            make.happens(
                "restart", f"kind: engine_restart, at: {at:.0f}s, lasts: {lasts}s, trays: [{tray}]{which}"
            )


def _deploys(make: Maker, _: int) -> None:
    """Let each tray be drained, its engines be stopped for minutes, and be taken back."""
    dice = make.dice
    for _ in range(dice.randrange(1, 3)):
        kind = dice.choice(("engine_crash", "engine_crash", "node_down"))
        for tray in range(make.trays):
            before, lasts, after = dice.randrange(2, 30), dice.randrange(40, 300), dice.randrange(3, 60)
            at = make.free(tray, before + lasts + after)
            if at is not None:
                make.missing[tray].append(Missing(DRAINED, at, at + before + lasts + after))
                make.happens(
                    "deploy", f"kind: {kind}, at: {at + before:.0f}s, lasts: {lasts}s, trays: [{tray}]"
                )


def _holes(make: Maker, _: int) -> None:
    dice = make.dice
    lengths = [dice.randrange(1, 5) for _ in range(dice.randrange(10, 30))]
    lengths += [round(10.0 ** dice.uniform(0.9, 2.9)) for _ in range(dice.randrange(1, 5))]
    for lasts in lengths:
        at = make.moment()
        source = dice.choice((GPUS, ENGINES, EVERYTHING))
        make.missing[make.tray()].append(Missing(source, at, at + lasts))
        make.happened["short hole" if lasts < 5 else "long hole"] += 1


def _links(make: Maker) -> None:
    dice = make.dice
    lengths = [dice.randrange(1, 5) for _ in range(dice.randrange(5, 20))]
    lengths += [round(10.0 ** dice.uniform(0.9, 2.9)) for _ in range(dice.randrange(0, 3))]
    for lasts in lengths:
        at = make.moment()
        make.missing[make.tray()].append(Missing(LINK, at, at + lasts))
        make.happened["lost polls" if lasts < 5 else "member not reached"] += 1


def _daemons(make: Maker, _: int) -> None:
    dice = make.dice
    for _ in range(dice.randrange(0, 3)):
        lasts = dice.choice((dice.randrange(1, 5), dice.randrange(8, 60)))
        make.daemons.append(Away(make.tray(), make.moment(), lasts, kept=dice.random() < 0.7))
        make.happened["daemon restart"] += 1


def _programs(make: Maker, _: int) -> None:
    for _ in range(make.dice.randrange(0, 4)):
        xid = make.dice.choice(PROGRAMS_XIDS)
        make.happens("program's Xid", f"kind: gpu_fault, at: {make.moment()}s, xid: {xid}{_where(make)}")


def result_of(seed: int, seconds: int = DAY_SECONDS) -> Result:
    """Play a day, or a shorter one, and judge what was told."""
    day = day_of(seed, seconds)
    rack, rules = QuickRack(scenario.parse(day.text, f"day {seed}"), day.missing), Rules()
    told: dict[str, Told] = {}
    gaps: set[str] = set()
    last: dict[str, Incident] = {}
    for second in range(1, seconds + 1):
        absent = _absent(rack, day, second)
        _, incidents = rack.step(second, absent)
        if any(each.ended is None for each in incidents):
            _note(told, gaps, incidents, second, unseen=_is_unseen(rack, day, second))
        last |= {each.id: each for each in incidents}
        rules.see(second, *rack.nodes)
    final = {name: replace(each, lasts=_lasted(last[name])) for name, each in told.items()}
    return _judged(seed, day, final, gaps, rules)


def _lasted(incident: Incident) -> float | None:
    return None if incident.ended is None else round(incident.ended - incident.started, 1)


def _absent(rack: QuickRack, day: Day, second: int) -> frozenset[int]:
    """Return the trays whose daemon is not there; one that comes back is another."""
    for each in day.daemons:
        if second == each.at + each.lasts:
            rack.restart(each.tray, kept=each.kept)
    return frozenset(each.tray for each in day.daemons if each.at <= second < each.at + each.lasts)


def _is_unseen(rack: QuickRack, day: Day, second: int) -> dict[str, bool]:
    """Return of each node whether something of it cannot be read, or could not a moment ago."""
    found = {}
    for number, node in enumerate(rack.nodes):
        holes = [*day.missing.get(number, ())]
        away = [Missing(LINK, each.at, each.at + each.lasts) for each in day.daemons if each.tray == number]
        found[node.name] = any(
            each.source != DRAINED and each.holds(second - late)
            for each in (*holes, *away)
            for late in (0, 2)
        )
    return found


def _note(
    told: dict[str, Told],
    gaps: set[str],
    incidents: Iterable[Incident],
    second: int,
    *,
    unseen: dict[str, bool],
) -> None:
    """Note each incident that stands at its loudest."""
    loudness = ("info", "warning", "critical")
    for each in incidents:
        if each.ended is not None:
            continue
        before = told.get(each.id)
        if before is None and each.kind == "gap" and unseen[each.node]:
            gaps.add(each.id)
        if before is None or loudness.index(each.severity) > loudness.index(before.severity):
            first = second if before is None else before.second
            told[each.id] = Told(
                str(each.kind), str(each.cause), str(each.severity), each.node, first, None, each.summary
            )


def _judged(seed: int, day: Day, told: dict[str, Told], gaps: set[str], rules: Rules) -> Result:
    loud = [each for name, each in told.items() if each.severity != "info" and name not in gaps]
    infos = Counter(f"{each.kind}/{each.cause}" for each in told.values() if each.severity == "info")
    alerts = {name: len(rule.alerts) for name, rule in rules.rules.items()}
    return Result(seed, day.trays, day.load, dict(day.happened), loud, len(gaps), dict(infos), alerts)


def main(arguments: Sequence[str]) -> int:
    """Play one day and print what came of it, as a line of JSON."""
    print(json.dumps(asdict(result_of(*map(int, arguments)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
