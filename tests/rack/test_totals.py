"""Totals of a rack of 18 daemons over kills, stops, cuts and wrong clocks: exact, and never falling."""

import itertools

import pytest
from fakes.rack_cast import KINDS, joules_of, tokens_of
from fakes.rack_story import APART, FROZEN, GARBLED, KILLED, RESTARTED, SILENT

HEADS = pytest.mark.parametrize("name", ["head", "second", "long"])


def series_of(sample):
    """Every total that one look at an aggregator saw."""
    seen = {}
    for key in ("tokens_total", "backfilled_tokens_total", "energy_joules_total"):
        seen |= {(key, kind): total for kind, total in (sample.rack or {}).get(key, {}).items()}
    page = sample.metrics or {}
    return seen | {key: value for key, value in page.items() if key[0].endswith("_total")}


@pytest.mark.parametrize("kind", KINDS)
def test_each_node_has_counted_what_its_engine_made_since_it_was_first_seen(story, kind):
    """T1: to the token, over SIGKILL, SIGSTOP, a cut network, a restart and stepped clocks."""
    counted = {number: tokens_of(told)[kind] for number, told in story.rests["last"].items()}

    assert counted == {number: story.made(number, kind) for number in counted}
    assert len(counted) == 18


def test_a_node_that_joins_under_load_begins_at_what_it_first_saw(story):
    """T1: what its engine had made before lies between its start and its first reading."""
    for number, (before, ready) in story.started.items():
        unseen = story.unseen(number, "output")
        assert story.truth.tokens(number, "output", before) - 1 <= unseen
        assert unseen <= story.truth.tokens(number, "output", ready) + 1
    assert story.unseen(0, "output") < story.unseen(17, "output")


@HEADS
@pytest.mark.parametrize("kind", KINDS)
def test_at_rest_a_rack_total_is_the_truth_to_the_token(story, name, kind):
    """T1, T10: whatever was killed, stopped, cut off, answered for or set to another hour."""
    truth = sum(story.made(number, kind) for number in story.rests["last"])

    assert story.racks[name]["tokens_total"][kind] == truth
    assert truth > 1_000_000


def test_the_energy_of_each_node_is_the_truth_at_the_moment_that_it_tells(story):
    """T1: to the millijoules that a driver tells."""
    for number, told in story.frozen.items():
        first, began = joules_of(story.rests["first"][number], "gpu")
        last, ended = joules_of(told, "gpu")
        truth = story.truth.joules(number, "gpu", ended) - story.truth.joules(number, "gpu", began)

        assert last - first == pytest.approx(truth, rel=1e-6), number


@HEADS
@pytest.mark.parametrize("boundary", ["gpu", "module"])
def test_a_rack_s_energy_is_the_sum_of_what_its_members_last_told(story, name, boundary):
    told = [joules_of(told, boundary)[0] for told in story.frozen.values()]

    assert len(told) == 18
    assert story.frozen_racks[name]["energy_joules_total"][boundary] == pytest.approx(sum(told), rel=1e-12)


def test_module_energy_is_integrated_power_and_lacks_only_what_was_not_seen(story):
    """T8, T9: nodes that were never away are within half a percent; those that were lack the time away."""
    away = {KILLED, FROZEN, RESTARTED}
    for number, told in story.frozen.items():
        first, began = joules_of(story.rests["first"][number], "module")
        last, ended = joules_of(told, "module")
        truth = story.truth.joules(number, "module", ended) - story.truth.joules(number, "module", began)

        assert last - first <= truth * 1.005, number
        assert number in away or last - first >= truth * 0.995, number


@HEADS
def test_no_total_of_a_rack_ever_falls(story, name):
    """T1: looked at all the time, on both addresses; `head` was killed twice and restarted in between."""
    highest, falls = {}, []
    for sample in story.samples[name]:
        for key, total in series_of(sample).items():
            if total < highest.get(key, 0.0):
                falls.append((round(sample.asked - story.marks["head killed"], 1), key, highest[key] - total))
            highest[key] = max(total, highest.get(key, 0.0))

    assert falls == []
    assert len(highest) > 60


STARVED = 2.0
"""Looks this far apart may have missed how somebody went and came back: the machine was too busy."""


def nodes_of(page):
    return [node for series, node, _ in page if series == "rack_member_up"]


def returned(before, after):
    """Nodes that came back between two looks."""
    return [
        node
        for (series, node, _), up in after.items()
        if series == "rack_member_up" and up and before.get((series, node, "")) == 0.0
    ]


def grown(before, after, series, node, kind):
    return after.get((series, node, kind), 0.0) - before.get((series, node, kind), 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_backfilled_are_exactly_the_tokens_that_a_member_made_while_it_was_away(story, kind):
    """T10: each growth is what members that were away for more than three seconds brought at their return."""
    down, brought, total = {}, set(), 0.0
    looks = [sample for sample in story.samples["second"] if sample.metrics]
    for earlier, sample in itertools.pairwise(looks):
        before, after = earlier.metrics, sample.metrics
        surely = maybe = 0.0
        starved = sample.asked - earlier.asked > STARVED
        for node in nodes_of(after) if starved else returned(before, after):
            seconds = earlier.asked - down.pop(node, earlier.asked)
            tokens = grown(before, after, "rack_member_tokens_total", node, kind)
            maybe += tokens
            surely += tokens if seconds > 5.0 and not starved else 0.0
            brought |= {node} if tokens > 100_000 and seconds > 5.0 else set()
        for (series, node, _), up in after.items():
            if series == "rack_member_up" and not up:
                down.setdefault(node, sample.asked)
        filled = grown(before, after, "rack_backfilled_tokens_total", "", kind)
        assert surely <= filled <= maybe
        total += filled

    away = [KILLED, FROZEN, SILENT, GARBLED, *([APART] if story.apart else [])]
    assert {f"tray-{number:02d}" for number in away} <= brought
    assert total == looks[-1].metrics["rack_backfilled_tokens_total", "", kind]


@HEADS
@pytest.mark.parametrize("kind", KINDS)
def test_in_prometheus_the_nodes_have_counted_as_much_as_the_rack(story, name, kind):
    """Between two moments at rest, from a real Prometheus that scraped everyone."""
    first, last = story.prometheus["first"], story.prometheus["last"]

    assert last[name][kind] - first[name][kind] == last["nodes"][kind] - first["nodes"][kind] > 100_000


@HEADS
def test_prometheus_saw_no_counter_of_a_rack_begin_anew(story, name):
    """A total that fell, by however little, would be counted again as a whole."""
    assert story.resets[name] == 0.0
