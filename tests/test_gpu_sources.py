"""Daemons beside one driver: by NVML, by a page of DCGM's names, by DCGM's host engine, by all of them.

All tell of the same four GPUs, which stay four; and a tree of power meters tells of the modules they sit on.
"""

import contextlib
import json
import time
from pathlib import Path

import pytest
from fakes.agent import RunningAgent
from fakes.dcgm.host_engine import Gpu, HostEngine
from fakes.nvml.driver import FakeDriver
from fakes.power_tree import PowerTree
from fakes.processes import http_get

NVML = {"interval": "200ms", "slow_interval": "500ms", "kmsg": "", "processes": False}
MODULES = 2 * 490.0


BINDINGS = str(Path(__file__).parent / "fakes" / "dcgm" / "bindings")
OCCUPANCY, OF_DCGM_WATTS = 1003, 790.5


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    """The one whose page is read, one that reads only that, and two that read everything."""
    folder = tmp_path_factory.mktemp("sources")
    tree = PowerTree(folder / "sys")
    tree.grace()
    with FakeDriver(folder, "gb300") as driver, contextlib.ExitStack() as stack:
        driver.load("*", 0.5)
        shown = {"collectors": {"nvml": NVML}, "exporters": {"prometheus": {}, "dcgm_names": {}}}
        first = stack.enter_context(RunningAgent(folder / "shown", shown, driver.env))
        page = {"url": f"{first.url}/metrics/dcgm", "interval": "200ms"}
        alone = stack.enter_context(RunningAgent(folder / "alone", {"collectors": {"dcgm_exporter": page}}))
        engine = HostEngine(
            [
                Gpu(gpu["uuid"], {155: OF_DCGM_WATTS, 156: 9e12, OCCUPANCY: 0.29})
                for gpu in first.node()["gpus"]
            ]
        )
        stack.callback(engine.kill)
        dcgm = {"address": engine.address, "bindings": BINDINGS, "interval": "200ms"}
        nvml = {**NVML, "gpm": False}
        every = {"nvml": nvml, "dcgm_exporter": page, "dcgm": dcgm, "hwmon": {"root": str(tree.root)}}
        both = stack.enter_context(RunningAgent(folder / "both", {"collectors": every}, driver.env))
        turned = {"collectors": every, "node": {"gpu_sources": ["dcgm", "nvml", "dcgm_exporter"]}}
        other = stack.enter_context(RunningAgent(folder / "other", turned, driver.env))
        first.wait_for(lambda _: first.value("rackwatt_gpu_sm_active_ratio") is not None)
        for daemon in (alone, both, other):
            daemon.wait_for(lambda _, it=daemon: it.value("rackwatt_gpu_sm_active_ratio") is not None)
        yield first, alone, both, other


def boundary_watts(daemon, source, boundary="gpu"):
    return daemon.value("rackwatt_power_watts", boundary=boundary, source=source)


def test_the_page_alone_gives_the_power_that_the_driver_gives(daemons):
    first, alone, *_ = daemons

    assert boundary_watts(alone, "dcgm_exporter") == pytest.approx(boundary_watts(first, "nvml"), rel=0.05)


def test_four_gpus_that_three_sources_tell_of_are_four(daemons):
    *_, both, other = daemons

    for daemon in (both, other):
        assert daemon.value("rackwatt_gpu_up") == 4
        assert daemon.value("rackwatt_node_gpus_expected") == 4
        assert [gpu["gpu"] for gpu in daemon.node()["gpus"]] == [0, 1, 2, 3]


def test_power_is_that_of_the_source_that_is_preferred_and_of_no_other(daemons):
    """T7: one source for each boundary; which one is configured."""
    *_, both, other = daemons

    assert boundary_watts(both, "nvml") == pytest.approx(4 * 790.0, rel=0.1)
    assert (boundary_watts(both, "dcgm"), boundary_watts(both, "dcgm_exporter")) == (None, None)
    assert boundary_watts(other, "dcgm") == 4 * OF_DCGM_WATTS
    assert (boundary_watts(other, "nvml"), boundary_watts(other, "dcgm_exporter")) == (None, None)


def energy(daemon):
    """Joules at the boundary of the GPUs, and the moment that they are of."""
    _, body = http_get(f"{daemon.url}/api/v1/node?view=totals")
    (row,) = (row for row in json.loads(body)["boundaries"] if row[0] == "gpu")
    return row[2], row[3]


def test_energy_of_a_gpu_is_counted_by_one_counter(daemons):
    """The host engine's stands still, the driver's does not: neither is added to the other."""
    *_, both, other = daemons
    joules, began = energy(both)
    time.sleep(1.0)
    more, ended = energy(both)

    assert (more - joules) / (ended - began) == pytest.approx(4 * 790.0, rel=0.3)
    assert energy(other)[0] == 0.0


def test_what_nvml_was_not_asked_comes_from_the_page_and_says_so(daemons):
    *_, both, _ = daemons

    assert both.value("rackwatt_gpu_sm_active_ratio", gpu="0") == pytest.approx(0.45, abs=0.05)
    told = {"gpu": "0", "figure": "active_ratio", "source": "dcgm_exporter"}
    assert both.value("rackwatt_gpu_source_info", **told) == 1
    assert both.value("rackwatt_gpu_source_info", gpu="0", figure="all others", source="nvml") == 1


def test_what_only_the_host_engine_tells_is_filled_from_it_and_says_so(daemons):
    *_, both, other = daemons

    assert both.value("rackwatt_gpu_sm_occupancy_ratio", gpu="2") == 0.29
    assert both.value("rackwatt_gpu_source_info", gpu="2", figure="all others", source="nvml") == 1
    assert other.value("rackwatt_gpu_source_info", gpu="2", figure="all others", source="dcgm") == 1
    assert other.value("rackwatt_gpu_source_info", gpu="2", figure="temperature_celsius", source="nvml") == 1


def test_the_kernels_meters_cross_check_the_modules_and_tell_their_parts(daemons):
    *_, both, _ = daemons

    assert boundary_watts(both, "nvml", "module") > 0
    assert both.value("rackwatt_power_crosscheck_watts", boundary="module", source="hwmon") == MODULES
    assert both.value("rackwatt_part_power_watts", part="grace", unit="1") == 104.0


def test_every_source_is_well(daemons):
    *_, both, _ = daemons

    for collector in ("nvml", "dcgm_exporter", "dcgm", "hwmon"):
        assert both.value("rackwatt_collector_success", collector=collector) == 1
