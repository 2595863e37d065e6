"""One long story of a rack of 18 real daemons: what happens to them when, and what was seen."""

from __future__ import annotations

import functools
import json
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakes import netns, stand_in
from fakes.processes import LOOPBACK
from fakes.prometheus import Prometheus
from fakes.rack_cast import KINDS, NODES, Cast, tokens_of
from fakes.rack_truth import RackTruth
from fakes.rack_watch import Sample, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

ROOT = Path(__file__).parents[2]
LIBFAKETIME = next(
    (
        str(found)
        for root in (ROOT / ".cache" / "debian", Path("/"))
        for found in root.glob("usr/lib/*/faketime/libfaketimeMT.so.1")
    ),
    "",
)
JOINING, REST, STEADY = 24, 20, 50
SCENARIO = f"""
rack:
  models: [llama-70b, mixtral]
  tray_tokens_per_second: [
    61742.6, 62094.8, 58644.3, 61925.7, 60951.7, 62803.9, 61373.4, 61840.2, 59962.4,
    62341.9, 61290.5, 57599.1, 62011.4, 60488.2, 61775.6, 62518.6, 59380.9, 62203.1,
  ]
  cached_share: 0.3
load:
  stretches:
    - {{lasts: {JOINING}s, level: 0.5}}
    - {{lasts: {REST}s, level: 0}}
    - {{lasts: {STEADY}s, level: 0.6}}
    - {{lasts: 22s, level: 0.6, to: 0.9}}
    - {{lasts: 36s, level: 0.9, to: 0.55}}
    - {{lasts: 1s, level: 0}}
"""
ENDS = JOINING + REST + STEADY + 58
FAULTS = 68
STOPPED_SECONDS = 60
TOLD_SECONDS = 12.0
"""By then the rack has polled everyone, and Prometheus has scraped it, or something is wrong."""
KILLED, FROZEN, SILENT, APART, AHEAD = 3, 5, 6, 7, 9
STEPPED, OTHER, GARBLED, DRAINED, RESTARTED = 11, 12, 13, 14, 15
"""What happens to whom; the others stand by."""
LIES = {
    "hang": "timed_out",
    "drip": "timed_out",
    "huge": "too_large",
    "garbage": "malformed",
    "wrong": "unsupported",
}
"""What stands in the place of a member, and the reason that its rack gives."""


@dataclass
class Story:
    """What was seen."""

    truth: RackTruth | None = None
    """What the twin made at every moment of it."""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """Of each aggregator, all the time."""
    apart: bool = False
    """Whether one node had a network of its own."""
    marks: dict[str, float] = field(default_factory=dict)
    """When something happened, on the monotonic clock."""
    started: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Before each node was started, and when it was ready."""
    rests: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """Every node's totals at rest."""
    true: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The twin's own truth then."""
    racks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each aggregator said at the last rest."""
    prometheus: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Sums of nodes and each aggregator's rack by kind, at each rest."""
    resets: dict[str, float] = field(default_factory=dict)
    frozen: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Every node's last totals before its GPUs could no longer be read."""
    frozen_racks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def unseen(self, number: int, kind: str) -> float:
        """Tokens that a tray had made before its node saw it: reckoned at the first rest."""
        true = self.true["first"]["trays"][number]["tokens"][kind]
        return float(true - tokens_of(self.rests["first"][number])[kind])

    def made(self, number: int, kind: str) -> float:
        """Tokens that its node must have counted by the last rest."""
        return float(self.true["last"]["trays"][number]["tokens"][kind] - self.unseen(number, kind))


class Teller:
    """Plays the story."""

    def __init__(self, cast: Cast, folder: Path, watching: ExitStack) -> None:
        self.cast = cast
        self.story = Story()
        self._watching = watching
        self._folder = folder
        self._step = folder / "faketime"
        self._net: netns.Netns | None = None
        self._prometheus: Prometheus | None = None

    def tell(self) -> Story:
        began = self.cast.twin.index["began_monotonic_ns"]
        self.story.marks["load ends"] = began / 1e9 + ENDS
        self._people()
        self._join()
        self._rest("first", JOINING + 0.3)
        for at, what, act in sorted(self._plot(), key=lambda event: event[0]):
            self.cast.twin.wait_until(at)
            act()
            self.story.marks[what] = time.monotonic()
        self._rest("last", ENDS + 0.3)
        self.story.racks = {name: self.cast.rack(name) for name in self.cast.heads}
        self._freeze_meters()
        self._watching.close()  # nobody watches any more
        self.story.truth = RackTruth(SCENARIO, began, time.monotonic() - began / 1e9 + 1.0)
        return self.story

    def _people(self) -> None:
        """Configure everyone; the aggregators are there before any node is."""
        cast = self.cast
        assert LIBFAKETIME, "this test needs Debian's libfaketime: make test unpacks it"
        self._step.write_text("+0")
        wrong_clock = {"LD_PRELOAD": LIBFAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        steps = {"FAKETIME_TIMESTAMP_FILE": str(self._step), "FAKETIME_NO_CACHE": "1"}
        own = {
            AHEAD: lambda: cast.node(AHEAD, wrong_clock | {"FAKETIME": "+3600"}),
            STEPPED: lambda: cast.node(STEPPED, wrong_clock | steps),
            SILENT: lambda: cast.node_behind(SILENT),
            GARBLED: lambda: cast.node_behind(GARBLED),
        }
        for number in range(NODES):
            own.get(number, lambda number=number: cast.node(number))()
        if netns.available():
            self._net = cast.node_apart(APART)
            self.story.apart = True
        for name, settings in (("head", {}), ("second", {}), ("long", {"window": "30s"})):
            cast.head(name, **settings)
        pages = [url.removeprefix("http://") for url in (node.url for node in cast.nodes.values())]
        heads = {name: [head.url.removeprefix("http://")] for name, head in cast.heads.items()}
        self._prometheus = self._watching.enter_context(Prometheus({"nodes": pages} | heads))
        for name, seconds in (("head", 0.5), ("second", 0.25), ("long", 1.0)):
            watch = Watch(cast.heads[name].url, seconds)
            self.story.samples[name] = self._watching.enter_context(watch).samples

    def _join(self) -> None:
        for number, node in self.cast.nodes.items():
            before = time.monotonic()
            node.start()
            self.story.started[number] = (before, time.monotonic())

    def _rest(self, name: str, since: float) -> None:
        """Wait until all have read their engines after the load ended, and have told everyone."""
        cast, story = self.cast, self.story
        cast.twin.wait_until(since)
        began = time.monotonic()

        def settled(number: int) -> bool:
            told = cast.totals(number)
            story.rests.setdefault(name, {})[number] = told
            return all(row[1] > began for engine in told["engines"] for row in engine[10]) and told["engines"]

        for number in cast.nodes:
            cast.wait(functools.partial(settled, number), f"node {number} reading its engine")
        story.true[name] = cast.twin.truth()
        counted = {kind: sum(tokens_of(each)[kind] for each in story.rests[name].values()) for kind in KINDS}
        ends = time.monotonic() + TOLD_SECONDS
        while any(told != counted for told in self._sums().values()) and time.monotonic() < ends:
            time.sleep(0.5)
        story.prometheus[name] = self._sums()
        story.marks[name] = time.monotonic()

    def _sums(self) -> dict[str, dict[str, float]]:
        """What Prometheus has, by job and kind."""
        asked = {"nodes": "rackwatt_engine_tokens_total"} | dict.fromkeys(
            self.cast.heads, "rackwatt_rack_tokens_total"
        )
        prometheus = self._prometheus
        for job in self.cast.heads:
            rows = prometheus.query(f'sum(resets(rackwatt_rack_tokens_total{{job="{job}"}}[5m]))')
            self.story.resets[job] = float(rows[0]["value"][1])
        return {
            job: {
                row["metric"]["kind"]: float(row["value"][1])
                for row in prometheus.query(f'sum by (kind) ({name}{{job="{job}"}})')
            }
            for job, name in asked.items()
        }

    def _plot(self) -> list[tuple[float, str, Callable[[], Any]]]:
        """Everything that happens, at seconds of the twin."""
        nodes, head = self.cast.nodes, self.cast.heads["head"]
        killed, frozen, restarted = nodes[KILLED], nodes[FROZEN], nodes[RESTARTED]
        silent, garbled = self.cast.stand_ins[SILENT], self.cast.stand_ins[GARBLED]
        other = (LOOPBACK, nodes[OTHER].port)
        ends = FAULTS + STOPPED_SECONDS
        lies = [
            (FAULTS + 4 + 7 * place, f"{mode} begins", functools.partial(garbled.be, mode))
            for place, mode in enumerate(LIES)
        ]
        return [
            (JOINING + REST + 15, "steady", lambda: None),
            (FAULTS, "frozen", frozen.program.freeze),
            (FAULTS, "silent", functools.partial(silent.be, stand_in.SILENT)),
            (FAULTS, "cut", self._net.cut if self._net else lambda: None),
            (FAULTS + 1, "killed", killed.program.kill),
            (FAULTS + 2, "stepped on", lambda: self._step.write_text("+3600")),
            *lies,
            (FAULTS + 13, "killed is back", functools.partial(killed.start, wait=False)),
            (FAULTS + 15, "restarted", functools.partial(restarted.restart)),
            (FAULTS + 18, "stepped back", lambda: self._step.write_text("-3600")),
            (FAULTS + 20, "head killed", functools.partial(head.restart, kill=True)),
            (FAULTS + 39, "other begins", functools.partial(garbled.be, stand_in.THROUGH, other)),
            (FAULTS + 30, "both killed", lambda: (killed.program.kill(), head.program.kill())),
            (FAULTS + 32, "head is back", functools.partial(head.start, wait=False)),
            (FAULTS + 48, "lies end", functools.partial(garbled.be, stand_in.THROUGH, garbled.target)),
            (FAULTS + 37, "killed is back again", functools.partial(killed.start, wait=False)),
            (FAULTS + 39, "drained", lambda: drain(nodes[DRAINED].url, drained=True)),
            (FAULTS + 41, "head restarted", functools.partial(head.restart)),
            (FAULTS + 52, "undrained", lambda: drain(nodes[DRAINED].url, drained=False)),
            (ends, "thawed", frozen.program.thaw),
            (ends, "heard", functools.partial(silent.be, stand_in.THROUGH)),
            (ends, "mended", self._net.mend if self._net else lambda: None),
        ]

    def _freeze_meters(self) -> None:
        """Let no GPU be read any more, so that energy, which never rests, stands still where it was read."""
        cast, story = self.cast, self.story
        cast.twin.program.freeze()
        story.marks["meters frozen"] = time.monotonic()
        ends = time.monotonic() + 6.0
        while time.monotonic() < ends:
            for number in cast.nodes:
                told = cast.totals(number)
                if told["boundaries"]:
                    story.frozen[number] = told
            time.sleep(0.2)
        story.frozen_racks = {name: cast.rack(name) for name in cast.heads}
        cast.twin.program.thaw()


def drain(url: str, *, drained: bool) -> None:
    """Take a node out, or back in."""
    request = urllib.request.Request(
        f"{url}/api/v1/drain",
        data=json.dumps({"drained": drained, "reason": "repair"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 200
