"""What a member behind its like costs: what they make more, where requests wait in it; else not known."""

from dataclasses import replace

import pytest
from fakes.rack_moments import GPU, away, lived, member, rack

from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed
from agent.diagnose.rack_signs import rack_signs_of
from agent.diagnose.spread import LIKELY, reach
from agent.measure.incident import Bounds, Cause, Incident, Kind, Severity

GPUS = (GPU, replace(GPU, gpu=1, uuid="GPU-1"))
LIKE = (member(0, 990.0), member(1, 1000.0), member(2, 1020.0))
DROP = Incident(
    "tray-03/llama/1760000110", "node", Kind.DROP, Cause.THERMAL, Severity.WARNING, "tray-03", 1, "", "llama",
    started=1_760_000_110.0, detected=1_760_000_120.0, ended=None, lost_tokens=500.0, lost_joules=None,
    confidence=0.9, evidence=(), summary="tray-03: hot",
)  # fmt: skip


def slow(rate=900.0, **changes):
    return member(3, rate, gpus=GPUS, **{"waiting": 20.0, **changes})


def test_one_in_which_requests_wait_loses_what_the_median_of_the_others_makes_more():
    (told,) = lived((101, (*LIKE, slow())))

    assert (told.kind, told.lost_tokens) == (Kind.STRAGGLER, pytest.approx(100.0 * 100))
    assert told.lost_tokens_bounds == Bounds(pytest.approx(50.0 * 100), pytest.approx(150.0 * 100))
    assert told.lost_gpu_seconds == pytest.approx(2 * 100 * 0.1)
    assert [each.metric for each in told.evidence] == ["rack_member_tokens_per_second"]


def test_its_bounds_are_as_narrow_as_its_like_are_alike():
    """Three at 999, 1,000 and 1,001: one more of them is within 1 x 4.303 x sqrt(4 / 3), 19 times of 20."""
    alike = (member(0, 999.0), member(1, 1000.0), member(2, 1001.0))
    (told,) = lived((101, (*alike, slow())))

    assert told.lost_tokens_bounds == Bounds(
        pytest.approx(9503.0, rel=1e-4), pytest.approx(10497.0, rel=1e-4)
    )


def test_what_too_few_say_of_their_spread_is_nothing():
    assert reach((1.0, 2.0), LIKELY) is None
    assert reach((1.0, 1.0, 1.0), LIKELY) == 0.0


@pytest.mark.parametrize(
    ("waiting", "why"),
    [
        (0.0, "no request waits in it: whether others make what it does not is not known"),
        (2.0, "no request waits in it: whether others make what it does not is not known"),
        (None, "its engines do not tell whether requests wait in them: what is lost is not known"),
    ],
)
def test_one_in_which_none_waits_loses_nothing_that_is_known_and_says_why(waiting, why):
    (told,) = lived((101, (*LIKE, slow(waiting=waiting))))

    assert (told.lost_tokens, told.lost_gpu_seconds) == (0.0, None)
    assert told.lost_tokens_bounds == Bounds(0.0, pytest.approx(95.0 * 100))
    assert told.evidence[-1].text == why


def test_nothing_is_counted_while_it_may_have_caught_up():
    behind, level = (*LIKE, slow()), (*LIKE, slow(1000.0))
    (told,) = lived((101, behind), (20, level))

    assert (told.ended, told.lost_tokens) == (None, pytest.approx(100.0 * 100))


def test_what_its_own_node_tells_as_a_drop_is_not_counted_twice():
    """Its drop began in second 110 and was told in second 121."""
    (straggler,) = [
        each
        for each in lived((120, (*LIKE, slow())), (30, (*LIKE, slow(700.0, incidents=(DROP,)))))
        if each.kind is Kind.STRAGGLER
    ]

    assert straggler.ended == DROP.started
    assert straggler.lost_tokens == pytest.approx(100.0 * 109)


def test_a_drop_that_began_before_it_leaves_it_nothing():
    early = replace(DROP, started=1_759_999_990.0)
    told = lived((120, (*LIKE, slow())), (5, (*LIKE, slow(incidents=(early,)))))
    (straggler,) = [each for each in told if each.kind is Kind.STRAGGLER]

    assert (straggler.ended, straggler.lost_tokens) == (straggler.started, 0.0)


def test_what_nobody_looked_at_is_not_counted():
    memory = RackMemory()
    for second in (*range(101), *range(161, 171)):
        memory = rack_diagnosed(memory, rack_signs_of(rack(second, *LIKE, slow())))

    assert memory.incidents[0].lost_tokens == pytest.approx(100.0 * (100 + 5 + 9))


def test_one_with_fewer_requests_is_compared_with_what_the_others_make_of_as_many():
    (told,) = lived((150, (*LIKE, slow(600.0, in_flight=80.0, waiting=0.0))))

    assert told.summary == "tray-03 is 24.6% behind what the median of its like makes of as many requests"
    assert told.evidence[0].text == (
        "tray-03 makes 600 tokens/s of 80 requests, the median of 4 would make 796 of as many"
    )
    assert told.lost_tokens_bounds.upper == pytest.approx(196.0 * 149)


def test_one_that_goes_away_has_lost_what_it_had_lost():
    told = lived((101, (*LIKE, slow())), (60, (*LIKE, away(3))))
    (straggler,) = [each for each in told if each.kind is Kind.STRAGGLER]

    assert straggler.ended is not None
    assert straggler.lost_tokens == pytest.approx(100.0 * 100)
