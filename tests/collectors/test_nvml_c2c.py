"""The links of a GPU to its Grace, folded: which are up, how fast the slowest is, what failed on all."""

import time

import pynvml
import pytest
from fakes.nvml.driver import FakeDriver
from fakes.nvml_agent import NvmlAgent

from agent.collectors._nvml.c2c import C2cLinks

COUNT, STATUS, SPEED, REPLAY, POWER_STATE = 170, 171, 172, 232, 234
UINT, ULL = 1, 3


def linked(agent):
    """The GPUs once it is known what their links can be asked."""
    answer = agent.until(lambda answer: answer["reading"]["gpus"][0]["c2c_links"])
    return answer["reading"]["gpus"]


def test_links_to_grace_are_counted_by_their_state_and_their_errors_added(tmp_path):
    with FakeDriver(tmp_path) as driver:
        driver.c2c(0, 3, STATUS, -1)
        driver.c2c(0, 4, POWER_STATE)
        driver.c2c(0, 5, SPEED, -22356)
        driver.c2c(0, 5, REPLAY, 7)
        driver.c2c(0, 6, REPLAY, 2)
        with NvmlAgent(driver.env) as agent:
            broken, well, *_ = linked(agent)

    assert broken["c2c_links"] == {"active": 8, "low_power": 1, "inactive": 1}
    assert broken["c2c_slowest_bytes_per_second"] == 22.356e9
    assert broken["c2c_errors"] == {"interrupt": 0, "replay": 9, "replay_b2b": 0}
    assert well["c2c_links"] == {"active": 10, "low_power": 0, "inactive": 0}
    assert well["c2c_slowest_bytes_per_second"] == 44.712e9
    assert set(well["c2c_errors"].values()) == {0}


def test_a_gpu_beside_an_x86_cpu_has_none_and_is_asked_once(tmp_path):
    with FakeDriver(tmp_path, "h100", gpus=1) as driver, NvmlAgent(driver.env, interval=0.01) as agent:
        agent.until(lambda answer: answer["reading"]["gpus"][0]["nvlinks"])
        before = agent.collect()["reading"]["costs"]["nvmlDeviceGetFieldValues"]["calls"]
        time.sleep(0.05)
        answer = agent.collect()["reading"]

    assert answer["costs"]["nvmlDeviceGetFieldValues"]["calls"] - before == 1
    assert (answer["gpus"][0]["c2c_links"], answer["gpus"][0]["c2c_errors"]) == ({}, {})
    assert answer["gpus"][0]["c2c_slowest_bytes_per_second"] is None


# ---- without a driver


class Links:
    """Stands for the library: what each field of each link answers, success where it is named."""

    pynvml = pynvml

    def __init__(self, values, code=3):
        self.values, self.code = values, code

    def bare(self, _function, _handle, _count, reference):
        def ask():
            for entry in reference._obj:
                value = self.values.get((entry.fieldId, entry.scopeId))
                entry.nvmlReturn, entry.valueType = (self.code, UINT) if value is None else (0, ULL)
                entry.value.ullVal = value or 0

        return ask


def settled(links):
    pair = C2cLinks(links)
    while not pair.settled:
        assert pair.ask(None) == ()
    return pair


def test_a_driver_that_tells_only_status_and_speed_tells_no_errors():
    links = Links({(COUNT, 0): 2, (STATUS, 0): 1, (STATUS, 1): 1, (SPEED, 0): 44712, (SPEED, 1): 44712})
    told = settled(links).ask(None)

    assert ("c2c_links", "active", 2) in told
    assert {attribute for attribute, *_ in told} == {"c2c_links", "c2c_slowest_bytes_per_second"}


def test_a_link_that_falls_silent_takes_nothing_from_the_sum():
    values = {(COUNT, 0): 2, (STATUS, 0): 1, (STATUS, 1): 1, (REPLAY, 0): 2, (REPLAY, 1): 4}
    pair = settled(Links(values))
    pair.ask(None)
    del values[REPLAY, 0]

    assert ("c2c_errors", "replay", 6) in pair.ask(None)


def test_a_link_that_is_down_has_no_speed():
    values = {(COUNT, 0): 2, (STATUS, 0): 1, (STATUS, 1): 0, (SPEED, 0): 44712, (SPEED, 1): 100}

    assert ("c2c_slowest_bytes_per_second", None, 44.712e9) in settled(Links(values)).ask(None)


@pytest.mark.parametrize("count", [0, 33, None])
def test_a_number_of_links_that_cannot_be_is_none(count):
    pair = settled(Links({(COUNT, 0): count}))

    assert pair.ask(None) == ()
    assert pair.refused == 3


def test_who_may_not_ask_the_links_is_told():
    pair = C2cLinks(Links({}, code=4))
    pair.ask(None)

    assert (pair.settled, pair.refused) == (True, 4)
