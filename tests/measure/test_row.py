"""Rows that are given again, and the middle of numbers."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.measure import row
from agent.measure.median import median
from agent.measure.row import Row, kept


@pytest.fixture
def made():
    """Every call that was not answered by what is kept."""
    return []


@pytest.fixture
def rows(made):
    @kept
    def rows(who, told):
        made.append(who)
        for name, value in told.items():
            yield Row(name, (who,), value)

    return rows


def test_rows_are_given_again_while_what_they_tell_is_equal(rows):
    first = rows("0", {"a": 1.0})

    assert rows("0", {"a": 1.0}) is first


def test_rows_are_made_anew_when_what_they_tell_is_not(rows):
    rows("0", {"a": 1.0})

    assert rows("0", {"a": 2.0}) == (Row("a", ("0",), 2.0),)


def test_rows_of_another_are_its_own(rows, made):
    rows("0", {"a": 1.0})

    assert rows("1", {"a": 1.0}) == (Row("a", ("1",), 1.0),)
    assert made == ["0", "1"]


def test_so_many_are_kept_and_no_more(rows, made, monkeypatch):
    monkeypatch.setattr(row, "KEPT", 2)
    for who in ("0", "1", "2", "2", "0"):
        rows(who, {})

    assert made == ["0", "1", "2", "0"]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_the_median_is_that_of_the_standard_library(values):
    assert median(values) == statistics.median(values)


def test_nothing_has_no_median():
    with pytest.raises(ValueError, match="nothing"):
        median([])
