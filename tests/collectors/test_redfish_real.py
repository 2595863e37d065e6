"""Redfish against what others wrote: servers and emulators of sushy-tools, and DMTF's client on our fake."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from fakes import redfish_trees as trees
from fakes.bmc import Bmc
from fakes.processes import Program, free_port, wait_http

from agent.collectors._redfish.target import Boundary, Target
from agent.collectors.redfish import Settings, build
from agent.measure.reading import Moment

BIN = Path(sys.executable).parent


@pytest.fixture
def serve():
    """Runs one of sushy-tools' servers; its address."""
    programs = []

    def start(name, *arguments):
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        programs.append(Program([str(BIN / name), "-i", "127.0.0.1", "-p", str(port), *arguments]).start())
        wait_http(f"{url}/redfish/v1/", programs[-1])
        return url

    yield start
    for program in programs:
        program.stop()


async def collected(url, boundary=Boundary.NODE):
    collector = build(Settings(targets=(Target(url=url, name="bmc", boundary=boundary),)))
    try:
        return await collector.sources(None)[0].collect(Moment(time.monotonic(), time.time()), None)
    finally:
        await collector.close()


def watts(reading):
    return {meter.source: meter.power_watts for meter in reading.meters}


async def test_a_tray_is_read_from_a_mock_up_server_of_others(serve, tmp_path):
    trees.write(trees.gb300_tray(), tmp_path)
    reading = await collected(serve("sushy-static", "-m", str(tmp_path)))

    assert watts(reading) == {"redfish": 6120.0, "redfish_sensor": 6098.5}
    assert len(reading.environment[0].temperature_celsius) == 4


async def test_pdus_of_a_rack_and_their_kilowatt_hours_are_read_from_it(serve, tmp_path):
    trees.write(trees.rack_manager((), (4000.0, 4100.0)), tmp_path)
    reading = await collected(serve("sushy-static", "-m", str(tmp_path)), Boundary.RACK)

    assert [(meter.power_watts, meter.coarse_joules) for meter in reading.meters] == [
        (4000.0, 1234.5 * 3.6e6),
        (4100.0, 1234.5 * 3.6e6),
    ]


async def test_an_emulator_that_tells_no_power_is_understood_and_says_what_to_do(serve):
    reading = await collected(serve("sushy-emulator", "--fake"))

    assert reading.meters == ()
    assert "no chassis of the computer tells its power; set meter" in reading.notes[0]


async def test_dmtfs_client_logs_in_to_our_fake_and_lists_the_same_figures():
    async with Bmc(trees.gb300_tray(), ("reader", "secret")) as bmc:
        tool = [str(BIN / "rf_sensor_list.py"), "-u", "reader", "-p", "secret", "-r", bmc.url]
        client = await asyncio.create_subprocess_exec(sys.executable, *tool, stdout=asyncio.subprocess.PIPE)
        printed, _ = await client.communicate()

        assert client.returncode == 0
        assert bmc.tokens == {}
        assert bmc.refused == 0
    told = printed.decode()
    listed = {
        line.split("|")[0].strip(): line.split("|")[1].strip() for line in told.splitlines() if "|" in line
    }

    assert listed["Chassis_0 PowerWatts"] == "6120.00 W"
    assert listed["Chassis 0 TotalHSC Power"] == "6098.50 W"
