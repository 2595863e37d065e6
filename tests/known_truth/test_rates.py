"""vLLM's page at 60 KB and 366 KB from an engine that is slow to answer: the rates are right."""

import time

import pytest
from fakes.engines.timeline import constant, idle
from fakes.engines.truth import TruthEngine
from fakes.engines.watched import settle


def test_rates_are_right_whatever_delays_the_page_and_no_total_loses_a_token(agent_of):
    """T3: a delay before rendering does not matter, one after it is within the published uncertainty."""
    with (
        TruthEngine(engines=1, output=idle(), base_tokens=70_000) as small_before,
        TruthEngine(engines=8, output=idle(), base_tokens=80_000) as large_before,
        TruthEngine(engines=1, output=idle(), seed=2) as small_after,
        TruthEngine(engines=8, output=idle(), seed=3) as large_after,
    ):
        before = agent_of(small_before, large_before, window="30s")
        after = agent_of(small_after, large_after, window="30s")
        settle(before)
        settle(after)
        engines = (small_before, large_before, small_after, large_after)
        seen = [engine.truth().output_tokens for engine in engines]
        for engine in (small_before, large_before):
            engine.delay(before_ms=(0, 900))
        for engine in (small_after, large_after):
            engine.delay(after_ms=(0, 900))
        for engine, rate in zip(engines, (1234.0, 500.0, 1234.0, 500.0), strict=True):
            engine.schedule(constant(rate))
        time.sleep(41)

        truth = 1234.0 + 8 * 500.0
        for _ in range(5):
            right, late = before.node(), after.node()
            assert right["figures"]["node_tokens_per_second"]["valid"]
            assert right["tokens_per_second"]["output"] == pytest.approx(truth, rel=0.005)
            published = late["figures"]["node_tokens_per_second"]["uncertainty_ratio"]
            assert 0.0 < published < 0.1
            assert late["tokens_per_second"]["output"] == pytest.approx(truth, rel=published)
            time.sleep(1.1)

        for engine in engines:
            engine.delay()
            engine.schedule(idle())
        settle(before, 8.0)
        settle(after, 8.0)
        for engine, agent, first in zip(engines, (before, before, after, after), seen, strict=True):
            instance = engine.url.removeprefix("http://")
            counted = agent.value("rackwatt_engine_tokens_total", kind="output", engine_instance=instance)
            assert counted == engine.truth().output_tokens - first
