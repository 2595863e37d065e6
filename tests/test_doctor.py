"""What the doctor says of GPUs that several collectors read."""

import json
import sys
from pathlib import Path

import pytest
from fakes.dcgm.host_engine import Gpu, HostEngine
from fakes.page_server import Answer, PageServer

from agent.config import parse
from agent.doctor import examine
from agent.measure.finding import Level

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


async def of_sources(engine, page):
    """What is found of GPUs that DCGM and a page of dcgm-exporter tell of."""
    async with PageServer({"/metrics": Answer(page.encode())}) as server:
        collectors = {
            "dcgm": {"address": engine.address, "bindings": BINDINGS},
            "dcgm_exporter": {"url": f"{server.url}/metrics"},
        }
        found = await examine(parse(json.dumps({"collectors": collectors}), "rackwatt.yaml"))
    return [(each.level, each.text) for each in found if each.subject == "gpu_sources"]


async def test_a_source_that_tells_nothing_new_is_said_to_be_redundant(engine):
    assert await of_sources(engine, POWER) == [
        (Level.NOTE, "dcgm_exporter tells nothing of these GPUs that dcgm does not")
    ]


async def test_a_source_that_fills_something_is_said_to_fill_it(engine):
    page = POWER + line("PROF_SM_ACTIVE", 0.8)

    assert await of_sources(engine, page) == [
        (Level.OK, "dcgm_exporter fills what dcgm does not tell: active_ratio")
    ]


async def test_of_a_source_that_failed_nothing_is_said_here(engine):
    assert await of_sources(engine, "nothing 1\n") == []
