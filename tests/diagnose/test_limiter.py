"""What bounds a deployment, from looks of known figures: each limit told, and none where nothing says so."""

from dataclasses import replace

import pytest

from agent.diagnose.baseline import Baseline, Level, place_of
from agent.diagnose.limiter import Limits, Watched, judged, looked, taken
from agent.diagnose.look import GpuLook, Look, View
from agent.diagnose.nvlink_capacity import capacity_of
from agent.measure.limiter import UNDECIDED, Limit, Limiter, LimitEvidence, NodeLimit, over_nodes
from agent.twin import scenario
from benchmarks.virtual_tray import VirtualNode

BUSY = GpuLook(
    gpu=0,
    busy=0.99,
    active={"sm": 0.9, "tensor": 0.3, "dram": 0.3},
    power=0.8,
    watts=1120.0,
    limit_watts=1400.0,
    celsius=55.0,
    reasons=frozenset(),
    link_rate=50e9,
    link_capacity=900e9,
)
LOOK = Look(0.0, running=200.0, waiting=20.0, cache=0.5, preemptions=0.0, rate=40_000.0, gpus=(BUSY,))
UNKNOWN_BASELINE = Baseline()


def on_gpu(look=LOOK, **told):
    return replace(look, gpus=(replace(BUSY, **told), replace(BUSY, gpu=1)))


def view(look, seconds=8, **rates):
    """The same look every other second; totals grow by so much a second."""
    looks = []
    for second in range(0, seconds + 1, 2):
        grown = {name: per_second * second for name, per_second in rates.items()}
        looks.append(replace(look, seconds=float(second), **grown))
    return View(tuple(looks))


def known(*levels):
    return Baseline({round(place_of(load)): Level(rate, 60.0, place_of(load)) for load, rate in levels})


def bound(look=LOOK, baseline=UNKNOWN_BASELINE, told=Limit.UNKNOWN, **rates):
    return judged(view(look, **rates), baseline, told)


def units(**active):
    return replace(LOOK, gpus=(replace(BUSY, active={"sm": 0.9, **active}),))


CASES = {
    "no requests": (replace(LOOK, running=0.0, waiting=0.0), {}, Limit.DEMAND),
    "a full cache and requests that wait": (replace(LOOK, cache=0.99), {}, Limit.KV_MEMORY),
    "requests put off for want of cache": (
        replace(LOOK, cache=0.9, waiting=0.0),
        {"preemptions": 0.5},
        Limit.KV_MEMORY,
    ),
    "a full cache that nobody waits for": (replace(LOOK, cache=0.99, waiting=0.0), {}, Limit.DEMAND),
    "memory at its bound": (units(tensor=0.3, dram=0.7), {}, Limit.MEMORY_BANDWIDTH),
    "tensor cores at their bound": (units(tensor=0.72, dram=0.4), {}, Limit.COMPUTE),
    "both, memory more": (units(tensor=0.5, dram=0.7), {}, Limit.MEMORY_BANDWIDTH),
    "links at their bound": (on_gpu(link_rate=600e9), {}, Limit.NVLINK),
    "a power cap": (on_gpu(reasons=frozenset({"sw_power_cap"})), {}, Limit.POWER_LIMIT),
    "power at its limit, reasons unknown": (on_gpu(reasons=None, power=0.99), {}, Limit.POWER_LIMIT),
    "a power brake": (on_gpu(reasons=frozenset({"hw_power_brake_slowdown"})), {}, Limit.POWER_LIMIT),
    "heat": (on_gpu(reasons=frozenset({"sw_thermal_slowdown", "sw_power_cap"})), {}, Limit.THERMAL),
    "idle GPUs though requests wait": (
        replace(LOOK, gpus=(replace(BUSY, active={"sm": 0.2, "tensor": 0.1, "dram": 0.1}),)),
        {},
        Limit.HOST,
    ),
    "idle GPUs of another age though requests wait": (
        replace(LOOK, gpus=(replace(BUSY, active={}, busy=0.3),)),
        {},
        Limit.HOST,
    ),
    "idle GPUs and no processor for the engine": (
        replace(LOOK, waiting=0.0, gpus=(replace(BUSY, active={}, busy=0.3),)),
        {"cpu_stalled": 0.6},
        Limit.HOST,
    ),
    "a few requests on idle GPUs": (
        replace(LOOK, running=2.0, waiting=0.0, gpus=(replace(BUSY, active={}, busy=0.3),)),
        {},
        Limit.DEMAND,
    ),
    "all in work and nothing at its bound": (replace(LOOK, waiting=0.0), {}, Limit.DEMAND),
    "requests wait and nothing is at its bound": (LOOK, {}, Limit.UNKNOWN),
    "requests wait and no counters are there": (
        replace(LOOK, gpus=(replace(BUSY, active={}, link_capacity=None),)),
        {},
        Limit.UNKNOWN,
    ),
    "no queue is told": (replace(LOOK, waiting=None), {}, Limit.UNKNOWN),
    "no engine is read": (replace(LOOK, running=None, waiting=None), {}, Limit.UNKNOWN),
}


@pytest.mark.parametrize(("look", "rates", "limit"), CASES.values(), ids=CASES)
def test_it_is_bound_by(look, rates, limit):
    found = bound(look, **rates)

    assert found.name is limit
    assert found.evidence[0].text


def test_what_it_has_given_at_a_higher_load_shows_that_demand_bounds_it():
    """Memory is near its bound in each step, and yet a larger batch gives more tokens."""
    look = replace(units(dram=0.7), running=50.0, waiting=0.0)

    found = bound(look, known((50.0, 12_000.0), (400.0, 40_000.0)))

    assert found.name is Limit.DEMAND
    assert found.share == pytest.approx(0.3)
    assert found.evidence == (
        LimitEvidence(
            "deployment_tokens_per_second",
            None,
            12_000.0,
            40_000.0,
            "all 50 requests are in work; more of them have made 40000 tokens/s, so many usually make 12000",
        ),
    )


def test_where_more_requests_never_gave_more_the_hardware_bounds_it():
    look = replace(units(dram=0.7), running=400.0, waiting=0.0)

    found = bound(look, known((50.0, 12_000.0), (400.0, 40_000.0)))

    assert found.name is Limit.MEMORY_BANDWIDTH
    assert found.share == pytest.approx(0.875)


def test_the_gpu_that_is_held_down_is_named():
    look = replace(LOOK, gpus=(BUSY, replace(BUSY, gpu=1, power=0.995, watts=1393.0)))
    capped = replace(look, gpus=(look.gpus[0], replace(look.gpus[1], reasons=frozenset({"sw_power_cap"}))))

    (evidence,) = bound(capped).evidence

    assert evidence.gpu == 1
    assert evidence.text == "GPU 1 at the power limit, clocks held down 100% of the time: 1393 W of 1400 W"


def test_a_cap_that_holds_for_a_part_of_the_time_only_holds_nothing_down():
    capped = on_gpu(reasons=frozenset({"sw_power_cap"}))
    looks = tuple(
        replace(capped if second == 0 else on_gpu(), seconds=float(second)) for second in range(0, 10, 2)
    )

    assert judged(View(looks), Baseline()).name is Limit.UNKNOWN


def test_links_without_hardware_counters_are_judged_by_what_they_have_counted():
    """An A100 has no GPM: its NVLink counters grow."""
    looks = tuple(
        replace(
            LOOK,
            seconds=float(second),
            gpus=(
                replace(
                    BUSY,
                    active={},
                    link_rate=None,
                    link_capacity=capacity_of("NVIDIA A100-SXM4-80GB", 12),
                    link_bytes={"tx": 200e9 * second, "rx": 10e9 * second},
                ),
            ),
        )
        for second in range(0, 10, 2)
    )

    found = judged(View(looks), Baseline())

    assert found.name is Limit.NVLINK
    assert found.evidence[0].value == pytest.approx(200e9)


def test_t16_products_are_told_apart_by_whole_words():
    assert capacity_of("NVIDIA GH200 480GB", 18) == 450e9
    assert capacity_of("NVIDIA GB300", 18) == 900e9
    assert capacity_of("NVIDIA GB3000", 18) is None
    assert capacity_of("NVIDIA GB300", None) is None


def live(*phases):
    """Lives through phases of (look, looks); returns what was told after each look."""
    watched, told, second = Watched(), [], 0.0
    for look, times in phases:
        for _ in range(times):
            watched = taken(watched, replace(look, seconds=second), Baseline())
            told.append(watched.told.name)
            second += 2.0
    return told


def test_nothing_is_told_after_one_look():
    assert live((replace(LOOK, cache=0.99), 3)) == [Limit.UNKNOWN, Limit.UNKNOWN, Limit.KV_MEMORY]


def test_another_limit_is_told_when_it_has_lasted():
    told = live((replace(LOOK, cache=0.99), 10), (replace(LOOK, cache=0.3, waiting=0.0), 10))

    assert told[2:12] == [Limit.KV_MEMORY] * 10
    assert told[-1] is Limit.DEMAND
    assert told.index(Limit.DEMAND) <= 10 + 6


def test_what_goes_to_and_fro_at_a_threshold_is_told_once():
    near, over = units(dram=0.46), units(dram=0.50)

    told = live((over, 6), *[(near, 2), (over, 2)] * 10)

    assert set(told[2:]) == {Limit.MEMORY_BANDWIDTH}


def test_a_rack_is_bound_by_what_bounds_most_of_its_nodes():
    def on(node, name, share):
        evidence = (LimitEvidence("gpu_power_watts", 1, 1390.0, 1400.0, "GPU 1 at the power limit"),)
        return NodeLimit(node, Limiter(name, share, evidence if name is Limit.POWER_LIMIT else ()))

    found = over_nodes(
        [
            on("a", Limit.POWER_LIMIT, 1.0),
            on("b", Limit.POWER_LIMIT, 0.98),
            on("c", Limit.DEMAND, None),
            NodeLimit("d", UNDECIDED),
        ]
    )

    assert found.name is Limit.POWER_LIMIT
    assert found.share == pytest.approx(0.99)
    assert [each.text for each in found.evidence] == [
        "power limit on 2 of 4 nodes: GPU 1 at the power limit",
        "demand on c",
        "unknown on d",
    ]
    assert over_nodes([]) is None


def test_a_tray_of_the_twin_is_bound_by_demand_and_then_by_its_power_limit():
    """The whole way: pages, reckoner, what is usual, looks."""
    text = "load: {level: 0.9}\nevents:\n  - {kind: power_cap, at: 30s, lasts: 60s, watts: 800}\n"
    node = VirtualNode(scenario.parse(f"seed: 3\nrack: {{trays: 1}}\n{text}", "test"))
    limits, told = Limits(), []
    for _ in node.run(50):
        baselines = {name: watch.gap.baseline for name, watch in node.memory.watches.items()}
        limits = looked(limits, node.snapshot, baselines)
        told.extend(each.name for each in limits.told.values())

    assert told[6:30] == [Limit.DEMAND] * 24
    assert told[-1] is Limit.POWER_LIMIT
