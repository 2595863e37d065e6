"""Hardware counters between two samples of a GPU (GPM): true, freed, and asked in vain only once."""

import time

import pynvml
import pytest
from fakes.nvml.driver import FakeDriver
from fakes.nvml_agent import NvmlAgent

from agent.collectors._nvml import gpm
from agent.collectors._nvml.gpm import METRIC_BYTES, Gpm
from agent.collectors._nvml.library import Code, Refusal
from agent.collectors._nvml.pace import Pace


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path) as driver:
        yield driver


def counted(agent, *, seconds=1.1):
    """The GPUs after two samples of each."""
    agent.collect()
    time.sleep(seconds)
    return agent.gpus()


def test_what_bounds_a_gpu_is_told_as_ratios_and_bytes_per_second(driver):
    driver.load("*", 0.0)
    driver.load(0, 0.5)
    with NvmlAgent(driver.env) as agent:
        busy, idle, *_ = counted(agent)

    assert busy["active_ratio"] == pytest.approx(
        {
            "graphics": 0.5,
            "sm": 0.45,
            "sm_occupancy": 0.15,
            "tensor": 0.2,
            "dram": 0.325,
            "fp64": 0.0,
            "fp32": 0.04,
            "fp16": 0.025,
        },
        abs=1e-6,
    )
    assert busy["link_bytes_per_second"] == pytest.approx(
        {
            "pcie_tx": 5e9,
            "pcie_rx": 5e9,
            "nvlink_tx": 1.8e11,
            "nvlink_rx": 1.8e11,
            "c2c_tx": 2.5e9,
            "c2c_rx": 2.5e9,
        }
    )
    assert set(idle["active_ratio"].values()) == {0.0}


def test_a_change_of_load_shows_as_the_mean_between_the_samples(driver):
    with NvmlAgent(driver.env) as agent:
        agent.collect()
        time.sleep(0.5)
        driver.load("*", 1.0)
        time.sleep(0.6)
        told = agent.gpu()["active_ratio"]["graphics"]

    assert 0.4 < told < 0.7


def test_the_first_means_do_not_wait_for_the_next_turn_and_the_others_do(driver):
    with NvmlAgent(driver.env, detail_interval=30) as agent:
        gpu, *_ = counted(agent, seconds=0.2)
        samples = agent.collect()["reading"]["costs"]["nvmlGpmSampleGet"]["calls"]
        time.sleep(0.2)
        later = agent.collect()["reading"]["costs"]["nvmlGpmSampleGet"]["calls"]

    assert gpu["active_ratio"]["sm"] == 0.0
    assert samples == later == 8  # two of each of four GPUs


def test_what_a_gpu_has_not_is_absent(tmp_path):
    with FakeDriver(tmp_path, "h100", gpus=1) as driver, NvmlAgent(driver.env) as agent:
        (gpu,) = counted(agent)

    assert gpu["active_ratio"]["sm"] == 0.0
    assert {"c2c_tx", "c2c_rx"} & gpu["link_bytes_per_second"].keys() == set()


def test_a_gpu_before_hopper_is_asked_once_and_tells_nothing(tmp_path):
    with FakeDriver(tmp_path, "workstation") as driver, NvmlAgent(driver.env) as agent:
        (gpu,) = counted(agent)
        costs = agent.collect()["reading"]["costs"]

    assert (gpu["active_ratio"], gpu["link_bytes_per_second"]) == ({}, {})
    assert costs["nvmlGpmQueryDeviceSupport"]["calls"] == 1
    assert "nvmlGpmSampleGet" not in costs


def test_it_can_be_switched_off(driver):
    with NvmlAgent(driver.env, gpm=False) as agent:
        counted(agent, seconds=0.2)

        assert "nvmlGpmQueryDeviceSupport" not in agent.collect()["reading"]["costs"]


def test_samples_are_given_back_when_the_driver_is_let_go_of(driver):
    """The fake has room for four samples a GPU: a third session would have none if any were kept."""
    with NvmlAgent(driver.env) as agent:
        for _ in range(3):
            agent.collect()
            agent.release()
            agent.until(lambda _: not driver.attached())
            agent.resume()
        agent.until(lambda answer: "reading" in answer)
        (gpu, *_) = counted(agent)

    assert gpu["active_ratio"]["sm"] == 0.0


def test_a_refusal_for_once_makes_it_absent_for_once(driver):
    with NvmlAgent(driver.env, detail_interval=0.5) as agent:
        counted(agent)
        driver.fail("nvmlGpmSampleGet", 999)
        agent.until(lambda answer: answer["reading"]["gpus"][0]["active_ratio"] == {})
        driver.fail("nvmlGpmSampleGet", 0)
        agent.until(lambda answer: answer["reading"]["gpus"][0]["active_ratio"] != {})


def test_who_may_not_ask_is_told_once(driver):
    driver.deny("nvmlGpmQueryDeviceSupport")
    with NvmlAgent(driver.env) as agent:
        notes = agent.collect()["reading"]["notes"]

    assert [note for note in notes if note.startswith("nvmlGpmMetricsGet is not permitted")]


# ---- without a driver


class Counters:
    """Stands for the library: samples are numbers, and every metric is 50."""

    pynvml = pynvml

    def __init__(self, value=50.0, code=0):
        self.value, self.code = value, code
        self.calls = []
        self.room = 2

    def call(self, function, *arguments):
        self.calls.append(function)
        if function == "nvmlGpmQueryDeviceSupport":
            return pynvml.c_nvmlGpmSupport_t(1, 1)
        if function == "nvmlGpmSampleAlloc":
            if not self.room:
                raise Refusal(20, function)
            self.room -= 1
            return pynvml.c_nvmlGpmSample_t()
        if function == "nvmlGpmSampleFree":
            self.room += 1
        if function == "nvmlGpmMetricsGet":
            (request,) = arguments
            for metric in request.metrics[: request.numMetrics]:
                metric.nvmlReturn, metric.value = self.code, self.value
        return None


@pytest.fixture
def clock(monkeypatch):
    """The collector's clock, set by the test."""
    now = {"seconds": 100.0}
    monkeypatch.setattr(gpm.time, "monotonic", lambda: now["seconds"])
    return now


def gpm_of(library, period_seconds=1.0):
    """Its two samples, asked for this often."""
    return Gpm(library, Pace(period_seconds, share=1.0))


def test_samples_are_never_taken_too_close_together(clock):
    library = Counters()
    pair = gpm_of(library)
    pair.ask(None)
    clock["seconds"] += 1.0
    told = pair.ask(None)
    clock["seconds"] += 0.05

    assert pair.ask(None) == told != ()
    assert library.calls.count("nvmlGpmSampleGet") == 2


def test_the_mean_of_a_long_gap_is_no_figure_of_now(clock):
    pair = gpm_of(Counters())
    pair.ask(None)
    clock["seconds"] += 11.0

    assert pair.ask(None) == ()


def test_a_mean_as_long_as_it_is_asked_for_is_told(clock):
    pair = gpm_of(Counters(), period_seconds=15.0)
    pair.ask(None)
    clock["seconds"] += 15.0

    assert pair.ask(None) != ()


def test_a_first_sample_waits_for_no_turn_but_for_the_least_spacing(clock):
    pair = gpm_of(Counters())
    pair.ask(None)

    assert not pair.waits(100.1)
    assert pair.waits(100.2)
    clock["seconds"] += 0.2
    pair.ask(None)
    assert not pair.waits(101.0)


@pytest.mark.parametrize(("value", "code"), [(50.0, 3), (float("nan"), 0), (float("inf"), 0), (-1.0, 0)])
def test_a_metric_without_a_value_is_absent(clock, value, code):
    pair = gpm_of(Counters(value, code))
    pair.ask(None)
    clock["seconds"] += 1.0

    assert pair.ask(None) == ()


def test_a_ratio_is_never_more_than_one(clock):
    pair = gpm_of(Counters(100.4))
    pair.ask(None)
    clock["seconds"] += 1.0

    assert ("active_ratio", "sm", 1.0) in pair.ask(None)


def test_a_driver_with_room_for_one_sample_keeps_it(clock):
    library = Counters()
    library.room = 1
    with pytest.raises(Refusal) as refusal:
        gpm_of(library).ask(None)

    assert refusal.value.code not in set(Code)
    assert library.room == 1


def test_what_the_binding_calls_a_metric_is_as_long_as_we_think():
    assert pynvml.sizeof(pynvml.c_nvmlGpmMetric_t) == METRIC_BYTES
