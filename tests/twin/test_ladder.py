"""The power ladder on the twin: the truth is known at every boundary, of trays and of their rack."""

import json
import time
from itertools import pairwise

import pytest
from fakes.agent import RunningAgent
from fakes.processes import http_get

DEAD_AT = 17
SCENARIO = f"""
rack: {{trays: 2, tokens_per_second: 40000, meters: true}}
load: {{level: 0.8}}
events: [{{kind: meter_dead, at: {DEAD_AT}s, trays: [1]}}]
"""
QUICK = {"interval": "250ms", "window": "3s"}
SITE = {"pue": {"value": 1.2, "source": "test"}, "currency": "USD", "price_per_kwh": 0.08}


@pytest.fixture
def ladder(twin, tmp_path):
    """Two trays, and the daemon of their rack with its meter."""
    running = twin(SCENARIO)
    agents = []

    def start(name, settings):
        agents.append(RunningAgent(tmp_path / name, {**QUICK, **settings}).start(wait=False))
        return agents[-1]

    nodes = [
        start(
            f"tray-{tray}",
            {
                "node": {"name": f"tray-{tray}"},
                "collectors": {
                    "twin": {"url": running.url, "tray": tray},
                    "engines": {"targets": [{"url": running.engine(tray)}]},
                },
            },
        )
        for tray in (0, 1)
    ]
    rack = start(
        "rack",
        {
            "rack": {"members": [node.url for node in nodes]},
            "collectors": {"twin": {"url": running.url, "rack": True}},
            "site": SITE,
        },
    )
    yield running, nodes, rack
    for agent in agents:
        agent.program.stop()


def told(agent, path, wanted, seconds=25.0):
    """What an agent says, once it is as wanted."""
    ends = time.monotonic() + seconds
    while True:
        try:
            status, body = http_get(f"{agent.url}{path}")
        except OSError:
            status, body = 0, b""
        if status == 200 and wanted(document := json.loads(body)):
            return document
        assert time.monotonic() < ends, f"{body[:3000]!r}\n{agent.program.tail()}"
        time.sleep(0.1)


def counted(twin, agent):
    """Joules of tray 0 by boundary, as its daemon tells them and in truth, at the moments that it names."""
    document = told(agent, "/api/v1/node?view=totals", lambda node: len(node["boundaries"]) == 3)
    rows = {boundary: (joules, at) for boundary, _, joules, at, *_ in document["boundaries"]}
    return {b: (joules, twin.truth(at)["trays"][0]["joules"][b]) for b, (joules, at) in rows.items()}


def remainders(document):
    return {(rest["boundary"], rest["inner"]): rest["power_watts"] for rest in document["power_remainders"]}


def test_every_figure_is_the_truth_at_its_boundary_and_a_dead_meter_is_named(ladder):
    """T7, T8, T5: power, energy, efficiency and remainders within half a percent; no rail twice."""
    twin, nodes, agent = ladder
    at = ("gpu", "module", "node", "rack", "facility")
    rack = told(
        agent, "/api/v1/rack", lambda rack: all("output" in rack["tokens_per_joule"].get(b, {}) for b in at)
    )
    first = counted(twin, nodes[0])
    truth = twin.truth()
    assert truth["seconds"] < DEAD_AT - 1, "this machine is too slow for this test"
    watts = truth["watts"] | {"facility": truth["watts"]["rack"] * 1.2}
    rate = truth["tokens_per_second"]["output"]

    assert rack["power_watts"] == {b: pytest.approx(watts[b], rel=0.005) for b in at}
    assert rack["power_sources"] == {"gpu": "twin", "module": "twin", "node": "twin"} | {
        "rack": "twin",
        "facility": "pue",
    }
    assert {b: kinds["output"] for b, kinds in rack["tokens_per_joule"].items()} == {
        b: pytest.approx(rate / watts[b], rel=0.005) for b in at
    }
    assert remainders(rack) == {
        (outer, inner): pytest.approx(watts[outer] - watts[inner], rel=0.01) for inner, outer in pairwise(at)
    }
    assert rack["power_crosschecks"] == [
        {"boundary": "rack", "source": "nodes", "power_watts": pytest.approx(watts["node"], rel=0.005)}
    ]
    assert {b: rack["power_coverage"][b] for b in at[:4]} == dict.fromkeys(at[:4], 1.0)
    costs = rack["site"]["cost_per_million_tokens"]
    million = {cost["boundary"]: cost["amount"] for cost in costs if cost["kind"] == "output"}
    assert million["rack"] == pytest.approx(watts["rack"] / rate / 3.6 * 0.08 * 1.2, rel=0.005)

    document = told(nodes[1], "/api/v1/node", lambda node: any(not m["up"] for m in node["meters"]))
    assert document["meters"] == [
        {"source": "twin", "part": "node", "unit": "0", "up": False, "energy": None}
    ]
    assert document["notes"][-1] == (
        "twin: the meter of node 0 does not answer, so power at the boundary node lacks it"
    )
    rack = told(agent, "/api/v1/rack", lambda rack: "node" not in rack["tokens_per_joule"])
    assert "low_coverage" in rack["figures"]["rack_tokens_per_joule_node"]["reasons"]
    assert remainders(rack)["rack", "node"] is None
    assert rack["tokens_per_joule"]["rack"]["output"] == pytest.approx(rate / watts["rack"], rel=0.005)
    last = counted(twin, nodes[0])
    grown = {boundary: told - first[boundary][0] for boundary, (told, _) in last.items()}
    assert grown == {b: pytest.approx(true - first[b][1], rel=0.005) for b, (_, true) in last.items()}
