"""Nothing is wrong, and nothing is told: chance arrivals and lengths, without the twin."""

import pytest

from benchmarks.quiet_hours import LOADS, incidents_of

SECONDS = 600
SOME = ("a few", "about ten", "long prompts", "in bursts", "two clients", "eight clients, long prompts")
assert set(SOME) < LOADS.keys()


@pytest.mark.parametrize("load", SOME)
def test_what_only_chance_changes_alarms_nobody(load):
    told = incidents_of(load, SECONDS, seed=20)

    assert [each.summary for each in told if each.severity != "info"] == []


def test_a_dip_that_the_last_request_of_all_ends_is_over():
    """Few requests, then none: what stood before must not stand for ever."""
    told = incidents_of("a few", SECONDS, seed=4)

    assert [each.summary for each in told if each.ended is None] == []
