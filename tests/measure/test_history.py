"""The last quarter of an hour: one point a second, bounded, gaps stay gaps."""

from dataclasses import replace

import pytest
from fakes import scenes

from agent.measure.history import CAPACITY, History
from agent.measure.reading import Moment


def at(seconds, unix=None):
    rack = scenes.nvl72(seconds=seconds)
    return rack if unix is None else replace(rack, at=Moment(seconds, unix))


def filled(*seconds):
    history = History()
    for second in seconds:
        history.take(at(second))
    return history.plain()


def test_nothing_taken_is_an_empty_history():
    assert History().plain() == {
        "schema": 1,
        "seconds": 900.0,
        "at": [],
        "tokens_per_second": [],
        "power_watts": {},
        "tokens_per_joule": {},
        "coverage": [],
        "valid": [],
    }


def test_a_point_holds_what_the_snapshot_says():
    plain = filled(1000.0)
    rack = at(1000.0)

    assert plain["at"] == [1_800_001_000.0]
    assert plain["tokens_per_second"] == [rack.tokens_per_second["output"]]
    assert plain["power_watts"] == {name: [watts] for name, watts in rack.power_watts.items()}
    assert plain["tokens_per_joule"]["module"] == [rack.tokens_per_joule["output", "module"]]
    assert plain["coverage"] == [1.0]
    assert plain["valid"] == [True]


def test_there_is_at_most_one_point_a_second():
    plain = filled(*(n * 0.25 for n in range(41)))

    assert len(plain["at"]) == 11


def test_a_snapshot_a_second_with_jitter_loses_no_point():
    assert len(filled(1.0, 1.99, 3.01, 3.98, 5.0)["at"]) == 5


def test_a_gap_is_a_point_of_nothing():
    plain = filled(10.0, 11.0, 20.0, 21.0)

    assert plain["at"] == [
        1_800_000_010.0,
        1_800_000_011.0,
        1_800_000_015.5,
        1_800_000_020.0,
        1_800_000_021.0,
    ]
    assert [rate is None for rate in plain["tokens_per_second"]] == [False, False, True, False, False]
    assert plain["power_watts"]["gpu"][2] is None
    assert plain["valid"][2] is None


def test_what_is_absent_is_none_and_not_the_value_before():
    history = History()
    history.take(at(1.0))
    history.take(
        replace(at(2.0), tokens_per_second={}, power_watts={"node": 7.0}, tokens_per_joule={}, coverage=None)
    )
    plain = history.plain()

    assert plain["tokens_per_second"][1] is None
    assert plain["coverage"][1] is None
    assert plain["power_watts"]["gpu"][1] is None
    assert plain["power_watts"]["node"] == [None, 7.0]


def test_points_older_than_a_quarter_of_an_hour_leave():
    plain = filled(*(float(n) for n in range(2000)))

    assert len(plain["at"]) == 901
    assert plain["at"][0] == 1_800_000_000.0 + 1999 - 900
    assert plain["at"][-1] == 1_800_001_999.0


def test_memory_is_bounded_however_long_it_runs():
    history = History()
    for n in range(5000):
        history.take(replace(at(n * 0.85), power_watts={f"boundary-{n}": 1.0}))

    assert len(history.plain()["at"]) == pytest.approx(900 / 0.85, abs=2)
    assert len(history.plain()["power_watts"]) == 8
    assert len(history._stamps) == CAPACITY


def test_stepping_the_wall_clock_moves_no_point():
    history = History()
    history.take(at(1.0, unix=5_000.0))
    history.take(at(2.0, unix=1_000.0))

    assert history.plain()["at"] == [999.0, 1000.0]


def test_a_gap_longer_than_everything_leaves_only_the_new_point():
    plain = filled(0.0, 1.0, 10_000.0)

    assert plain["at"] == [1_800_010_000.0]
