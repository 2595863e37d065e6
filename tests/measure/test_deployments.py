"""Deployments of a node: rates, joules of their own GPUs while serving and idle, and ratios (T1, T13)."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from agent.measure.attribution import Claim, Group
from agent.measure.engine import Role, TokenKind
from agent.measure.gpu import GpuProcess
from agent.measure.rows import rows_of
from agent.measure.validity import Invalid

OUTPUT = TokenKind.OUTPUT
BUSY = (GpuProcess(7, None),)
A, B = "a:8000", "b:8000"
RATES = {A: 1000.0, B: 300.0}
MODELS = {A: "llama", B: "qwen"}
OWN = {A: ("GPU-0", "GPU-1"), B: ("GPU-2",)}


class Duo:
    """Llama on GPUs 0 and 1 of 500 W each, qwen on GPU 2; both superchips measure their module."""

    def __init__(self, bench, make_page, make_gpu):
        self.bench, self.page, self.gpu = bench, make_page, make_gpu
        self.boards = ("m0", "m0", "m1")

    def second(self, seconds, gpus=OWN, engines=(A, B), **fields):
        self.bench.take_gpus(
            *(
                self.gpu(
                    seconds,
                    500.0 * seconds,
                    500.0,
                    number=number,
                    serial=self.boards[number],
                    module_watts=1200.0,
                    processes=BUSY,
                )
                for number in range(3)
            )
        )
        for instance in engines:
            told = {"model": MODELS[instance], "running": 1.0, "waiting": 0.0, **fields}
            held = gpus.get(instance)
            page = self.page(seconds, RATES[instance] * seconds, instance=instance, gpus=held, **told)
            self.bench.take_page(page)
        return self.bench.snapshot(seconds)

    def run(self, end, start=0, **fields):
        return [self.second(float(second), **fields) for second in range(start, end)][-1]


@pytest.fixture
def duo(new_bench, page, gpu):
    return Duo(new_bench(engines=(A, B)), page, gpu)


def deployment(snapshot, name):
    return next(each for each in snapshot.deployments if each.deployment == name)


def test_two_deployments_have_rates_power_and_ratios_of_their_own_gpus(duo):
    snapshot = duo.run(16)
    llama, qwen = deployment(snapshot, "llama"), deployment(snapshot, "qwen")

    assert (llama.tokens_per_second, llama.gpu_numbers, llama.gpus) == ({OUTPUT: 1000.0}, (0, 1), 2)
    assert llama.power_watts == {"gpu": 1000.0, "module": 1200.0}
    assert llama.tokens_per_joule == {(OUTPUT, "gpu"): 1.0, (OUTPUT, "module"): 1000.0 / 1200.0}
    assert qwen.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(0.6)
    assert (llama.running, llama.waiting) == (1.0, 0.0)
    assert snapshot.claims == dict.fromkeys(range(3), Claim.ATTRIBUTED)


def test_models_beside_each_other_have_the_ratios_of_their_deployments(duo):
    ratios = {model.model: model.tokens_per_joule[OUTPUT, "gpu"] for model in duo.run(16).models}

    assert ratios == {"llama": 1.0, "qwen": pytest.approx(0.6)}


def test_t1_joules_are_booked_from_the_second_reading_of_the_same_holder_on(duo):
    energy = deployment(duo.run(11), "llama").energy_joules_total

    assert energy["gpu", "serving"] == 9000.0  # 0: nobody's; 1: first seen held; 2 to 10: its own
    assert (energy["gpu", "idle"], energy["gpu", "unknown"]) == (0.0, 0.0)
    assert energy["module", "serving"] == pytest.approx(9 * 1200.0)


def test_energy_of_models_is_that_of_gpus_that_worked_for_nothing_else(duo):
    assert duo.run(11).model_energy == {
        ("llama", "gpu"): 9000.0,
        ("llama", "module"): pytest.approx(10_800.0),
        ("qwen", "gpu"): 4500.0,
        ("qwen", "module"): pytest.approx(10_800.0),
    }


def test_t4_joules_of_an_idle_deployment_stand_apart(duo):
    duo.run(6)
    for second in range(6, 11):
        RATES[A], kept = 0.0, RATES[A]
        duo.second(float(second), running=0.0, engines=())
        duo.bench.take_page(
            duo.page(float(second), 5000.0, instance=A, model="llama", gpus=OWN[A], running=0.0)
        )
        RATES[A] = kept
    energy = deployment(duo.bench.snapshot(10.0), "llama").energy_joules_total

    # the page of second 5 still showed growth when the GPUs were read at 6, and that of 6 none
    assert (energy["gpu", "serving"], energy["gpu", "idle"]) == (5000.0, 4000.0)


def test_t4_joules_while_an_engine_does_not_answer_are_of_an_unknown_state(duo):
    duo.run(6)
    duo.bench.miss(f"engines/{A}")
    for second in range(6, 9):
        duo.second(float(second), engines=(B,))
    energy = deployment(duo.bench.snapshot(8.0), "llama").energy_joules_total

    assert (energy["gpu", "serving"], energy["gpu", "unknown"]) == (4000.0, 3000.0)


def test_a_shared_gpu_gives_its_joules_to_neither_and_says_so(duo):
    snapshot = duo.run(16, gpus={A: ("GPU-0",), B: ("GPU-0",)})

    assert [each.tokens_per_joule for each in snapshot.deployments] == [{}, {}]
    assert [each.reasons for each in snapshot.deployments] == [{Invalid.UNATTRIBUTED}] * 2
    assert [each.energy_joules_total for each in snapshot.deployments] == [{}, {}]
    assert snapshot.claims == {0: Claim.SHARED, 1: Claim.UNATTRIBUTED, 2: Claim.UNATTRIBUTED}
    assert [each.tokens_per_second[OUTPUT] for each in snapshot.deployments] == [1000.0, 300.0]


def test_deployments_whose_gpus_are_not_known_have_rates_only(duo):
    snapshot = duo.run(16, gpus={})

    assert [each.tokens_per_joule for each in snapshot.deployments] == [{}, {}]
    assert [each.power_watts for each in snapshot.deployments] == [{}, {}]


def test_a_module_of_two_deployments_is_neithers(duo):
    duo.boards = ("m0", "m1", "m1")
    snapshot = duo.run(16)

    assert set(deployment(snapshot, "llama").tokens_per_joule) == {(OUTPUT, "gpu")}
    assert {boundary for _, boundary in snapshot.model_energy} == {"gpu"}


def test_t24_a_deployment_that_spans_nodes_has_no_ratio_here(duo):
    snapshot = duo.run(16, spans_nodes=True)

    assert deployment(snapshot, "llama").reasons == {Invalid.SPANS_NODES}
    assert deployment(snapshot, "llama").tokens_per_joule == {}


def test_t3_a_deployment_has_no_ratio_until_it_had_its_gpus_for_a_window(duo):
    duo.run(16)
    moved = {A: ("GPU-0",), B: ("GPU-1", "GPU-2")}
    early, late = duo.run(26, start=16, gpus=moved), duo.run(40, start=26, gpus=moved)

    assert (deployment(early, "llama").tokens_per_joule, early.models[0].tokens_per_joule) == ({}, {})
    assert deployment(late, "llama").tokens_per_joule[OUTPUT, "gpu"] == 2.0


def test_a_pair_is_one_deployment(duo):
    roles = {"P": Role.PREFILL, "D": Role.DECODE}
    for second in range(16):
        for instance, role in zip((A, B), roles.values(), strict=True):
            duo.second(float(second), engines=())
            page = duo.page(float(second), 100.0 * second, instance=instance, role=role, gpus=OWN[instance])
            duo.bench.take_page(page)
    snapshot = duo.bench.snapshot(15.0)

    assert [each.deployment for each in snapshot.deployments] == ["llama"]
    assert snapshot.deployments[0].whole
    assert snapshot.deployments[0].tokens_per_joule == snapshot.tokens_per_joule
    assert snapshot.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(100.0 / 1500.0)


def test_t1_energy_of_a_deployment_survives_a_restart_and_outlives_it(duo):
    duo.run(11)
    duo.bench = duo.bench.restart()
    duo.bench.engines = (B,)
    duo.bench.node.expect(["nvml", f"engines/{B}"])
    snapshot = duo.run(14, start=11, engines=(B,))

    assert deployment(snapshot, "llama").energy_joules_total["gpu", "serving"] == 9000.0
    assert deployment(snapshot, "llama").nodes == 0
    # what was used while rackwatt was away is nobody's: it is not known who held the GPU then
    assert deployment(snapshot, "qwen").energy_joules_total["gpu", "serving"] == 4500.0 + 500.0


def finishing(duo, seconds, ended, engines=(A,), **fields):
    """A page of each engine that has ended so many requests well, and failed one in ten."""
    for instance in engines:
        page = duo.page(seconds, 100.0 * seconds, instance=instance, gpus=OWN[instance], **fields)
        done = replace(page.demand, succeeded=ended, failed=ended / 10.0)
        duo.bench.take_page(replace(page, demand=done))


def test_requests_of_a_deployment_are_those_of_its_instances(duo):
    snapshot = duo.run(3)
    qwen = deployment(snapshot, "qwen")

    assert (qwen.running, qwen.waiting) == (1.0, 0.0)
    assert {row.labels: row.value for row in rows_of(snapshot) if row.metric == "deployment_requests"} == {
        ("llama", "llama", "running"): 1.0,
        ("llama", "llama", "waiting"): 0.0,
        ("qwen", "qwen", "running"): 1.0,
        ("qwen", "qwen", "waiting"): 0.0,
    }


def test_the_cache_of_a_deployment_is_as_full_as_that_of_its_fullest_instance(duo):
    for instance, fill in ((A, 0.25), (B, 0.75)):
        page = duo.page(0.0, 0.0, instance=instance, gpus=OWN[instance], kv_cache_usage_ratio=fill)
        duo.bench.take_page(page)

    assert deployment(duo.bench.snapshot(0.0), "llama").kv_cache_usage_ratio == 0.75


def test_t1_requests_that_ended_are_counted_from_when_their_engine_was_first_seen(duo):
    for second, ended in enumerate((50.0, 60.0, 80.0)):
        finishing(duo, float(second), ended)
    snapshot = duo.bench.snapshot(2.0)

    assert deployment(snapshot, "llama").requests_finished_total == {"succeeded": 30.0, "failed": 3.0}


def test_t4_an_outcome_that_has_not_happened_is_zero_and_one_that_nobody_tells_is_absent(duo):
    finishing(duo, 0.0, 50.0)

    assert deployment(duo.bench.snapshot(0.0), "llama").requests_finished_total == {
        "succeeded": 0.0,
        "failed": 0.0,
    }


def test_t1_requests_of_a_deployment_do_not_fall_when_an_instance_leaves_or_rackwatt_restarts(duo):
    for second, ended in enumerate((0.0, 40.0)):
        finishing(duo, float(second), ended, engines=(A, B))
    duo.bench = duo.bench.restart()
    duo.bench.node.expect(["nvml", f"engines/{A}"])
    finishing(duo, 2.0, 50.0)

    assert deployment(duo.bench.snapshot(2.0), "llama").requests_finished_total["succeeded"] == 90.0


def test_t13_a_request_of_a_pair_ended_well_once_and_failed_where_it_failed(duo):
    for second, ended in enumerate((0.0, 40.0)):
        finishing(duo, float(second), ended, engines=(A,), role=Role.PREFILL)
        finishing(duo, float(second), ended, engines=(B,), role=Role.DECODE)
    told = deployment(duo.bench.snapshot(1.0), "llama").requests_finished_total

    assert told == {"succeeded": 40.0, "failed": 8.0}


def test_requests_of_further_deployments_are_counted_together(duo, monkeypatch):
    monkeypatch.setattr("agent.measure.deployment_work.MAX_GROUPS", 0)
    for second, ended in enumerate((0.0, 40.0)):
        finishing(duo, float(second), ended)
    snapshot = duo.bench.snapshot(1.0)

    assert deployment(snapshot, "other").requests_finished_total["succeeded"] == 40.0


HELD = st.sampled_from([None, (), ("GPU-0",), ("GPU-0", "GPU-1"), ("GPU-1", "GPU-2"), ("GPU-2",)])
STEP = st.tuples(st.floats(0.2, 20.0), HELD, HELD, st.booleans(), st.booleans(), st.booleans())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=15))
def test_t1_no_energy_falls_and_deployments_never_have_more_than_their_gpus(new_bench, page, gpu, story):
    duo, seconds = Duo(new_bench(engines=(A, B)), page, gpu), 0.0
    last = {}
    for elapsed, first, second, both, missed, restarted in story:
        seconds += elapsed
        duo.bench = duo.bench.restart() if restarted else duo.bench
        if missed:
            duo.bench.miss(f"engines/{A}")
        snapshot = duo.second(seconds, gpus={A: first, B: second}, engines=(A, B) if both else (B,))
        told = {
            (each.deployment, *key): joules
            for each in snapshot.deployments
            for key, joules in each.energy_joules_total.items()
        }
        for boundary in snapshot.boundaries:
            mine = [joules for (_, at, _), joules in told.items() if at == boundary.boundary]
            of_models = [j for (_, at), j in snapshot.model_energy.items() if at == boundary.boundary]

            assert sum(mine) <= boundary.energy_joules_total + 1e-6
            assert sum(of_models) <= sum(mine) + 1e-6
        assert all(told.get(key, 0.0) >= joules for key, joules in last.items())
        last = told


def test_groups_are_bounded(duo, monkeypatch):
    monkeypatch.setattr("agent.measure.deployment_books.MAX_GROUPS", 1)
    snapshot = duo.run(11)

    assert sorted(duo.bench.node._deployments.energy) == [Group("llama", "llama"), Group("other", "other")]
    assert sum(joules for (_, at), joules in snapshot.model_energy.items() if at == "gpu") == 13_500.0
