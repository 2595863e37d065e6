"""vLLM's page at 60 KB and 366 KB: resets while nobody generates cost no token."""

import time

import pytest
from fakes.engines.timeline import constant, idle
from fakes.engines.truth import TruthEngine
from fakes.engines.watched import settle, total


@pytest.mark.parametrize("engines", [1, 8], ids=["60KB", "366KB"])
@pytest.mark.parametrize("new_start_time", [True, False], ids=["restart", "reset"])
def test_totals_are_exact_over_resets_at_rest(agent_of, engines, new_start_time):
    """T2: with a new start time, and without one (all of an elastic engine's counters begin anew)."""
    with TruthEngine(engines=engines, output=idle(), base_tokens=1_000_000) as engine:
        agent = agent_of(engine)
        settle(agent)
        before = engine.truth().output_tokens
        for _ in range(2):
            engine.schedule(constant(777.0, 2.0) + idle())
            time.sleep(2.5)
            settle(agent)
            engine.reset(new_start_time=new_start_time)
            settle(agent)
        engine.schedule(constant(321.0, 2.0) + idle())
        time.sleep(2.5)
        settle(agent)

        assert total(agent) == engine.truth().output_tokens - before
        assert agent.value("rackwatt_engine_restarts_total") == 2
