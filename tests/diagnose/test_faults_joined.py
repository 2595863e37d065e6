"""An error of a GPU and the drop that followed it are told together, with both moments."""

import pytest

from agent.diagnose.baseline import Baseline
from agent.diagnose.case import Case
from agent.diagnose.causes import faults
from agent.diagnose.sample import Sample
from agent.diagnose.signs import GpuSigns

SINCE = 100
MIDNIGHT = 1_800_057_600.0


def case_of(xid_at, *, xid=63, wall=MIDNIGHT - 100.0 + 3 * 3600 + 12 * 60 + 9):
    def sample(second):
        counts = {xid: float(second >= xid_at)}
        return Sample(float(second), {}, {}, (GpuSigns(2, "ok", xids=counts),), 1000.0, 9.0, 0.0, 9.0)

    before = tuple(sample(second) for second in range(SINCE - 60, SINCE - 3))
    during = tuple(sample(second) for second in range(SINCE, SINCE + 30))
    return Case("n", float(SINCE), before, during, Baseline(), 1000.0, 0.3, wall)


def told(case):
    return [(each.text, each.weight) for each in faults.explain(case)]


def test_an_error_and_the_fall_that_followed_are_dated():
    (explanation,) = faults.explain(case_of(SINCE - 5))

    assert explanation.text == "GPU 2 reported Xid 63 at 03:12:04 UTC, throughput fell at 03:12:09"
    assert explanation.gpu == 2


def test_an_error_of_half_a_minute_ago_is_less_sure():
    assert [weight for _, weight in told(case_of(SINCE - 20))] == [0.6]
    assert [weight for _, weight in told(case_of(SINCE - 5))] == [0.8]


@pytest.mark.parametrize("at", [SINCE - 45, SINCE - 60, SINCE + 99])
def test_an_error_of_another_time_is_not_joined(at):
    assert told(case_of(at)) == []


def test_without_a_wall_clock_no_moments_are_told():
    assert told(case_of(SINCE - 5, wall=None)) == [("GPU 2 reported Xid 63", 0.8)]
