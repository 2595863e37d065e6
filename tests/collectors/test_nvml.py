"""The NVML collector beside the fake driver: what it reads is what the machine did."""

import os
import time

import pytest
from fakes.nvml.driver import FakeDriver
from fakes.nvml_agent import NvmlAgent


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path) as driver:
        yield driver


@pytest.fixture
def agent(driver):
    with NvmlAgent(driver.env) as agent:
        yield agent


def start(tmp_path, preset="gb300", settings=None, **overrides):
    driver = FakeDriver(tmp_path, preset, **overrides)
    return driver, NvmlAgent(driver.env, **(settings or {}))


def test_a_gb300_tells_who_it_is(agent):
    first, second, third, fourth = (gpu["identity"] for gpu in agent.gpus())

    assert first["product"] == "NVIDIA GB300"
    assert first["pci"] == "00000008:06:00.0"
    assert first["driver"] == "580.173.02"
    assert first["uuid"].startswith("GPU-")
    assert len({gpu["uuid"] for gpu in (first, second, third, fourth)}) == 4
    assert first["serial"] == second["serial"] != third["serial"] == fourth["serial"]


def test_a_gb300_tells_where_it_sits(agent):
    assert agent.gpu()["placement"] == {
        "chassis_serial": "1820000000001",
        "slot": 25,
        "tray": 15,
        "host": 1,
        "module": 2,
        "cluster_uuid": "5ac0ffee-0011-2233-4455-66778899aabb",
        "clique": 32766,
        "fabric_state": "completed",
        "fabric_healthy": True,
        "fabric_troubles": [],
    }


def test_energy_is_the_truth_at_the_moment_it_names(driver, agent):
    driver.load("*", 0.7)
    time.sleep(0.6)
    gpu = agent.gpu(2)

    told = gpu["energy_joules"]
    at = gpu["at"]["monotonic_seconds"]
    tenth = 0.1 * driver.power_watts(2, at)  # the counter is renewed every 100 ms
    assert driver.energy_joules(2, at) - tenth - 0.5 <= told <= driver.energy_joules(2, at) + 0.5


def test_power_is_the_truth_in_watts_by_scope(driver, agent):
    driver.load("*", 0.5)
    time.sleep(2.2)
    gpu = agent.gpu()

    truth = driver.power_watts(0, gpu["at"]["monotonic_seconds"])
    assert gpu["power"]["gpu"]["average_watts"] == pytest.approx(truth, rel=0.02)
    assert gpu["power"]["gpu"]["instant_watts"] == pytest.approx(truth, rel=0.02)
    assert gpu["power"]["module"]["average_watts"] == pytest.approx(2 * truth + 130, rel=0.05)
    assert 0 < gpu["power"]["memory"]["average_watts"] < truth
    assert gpu["power"]["memory"]["instant_watts"] is None


def test_values_are_in_base_units(driver, agent):
    driver.load(0, 1.0)
    driver.memory_used(0, 5 * 2**30)
    time.sleep(1.1)
    gpu = agent.gpu()

    assert gpu["power_limit_watts"] == {"gpu": 1400.0, "module": 2900.0}
    assert gpu["memory_used_bytes"] == 5 * 2**30
    assert gpu["memory_total_bytes"] == 284208 * 2**20
    assert gpu["memory_reserved_bytes"] == 947 * 2**20
    assert gpu["clock_hertz"]["sm"] == 2070e6
    assert gpu["clock_hertz"]["memory"] == 3996e6
    assert 0.9 <= gpu["utilization_ratio"] <= 1.0
    assert gpu["memory_busy_ratio"] == pytest.approx(0.6 * gpu["utilization_ratio"], abs=0.01)
    assert (gpu["encoder_busy_ratio"], gpu["decoder_busy_ratio"], gpu["pcie_replays"]) == (0, 0, 0)
    assert 33 < gpu["temperature_celsius"]["gpu"] < 90
    assert gpu["thermal_margin_celsius"] == pytest.approx(87 - gpu["temperature_celsius"]["gpu"], abs=2)


def test_the_clock_events_are_told_by_name_and_as_the_drivers_mask(driver):
    driver.throttle(1, "power_brake")
    with NvmlAgent(driver.env) as agent:
        idle, braked, *_ = agent.gpus()

    assert (idle["throttle_active"], idle["clock_event_mask"]) == ([], 0x1)
    assert braked["throttle_active"] == ["hw_power_brake_slowdown", "hw_slowdown"]
    assert braked["clock_event_mask"] == 0x88


def test_errors_of_memory_and_recovery_are_told(driver):
    driver.ecc(1, "corrected", 7)
    driver.remap(1, "uncorrectable", 2)
    driver.recovery_action(1, 4)
    with NvmlAgent(driver.env) as agent:
        gpu = agent.gpu(1)

    assert gpu["ecc_errors"] == {"corrected": 7, "uncorrected": 0}
    assert gpu["remapped_rows"] == {"correctable": 0, "uncorrectable": 2, "pending": 0, "failure": 0}
    assert gpu["recovery_action"] == "drain_and_reset"


def test_processes_are_listed_with_their_memory(driver):
    driver.process(0, os.getpid(), 3 * 2**30)
    with NvmlAgent(driver.env) as agent:
        gpus = agent.gpus()

    assert gpus[0]["processes"] == [{"pid": os.getpid(), "memory_bytes": 3 * 2**30, "mig": ""}]
    assert gpus[1]["processes"] == []


def test_a_process_on_a_divided_gpu_tells_its_instance(driver):
    driver.process_in(0, 71, 2**30, (1, 0))
    driver.process_in(0, 72, 2**30, (13, 0))
    with NvmlAgent(driver.env) as agent:
        (gpu, *_) = agent.gpus()

    assert {each["pid"]: each["mig"] for each in gpu["processes"]} == {71: "1/0", 72: "13/0"}


def test_processes_can_be_left_unasked(driver):
    with NvmlAgent(driver.env, processes=False) as agent:
        assert agent.gpu()["processes"] is None


def test_an_h100_has_no_module_and_no_domain(tmp_path):
    driver, agent = start(tmp_path, "h100")
    with driver, agent:
        gpus = agent.gpus()

    assert len(gpus) == 8
    assert set(gpus[0]["power"]) == {"gpu", "memory"}
    assert gpus[0]["placement"]["cluster_uuid"] is None
    assert gpus[0]["placement"]["chassis_serial"] is None


def test_a_workstation_tells_what_it_has_and_nothing_more(tmp_path):
    driver, agent = start(tmp_path, "workstation")
    with driver, agent:
        (gpu,) = agent.gpus()

    assert set(gpu["power"]) == {"gpu"}
    assert gpu["energy_joules"] is not None
    assert gpu["ecc_errors"] == {}
    assert gpu["remapped_rows"] == {}
    assert gpu["placement"] is None
    assert gpu["identity"]["serial"] is None


def test_a_machine_without_gpus_is_an_empty_reading(tmp_path):
    driver, agent = start(tmp_path, gpus=0)
    with driver, agent:
        assert agent.gpus() == []


@pytest.mark.parametrize("version", ["575.57.08", "580.65.06", "580.82.07", "580.173.02"])
def test_thermal_slowdown_is_timed_by_the_drivers_own_numbering_t14(tmp_path, version):
    driver, agent = start(tmp_path, driver=version)
    with driver, agent:
        driver.load(0, 0.9)
        driver.throttle(0, "sw_thermal")
        time.sleep(0.8)
        gpu = agent.gpu()

    assert 0.5 < gpu["throttled_seconds"]["sw_thermal_slowdown"] < 2
    assert gpu["throttled_seconds"]["hw_thermal_slowdown"] == 0
    assert gpu["throttle_active"] == ["sw_thermal_slowdown"]


def test_a_570_driver_has_no_thermal_slowdown_counters_t14(tmp_path):
    driver, agent = start(tmp_path, driver="570.133.20")
    with driver, agent:
        gpu = agent.gpu()

    assert "sw_thermal_slowdown" not in gpu["throttled_seconds"]
    assert "sw_power_cap" in gpu["throttled_seconds"]


def test_idle_is_no_throttling(agent):
    assert agent.gpu()["throttle_active"] == []


@pytest.mark.parametrize("code", [3, 13])
def test_drivers_without_field_values_are_asked_by_the_old_functions(driver, code):
    driver.fail("nvmlDeviceGetFieldValues", code)
    driver.load("*", 0.5)
    time.sleep(1.5)
    with NvmlAgent(driver.env) as agent:
        gpu = agent.gpu()

    truth = driver.power_watts(0, gpu["at"]["monotonic_seconds"])
    assert gpu["power"]["gpu"]["average_watts"] == pytest.approx(truth, rel=0.05)
    assert gpu["power_limit_watts"] == {"gpu": 1400.0}
    assert gpu["energy_joules"] > 100


def test_old_names_of_functions_are_tried(driver):
    driver.fail("nvmlDeviceGetCurrentClocksEventReasons", 13)
    driver.fail("nvmlDeviceGetTemperatureV", 13)
    driver.fail("nvmlDeviceGetMemoryInfo_v2", 13)
    with NvmlAgent(driver.env) as agent:
        gpu = agent.gpu()

    assert gpu["throttle_active"] == []
    assert gpu["temperature_celsius"]["gpu"] > 30
    assert gpu["memory_used_bytes"] == 947 * 2**20  # the old function counts reserved memory in


def test_what_is_not_supported_is_never_asked_again(driver):
    driver.fail("nvmlDeviceGetRemappedRows", 3)
    with NvmlAgent(driver.env, slow_interval=0.02) as agent:
        agent.collect()
        time.sleep(0.1)
        costs = agent.collect()["reading"]["costs"]

    assert costs["nvmlDeviceGetRemappedRows"]["calls"] == 4
    assert costs["nvmlDeviceGetTotalEccErrors"]["calls"] > 8


def test_what_is_denied_is_noted_once_and_stays_absent(driver):
    driver.deny("nvmlDeviceGetTotalEccErrors")
    with NvmlAgent(driver.env) as agent:
        reading = agent.collect()["reading"]

    (note,) = reading["notes"]
    assert "nvmlDeviceGetTotalEccErrors" in note
    assert "root" in note
    assert reading["gpus"][0]["ecc_errors"] == {}


def test_state_cluster_clique_and_health_of_the_fabric_are_judged_together(driver):
    driver.set(0, "fabric", "mask", 0x1A9)  # the links of GPU 0 carry less than they could
    driver.set(0, "fabric", "summary", 3)  # limited capacity
    driver.set(1, "fabric", "state", 2)  # GPU 1 is still joining
    driver.set(2, "fabric", "status", 15)  # GPU 2 completed with an error
    driver.set(3, "fabric", "clique", 7)
    with NvmlAgent(driver.env) as agent:
        told = [gpu["placement"] for gpu in agent.gpus()]

    assert [each["fabric_state"] for each in told] == ["completed", "in_progress", "completed", "completed"]
    assert [each["clique"] for each in told] == [32766, None, None, 7]
    assert [each["cluster_uuid"] is None for each in told] == [False, True, True, False]
    assert [each["fabric_healthy"] for each in told] == [False, True, False, True]
    assert [each["fabric_troubles"] for each in told] == [
        ["degraded_bandwidth"],
        [],
        ["registration_failed"],
        [],
    ]


def test_denied_platform_info_leaves_the_fabric(driver):
    driver.deny("nvmlDeviceGetPlatformInfo")
    with NvmlAgent(driver.env) as agent:
        placement = agent.gpu()["placement"]

    assert placement["chassis_serial"] is None
    assert placement["clique"] == 32766


def test_every_call_is_costed(agent):
    agent.collect()
    time.sleep(0.05)
    costs = agent.collect()["reading"]["costs"]

    assert costs["nvmlInitWithFlags"]["calls"] == 1
    assert costs["nvmlDeviceGetFieldValues"]["calls"] > 4
    assert costs["nvmlDeviceGetFieldValues"]["seconds"] > 0
    assert "nvmlEventSetWait_v2" not in costs


def test_fast_and_slow_groups_keep_their_own_periods(driver):
    # A busy machine makes calls look dear; here no cost is too much.
    with NvmlAgent(driver.env, slow_interval=30, max_load=1.0, nvlinks=False) as agent:
        agent.collect()
        before = agent.collect()["reading"]["costs"]
        time.sleep(0.05)
        after = agent.collect()["reading"]["costs"]

    assert after["nvmlDeviceGetFieldValues"]["calls"] - before["nvmlDeviceGetFieldValues"]["calls"] == 4
    assert after["nvmlDeviceGetTotalEccErrors"] == before["nvmlDeviceGetTotalEccErrors"]
    assert after["nvmlDeviceGetClockInfo"] == before["nvmlDeviceGetClockInfo"]


def test_a_slow_driver_is_asked_less_often_group_by_group(driver):
    driver.slow("*", 5000)
    with NvmlAgent(
        driver.env, interval=0.1, slow_interval=0.5, max_load=0.1, timeout=10, call_timeout=3
    ) as agent:
        agent.collect()
        asked = []
        for _ in range(20):
            answer = agent.collect()
            asked.append(answer["reading"]["costs"]["nvmlDeviceGetTotalEccErrors"]["calls"])
            time.sleep(0.1)
        fast = answer["reading"]["costs"]["nvmlDeviceGetFieldValues"]

    assert 0.15 < answer["interval"] < 0.4  # 4 GPUs x 5 ms at a tenth of the time
    assert asked[-1] - asked[0] <= 24  # 8 calls a run: three runs, where half a second would make seven
    assert fast["calls"] > 20


def test_a_quick_driver_is_asked_as_often_as_configured(agent):
    agent.collect()

    assert agent.collect()["interval"] == 0.02
