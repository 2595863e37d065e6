"""An engine that ends requests without counting their tokens: unknown, which is not zero (T4, T25)."""

from agent.measure.engine import TokenKind
from agent.measure.validity import Invalid


def test_t25_engine_that_counts_no_output_makes_no_figure_of_it(bench, page):
    for second in range(12):
        bench.take_page(page(float(second), None, running=1.0, counts_output=False))

    assert bench.snapshot(11.0).tokens_per_second == {}


def test_t25_figure_without_the_output_of_an_engine_says_that_a_member_is_missing(bench, page, standing):
    for second in range(12):
        bench.take_page(page(float(second), None, counts_output=False))

    reasons = standing(bench.snapshot(11.0), "node_tokens_per_second").reasons
    assert reasons == {Invalid.MEMBER_MISSING}


def test_t25_its_prompt_is_counted_all_the_same(bench, page, token_counter):
    for second in range(12):
        prompt = [token_counter("prompt", 10.0 * second, "prompt")]
        bench.take_page(page(float(second), None, more=prompt, counts_output=False))

    assert bench.snapshot(11.0).tokens_per_second == {TokenKind.PROMPT: 10.0}
