"""What is remembered is bounded, whatever names an engine invents, and reckoned in one pass."""

import json
import time

import pytest

from agent.measure import engine_tokens
from agent.measure.engine_tokens import MAX_MODELS, MAX_SERIES_PER_INSTANCE, OTHER
from agent.measure.ledger import Ledger
from agent.measure.reading import Moment
from agent.measure.validity import Invalid

DAY_SECONDS = 86400.0
WEEK_SECONDS, MONTH_SECONDS = 7 * DAY_SECONDS, 30 * DAY_SECONDS
START = "start:1759999000"


@pytest.fixture
def models(token_counter):
    """One output series for each of some models."""

    def make(value, names):
        return [token_counter(f"generated-{name}", value, model=name) for name in names]

    return make


@pytest.fixture
def few_series(monkeypatch):
    """Books that remember three series."""
    monkeypatch.setattr(engine_tokens, "MAX_SERIES_PER_INSTANCE", 3)


def names_of(count, first=0):
    return [f"lora-{n}" for n in range(first, first + count)]


def kept_raws(bench):
    return {key.rpartition("-")[2] for key in bench.node.dump()["counters"] if "/raw/" in key}


def kept_keys(bench, part):
    return [key for key in bench.node.dump()["counters"] if part in key]


def seconds_of_a_tick(bench, page, models, count):
    """The least time that one page of so many series and one snapshot take."""
    names, least = names_of(count), float("inf")
    for second in range(5):
        reading = page(float(second), None, more=models(10.0 * second, names))
        began = time.perf_counter()
        bench.take_page(reading)
        bench.snapshot(float(second))
        least = min(least, time.perf_counter() - began)
    return least


def test_eight_times_the_series_take_about_eight_times_as_long(new_bench, page, models):
    few = seconds_of_a_tick(new_bench(), page, models, 500)
    many = seconds_of_a_tick(new_bench(), page, models, 4000)

    assert many < 30 * few


def test_figures_of_many_models_are_those_of_each(bench, page, models):
    names = names_of(200)
    bench.take_page(page(0.0, None, more=models(10.0, names)))
    bench.take_page(page(1.0, None, more=models(15.0, names)))
    tokens = bench.snapshot(1.0).engines[0].tokens

    assert [(each.model, each.total) for each in tokens] == [(name, 5.0) for name in sorted(names)]


def test_models_beyond_the_limit_are_counted_as_other(bench, page, models, total):
    names = names_of(MAX_MODELS + 50)
    bench.take_page(page(0.0, None, more=models(10.0, names)))
    bench.take_page(page(1.0, None, more=models(13.0, names)))
    snapshot = bench.snapshot(1.0)

    assert (total(snapshot, model=OTHER), len(snapshot.engines[0].tokens)) == (150.0, MAX_MODELS + 1)


def test_models_that_come_and_go_lose_no_token_of_the_sum(bench, page, models):
    bench.take_page(page(0.0, None))
    for second in range(40):
        bench.take_page(page(second + 1.0, None, more=models(7.0, names_of(20, first=20 * second))))
    kept = bench.node.dump()["counters"]

    assert sum(entry[0] for key, entry in kept.items() if "/tokens/" in key) == 40 * 20 * 7.0


def test_models_that_come_and_go_leave_a_bounded_number_of_totals(bench, page, models):
    for second in range(40):
        bench.take_page(page(float(second), None, more=models(7.0, names_of(20, first=20 * second))))

    assert len(kept_keys(bench, "/tokens/")) == MAX_MODELS + 1


def test_a_model_keeps_its_name_over_a_restart_of_rackwatt(bench, page, models, total):
    names = names_of(MAX_MODELS + 5)
    bench.take_page(page(0.0, None, more=models(10.0, names)))
    bench = bench.restart()
    bench.take_page(page(1.0, None, more=models(12.0, list(reversed(names)))))
    snapshot = bench.snapshot(1.0)

    assert (total(snapshot, model="lora-0"), total(snapshot, model=OTHER)) == (2.0, 10.0)


def test_the_loss_of_a_first_model_without_a_name_of_its_own_is_told_under_other(bench, page, models):
    names = names_of(MAX_MODELS + 1)
    last = names[-1]
    bench.take_page(page(0.0, None, model=last, more=models(10.0, names)))
    bench.take_page(page(1.0, None, model=last, more=models(30.0, names)))
    bench.take_page(page(9.0, None, model=last, more=models(1.0, names), epoch="start:1760000008"))
    told = {each.model for each in bench.snapshot(9.0).engines[0].tokens if each.unobserved}

    assert told == {OTHER}


@pytest.mark.usefixtures("few_series")
def test_a_full_book_forgets_the_series_that_was_not_shown_for_longest(bench, page, models):
    bench.take_page(page(0.0, None, more=models(1.0, ["a", "b", "c"])))
    bench.take_page(page(1.0, None, more=models(1.0, ["a", "c"])))
    bench.take_page(page(2.0, None, more=models(1.0, ["c", "d"])))

    assert kept_raws(bench) == {"a", "c", "d"}


@pytest.mark.usefixtures("few_series")
def test_a_full_book_forgets_no_series_that_is_shown(bench, page, models, total):
    for second in range(10):
        shown = ["a", "b", f"lora{second}"]
        bench.take_page(page(float(second), None, more=models(10.0 * second, shown)))

    assert total(bench.snapshot(9.0), model="a") == 90.0


@pytest.mark.usefixtures("few_series")
def test_a_series_that_was_forgotten_is_not_counted_from_zero_when_it_returns(bench, page, models, total):
    bench.take_page(page(0.0, None, more=models(1000.0, ["a"])))
    bench.take_page(page(1.0, None, more=models(1.0, ["b", "c", "d"])))
    bench.take_page(page(2.0, None, more=models(1005.0, ["a"])))
    bench.take_page(page(3.0, None, more=models(1009.0, ["a"])))

    assert total(bench.snapshot(3.0), model="a") == 4.0


@pytest.mark.usefixtures("few_series")
def test_a_series_that_was_forgotten_is_not_counted_from_zero_after_a_restart_of_rackwatt(
    bench, page, models, total
):
    bench.take_page(page(0.0, None, more=models(1000.0, ["a"])))
    bench.take_page(page(1.0, None, more=models(1.0, ["b", "c", "d"])))
    bench = bench.restart()
    bench.take_page(page(2.0, None, more=models(1005.0, ["a"])))

    assert total(bench.snapshot(2.0), model="a") == 0.0


@pytest.mark.usefixtures("few_series")
def test_t25_a_model_never_seen_begins_at_zero_though_others_were_forgotten(bench, page, models, total):
    bench.take_page(page(0.0, None, more=models(1.0, ["a", "b", "c"])))
    bench.take_page(page(1.0, None, more=models(1.0, ["d"])))
    bench.take_page(page(2.0, None, more=models(12.0, ["e"])))

    assert total(bench.snapshot(2.0), model="e") == 12.0


@pytest.mark.usefixtures("few_series")
def test_t2_after_the_engine_restarted_a_forgotten_series_begins_at_zero(bench, page, models, total):
    bench.take_page(page(0.0, None, more=models(1000.0, ["a"])))
    bench.take_page(page(1.0, None, more=models(1.0, ["b", "c", "d"])))
    bench.take_page(page(9.0, None, more=models(1.0, ["b"]), epoch="start:1760000008"))
    bench.take_page(page(10.0, None, more=models(6.0, ["a"]), epoch="start:1760000008"))

    assert total(bench.snapshot(10.0), model="a") == 6.0


def test_a_page_of_more_series_than_can_be_remembered_is_not_believed(bench, page, models):
    bench.take_page(page(0.0, None, more=models(1.0, names_of(MAX_SERIES_PER_INSTANCE + 1))))
    snapshot = bench.snapshot(0.0)

    assert (snapshot.engines[0].up, snapshot.notes) == (
        False,
        ("a:8000 shows 4097 token series, more than 4096",),
    )


def test_the_note_on_a_page_that_was_not_believed_leaves_with_the_next_that_is(bench, page, models):
    bench.take_page(page(0.0, None, more=models(1.0, names_of(MAX_SERIES_PER_INSTANCE + 1))))
    bench.take_page(page(1.0, 10.0))

    assert bench.snapshot(1.0).notes == ()


def test_a_series_not_shown_for_a_week_is_forgotten_when_totals_are_kept(bench, page, models):
    bench.take_page(page(0.0, None, more=models(1.0, ["a", "b"])))
    bench.take_page(page(WEEK_SECONDS, None, more=models(1.0, ["a"])))

    assert kept_raws(bench) == {"a"}


def test_a_series_not_shown_for_less_than_a_week_is_kept(bench, page, models):
    bench.take_page(page(0.0, None, more=models(1.0, ["a", "b"])))
    bench.take_page(page(WEEK_SECONDS - 1, None, more=models(1.0, ["a"])))

    assert kept_raws(bench) == {"a", "b"}


@pytest.mark.parametrize("step", [-10 * WEEK_SECONDS, 10 * WEEK_SECONDS])
def test_a_stepped_clock_forgets_no_series(bench, page, models, moment, step):
    bench.take_page(page(0.0, None, epoch=None, more=models(1.0, ["a", "b"])))
    bench.take_page(page(1.0, None, epoch=None, more=models(1.0, ["a"]), at=moment(1.0, stepped=step)))

    assert kept_raws(bench) == {"a", "b"}


def test_the_total_of_a_series_not_shown_for_a_week_is_kept(bench, page, models):
    bench.take_page(page(0.0, None, more=models(1.0, ["a", "b"])))
    bench.take_page(page(1.0, None, more=models(5.0, ["a", "b"])))
    bench.take_page(page(WEEK_SECONDS + 1, None, more=models(5.0, ["a"])))

    assert bench.node.dump()["counters"]["engine/a%3A8000/tokens/output/b"][0] == 4.0


def test_a_series_that_returns_after_a_week_is_not_counted_from_zero(bench, page, models, total):
    bench.take_page(page(0.0, None, more=models(1000.0, ["a", "b"])))
    bench.take_page(page(WEEK_SECONDS, None, more=models(1000.0, ["a"])))
    bench.node.dump()
    bench.take_page(page(WEEK_SECONDS + 1, None, more=models(1007.0, ["a", "b"])))

    assert total(bench.snapshot(WEEK_SECONDS + 1), model="b") == 0.0


def test_t1_an_expected_engine_that_was_unreachable_for_a_month_loses_nothing(bench, gpu, page, total):
    bench.take_page(page(0.0, 1000.0))
    bench.take_gpus(gpu(2 * MONTH_SECONDS))
    bench = bench.restart()
    bench.take_page(page(2 * MONTH_SECONDS, 9000.0))

    assert total(bench.snapshot(2 * MONTH_SECONDS)) == 8000.0


def unexpected_for(bench, gpu, page, seconds):
    """An engine that made 50 tokens, was then no longer configured, and is again after so many seconds."""
    bench.take_page(page(0.0, 100.0))
    bench.take_page(page(1.0, 150.0))
    bench.node.expect(["nvml"])
    bench.take_gpus(gpu(1.0 + seconds))
    bench.node.dump()
    bench.node.dump()
    bench.node.expect(["nvml", "engines/a:8000"])
    bench.take_page(page(2.0 + seconds, 950.0))


@pytest.mark.parametrize(
    ("away_seconds", "tokens"),
    [(DAY_SECONDS, 850.0), (WEEK_SECONDS, 50.0), (MONTH_SECONDS - 1, 50.0), (MONTH_SECONDS, 0.0)],
)
def test_what_an_unexpected_engine_made_is_known_for_a_week_and_its_total_for_a_month(
    bench, gpu, page, total, away_seconds, tokens
):
    unexpected_for(bench, gpu, page, away_seconds)

    assert total(bench.snapshot(2.0 + away_seconds)) == tokens


def test_a_series_that_returns_late_to_an_engine_that_was_unexpected_is_not_counted_from_zero(
    bench, gpu, page, models, total
):
    bench.take_page(page(0.0, None, more=models(1000.0, ["a", "b"])))
    bench.node.expect(["nvml"])
    bench.take_gpus(gpu(WEEK_SECONDS))
    bench.node.dump()
    bench.node.expect(["nvml", "engines/a:8000"])
    bench.take_page(page(WEEK_SECONDS, None, more=models(1000.0, ["a"])))
    bench.take_page(page(WEEK_SECONDS + 1, None, more=models(1000.0, ["a", "b"])))

    assert total(bench.snapshot(WEEK_SECONDS + 1), model="b") == 0.0


def test_nothing_is_left_of_an_engine_that_nobody_expects_for_a_month(bench, gpu, page):
    bench.take_page(page(0.0, 100.0))
    bench.node.expect(["nvml"])
    bench.take_gpus(gpu(MONTH_SECONDS))
    kept = bench.node.dump()

    assert ([key for key in kept["counters"] if key.startswith("engine/")], kept["engines"]) == ([], {})


def test_an_engine_that_never_answered_leaves_no_name_behind(bench):
    bench.node.expect(["nvml"])

    assert bench.node.dump()["engines"] == {}


def test_a_file_of_a_newer_version_is_taken_as_far_as_it_is_understood(bench, page, total, new_bench):
    bench.take_page(page(0.0, 100.0))
    kept = bench.node.dump()
    entry = [1.0, 1.0, None, 1_760_000_000.0, 0]
    news = ("tokens/reasoning/m", "tokens/output", "tokens/output/m/x", "raw/reasoning/s", "news", "news/a/b")
    kept["counters"] |= {f"engine/a%3A8000/{what}": entry for what in news}
    kept["counters"]["gpu/GPU-0/xid/none"] = entry
    bench = new_bench(kept=json.dumps(kept))
    bench.take_page(page(1.0, 130.0))

    assert total(bench.snapshot(1.0)) == 30.0


def test_what_a_newer_version_kept_of_an_engine_is_kept_for_it(bench, page, new_bench):
    kept = bench.node.dump()
    kept["counters"]["engine/a%3A8000/tokens/reasoning/m"] = [7.0, 0.0, None, 1_760_000_000.0, 0]
    bench = new_bench(kept=json.dumps(kept))
    bench.take_page(page(1.0, 130.0))

    assert bench.node.dump()["counters"]["engine/a%3A8000/tokens/reasoning/m"][0] == 7.0


def test_a_gpu_event_that_a_newer_version_kept_under_a_name_is_not_told(bench, gpu, new_bench):
    kept = bench.node.dump()
    kept["counters"]["gpu/GPU-0/xid/contained"] = [7.0, 0.0, None, 1_760_000_000.0, 0]
    bench = new_bench(kept=json.dumps(kept))
    bench.take_gpus(gpu(0.0))

    assert 79 in bench.snapshot(0.0).gpus[0].xid_errors_total


def test_t11_two_huge_amounts_are_no_total():
    ledger, at = Ledger(), Moment(0.0, 0.0)
    ledger.add("k", 1e308, at)

    with pytest.raises(ValueError, match="not a total: inf"):
        ledger.add("k", 1e308, at)
    assert ledger.total("k") == 1e308


def test_t11_a_huge_counter_that_restarts_makes_no_infinite_total():
    ledger, at = Ledger(), Moment(0.0, 0.0)
    ledger.observe("k", 1e308, at, "boot:1", from_zero=True)

    with pytest.raises(ValueError, match="not a total: inf"):
        ledger.observe("k", 1e308, at, "boot:2")
    assert ledger.total("k") == 1e308


@pytest.mark.parametrize("cadence", [60.0, 90.0])
def test_t3_a_source_that_slows_down_fills_its_window_in_three_of_its_ticks(bench, page, gpu, cadence):
    for second in range(200):
        bench.serve(float(second))
    for second in range(200, 200 + int(6 * cadence)):
        bench.take_gpus(gpu(float(second), 10_000 + 500.0 * second, 500.0))
        if (second - 200) % cadence == 0:
            bench.take_page(page(float(second), 5000.0 + 1000.0 * second), cadence=cadence)
        bench.snapshot(float(second))
    snapshot = bench.snapshot(199.0 + 6 * cadence)

    assert snapshot.tokens_per_joule == {("output", "gpu"): 2.0}


def test_t3_a_gpu_source_reloaded_to_a_slow_interval_has_a_full_window_again(new_bench, page, gpu, standing):
    bench = new_bench()
    for second in range(900):
        bench.take_page(page(float(second), 1000.0 * second))
        if second % 90 == 0:
            bench.cadence = 90.0
            bench.take_gpus(gpu(float(second), 500.0 * second, 500.0))
            bench.cadence = 1.0
    told = standing(bench.snapshot(899.0), "node_tokens_per_joule_gpu")

    assert Invalid.WARMING_UP not in told.reasons


def test_t3_the_window_of_a_cadence_that_was_slow_holds_what_was_read_at_it(bench, page, standing):
    for second in (0.0, 90.0, 180.0, 270.0):
        bench.take_page(page(second, 10.0 * second), cadence=90.0)
    for second in range(271, 280):
        bench.take_page(page(float(second), 10.0 * second))

    assert standing(bench.snapshot(279.0), "node_tokens_per_second").reasons == set()
