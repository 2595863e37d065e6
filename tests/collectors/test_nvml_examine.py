"""What the doctor says of NVML: what works, what it costs, and how to mend what does not."""

import pytest
from fakes.nvml.driver import FakeDriver
from fakes.nvml_agent import NvmlAgent

from agent.collectors._nvml.examine import folded
from agent.measure.finding import Finding, Level


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    with FakeDriver(tmp_path_factory.mktemp("healthy")) as driver:
        driver.load("*", 0.6)
        with NvmlAgent(driver.env) as agent:
            yield agent.examine()


def texts(findings, subject):
    return " ".join(finding["text"] for finding in findings if finding["subject"].startswith(subject))


def problems(findings):
    return [finding for finding in findings if finding["level"] == "problem"]


def test_a_healthy_machine_has_no_problem(healthy):
    assert problems(healthy) == []


def test_versions_and_gpus_are_told(healthy):
    assert "driver 580.173.02" in texts(healthy, "NVML")
    assert texts(healthy, "GPU").count("NVIDIA GB300") == 4


def test_scopes_and_places_are_told(healthy):
    assert "module" in texts(healthy, "GPU 0")
    assert "tray 15" in texts(healthy, "GPU 0")


def test_links_to_the_fabric_and_to_grace_are_told_with_the_speed_of_the_slowest(healthy):
    assert "NVLink links: 18 active, the slowest at 53.1 GB/s" in texts(healthy, "GPUs 0 to 3")
    assert "C2C links: 10 active, the slowest at 44.7 GB/s" in texts(healthy, "GPUs 0 to 3")


def test_what_is_the_same_of_every_gpu_is_told_once(healthy):
    assert texts(healthy, "GPUs 0 to 3").count("instant_watts memory") == 1
    assert len([f for f in healthy if f["subject"].startswith("GPU 1")]) == 2  # who, and where it sits


def test_costs_are_told_in_microseconds(healthy):
    assert "nvmlDeviceGetFieldValues" in texts(healthy, "cost of a call")
    assert "field 185 scope 1" in texts(healthy, "GPU 0 time in the driver")


def test_the_update_period_of_the_energy_counter_is_measured(healthy):
    told = texts(healthy, "GPU 0 field 83")
    period = float(told.removeprefix("renewed every ").split(" ms")[0])

    assert period == pytest.approx(100, abs=15)


def test_a_missing_library_is_a_problem_with_its_remedy():
    with NvmlAgent({"LD_LIBRARY_PATH": ""}) as agent:
        (problem,) = problems(agent.examine())

    assert "not found" in problem["text"]
    assert "install" in problem["remedy"]


def test_a_lost_gpu_is_a_problem(tmp_path):
    with FakeDriver(tmp_path) as driver:
        driver.lose(2)
        with NvmlAgent(driver.env) as agent:
            (problem,) = problems(agent.examine())

    assert problem["subject"] == "GPU 2"


def test_a_hanging_driver_is_a_problem_too(tmp_path):
    with FakeDriver(tmp_path) as driver:
        driver.hang("nvmlInitWithFlags", 60)
        with NvmlAgent(driver.env, timeout=0.2) as agent:
            (problem,) = problems(agent.examine())

    assert "did not return" in problem["text"]


def test_what_is_denied_is_a_note_with_its_remedy(tmp_path):
    with FakeDriver(tmp_path, "workstation") as driver:
        driver.deny("nvmlDeviceGetMarginTemperature")
        with NvmlAgent(driver.env) as agent:
            findings = agent.examine()

    assert [f["remedy"] for f in findings if "is not permitted" in f["text"]] == [
        "run as root if it is needed"
    ]


def test_a_link_that_is_down_beside_others_is_a_problem_of_its_gpu(tmp_path):
    with FakeDriver(tmp_path) as driver:
        driver.nvlink_state(2, 5, 0)
        with NvmlAgent(driver.env) as agent:
            (problem,) = problems(agent.examine())

    assert problem["subject"] == "GPU 2"
    assert problem["text"] == "NVLink links: 17 active, 1 inactive, the slowest at 53.1 GB/s"


@pytest.mark.parametrize(
    ("numbers", "subjects"),
    [((0, 1, 2), ["GPUs 0 to 2"]), ((0, 2), ["GPUs 0, 2"]), ((5,), ["GPU 5"])],
)
def test_gpus_that_are_alike_are_named_together(numbers, subjects):
    found = [Finding(Level.OK, f"GPU {number}", "well") for number in numbers]

    assert [each.subject for each in folded(found)] == subjects
