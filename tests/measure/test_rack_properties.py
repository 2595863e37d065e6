"""Whatever happens to members and to who polls them, in any order: totals are true and rates never burst."""

import json
import math
from dataclasses import replace

import pytest
from fakes.rack_node import OUTPUT, RackNode
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.rack_ledger import RackLedger
from agent.measure.reading import Moment

RATES = (1000.0, 2000.0, 4000.0)
URLS = [f"http://n{number}:9744" for number in range(3)]

what = st.sampled_from(
    [
        "poll",
        "poll",
        "poll",
        "away",
        "lose_state",
        "reboot",
        "restart_rack",
        "copy",
        "twice",
        "skew",
        "restore",
        "suspend",
    ]
)
events = st.lists(st.tuples(what, st.integers(0, 2), st.integers(1, 12)), max_size=14)


class World:
    """Three nodes, one or two racks that poll them, and the truth."""

    def __init__(self, offset=0.0):
        self.nodes = [RackNode(f"n{n}", rate=rate, ahead=1000.0 * n) for n, rate in enumerate(RATES)]
        self.lost = 0.0
        self.second = 0.0
        self.away = set()
        self.offset = offset
        self.highest = 0.0
        self.totals = []
        self.seen = [0.0] * 3
        self.old = [None] * 3
        self.rack = self.fresh()

    def fresh(self, kept=None):
        rack = RackReckoner(RackPlan(), 5.0)
        if kept is not None:
            rack.load(json.loads(json.dumps(kept)))
        rack.expect(URLS)
        return rack

    def go(self, seconds):
        for _ in range(seconds):
            self.second += 1.0
            asked = self.second + self.offset
            for number, node in enumerate(self.nodes):
                if number in self.away:
                    self.rack.miss(URLS[number], "away")
                else:
                    reading = node.reading(asked)
                    self.seen[number] = node.tokens(asked + 0.001 - 0.25)
                    self.old[number] = reading
                    self.rack.take(URLS[number], reading, 1.0)
            self.look()

    def look(self):
        told = self.rack.snapshot(Moment(self.second + self.offset + 0.1, 0.0), "r")
        self.highest = max(self.highest, told.tokens_per_second.get(OUTPUT, 0.0))
        self.totals.append(told.tokens_total.get(OUTPUT, 0.0))
        return told

    def happen(self, event, number, seconds):
        node = self.nodes[number]
        if event == "away":
            self.away ^= {number}
        elif event == "lose_state":
            self.lost += self.seen[number]
            self.seen[number] = 0.0
            node.ledger, node.began, node.base = f"{node.ledger}+", self.second + self.offset, 0.0
        elif event == "reboot":
            node.boot_id, node.ahead = f"{node.boot_id}+", -self.second + 7.0
        elif event == "restart_rack":
            self.rack = self.fresh(self.rack.dump())
        elif event in {"copy", "twice"} and self.old[number] is not None and number not in self.away:
            copy = replace(self.old[number], asked_monotonic_seconds=self.second + self.offset + 0.5)
            self.rack.take(URLS[number], replace(copy, first_byte_monotonic_seconds=self.second + 0.6), 1.0)
        elif event == "skew":
            node.wall += 3600.0
        elif event == "suspend":
            node.ahead += 300.0
        elif event == "restore":
            node.ahead -= 300.0
        self.go(seconds)

    def settle(self):
        self.away = set()
        self.go(12)


@settings(max_examples=150)
@given(events)
def test_totals_never_fall_and_are_the_members_truth_and_no_rate_is_a_burst(story):
    world = World()
    world.go(8)
    for event in story:
        world.happen(*event)
    world.settle()

    assert all(later >= earlier for earlier, later in zip(world.totals, world.totals[1:], strict=False))
    assert world.totals[-1] == pytest.approx(world.lost + sum(world.seen), rel=1e-12)
    assert world.highest <= sum(RATES) * 1.001
    assert world.look().tokens_per_second[OUTPUT] == pytest.approx(sum(RATES), rel=1e-3)


@settings(max_examples=60)
@given(events, st.floats(0.05, 0.9))
def test_two_racks_that_poll_at_different_moments_agree(story, offset):
    """Rates within 0.1 % while tokens flow, totals exactly once nothing moves."""
    one, two = World(), World(offset)
    for world in (one, two):
        world.go(8)
        for event, number, seconds in story:
            if event not in {"lose_state", "copy", "twice"}:
                world.happen(event, number, seconds)
        world.settle()
    first, second = (world.look().tokens_per_second[OUTPUT] for world in (one, two))
    still = [
        RackNode(f"n{n}", rate=0.0, base=10_000.0 + rate * 99, engines=1) for n, rate in enumerate(RATES)
    ]
    for world in (one, two):
        for url, before, node in zip(URLS, world.nodes, still, strict=True):
            node.base, node.ahead, node.boot_id = 1e6, before.ahead + 50, f"{before.boot_id}!"
            world.rack.take(url, node.reading(world.second + 60.0 + world.offset), 1.0)

    assert first == pytest.approx(second, rel=1e-3)
    assert one.look().tokens_total == two.look().tokens_total


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["l1", "l2"]), st.integers(0, 50), st.booleans()), min_size=1))
def test_an_account_is_the_most_that_was_seen_of_it_in_whatever_order(documents):
    ledger = RackLedger()
    for name, seconds, backfilled in documents:
        totals = RackNode("n", base=0.1, ledger=name).totals(float(seconds), lag=0.0)
        ledger.book(("n", name), totals, backfilled=backfilled)
    newest = {name: max(s for other, s, _ in documents if other == name) for name, _, _ in documents}

    assert ledger.tokens() == {OUTPUT: math.fsum(0.1 + 1000.0 * seconds for seconds in newest.values())}
    assert ledger.backfilled()[OUTPUT] <= ledger.tokens()[OUTPUT]
