"""A node with gateways and pairs: its tokens are counted once, and no total falls (T1, T13, T24)."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from agent.measure.engine import Role, TokenKind
from agent.measure.gpu import GpuProcess
from agent.measure.reading import Reading
from agent.measure.validity import Invalid

OUTPUT, PROMPT = TokenKind.OUTPUT, TokenKind.PROMPT
BUSY = (GpuProcess(7, None),)
GW, E, P, D = "gw:8080", "e:8000", "p:8001", "d:8002"


@pytest.fixture
def serve(page, gpu, token_counter):
    """One second in which every instance of a bench makes 1,000 output and 3,000 prompt tokens."""

    def run(bench, seconds, roles, *, processes=BUSY, **fields):
        bench.take_gpus(gpu(seconds, 500.0 * seconds, 500.0, processes=processes))
        for instance, role in roles.items():
            prompts = token_counter("prompts", 3000.0 * seconds, "prompt")
            bench.take_page(
                page(
                    seconds,
                    1000.0 * seconds,
                    instance=instance,
                    more=(prompts,),
                    role=role,
                    running=2.0,
                    **fields,
                )
            )

    return run


def totals(snapshot, model="llama"):
    return next((each.tokens_total for each in snapshot.models if each.model == model), {})


def test_t13_a_gateway_and_its_engine_are_counted_once(new_bench, serve):
    bench = new_bench(engines=(GW, E))
    for second in range(12):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})
    snapshot = bench.snapshot(11.0)

    assert snapshot.tokens_per_second == {OUTPUT: 1000.0, PROMPT: 3000.0}
    assert snapshot.tokens_per_joule[OUTPUT, "gpu"] == 2.0
    assert totals(snapshot) == {OUTPUT: 11_000.0, PROMPT: 33_000.0}
    assert (snapshot.models[0].running, snapshot.models[0].tokens_per_second[OUTPUT]) == (2.0, 1000.0)


def test_what_a_gateway_shows_stays_whole_in_its_own_total(new_bench, serve, total):
    bench = new_bench(engines=(GW, E))
    for second in range(12):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})

    assert total(bench.snapshot(11.0), GW) == 11_000.0


def test_t13_a_pair_on_one_node_counts_its_output_once_and_its_prompts_once(new_bench, serve):
    bench = new_bench(engines=(P, D))
    for second in range(12):
        serve(bench, float(second), {P: Role.PREFILL, D: Role.DECODE})
    snapshot = bench.snapshot(11.0)

    assert snapshot.tokens_per_second == {OUTPUT: 1000.0, PROMPT: 3000.0}
    assert totals(snapshot) == {OUTPUT: 11_000.0, PROMPT: 33_000.0}
    assert snapshot.tokens_per_joule == {(OUTPUT, "gpu"): 2.0, (PROMPT, "gpu"): 6.0}


def test_t13_an_engine_that_begins_to_show_tokens_takes_over_from_its_gateway_without_counting_them_again(
    new_bench, serve, gpu, page
):
    bench = new_bench(engines=(GW, E))
    for second in range(6):
        serve(bench, float(second), {GW: Role.GATEWAY})
        silent = page(float(second), 0.0, instance=E, counts_output=False)
        bench.take_page(replace(silent, counters=()))
    shown = totals(bench.snapshot(5.0))
    for second in range(6, 12):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})

    assert shown == {OUTPUT: 5000.0, PROMPT: 15_000.0}
    assert 10_000.0 <= totals(bench.snapshot(11.0))[OUTPUT] <= 11_000.0


def test_t13_a_gateway_before_a_pair_counts_nothing(new_bench, serve):
    bench = new_bench(engines=(GW, P, D))
    for second in range(12):
        serve(bench, float(second), {GW: Role.GATEWAY, P: Role.PREFILL, D: Role.DECODE})

    assert totals(bench.snapshot(11.0)) == {OUTPUT: 11_000.0, PROMPT: 33_000.0}


def test_a_gateway_alone_before_gpus_that_compute_counts(new_bench, serve):
    bench = new_bench(engines=(GW,))
    for second in range(12):
        serve(bench, float(second), {GW: Role.GATEWAY})

    assert totals(bench.snapshot(11.0))[OUTPUT] == 11_000.0


def test_a_gateway_alone_without_gpus_that_compute_says_what_to_configure(new_bench, serve, standing):
    bench = new_bench(engines=(GW,))
    for second in range(12):
        serve(bench, float(second), {GW: Role.GATEWAY}, processes=())
    snapshot = bench.snapshot(11.0)

    assert (totals(snapshot), snapshot.tokens_per_second) == ({}, {})
    assert standing(snapshot, "node_tokens_per_second").reasons == {Invalid.NO_ENGINES}
    assert any("gw:8080 passes requests on" in note for note in snapshot.notes)


def test_t1_a_gateway_whose_engine_appears_later_neither_falls_nor_counts_twice(new_bench, serve):
    bench = new_bench(engines=(GW,))
    for second in range(6):
        serve(bench, float(second), {GW: Role.GATEWAY})
    bench.node.expect(["nvml", f"engines/{GW}", f"engines/{E}"])
    seen = []
    for second in range(6, 12):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})
        seen.append(totals(bench.snapshot(float(second)))[OUTPUT])

    # 5 s by the gateway; at 6 the engine's past is unknown; from there on by the engine
    assert seen == [6000.0, 7000.0, 8000.0, 9000.0, 10_000.0, 11_000.0]


def test_t1_a_gateway_that_counts_again_begins_at_its_next_page(new_bench, serve):
    bench = new_bench(engines=(GW, E))
    for second in range(6):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})
    bench.node.expect(["nvml", f"engines/{GW}"])
    for second in range(6, 9):
        serve(bench, float(second), {GW: Role.GATEWAY})

    assert totals(bench.snapshot(8.0))[OUTPUT] == 7000.0  # 5 by the engine; from 6 on by the gateway


def test_t1_a_gateway_that_counted_goes_on_after_a_restart_before_anything_else_is_known(new_bench, serve):
    bench = new_bench(engines=(GW,))
    for second in range(6):
        serve(bench, float(second), {GW: Role.GATEWAY})
    again = bench.restart()
    serve(again, 8.0, {GW: Role.GATEWAY}, processes=None)

    assert totals(again.snapshot(8.0))[OUTPUT] == 8000.0


def test_t13_a_gateway_that_answers_first_after_a_restart_waits_for_its_engine(new_bench, serve):
    bench = new_bench(engines=(GW, E))
    for second in range(6):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})
    again = bench.restart()
    serve(again, 8.0, {GW: Role.GATEWAY})
    serve(again, 9.0, {GW: Role.GATEWAY, E: Role.UNIFIED})

    assert totals(again.snapshot(9.0))[OUTPUT] == 9000.0


def test_t13_a_role_that_comes_with_the_first_series_is_in_force_for_them(new_bench, page, token_counter):
    bench = new_bench(engines=(P,))
    bench.take_page(page(0.0, instance=P))
    prompts = token_counter("prompts", 30.0, "prompt")
    bench.take_page(page(1.0, 10.0, instance=P, role=Role.PREFILL, more=(prompts,)))

    assert totals(bench.snapshot(1.0)) == {PROMPT: 30.0}


def test_t24_an_engine_that_spans_nodes_has_a_rate_and_no_ratio_here(new_bench, serve, standing):
    bench = new_bench(engines=(E,))
    for second in range(12):
        serve(bench, float(second), {E: Role.UNIFIED}, spans_nodes=True)
    snapshot = bench.snapshot(11.0)

    assert snapshot.tokens_per_second[OUTPUT] == 1000.0
    assert (snapshot.tokens_per_joule, snapshot.models[0].tokens_per_joule) == ({}, {})
    assert standing(snapshot, "node_tokens_per_joule_gpu").reasons == {Invalid.SPANS_NODES}


def test_t24_a_node_of_workers_spans_nodes_until_its_source_says_otherwise(bench, moment):
    bench.node.expect(["processes"])
    bench.node.take(Reading("processes", moment(0.0), serves_elsewhere=True), 1.0)
    told = bench.snapshot(0.0).spans_nodes
    bench.node.take(Reading("processes", moment(1.0)), 1.0)

    assert (told, bench.snapshot(1.0).spans_nodes) == (True, False)


def test_t15_a_source_that_failed_tells_of_no_workers(bench, moment):
    bench.node.expect(["processes"])
    bench.node.take(Reading("processes", moment(0.0), serves_elsewhere=True), 1.0)
    bench.miss("processes")

    assert not bench.snapshot(0.0).spans_nodes


def test_a_gpu_that_is_busy_without_a_process_hides_it(bench, gpu):
    bench.node.expect(["nvml"])
    bench.take_gpus(gpu(0.0, 0.0, 500.0, processes=(), utilization_ratio=0.9))
    busy = bench.snapshot(0.0).zeros
    bench.take_gpus(gpu(1.0, 0.0, 500.0, processes=(), utilization_ratio=0.0))

    assert (busy, bench.snapshot(1.0).zeros) == (frozenset(), frozenset(TokenKind))


def test_t1_an_engine_that_comes_back_does_not_count_again_what_its_gateway_counted(new_bench, serve):
    bench = new_bench(engines=(GW, E))
    for second in range(6):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})
    bench.node.expect(["nvml", f"engines/{GW}"])
    for second in range(6, 9):
        serve(bench, float(second), {GW: Role.GATEWAY})
    bench.node.expect(["nvml", f"engines/{GW}", f"engines/{E}"])
    for second in range(9, 12):
        serve(bench, float(second), {GW: Role.GATEWAY, E: Role.UNIFIED})

    assert totals(bench.snapshot(11.0))[OUTPUT] == 5000.0 + 2000.0 + 2000.0


@pytest.fixture
def live(new_bench, page, gpu):
    """Live through events in which gateway and engine show the same tokens; check T1 after each of them."""

    def run(story):
        bench, made, highest = new_bench(engines=(GW, E)), 0.0, 0.0
        processes = {"busy": BUSY, "free": (), "hidden": None}
        bench.take_gpus(gpu(0.0, 0.0, 500.0, processes=BUSY))
        for second, event in enumerate(story, start=1):
            made += 100.0
            if event in processes:
                bench.take_gpus(gpu(float(second), 0.0, 500.0, processes=processes[event]))
            elif event == "restart":
                bench = bench.restart()
            elif event in {"gateway", "engine"}:
                instance, role = (GW, Role.GATEWAY) if event == "gateway" else (E, Role.UNIFIED)
                bench.take_page(page(float(second), made, instance=instance, role=role))
            elif event == "silent":
                silent = page(float(second), made, instance=E, counts_output=False)
                bench.take_page(replace(silent, counters=()))
            else:
                bench.engines = (GW,) if event == "only_gateway" else (GW, E)
                bench.node.expect(["nvml", *(f"engines/{each}" for each in bench.engines)])
            told = totals(bench.snapshot(float(second))).get(OUTPUT, 0.0)

            assert highest <= told <= made, " ".join(story)
            highest = told

    return run


PAGES, OTHERS = ["gateway", "engine"], ["silent", "busy", "free", "hidden", "only_gateway", "both", "restart"]
EVENTS = st.sampled_from([*PAGES * 3, *OTHERS])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, max_size=25))
def test_t1_whatever_is_learned_no_total_falls_or_exceeds_what_was_made(live, story):
    """Who is offered, and what computes, changes at will."""
    live(story)


@pytest.mark.parametrize(
    "story",
    [
        "silent restart gateway gateway gateway engine restart",
        "engine only_gateway gateway gateway gateway free both engine",
        "engine only_gateway gateway gateway free restart both engine",
        "engine only_gateway gateway gateway restart both engine",
        "gateway gateway silent free only_gateway both engine",
    ],
)
def test_t1_what_a_gateway_counted_while_its_engine_was_silent_or_away_is_not_counted_again(live, story):
    live(story.split())
