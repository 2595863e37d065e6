"""Prompts that vary: what is usual is never told, what is not is information, and nothing of it alarms."""

from dataclasses import replace

import pytest
from fakes.hand_node import HandNode

from agent.diagnose.baseline import Baseline
from agent.diagnose.case import Case
from agent.diagnose.causes import clocks, workload_shift
from agent.diagnose.sample import Rates, Sample, mix_of
from agent.diagnose.signs import EngineSigns, GpuSigns
from agent.measure.series import Point
from agent.measure.snapshot import Activity
from agent.twin import scenario
from benchmarks.quick_tray import QuickNode
from benchmarks.quiet_hours import incidents_seen

ENGINE = EngineSigns("e", up=True, gone=False, activity=Activity.SERVING, restarts=0.0)


def sample(second, output, prompt):
    return Sample(float(second), {"e": ENGINE}, {"e": Rates(output, prompt)}, (), output, 20.0, 0.0, 20.0)


def case(mix, spread, now, rate=800.0, was=lambda _: 2.0):
    """A minute at two prompt tokens for each output token, then half a minute at another."""
    return Case(
        node="n",
        since=60.0,
        before=tuple(sample(second, 1000.0, 1000.0 * was(second)) for second in range(57)),
        during=tuple(sample(second, rate, rate * now) for second in range(60, 90)),
        baseline=replace(Baseline(), mix=mix, mix_spread=spread),
        expected=1000.0,
        missing=1.0 - rate / 1000.0,
    )


@pytest.mark.parametrize(
    ("was", "now", "rate", "weight"),
    [
        (2.0, 2.58, 960.0, 0.85),
        (2.0, 2.12, 960.0, 0.75),
        (0.17, 0.22, 960.0, 0.85 * (0.2112 - 0.17) / 0.04),
        (0.17, 0.34, 700.0, 0.85 * (0.238 - 0.17) / 0.3),
        (2.0, 2.08, 960.0, None),
        (2.0, 2.20, 900.0, None),
    ],
    ids=[
        "a growth of 29 % takes 4 %",
        "one of 6 % takes most of 4 %",
        "short prompts that are a little longer take most of it",
        "and little of 30 %",
        "as many prompt tokens as before take nothing",
        "also where each is beside fewer output tokens",
    ],
)
def test_longer_prompts_take_at_most_as_many_output_tokens_as_more_of_them_are_computed(
    was, now, rate, weight
):
    told = list(workload_shift.explain(case(was, 0.01, now, rate, lambda _: was)))

    expected = [] if weight is None else [pytest.approx(min(weight, 0.85), rel=0.01)]
    assert [each.weight for each in told] == expected


def test_prompts_that_were_as_long_by_chance_in_the_minute_before_explain_nothing():
    varied = case(2.0, 0.05, 2.3, 900.0, lambda second: 2.4 if 20 <= second < 40 else 1.9)

    assert list(workload_shift.explain(varied)) == []


def test_prompts_for_each_output_token_are_a_ratio_of_sums():
    assert mix_of((sample(0, 100.0, 50.0), sample(1, 300.0, 1200.0)), 10.0) == pytest.approx(3.125)
    assert mix_of((sample(0, 100.0, 5000.0), sample(20, 100.0, 200.0)), 20.0) == 2.0
    assert mix_of((sample(0, 0.0, 10.0),), 10.0) is None


BUSY = GpuSigns(0, "ok", power_watts=900.0, limit_watts=1400.0, utilization_ratio=0.97, clock_hertz=2.0e9)
IDLE = replace(BUSY, power_watts=200.0, utilization_ratio=0.0, clock_hertz=0.3e9)


@pytest.mark.parametrize(
    ("latest", "told"),
    [((IDLE, IDLE, BUSY), 0), ((IDLE, IDLE, IDLE), 0), ((IDLE, IDLE, replace(BUSY, clock_hertz=1.4e9)), 1)],
    ids=["works again at its clock", "does nothing", "works again at a lower one"],
)
def test_the_clock_of_a_gpu_is_low_only_while_it_works(latest, told):
    """An engine was restarted within other work: meanwhile its GPU had nothing to do."""
    shift = case(2.0, 0.05, 2.6, 960.0)
    before = tuple(replace(each, gpus=(BUSY,)) for each in shift.before)
    during = tuple(replace(each, gpus=(gpu,)) for each, gpu in zip(shift.during[-3:], latest, strict=True))

    assert len(list(clocks.explain(replace(shift, before=before, during=during)))) == told


@pytest.mark.parametrize(("output", "prompt"), [(150, 1000), (600, 100)])
def test_prompts_that_grew_by_29_percent_are_told_as_what_takes_4_percent(output, prompt):
    shape = f"engines_per_tray: 2, queue: 1000000, output_tokens: {output}, prompt_tokens: {prompt}"
    shift = "{kind: prefill_shift, at: 200s, factor: 1.29}"
    text = f"rack: {{trays: 1, {shape}}}\nload: {{level: 1.2, noise: 0.02}}\nevents:\n  - {shift}\n"
    node = QuickNode(scenario.parse(text, "other work"))

    told = {(e.kind, e.cause, e.severity) for _, seen in node.run(370) for e in seen}

    assert told == {("drop", "workload_shift", "info")}


@pytest.mark.parametrize(("spread", "usual"), [(0.05, False), (0.4, True)])
def test_as_much_more_is_other_work_where_prompts_are_steady_and_usual_where_they_vary(spread, usual):
    (explanation,) = workload_shift.explain(case(2.0, spread, 4.0))

    assert explanation.usual is usual


def test_what_usually_is_as_it_is_now_is_no_other_work_though_the_last_minute_was_lighter():
    (explanation,) = workload_shift.explain(case(4.0, 0.05, 4.0))

    assert explanation.usual


@pytest.mark.parametrize(
    ("load", "seed", "seconds", "most"),
    [
        ("eight clients, long prompts", 1, 1400, 0),
        ("two clients", 1, 900, 0),
        ("more than it can", 1, 600, 0),
    ],
)
def test_what_varies_by_chance_is_never_loud_not_for_a_second_and_seldom_told(load, seed, seconds, most):
    seen = incidents_seen(load, seconds, seed)

    assert [each for each in seen if each.severity != "info"] == []
    assert len({each.id for each in seen}) <= most


class Prompts(HandNode):
    """Computes prompts for each output token as it is told."""

    mix = 2.0
    prompts = 0.0

    def signs(self):
        self.prompts += self.mix * self.rate
        self.engine = {"prompt": Point(self.booted + self.second, self.prompts), "waiting": 5.0}
        return super().signs()

    def served(self, seconds, mix, rate=1000.0):
        self.mix = mix
        return self.live(seconds, rate=rate)


def varied():
    node = Prompts()
    for _ in range(6):
        node.served(30, 1.0).served(30, 4.0)
    return node.served(60, 2.0)


def test_prompts_that_are_as_long_now_and_then_are_told_only_if_they_stay_so():
    assert varied().served(100, 6.0, rate=750.0).served(60, 2.0).told == []

    second, incident = varied().served(200, 6.0, rate=750.0).told[0]
    assert (incident.cause, second - 420 >= 145) == ("workload_shift", True)


def test_prompts_that_grow_where_they_are_steady_are_told_after_twenty_seconds():
    second, incident = Prompts().served(420, 2.0).served(60, 6.0, rate=750.0).told[0]

    assert (incident.cause, incident.severity, second - 420 <= 30) == ("workload_shift", "info", True)
