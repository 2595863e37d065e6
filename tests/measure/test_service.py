"""How models are served (latency, promises, caches), through the node and its rows."""

import math

import pytest

from agent.measure.engine import Histogram, Latency, Role
from agent.measure.node import NodeReckoner
from agent.measure.rack import RackPlan
from agent.measure.rack_of_one import rack_of_one
from agent.measure.rows import rows_of
from agent.measure.service import goodput_ratio
from agent.measure.slo import Limits, Slo
from agent.wire import codec
from agent.wire.rack_codec import to_plain

INF = math.inf
FIRST = Latency.FIRST_TOKEN
BOUNDS = (0.1, 0.2, 0.4, INF)
LLAMA = ("llama", FIRST)


def made(*counts, bounds=BOUNDS, seconds=None):
    return Histogram(bounds, tuple(float(count) for count in counts), seconds)


@pytest.fixture
def feed(bench, page):
    """A page with these histograms."""

    def take(seconds, histograms, **more):
        bench.take_page(page(float(seconds), 100.0, latencies=histograms, **more))

    return take


@pytest.fixture
def minute(bench, page):
    """Pages every five seconds for two minutes: counts rise in proportion to `counts` a second."""

    def take(*counts, key=LLAMA, **more):
        for second in range(0, 121, 5):
            told = {key: made(*[count * second for count in counts], seconds=0.25 * counts[-1] * second)}
            bench.take_page(page(float(second), 100.0, latencies=told, **more))

    return take


@pytest.fixture
def service(bench):
    """What is known of one model's service."""

    def find(seconds, model="llama"):
        services = bench.snapshot(float(seconds)).services
        return next((each for each in services if each.model == model), None)

    return find


@pytest.fixture
def rows(bench):
    """Values of one metric by labels; those of a histogram by part as well."""

    def find(seconds, metric):
        told = rows_of(bench.snapshot(float(seconds)))
        return {(*row.labels, *filter(None, [row.part])): row.value for row in told if row.metric == metric}

    return find


@pytest.fixture
def with_slo(bench):
    """A node that was promised something."""

    def make(**limits):
        bench.node = NodeReckoner("tray-07", "", 10.0, "boot:1", "run:1", slo=Slo(**limits))
        bench.node.expect([f"engines/{instance}" for instance in bench.engines])

    return make


def test_the_quantiles_speak_of_a_minute(minute, rows):
    minute(1, 3, 4, 4)

    assert rows(120, "model_latency_window_seconds") == {("llama",): 60.0}


def test_the_quantiles_of_what_was_counted_in_the_window(minute, rows):
    minute(1, 3, 4, 4)

    assert rows(120, "model_latency_quantile_seconds") == pytest.approx(
        {
            ("llama", "first_token", "50"): 0.15,
            ("llama", "first_token", "90"): 0.2 + 0.2 * 0.6,
            ("llama", "first_token", "99"): 0.2 + 0.2 * 0.96,
        }
    )


def test_t4_a_quantile_above_the_highest_bound_is_absent(minute, rows):
    minute(1, 3, 4, 5)

    assert set(rows(120, "model_latency_quantile_seconds")) == {("llama", "first_token", "50")}


def test_the_mean_of_what_was_counted_in_the_window(minute, rows):
    minute(1, 3, 4, 4)

    assert rows(120, "model_latency_mean_seconds") == {("llama", "first_token"): 0.25}


def test_durations_before_the_window_are_not_in_it(feed, service):
    for second in range(0, 121, 5):
        slow = 100.0 * min(second, 20)
        feed(second, {LLAMA: made(second, second, second, slow + second)})

    assert service(120).latencies[0].count == 60.0


def test_t3_edges_between_two_pages_are_interpolated(feed, service):
    for second in range(0, 127, 7):
        feed(second, {LLAMA: made(second, second, second, second)})

    assert service(127).latencies[0].count == pytest.approx(60.0)


def test_t3_until_there_is_a_minute_there_is_no_figure(feed, service):
    for second in range(0, 56, 5):
        feed(second, {LLAMA: made(second, second, second, second)})

    assert service(55).latencies == ()


def test_pages_without_histograms_between_change_nothing(feed, service):
    for second in range(121):
        told = {LLAMA: made(second, second, second, second)} if second % 5 == 0 else None
        feed(second, told)

    assert service(120).latencies[0].count == 60.0


def test_t15_histograms_that_were_not_read_for_long_say_nothing_of_now(minute, service, feed):
    minute(1, 3, 4, 4)
    feed(155, None)

    assert service(155).latencies == ()


def test_t3_an_edge_in_a_hole_is_no_edge(feed, service):
    for second in (*range(0, 41, 5), *range(80, 121, 5)):
        feed(second, {LLAMA: made(second, second, second, second)})

    assert service(120).latencies == ()


def test_t15_an_engine_that_does_not_answer_has_no_part_in_it(minute, service, bench):
    minute(1, 3, 4, 4)
    bench.miss("engines/a:8000")

    assert service(121).latencies == ()


def test_t2_a_restart_begins_the_counts_at_zero(minute, feed, service):
    minute(1, 3, 4, 4)
    feed(125, {LLAMA: made(0, 0, 2, 2)}, epoch="start:1760000123")

    assert service(125).latencies[0].count == pytest.approx(4.0 * 55 + 2.0)


def test_t2_a_whole_that_fell_restarted_though_no_process_tells(minute, feed, service):
    minute(1, 3, 4, 4, epoch=None)
    feed(125, {LLAMA: made(0, 0, 2, 2)}, epoch=None)

    assert service(125).latencies[0].count == pytest.approx(4.0 * 55 + 2.0)


def test_a_part_that_fell_while_the_whole_did_not_adds_nothing(minute, feed, service):
    minute(1, 3, 4, 4)
    feed(125, {LLAMA: made(2, 3, 4, 500)})

    assert service(125).latencies[0].count == pytest.approx(4.0 * 55)


def test_bounds_that_changed_begin_anew(minute, feed, service):
    minute(1, 3, 4, 4)
    feed(125, {LLAMA: made(900, 950, bounds=(0.3, INF))})

    assert service(125).latencies == ()


def test_t25_a_histogram_that_appears_later_began_at_zero(feed, rows):
    feed(0, {})
    feed(5, {LLAMA: made(1, 3, 4, 4, seconds=0.5)})

    assert rows(5, "model_time_to_first_token_seconds")["llama", "_count"] == 4.0


@pytest.fixture
def two_engines(bench, new_bench):
    """A node with two engines, whose pages come together."""
    two = new_bench(engines=("a:8000", "b:8000"))
    bench.node, bench.engines = two.node, two.engines


def test_engines_of_the_same_bounds_are_one_histogram(two_engines, minute, service):
    minute(1, 1, 1, 1)
    minute(0, 0, 3, 3, instance="b:8000")

    assert service(120).latencies[0].quantiles[0.5] == pytest.approx(0.2 + 0.2 * (2 - 1) / 3)


def test_engines_of_other_bounds_are_one_histogram_where_their_bounds_agree(two_engines, feed, service):
    for second in range(0, 121, 5):
        feed(second, {LLAMA: made(second, second, second, second)})
        other = made(0, 3 * second, 3 * second, 3 * second, bounds=(0.2, 0.4, 0.9, INF))
        feed(second, {LLAMA: other}, instance="b:8000")

    assert service(120).latencies[0].quantiles[0.5] == pytest.approx(0.2 + 0.2 * (2 - 1) / 3)


def test_engines_without_a_bound_in_common_have_no_quantile(two_engines, feed, service):
    for second in range(0, 121, 5):
        feed(second, {LLAMA: made(second, second, second, second)})
        feed(second, {LLAMA: made(second, second, bounds=(0.3, INF))}, instance="b:8000")

    assert service(120).latencies[0].quantiles == {}


def test_the_histogram_of_a_model_begins_at_zero(feed, rows):
    feed(0, {LLAMA: made(700, 800, 900, 901, seconds=77.0)})

    assert rows(0, "model_time_to_first_token_seconds") == {
        ("llama", "0.1", "_bucket"): 0.0,
        ("llama", "0.2", "_bucket"): 0.0,
        ("llama", "0.4", "_bucket"): 0.0,
        ("llama", "+Inf", "_bucket"): 0.0,
        ("llama", "_sum"): 0.0,
        ("llama", "_count"): 0.0,
    }


def test_the_histogram_of_a_model_does_not_fall_when_its_engine_restarts(feed, rows):
    feed(0, {LLAMA: made(0, 0, 0, 0, seconds=0.0)})
    feed(5, {LLAMA: made(1, 3, 4, 4, seconds=0.5)})
    feed(10, {LLAMA: made(1, 1, 1, 2, seconds=0.25)}, epoch="start:1760000008")

    assert rows(10, "model_time_to_first_token_seconds") == {
        ("llama", "0.1", "_bucket"): 2.0,
        ("llama", "0.2", "_bucket"): 4.0,
        ("llama", "0.4", "_bucket"): 5.0,
        ("llama", "+Inf", "_bucket"): 6.0,
        ("llama", "_sum"): 0.75,
        ("llama", "_count"): 6.0,
    }


def test_the_histogram_of_a_model_does_not_fall_when_its_engine_goes(feed, rows, bench):
    feed(0, {LLAMA: made(0, 0, 0, 0, seconds=0.0)})
    feed(5, {LLAMA: made(1, 3, 4, 4, seconds=0.5)})
    bench.node.expect(["nvml"])

    assert rows(6, "model_time_to_first_token_seconds")["llama", "_count"] == 4.0


def test_what_was_promised_of_a_latency_and_kept(with_slo, minute, rows):
    with_slo(first_token=0.2)
    minute(1, 3, 4, 4)

    assert rows(120, "model_slo_attained_ratio") == {("llama", "first_token"): 0.75}


def test_without_a_promise_none_was_kept(minute, rows):
    minute(1, 3, 4, 4)

    assert rows(120, "model_slo_attained_ratio") == {}


def test_a_model_may_have_its_own_promise(with_slo, minute, rows):
    with_slo(first_token=0.2, models={"llama": Limits(first_token=0.1)})
    minute(1, 3, 4, 4)

    assert rows(120, "model_slo_attained_ratio") == {("llama", "first_token"): 0.25}


def test_a_promise_that_a_model_does_not_change_stays(with_slo, minute, rows):
    with_slo(first_token=0.2, models={"llama": Limits(end_to_end=9.0)})
    minute(1, 3, 4, 4)

    assert rows(120, "model_slo_attained_ratio") == {("llama", "first_token"): 0.75}


def test_goodput_of_one_promise_is_what_was_kept(with_slo, minute, rows):
    with_slo(first_token=0.2)
    minute(1, 3, 4, 4)

    assert rows(120, "model_goodput_ratio") == {("llama", "lower"): 0.75, ("llama", "upper"): 0.75}


def test_gaps_between_tokens_are_in_no_goodput_for_they_are_not_requests(with_slo, minute, rows):
    with_slo(inter_token=0.2)
    minute(1, 3, 4, 4, key=("llama", Latency.INTER_TOKEN))

    assert rows(120, "model_goodput_ratio") == {}


def test_t4_a_promise_that_nothing_measures_leaves_goodput_unknown(with_slo, minute, rows):
    with_slo(first_token=0.2, end_to_end=9.0)
    minute(1, 3, 4, 4)

    assert rows(120, "model_goodput_ratio") == {}


def test_goodput_is_told_as_a_rate_as_well(with_slo, minute, rows):
    with_slo(first_token=0.2)
    minute(1, 3, 4, 4)

    assert rows(120, "model_goodput_requests_per_second") == {
        ("llama", "lower"): 3.0,
        ("llama", "upper"): 3.0,
    }


def test_requests_that_have_not_ended_are_in_no_rate_of_goodput(with_slo, feed, rows):
    with_slo(first_token=0.2, end_to_end=0.4)
    for second in range(0, 121, 5):
        first = made(second, 3 * second, 4 * second, 4 * second)
        ended = made(0, 0, second, 2 * second)
        feed(second, {LLAMA: first, ("llama", Latency.END_TO_END): ended})

    assert rows(120, "model_goodput_ratio") == {("llama", "lower"): 0.25, ("llama", "upper"): 0.5}
    assert rows(120, "model_goodput_requests_per_second") == {
        ("llama", "lower"): 0.5,
        ("llama", "upper"): 1.0,
    }


def test_t4_goodput_is_zero_where_no_request_came(with_slo, minute, rows):
    with_slo(first_token=0.2)
    minute(0, 0, 0, 0)

    assert rows(120, "model_goodput_ratio") == {}
    assert rows(120, "model_goodput_requests_per_second") == {
        ("llama", "lower"): 0.0,
        ("llama", "upper"): 0.0,
    }


def test_t4_goodput_is_unknown_where_a_promise_is_not_measured(with_slo, minute, rows):
    with_slo(first_token=0.2, end_to_end=9.0)
    minute(1, 3, 4, 4)

    assert rows(120, "model_goodput_requests_per_second") == {}


def test_t13_a_request_that_a_gateway_tells_of_as_well_is_one(two_engines, minute, service, rows):
    minute(1, 3, 4, 4)
    minute(0, 0, 0, 9, instance="b:8000", role=Role.GATEWAY)

    assert service(120).latencies[0].count == 240.0
    assert rows(120, "model_time_to_first_token_seconds")["llama", "_count"] == 480.0


def test_t13_of_a_pair_the_half_that_makes_the_output_tells(two_engines, minute, service):
    minute(4, 4, 4, 4, role=Role.PREFILL)
    minute(0, 0, 4, 4, instance="b:8000", role=Role.DECODE)

    assert service(120).latencies[0].quantiles[0.5] == pytest.approx(0.3)


def test_a_deployment_that_alone_serves_its_model_is_served_as_the_model_is(with_slo, minute, rows):
    with_slo(first_token=0.2)
    minute(1, 3, 4, 4)

    assert rows(120, "deployment_goodput_ratio") == {
        ("llama", "llama", "lower"): 0.75,
        ("llama", "llama", "upper"): 0.75,
    }
    assert rows(120, "deployment_latency_quantile_seconds")["llama", "llama", "first_token", "50"] == (
        pytest.approx(0.15)
    )


def test_deployments_of_one_model_have_latencies_of_their_own(two_engines, minute, rows):
    minute(4, 4, 4, 4, deployment="near")
    minute(0, 0, 4, 4, instance="b:8000", deployment="far")
    told = rows(120, "deployment_latency_quantile_seconds")

    assert told["near", "llama", "first_token", "50"] == pytest.approx(0.05)
    assert told["far", "llama", "first_token", "50"] == pytest.approx(0.3)
    assert rows(120, "model_latency_quantile_seconds")["llama", "first_token", "50"] == pytest.approx(0.1)


def test_deployments_of_one_model_have_cached_shares_of_their_own(two_engines, prompts, rows):
    prompts(10.0, deployment="near")
    prompts(30.0, instance="b:8000", deployment="far")

    assert rows(120, "deployment_cached_prompt_ratio") == {("near", "llama"): 0.25, ("far", "llama"): 0.75}


def test_a_deployment_of_several_models_has_no_latency_of_its_own(feed, token_counter, rows):
    for second in range(0, 121, 5):
        told = {LLAMA: made(second, second, second, second)}
        feed(second, told, more=[token_counter("other", second, model="qwen")])

    assert rows(120, "deployment_latency_quantile_seconds") == {}


def test_at_least_those_met_all_that_are_left_when_each_missed_one():
    assert goodput_ratio([0.75, 0.875])[0] == 0.625


def test_at_most_those_met_all_that_met_the_hardest():
    assert goodput_ratio([0.75, 0.875])[1] == 0.75


def test_more_than_all_cannot_miss():
    assert goodput_ratio([0.25, 0.5])[0] == 0.0


@pytest.fixture
def prompts(bench, page, token_counter):
    """Two minutes of an engine that reads 40 prompt tokens a second."""

    def take(cached=None, **more):
        for second in range(121):
            told = [token_counter("prompt", 40.0 * second, "prompt")]
            if cached is not None:
                told.append(token_counter("cached", cached * second, "prompt_cached"))
            bench.take_page(page(float(second), 100.0, more=told, **more))

    return take


def test_the_share_of_the_prompt_that_came_from_a_cache(prompts, rows):
    prompts(10.0)

    assert rows(120, "model_cached_prompt_ratio") == {("llama",): 0.25}


def test_t4_an_engine_that_does_not_count_its_cache_has_no_such_share(prompts, rows):
    prompts()

    assert rows(120, "model_cached_prompt_ratio") == {}


def test_t5_the_share_is_of_engines_that_count_both(two_engines, prompts, rows):
    prompts(10.0)
    prompts(instance="b:8000")

    assert rows(120, "model_cached_prompt_ratio") == {("llama",): 0.25}


def test_the_share_of_guesses_that_the_model_took(bench, page, rows):
    for second in range(121):
        guesses = {"drafted_tokens": 900.0 + 8.0 * second, "accepted_tokens": 100.0 + 5.0 * second}
        bench.take_page(page(float(second), 100.0, **guesses))

    assert rows(120, "model_speculative_accepted_ratio") == {("llama",): 0.625}


def test_t4_without_a_guess_there_is_no_share_of_them(bench, page, rows):
    for second in range(121):
        bench.take_page(page(float(second), 100.0, drafted_tokens=900.0, accepted_tokens=100.0))

    assert rows(120, "model_speculative_accepted_ratio") == {}


def test_the_rack_of_one_tells_how_its_models_and_deployments_are_served(minute, bench):
    minute(1, 3, 4, 4)
    plain = to_plain(rack_of_one(bench.snapshot(120.0), RackPlan()))

    latency = plain["models"][0]["service"]["latency_seconds"]["first_token"]
    assert latency == pytest.approx({"50": 0.15, "90": 0.32, "99": 0.392})
    assert plain["deployments"][0]["service"] == plain["models"][0]["service"]


def test_a_node_tells_the_same_of_its_models_as_its_rack_of_one(minute, bench):
    minute(1, 3, 4, 4)
    snapshot = bench.snapshot(120.0)
    node, rack = codec.to_plain(snapshot), to_plain(rack_of_one(snapshot, RackPlan()))

    assert node["models"] == rack["models"] != []
    assert node["deployments"] == rack["deployments"] != []
