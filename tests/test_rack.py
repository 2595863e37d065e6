"""Real daemons on loopback: three nodes, and a fourth that reckons their rack."""

import json
import time
import urllib.request

import pytest
from fakes.agent import RunningAgent
from fakes.engines.timeline import constant, idle
from fakes.engines.truth import TruthEngine
from fakes.nvml.driver import FakeDriver
from fakes.processes import http_get

FAST = {"interval": "500ms"}


class Rack:
    """Three nodes with an engine and fake GPUs each, and the daemon over them."""

    def __init__(self, folder, engines, env):
        self.folder = folder
        self.nodes = [
            RunningAgent(
                folder / f"node{number}",
                {
                    "node": {"name": f"tray-{number}"},
                    "window": "4s",
                    "collectors": {
                        "nvml": FAST,
                        "engines": FAST | {"targets": [{"url": f"{engine.url}/metrics"}]},
                    },
                },
                env=env,
            )
            for number, engine in enumerate(engines)
        ]
        for node in self.nodes:
            node.start()
        self.daemons = []
        self.head = self.aggregator("head")

    def settings(self, name, **rack):
        return {
            "node": {"name": name},
            "window": "4s",
            "rack": {"name": "r12", "members": [node.url for node in self.nodes]} | rack,
            "collectors": {"peers": FAST},
        }

    def aggregator(self, name, **rack):
        daemon = RunningAgent(self.folder / name, self.settings(name, **rack))
        self.daemons.append(daemon)
        return daemon.start()

    def stop(self):
        for daemon in [*self.daemons, *self.nodes]:
            daemon.program.kill()


def rack_of(agent):
    status, body = http_get(f"{agent.url}/api/v1/rack")
    assert status in {200, 503}, body
    return json.loads(body) if status == 200 else None


def wait_rack(agent, predicate, seconds=20.0):
    ends = time.monotonic() + seconds
    while True:
        rack = rack_of(agent)
        if rack is not None and predicate(rack):
            return rack
        assert time.monotonic() < ends, f"{json.dumps(rack, indent=1)}\n{agent.program.tail()}"
        time.sleep(0.1)


def post(agent, plain, content_type="application/json"):
    request = urllib.request.Request(
        f"{agent.url}/api/v1/drain",
        data=plain if isinstance(plain, bytes) else json.dumps(plain).encode(),
        headers={"Content-Type": content_type},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def engines():
    with TruthEngine(output=idle()) as a, TruthEngine(output=idle()) as b, TruthEngine(output=idle()) as c:
        yield [a, b, c]


@pytest.fixture
def rack(tmp_path, engines):
    with FakeDriver(tmp_path, preset="gb300") as driver:
        running = Rack(tmp_path, engines, driver.env)
        yield running
        running.stop()


def member(told, name):
    return next(each for each in told["members"] if each["node"] == name)


def settled_total(agent, truth):
    """The rack's total once it equals the members' truth."""
    return wait_rack(agent, lambda told: told["tokens_total"].get("output") == truth())["tokens_total"][
        "output"
    ]


def test_a_rack_of_three_is_summed_and_survives_the_kill_of_a_member_and_of_itself(rack, engines):
    """T1, T5, T10, T15 on real processes."""
    started = [engine.truth().output_tokens for engine in engines]

    def truth():
        return sum(e.truth().output_tokens - s for e, s in zip(engines, started, strict=True))

    for engine in engines:
        engine.schedule(constant(1000.0))
    told = wait_rack(rack.head, lambda told: told["valid"] and "gpu" in told["tokens_per_joule"])
    told = wait_rack(rack.head, lambda told: abs(told["tokens_per_second"]["output"] - 3000.0) < 30.0)

    assert told["coverage"] == 1.0
    assert told["nodes"] == {"expected": 3, "reporting": 3, "missing": [], "drained": []}
    assert told["gpus"] == {"expected": 12, "reporting": 12}
    assert told["rack"] == "r12"

    rack.nodes[1].program.kill()
    told = wait_rack(rack.head, lambda told: told["nodes"]["missing"] == ["tray-1"])
    assert member(told, "tray-1")["tokens_per_second"] == {}
    assert [gpu["up"] for gpu in member(told, "tray-1")["gpus"]] == [False] * 4
    told = wait_rack(rack.head, lambda told: not told["valid"])
    assert told["coverage"] == pytest.approx(2 / 3)
    assert "low_coverage" in told["reasons"]
    assert "gpu" not in told["tokens_per_joule"]

    before = rack_of(rack.head)["tokens_total"]["output"]
    rack.head.restart(kill=True)
    again = wait_rack(rack.head, lambda told: told["nodes"]["reporting"] == 2)
    assert again["tokens_total"]["output"] >= before - 3 * 1000 * 6
    assert again["gpus"]["expected"] == 12

    rack.nodes[1].start()
    rates = []

    def whole_again(told):
        rates.append(told["tokens_per_second"].get("output", 0.0))
        return told["valid"]

    wait_rack(rack.head, whole_again)
    assert max(rates) == pytest.approx(3000.0, rel=0.05)
    assert rack_of(rack.head)["backfilled_tokens_total"]["output"] > 0

    for engine in engines:
        engine.schedule(idle())
    time.sleep(1.0)
    assert settled_total(rack.head, truth) == truth()
    second = rack.aggregator("second")
    assert settled_total(second, truth) == truth()


def test_draining_by_http_is_kept_and_takes_nodes_out_of_the_expectation(rack):
    """T4, T10: a node by itself, and a member on the rack's daemon."""
    wait_rack(rack.head, lambda told: told["nodes"]["reporting"] == 3)
    assert post(rack.nodes[0], {"drained": True, "reason": "repair"})[0] == 200
    status, body = post(rack.head, {"drained": True, "node": "tray-1"})
    told = wait_rack(rack.head, lambda told: told["nodes"]["drained"] == ["tray-0", "tray-1"])

    assert status == 200
    assert json.loads(body)["members"] == {"tray-1": "drained"}
    assert told["nodes"]["expected"] == 1
    assert member(told, "tray-0")["why"] == "repair"
    assert rack.nodes[0].value("rackwatt_node_drained") == 1.0

    rack.nodes[0].restart(kill=True)
    rack.head.restart(kill=True)
    wait_rack(rack.head, lambda told: told["nodes"]["drained"] == ["tray-0", "tray-1"])
    assert rack_of(rack.nodes[0])["nodes"]["expected"] == 0

    assert post(rack.nodes[0], {"drained": False})[0] == 200
    assert post(rack.head, {"drained": False, "node": "tray-1"})[0] == 200
    wait_rack(rack.head, lambda told: told["nodes"]["drained"] == [])
    rack.head.wait_for(lambda _: rack.head.value("rackwatt_rack_nodes_expected", rack="r12") == 3)


def test_a_reload_takes_what_is_configured_of_the_rack(rack):
    wait_rack(rack.head, lambda told: told["nodes"]["reporting"] == 3)
    rack.head.configure(rack.settings("head", drained=["tray-2"], expected={"nodes": 5}))
    rack.head.reload()
    told = wait_rack(rack.head, lambda told: told["nodes"]["drained"] == ["tray-2"])

    assert told["nodes"]["expected"] == 4


def test_t15_a_reload_that_takes_the_members_away_takes_the_rack_off_the_page(rack):
    rack.head.wait_for(lambda _: rack.head.value("rackwatt_rack_nodes_reporting", rack="r12") == 3)
    rack.head.configure({"node": {"name": "head"}, "rack": {"name": "r12"}})
    rack.head.reload()
    wait_rack(rack.head, lambda told: told["of_one"])

    rack.head.wait_for(lambda _: "rackwatt_rack_" not in rack.head.page())


@pytest.mark.parametrize(
    ("plain", "content_type", "status", "says"),
    [
        ({"drained": True}, "text/plain", 415, "send application/json"),
        (b"{", "application/json", 400, "the body is not JSON"),
        (b"[]", "application/json", 400, 'the body must be {"drained"'),
        ({"drained": "yes"}, "application/json", 400, 'the body must be {"drained"'),
        ({"drained": True, "nod": "x"}, "application/json", 400, "'nod': unknown key; there are:"),
        ({"drained": True, "node": 7}, "application/json", 400, "node: must be text"),
        ({"drained": True, "node": "tray-9"}, "application/json", 404, "no member 'tray-9'; there are: none"),
        (b" " * 5000, "application/json", 413, "the body is larger than 4096 bytes"),
    ],
)
def test_a_drain_that_makes_no_sense_is_refused(lone, plain, content_type, status, says):
    answer = post(lone, plain, content_type)

    assert answer[0] == status
    assert says in answer[1]


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    with RunningAgent(tmp_path_factory.mktemp("lone"), {"collectors": {}}) as agent:
        yield agent


def test_a_node_without_members_answers_as_a_rack_of_one(lone):
    told = wait_rack(lone, lambda told: told["of_one"])

    assert told["nodes"]["expected"] == 1
    assert "rackwatt_rack_" not in lone.page()


def test_a_node_keeps_its_history_while_nobody_looks(lone):
    before = len(json.loads(http_get(f"{lone.url}/api/v1/history")[1])["at"])
    time.sleep(3.0)
    history = json.loads(http_get(f"{lone.url}/api/v1/history")[1])

    assert len(history["at"]) >= before + 2
    assert set(history["valid"]) == {False}


def test_views_of_a_node_are_named(lone):
    status, body = http_get(f"{lone.url}/api/v1/node?view=x")

    assert (status, body) == (400, b"view: no 'x'; there is: totals\n")
    assert json.loads(http_get(f"{lone.url}/api/v1/node?view=totals")[1])["schema"] == 1
