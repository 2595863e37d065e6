"""Less demand is information once it lasts, and ends; more joules for as many tokens are a warning."""

from dataclasses import replace

import pytest
from fakes.hand_node import GPU, HandNode

from agent.measure.incident import Cause, Kind, Severity
from agent.measure.series import Point

BUSY = {"running": 20.0, "waiting": 0.0}
FEW = {"running": 5.0, "waiting": 0.0}


@pytest.fixture
def node():
    return HandNode(engine=BUSY).live(300)


def shown(node):
    return [(str(each.kind), str(each.cause), each.ended is None) for each in node.incidents]


def test_clients_that_ask_for_less_are_information_once_it_lasts(node):
    node.live(240, rate=250.0, **FEW)
    second, incident = node.told[0]

    assert (incident.kind, incident.cause, incident.severity) == (Kind.DEMAND, Cause.DEMAND, Severity.INFO)
    assert 300 + 150 <= second <= 300 + 180
    assert incident.summary == (
        f"node-a: clients ask llama for less, and nothing is missing: {incident.evidence[1].text}, "
        f"{incident.evidence[0].text}"
    )
    assert incident.evidence[0].before == pytest.approx(20.0, rel=0.05)
    assert (incident.lost_tokens, shown(node)) == (0.0, [("demand", "demand", True)])


def test_it_is_over_when_they_are_back(node):
    node.live(240, rate=250.0, **FEW).live(60, rate=1000.0, **BUSY)

    assert shown(node) == [("demand", "demand", False)]


def test_it_is_the_usual_after_half_an_hour_and_not_told_again(node):
    node.live(2100, rate=250.0, **FEW)

    assert shown(node) == [("demand", "demand", False)]


@pytest.mark.parametrize(
    ("seconds", "rate", "engine"),
    [(120, 250.0, FEW), (200, 800.0, {"running": 15.0, "waiting": 0.0})],
    ids=["a moment", "a little"],
)
def test_a_moment_or_a_little_is_nothing(node, seconds, rate, engine):
    node.live(seconds, rate=rate, **engine).live(60, rate=1000.0, **BUSY)

    assert shown(node) == []


def test_as_many_requests_with_fewer_tokens_are_a_drop_and_no_demand(node):
    node.live(120, rate=250.0, **BUSY)

    assert shown(node) == [("drop", "unknown", True)]


def test_a_drop_within_less_demand_is_told_and_takes_its_place(node):
    node.live(240, rate=250.0, **FEW).live(60, rate=100.0, **FEW)

    assert shown(node) == [("drop", "unknown", True), ("demand", "demand", False)]


@pytest.fixture
def thrifty():
    gpus = tuple(replace(GPU, gpu=number, temperature_celsius=60.0) for number in range(4))
    return HandNode(gpus=gpus, engine=BUSY).live(400)


def test_a_deployment_that_takes_more_joules_for_as_many_tokens_is_told_within_three_minutes(thrifty):
    for number in range(4):
        thrifty.gpu(number, power_watts=1100.0)
    thrifty.live(240)
    second, incident = thrifty.told[0]

    assert (incident.kind, incident.cause, incident.severity) == (
        Kind.EFFICIENCY,
        Cause.UNKNOWN,
        Severity.WARNING,
    )
    assert 400 + 120 <= second <= 400 + 180
    assert incident.summary.startswith(
        "node-a: llama makes as many tokens as usual and takes more for each: a token takes 4."
    )
    assert incident.gpu is None


def test_the_gpu_that_draws_more_and_is_hotter_is_named(thrifty):
    thrifty.gpu(2, power_watts=1800.0, temperature_celsius=82.0).live(300)
    _, incident = thrifty.told[-1]

    assert (incident.cause, incident.gpu) == (Cause.THERMAL, 2)
    assert incident.evidence[1].text.startswith("GPU 2 is at 82 °C, usually at 6")


def test_it_is_over_when_a_token_takes_as_little_as_before(thrifty):
    thrifty.gpu(2, power_watts=1800.0).live(240).gpu(2, power_watts=900.0).live(120)

    assert shown(thrifty) == [("efficiency", "unknown", False)]


def test_t18_few_tokens_share_idle_power_and_are_judged_by_nobody(thrifty):
    for number in range(4):
        thrifty.gpu(number, power_watts=500.0)
    thrifty.live(600, rate=250.0, **FEW)

    assert [kind for kind, *_ in shown(thrifty)] == ["demand"]


def test_a_power_that_is_not_told_is_judged_by_nobody(thrifty):
    thrifty.gpu(2, power_watts=1800.0).gpu(1, power_watts=None).live(240)

    assert shown(thrifty) == []


class Prompted(HandNode):
    """Tells how many prompt tokens it computes for each output token."""

    mix = 1.0
    prompts = 0.0

    def signs(self):
        self.prompts += self.mix * self.rate
        self.engine = {**BUSY, "prompt": Point(self.booted + self.second, self.prompts)}
        return super().signs()


@pytest.mark.parametrize(("mix", "kinds"), [(1.0, ["efficiency"]), (2.0, [])])
def test_longer_prompts_take_more_joules_and_are_no_fault(mix, kinds):
    node = Prompted(gpus=(GPU,)).live(400)
    node.mix = mix
    node.gpu(power_watts=1.3 * GPU.power_watts).live(240)

    assert [str(each.kind) for each in node.incidents] == kinds
