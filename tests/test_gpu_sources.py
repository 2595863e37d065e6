"""Daemons beside one driver: by NVML, by the page of DCGM's names, by both; and a tree of power meters."""

import contextlib

import pytest
from fakes.agent import RunningAgent
from fakes.nvml.driver import FakeDriver
from fakes.power_tree import PowerTree

NVML = {"interval": "200ms", "slow_interval": "500ms", "kmsg": "", "processes": False}
MODULES = 2 * 490.0


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    """The one whose page is read, one that reads only that, and one that reads everything."""
    folder = tmp_path_factory.mktemp("sources")
    tree = PowerTree(folder / "sys")
    tree.grace()
    with FakeDriver(folder, "gb300") as driver, contextlib.ExitStack() as stack:
        driver.load("*", 0.5)
        shown = {"collectors": {"nvml": NVML}, "exporters": {"prometheus": {}, "dcgm_names": {}}}
        first = stack.enter_context(RunningAgent(folder / "shown", shown, driver.env))
        page = {"url": f"{first.url}/metrics/dcgm", "interval": "200ms"}
        alone = stack.enter_context(RunningAgent(folder / "alone", {"collectors": {"dcgm_exporter": page}}))
        every = {"nvml": {**NVML, "gpm": False}, "dcgm_exporter": page, "hwmon": {"root": str(tree.root)}}
        both = stack.enter_context(RunningAgent(folder / "both", {"collectors": every}, driver.env))
        first.wait_for(lambda _: first.value("rackwatt_gpu_sm_active_ratio") is not None)
        for daemon in (alone, both):
            daemon.wait_for(lambda _, it=daemon: it.value("rackwatt_gpu_sm_active_ratio") is not None)
        yield first, alone, both


def boundary_watts(daemon, source, boundary="gpu"):
    return daemon.value("rackwatt_power_watts", boundary=boundary, source=source)


def test_the_page_alone_gives_the_power_that_the_driver_gives(daemons):
    first, alone, _ = daemons

    assert boundary_watts(alone, "dcgm_exporter") == pytest.approx(boundary_watts(first, "nvml"), rel=0.05)


def test_four_gpus_that_both_tell_of_are_four(daemons):
    _, _, both = daemons

    assert both.value("rackwatt_gpu_up") == 4
    assert boundary_watts(both, "dcgm_exporter") is None
    assert boundary_watts(both, "nvml") == pytest.approx(4 * 790.0, rel=0.1)


def test_what_nvml_was_not_asked_comes_from_the_page_and_says_so(daemons):
    _, _, both = daemons

    assert both.value("rackwatt_gpu_sm_active_ratio", gpu="0") == pytest.approx(0.45, abs=0.05)
    told = {"gpu": "0", "figure": "active_ratio", "source": "dcgm_exporter"}
    assert both.value("rackwatt_gpu_source_info", **told) == 1
    assert both.value("rackwatt_gpu_source_info", gpu="0", figure="all others", source="nvml") == 1


def test_the_kernels_meters_cross_check_the_modules_and_tell_their_parts(daemons):
    _, _, both = daemons

    assert boundary_watts(both, "nvml", "module") > 0
    assert both.value("rackwatt_power_crosscheck_watts", boundary="module", source="hwmon") == MODULES
    assert both.value("rackwatt_part_power_watts", part="grace", unit="1") == 104.0


def test_every_source_is_well(daemons):
    _, _, both = daemons

    for collector in ("nvml", "dcgm_exporter", "hwmon"):
        assert both.value("rackwatt_collector_success", collector=collector) == 1
