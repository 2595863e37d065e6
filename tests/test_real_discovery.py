"""A real llama.cpp server that nobody named, beside a fake driver that lists its process."""

import asyncio

import pytest
from fakes.agent import RunningAgent
from fakes.engines.client import LoadClient
from fakes.engines.llamacpp import LlamaCpp
from fakes.nvml.driver import FakeDriver

pytestmark = pytest.mark.alone
FOUND_SECONDS = 60.0
"""The driver's list of processes is read each 15 s."""


def idle(node):
    return [engine["state"] for engine in node["engines"]] == ["idle"]


def test_an_engine_is_found_without_configuration_and_its_tokens_are_its_clients(tmp_path):
    with FakeDriver(tmp_path, preset="gb300") as driver, LlamaCpp() as engine:
        driver.process(1, engine.program.pid, 2**30)
        driver.process(2, engine.program.pid, 2**30)
        with RunningAgent(tmp_path / "agent", {"window": "5s"}, env=driver.env) as agent:
            agent.wait_for(idle, FOUND_SECONDS)
            client = LoadClient(engine.url, model="tiny-random")
            result = asyncio.run(client.run(200, 8, 64))
            agent.wait_for(idle)
            held = [
                agent.value(
                    "rackwatt_deployment_gpu_info", deployment="tiny-random", model="tiny-random", gpu=gpu
                )
                for gpu in ("0", "1", "2", "3")
            ]
            joules = agent.value("rackwatt_deployment_energy_joules_total", boundary="gpu", state="serving")

            assert result.errors == ()
            assert agent.value("rackwatt_engine_tokens_total", kind="output") == result.output_tokens
            assert agent.value("rackwatt_model_tokens_total", kind="output") == result.output_tokens
            assert held == [None, 1.0, 1.0, None]
            assert agent.value("rackwatt_gpu_attribution", gpu="1", state="attributed") == 1.0
            assert agent.value("rackwatt_gpu_attribution", gpu="0", state="free") == 1.0
            assert joules > 0.0
