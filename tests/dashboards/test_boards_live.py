"""The boards on a real Prometheus that scrapes a rack of the twin: nothing is empty (T17)."""

import functools
import json
import sys
import time
import urllib.request

import pytest
from fakes import beside, boards, promql
from fakes.processes import LOOPBACK, Program, free_port, http_get, wait_http
from fakes.prometheus import Prometheus

from agent import dashboards

FAULTS_AT = 32
SCENARIO = f"""
about: A healthy rack; one GPU reports an error and one engine is restarted when all has been seen.
record: azure-gb300-llama2-70b
rack: {{name: r12, trays: 3, models: [llama2-70b-fp4], cached_share: 0.3, meters: true}}
load: {{level: 0.9}}
events:
  - {{kind: gpu_fault, at: {FAULTS_AT}s, trays: [1], gpus: [2], xid: 94}}
  - {{kind: engine_restart, at: {FAULTS_AT}s, lasts: 1s, trays: [2]}}
"""
ALERT = """
groups:
  - name: drained
    rules:
      - alert: RackwattDrainedHere
        expr: rackwatt_node_drained * on (job, instance) group_left (rack, node) rackwatt_node_info > 0
        labels: {severity: info}
"""
ONLY_WHEN_SOMETHING_IS = {
    "mark/Alerts",
    "mark/Incidents",
    "mark/Engine restarts",
    "mark/Drained nodes",
    "mark/Drained",
    "mark/Xid errors",
}
ONLY_WHEN_SOMETHING_IS |= {"What is wrong, since when/A"}
QUERIES = [query for board in boards.loaded().values() for query in boards.asked(board)]
CHOSEN = {"rack": "r12", "node": "tray-01", "gpu": ".+", "model": "llama2-70b-fp4", "boundary": "gpu"}


class Rack:
    """A demo and a Prometheus that scrapes all of it and loads the shipped rules."""

    def __init__(self, folder):
        scenario = folder / "scenario.yaml"
        scenario.write_text(SCENARIO)
        listen = f"{LOOPBACK}:{free_port()}"
        command = [sys.executable, "-u", "-P", "-m", "agent.cli", "demo", "--listen", listen, "--nodes", "3"]
        self.url = f"http://{listen}"
        self.demo = Program([*command, "--scenario", str(scenario)], log=folder / "demo.log")
        (folder / "alert.yml").write_text(ALERT)
        alerts = dashboards.source_folder() / "rules" / "alerts.yml"
        self._rules = [*promql.RECORDING, alerts, folder / "alert.yml"]

    def prometheus(self, elsewhere):
        members = [url.removeprefix("http://") for url in self.members().values()]
        targets = [self.url.removeprefix("http://"), *members, elsewhere]
        return Prometheus({"rackwatt": targets}, rule_files=self._rules)

    def told(self):
        return json.loads(http_get(f"{self.url}/api/v1/rack")[1])

    def members(self):
        return {each["node"]: each["url"] for each in self.told()["members"]}

    def drain(self, node):
        body = json.dumps({"drained": True, "reason": "fans"}).encode()
        request = urllib.request.Request(
            f"{self.members()[node]}/api/v1/drain", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def elsewhere():
    """A page with what the demo's nodes do not have; its address."""
    with beside.page_of("elsewhere", "elsewhere") as page:
        yield page.address


@pytest.fixture(scope="module")
def rack(tmp_path_factory):
    running = Rack(tmp_path_factory.mktemp("rack"))
    with running.demo:
        yield running


@pytest.fixture(scope="module")
def prometheus(rack, elsewhere):
    wait_http(f"{rack.url}/api/v1/rack", rack.demo, 60)
    wait_valid(rack)
    with rack.prometheus(elsewhere) as server:
        yield server


def wait_valid(rack, seconds=60.0):
    ends = time.monotonic() + seconds
    while not rack.told()["valid"]:
        assert time.monotonic() < ends, rack.demo.tail()
        time.sleep(0.2)


def sent(query):
    """Return the expression with the values that Grafana puts into it."""
    where = {"rack": "elsewhere", "node": "elsewhere"} if is_elsewhere(query) else {}
    return query.with_values(CHOSEN | where, "15s")


def is_elsewhere(query):
    return any(name in query.expr for name in beside.NAMES)


def is_quiet(query):
    return query.by in ONLY_WHEN_SOMETHING_IS


def test_t17_every_panel_and_variable_has_an_answer_on_a_healthy_rack(prometheus):
    """Within half a minute of the first scrape; nothing is wrong so early."""
    ends = time.monotonic() + 30.0
    empty = [query for query in QUERIES if not is_quiet(query)]
    while empty and time.monotonic() < ends:
        empty = [query for query in empty if not prometheus.query(sent(query))]
        time.sleep(0.5)

    assert [query.name for query in empty] == []


def test_what_a_rack_may_not_have_says_so():
    """A panel of which nothing need be there has a word for it, not Grafana's 'No data'."""
    for board in boards.loaded().values():
        for panel in boards.panels(board):
            queries = [
                query
                for query in boards.asked({**board, "panels": [panel], "annotations": {}})
                if query.by.startswith(panel["title"])
            ]
            if all(is_elsewhere(query) for query in queries):
                assert panel["fieldConfig"]["defaults"].get("noValue"), panel["title"]


def test_variables_offer_what_there_is_to_choose(prometheus):
    offered = {}
    for uid, board in boards.loaded().items():
        for variable in boards.variables(board)[1:]:
            query = boards.of_variable(uid, variable)
            rows = prometheus.query(query.with_values(CHOSEN | {"rack": "r12"}, "15s"))
            offered[uid, variable["name"]] = {row["metric"][query.labels[0]] for row in rows}

    assert offered["rackwatt-rack", "rack"] == {"r12"}
    assert offered["rackwatt-rack", "boundary"] == {"gpu", "module", "node", "rack", "facility"}
    assert offered["rackwatt-node", "node"] == {"tray-00", "tray-01", "tray-02"}
    assert offered["rackwatt-node", "gpu"] == {"0", "1", "2", "3"}
    assert offered["rackwatt-model", "model"] == {"llama2-70b-fp4"}
    assert offered["rackwatt-fleet", "rack"] == {"r12"}


def test_one_figure_is_one_value(prometheus):
    """A stat that shows two where one is meant would show the first."""
    several = {"State", "Figures"}
    for uid, board in boards.loaded().items():
        for panel in boards.panels(board):
            if panel["type"] == "stat" and panel["title"] not in several:
                for query in boards.asked({**board, "panels": [panel], "annotations": {}}):
                    if query.by.startswith(panel["title"]):
                        assert len(prometheus.query(sent(query))) == 1, f"{uid}: {query.by}"


def test_the_first_row_of_the_rack_says_what_the_rack_says(prometheus, rack):
    by_title = {query.by: query for query in QUERIES if query.board == "rackwatt-rack"}
    told = rack.told()

    assert prometheus.value(sent(by_title["Nodes/A"])) == 3
    assert prometheus.value(sent(by_title["Nodes/B"])) == 3
    assert prometheus.value(sent(by_title["GPUs/B"])) == 12
    assert prometheus.value(sent(by_title["Alerts firing/A"])) == 0
    assert prometheus.value(sent(by_title["Output tokens/s/A"])) == pytest.approx(
        told["tokens_per_second"]["output"], rel=0.05
    )
    (validity,) = prometheus.query(sent(by_title["Figures/A"]))
    assert validity["metric"] == {"reason": "valid"}
    assert validity["value"][1] == "1"


def test_what_happens_is_marked_and_an_alert_is_listed_since_when(prometheus, rack):
    """Every query that is empty on a healthy rack, where the thing that it asks for has happened."""
    rack.drain("tray-00")
    happened = {"Xid errors": "tray-01", "Incidents": "tray-01", "Engine restarts": "tray-02"}
    for query in filter(is_quiet, QUERIES):
        node = happened.get(query.by.removeprefix("mark/"), "tray-00")
        expr = query.with_values(CHOSEN | {"node": node}, "15s")
        rows = prometheus.wait_for(expr, functools.partial(tells_of, node), deadline=60)
        assert float(rows[0]["value"][1]) > 0, query.name
        assert rows[0]["metric"].get("xid", "94") == "94"


def tells_of(node, rows):
    return node in {row["metric"].get("node", node) for row in rows}


def test_reasons_take_the_place_of_valid(prometheus):
    by_title = {query.by: query for query in QUERIES if query.board == "rackwatt-node"}
    rows = prometheus.query(by_title["Figures/A"].with_values(CHOSEN | {"node": "rack"}, "15s"))

    assert {row["metric"]["reason"] for row in rows} == {"no_engines", "no_meter"}
    assert {row["value"][1] for row in rows} == {"0"}
