"""Engine pages into totals (T1, T2, T4, T21, T22, T25), through the node."""

import pytest

from agent.measure.engine import TokenKind
from agent.measure.snapshot import Activity

OURS, THEIRS = "start:1759990000", "start:1759980000"


@pytest.fixture
def told(bench, page, total):
    """The output total after these pages, read a second apart."""

    def take(*pages):
        for second, (output, more) in enumerate(pages):
            bench.take_page(page(float(second), output, **more))
        return total(bench.snapshot(float(len(pages) - 1)))

    return take


def test_t1_the_total_of_an_engine_first_seen_is_zero(told):
    assert told((5000.0, {})) == 0.0


def test_t1_the_total_of_an_engine_is_what_was_seen_to_grow(told):
    assert told((5000.0, {}), (5100.0, {}), (5300.0, {})) == 300.0


def test_t2_an_engine_whose_counter_fell_restarted(told, bench):
    told((5000.0, {"epoch": None}), (70.0, {"epoch": None}))

    assert bench.snapshot(1.0).engines[0].restarts == 1.0


def test_t2_an_engine_whose_counter_fell_is_counted_from_zero(told):
    assert told((5000.0, {"epoch": None}), (70.0, {"epoch": None})) == 70.0


def test_t2_without_an_epoch_a_counter_that_fell_restarts_its_neighbours(bench, page, token_counter, total):
    def prompts(value):
        return [token_counter("prompt", value, "prompt")]

    bench.take_page(page(0.0, 5000.0, epoch=None, more=prompts(10.0)))
    bench.take_page(page(1.0, 70.0, epoch=None, more=prompts(30.0)))

    assert total(bench.snapshot(1.0), kind="prompt") == 30.0


def test_t2_a_restart_that_the_counter_hides_shows_in_the_start_time(told):
    assert told((50.0, {"epoch": "start:1759990000"}), (80.0, {"epoch": "start:1760000001"})) == 80.0


def test_t2_a_restart_is_counted_once_though_series_return_one_by_one(bench, page, token_counter):
    prompt = [token_counter("prompt", 10.0, "prompt")]
    bench.take_page(page(0.0, 50.0, epoch="start:1759990000", more=prompt))
    bench.take_page(page(10.0, 80.0, epoch="start:1760000008"))
    bench.take_page(page(11.0, 90.0, epoch="start:1760000008", more=prompt))

    assert bench.snapshot(11.0).engines[0].restarts == 1.0


def test_t2_what_the_old_process_may_have_made_unseen_is_published(bench, page):
    bench.take_page(page(0.0, 5000.0))
    bench.take_page(page(1.0, 5100.0))
    bench.take_page(page(4.0, 7.0, epoch="start:1760000002"))
    tokens = bench.snapshot(4.0).engines[0].tokens[0]

    assert tokens.unobserved == 300.0


def test_t2_what_was_unfinished_on_the_last_page_is_in_the_bound_though_pages_failed_between(bench, page):
    bench.take_page(page(0.0, 5000.0, pending_output_tokens=0.0))
    bench.take_page(page(1.0, 5000.0, pending_output_tokens=40.0))
    bench.miss("engines/a:8000")
    bench.take_page(page(2.0, 7.0, epoch="start:1760000001", pending_output_tokens=0.0))

    assert bench.snapshot(2.0).engines[0].tokens[0].unobserved == 40.0 * 1 + 40.0


def test_t2_the_bound_counts_the_time_that_the_last_page_took(bench, page):
    bench.take_page(page(0.0, 5000.0))
    bench.take_page(page(1.0, 5100.0, asked=0.5))
    bench.take_page(page(2.0, 7.0, epoch="start:1760000001"))

    assert bench.snapshot(2.0).engines[0].tokens[0].unobserved == 150.0


def test_t25_a_series_that_appears_later_began_at_zero(bench, page, total):
    bench.take_page(page(0.0, None))
    bench.take_page(page(1.0, 30.0))

    assert total(bench.snapshot(1.0)) == 30.0


def test_t25_a_new_model_label_is_counted_from_zero(bench, page, token_counter, total):
    bench.take_page(page(0.0, 5000.0))
    bench.take_page(page(1.0, 5000.0, more=[token_counter("generated-lora", 12.0, model="lora")]))

    assert total(bench.snapshot(1.0), model="lora") == 12.0


def test_t25_an_engine_without_series_yet_makes_no_tokens(bench, page):
    for second in range(12):
        bench.take_page(page(float(second), None, running=0.0))

    assert bench.snapshot(11.0).tokens_per_second == {TokenKind.OUTPUT: 0.0}


def test_a_model_whose_name_is_learned_late_does_not_make_its_tokens_new(bench, page, total):
    bench.take_page(page(0.0, 5000.0, model="unknown"))
    bench.take_page(page(1.0, 5100.0, model="llama"))

    assert total(bench.snapshot(1.0)) == 100.0


def test_a_model_whose_name_is_lost_for_a_moment_does_not_make_its_tokens_new(bench, page, total):
    bench.take_page(page(0.0, 5000.0))
    bench.take_page(page(1.0, 5100.0, model="unknown"))
    bench.take_page(page(2.0, 5250.0))

    assert total(bench.snapshot(2.0)) == 150.0


def test_totals_of_a_model_survive_a_restart_of_rackwatt(bench, page, total):
    bench.take_page(page(0.0, 5000.0, model="meta/llama 70b:fp4"))
    bench.take_page(page(1.0, 5100.0, model="meta/llama 70b:fp4"))
    bench = bench.restart()
    bench.take_page(page(9.0, 5900.0, model="meta/llama 70b:fp4"))

    assert total(bench.snapshot(9.0), model="meta/llama 70b:fp4") == 900.0


def test_two_processes_behind_one_address_never_add_up(told):
    a, b = {"epoch": OURS}, {"epoch": THEIRS}

    assert told((100.0, a), (9000.0, b), (110.0, a), (9500.0, b), (125.0, a)) == 25.0


def test_two_processes_behind_one_address_never_add_up_though_they_serve_two_models(bench, page, total):
    bench.take_page(page(0.0, 100.0, epoch=OURS))
    bench.take_page(page(1.0, 9000.0, epoch=THEIRS, model="other"))
    bench.take_page(page(2.0, 110.0, epoch=OURS))

    assert total(bench.snapshot(2.0), model="other") is None


def test_the_other_process_behind_an_address_is_not_believed(bench, page):
    bench.take_page(page(0.0, 100.0, epoch=OURS))
    bench.take_page(page(1.0, 9000.0, epoch=THEIRS))

    assert bench.snapshot(1.0).engines[0].up is False


def test_a_process_that_stays_is_believed_at_the_third_page(bench, page):
    bench.take_page(page(0.0, 100.0, epoch=OURS))
    for second in (1.0, 2.0, 3.0):
        bench.take_page(page(second, 9000.0, epoch=THEIRS))

    assert bench.snapshot(3.0).engines[0].up is True


def test_all_that_a_process_that_stays_had_made_before_is_published_as_unobserved(bench, page):
    bench.take_page(page(0.0, 100.0, epoch=OURS))
    for second in (1.0, 2.0, 3.0):
        bench.take_page(page(second, 9000.0, epoch=THEIRS))
    tokens = bench.snapshot(3.0).engines[0].tokens[0]

    assert (tokens.total, tokens.unobserved) == (0.0, 9000.0)


def test_a_page_that_took_long_changes_no_total(told):
    assert told((100.0, {}), (130.0, {}), (150.0, {"asked": 0.0})) == 50.0


def test_a_page_older_than_the_last_is_not_counted(bench, page, moment, total):
    bench.take_page(page(0.0, 100.0, epoch=None))
    bench.take_page(page(2.0, 130.0, epoch=None))
    bench.take_page(page(1.0, 110.0, epoch=None))

    assert total(bench.snapshot(2.0)) == 30.0


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_stepped_wall_clock_changes_no_total(bench, page, moment, total, step):
    bench.take_page(page(0.0, 100.0))
    bench.take_page(page(1.0, 130.0, at=moment(1.0, stepped=step)))
    bench.take_page(page(2.0, 160.0, at=moment(2.0, stepped=step)))

    assert total(bench.snapshot(2.0)) == 60.0


def test_a_restart_after_the_wall_clock_went_back_is_taken_at_the_third_page(bench, page, moment, total):
    bench.take_page(page(0.0, 100.0))
    for second, output in ((10.0, 20.0), (11.0, 30.0), (12.0, 40.0), (13.0, 50.0)):
        at = moment(second, stepped=-3600.0)
        bench.take_page(page(second, output, at=at, epoch="start:1759996408"))

    assert total(bench.snapshot(13.0)) == 10.0


def test_t4_an_engine_that_does_not_answer_is_unknown_and_not_idle(bench, page):
    bench.take_page(page(0.0, 100.0, running=0.0))
    bench.miss("engines/a:8000")
    engine = bench.snapshot(1.0).engines[0]

    assert (engine.up, engine.activity) == (False, Activity.UNKNOWN)


def test_t4_an_engine_with_nothing_to_do_is_idle(bench, page):
    bench.take_page(page(0.0, 100.0, running=0.0, waiting=0.0))

    assert bench.snapshot(0.0).engines[0].activity is Activity.IDLE


def test_t4_an_engine_with_requests_waiting_is_serving(bench, page):
    bench.take_page(page(0.0, 100.0, running=0.0, waiting=3.0))

    assert bench.snapshot(0.0).engines[0].activity is Activity.SERVING


def test_t4_an_engine_that_does_not_tell_its_requests_is_serving_while_tokens_come(bench, page):
    bench.take_page(page(0.0, 100.0))
    bench.take_page(page(1.0, 101.0))

    assert bench.snapshot(1.0).engines[0].activity is Activity.SERVING


def test_t4_an_engine_that_does_not_tell_its_requests_is_unknown_while_none_come(bench, page):
    bench.take_page(page(0.0, 100.0))
    bench.take_page(page(1.0, 100.0))

    assert bench.snapshot(1.0).engines[0].activity is Activity.UNKNOWN


def test_t4_an_engine_asleep_on_purpose_is_asleep(bench, page):
    bench.take_page(page(0.0, 100.0, running=0.0, asleep=True))

    assert bench.snapshot(0.0).engines[0].activity is Activity.ASLEEP


def test_t21_unfinished_requests_are_in_the_live_rate(bench, page):
    for second in range(11):
        bench.take_page(page(float(second), 500.0, pending_output_tokens=20.0 * second))

    assert bench.snapshot(10.0).tokens_per_second == {TokenKind.OUTPUT: 20.0}


def test_t21_unfinished_requests_are_not_in_the_total(bench, page, total):
    bench.take_page(page(0.0, 500.0, pending_output_tokens=0.0))
    bench.take_page(page(1.0, 500.0, pending_output_tokens=20.0))

    assert total(bench.snapshot(1.0)) == 0.0


def test_t21_a_request_that_finishes_is_no_burst(bench, page):
    for second in range(11):
        done = second == 10
        bench.take_page(
            page(
                float(second),
                700.0 if done else 500.0,
                pending_output_tokens=0.0 if done else 20.0 * second,
            )
        )

    assert bench.snapshot(10.0).tokens_per_second == {TokenKind.OUTPUT: 20.0}


def test_t21_an_engine_that_counts_on_finish_says_so(bench, page, standing):
    bench.take_page(page(0.0, 500.0, live=False))

    assert "on_finish" in standing(bench.snapshot(0.0), "node_tokens_per_second").flags


def test_t21_what_an_engine_that_counts_on_finish_holds_back_is_not_known(bench, page):
    bench.take_page(page(0.0, 500.0, live=False))
    bench.take_page(page(1.0, 500.0, live=False))

    assert bench.snapshot(1.0).engines[0].tokens[0].uncertainty is None


def test_t22_what_the_printed_digits_hide_is_uncertain(bench, page):
    bench.take_page(page(0.0, 1_234_560.0, resolution=10.0))
    bench.take_page(page(1.0, 1_234_560.0, resolution=10.0))

    assert bench.snapshot(1.0).engines[0].tokens[0].uncertainty == 10.0


def test_the_total_is_uncertain_by_the_steepest_rate_until_the_next_page(bench, page):
    bench.take_page(page(0.0, 100.0))
    bench.take_page(page(1.0, 150.0))

    assert bench.snapshot(1.5).engines[0].tokens[0].uncertainty == 50.0 * (0.5 + 1.0)


def test_how_uncertain_a_total_is_cannot_be_told_from_one_page(bench, page):
    bench.take_page(page(0.0, 100.0))

    assert bench.snapshot(0.0).engines[0].tokens[0].uncertainty is None


def test_t6_kinds_of_token_stay_apart(bench, page, token_counter):
    def prompts(value):
        return [token_counter("prompt", value, "prompt")]

    for second in range(11):
        bench.take_page(page(float(second), 100.0 * second, more=prompts(7000.0 * second)))

    assert bench.snapshot(10.0).tokens_per_second == {TokenKind.OUTPUT: 100.0, TokenKind.PROMPT: 7000.0}


def test_t13_the_series_of_one_instance_add_up(bench, page, token_counter, total):
    def ranks(value):
        return [token_counter(f"rank-{n}", value) for n in range(8)]

    bench.take_page(page(0.0, None, more=ranks(100.0)))
    bench.take_page(page(1.0, None, more=ranks(105.0)))

    assert total(bench.snapshot(1.0)) == 40.0


def test_t1_the_first_page_of_an_engine_is_worth_keeping_at_once_and_the_next_is_not(bench, page):
    assert bench.take_page(page(0.0, 100.0))
    assert not bench.take_page(page(1.0, 200.0))
