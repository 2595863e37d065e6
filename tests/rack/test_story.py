"""What is true of a rack of 18 real daemons over one long story (fakes/rack_story.py): one file, it is dear.

First its totals, over kills, stops, cuts and wrong clocks: exact, and never falling. Then its live figures,
looked at all the time: true of who is covered, never a burst.
"""

import itertools
import re

import pytest
from fakes.rack_cast import KINDS, joules_of, tokens_of
from fakes.rack_story import (
    AHEAD,
    APART,
    DRAINED,
    FROZEN,
    GARBLED,
    KILLED,
    LIES,
    OTHER,
    RESTARTED,
    SILENT,
    STEPPED,
)

pytestmark = pytest.mark.alone

HEADS = pytest.mark.parametrize("name", ["head", "second", "long"])
WRONG = 0.01
TOUCHED = {KILLED, FROZEN, SILENT, APART, GARBLED, DRAINED, RESTARTED}


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


POLLS_SECONDS = 2.5
"""Between two looks a member that is there brings what it made in so long, at most."""


def nodes_of(page):
    """Members that have told who they are, and are nobody's double."""
    return [
        node for series, node, _ in page if series == "rack_member_up" and re.fullmatch(r"tray-\d\d", node)
    ]


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
def test_backfilled_are_the_tokens_that_a_member_made_while_it_was_away(story, kind):
    """T10: what a member brought when it came back, but for what a poll after that may have added unseen."""
    down, brought, total, exact = {}, set(), 0.0, 0
    lately = {}
    looks = [sample for sample in story.samples["second"] if sample.metrics]
    for earlier, sample in itertools.pairwise(looks):
        before, after = earlier.metrics, sample.metrics
        back, surely, maybe = returned(before, after), 0.0, 0.0
        for node in nodes_of(after):
            tokens = grown(before, after, "rack_member_tokens_total", node, kind)
            usual = POLLS_SECONDS * story.truth.rate(int(node[-2:]), kind, earlier.asked - 5.0, sample.asked)
            away = node in back and earlier.asked - down.pop(node, earlier.asked) > 5.0
            maybe += tokens if node in back or tokens > usual else 0.0
            surely += max(0.0, tokens - usual) if away else 0.0
            lately |= {node: sample.asked} if away else {}
            brought |= {node} if tokens > 100_000 and sample.asked - lately.get(node, 0.0) < 3.0 else set()
            if not after["rack_member_up", node, ""]:
                down.setdefault(node, sample.asked)
        filled = grown(before, after, "rack_backfilled_tokens_total", "", kind)
        exact += filled == maybe > 100_000
        assert surely <= filled <= maybe
        total += filled

    away = [KILLED, FROZEN, SILENT, GARBLED, *([APART] if story.apart else [])]
    assert {f"tray-{number:02d}" for number in away} <= brought
    assert total == looks[-1].metrics["rack_backfilled_tokens_total", "", kind]
    assert exact


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


def figures(story, name, since=None, until=None):
    """Every look at an aggregator that saw a rate, while there was load."""
    since, until = since or story.marks["steady"], until or story.marks["load ends"]
    return [
        sample
        for sample in story.samples[name]
        if sample.rack is not None and sample.rack["tokens_per_second"] and since <= sample.at < until
    ]


def number_of(member):
    return int(member["node"].removeprefix("tray-"))


def shown(sample):
    """The members that show a rate, by their tray."""
    return {
        number_of(member): member["tokens_per_second"]["output"]
        for member in sample.rack["members"]
        if "output" in member["tokens_per_second"]
    }


def unseen(sample):
    """Trays in duty whose node does not answer: what they gave before may be in the window."""
    return [
        number_of(member)
        for member in sample.rack["members"]
        if not member["up"]
        and not member["drained"]
        and "(" not in member["node"]
        and ":" not in member["node"]
    ]


def truth(story, sample, numbers):
    """What these trays made a second in the window that the rates speak of."""
    start = sample.end - sample.rack["window_seconds"]
    return sum(story.truth.rate(number, "output", start, sample.end) for number in numbers)


def covered_most(story, sample):
    """The most that those who are covered can have made."""
    told, away = shown(sample), unseen(sample)
    count = round(sample.rack["coverage"] * sample.rack["nodes"]["expected"]) - len(told)
    most = sorted((truth(story, sample, [number]) for number in away), reverse=True)[: max(0, count)]
    return truth(story, sample, told) + sum(most)


def off(told, true):
    """How far a figure is from the truth, as a ratio; a token a second is nothing."""
    return abs(told - true) / max(true, 1.0)


def nearly_all(errors):
    """The error that 99 of 100 stay below."""
    return sorted(errors)[int(0.99 * len(errors))]


@HEADS
def test_a_rate_is_never_more_than_what_the_covered_members_made(story, name):
    """T10: no burst when anyone, or the rack's daemon, comes back; nothing is scaled up."""
    seen = figures(story, name)
    excess = [
        sample.rack["tokens_per_second"]["output"] - covered_most(story, sample) * (1.0 + WRONG)
        for sample in seen
    ]

    assert max(excess) <= 1.0
    assert len(seen) > 60


@HEADS
def test_a_rack_s_rate_is_the_sum_of_the_members_that_are_covered(story, name):
    for sample in figures(story, name):
        rate, told = sample.rack["tokens_per_second"]["output"], shown(sample)
        if round(sample.rack["coverage"] * sample.rack["nodes"]["expected"]) == len(told):
            assert rate == pytest.approx(sum(told.values()), rel=1e-9)
        else:
            assert rate > sum(told.values())


@HEADS
def test_each_member_s_rate_is_its_truth_over_the_window_that_is_told(story, name):
    """T3, T10: 99 of 100 within one percent, over windows of 10 s and of 30 s."""
    errors = [
        off(rate, truth(story, sample, [number]))
        for sample in figures(story, name)
        for number, rate in shown(sample).items()
    ]

    assert nearly_all(errors) <= WRONG
    assert len(errors) > 500


@HEADS
def test_the_rate_is_the_truth_of_the_whole_rack_while_nobody_is_missing(story, name):
    """T10: 99 of 100 within one percent."""
    errors = [
        off(sample.rack["tokens_per_second"]["output"], truth(story, sample, duty(sample)))
        for sample in figures(story, name)
        if sample.rack["coverage"] == 1.0
    ]

    assert nearly_all(errors) <= WRONG
    assert len(errors) > 5


@HEADS
@pytest.mark.parametrize(("boundary", "wrong"), [("gpu", WRONG), ("module", 3 * WRONG)])
def test_tokens_per_joule_are_true_of_the_members_in_duty(story, name, boundary, wrong):
    """T5: within one percent; integrated power (T9) is further off while the load makes a step."""
    errors = []
    for sample in figures(story, name):
        ratio = sample.rack["tokens_per_joule"].get(boundary, {}).get("output")
        window = sample.rack["figures"][f"rack_tokens_per_joule_{boundary}"]["window_seconds"]
        if ratio is not None and window == sample.rack["window_seconds"]:
            start = sample.end - window
            errors.append(off(ratio, efficiency(story, duty(sample), boundary, start, sample.end)))

    assert nearly_all(errors) <= wrong
    assert len(errors) > 5


def efficiency(story, trays, boundary, start, end):
    tokens = sum(story.truth.rate(n, "output", start, end) * (end - start) for n in trays)
    joules = sum(story.truth.joules(n, boundary, end) - story.truth.joules(n, boundary, start) for n in trays)
    return tokens / joules


def duty(sample):
    return [number_of(m) for m in sample.rack["members"] if not m["drained"] and "(" not in m["node"]]


@HEADS
def test_what_lacks_in_the_rate_is_told(story, name):
    """T10: less than the whole rack's truth comes with coverage below 1 and a member to blame."""
    lacking = 0
    for sample in figures(story, name):
        rack = sample.rack
        if rack["tokens_per_second"]["output"] < truth(story, sample, range(18)) * (1.0 - WRONG):
            lacking += 1
            told = rack["coverage"] < 1.0 or rack["nodes"]["drained"]
            blamed = [m for m in rack["members"] if m["drained"] or not m["up"] or m["coverage"] < 1.0]
            assert told, rack["nodes"]
            assert blamed

    assert lacking > 20


def test_members_that_are_away_are_named_and_not_counted_as_reporting(story):
    away = [FROZEN, SILENT, *([APART] if story.apart else [])]
    names = {f"tray-{number:02d}" for number in away}
    looks = figures(story, "second", story.marks["cut"] + 15.0, story.marks["thawed"] - 1.0)

    assert len(looks) > 40
    for sample in looks:
        nodes = sample.rack["nodes"]
        assert names <= set(nodes["missing"])
        assert nodes["reporting"] <= nodes["expected"] - len(names)
        assert sample.rack["coverage"] < 0.95
        assert not sample.rack["valid"]
        assert "gpu" not in sample.rack["tokens_per_joule"]


def test_a_drained_member_leaves_the_expectation(story):
    """T4, T10."""
    looks = figures(story, "second", story.marks["drained"] + 3.0, story.marks["undrained"] - 1.0)

    assert looks
    for sample in looks:
        nodes = sample.rack["nodes"]
        assert nodes["drained"] == [f"tray-{DRAINED:02d}"]
        assert nodes["expected"] == 17
        assert sample.rack["gpus"]["expected"] == 68
        assert f"tray-{DRAINED:02d}" not in nodes["missing"]
    assert story.racks["second"]["nodes"] == {"expected": 18, "reporting": 18, "missing": [], "drained": []}


def test_wrong_clocks_change_nothing(story):
    """T1, T3: an hour ahead all the time, and stepped by an hour forth and two back."""
    errors = [
        off(shown(sample)[number], truth(story, sample, [number]))
        for sample in figures(story, "second")
        for number in (AHEAD, STEPPED)
        if number in shown(sample)
    ]

    assert nearly_all(errors) <= WRONG
    assert len(errors) > 300
    hours = [
        told["now"][1] - told["now"][0] for told in (story.rests["last"][n] for n in (0, AHEAD, STEPPED))
    ]
    assert hours[1] - hours[0] == pytest.approx(3600.0, abs=5.0)
    assert hours[2] - hours[0] == pytest.approx(-3600.0, abs=5.0)


def test_two_aggregators_agree_within_a_thousandth(story):
    """T10: while the load is steady; at rest they agree exactly, which the totals tell."""
    pairs = [
        (sample, min(figures(story, "head"), key=lambda other: abs(other.at - sample.at)))
        for sample in figures(story, "second", story.marks["steady"], story.marks["frozen"])
    ]

    assert len(pairs) > 10
    for mine, other in pairs:
        for figure in (rate_of, ratio_of):
            assert figure(mine) == pytest.approx(figure(other), rel=1e-3)


def rate_of(sample):
    return sample.rack["tokens_per_second"]["output"]


def ratio_of(sample):
    return sample.rack["tokens_per_joule"]["gpu"]["output"]


@pytest.mark.parametrize("lie", LIES)
def test_a_member_that_lies_is_one_outcome_with_its_reason(story, lie):
    began = story.marks[f"{lie} begins"]
    looks = figures(story, "second", began + 6.0, began + 7.0)  # who fails is asked each five seconds
    whys = {member_at(sample, GARBLED)["why"] for sample in looks}

    assert whys
    assert all(why.startswith(LIES[lie]) for why in whys), whys
    assert all(f"tray-{GARBLED:02d}" in sample.rack["nodes"]["missing"] for sample in looks)


def test_an_address_at_which_another_node_answers_is_a_missing_member(story):
    """T10: that node is counted once, and whose address it was is still expected."""
    looks = figures(story, "second", story.marks["other begins"] + 6.0, story.marks["lies end"])

    assert looks
    for sample in looks:
        told = member_at(sample, GARBLED)
        assert told["why"].startswith(f"tray-{OTHER:02d} answers here, which is read at http://")
        assert told["node"] in sample.rack["nodes"]["missing"]
        assert told["tokens_per_second"] == {}
        assert member_at(sample, OTHER)["up"]


def test_whoever_is_left_alone_is_read_all_the_time(story):
    """One member's trouble is no other's."""
    looks = figures(story, "second")
    for number in set(range(18)) - TOUCHED:
        ups = [member_at(sample, number)["up"] for sample in looks]
        assert sum(ups) >= 0.97 * len(ups), number


def member_at(sample, number):
    return sample.rack["members"][number]
