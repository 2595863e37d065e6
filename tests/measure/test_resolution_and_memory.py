"""What few printed digits hide (T22), and what may not enter a total (T11)."""

import pytest

from agent.measure.engine import TokenKind
from agent.measure.validity import Invalid


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


def test_t11_a_counter_that_is_no_number_is_refused_before_it_poisons_a_total(bench, gpu):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0))

    with pytest.raises(ValueError, match="not a total: nan"):
        bench.take_gpus(gpu(1.0, float("nan"), 500.0))
    bench.take_gpus(gpu(2.0, 2000.0, 500.0))
    assert bench.snapshot(2.0).gpus[0].energy_joules_total == 1000.0
