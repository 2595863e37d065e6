"""The quick rack shows the rack's diagnosis what whole nodes show it: the short cut is no other rack."""

from dataclasses import replace

import pytest

from agent.measure.engine import TokenKind
from agent.measure.snapshot import Origin
from agent.measure.totals import totals_of
from agent.twin import scenario
from agent.wire.totals import from_json, to_json
from benchmarks.quick_rack import LINK, QuickRack, RackBooks, told_at
from benchmarks.virtual_tray import Missing, VirtualNode

SECONDS = 100
RACK = "seed: 5\nrack: {trays: 2, gpus_per_tray: 2, engines_per_tray: 2, queue: 100}\n"
LOAD = "load: {level: 0.9, noise: 0.02}\n"
EVENTS = (
    "  - {kind: engine_crash, at: 30s, lasts: 15s, trays: [0], engines: [1]}\n"
    "  - {kind: gpu_lost, at: 60s, lasts: 10s, trays: [1], gpus: [1]}\n"
    "  - {kind: straggler, at: 30s, lasts: 20s, trays: [1], gpus: [0]}\n"
)
MISSING = {0: (Missing("gpus", 60, 64), Missing("drained", 80, 84)), 1: (Missing(LINK, 80, 86),)}
RATIO = (TokenKind.OUTPUT, "gpu")


def read(member):
    """What the rack's diagnosis reads of a member."""
    return (
        member.node,
        member.up,
        member.drained,
        member.why,
        member.models if member.up else (),
        member.in_flight,
        tuple(replace(gpu, uuid="") for gpu in member.gpus),
        tuple((each.id, each.kind, each.cause, each.gpu, each.ended) for each in member.incidents),
    )


def figures(member):
    ratio = member.tokens_per_joule.get(RATIO)
    return dict(member.tokens_per_second) | ({} if ratio is None else {"ratio": ratio})


def whole_rack(played):
    """Whole nodes, their documents on the wire, and the books of their rack."""
    nodes = [VirtualNode(played, number, MISSING[number]) for number in range(2)]
    books = RackBooks(played.rack.name, ["tray-00", "tray-01"])
    for second, lived in enumerate(zip(*(node.run(SECONDS) for node in nodes), strict=True), start=1):
        for number, node in enumerate(nodes):
            told = replace(
                node.snapshot, incidents=lived[number][1], origin=Origin("boot", "run 1", "ledger")
            )
            away = any(each.source == LINK and each.holds(second) for each in MISSING[number])
            totals = None if away else from_json(to_json(totals_of(told, told_at(second))))
            books.take(f"tray-{number:02d}", totals, second)
        yield books.reckoned(second)


@pytest.fixture(scope="module")
def seconds():
    played = scenario.parse(f"{RACK}{LOAD}events:\n{EVENTS}", "test")
    quick = QuickRack(played, MISSING)
    found = []
    for whole, _ in zip(whole_rack(played), quick.run(SECONDS), strict=True):
        found.append((whole.members, quick.snapshot.members))
    return found


def test_what_the_rack_reads_of_members_is_the_same_each_second(seconds):
    for second, (whole, quick) in enumerate(seconds, start=1):
        assert [read(each) for each in whole] == [read(each) for each in quick], second


def test_their_rates_and_ratios_are_the_same_each_second(seconds):
    compared = 0
    for second, (whole, quick) in enumerate(seconds, start=1):
        for of_whole, of_quick in zip(whole, quick, strict=True):
            assert figures(of_whole) == pytest.approx(figures(of_quick), rel=1e-2), second
            compared += len(figures(of_whole))

    assert compared > 500
