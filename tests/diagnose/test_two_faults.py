"""Two faults that overlap are two incidents, each with its cause, its place and its part of the loss."""

from dataclasses import replace

import pytest
from fakes.hand_node import GPU, HandNode

from agent.measure.incident import Severity

CAPPED = {"clock_hertz": 1.6e9, "throttle": frozenset({"sw_power_cap"})}
FREE = {"clock_hertz": 2.0e9, "throttle": frozenset()}


class Tray(HandNode):
    """Puts requests off while its cache is full."""

    full = False
    batch = 13.0
    put_off = 0.0

    def signs(self):
        self.put_off += 3.0 * self.full
        self.engine = {
            "kv_cache_usage_ratio": 0.99 if self.full else 0.6,
            "preemptions": self.put_off,
            "running": self.batch if self.full else 20.0,
            "waiting": 30.0 if self.full else 0.0,
        }
        return super().signs()

    def fill(self, full):
        self.full = full
        return self


@pytest.fixture
def tray():
    return Tray(gpus=(GPU,)).live(120)


def shown(incidents):
    return sorted((str(each.kind), str(each.cause)) for each in incidents)


def test_a_second_fault_within_a_drop_is_told_as_its_own_incident(tray):
    tray.gpu(**CAPPED).live(90, rate=850.0)
    assert shown(tray.incidents) == [("drop", "power_cap")]

    tray.fill(full=True).live(60, rate=550.0)
    assert shown(tray.incidents) == [("drop", "kv_saturation"), ("drop", "power_cap")]
    cache = next(each for each in tray.incidents if each.cause == "kv_saturation")
    assert cache.id == f"{next(e.id for e in tray.incidents if e.cause == 'power_cap')}/kv_saturation"
    assert cache.severity is Severity.WARNING
    assert cache.detected - (1_760_000_000.0 + 210.0) <= 22.0
    assert cache.summary == (
        "node-a: 67 % of what llama lacks comes of something else: the KV cache is full (99%, before 60%)"
    )
    assert [each.metric for each in cache.evidence][:1] == ["engine_kv_cache_usage_ratio"]


def test_what_is_lost_is_divided_and_counted_once(tray):
    tray.gpu(**CAPPED).live(90, rate=850.0).fill(full=True).live(120, rate=550.0)

    cap, cache = (
        next(each for each in tray.incidents if each.cause == cause)
        for cause in ("power_cap", "kv_saturation")
    )
    assert cap.lost_tokens + cache.lost_tokens == pytest.approx(150.0 * 90 + 450.0 * 120, rel=0.03)
    assert cache.lost_tokens == pytest.approx(300.0 * 120, rel=0.03)
    assert cap.lost_gpu_seconds + cache.lost_gpu_seconds == pytest.approx(0.15 * 90 + 0.45 * 120, rel=0.05)


def test_the_second_is_over_when_its_evidence_is_and_the_first_stands(tray):
    tray.gpu(**CAPPED).live(90, rate=850.0).fill(full=True).live(60, rate=550.0)
    tray.fill(full=False).live(40, rate=850.0)

    over = {str(each.cause): each.ended is not None for each in tray.incidents}
    assert over == {"kv_saturation": True, "power_cap": False}


def test_both_are_over_with_the_gap(tray):
    tray.gpu(**CAPPED).live(90, rate=850.0).fill(full=True).live(60, rate=550.0)
    tray.gpu(**FREE).fill(full=False).live(30, rate=1000.0)

    assert [each.ended is not None for each in tray.incidents] == [True, True]


def test_two_that_came_together_are_told_both(tray):
    tray.gpu(**CAPPED).fill(full=True).live(40, rate=530.0)

    assert shown(tray.incidents) == [("drop", "kv_saturation"), ("drop", "power_cap")]


@pytest.mark.parametrize("rate", [820.0, 700.0])
def test_a_drop_that_deepens_by_its_own_cause_stays_one(tray, rate):
    tray.gpu(**CAPPED).live(90, rate=850.0).gpu(clock_hertz=1.3e9).live(60, rate=rate)

    assert shown(tray.incidents) == [("drop", "power_cap")]


def test_a_cache_that_fills_because_the_engine_is_slow_is_no_second_fault(tray):
    """As many requests as before are in work: the queue is a consequence."""
    tray.batch = 20.0
    tray.gpu(**CAPPED).live(90, rate=850.0).fill(full=True).live(60, rate=780.0)

    assert shown(tray.incidents) == [("drop", "power_cap")]


HOT = {"throttle": frozenset({"sw_power_cap", "sw_thermal_slowdown"}), "temperature_celsius": 91.0}


def by_cause(tray):
    return {str(each.cause): each for each in tray.incidents}


def also(incident):
    return [each.text for each in incident.evidence if each.text.startswith("also")]


def test_an_engine_that_stops_within_a_drop_is_another_fault_and_the_first_is_not_renamed(tray):
    tray.gpu(**CAPPED).live(90, rate=850.0).live(40, rate=0.0)

    told = by_cause(tray)
    assert (told["power_cap"].kind, told["power_cap"].ended) == ("drop", None)
    assert (told["engine_stall"].severity, told["engine_stall"].ended) == (Severity.CRITICAL, None)
    assert told["engine_stall"].lost_tokens == pytest.approx(850.0 * 40, rel=0.1)


def test_a_fault_that_costs_nothing_beside_the_first_is_named_in_its_incident():
    tray = Tray(gpus=(replace(GPU, temperature_celsius=60.0),)).live(120)
    tray.gpu(**CAPPED).live(60, rate=700.0).gpu(**HOT).live(60)

    (incident,) = tray.incidents
    assert incident.cause == "power_cap"
    assert also(incident) == ["also: heat holds down GPU 0; GPU 0 is at 91 °C, before at 60 °C"]
    assert incident.evidence[2].gpu == 0
    assert incident.summary.endswith("; also: heat holds down GPU 0; GPU 0 is at 91 °C, before at 60 °C")
    assert incident.lost_tokens == pytest.approx(300.0 * 120, rel=0.03)


def test_what_was_named_and_is_over_is_told_with_its_end(tray):
    heat = {"clock_hertz": 1.6e9, "throttle": frozenset({"hw_thermal_slowdown"})}
    tray.gpu(**heat).live(60, rate=700.0).gpu(limit_watts=800.0).live(40).gpu(limit_watts=1400.0).live(20)

    (incident,) = tray.incidents
    assert also(incident) == ["also, until 08:56:59 UTC: the power limit of GPU 0 is 800 W, before 1400 W"]
    assert "also" not in incident.summary


GONE = {"up": False, "gone": True, "output": None}
IDLE = {"power_watts": 150.0, "utilization_ratio": 0.0}
WORKING = {"power_watts": 700.0, "utilization_ratio": 0.97}


def test_when_the_first_is_over_the_other_has_an_incident_of_its_own():
    """The engine is mended, and makes less than it should: the limit was lowered meanwhile."""
    tray = HandNode(gpus=(GPU,)).live(120).gpu(**IDLE).live(60, rate=0.0, **GONE)
    tray.gpu(limit_watts=700.0, **CAPPED, **WORKING).live(41, rate=700.0, restarts=1.0)

    told = by_cause(tray)
    assert told["engine_down"].ended == pytest.approx(1_760_000_000.0 + 181.0, abs=4.0)
    assert (told["power_cap"].ended, told["power_cap"].kind) == (None, "drop")
    assert told["power_cap"].started == told["engine_down"].ended
    assert "makes 30 % fewer tokens" in told["power_cap"].summary
    assert told["engine_down"].lost_tokens == pytest.approx(1000.0 * 60, rel=0.05)
    assert told["power_cap"].lost_tokens == pytest.approx(300.0 * 41, rel=0.1)


def test_the_second_goes_on_as_the_same_one_when_the_first_is_over(tray):
    tray.gpu(**CAPPED).live(90, rate=850.0).fill(full=True).live(60, rate=550.0)
    before = by_cause(tray)["kv_saturation"]
    tray.gpu(**FREE).live(40, rate=650.0)

    told = by_cause(tray)
    assert (told["kv_saturation"].id, told["kv_saturation"].ended) == (before.id, None)
    assert told["kv_saturation"].detected == before.detected
    assert told["power_cap"].ended == pytest.approx(1_760_000_000.0 + 271.0, abs=4.0)
    assert sum(each.lost_tokens for each in told.values()) == pytest.approx(
        150.0 * 90 + 450.0 * 60 + 350.0 * 40, rel=0.03
    )


def test_a_third_is_told_when_the_second_is_over(tray):
    tray.gpu(**CAPPED).live(90, rate=850.0).fill(full=True).live(60, rate=550.0)
    tray.fill(full=False).live(90, rate=850.0).live(40, rate=0.0)

    assert shown(tray.incidents) == [
        ("drop", "engine_stall"),
        ("drop", "kv_saturation"),
        ("drop", "power_cap"),
    ]


def test_a_clock_that_is_still_held_is_not_over_while_no_engine_works():
    tray = HandNode(gpus=(GPU,)).live(120).gpu(**CAPPED).live(90, rate=850.0)
    tray.gpu(**IDLE, **FREE).live(60, rate=0.0, **GONE)

    over = {cause: each.ended for cause, each in by_cause(tray).items()}
    assert over == {"power_cap": None, "engine_down": None}


def test_a_gpu_that_is_back_is_over_though_its_error_is_on_record():
    pair = (GPU, replace(GPU, gpu=1))
    tray = HandNode(gpus=pair).live(120).gpu(1, state="lost", xids={79: 1.0}, power_watts=None)
    tray.live(60, rate=0.0, **GONE).gpu(0, **CAPPED, limit_watts=700.0).gpu(1, state="ok", power_watts=900.0)
    tray.live(40, rate=800.0, restarts=1.0)

    drops = {str(each.cause): each.ended is None for each in tray.incidents if each.kind == "drop"}
    assert drops == {"power_cap": True, "gpu_lost": False}


def test_a_first_cause_of_weak_evidence_is_not_renamed_by_what_comes_later(tray):
    tray.gpu(power_watts=600.0).live(90, rate=700.0)
    assert shown(tray.incidents) == [("drop", "host_pressure")]

    tray.live(40, rate=0.0)
    assert shown(tray.incidents) == [("drop", "engine_stall"), ("drop", "host_pressure")]
