"""What only the whole rack can see: who is away, who is behind, and what members told of themselves."""

from dataclasses import replace

import pytest

from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed
from agent.measure.engine import TokenKind
from agent.measure.incident import Cause, Incident, Kind, Severity
from agent.measure.rack_snapshot import MemberFigures, MemberGpu, RackSnapshot
from agent.measure.reading import Moment

GPU = MemberGpu(0, "GPU-0", up=True, power_limit_watts=1400.0, temperature_celsius=60.0, clock_hertz=2.07e9)


def member(number, rate=1000.0, **changes):
    told = MemberFigures(
        node=f"tray-{number:02d}",
        url=f"http://tray-{number:02d}:9744",
        up=True,
        models=("llama",),
        tokens_per_second={TokenKind.OUTPUT: rate},
        gpus=(GPU,),
        in_flight=100.0,
    )
    return replace(told, **changes)


def away(number):
    return member(number, up=False, why="timed_out: no answer", tokens_per_second={}, in_flight=None)


def rack(second, *members):
    return RackSnapshot(
        sequence=second,
        at=Moment(5000.0 + second, 1_760_000_000.0 + second),
        rack="r12",
        of_one=False,
        window_seconds=10.0,
        tokens_per_second={},
        tokens_total={},
        backfilled_tokens_total={},
        power_watts={},
        power_sources={},
        energy_joules_total={},
        tokens_per_joule={},
        coverage=1.0,
        validity=(),
        nodes_expected=len(members),
        nodes_reporting=len(members),
        missing=(),
        drained=(),
        gpus_expected=0,
        gpus_reporting=0,
        models=(),
        members=members,
    )


def lived(*stretches):
    """Incidents after so many seconds with each set of members."""
    memory, second = RackMemory(), 0
    for seconds, members in stretches:
        for _ in range(seconds):
            second += 1
            memory = rack_diagnosed(memory, rack(second, *members))
    return memory.incidents


FOUR = tuple(member(number) for number in range(4))
SLOW = (*FOUR[:3], member(3, 933.0))


def test_a_rack_whose_members_are_alike_has_no_incident():
    assert lived((300, FOUR)) == ()


def test_a_member_6_7_percent_behind_its_like_is_told_within_two_minutes():
    (straggler,) = lived((120, SLOW))

    assert (straggler.kind, straggler.node, straggler.scope) == (Kind.STRAGGLER, "tray-03", "rack")
    assert straggler.detected - straggler.started == 60.0
    assert straggler.summary == "tray-03 is 6.7% behind the median of its like"


def test_a_member_within_the_noise_of_5_percent_is_no_straggler():
    assert lived((300, (*FOUR[:3], member(3, 955.0)))) == ()


def test_a_member_that_is_asked_for_less_is_no_straggler():
    assert lived((300, (*FOUR[:3], member(3, 800.0, in_flight=80.0)))) == ()


def test_a_straggler_that_caught_up_is_over_after_half_a_minute():
    (straggler,) = lived((120, SLOW), (31, FOUR))

    assert straggler.ended is not None


@pytest.mark.parametrize(
    ("changed", "cause", "metric"),
    [
        ({"power_limit_watts": 1000.0}, Cause.POWER_CAP, "gpu_power_limit_watts"),
        ({"clock_hertz": 1.5e9, "temperature_celsius": 85.0}, Cause.THERMAL, "gpu_temperature_celsius"),
        ({"clock_hertz": 1.5e9}, Cause.CLOCKS_LOW, "gpu_clock_hertz"),
        ({}, Cause.UNKNOWN, None),
    ],
)
def test_a_straggler_is_suspected_for_the_gpu_that_differs_from_its_like(changed, cause, metric):
    slow = member(3, 900.0, gpus=(GPU, replace(GPU, gpu=1, **changed)))

    (straggler,) = lived((120, (*FOUR[:3], slow)))
    assert straggler.cause is cause
    assert straggler.gpu == (None if metric is None else 1)
    assert [each.metric for each in straggler.evidence[1:2]] == ([] if metric is None else [metric])


def test_a_member_that_goes_away_is_a_gap_after_five_seconds_and_no_drop():
    (gap,) = lived((10, FOUR), (6, (*FOUR[:3], away(3))))

    assert (gap.kind, gap.cause, gap.node, gap.severity) == (
        Kind.GAP,
        Cause.TELEMETRY_GAP,
        "tray-03",
        Severity.WARNING,
    )


def test_a_member_that_lost_one_poll_is_no_gap():
    assert lived((10, FOUR), (3, (*FOUR[:3], away(3))), (10, FOUR)) == ()


def test_a_member_that_was_never_there_is_not_gone():
    assert lived((60, (*FOUR[:3], away(3)))) == ()


def test_a_drained_member_is_neither_away_nor_behind():
    drained = replace(away(3), drained=True)

    assert lived((10, FOUR), (60, (*FOUR[:3], drained))) == ()


OWN = Incident(
    id="tray-03/llama/5",
    scope="node",
    kind=Kind.DROP,
    cause=Cause.THERMAL,
    severity=Severity.WARNING,
    node="tray-03",
    gpu=1,
    engine_instance="",
    model="llama",
    started=1_760_000_005.0,
    detected=1_760_000_009.0,
    ended=None,
    lost_tokens=500.0,
    lost_joules=None,
    confidence=0.9,
    evidence=(),
    summary="tray-03: hot",
)


def test_what_a_member_tells_of_itself_is_the_racks_and_explains_that_it_is_behind():
    hot = member(3, 800.0, incidents=(OWN,))

    (incident,) = lived((10, FOUR), (200, (*FOUR[:3], hot)))
    assert (incident.id, incident.scope, incident.lost_tokens) == ("r12/tray-03/llama/5", "rack", 500.0)


def test_an_incident_of_a_member_that_goes_away_with_it_has_ended():
    hot = member(3, incidents=(OWN,))

    gap, drop = lived((10, FOUR), (20, (*FOUR[:3], hot)), (10, (*FOUR[:3], away(3))))
    assert gap.kind is Kind.GAP
    assert (drop.kind, drop.ended is not None) == (Kind.DROP, True)
