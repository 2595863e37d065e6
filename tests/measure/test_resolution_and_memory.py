"""What few printed digits hide (T22), and which GPUs a node remembers over a restart."""

import pytest

from agent.measure.engine import TokenKind
from agent.measure.validity import Invalid

WEEK_SECONDS = 7 * 86400.0


def page_of_few_digits(page, seconds, value, running=1.0):
    return page(seconds, value, running=running, waiting=0.0, resolution=1000.0)


def test_t22_growth_below_the_printed_digits_is_unknown_not_zero(bench, page, standing):
    for second in range(12):
        bench.take_page(page_of_few_digits(page, float(second), 1.234e8))
    snapshot = bench.snapshot(11.0)

    assert TokenKind.OUTPUT not in snapshot.tokens_per_second
    assert standing(snapshot, "node_tokens_per_second").reasons == {Invalid.BELOW_RESOLUTION}
    assert snapshot.engines[0].tokens[0].per_second is None


def test_t22_growth_above_the_printed_digits_is_told_with_its_uncertainty(bench, page, standing):
    for second in range(12):
        bench.take_page(page_of_few_digits(page, float(second), 1.234e8 + 1000.0 * second))
    snapshot = bench.snapshot(11.0)

    assert snapshot.tokens_per_second[TokenKind.OUTPUT] == pytest.approx(1000.0)
    assert standing(snapshot, "node_tokens_per_second").uncertainty_ratio == pytest.approx(0.1)


def test_t4_t22_an_idle_engine_of_few_digits_makes_zero(bench, page):
    for second in range(12):
        bench.take_page(page_of_few_digits(page, float(second), 1.234e8, running=0.0))

    assert bench.snapshot(11.0).tokens_per_second[TokenKind.OUTPUT] == 0.0


def test_a_gpu_that_a_reboot_left_off_the_bus_is_missing_not_forgotten(bench, gpu, page, standing):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0, number=0), gpu(0.0, 1000.0, 500.0, number=1))
    bench = bench.restart(epoch="boot:2")
    for second in range(600, 612):
        bench.take_gpus(gpu(float(second), 500.0 * (second - 599), 500.0, number=0))
        bench.take_page(page(float(second), 10.0 * second))
    snapshot = bench.snapshot(611.0)

    assert [(each.gpu, each.state) for each in snapshot.gpus] == [(0, "ok"), (1, None)]
    assert standing(snapshot, "node_tokens_per_joule_gpu").reasons == {Invalid.MEMBER_MISSING}


def test_a_gpu_that_was_taken_out_a_week_ago_is_no_longer_expected(bench, gpu):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0, number=0), gpu(0.0, 1000.0, 500.0, number=1))
    bench.take_gpus(gpu(WEEK_SECONDS + 1, 2000.0, 500.0, number=0))
    bench = bench.restart()

    assert [each.gpu for each in bench.snapshot(0.0).gpus] == [0]


def test_t11_a_counter_that_is_no_number_is_refused_before_it_poisons_a_total(bench, gpu):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0))

    with pytest.raises(ValueError, match="not a total: nan"):
        bench.take_gpus(gpu(1.0, float("nan"), 500.0))
    bench.take_gpus(gpu(2.0, 2000.0, 500.0))
    assert bench.snapshot(2.0).gpus[0].energy_joules_total == 1000.0
