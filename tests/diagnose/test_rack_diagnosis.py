"""What only the whole rack can see: who is away, who is behind, and what members told of themselves."""

import random
from dataclasses import replace

import pytest
from fakes.rack_moments import GPU, away, lived, member, rack

from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed
from agent.diagnose.rack_signs import rack_signs_of
from agent.measure.engine import TokenKind
from agent.measure.incident import Cause, Incident, Kind, Severity

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


def prompted(number, prompt, rate=1000.0, cached=0.0, **changes):
    rates = {TokenKind.OUTPUT: rate, TokenKind.PROMPT: prompt, TokenKind.PROMPT_CACHED: cached}
    return member(number, tokens_per_second=rates, **changes)


PROMPTED = tuple(prompted(number, 2000.0) for number in range(3))


@pytest.mark.parametrize(
    ("prompt", "cached", "told"), [(2400.0, 0.0, 0), (2400.0, 600.0, 1), (1000.0, 0.0, 1)]
)
def test_a_member_whose_prompts_are_longer_does_other_work(prompt, cached, told):
    wasteful = {(TokenKind.OUTPUT, "gpu"): 0.8}
    like = [replace(each, tokens_per_joule={(TokenKind.OUTPUT, "gpu"): 1.0}) for each in PROMPTED]

    assert len(lived((120, (*PROMPTED, prompted(3, prompt, 900.0, cached))))) == told
    assert len(lived((120, (*like, prompted(3, prompt, cached=cached, tokens_per_joule=wasteful))))) == told


def test_a_straggler_that_caught_up_is_over_after_half_a_minute():
    (straggler,) = lived((120, SLOW), (31, FOUR))

    assert straggler.ended is not None


@pytest.mark.parametrize("wrong", ["straggler", "efficiency"])
def test_while_it_may_be_over_it_is_told_as_it_was_and_not_as_what_denies_it(wrong):
    capped = (replace(GPU, power_limit_watts=1000.0),)
    slow = member(3, 900.0, gpus=capped)
    hungry = thrifty(3, 0.8, gpus=capped)
    usual, worse = (FOUR, slow) if wrong == "straggler" else (ALIKE, hungry)
    (stood,) = lived((90, (*usual[:3], worse)))
    (over,) = lived((90, (*usual[:3], worse)), (60, usual))

    assert over == replace(stood, ended=over.ended)
    assert (over.cause, over.kind) == (Cause.POWER_CAP, wrong)


@pytest.mark.parametrize(
    ("changed", "cause", "metric"),
    [
        ({"power_limit_watts": 1000.0}, Cause.POWER_CAP, "gpu_power_limit_watts"),
        ({"clock_hertz": 1.5e9, "temperature_celsius": 85.0}, Cause.THERMAL, "gpu_temperature_celsius"),
        ({"clock_hertz": 1.5e9}, Cause.CLOCKS_LOW, "gpu_clock_hertz"),
        ({"temperature_celsius": 85.0}, Cause.UNKNOWN, None),
        ({"clock_hertz": None, "temperature_celsius": 85.0}, Cause.THERMAL, "gpu_temperature_celsius"),
        ({"nvlinks_active": 17}, Cause.NVLINK, "gpu_nvlinks"),
        (
            {"nvlink_slowest_bytes_per_second": 26.5e9},
            Cause.NVLINK,
            "gpu_nvlink_slowest_bytes_per_second",
        ),
        ({}, Cause.UNKNOWN, None),
    ],
)
def test_a_straggler_is_suspected_for_the_gpu_that_differs_from_its_like(changed, cause, metric):
    slow = member(3, 900.0, gpus=(GPU, replace(GPU, gpu=1, **changed)), waiting=10.0)

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


def thrifty(number, ratio=1.0, **changes):
    return member(number, tokens_per_joule={(TokenKind.OUTPUT, "gpu"): ratio}, **changes)


ALIKE = tuple(thrifty(number) for number in range(4))
DRAWS = replace(GPU, power_watts=1000.0)


def wasteful(ratio=0.9, **changes):
    return (*ALIKE[:3], thrifty(3, ratio, **changes))


def test_a_member_that_takes_more_joules_for_as_many_tokens_is_told_within_two_minutes():
    (incident,) = lived((120, wasteful()))

    assert (incident.kind, incident.cause, incident.node) == (Kind.EFFICIENCY, Cause.UNKNOWN, "tray-03")
    assert incident.detected - incident.started == 60.0
    assert incident.summary == (
        "tray-03 makes as many tokens as its like, and takes more for each: "
        "tray-03 makes 0.9 tokens/J, 1 is the median of 4"
    )


@pytest.mark.parametrize(
    "members",
    [
        ALIKE,
        wasteful(0.95),
        wasteful(0.8, in_flight=80.0),
        wasteful(0.8)[1:],
        (*ALIKE[:3], member(3)),
    ],
    ids=["alike", "within the spread", "asked for less", "too few", "not known"],
)
def test_t18_efficiency_is_compared_only_among_enough_that_have_as_much_to_do(members):
    assert lived((300, members)) == ()


def many(spread, ratio, **changes):
    """Nine of which eight are alike but for so much, and one."""
    others = [thrifty(number, 1.0 + spread * (number - 3.5) / 3.5) for number in range(8)]
    return (*others, thrifty(8, ratio, **changes))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        (many(0.005, 0.94), 1),
        (many(0.005, 0.955), 0),
        (many(0.02, 0.94), 0),
        (many(0.02, 0.92), 1),
        (many(0.005, 0.94, in_flight=96.0), 0),
        ((thrifty(0, 0.99), thrifty(1), thrifty(2, 1.01), thrifty(8, 0.94)), 0),
    ],
    ids=[
        "6 % where the others differ by half a percent",
        "within the noise of 5 %",
        "where they differ by two percent",
        "8 % whatever they differ by",
        "with a little less to do",
        "too few to know how they differ",
    ],
)
def test_what_many_differ_by_says_what_is_too_much(members, told):
    assert [each.node for each in lived((300, members))] == ["tray-08"] * told


def test_what_is_off_by_little_is_told_after_four_minutes_and_stays_the_same_when_it_grows_and_shrinks():
    slight, clear = many(0.005, 0.94), many(0.005, 0.9)
    assert lived((239, slight)) == ()

    (told,) = lived((245, slight), (30, clear), (100, slight))
    assert (told.ended, told.detected - told.started) == (None, 240.0)
    (told,) = lived((100, clear), (60, slight))
    assert (told.ended, told.detected - told.started) == (None, 60.0)


def test_a_member_that_is_behind_is_no_waster_as_well():
    told = lived((120, wasteful(0.8, tokens_per_second={TokenKind.OUTPUT: 900.0})))

    assert [each.kind for each in told] == [Kind.STRAGGLER]


def test_a_member_whose_own_drop_is_told_is_no_waster():
    told = lived((120, wasteful(0.8, incidents=(OWN,))))

    assert [each.kind for each in told] == [Kind.DROP]


def test_a_waster_that_is_thrifty_again_is_over_after_half_a_minute():
    (incident,) = lived((120, wasteful()), (31, ALIKE))

    assert incident.ended is not None


def test_a_waster_for_a_moment_is_still_the_same_one():
    (incident,) = lived((120, wasteful()), (10, ALIKE), (60, wasteful()))

    assert incident.ended is None


@pytest.mark.parametrize(
    ("changed", "cause", "text"),
    [
        ({"power_watts": 1200.0}, Cause.UNKNOWN, "GPU 1 draws 1200 W, the others 1000 W"),
        (
            {"power_watts": 1200.0, "temperature_celsius": 80.0},
            Cause.THERMAL,
            "GPU 1 is at 80 \u00b0C, the others at 60 \u00b0C",
        ),
        ({"clock_hertz": 1.5e9}, Cause.CLOCKS_LOW, "GPU 1 runs at 1500 MHz, the others at 2070 MHz"),
    ],
)
def test_a_waster_is_suspected_for_the_gpu_that_is_unlike_the_others(changed, cause, text):
    gpus = (DRAWS, replace(DRAWS, gpu=1, **changed))
    others = tuple(replace(each, gpus=(DRAWS, replace(DRAWS, gpu=1))) for each in ALIKE[:3])

    (incident,) = lived((120, (*others, thrifty(3, 0.9, gpus=gpus))))

    assert (incident.cause, incident.gpu) == (cause, 1)
    assert incident.evidence[1].text == text


def test_what_members_are_asked_for_by_chance_makes_none_of_them_a_straggler():
    """Little and noisy demand: whoever has fewer requests makes fewer tokens, and none is slow."""
    dice, memory = random.Random(5), RackMemory()
    for second in range(900):
        loads = [dice.choice((1.0, 2.0, 3.0, 5.0)) for _ in range(4)]
        members = [member(number, 50.0 * load, in_flight=load) for number, load in enumerate(loads)]
        memory = rack_diagnosed(memory, rack_signs_of(rack(second, *members)))

    assert memory.incidents == ()


def test_a_member_that_makes_less_of_as_few_requests_is_one():
    slow = member(3, 60.0, in_flight=3.0)

    (straggler,) = lived((150, (*(member(number, 150.0, in_flight=3.0) for number in range(3)), slow)))
    assert straggler.kind is Kind.STRAGGLER


def test_what_whole_requests_make_comes_on_top_of_how_far_nodes_differ():
    """6.1 % less of 72 requests in four engines, which may be 5.6 % too many."""
    asked_less = member(3, 0.939 * 720.0, in_flight=72.0, engines=4)

    assert lived((150, (*FOUR[:3], asked_less))) == ()


@pytest.mark.parametrize(("engines", "told"), [(4, 0), (1, 1)])
def test_each_engine_counts_whole_requests_which_of_few_makes_a_share_of_the_pace(engines, told):
    """Others make 10 tokens/s of each request, here it is 8.75 of 32; one in each may be new."""
    asked_less = member(3, 280.0, in_flight=32.0, engines=engines)

    assert len(lived((150, (*FOUR[:3], asked_less)))) == told


def test_a_load_that_varies_from_second_to_second_is_compared_by_its_mean_and_how_far_that_may_be_off():
    dice, memory = random.Random(0), RackMemory()
    rates = [1000.0] * 4
    for second in range(600):
        loads = [100.0 * (1.0 + 0.8 * dice.uniform(-1.0, 1.0)) for _ in range(4)]
        rates = [rate + (10.0 * load - rate) / 10.0 for rate, load in zip(rates, loads, strict=True)]
        members = [member(n, rates[n], in_flight=load) for n, load in enumerate(loads)]
        memory = rack_diagnosed(memory, rack_signs_of(rack(second, *members)))

    assert memory.incidents == ()
