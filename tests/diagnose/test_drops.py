"""Each fault of the twin: one incident, its cause, place and loss; and silence where nothing is wrong."""

import pytest

CASES = {
    "thermal": ("{kind: thermal, at: 150s, lasts: 60s, degrees: 45}", "", "thermal", 16),
    "power_cap": ("{kind: power_cap, at: 150s, lasts: 60s, watts: 600}", "", "power_cap", 8),
    "power_brake": ("{kind: power_brake, at: 150s, lasts: 60s}", "", "power_brake", 6),
    "gpu_lost": ("{kind: gpu_lost, at: 150s, lasts: 60s, gpus: [2]}", "", "gpu_lost", 6),
    "nvlink": ("{kind: nvlink, at: 150s, lasts: 60s, gpus: [1]}", ", parallel: tensor", "nvlink", 6),
    "straggler": (
        "{kind: straggler, at: 150s, lasts: 60s, gpus: [3]}",
        ", parallel: tensor",
        "clocks_low",
        8,
    ),
    "kv_saturation": ("{kind: kv_saturation, at: 150s, lasts: 60s}", "", "kv_saturation", 10),
    "slow_node": ("{kind: slow_node, at: 150s, lasts: 60s}", "", "host_pressure", 10),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_one_drop_with_its_cause_in_time_and_its_loss_within_a_tenth(live, name):
    event, rack, cause, within_seconds = CASES[name]
    lived = live(event, rack=rack)

    (drop,) = [each for each in lived.loud if each.kind == "drop"]
    assert drop.cause == cause
    assert drop.detected - drop.started <= within_seconds
    assert 149 <= lived.started(drop) <= 150 + within_seconds
    assert drop.ended is not None
    assert drop.lost_tokens == pytest.approx(lived.lost, rel=0.1)
    assert drop.evidence


@pytest.mark.parametrize(("name", "gpu"), [("gpu_lost", 2), ("nvlink", 1), ("straggler", 3)])
def test_a_fault_of_one_gpu_names_it(live, name, gpu):
    event, rack, _, _ = CASES[name]

    (drop,) = [each for each in live(event, rack=rack).loud if each.kind == "drop"]
    assert drop.gpu == gpu


def test_an_engine_that_stands_still_with_its_requests_is_a_stall(live):
    (stall,) = live("{kind: engine_stall, at: 150s, lasts: 60s}").loud

    assert (stall.kind, stall.cause, stall.severity) == ("stall", "engine_stall", "critical")


def test_an_engine_that_is_back_within_the_grace_was_restarted_and_nobody_is_woken(live):
    lived = live("{kind: engine_restart, at: 150s}")

    assert lived.loud == []
    assert [(each.kind, each.cause) for each in lived.incidents] == [("restart", "engine_restart")]


def test_an_engine_that_stays_away_is_down_and_stays_so_called_when_it_is_back(live):
    (drop,) = live("{kind: engine_crash, at: 150s, lasts: 60s}").loud

    assert (drop.kind, drop.cause, drop.severity) == ("drop", "engine_down", "critical")
    assert drop.engine_instance == "127.0.0.1:8000"


def test_longer_prompts_are_other_work_and_wake_nobody(live):
    lived = live("{kind: prefill_shift, at: 150s, lasts: 60s}")

    assert lived.loud == []
    assert [each.cause for each in lived.incidents] == ["workload_shift"]


def test_pages_that_hang_are_a_gap_in_telemetry_and_no_drop(live):
    (gap,) = live("{kind: telemetry_gap, at: 150s, lasts: 60s}").incidents

    assert (gap.kind, gap.cause, gap.lost_tokens) == ("gap", "telemetry_gap", 0.0)
    assert gap.ended is not None


def test_an_error_of_a_gpu_that_costs_nothing_is_a_fault_and_ends_by_itself(live):
    (fault,) = live("{kind: gpu_fault, at: 150s, gpus: [1]}").incidents

    assert (fault.kind, fault.cause, fault.gpu) == ("fault", "ecc", 1)
    assert fault.ended is not None


@pytest.mark.parametrize(
    ("event", "load"),
    [
        ("{kind: demand, at: 150s, lasts: 60s, factor: 0.2}", "{level: 0.9, noise: 0.02}"),
        ("", "{level: 0.9, noise: 0.05}"),
        ("", "{level: 1.3, noise: 0.05}"),
        ("", "{level: 0.7, noise: 0.02, wave: {share: 0.6, period: 2m}}"),
        ("", "{stretches: [{lasts: 20s, level: 1.1}, {lasts: 15s, level: 0.3}], repeat: true, noise: 0.03}"),
        ("", "{stretches: [{lasts: 4m, level: 1.0, to: 0.1}]}"),
        ("{kind: power_cap, at: 150s, lasts: 60s, watts: 700}", "{level: 0.4, noise: 0.02}"),
    ],
    ids=["demand falls", "noise", "overload", "wave", "bursts", "ramp", "capped with room to spare"],
)
def test_what_is_no_loss_is_no_incident(live, event, load):
    assert [each for each in live(event, load=load).incidents if each.kind != "demand"] == []


def test_demand_that_falls_is_information_and_no_more(live):
    (lull,) = live("{kind: demand, at: 220s, lasts: 200s, factor: 0.2}", seconds=480).incidents

    assert (lull.kind, lull.cause, lull.severity) == ("demand", "demand", "info")
    assert lull.ended is not None


def test_nothing_is_told_of_a_fault_within_the_first_seconds_of_watching(live):
    assert live("{kind: power_brake, at: 2s, lasts: 60s}", seconds=60).loud == []


def test_two_faults_at_once_are_both_told_or_the_one_that_explains_more(live):
    cap = "{kind: power_cap, at: 150s, lasts: 60s, watts: 1150}"
    cache = "{kind: kv_saturation, at: 150s, lasts: 60s}"
    both = f"{cap}\n  - {cache}"

    drops = [each for each in live(both).loud if each.kind == "drop"]
    assert "kv_saturation" in {str(each.cause) for each in drops}
    assert {str(each.cause) for each in drops} <= {"kv_saturation", "power_cap"}


def test_a_fault_that_comes_into_another_is_told_beside_it(live):
    cap = "{kind: power_cap, at: 150s, lasts: 180s, watts: 800}"
    cache = "{kind: kv_saturation, at: 220s, lasts: 80s, factor: 0.5}"
    lived = live(f"{cap}\n  - {cache}", seconds=400)

    told = {(str(kind), str(cause)) for _, kind, cause, _ in lived.seen}
    assert {("drop", "power_cap"), ("drop", "kv_saturation")} <= told
    assert sum(each.lost_tokens for each in lived.loud) == pytest.approx(lived.lost, rel=0.1)


SHIFT = "{kind: prefill_shift, at: 150s, lasts: 130s}"


def test_a_restart_within_a_drop_is_not_what_the_drop_came_of(live):
    lived = live(f"{SHIFT}\n  - {{kind: engine_restart, at: 220s, lasts: 10s}}", seconds=280)

    assert {(cause, severity) for _, _, cause, severity in lived.seen} == {("workload_shift", "info")}


def test_an_engine_that_stays_away_within_a_drop_is_down(live):
    lived = live(f"{SHIFT}\n  - {{kind: engine_crash, at: 220s, lasts: 40s}}", seconds=280)

    second, kind, severity = next(
        (s, kind, loud) for s, kind, cause, loud in lived.seen if cause == "engine_down"
    )
    assert (kind, severity) == ("drop", "critical")
    assert 238 <= second <= 245


def test_what_is_lost_while_pages_hang_is_told_when_they_can_be_read_again(live):
    lived = live(
        "{kind: power_brake, at: 150s, lasts: 100s}\n  - {kind: telemetry_gap, at: 180s, lasts: 40s}"
    )

    (drop,) = [each for each in lived.loud if each.kind == "drop"]
    assert drop.lost_tokens == pytest.approx(lived.lost, rel=0.05)
    assert drop.lost_joules is not None


@pytest.mark.parametrize("factor", [0.1, 0.5])
def test_less_demand_while_pages_hang_is_no_drop_when_they_can_be_read_again(live, factor):
    less = f"{{kind: demand, at: 160s, lasts: 40s, factor: {factor}}}"
    lived = live(f"{less}\n  - {{kind: telemetry_gap, at: 155s, lasts: 48s}}")

    assert [str(each.kind) for each in lived.loud] == ["gap"]


def test_prompts_that_grew_while_there_was_little_to_do_are_other_work_when_there_is_more(live):
    load = "{stretches: [{lasts: 100s, level: 0.9}, {lasts: 120s, level: 0.3}, {lasts: 120s, level: 0.9}]}"
    lived = live("{kind: prefill_shift, at: 110s, lasts: 300s, factor: 4}", seconds=330, load=load)

    assert lived.loud == []


def test_a_fault_that_began_while_pages_hung_is_told_as_soon_as_they_can_be_read(live):
    lived = live(
        "{kind: power_brake, at: 150s, lasts: 100s}\n  - {kind: telemetry_gap, at: 140s, lasts: 60s}"
    )

    (drop,) = [each for each in lived.loud if each.kind == "drop"]
    assert drop.cause == "power_brake"
    assert lived.started(drop) + drop.detected - drop.started < 205


def test_an_engine_that_was_gone_before_pages_hung_was_gone_meanwhile(live):
    lived = live(
        "{kind: engine_crash, at: 150s, lasts: 100s}\n  - {kind: telemetry_gap, at: 180s, lasts: 40s}"
    )

    (drop,) = [each for each in lived.loud if each.kind == "drop"]
    assert drop.lost_tokens == pytest.approx(lived.lost, rel=0.05)
