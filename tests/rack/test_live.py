"""Live figures of a rack of 18 daemons, looked at all the time: true of who is covered, never a burst."""

import pytest
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

HEADS = pytest.mark.parametrize("name", ["head", "second", "long"])
WRONG = 0.01
LAGS = [quarter / 4 for quarter in range(26)]
"""A window ends this long before it is told, at most: while a member may still be late, five seconds."""
TOUCHED = {KILLED, FROZEN, SILENT, APART, GARBLED, DRAINED, RESTARTED}


def figures(story, name, since=None, until=None):
    """Every look at an aggregator that saw a rate."""
    return [
        sample
        for sample in story.samples[name]
        if sample.rack is not None
        and sample.rack["tokens_per_second"].get("output")
        and (since is None or sample.at >= since)
        and (until is None or sample.at < until)
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


def truths(story, sample, numbers):
    """What these trays made in each window that may be meant."""
    window = sample.rack["window_seconds"]
    ends = [sample.at - lag for lag in LAGS]
    return [sum(story.truth.rate(n, "output", end - window, end) for n in numbers) for end in ends]


def covered_most(story, sample):
    """The most that those who are covered can have made."""
    told, away = shown(sample), unseen(sample)
    count = round(sample.rack["coverage"] * sample.rack["nodes"]["expected"]) - len(told)
    most = sorted((max(truths(story, sample, [n])) for n in away), reverse=True)[: max(0, count)]
    return max(truths(story, sample, told)) + sum(most)


def nearest(rate, rates):
    """How far a rate is from the nearest of what it may mean, as a ratio."""
    low, high = min(rates), max(rates)
    return max(0.0, rate - high, low - rate) / high if high else rate


@HEADS
def test_a_rate_is_never_more_than_what_the_covered_members_made(story, name):
    """T10: no burst when anyone, or the rack's daemon, comes back; nothing is scaled up."""
    seen = figures(story, name)
    excess = [
        sample.rack["tokens_per_second"]["output"] / covered_most(story, sample) - 1.0 for sample in seen
    ]

    assert max(excess) <= WRONG
    assert len(seen) > 60


@HEADS
def test_a_rack_s_rate_is_the_sum_of_the_members_that_are_covered(story, name):
    for sample in figures(story, name):
        rate, told = sample.rack["tokens_per_second"]["output"], shown(sample)
        if round(sample.rack["coverage"] * sample.rack["nodes"]["expected"]) == len(told):
            assert rate == pytest.approx(sum(told.values()), rel=1e-9)
        else:
            assert rate > sum(told.values())


def farthest(story, sample, told, end):
    """How far the rate of any member is from its truth over the window that ends then, as a ratio."""
    start = end - sample.rack["window_seconds"]
    true = {number: story.truth.rate(number, "output", start, end) for number in told}
    return max(abs(told[number] - rate) / max(rate, 1.0) for number, rate in true.items())


@HEADS
def test_the_rates_of_all_members_are_their_truth_over_one_window(story, name):
    """T3, T10: 99 looks of 100 within one percent, over windows of 10 s and of 30 s."""
    ends = [tenth / 10 for tenth in range(63)]
    off = sorted(
        min(farthest(story, sample, told, sample.at - lag) for lag in ends)
        for sample in figures(story, name, story.marks["steady"] + 4.0, story.marks["load ends"])
        if (told := shown(sample))
    )

    assert off[int(0.99 * len(off))] <= WRONG
    assert len(off) > 50


@HEADS
@pytest.mark.parametrize(("boundary", "wrong"), [("gpu", WRONG), ("module", 3 * WRONG)])
def test_tokens_per_joule_are_true_of_the_members_in_duty(story, name, boundary, wrong):
    """T5: within one percent; integrated power (T9) is further off while the load makes a step."""
    off = []
    for sample in figures(story, name):
        ratio = sample.rack["tokens_per_joule"].get(boundary, {}).get("output")
        if ratio is not None:
            window = sample.rack["figures"][f"rack_tokens_per_joule_{boundary}"]["window_seconds"]
            ends = [sample.at - lag for lag in LAGS]
            off.append(
                nearest(ratio, [efficiency(story, sample, boundary, end - window, end) for end in ends])
            )

    assert sorted(off)[int(0.99 * len(off))] <= wrong
    assert len(off) > 5


def efficiency(story, sample, boundary, start, end):
    trays = duty(sample)
    tokens = sum(story.truth.rate(n, "output", start, end) * (end - start) for n in trays)
    joules = sum(story.truth.joules(n, boundary, end) - story.truth.joules(n, boundary, start) for n in trays)
    return tokens / joules


@HEADS
def test_a_valid_rate_is_the_truth_of_the_whole_rack(story, name):
    """T10: 99 of 100 within one percent while nobody is missing."""
    off = sorted(
        nearest(sample.rack["tokens_per_second"]["output"], truths(story, sample, duty(sample)))
        for sample in figures(story, name)
        if sample.rack["coverage"] == 1.0
    )

    assert off[int(0.99 * len(off))] <= WRONG
    assert len(off) > 5


def duty(sample):
    return [number_of(m) for m in sample.rack["members"] if not m["drained"] and "(" not in m["node"]]


@HEADS
def test_what_lacks_in_the_rate_is_told(story, name):
    """T10: less than the whole rack's truth comes with coverage below 1 and a member to blame."""
    lacking = 0
    for sample in figures(story, name):
        rack = sample.rack
        if rack["tokens_per_second"]["output"] < min(truths(story, sample, range(18))) * (1.0 - WRONG):
            lacking += 1
            told = rack["coverage"] < 1.0 or rack["nodes"]["drained"]
            blamed = [m for m in rack["members"] if m["drained"] or not m["up"] or m["coverage"] < 1.0]
            assert told, rack["nodes"]
            assert blamed

    assert lacking > 20


def test_members_that_are_away_are_named_and_not_counted_as_reporting(story):
    away = [FROZEN, SILENT, *([APART] if story.apart else [])]
    names = {f"tray-{number:02d}" for number in away}
    looks = figures(story, "second", story.marks["cut"] + 6.0, story.marks["thawed"] - 1.0)

    assert len(looks) > 60
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
    off = sorted(
        nearest(shown(sample)[number], truths(story, sample, [number]))
        for sample in figures(story, "second", story.marks["steady"])
        for number in (AHEAD, STEPPED)
        if number in shown(sample)
    )

    assert off[int(0.99 * len(off))] <= WRONG
    assert len(off) > 300
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

    assert len(pairs) > 20
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
    looks = figures(story, "second", story.marks["steady"])
    for number in set(range(18)) - TOUCHED:
        ups = [member_at(sample, number)["up"] for sample in looks]
        assert sum(ups) >= 0.97 * len(ups), number


def member_at(sample, number):
    return sample.rack["members"][number]
