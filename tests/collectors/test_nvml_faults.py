"""The NVML collector when GPUs fall, calls hang and drivers go: the others go on, and it comes back."""

import time

import pytest
from fakes.nvml.driver import FakeDriver
from fakes.nvml_agent import NvmlAgent

REPROBE = {"agent.collectors._nvml.device.REPROBE_SECONDS": 0.2}
RELOAD = {"agent.collectors._nvml.session.REPROBE_SECONDS": 0.3, **REPROBE}


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path) as driver:
        yield driver


@pytest.fixture
def agent(driver):
    with NvmlAgent(driver.env, REPROBE) as agent:
        agent.collect()
        yield agent


def states(answer):
    return [gpu["state"] for gpu in answer["reading"]["gpus"]]


# ---- one GPU


def test_a_lost_gpu_leaves_the_others_at_full_rate(driver):
    """With `max_load` 1: what a busy machine makes of a call's time is not taken for the driver's cost."""
    with NvmlAgent(driver.env, REPROBE, max_load=1) as agent:
        agent.collect()
        driver.lose(2)
        first = agent.until(lambda answer: "lost" in states(answer))["reading"]["gpus"]
        time.sleep(0.1)
        second = agent.gpus()

    assert [gpu["state"] for gpu in first] == ["ok", "ok", "lost", "ok"]
    assert "reboot" in first[2]["trouble"]
    assert first[2]["power"] == {}
    assert first[2]["energy_joules"] is None
    assert all(second[other]["at"] != first[other]["at"] for other in (0, 1, 3))


def test_a_lost_gpu_that_comes_back_is_read_again(driver, agent):
    driver.lose(2)
    agent.until(lambda answer: "lost" in states(answer))
    driver.find(2)

    assert states(agent.until(lambda answer: "lost" not in states(answer))) == ["ok"] * 4


def test_a_lost_gpu_is_not_asked_at_every_tick(driver):
    """To ask it is to open it anew, which nothing else does: however slow the machine, that is not done."""
    opened = "nvmlDeviceGetHandleByUUID"
    with NvmlAgent(driver.env) as agent:
        agent.collect()
        driver.lose(2)
        agent.until(lambda answer: "lost" in states(answer))
        for _ in range(4):
            time.sleep(0.05)
            answer = agent.collect()

    assert "lost" in states(answer)
    assert opened not in answer["reading"]["costs"]


def test_a_lost_gpu_that_is_due_is_opened_anew(driver, agent):
    driver.lose(2)

    agent.until(lambda answer: "nvmlDeviceGetHandleByUUID" in answer["reading"]["costs"])


def test_a_gpu_that_needs_a_reset_says_so(driver, agent):
    driver.reset_required(1)
    answer = agent.until(lambda answer: states(answer)[1] != "ok")

    assert states(answer) == ["ok", "reset_required", "ok", "ok"]
    assert "gpu-reset" in answer["reading"]["gpus"][1]["trouble"]


def test_a_gpu_that_answers_with_errors_is_failed_and_tried_again(driver, agent):
    driver.fail("nvmlDeviceGetFieldValues", 999, gpu=0)
    answer = agent.until(lambda answer: states(answer)[0] != "ok")

    assert states(answer) == ["failed", "ok", "ok", "ok"]
    assert "999" in answer["reading"]["gpus"][0]["trouble"]
    driver.fail("nvmlDeviceGetFieldValues", 0, gpu=0)
    assert states(agent.until(lambda answer: states(answer)[0] == "ok")) == ["ok"] * 4


def test_a_failing_function_takes_only_its_own_value_away(driver, agent):
    driver.fail("nvmlDeviceGetUtilizationRates", 999)
    time.sleep(1.0)
    gpu = agent.until(lambda answer: answer["reading"]["gpus"][0]["utilization_ratio"] is None)

    assert gpu["reading"]["gpus"][0]["state"] == "ok"
    assert gpu["reading"]["gpus"][0]["temperature_celsius"]["gpu"] > 30


# ---- hangs


@pytest.mark.parametrize(
    "function", ["nvmlDeviceGetFieldValues", "nvmlDeviceGetUUID", "nvmlDeviceGetUtilizationRates", "*"]
)
def test_a_gpu_that_hangs_costs_the_others_one_call_timeout_once(driver, function):
    with NvmlAgent(driver.env) as agent:
        driver.hang(function, 30, gpu=1)
        first = agent.until(lambda answer: len(answer["reading"]["gpus"]) >= 3)
        later = [agent.collect() for _ in range(5)]
        exit_seconds = agent.quit()

    assert 0.4 <= first["seconds"] < 0.8
    assert all(answer["seconds"] < 0.3 for answer in later)
    assert all([gpu["state"] for gpu in answer["reading"]["gpus"]].count("ok") == 3 for answer in later)
    assert later[-1]["threads"] <= 3
    assert exit_seconds < 2


def test_an_old_power_call_that_hangs_wedges_its_gpu_alone(driver):
    driver.fail("nvmlDeviceGetFieldValues", 13)
    with NvmlAgent(driver.env) as agent:
        agent.collect()
        driver.hang("nvmlDeviceGetPowerUsage", 30, gpu=0)
        answer = agent.until(lambda answer: states(answer)[0] != "ok")

        assert states(answer) == ["wedged", "ok", "ok", "ok"]
        assert agent.quit() < 2


def test_a_wedged_gpu_is_marked_with_what_to_do(driver, agent):
    driver.hang("nvmlDeviceGetFieldValues", 30, gpu=3)
    answer = agent.until(lambda answer: states(answer)[3] != "ok")

    assert states(answer) == ["ok", "ok", "ok", "wedged"]
    assert "Xid" in answer["reading"]["gpus"][3]["trouble"]
    assert answer["reading"]["gpus"][3]["power"] == {}


def test_a_wedged_gpu_is_read_again_when_its_call_returns(driver, agent):
    driver.hang("nvmlDeviceGetFieldValues", 1.2, gpu=3)
    agent.until(lambda answer: states(answer)[3] == "wedged")
    answer = agent.until(lambda answer: states(answer)[3] == "ok", 3)

    assert answer["reading"]["gpus"][3]["power"]["gpu"]["average_watts"] > 0
    assert time.monotonic() - answer["reading"]["gpus"][3]["at"]["monotonic_seconds"] < 1


def test_a_gpu_that_never_told_who_it_is_is_noted(driver):
    with NvmlAgent(driver.env) as agent:
        driver.hang("nvmlDeviceGetHandleByIndex_v2", 30, gpu=1)
        reading = agent.collect()["reading"]

    assert len(reading["gpus"]) == 3
    assert "index 1" in reading["notes"][0]


def test_a_driver_that_hangs_fails_the_collection_within_its_deadline(driver, agent):
    driver.hang("*", 2.5)
    first = agent.reason("timed_out")
    second = agent.collect()
    exit_after = agent.until(lambda answer: "reading" in answer and states(answer) == ["ok"] * 4, 8)

    assert first["seconds"] < 1.5
    assert (second["reason"], second["seconds"] < 0.1) == ("overlapped", True)
    assert second["threads"] <= 3
    assert exit_after["threads"] <= 3


def test_the_process_ends_while_the_whole_driver_hangs(driver, agent):
    driver.hang("*", 60)
    agent.reason("timed_out")

    assert agent.quit() < 2


def test_threads_are_bounded_while_hangs_repeat(driver, agent):
    for _ in range(6):
        driver.hang("nvmlDeviceGetFieldValues", 0.6)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            answer = agent.collect()

    assert answer["threads"] <= 6  # one for each GPU, one at work, one for events


def test_a_hang_in_nvml_init_is_timed_out_then_overlapped_then_over(driver):
    with NvmlAgent(driver.env, timeout=0.6) as agent:
        driver.hang("nvmlInitWithFlags", 2)
        first, second = agent.collect(), agent.collect()
        last = agent.until(lambda answer: "reading" in answer)

    assert (first["reason"], first["seconds"] < 0.6) == ("timed_out", True)
    assert (second["reason"], second["seconds"] < 0.1) == ("overlapped", True)
    assert states(last) == ["ok"] * 4


def test_the_process_ends_while_nvml_init_hangs(driver):
    with NvmlAgent(driver.env, timeout=0.4) as agent:
        driver.hang("nvmlInitWithFlags", 60)
        agent.collect()

        assert agent.quit() < 2


def test_a_hang_of_the_event_wait_disturbs_nothing(driver, agent):
    driver.hang("nvmlEventSetWait_v2", 60)
    time.sleep(1.1)
    answer = agent.collect()

    assert states(answer) == ["ok"] * 4
    assert answer["seconds"] < 0.3
    assert agent.quit() < 2


def test_a_driver_too_slow_for_the_deadline_is_read_in_parts(driver):
    """To open a GPU takes six such calls: one is open in a third of the deadline, and never all four are."""
    driver.slow("nvmlDeviceGetFieldValues", 90_000)
    with NvmlAgent(driver.env, timeout=1.8, call_timeout=1.5, max_load=1) as agent:
        first = agent.collect()
        every = agent.until(lambda answer: "reading" in answer and len(answer["reading"]["gpus"]) == 4, 20)

    assert 0 < len(first["reading"]["gpus"]) < 4
    assert states(every) == ["ok"] * 4


def test_a_gpu_that_is_slow_to_open_is_read_in_the_end(driver):
    driver.slow("nvmlDeviceGetHandleByIndex_v2", 700_000)
    with NvmlAgent(driver.env) as agent:
        answer = agent.until(lambda answer: "reading" in answer and states(answer) == ["ok"] * 4, 8)

    assert answer["reading"]["costs"]["nvmlDeviceGetHandleByIndex_v2"]["calls"] == 4


# ---- the driver


def test_a_driver_that_is_not_there_yet_is_waited_for(driver):
    driver.gone()
    with NvmlAgent(driver.env) as agent:
        first = agent.collect()
        driver.back()
        later = agent.until(lambda answer: "reading" in answer)

    assert first["reason"] == "unreachable"
    assert "modprobe" in first["detail"]
    assert states(later) == ["ok"] * 4


def test_a_driver_that_is_reloaded_is_taken_hold_of_again(driver, agent):
    before = [gpu["identity"]["uuid"] for gpu in agent.gpus()]
    driver.gone()
    assert agent.reason("unreachable")["detail"].startswith("NVIDIA driver not loaded")
    driver.back()
    answer = agent.until(lambda answer: "reading" in answer)

    assert [gpu["identity"]["uuid"] for gpu in answer["reading"]["gpus"]] == before
    assert states(answer) == ["ok"] * 4


def test_a_driver_reloaded_between_two_ticks_costs_no_collection(driver, agent):
    driver.gone()
    driver.back()
    time.sleep(0.05)
    answer = agent.collect()

    assert states(answer) == ["ok"] * 4
    assert answer["reading"]["costs"]["nvmlInitWithFlags"]["calls"] == 2


def test_a_driver_that_was_upgraded_asks_for_a_restart(driver, agent):
    driver.version_mismatch()
    answer = agent.reason("library_mismatch")

    assert answer["detail"].startswith(
        "the NVML library and the driver that is loaded differ in version: reload"
    )
    assert answer["detail"].endswith("; if the driver was upgraded while rackwatt ran, restart rackwatt")


def test_a_mismatch_at_the_start_is_told_alike(driver):
    driver.version_mismatch()
    with NvmlAgent(driver.env) as agent:
        assert agent.collect()["reason"] == "library_mismatch"


def test_no_right_to_use_the_driver_is_denied(driver):
    driver.deny("nvmlInitWithFlags")
    with NvmlAgent(driver.env) as agent:
        answer = agent.collect()

    assert answer["reason"] == "denied"
    assert "/dev/nvidia" in answer["detail"]


def test_without_the_library_it_says_what_to_do():
    with NvmlAgent({"LD_LIBRARY_PATH": ""}) as agent:
        answer = agent.collect()

    assert answer["reason"] == "unsupported"
    assert "libnvidia-ml.so.1 not found" in answer["detail"]


def test_when_nothing_answers_for_long_the_driver_is_opened_anew(driver):
    with NvmlAgent(driver.env, RELOAD) as agent:
        agent.collect()
        driver.lose("*")
        agent.until(lambda answer: answer["reading"]["costs"]["nvmlInitWithFlags"]["calls"] >= 2)
        driver.find("*")
        answer = agent.until(lambda answer: set(states(answer)) == {"ok"})

    assert len(answer["reading"]["gpus"]) == 4


def test_a_lost_gpu_is_still_told_of_after_the_driver_was_opened_anew(driver):
    with NvmlAgent(driver.env, RELOAD) as agent:
        agent.collect()
        driver.lose("*")
        agent.until(lambda answer: answer["reading"]["costs"]["nvmlInitWithFlags"]["calls"] >= 2)

        assert states(agent.collect()) == ["lost"] * 4


# ---- letting go


def test_release_lets_go_of_the_driver_until_resume(driver, agent):
    assert driver.attached() == [agent.process.pid]
    agent.release()
    end = time.monotonic() + 3
    while driver.attached() and time.monotonic() < end:
        time.sleep(0.05)

    assert driver.attached() == []
    assert agent.collect()["reason"] == "released"
    agent.resume()
    assert states(agent.until(lambda answer: "reading" in answer)) == ["ok"] * 4


def test_release_ends_by_itself(driver):
    with NvmlAgent(driver.env, release_timeout=0.3) as agent:
        agent.collect()
        agent.release()
        assert agent.collect()["reason"] == "released"

        assert states(agent.until(lambda answer: "reading" in answer)) == ["ok"] * 4


def test_release_succeeds_while_a_gpu_hangs(driver, agent):
    driver.hang("nvmlDeviceGetFieldValues", 30, gpu=1)
    agent.until(lambda answer: states(answer)[1] == "wedged")
    agent.release()
    end = time.monotonic() + 4
    while driver.attached() and time.monotonic() < end:
        agent.collect()
        time.sleep(0.05)

    assert driver.attached() == []
