"""The NVLinks of a GPU, folded: bytes and errors of all, which are down, and which is failing."""

import time

import pynvml
import pytest
from fakes.nvml.driver import FakeDriver
from fakes.nvml_agent import NvmlAgent

from agent.collectors._nvml.nvlink import NvLinks, worst_of

EVERY_LINK = 0xFFFFFFFF
COUNT, STATE, RECOVERY = 91, 165, 215
UINT, ULL = 1, 3


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path) as driver:
        yield driver


def linked(agent):
    """The GPUs once it is known what their links can be asked."""
    answer = agent.until(lambda answer: answer["reading"]["gpus"][0]["nvlinks"])
    return answer["reading"]["gpus"]


def test_errors_of_all_links_are_added_by_their_kind(driver):
    driver.nvlink(0, 7, RECOVERY, 3)
    driver.nvlink(0, 2, RECOVERY, 1)
    driver.nvlink(0, 2, 212, 5)
    with NvmlAgent(driver.env) as agent:
        broken, well, *_ = linked(agent)

    assert broken["nvlink_errors"]["link_recovery"] == 4
    assert broken["nvlink_errors"]["transmit_discard"] == 5
    assert set(well["nvlink_errors"].values()) == {0}


def test_the_link_that_recovered_most_is_named(driver):
    driver.nvlink(0, 7, RECOVERY, 3)
    driver.nvlink(0, 2, RECOVERY, 1)
    with NvmlAgent(driver.env) as agent:
        broken, well, *_ = linked(agent)

    assert (broken["nvlink_worst"], well["nvlink_worst"]) == ([7, 3], None)


def test_links_are_counted_by_their_state(driver):
    driver.nvlink_state(0, 5, 0)
    driver.nvlink_state(0, 6, 2)
    with NvmlAgent(driver.env) as agent:
        states = linked(agent)[0]["nvlinks"]

    assert states == {"active": 16, "sleep": 1, "inactive": 1, "traffic_disabled": 0}


@pytest.mark.parametrize(("preset", "speed"), [("gb300", 53.125e9), ("h100", 26.562e9)])
def test_the_speed_of_the_slowest_link_is_told_in_bytes(tmp_path, preset, speed):
    with FakeDriver(tmp_path, preset, gpus=1) as driver, NvmlAgent(driver.env) as agent:
        (gpu,) = linked(agent)

    assert gpu["nvlink_slowest_bytes_per_second"] == pytest.approx(speed)


def test_bytes_of_all_links_are_those_that_the_machine_moved(driver):
    began = driver.load(0, 0.5)
    with NvmlAgent(driver.env) as agent:
        time.sleep(0.5)
        gpu = agent.gpu()
        after = time.monotonic()

    most = 0.5 * 18 * 2e10 * (after - began)
    assert 0.5 * most < gpu["nvlink_bytes"]["tx"] <= most


@pytest.mark.parametrize(("gpm", "steps"), [(False, False), (True, True)])
def test_traffic_goes_in_steps_only_where_hardware_tells_its_rate(driver, gpm, steps):
    with NvmlAgent(driver.env, detail_interval=30, slow_interval=30, gpm=gpm) as agent:
        driver.load(0, 0.5)
        for _ in range(2):  # the second pair of samples is not waited for
            agent.collect()
            time.sleep(0.2)
        before = agent.gpu()["nvlink_bytes"]["tx"]
        time.sleep(1.1)

        assert (agent.gpu()["nvlink_bytes"]["tx"] == before) is steps


def test_hopper_tells_the_errors_that_it_has(tmp_path):
    with FakeDriver(tmp_path, "h100", gpus=1) as driver:
        driver.nvlink(0, 3, 162, 2)
        with NvmlAgent(driver.env) as agent:
            (gpu,) = linked(agent)

    assert gpu["nvlink_errors"] == {"replay": 0, "recovery": 2, "crc": 0}
    assert gpu["nvlink_worst"] == [3, 2]


def test_a_gpu_without_links_tells_nothing_and_is_not_asked_again(tmp_path):
    with FakeDriver(tmp_path, "workstation") as driver, NvmlAgent(driver.env, interval=0.01) as agent:
        for _ in range(4):
            gpu = agent.gpu()
            time.sleep(0.02)

    assert (gpu["nvlinks"], gpu["nvlink_errors"], gpu["nvlink_bytes"]) == ({}, {}, {})


def test_it_can_be_switched_off(driver):
    with NvmlAgent(driver.env, nvlinks=False) as agent:
        for _ in range(4):
            gpu = agent.gpu()
            time.sleep(0.03)

    assert (gpu["nvlinks"], gpu["nvlink_errors"]) == ({}, {})


def test_the_reading_that_opens_a_gpu_does_not_wait_for_its_links(driver):
    """Each step is one driver call of its own reading: a slow driver must not pass for one that hangs."""
    with NvmlAgent(driver.env) as agent:
        assert agent.gpu()["nvlinks"] == {}


def test_who_may_not_ask_the_links_is_told():
    links = Links({}, code=4)
    pair = NvLinks(links, traffic=False)
    pair.ask(None)

    assert (pair.settled, pair.refused) == (True, 4)


def test_links_are_asked_at_a_slow_pace_once_they_are_known(driver):
    with NvmlAgent(driver.env, slow_interval=30, max_load=1.0, gpm=False) as agent:
        linked(agent)
        before = agent.collect()["reading"]["costs"]["nvmlDeviceGetFieldValues"]["calls"]
        time.sleep(0.05)
        after = agent.collect()["reading"]["costs"]["nvmlDeviceGetFieldValues"]["calls"]

    assert after - before == 4  # power and energy of four GPUs


# ---- without a driver


class Links:
    """Stands for the library: what each field of each link answers, success where it is named."""

    pynvml = pynvml

    def __init__(self, values, code=3):
        self.values, self.code = values, code
        self.calls = 0

    def bare(self, _function, _handle, _count, reference):
        def ask():
            self.calls += 1
            for entry in reference._obj:
                value = self.values.get((entry.fieldId, entry.scopeId))
                entry.nvmlReturn, entry.valueType = (self.code, UINT) if value is None else (0, ULL)
                entry.value.ullVal = value or 0

        return ask


def settled(links, *, traffic=False):
    """The links, once it is known what they can be asked."""
    pair = NvLinks(links, traffic=traffic)
    while not pair.settled:
        assert pair.ask(None) == ()
    return pair


def told(links, *, traffic=False):
    answers = {}
    for attribute, key, value in settled(links, traffic=traffic).ask(None):
        answers.setdefault(attribute, {})[key] = value
    return answers


def test_where_the_driver_does_not_add_up_each_link_is_asked_for_its_bytes():
    sizes = {(202, 0): 100, (202, 1): 50, (204, 0): 7, (204, 1): 8}
    links = Links({(COUNT, 0): 2, (STATE, 0): 1, (STATE, 1): 1, (RECOVERY, 0): 0, (RECOVERY, 1): 0} | sizes)

    assert told(links, traffic=True)["nvlink_bytes"] == {"tx": 150, "rx": 15}


def test_a_first_link_that_is_down_does_not_hide_what_the_others_count():
    links = Links({(COUNT, 0): 2, (STATE, 0): 0, (STATE, 1): 1, (RECOVERY, 1): 4})

    assert told(links)["nvlink_errors"] == {"link_recovery": 4}


def test_a_link_that_falls_silent_takes_nothing_from_the_sum():
    values = {(COUNT, 0): 2, (STATE, 0): 1, (STATE, 1): 1, (RECOVERY, 0): 2, (RECOVERY, 1): 4}
    links = Links(values)
    pair = settled(links)
    tuple(pair.ask(None))
    del values[RECOVERY, 0]

    assert ("nvlink_errors", "link_recovery", 6) in pair.ask(None)


@pytest.mark.parametrize("count", [0, 65, None])
def test_a_number_of_links_that_cannot_be_is_none(count):
    pair = settled(Links({(COUNT, 0): count}))

    assert pair.ask(None) == ()
    assert pair.refused == 3


def test_what_the_links_have_is_found_out_once():
    links = Links({(COUNT, 0): 2, (STATE, 0): 1, (STATE, 1): 1, (RECOVERY, 0): 0, (RECOVERY, 1): 0})
    pair = settled(links)
    calls = links.calls
    pair.ask(None)

    assert links.calls == calls + 1


@pytest.mark.parametrize(
    ("counts", "worst"),
    [
        ({}, None),
        ({"link_recovery": {0: 0, 1: 0}}, None),
        ({"link_recovery": {0: 1, 5: 4, 7: 4}}, (5, 4)),
        ({"symbol": {3: 900}}, None),
        ({"recovery": {2: 1}}, (2, 1)),
    ],
)
def test_only_recoveries_speak_of_a_failing_link(counts, worst):
    assert worst_of(counts) == worst
