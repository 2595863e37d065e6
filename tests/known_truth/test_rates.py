"""vLLM's page at 60 KB and 366 KB from an engine that is slow to answer: the rates are right."""

import time

import pytest
from fakes.engines.timeline import constant, idle
from fakes.engines.truth import TruthEngine
from fakes.engines.watched import settle


def test_rates_are_right_whatever_delays_the_page(agent_of):
    """T3: a delay before rendering does not matter, one after it is within the published uncertainty."""
    with (
        TruthEngine(engines=1, output=constant(1234.0)) as small_before,
        TruthEngine(engines=8, output=constant(500.0)) as large_before,
        TruthEngine(engines=1, output=constant(1234.0), seed=2) as small_after,
        TruthEngine(engines=8, output=constant(500.0), seed=3) as large_after,
    ):
        for engine in (small_before, large_before):
            engine.delay(before_ms=(0, 900))
        for engine in (small_after, large_after):
            engine.delay(after_ms=(0, 900))
        before = agent_of(small_before, large_before, window="30s")
        after = agent_of(small_after, large_after, window="30s")
        time.sleep(45)

        truth = 1234.0 + 8 * 500.0
        for _ in range(5):
            right, late = before.node(), after.node()
            assert right["figures"]["node_tokens_per_second"]["valid"]
            assert right["tokens_per_second"]["output"] == pytest.approx(truth, rel=0.005)
            published = late["figures"]["node_tokens_per_second"]["uncertainty_ratio"]
            assert 0.0 < published < 0.1
            assert late["tokens_per_second"]["output"] == pytest.approx(truth, rel=published)
            time.sleep(1.1)

        for engine in (small_before, large_before, small_after, large_after):
            engine.delay()
            engine.schedule(idle())
        settle(before, 8.0)
        settle(after, 8.0)
        for agent, engines in ((before, (small_before, large_before)), (after, (small_after, large_after))):
            for engine in engines:
                instance = engine.url.removeprefix("http://")
                raw = agent.value("rackwatt_engine_tokens_total", kind="output", engine_instance=instance)
                counted = engine.truth().output_tokens
                assert 0 <= counted - raw < 3 * 1234.0 * 8  # what was produced before it was first seen
