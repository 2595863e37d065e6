"""Two faults that overlap are two incidents, each with its cause, its place and its part of the loss."""

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
    assert cache.lost_tokens == pytest.approx(0.66 * 450.0 * 105, rel=0.1)
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
