"""A fault that stood before the drop and cost nothing then is known as one, and named or told."""

from dataclasses import replace

import pytest
from fakes.hand_node import GPU, HandNode

CAPPED = {"clock_hertz": 1.6e9, "throttle": frozenset({"sw_power_cap"})}


@pytest.fixture
def node():
    return HandNode().live(300)


def test_a_limit_that_was_lowered_long_before_load_rose_is_what_holds_down(node):
    node.gpu(limit_watts=700.0, **CAPPED).live(200)
    assert node.incidents == ()

    node.live(40, rate=750.0)
    (incident,) = node.incidents
    assert (incident.cause, incident.gpu) == ("power_cap", 0)
    assert [each.text for each in incident.evidence[1:2]] == [
        "GPU 0 runs at 1600 MHz instead of 2000 MHz (sw_power_cap), since before the drop"
    ]


def test_a_limit_that_was_not_lowered_is_a_normal_bound(node):
    node.gpu(**CAPPED).live(200).live(40, rate=750.0)

    assert [str(each.cause) for each in node.incidents] == ["unknown"]


def test_another_limit_that_stands_for_half_an_hour_is_the_usual_one(node):
    node.gpu(limit_watts=700.0, **CAPPED).live(1900).live(40, rate=750.0)

    assert [str(each.cause) for each in node.incidents] == ["unknown"]


def test_what_is_new_explains_a_drop_better_than_what_stood_before(node):
    node.gpu(limit_watts=700.0, **CAPPED).live(200)
    node.live(40, rate=0.0)

    (incident,) = node.incidents
    assert incident.cause == "engine_stall"
    assert [each.text for each in incident.evidence if each.text.startswith("also")] == [
        "also: the power limit of GPU 0 is 700 W, before 1400 W"
    ]


def test_a_gpu_that_was_lost_before_the_drop_is_named_in_it():
    node = (
        HandNode(gpus=(GPU, replace(GPU, gpu=1))).live(200).gpu(1, state="lost", power_watts=None).live(100)
    )
    node.live(60, rate=0.0)

    incident = next(each for each in node.incidents if each.cause == "engine_stall")
    assert "also: GPU 1 no longer answers, since before the drop: lost" in [e.text for e in incident.evidence]


TWO = (GPU, replace(GPU, gpu=1))


def test_a_gpu_that_is_lost_explains_what_is_missing_whenever_as_much_is_asked_for_again():
    node = HandNode(gpus=TWO).live(300).gpu(1, state="lost", power_watts=None)
    node.live(60, rate=450.0).live(30, rate=1000.0).live(60, rate=500.0)

    drops = [each for each in node.incidents if each.kind == "drop"]
    assert [(str(each.cause), each.gpu) for each in drops] == [("gpu_lost", 1), ("gpu_lost", 1)]
    assert drops[0].evidence[1].text == "GPU 1 no longer answers, since before the drop: lost"


def test_a_gpu_that_is_lost_for_half_an_hour_is_missed_no_more():
    node = HandNode(gpus=TWO).live(300).gpu(1, state="lost", power_watts=None)
    node.live(1900).live(60, rate=500.0)

    assert [str(each.cause) for each in node.incidents if each.kind == "drop"] == ["unknown"]
