"""A daemon beside controllers: power of node and rack, surroundings, and sessions that are ended."""

import asyncio
import time

import pytest
from fakes import redfish_trees as trees
from fakes.agent import RunningAgent
from fakes.bmc import Bmc

SHELF_WATTS = 6 * 2750.0
SUPPLIES = f"{trees.CHASSIS}/powershelf/PowerSubsystem/PowerSupplies"


@pytest.fixture
def secret(tmp_path):
    """A file with the password."""
    path = tmp_path / "password"
    path.write_text("secret")
    return str(path)


async def becomes(agent, wanted, name, seconds=15.0, **labels):
    """Wait, beside the controllers, until a metric has a value."""
    ends = time.monotonic() + seconds
    value = await asyncio.to_thread(agent.value, name, **labels)
    while value != wanted and time.monotonic() < ends:
        await asyncio.sleep(0.1)
        value = await asyncio.to_thread(agent.value, name, **labels)
    return value


async def test_power_of_node_and_rack_by_controllers_is_told_and_a_lost_shelf_makes_the_racks_unknown(
    tmp_path, secret
):
    login = {"username": "reader", "password_file": secret}
    who = ("reader", "secret")
    async with (
        Bmc(trees.gb300_tray(), who) as tray,
        Bmc(trees.power_shelf(), who) as first,
        Bmc(trees.power_shelf(), who) as second,
    ):
        shelves = [{"url": each.url, "boundary": "rack", **login} for each in (first, second)]
        agent = RunningAgent(tmp_path, {})
        targets = [{"url": tray.url, "name": "bmc", **login}, *shelves]
        agent.configure(
            {
                "rack": {"name": "r12", "members": [agent.url]},
                "collectors": {"redfish": {"targets": targets, "interval": "200ms"}},
            }
        )
        await asyncio.to_thread(agent.start)
        try:
            of_rack = {"boundary": "rack", "source": "redfish"}

            assert await becomes(agent, 2 * SHELF_WATTS, "rackwatt_rack_power_watts", **of_rack) == 33_000.0
            assert agent.value("rackwatt_power_watts", boundary="node", source="redfish") == 6120.0
            assert agent.value("rackwatt_leak_detector_state", target="bmc", state="ok") == 2.0
            assert agent.value("rackwatt_power_watts", boundary="rack") is None
            second.mood.statuses |= {f"{SUPPLIES}/PSU{n}/Metrics": 503 for n in range(6)}

            assert await becomes(agent, None, "rackwatt_rack_power_watts", **of_rack) is None
        finally:
            await asyncio.to_thread(agent.program.stop)
        assert (tray.tokens, first.tokens, second.tokens) == ({}, {}, {})


async def test_the_daemon_of_a_rack_reads_the_controller_of_a_node_that_cannot_and_names_it_when_it_is_dead(
    tmp_path, secret
):
    """The member is the daemon itself, which has no meter: of its power nobody tells but the controller."""
    async with Bmc(trees.gb300_tray(), ("reader", "secret")) as tray:
        agent = RunningAgent(tmp_path, {})
        login = {"username": "reader", "password_file": secret}
        target = {"url": tray.url, "name": "bmc-07", "node": "tray-07", **login}
        agent.configure(
            {
                "node": {"name": "tray-07"},
                "rack": {"name": "r12", "members": [agent.url]},
                "collectors": {"redfish": {"targets": [target], "interval": "200ms"}},
            }
        )
        await asyncio.to_thread(agent.start)
        try:
            read = {"boundary": "node", "source": "redfish@rack"}
            up = {"source": "redfish", "part": "node", "unit": "tray-07/bmc-07"}

            assert await becomes(agent, 6120.0, "rackwatt_rack_power_watts", **read) == 6120.0
            assert agent.value("rackwatt_power_watts", boundary="node", source="redfish") is None
            assert agent.value("rackwatt_meter_up", **up) == 1.0
            tray.mood.statuses[f"{trees.CHASSIS}/Chassis_0/EnvironmentMetrics"] = 503

            assert await becomes(agent, None, "rackwatt_rack_power_watts", **read) is None
            assert await becomes(agent, 0.0, "rackwatt_meter_up", **up) == 0.0
        finally:
            await asyncio.to_thread(agent.program.stop)
