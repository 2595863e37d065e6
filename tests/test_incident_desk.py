"""The incidents of a running daemon: found, told once, counted, and what is usual survives a restart."""

import json
import logging
import time
from dataclasses import replace

import pytest
from fakes.agent import RunningAgent
from fakes.engines.timeline import constant
from fakes.engines.truth import TruthEngine
from fakes.incidents import engine_down, not_reporting, power_capped
from fakes.processes import http_get

from agent.incident_desk import Counts, IncidentDesk
from agent.measure.incident import Cause
from agent.store import Store
from agent.wire.incident_codec import to_plain

DROP = ("node", "drop", "power_cap")
KEPT = {
    "llama": {
        "levels": [[4.0, 1000.0, 60.0]],
        "noise": 0.02,
        "seconds": 60.0,
        "mix": 1.5,
        "mix_spread": 0.2,
        "mix_seconds": 60.0,
        "batch": 64.0,
        "tokens_per_request": 200.0,
    }
}


BEGAN = 1_800_000_000.0


@pytest.fixture
def counts(caplog):
    """Those of a daemon that began before everything that is told here."""
    caplog.set_level(logging.INFO, "rackwatt.incidents")
    counts = Counts()
    counts.take((), BEGAN)
    return counts


def test_an_incident_is_counted_and_logged_once_while_it_goes_on(counts, caplog):
    stands = power_capped()
    for lost in (10.0, 30.0, 70.0):
        counts.take((replace(stands, lost_tokens=lost),), BEGAN)

    assert counts.totals == {DROP: (1.0, 70.0)}
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", f"incident: {stands.summary}")
    ]
    assert caplog.records[0].cause == "power_cap"


def test_its_end_is_logged_once_with_what_it_lost(counts, caplog):
    stands = replace(power_capped(), lost_tokens=5.0)
    ended = replace(stands, ended=1_800_000_500.0, lost_tokens=99.6)
    for each in (stands, ended, ended):
        counts.take((each,), BEGAN)

    assert [each.getMessage().partition(":")[0] for each in caplog.records] == ["incident", "incident over"]
    assert caplog.records[1].lost_tokens == 100
    assert counts.totals[DROP] == (1.0, 99.6)


def test_what_a_daemon_knows_as_critical_is_logged_as_an_error(counts, caplog):
    counts.take((engine_down(ended=None),), BEGAN)

    assert caplog.records[0].levelname == "ERROR"


def test_one_that_turns_out_to_be_another_is_counted_there_too_with_what_is_lost_from_then_on(counts, caplog):
    stands = replace(power_capped(), cause=Cause.UNKNOWN, lost_tokens=40.0)
    counts.take((stands,), BEGAN)
    counts.take((replace(stands, cause=Cause.POWER_CAP, lost_tokens=100.0),), BEGAN)

    assert counts.totals == {("node", "drop", "unknown"): (1.0, 40.0), DROP: (1.0, 60.0)}
    assert caplog.records[1].getMessage().startswith("incident is another: ")


def test_a_loss_that_is_reckoned_lower_is_taken_from_what_is_lost_next(counts):
    first, second = power_capped(), power_capped("tray-09")
    counts.take((replace(first, lost_tokens=100.0),), BEGAN)
    counts.take((replace(first, lost_tokens=60.0),), BEGAN)
    assert counts.totals[DROP] == (1.0, 100.0)

    counts.take((replace(first, lost_tokens=60.0), replace(second, lost_tokens=30.0)), BEGAN)
    assert counts.totals[DROP] == (2.0, 100.0)

    counts.take((replace(first, lost_tokens=60.0), replace(second, lost_tokens=55.0)), BEGAN)
    assert counts.totals[DROP] == (2.0, 115.0)


def test_one_that_was_told_before_this_run_is_not_counted_again_and_only_what_it_loses_since(caplog):
    counts, stands = Counts(), power_capped()
    began = stands.detected + 60.0
    counts.take((replace(stands, lost_tokens=5_000.0),), began)
    counts.take((replace(stands, lost_tokens=5_070.0),), began)

    assert counts.totals == {DROP: (0.0, 70.0)}


def test_one_that_an_earlier_run_told_is_logged_once_as_going_on_and_one_that_is_over_not_at_all(caplog):
    caplog.set_level(logging.INFO, "rackwatt.incidents")
    stands, over = power_capped(), engine_down()
    Counts().take((stands, over), BEGAN + 3_600.0)

    assert [each.getMessage().partition(":")[0] for each in caplog.records] == ["incident goes on"]


def desk_of(kept):
    desk = IncidentDesk()
    desk.load_standing(json.loads(json.dumps(kept)))
    return desk


STANDING = {
    "incidents": [to_plain(power_capped()), to_plain(engine_down()), to_plain(not_reporting())],
    "node": {"gaps": {}, "crowds": {}},
    "rack": {"places": {"tray-07": [1_800_000_528.0, None, None, None, None]}, "away": {}, "lost": {}},
}


def test_what_stands_is_dumped_as_it_was_loaded_while_nothing_was_looked_at_yet():
    dumped = desk_of(STANDING).dump_standing()

    assert dumped["rack"] == STANDING["rack"]
    assert {each["id"] for each in dumped["incidents"]} == {each["id"] for each in STANDING["incidents"]}


@pytest.mark.parametrize("told", [None, 7, {}, STANDING | {"incidents": [{}]}, STANDING | {"rack": {}}])
def test_incidents_of_an_earlier_run_that_are_something_else_are_refused(told):
    with pytest.raises((ValueError, TypeError, KeyError)):
        IncidentDesk().load_standing(told)


def test_what_is_usual_is_dumped_as_it_was_loaded_and_is_json():
    desk = IncidentDesk()
    desk.load(KEPT)

    assert json.loads(json.dumps(desk.dump())) == KEPT


@pytest.mark.parametrize(
    "told",
    [
        7,
        None,
        "abc",
        ["llama"],
        {"llama": None},
        {"llama": {}},
        {"llama": KEPT["llama"] | {"levels": [[1.0, 2.0]]}},
        {"llama": KEPT["llama"] | {"levels": [[1.0, -5.0, 3.0]]}},
        {"llama": KEPT["llama"] | {"noise": "loud"}},
        {"llama": KEPT["llama"] | {"seconds": float("nan")}},
    ],
)
def test_a_kept_state_that_is_something_else_is_refused_and_nothing_of_it_is_taken(told):
    desk = IncidentDesk()
    with pytest.raises((ValueError, TypeError, KeyError)):
        desk.load(told)

    assert desk.dump() == {}


@pytest.fixture
def agent(tmp_path):
    """A daemon that has kept something, and is stopped."""
    with TruthEngine(output=constant(500)) as engine:
        fast = {"interval": "200ms", "timeout": "1s"}
        collectors = {"engines": {**fast, "targets": [{"url": f"{engine.url}/metrics"}]}}
        running = RunningAgent(tmp_path, {"collectors": collectors}).start()
        running.program.stop()
        yield running
        running.program.stop()


def kept(agent, change=None):
    """What the stopped daemon kept; with a change it finds other baselines when it starts."""
    store = Store(agent.state_dir)
    state = dict(store.load().state)
    if change is not None:
        store.save(state | {"baselines": change})
    return state


def test_what_is_usual_survives_restarts_of_the_daemon(agent):
    kept(agent, KEPT)
    agent.start().restart()
    agent.program.stop()

    assert kept(agent)["baselines"]["llama"] == KEPT["llama"]


def wait_for(holds, seconds=20.0):
    ends = time.monotonic() + seconds
    while (found := holds()) is None:
        assert time.monotonic() < ends
        time.sleep(0.1)
    return found


def told_by(agent):
    _, body = http_get(f"{agent.url}/api/v1/incidents")
    return json.loads(body)["incidents"]


def test_an_incident_in_which_the_daemon_is_killed_goes_on_and_is_not_opened_twice(tmp_path):
    """kill -9 while an engine is gone: the same id and beginning, and its loss grows on."""
    with TruthEngine(output=constant(500)) as engine:
        fast = {"interval": "200ms", "timeout": "1s"}
        settings = {"collectors": {"engines": {**fast, "targets": [{"url": f"{engine.url}/metrics"}]}}}
        with RunningAgent(tmp_path, settings) as agent:
            time.sleep(11.0)
            engine.stop()
            before = wait_for(lambda: next(iter(told_by(agent)), None))
            time.sleep(0.5)
            agent.program.kill()
            agent.start()
            (now,) = wait_for(lambda: told_by(agent) or None)
            assert (now["id"], now["started"], now["ended"]) == (before["id"], before["started"], None)
            assert now["cause"] == "engine_down"

            wait_for(lambda: told_by(agent)[0]["lost_tokens"] > before["lost_tokens"] + 200 or None)
            assert "incident goes on" in agent.log_text()


def test_baselines_that_are_not_understood_are_learned_anew_and_cost_no_totals(agent):
    kept(agent, {"llama": 7})
    agent.start()

    assert "what deployments usually give is learned anew" in agent.log_text()
    assert "totals of an earlier run are lost" not in agent.log_text()
    assert not list(agent.state_dir.glob("*unusable*"))
