"""Requests may end while something is missing: then nothing is missing any more."""

from agent.diagnose.baseline import Baseline, Level, place_of
from agent.diagnose.gap import OVER_SECONDS, Gap, is_over, stepped
from agent.diagnose.sample import Rates, sampled
from agent.diagnose.signs import EngineSigns
from agent.measure.snapshot import Activity

KNOWN = Baseline(levels={6: Level(800.0, 600.0, place_of(8.0))}, noise=0.02, seconds=600.0)


def sample(second, rate, running):
    engine = EngineSigns("e", up=True, gone=False, activity=Activity.SERVING, restarts=0.0, running=running)
    return sampled(float(second), {"e": engine}, {"e": Rates(output=rate)}, ())


def gap_after(moments):
    gap, samples = Gap(baseline=KNOWN), ()
    for second, (rate, running) in enumerate(moments):
        now = sample(second, rate, running)
        gap = stepped(gap, samples, now)
        samples = (*samples, now)
    return gap, samples[-1].seconds


def test_a_sure_gap_ends_when_clients_give_up():
    gap, now = gap_after([(800.0, 8.0)] * 60 + [(0.0, 8.0)] * 5 + [(0.0, 0.0)] * int(OVER_SECONDS + 2))

    assert gap.sure
    assert is_over(gap, now)


def test_it_ends_when_they_come_back_meanwhile():
    gap, now = gap_after(
        [(800.0, 8.0)] * 60 + [(0.0, 8.0)] * 5 + [(0.0, 0.0)] * 3 + [(800.0, 8.0)] * int(OVER_SECONDS)
    )

    assert is_over(gap, now)


def test_it_goes_on_while_requests_wait():
    gap, now = gap_after([(800.0, 8.0)] * 60 + [(0.0, 8.0)] * 20)

    assert gap.sure
    assert not is_over(gap, now)


def test_a_gap_that_was_not_sure_is_forgotten_without_demand():
    gap, _ = gap_after([(800.0, 8.0)] * 60 + [(700.0, 8.0)] + [(0.0, 0.0)])

    assert gap.since is None
