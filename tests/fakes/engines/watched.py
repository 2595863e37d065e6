"""What an agent has read of an engine whose truth is known, and whether it has read it by now."""

import time


def total(agent):
    return agent.value("rackwatt_engine_tokens_total", kind="output")


def settle(agent, seconds=2.0):
    """Wait until the agent has read pages that were asked for after this moment."""
    now = time.time()
    agent.wait_for(lambda node: node["at"] > now + seconds and node["state"] in {"idle", "serving"}, 20)
