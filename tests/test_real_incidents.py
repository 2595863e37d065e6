"""Incidents of a real llama.cpp server that stops and dies; what its speed decides is in incidents_real."""

import time

import pytest
from fakes.incident_rig import IDLE, rigged

pytestmark = pytest.mark.alone
LEARNED_SECONDS = 12.0
"""So long it takes to know what the engine gives."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with rigged(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


def test_an_engine_that_does_not_answer_while_gpus_work_is_a_gap_of_telemetry(rig):
    time.sleep(LEARNED_SECONDS)
    since = time.time()
    rig.engine.program.freeze()
    try:
        gap = rig.wait_for(lambda each: each["kind"] == "gap", since, 12.0)
    finally:
        rig.engine.program.thaw()

    assert (gap["cause"], gap["severity"]) == ("telemetry_gap", "warning")
    assert rig.engine.url.removeprefix("http://") in gap["summary"]
    assert {each["cause"] for each in rig.told(since)} == {"telemetry_gap"}


def test_an_engine_that_does_not_answer_while_gpus_idle_is_down(rig):
    rig.calm()
    since = time.time()
    rig.driver.load("*", IDLE)
    rig.engine.program.freeze()
    down = rig.wait_for(lambda each: each["cause"] == "engine_down", since, 15.0)

    assert "does not answer" in down["summary"]
    assert [each["kind"] for each in rig.told(since) if each["kind"] == "gap"] == []


def test_an_engine_that_stays_away_is_down_after_the_grace(rig):
    since = time.time() - 15.0
    rig.engine.kill()
    drop = rig.wait_for(lambda each: each["kind"] == "drop" and each["cause"] == "engine_down", since, 25.0)

    assert drop["severity"] == "critical"
    assert drop["lost_tokens"] > 0
    assert drop["engine_instance"] == rig.engine.url.removeprefix("http://")
