"""A node from readings to snapshots: rates, ratios and what speaks against them (T3, T4, T5, T10, T15)."""

import pytest

from agent.measure.engine import TokenKind
from agent.measure.gpu import Placement
from agent.measure.reading import Reading
from agent.measure.snapshot import Activity
from agent.measure.validity import Invalid

RATE = "node_tokens_per_second"
RATIO = "node_tokens_per_joule_gpu"
OUTPUT_BY_GPU = (TokenKind.OUTPUT, "gpu")


def test_t3_a_node_at_a_constant_rate_makes_its_tokens_per_joule(bench):
    for second in range(11):
        bench.serve(float(second), tokens_per_second=1000.0, watts=500.0)

    assert bench.snapshot(10.0).tokens_per_joule == {OUTPUT_BY_GPU: 2.0}


def test_t3_tokens_and_joules_are_read_at_the_same_edges(bench, gpu, page):
    for second in range(12):
        bench.take_gpus(gpu(second + 0.37, 500.0 * (second + 0.37), 500.0))
        bench.take_page(page(float(second), 1000.0 * second))

    assert bench.snapshot(11.5).tokens_per_joule[OUTPUT_BY_GPU] == pytest.approx(2.0, rel=1e-12)


def test_t3_a_rate_is_over_the_measured_time_and_not_the_configured_interval(bench, page):
    for seconds in (0.0, 1.3, 2.1, 3.9, 5.0, 6.6, 7.0, 8.8, 9.9, 11.2):
        bench.take_page(page(seconds, 100.0 * seconds))

    assert bench.snapshot(11.2).tokens_per_second[TokenKind.OUTPUT] == pytest.approx(100.0, rel=1e-12)


def test_t3_until_the_window_is_full_the_ratio_is_absent(bench, standing):
    for second in range(10):
        bench.serve(float(second))
    snapshot = bench.snapshot(9.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).reasons) == ({}, {Invalid.WARMING_UP})


def test_t3_until_the_window_is_full_the_rate_is_absent(bench, standing):
    for second in range(10):
        bench.serve(float(second))
    snapshot = bench.snapshot(9.0)

    assert (snapshot.tokens_per_second, standing(snapshot, RATE).reasons) == ({}, {Invalid.WARMING_UP})


def test_t3_the_window_is_published(bench, standing):
    for second in range(11):
        bench.serve(float(second))

    assert standing(bench.snapshot(10.0), RATIO).window_seconds == 10.0


def test_t3_a_slow_engine_stretches_the_window_of_the_ratio(bench, gpu, page, standing):
    for second in range(41):
        bench.take_gpus(gpu(float(second), 500.0 * second, 500.0))
        if second % 10 == 0:
            bench.take_page(page(float(second), 1000.0 * second), cadence=10.0)
    snapshot = bench.snapshot(40.0)

    assert (standing(snapshot, RATIO).window_seconds, snapshot.tokens_per_joule[OUTPUT_BY_GPU]) == (30.0, 2.0)


def test_t3_what_slow_pages_leave_uncertain_is_published(bench, page, standing):
    for second in range(11):
        bench.take_page(page(float(second), 100.0 * second, asked=second - 0.2))

    assert standing(bench.snapshot(10.0), RATE).uncertainty_ratio == pytest.approx(0.02)


def test_a_reading_that_comes_late_leaves_the_ratio_exact(bench, gpu, page):
    for second in range(15):
        bench.take_gpus(gpu(float(second), 500.0 * second, 500.0))
        if second < 13:
            bench.take_page(page(float(second), 1000.0 * second))

    assert bench.snapshot(14.0).tokens_per_joule == {OUTPUT_BY_GPU: 2.0}


def test_t5_two_gpus_and_eight_engines_give_the_ratio_of_their_sums(new_bench, gpu, page):
    names = tuple(f"a:{8000 + n}" for n in range(8))
    bench = new_bench(engines=names)
    for second in range(11):
        bench.take_gpus(
            gpu(float(second), 300.0 * second, 300.0, number=0),
            gpu(float(second), 500.0 * second, 500.0, number=1),
        )
        for n, name in enumerate(names):
            bench.take_page(page(float(second), 100.0 * (n + 1) * second, instance=name))

    assert bench.snapshot(10.0).tokens_per_joule == {OUTPUT_BY_GPU: 3600.0 / 800.0}


def test_t10_an_engine_that_is_down_makes_the_ratio_absent_with_its_reason(new_bench, standing):
    bench = new_bench(engines=("a:8000", "a:8001"))
    for second in range(11):
        bench.serve(float(second))
    bench.miss("engines/a:8001")
    snapshot = bench.snapshot(10.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).reasons) == ({}, {Invalid.MEMBER_MISSING})


def test_t10_an_engine_that_is_down_leaves_the_rate_of_the_others_unscaled(new_bench):
    bench = new_bench(engines=("a:8000", "a:8001"))
    for second in range(11):
        bench.serve(float(second), tokens_per_second=1000.0)
    bench.miss("engines/a:8001")

    assert bench.snapshot(10.0).tokens_per_second == {TokenKind.OUTPUT: 1000.0}


def test_t10_an_engine_that_never_answered_is_missing(new_bench, standing):
    bench = new_bench(engines=("a:8000", "a:8001"))
    bench.engines = ("a:8000",)
    for second in range(11):
        bench.serve(float(second))

    assert standing(bench.snapshot(10.0), RATIO).reasons == {Invalid.MEMBER_MISSING}


def test_t10_an_engine_that_is_no_longer_expected_is_not_missing(new_bench, standing):
    bench = new_bench(engines=("a:8000", "a:8001"))
    for second in range(11):
        bench.serve(float(second))
    bench.node.expect(["nvml", "engines/a:8000"])

    assert standing(bench.snapshot(10.0), RATIO).valid


def test_t10_tokens_made_while_a_page_was_away_are_no_burst(bench, page, standing):
    for second in (*range(11), *range(30, 36)):
        bench.take_page(page(float(second), 1000.0 * second))
    snapshot = bench.snapshot(35.0)

    assert (snapshot.tokens_per_second, standing(snapshot, RATE).reasons) == ({}, {Invalid.GAP})


def test_t10_tokens_made_while_a_page_was_away_are_in_the_total(bench, page, total):
    for second in (*range(11), *range(30, 36)):
        bench.take_page(page(float(second), 1000.0 * second))

    assert total(bench.snapshot(35.0)) == 35_000.0


def test_t10_a_gpu_that_is_lost_makes_the_ratio_absent(bench, gpu, lost_gpu, page, standing):
    for second in range(11):
        bench.serve(float(second))
    bench.take_gpus(lost_gpu(11.0))
    bench.take_page(page(11.0, 16_000.0))
    snapshot = bench.snapshot(11.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).reasons) == ({}, {Invalid.MEMBER_MISSING})


def test_t10_a_gpu_that_vanished_from_the_driver_is_missing(new_bench, gpu, standing):
    bench = new_bench()
    bench.take_gpus(gpu(0.0, 0.0, 500.0, number=0), gpu(0.0, 0.0, 500.0, number=1))
    for second in range(11):
        bench.serve(float(second))

    assert standing(bench.snapshot(10.0), RATIO).reasons == {Invalid.MEMBER_MISSING}


def test_t15_a_gpu_that_is_lost_tells_no_totals(bench, lost_gpu):
    for second in range(3):
        bench.serve(float(second))
    bench.take_gpus(lost_gpu(3.0))

    assert bench.snapshot(3.0).gpus[0].energy_joules_total is None


def test_t15_a_failed_source_leaves_no_reading(bench):
    bench.serve(0.0)
    bench.miss("nvml")
    bench.miss("engines/a:8000")
    snapshot = bench.snapshot(0.5)

    assert (snapshot.gpus[0].reading, snapshot.engines[0].reading, snapshot.boundaries) == (None, None, ())


def test_t15_a_failed_source_leaves_no_notes(bench):
    bench.node.take(Reading("nvml", bench.snapshot(0.0).at, notes=("ECC counters need root",)), 1.0)
    bench.miss("nvml")

    assert bench.snapshot(1.0).notes == ()


def test_t15_samples_that_stopped_are_a_gap_though_the_source_says_it_is_well(bench, page, standing):
    for second in range(11):
        bench.serve(float(second))
    for second in range(11, 20):
        bench.take_page(page(float(second), 5000.0 + 1000.0 * second))
    snapshot = bench.snapshot(19.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).reasons) == ({}, {Invalid.GAP})


def test_t15_a_wedged_source_leaves_the_engines_rate_alone(bench, page):
    for second in range(11):
        bench.serve(float(second))
    for second in range(11, 20):
        bench.take_page(page(float(second), 5000.0 + 1000.0 * second))

    assert bench.snapshot(19.0).tokens_per_second == {TokenKind.OUTPUT: 1000.0}


def test_t4_a_node_without_engines_is_unknown(new_bench):
    assert new_bench(engines=()).snapshot(0.0).activity is Activity.UNKNOWN


def test_t4_a_node_without_engines_has_no_rate_and_says_so(new_bench, standing):
    snapshot = new_bench(engines=()).snapshot(0.0)

    assert (snapshot.tokens_per_second, standing(snapshot, RATE).reasons) == ({}, {Invalid.NO_ENGINES})


@pytest.mark.parametrize(
    ("first", "second", "node"),
    [
        ({"running": 0.0}, {"running": 2.0}, Activity.SERVING),
        ({"running": 0.0}, {"running": 0.0}, Activity.IDLE),
        ({"running": 0.0}, {"asleep": True}, Activity.IDLE),
        ({"asleep": True}, {"asleep": True}, Activity.ASLEEP),
        ({"running": 0.0}, {}, Activity.UNKNOWN),
        ({"running": 2.0}, {}, Activity.SERVING),
    ],
)
def test_t4_a_node_is_what_its_engines_are(new_bench, page, first, second, node):
    bench = new_bench(engines=("a:8000", "a:8001"))
    bench.take_page(page(0.0, 1.0, **first))
    bench.take_page(page(0.0, 1.0, instance="a:8001", **second))

    assert bench.snapshot(0.0).activity is node


def test_t4_an_idle_node_makes_zero_tokens_per_joule_and_is_valid(bench, gpu, page, standing):
    for second in range(11):
        bench.take_gpus(gpu(float(second), 100.0 * second, 100.0))
        bench.take_page(page(float(second), 5000.0, running=0.0))
    snapshot = bench.snapshot(10.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).valid) == ({OUTPUT_BY_GPU: 0.0}, True)


def test_a_node_stays_where_it_stands_while_its_gpus_cannot_be_read(bench, gpu):
    """Else it would leave its rack for one of its own name, in Prometheus as in a rack's daemon."""
    bench.take_gpus(gpu(0.0, 0.0, 500.0, placement=Placement(chassis_serial="1821", tray=6)))
    bench.snapshot(0.0)
    bench.miss("nvml")
    node = bench.snapshot(5.0).node

    assert (node.rack, node.chassis, node.tray) == ("1821", "1821", "6")
