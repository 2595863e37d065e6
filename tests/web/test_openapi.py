"""The HTTP API is what agent/web/openapi.yaml says: all of it, nothing else, whatever is asked."""

import copy
import json
import re
from importlib import resources
from pathlib import Path

import jsonschema_rs
import pytest
import schemathesis
import yaml
from fakes.agent import RunningAgent
from fakes.engines.timeline import constant
from fakes.engines.truth import TruthEngine
from fakes.incidents import engine_down, not_reporting, power_capped, unexplained
from fakes.nvml.driver import FakeDriver
from fakes.processes import free_port, http_get
from hypothesis import HealthCheck, settings

from agent.measure.engine import Latency
from agent.measure.incident import Cause, Kind, Severity
from agent.measure.limiter import UNDECIDED, Limit, Limiter, LimitEvidence
from agent.measure.rack_snapshot import (
    EFFICIENCY,
    RATE,
    DeploymentFigures,
    MemberFigures,
    MemberGpu,
    ModelFigures,
    RackSnapshot,
    RecordFigures,
)
from agent.measure.reading import Moment
from agent.measure.service import LatencyFigures, ServiceFigures
from agent.measure.validity import Flag, Invalid, Validity
from agent.web.access import OPEN, Access
from agent.web.guard import ENDLESS, Guard
from agent.web.routes import application
from agent.wire import incident_codec, rack_codec
from exporters import dcgm_names, prometheus

DESCRIPTION = yaml.safe_load(resources.files("agent.web").joinpath("openapi.yaml").read_text())
OPERATIONS = {(method.upper(), path) for path, item in DESCRIPTION["paths"].items() for method in item}


class Nobody:
    """An agent without a snapshot, whose routes are looked at."""

    snapshot = None
    ready = False
    renderers = (prometheus.build(prometheus.Settings()), dcgm_names.build(dcgm_names.Settings()))


def served():
    """Method and path of every route of the application; HEAD comes with GET by itself."""
    routes = application(Nobody(), Guard(Access(OPEN))).router.routes()
    found = {(route.method, route.resource.canonical) for route in routes if route.method != "HEAD"}
    return {(method, re.sub("^/page/.*", "/page/{name}", path)) for method, path in found}


@pytest.mark.parametrize(("method", "path"), sorted(served()))
def test_every_route_is_described(method, path):
    assert (method, path) in OPERATIONS


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_every_described_operation_is_served(method, path):
    assert (method, path) in served()


def test_every_endless_answer_is_described():
    assert {("GET", path) for path in ENDLESS} <= OPERATIONS


def test_the_description_is_where_people_look_for_it():
    page = Path(rack_codec.__file__).parents[2] / "docs" / "openapi.yaml"

    assert yaml.safe_load(page.read_text()) == DESCRIPTION


# The running daemon


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """A tray with a lost GPU, an engine that serves and one that is not there."""
    folder = tmp_path_factory.mktemp("openapi")
    with FakeDriver(folder, preset="gb300") as driver, TruthEngine(output=constant(500)) as engine:
        targets = [
            {"url": f"{engine.url}/metrics"},
            {"url": f"http://127.0.0.1:{free_port()}/metrics", "engine": "vllm"},
        ]
        fast = {"interval": "200ms", "timeout": "1s"}
        collectors = {"nvml": fast, "engines": {**fast, "targets": targets}}
        exporters = {"prometheus": {}, "dcgm_names": {}}
        settings = {"window": "2s", "collectors": collectors, "exporters": exporters}
        with RunningAgent(folder / "agent", settings, env=driver.env) as running:
            driver.lose(2)
            running.wait_for(lambda node: node["tokens_per_second"] and node["gpus"][2]["state"] != "ok", 30)
            yield running


API = schemathesis.openapi.from_dict(DESCRIPTION).exclude(path=sorted(ENDLESS))


@API.parametrize()
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_whatever_is_asked_is_answered_as_described(agent, case):
    case.call_and_validate(base_url=agent.url)


def test_the_daemon_serves_its_description(agent):
    status, body = http_get(f"{agent.url}/api/v1/openapi.yaml")

    assert status == 200
    assert yaml.safe_load(body) == DESCRIPTION


def validator(name):
    """What a schema of the description asks for."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}
    )


def wrong(name, value):
    return [f"{error.instance_path}: {error.message}" for error in validator(name).iter_errors(value)]


def test_a_node_with_everything_is_as_described(agent):
    node = agent.node()

    assert wrong("NodeSnapshot", node) == []
    assert {gpu["state"] for gpu in node["gpus"]} >= {"ok", "lost"}
    assert {engine["up"] for engine in node["engines"]} == {True, False}


SERVICE = ServiceFigures(
    model="llama",
    window_seconds=60.0,
    latencies=(LatencyFigures(Latency.FIRST_TOKEN, 40.0, 0.1, {0.5: 0.1, 0.99: 0.4}, 0.9),),
    goodput_ratio=(0.5, 0.9),
    goodput_requests_per_second=(0.25, 0.5),
    cached_prompt_ratio=0.25,
)
LIMITER = Limiter(
    Limit.POWER_LIMIT,
    0.99,
    (LimitEvidence("gpu_power_watts", 1, 1390.0, 1400.0, "GPU 1 at the power limit"),),
)
RACK = RackSnapshot(
    sequence=7,
    at=Moment(1.0, 1_760_000_000.0),
    rack="r12",
    of_one=False,
    window_seconds=10.0,
    tokens_per_second={"output": 5.0},
    tokens_total={"output": 9.0, "prompt": 1.0},
    backfilled_tokens_total={"output": 0.0},
    power_watts={"gpu": 100.0},
    power_sources={"gpu": "nvml"},
    energy_joules_total={"gpu": 1e6},
    tokens_per_joule={("output", "gpu"): 0.05},
    coverage=0.5,
    validity=(
        Validity(RATE, 10.0, frozenset({Invalid.MEMBER_MISSING}), frozenset({Flag.ON_FINISH}), 0.01),
        Validity(f"{EFFICIENCY}_gpu", 10.0),
    ),
    nodes_expected=2,
    nodes_reporting=1,
    missing=("tray-02",),
    drained=("tray-03",),
    gpus_expected=8,
    gpus_reporting=4,
    models=(
        ModelFigures(
            "llama", {"output": 5.0}, {"output": 9.0}, {("output", "gpu"): 0.05}, 1, 3.0, None, SERVICE
        ),
        ModelFigures("qwen", {}, {"output": 9.0}, {}, 0),
    ),
    deployments=(
        DeploymentFigures("chat", "llama", power_watts={"gpu": 100.0}, service=SERVICE, limiter=LIMITER),
        DeploymentFigures("batch", "qwen", reasons=frozenset({Invalid.UNATTRIBUTED}), limiter=UNDECIDED),
    ),
    members=(
        MemberFigures(
            "tray-01",
            "http://tray-01:9744",
            up=True,
            age_seconds=0.5,
            coverage=1.0,
            state="serving",
            models=("llama",),
            tokens_per_second={"output": 5.0},
            power_watts={"gpu": 100.0},
            tokens_per_joule={("output", "gpu"): 0.05},
            rate_to_median_ratio=1.0,
            gpus=(
                MemberGpu(0, "GPU-0", True, 100.0, 1400.0, 50.0, 0.5, 1.9e9, ("sw_power_cap",), 1.0),
                MemberGpu(1, "GPU-1", False),
            ),
            version="0.1.0",
        ),
        MemberFigures("tray-02", "http://tray-02:9744", up=False, why="unreachable: refused"),
    ),
    record=RecordFigures("azure", "MLPerf v5.1", 1_100_948.3, None, ("unverified",)),
    incidents=(power_capped(started=1_759_999_990.0), engine_down(ended=1_759_999_900.0)),
)


def test_a_rack_with_everything_is_as_described():
    assert wrong("Rack", json.loads(rack_codec.to_json(RACK))) == []


def test_incidents_are_as_described():
    told = json.loads(incident_codec.to_json((power_capped(), engine_down(), not_reporting(), unexplained())))

    assert wrong("Incidents", told) == []


@pytest.mark.parametrize(
    ("schema", "words"),
    [("scope", {"node", "rack"}), ("kind", set(Kind)), ("cause", set(Cause)), ("severity", set(Severity))],
)
def test_every_word_of_an_incident_is_described(schema, words):
    assert set(DESCRIPTION["components"]["schemas"]["Incident"]["properties"][schema]["enum"]) == words


def objects_in(value, path=()):
    """Every object of a JSON value whose keys are fixed, with its place."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            yield from objects_in(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from objects_in(inner, (*path, number))


FREE = {"tokens_per_second", "tokens_total", "backfilled_tokens_total", "power_watts", "power_sources"}
FREE |= {"energy_joules_total", "tokens_per_joule", "figures", "latency_seconds", "power_coverage"}
"""Objects whose keys are kinds, boundaries, figures or latencies."""
PLAIN_RACK = json.loads(rack_codec.to_json(RACK))
FIXED = [path for path in objects_in(PLAIN_RACK) if FREE.isdisjoint(path)]


@pytest.mark.parametrize("path", FIXED, ids=lambda path: ".".join(map(str, path)) or "rack")
def test_no_key_of_a_rack_may_be_missing_or_more(path):
    for change in ("missing", "more"):
        rack = copy.deepcopy(PLAIN_RACK)
        target = rack
        for part in path:
            target = target[part]
        if change == "more":
            target["surprise"] = 1
        else:
            target.pop(min(target))

        assert wrong("Rack", rack) != []
