"""Sparklines since the beginning, in bounded memory."""

from fakes.racks import OUTPUT, member, rack

from agent.top.cells import plain
from agent.top.history import RATE, History, blocks, power_of, spark_lines, spark_title
from agent.top.page import read
from agent.wire.rack_codec import to_json


def page_at(tokens_per_second):
    rates = {} if tokens_per_second is None else {OUTPUT: tokens_per_second}
    return read(to_json(rack(member("a"), tokens_per_second=rates)))


def test_blocks_reach_from_zero_to_the_highest():
    assert blocks([0.0, 1.0, 4.0, 8.0], 10) == "▁▂▅█"


def test_what_was_absent_is_a_gap_and_no_drop():
    assert blocks([8.0, None, 8.0], 10) == "█ █"


def test_points_put_together_show_the_lowest():
    assert blocks([8.0, 0.0, 8.0, 8.0], 2) == "▁█"


def test_nothing_is_drawn_into_no_room():
    assert blocks([1.0], 0) == ""
    assert spark_lines(History(), "gpu", 5) == []


def test_a_figure_that_never_was_says_absent():
    history = History()
    history.add(page_at(None), 0.0)

    assert plain(spark_lines(history, "gpu", 30)[0]).split() == ["tok/s", "absent"]


def test_a_roomy_line_names_boundary_and_highest_value():
    history = History()
    for second, rate in enumerate((500.0, 1000.0)):
        history.add(page_at(rate), float(second))

    assert plain(spark_lines(history, "gpu", 60)[0]).split() == ["tok/s", "▅█", "1,000"]
    assert plain(spark_lines(history, "gpu", 60)[1]).split() == ["kW", "gpu", "██", "4.80"]
    assert "the last 1 s" in plain(spark_title(history, 60))


def test_a_long_watch_stays_small_and_keeps_a_dip():
    history = History()
    high, low = page_at(1000.0), page_at(10.0)
    for second in range(5000):
        history.add(low if second == 123 else high, float(second))

    values = history.values(RATE)
    assert len(values) <= 512
    assert values.count(10.0) == 1
    assert history.span_seconds == 4999.0


def test_seconds_without_a_snapshot_are_gaps():
    history = History()
    history.missed(0.0)
    history.add(page_at(1.0), 1.0)
    history.missed(2.0)

    assert history.values(RATE) == [1.0, None]
    assert history.values(power_of("gpu")) == [4800.0, None]
