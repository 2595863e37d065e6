"""A part of the benchmark of diagnosis that fits in every run: faults, a slow tray, a time without faults."""

import pytest

from agent.twin import scenario
from benchmarks import diagnosis, quiet_day, quiet_days, shares, stragglers
from benchmarks.plays import CLASSES, ONE, OUTLASTED, TWO, play_of

SHORT_SECONDS = 2400


@pytest.mark.parametrize("seed", [206])
def test_a_drop_is_found_with_its_cause_and_place(seed):
    result = diagnosis.result_of(seed)

    assert result.size >= 0.15
    assert (result.found, result.right_cause, result.right_place, result.false) == (True, True, True, 0)


def test_a_slow_tray_is_found_within_two_minutes():
    result = stragglers.result_of(3)

    assert result.behind >= 0.067
    assert result.told_seconds <= 120.0
    assert (result.right_cause, result.right_gpu, result.others) == (True, True, 0)


def test_nothing_is_told_where_nothing_is_wrong_and_much_happens():
    result = quiet_day.result_of(301, SHORT_SECONDS)

    assert result.happened["restart"] > 0
    assert result.false == []


def test_what_is_told_of_a_restart_that_takes_too_long_would_be_false(monkeypatch):
    """The judge is no friend: the same day with restarts of a minute is not silent."""
    longer = quiet_day.day_of(301, SHORT_SECONDS)
    longer.text = longer.text.replace("kind: engine_restart", "kind: engine_crash").replace(
        "lasts: 8s", "lasts: 80s"
    )
    monkeypatch.setattr(quiet_day, "day_of", lambda *_: longer)

    assert {each.cause for each in quiet_day.result_of(301, SHORT_SECONDS).false} == {"engine_down"}


def test_a_day_depends_on_its_seed_alone():
    assert quiet_day.day_of(17).text == quiet_day.day_of(17).text
    assert quiet_day.day_of(17).text != quiet_day.day_of(21).text
    assert [quiet_day.day_of(seed).trays for seed in range(4)] == [1, 1, 1, 4]


@pytest.mark.parametrize("kind", CLASSES)
def test_the_first_fault_of_a_seed_is_the_same_in_every_class(kind):
    assert play_of(7, kind).wants[0].name == play_of(7).wants[0].name


def test_what_a_fault_takes_beside_another_is_what_is_not_lost_without_it():
    both = [(0.0, 10.0), (4.0, 20.0), (12.0, 30.0), (22.0, 40.0)]
    without = [(0.0, 10.0), (4.0, 20.0), (8.0, 30.0), (8.0, 40.0)]

    assert shares.taken(both, without, [1, 2, 3, 4]) == [0.0, 0.4, 1.0]


def test_the_second_of_two_faults_is_the_same_and_ends_before_the_first_or_after_it():
    early, late = (scenario.parse(play_of(7, kind).text, "test").events for kind in (TWO, OUTLASTED))

    assert [each.kind for each in early] == [each.kind for each in late]
    assert [each.at + each.seconds for each in early] == [1320.0, 1200.0]
    assert [each.at + each.seconds for each in late] == [1320.0, 1440.0]
    assert [play_of(7, kind).over for kind in (ONE, TWO, OUTLASTED)] == [1320, 1320, 1440]


def test_zero_is_said_with_what_it_proves():
    day = {"seed": 0, "trays": 1, "load": "wave", "happened": {}, "true_gaps": 0, "infos": {}}
    days = [day | {"false": [], "rules": {"tokens": 1, "tokens per watt": 0}}] * 30

    assert "0 false incidents in 30 rack-days (30 tray-days), fewer than 0.1 a rack-day (3/N, 95 %)" in (
        quiet_days.summary(days)
    )
