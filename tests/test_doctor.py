"""What the doctor says of GPUs that several collectors read."""

import dataclasses
import json
import socket
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes.dcgm.host_engine import Gpu, HostEngine
from fakes.page_server import Answer, PageServer
from fakes.power_tree import PowerTree

from agent.collectors import hwmon
from agent.config import parse
from agent.doctor import boundaries, examine, expected_gpus, shared_gpus
from agent.measure.finding import Level
from agent.measure.gpu import GpuState
from agent.measure.snapshot import BoundaryFigures, GpuFigures

BINDINGS = str(Path(__file__).parent / "fakes" / "dcgm" / "bindings")
A = "GPU-00000000-0000-0000-0000-0000000000d1"


def line(name, value):
    return f'DCGM_FI_{name}{{gpu="0",UUID="{A}"}} {value}\n'


POWER = line("DEV_POWER_USAGE", 1033.5) + line("DEV_TOTAL_ENERGY_CONSUMPTION", 9000)


@pytest.fixture
def engine():
    """A host engine whose GPU tells power, and no hardware counters."""
    path = list(sys.path)
    made = HostEngine([Gpu(A, {155: 1033.5, 156: 9000})])
    yield made
    made.kill()
    sys.path[:] = path
    for name in ("pydcgm", "dcgm_structs", "dcgm_field_helpers"):
        sys.modules.pop(name, None)


async def of_sources(engine, page, **node):
    """What is found of GPUs that DCGM and a page of dcgm-exporter tell of."""
    async with PageServer({"/metrics": Answer(page.encode())}) as server:
        collectors = {
            "dcgm": {"address": engine.address, "bindings": BINDINGS},
            "dcgm_exporter": {"url": f"{server.url}/metrics"},
        }
        found = await examine(parse(json.dumps({"collectors": collectors, "node": node}), "rackwatt.yaml"))
    return [(each.level, each.text) for each in found if each.subject == "gpu_sources"]


async def of_the_place(subject, **settings):
    """What is found of the address and of the directory that a daemon would use."""
    found = await examine(parse(json.dumps({"collectors": {}} | settings), "rackwatt.yaml"))
    return next(each for each in found if each.subject == subject)


async def test_a_state_directory_that_cannot_be_used_is_a_problem_with_its_reason_and_its_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    found = await of_the_place("state_dir", state_dir=str(tmp_path / "file"))

    assert (found.level, found.text) == (
        Level.PROBLEM,
        f"{tmp_path}/file cannot be written: Not a directory",
    )
    assert found.remedy == (
        "what lies there is a file: set state_dir to a directory; without it a restart loses totals"
    )


async def test_a_port_that_somebody_has_is_a_note_for_it_may_be_rackwatt(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = await of_the_place("listen", listen=f"127.0.0.1:{port}", state_dir=str(tmp_path))

    assert (found.level, found.text) == (
        Level.NOTE,
        f"127.0.0.1:{port} cannot be used: Address already in use",
    )
    assert found.remedy.startswith("is rackwatt running already?")


async def test_an_address_that_this_machine_does_not_have_is_a_problem(tmp_path):
    found = await of_the_place("listen", listen="192.0.2.1:9744", state_dir=str(tmp_path))

    assert found.level is Level.PROBLEM
    assert found.text == "192.0.2.1:9744 cannot be used: Cannot assign requested address"
    assert found.remedy.startswith("no interface of this machine has that address")


async def test_a_source_that_tells_nothing_new_is_said_to_be_redundant(engine):
    assert await of_sources(engine, POWER) == [
        (Level.NOTE, "dcgm_exporter tells nothing of these GPUs that dcgm does not")
    ]


async def test_a_source_that_fills_something_is_said_to_fill_it(engine):
    page = POWER + line("PROF_SM_ACTIVE", 0.8)

    assert await of_sources(engine, page) == [
        (Level.OK, "dcgm_exporter fills what dcgm does not tell: active_ratio")
    ]


async def test_the_one_that_is_configured_to_be_believed_is_not_the_one_that_is_redundant(engine):
    assert await of_sources(engine, POWER, gpu_sources=["dcgm_exporter", "dcgm"]) == [
        (Level.NOTE, "dcgm tells nothing of these GPUs that dcgm_exporter does not")
    ]


def test_a_host_engine_that_tells_nothing_new_is_said_to_have_little_to_do():
    told = [dataclasses.replace(gpu, sources={"all others": "nvml"}) for gpu in gpus(GpuState.OK)]
    (dcgm,) = shared_gpus(told, ("nvml", "dcgm"))
    (page,) = shared_gpus(told, ("nvml", "dcgm_exporter"))

    assert dcgm.remedy.endswith("; until then its host engine measures only what the others lack")
    assert "until then" not in page.remedy


async def test_of_a_source_that_failed_nothing_is_said_here(engine):
    assert await of_sources(engine, "nothing 1\n") == []


def gpus(*states):
    return [
        GpuFigures(n, f"GPU-{n}", state, None, {}, None, None, "unknown") for n, state in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("wanted", "states", "found"),
    [
        (None, (), []),
        (None, ("ok", "ok"), [(Level.NOTE, "node: {gpus: 2}")]),
        (4, ("ok", "ok", "ok"), [(Level.PROBLEM, "only 3 of 4 GPUs answer")]),
        (2, ("ok", "lost"), [(Level.PROBLEM, "only 1 of 2 GPUs answer")]),
        (2, ("ok", "ok"), [(Level.OK, "all 2 GPUs answer")]),
        (2, ("ok", "ok", "ok"), [(Level.NOTE, "3 GPUs are here, and node.gpus says 2")]),
        (4, (), [(Level.PROBLEM, "only 0 of 4 GPUs answer")]),
    ],
)
def test_gpus_are_counted_and_compared_with_what_should_be_there(wanted, states, found):
    told = list(expected_gpus(wanted, gpus(*(GpuState(state) for state in states))))

    assert [each.level for each in told] == [level for level, _ in found]
    assert all(text in f"{each.text} {each.remedy}" for each, (_, text) in zip(told, found, strict=True))


def seen_with(*at):
    """A node with a GPU whose power is told at these boundaries."""
    told = tuple(BoundaryFigures(boundary, source, 100.0, None) for boundary, source in at)
    return SimpleNamespace(gpus=gpus(GpuState.OK), boundaries=told)


BMC = "{redfish: {targets: [{url: 'https://bmc'%s}]}}"


@pytest.mark.parametrize(
    ("collectors", "at", "level", "text"),
    [
        ("{}", [("gpu", "nvml")], Level.NOTE, "gpu (nvml); nothing here measures the whole node"),
        ("{}", [("module", "nvml"), ("gpu", "nvml")], Level.NOTE, "at: gpu (nvml), module (nvml); nothing"),
        ("{}", [("node", "hwmon"), ("gpu", "nvml")], Level.OK, "at: gpu (nvml), node (hwmon)"),
        (BMC % "", [("gpu", "nvml")], Level.OK, "at: gpu (nvml), node (redfish)"),
        (BMC % ", boundary: none", [("gpu", "nvml")], Level.NOTE, "nothing here measures the whole node"),
        (BMC % ", node: tray-7", [("gpu", "nvml")], Level.NOTE, "nothing here measures the whole node"),
    ],
)
def test_boundaries_that_are_measured_are_told_and_a_node_without_a_meter_is_noted(
    collectors, at, level, text
):
    text_of_file = f"collectors: {collectors}\nrack: {{members: [http://tray-7:9744]}}"
    settings = parse(text_of_file, "rackwatt.yaml")
    (finding,) = boundaries(settings, seen_with(*at))

    assert finding.level is level
    assert text in finding.text


async def test_meters_that_nobody_reads_are_noted(tmp_path, monkeypatch):
    PowerTree(tmp_path).acpi(0, "Module Power Socket 0", 480.0)
    monkeypatch.setattr(hwmon, "Settings", partial(hwmon.Settings, root=str(tmp_path)))
    found = await examine(parse("collectors: {}", "rackwatt.yaml"))

    assert [each.text for each in found if each.subject == "hwmon"] == [
        "nobody reads the kernel's meters: module 0"
    ]
