"""The rules in PromQL that diagnosis is compared with are evaluated as Prometheus would."""

import pytest

from benchmarks.careful_rules import Rule, rate

STEADY = [(float(second), 100.0 * second) for second in range(0, 301, 15)]


def test_a_steady_counter_has_its_rate():
    assert rate(STEADY, 300.0) == pytest.approx(100.0)


def test_a_counter_that_began_anew_has_no_negative_rate():
    restarted = [(15.0, 1000.0), (30.0, 2500.0), (45.0, 0.0), (60.0, 1500.0)]

    assert rate(restarted, 60.0) == pytest.approx(3000.0 * 60.0 / 45.0 / 60.0)


def test_a_target_that_is_gone_leaves_a_rate_that_is_extrapolated_by_half_an_interval_then_none():
    assert rate(STEADY, 330.0) == pytest.approx(100.0 * (15.0 + 15.0 + 7.5) / 60.0)
    assert rate(STEADY, 345.0) is None


def test_an_alert_fires_when_it_held_for_five_minutes_without_a_break():
    rule = Rule()
    for now in range(0, 900, 15):
        rule.evaluate(float(now), 100.0)
    for now in range(900, 1201, 15):
        rule.evaluate(float(now), 50.0)

    assert rule.alerts == [(900.0, 1200.0)]


def test_a_series_that_is_gone_is_no_alert():
    rule = Rule()
    for now in range(0, 900, 15):
        rule.evaluate(float(now), 100.0)
    for now in range(900, 1500, 15):
        rule.evaluate(float(now), None if now == 1050 else 50.0)

    assert rule.alerts == [(1065.0, 1365.0)]
