"""A tray whose fourth GPU fell off the bus before anybody looked: it is known how many there should be."""

from fakes.agent import RunningAgent
from fakes.nvml.driver import FakeDriver

NVML = {"interval": "200ms", "kmsg": "", "xid_events": False, "processes": False}


def test_a_gpu_that_was_gone_before_the_daemon_first_started_is_missed_by_node_and_rack(tmp_path):
    with FakeDriver(tmp_path, "gb300", gpus=3) as driver:
        agent = RunningAgent(tmp_path / "agent", {}, driver.env)
        node = {"name": "tray-7", "gpus": 4}
        agent.configure({"node": node, "collectors": {"nvml": NVML}, "rack": {"members": [agent.url]}})
        with agent:
            told = agent.wait_for(lambda node: node["incidents"])
            agent.wait_for(lambda _: agent.value("rackwatt_rack_gpus_expected") == 4.0)

            assert (len(told["gpus"]), told["gpus_absent"]) == (3, 1)
            assert told["notes"][0].startswith("only 3 of 4 GPUs were ever seen here (node.gpus)")
            assert "member_missing" in told["figures"]["node_tokens_per_joule_gpu"]["reasons"]
            assert agent.value("rackwatt_node_gpus_expected") == 4.0
            assert agent.value("rackwatt_node_gpus_reporting") == 3.0
            assert agent.value("rackwatt_rack_gpus_reporting") == 3.0
            fault = {"scope": "node", "kind": "fault", "cause": "gpu_lost", "node": "tray-7"}
            assert agent.value("rackwatt_incident_active", **fault) == 1.0
