import pytest
from fakes.agent import RunningAgent


@pytest.fixture
def agent_of(tmp_path):
    """Start an agent that reads these engines."""
    running = []

    def start(*engines, window="10s"):
        targets = [{"url": f"{engine.url}/metrics"} for engine in engines]
        settings = {"window": window, "collectors": {"engines": {"targets": targets}}}
        agent = RunningAgent(tmp_path / f"agent{len(running)}", settings).start()
        running.append(agent)
        return agent

    yield start
    for agent in running:
        agent.program.stop()
