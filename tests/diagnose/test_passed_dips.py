"""A dip without a cause: what has passed before it was told is never told; what lasts, or is deep, is."""

import pytest
from fakes.hand_node import HandNode

from agent.measure.incident import Cause


def test_a_dip_that_passes_within_its_patience_is_never_told():
    node = HandNode().live(120).live(15, rate=700.0).live(60, rate=1000.0)

    assert node.told == []


def test_one_that_lasts_is_told_after_its_patience_and_since_when_it_is_there():
    node = HandNode().live(120).live(60, rate=700.0)
    second, incident = node.told[0]

    assert (incident.cause, incident.severity) == (Cause.UNKNOWN, "warning")
    assert incident.detected - incident.started == pytest.approx(25.0, abs=2.0)
    assert second == pytest.approx(120 + 27, abs=2)


def test_one_of_half_of_all_tokens_is_told_soon():
    second, incident = HandNode().live(120).live(30, rate=300.0).told[0]

    assert (incident.cause, second - 120 <= 12) == (Cause.UNKNOWN, True)


def test_one_whose_cause_is_sure_is_told_at_once():
    node = HandNode().live(120).gpu(clock_hertz=1.4e9, throttle=frozenset({"sw_power_cap"}))
    second, incident = node.live(30, rate=700.0).told[0]

    assert (incident.cause, second - 120 <= 6) == (Cause.POWER_CAP, True)


def test_after_a_dip_that_was_not_told_a_drop_is_found_as_before():
    node = HandNode().live(120).live(12, rate=700.0).live(60, rate=1000.0)

    assert node.live(40, rate=500.0).told[0][1].started == pytest.approx(1_760_000_000 + 192, abs=3)
