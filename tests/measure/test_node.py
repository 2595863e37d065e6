"""A node from readings to snapshots: energy, boundaries, validity (T4, T5, T7, T8, T9, T10, T12, T15)."""

import pytest

from agent.measure.energy import Verdict
from agent.measure.engine import TokenKind
from agent.measure.reading import Cost, Reading
from agent.measure.snapshot import Activity
from agent.measure.validity import Flag, Invalid

RATE = "node_tokens_per_second"
RATIO = "node_tokens_per_joule_gpu"
OUTPUT_BY_GPU = (TokenKind.OUTPUT, "gpu")


@pytest.fixture
def boundary():
    """One boundary of a snapshot."""

    def find(snapshot, name):
        return next((each for each in snapshot.boundaries if each.boundary == name), None)

    return find


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


def test_t7_power_is_summed_over_the_gpus_that_report(bench, gpu, lost_gpu, boundary):
    bench.take_gpus(gpu(0.0, 0.0, 300.0, number=0), lost_gpu(0.0, number=1), gpu(0.0, 0.0, 500.0, number=2))

    assert boundary(bench.snapshot(0.0), "gpu").power_watts == 800.0


def test_t7_energy_of_the_boundary_is_the_sum_of_its_gpus(bench, gpu, boundary):
    for second in (0.0, 1.0, 2.0):
        bench.take_gpus(
            gpu(second, 9000.0 + 300.0 * second, 300.0, number=0),
            gpu(second, 500.0 * second, 500.0, number=1),
        )

    assert boundary(bench.snapshot(2.0), "gpu").energy_joules_total == 1600.0


def test_t7_a_boundary_without_a_meter_is_absent(bench, gpu, boundary):
    bench.take_gpus(gpu(0.0, 0.0, 300.0))

    assert boundary(bench.snapshot(0.0), "module") is None


def test_t7_gpus_that_tell_no_energy_have_no_meter(bench, gpu, page, standing):
    for second in range(11):
        bench.take_gpus(gpu(float(second)))
        bench.take_page(page(float(second), 100.0 * second))

    assert standing(bench.snapshot(10.0), RATIO).reasons == {Invalid.NO_METER}


def test_t8_both_gpus_of_a_superchip_tell_one_module(bench, gpu, boundary):
    bench.take_gpus(
        gpu(0.0, 0.0, 300.0, number=0, serial="165", module_watts=1000.0),
        gpu(0.0, 0.0, 500.0, number=1, serial="165", module_watts=1010.0),
    )

    assert boundary(bench.snapshot(0.0), "module").power_watts == 1005.0


def test_t7_power_of_the_modules_is_never_added_to_that_of_the_gpus(bench, gpu, boundary):
    bench.take_gpus(gpu(0.0, 0.0, 300.0, serial="165", module_watts=1000.0))

    assert boundary(bench.snapshot(0.0), "gpu").power_watts == 300.0


def test_t8_two_superchips_are_two_modules(bench, gpu, boundary):
    bench.take_gpus(
        *(
            gpu(0.0, 0.0, 300.0, number=n, serial=serial, module_watts=1000.0)
            for n, serial in enumerate(("165", "165", "166", "166"))
        )
    )

    assert boundary(bench.snapshot(0.0), "module").power_watts == 2000.0


def test_t8_without_a_serial_there_is_no_module_boundary(bench, gpu, boundary):
    bench.take_gpus(gpu(0.0, 0.0, 300.0, module_watts=1000.0))

    assert boundary(bench.snapshot(0.0), "module") is None


def test_t8_tokens_per_joule_of_the_module_divide_by_the_modules_energy(bench, gpu, page):
    for second in range(11):
        bench.take_gpus(
            gpu(float(second), 300.0 * second, 300.0, number=0, serial="165", module_watts=1000.0),
            gpu(float(second), 500.0 * second, 500.0, number=1, serial="165", module_watts=1000.0),
        )
        bench.take_page(page(float(second), 3000.0 * second))

    assert bench.snapshot(10.0).tokens_per_joule[TokenKind.OUTPUT, "module"] == 3.0


def test_t5_a_gpu_without_a_module_leaves_no_ratio_at_the_module_boundary(bench, gpu, page, standing):
    for second in range(11):
        bench.take_gpus(
            gpu(float(second), 300.0 * second, 300.0, number=0, serial="165", module_watts=1000.0),
            gpu(float(second), 500.0 * second, 500.0, number=1),
        )
        bench.take_page(page(float(second), 3000.0 * second))
    reasons = standing(bench.snapshot(10.0), "node_tokens_per_joule_module").reasons

    assert reasons == {Invalid.MEMBER_MISSING}


def test_t8_one_gpu_of_a_superchip_lost_leaves_its_module_measured(bench, gpu, lost_gpu, boundary):
    bench.take_gpus(
        gpu(0.0, 0.0, 300.0, number=0, serial="165", module_watts=1000.0),
        lost_gpu(0.0, number=1, serial="165"),
    )

    assert boundary(bench.snapshot(0.0), "module").power_watts == 1000.0


def two_minutes(bench, gpu, page, *, watts, counted):
    bench.take_gpus(gpu(-1.0, 0.0, 100.0))
    for second in range(121):
        bench.take_gpus(gpu(float(second), counted * (second + 1), watts))
        bench.take_page(page(float(second), 1000.0 * second))
    return bench.snapshot(120.0)


def test_t9_two_bad_minutes_above_1_3_times_idle_make_the_ratio_absent(bench, gpu, page, standing):
    snapshot = two_minutes(bench, gpu, page, watts=500.0, counted=400.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).reasons) == (
        {},
        {Invalid.COUNTER_POWER_MISMATCH},
    )


def test_t9_two_bad_minutes_near_idle_leave_the_ratio_standing(bench, gpu, page, standing):
    assert standing(two_minutes(bench, gpu, page, watts=120.0, counted=60.0), RATIO).valid


def test_t9_two_good_minutes_agree(bench, gpu, page):
    assert two_minutes(bench, gpu, page, watts=500.0, counted=500.0).gpus[0].verdict is Verdict.AGREES


def test_t9_both_integrals_are_published(bench, gpu, page):
    told = two_minutes(bench, gpu, page, watts=500.0, counted=400.0).gpus[0]

    assert (told.energy_joules_total, told.energy_integrated_joules_total) == (48_400.0, 60_300.0)


def test_t9_a_gap_in_the_readings_is_no_mismatch(bench, gpu):
    seconds = [s for s in range(300) if s % 60 < 50]
    bench.take_gpus(gpu(-1.0, 0.0, 100.0))
    for second in seconds:
        bench.take_gpus(gpu(float(second), 500.0 * second, 500.0))

    assert bench.snapshot(299.0).gpus[0].verdict is not Verdict.MISMATCH


def test_t9_only_instant_power_beside_a_counter_is_unverified(bench, gpu, standing):
    bench.take_gpus(gpu(0.0, 0.0, instant=500.0))

    assert standing(bench.snapshot(0.0), RATIO).flags == {Flag.UNVERIFIED}


def test_t9_a_gpu_read_less_often_than_power_can_be_integrated_is_unverified(bench, gpu, standing):
    for second in range(0, 100, 4):
        bench.take_gpus(gpu(float(second), 500.0 * second, 500.0))

    assert standing(bench.snapshot(96.0), RATIO).flags == {Flag.UNVERIFIED}


def test_t9_only_instant_power_and_no_counter_is_no_meter(bench, gpu, page, standing):
    for second in range(12):
        bench.take_gpus(gpu(float(second), instant=500.0))
        bench.take_page(page(float(second), 1000.0 * second))

    assert standing(bench.snapshot(11.0), RATIO).reasons == {Invalid.NO_METER}


def test_t9_without_a_counter_power_is_integrated_and_flagged(bench, gpu, page, standing):
    for second in range(12):
        bench.take_gpus(gpu(float(second), None, 500.0))
        bench.take_page(page(float(second), 1000.0 * second))
    snapshot = bench.snapshot(11.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).flags) == (
        {OUTPUT_BY_GPU: 2.0},
        {Flag.INTEGRATED},
    )


def test_t9_a_gap_in_integrated_power_lies_in_no_valid_window(bench, gpu, page, standing):
    for second in (*range(18), *range(22, 26)):
        bench.take_gpus(gpu(float(second), None, 500.0))
    for second in range(26):
        bench.take_page(page(float(second), 1000.0 * second))
    snapshot = bench.snapshot(25.0)

    assert (snapshot.tokens_per_joule, standing(snapshot, RATIO).reasons) == ({}, {Invalid.WARMING_UP})


def test_t8_a_gap_in_module_power_lies_in_no_valid_window(bench, gpu, page):
    for second in (*range(18), *range(22, 26)):
        bench.take_gpus(gpu(float(second), 500.0 * second, 500.0, serial="165", module_watts=900.0))
    for second in range(26):
        bench.take_page(page(float(second), 1000.0 * second))

    assert (TokenKind.OUTPUT, "module") not in bench.snapshot(25.0).tokens_per_joule


def test_a_counter_that_is_silent_for_once_is_not_doubled_by_its_integral(bench, gpu, boundary):
    bench.take_gpus(gpu(0.0, 0.0, 500.0))
    bench.take_gpus(gpu(1.0, None, 500.0))
    bench.take_gpus(gpu(2.0, 1000.0, 500.0))

    assert boundary(bench.snapshot(2.0), "gpu").energy_joules_total == 1000.0


def test_energy_used_while_rackwatt_was_down_enters_the_total(bench, gpu):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0))
    bench.take_gpus(gpu(1.0, 1500.0, 500.0))
    bench = bench.restart()
    bench.take_gpus(gpu(60.0, 31_000.0, 500.0))

    assert bench.snapshot(60.0).gpus[0].energy_joules_total == 30_000.0


def test_after_a_reboot_the_counter_is_counted_from_zero(bench, gpu):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0))
    bench = bench.restart(epoch="boot:2")
    bench.take_gpus(gpu(600.0, 90_000.0, 500.0))

    assert bench.snapshot(600.0).gpus[0].energy_joules_total == 90_000.0


def test_after_a_reboot_more_energy_than_a_gpu_can_use_is_not_counted(bench, gpu):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0))
    bench = bench.restart(epoch="boot:2")
    bench.take_gpus(gpu(10.0, 90_000_000.0, 500.0))

    assert bench.snapshot(10.0).gpus[0].energy_joules_total == 0.0


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_stepped_wall_clock_changes_no_energy(bench, gpu, moment, step):
    bench.take_gpus(gpu(0.0, 0.0, 500.0))
    bench.take_gpus(gpu(1.0, 500.0, 500.0, at=moment(1.0, stepped=step)))
    bench.take_gpus(gpu(2.0, 1000.0, 500.0, at=moment(2.0, stepped=step)))

    assert bench.snapshot(2.0).gpus[0].energy_joules_total == 1000.0


def test_a_gpu_keeps_its_number_over_restarts_and_in_any_order(bench, gpu):
    bench.take_gpus(gpu(0.0, number=5), gpu(0.0, number=3))
    bench = bench.restart()
    bench.take_gpus(gpu(1.0, number=3), gpu(1.0, number=4), gpu(1.0, number=5))

    assert [(told.gpu, told.uuid) for told in bench.snapshot(1.0).gpus] == [
        (0, "GPU-5"),
        (1, "GPU-3"),
        (2, "GPU-4"),
    ]


def test_t12_an_xid_is_counted_once_however_often_it_is_read(bench, gpu):
    for second in range(3):
        bench.take_gpus(gpu(float(second), xid_errors={94: 1}))

    assert bench.snapshot(2.0).gpus[0].xid_errors_total[94] == 1.0


def test_t12_the_xid_of_a_gpu_that_fell_off_the_bus_is_counted(bench, gpu, lost_gpu):
    bench.take_gpus(gpu(0.0))
    bench.take_gpus(lost_gpu(1.0, xid_errors={79: 1}))

    assert bench.snapshot(1.0).gpus[0].xid_errors_total[79] == 1.0


def test_t12_xids_survive_a_restart_of_rackwatt(bench, gpu):
    bench.take_gpus(gpu(0.0, xid_errors={94: 2}))
    bench = bench.restart()
    bench.take_gpus(gpu(1.0, xid_errors={94: 2}))

    assert bench.snapshot(1.0).gpus[0].xid_errors_total[94] == 4.0


def test_t12_hardware_xids_are_there_at_zero_before_the_first(bench, gpu):
    bench.take_gpus(gpu(0.0))

    assert bench.snapshot(0.0).gpus[0].xid_errors_total[79] == 0.0


def test_t2_an_engine_that_restarted_inside_the_window_is_flagged(bench, gpu, page, standing):
    for second in range(21):
        bench.take_gpus(gpu(float(second), 500.0 * second, 500.0))
        restarted = second >= 15
        bench.take_page(
            page(
                float(second),
                1000.0 * (second - 15) if restarted else 1000.0 * second,
                epoch="start:1760000014" if restarted else "start:1759999000",
            )
        )
    told = standing(bench.snapshot(20.0), RATIO)

    assert (told.valid, told.flags) == (True, {Flag.COUNTER_RESET})


def test_t2_the_flag_leaves_with_the_window(bench, page, standing):
    for second in range(30):
        restarted = second >= 15
        bench.take_page(page(float(second), 1.0 * second, epoch=f"start:{1760000014 if restarted else 1}"))

    assert standing(bench.snapshot(29.0), RATE).flags == frozenset()


def test_an_engine_that_returns_after_it_was_unexpected_keeps_its_total(bench, page, total):
    bench.take_page(page(0.0, 100.0))
    bench.take_page(page(1.0, 150.0))
    bench.node.expect(["nvml"])
    bench.node.expect(["nvml", "engines/a:8000"])
    bench.take_page(page(5.0, 250.0))

    assert total(bench.snapshot(5.0)) == 150.0


def test_an_engine_that_is_down_after_a_restart_of_rackwatt_keeps_its_name(bench, page):
    bench.take_page(page(0.0, 100.0))
    engine = bench.restart().snapshot(0.0).engines[0]

    assert (engine.engine, engine.model, engine.up) == ("vllm", "llama", False)


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"counters": {}, "gpus": {}},
        {"counters": 7, "gpus": {}, "engines": {}},
        {"counters": {}, "gpus": [1], "engines": {}},
        {"counters": {}, "gpus": {"GPU-1": "x"}, "engines": {}},
        {"counters": {}, "gpus": {}, "engines": {}, "gpu_origins": {"GPU-1": "nvml"}},
        {"counters": {}, "gpus": {}, "engines": {}, "gpu_origins": {"GPU-1": ["nvml", float("nan")]}},
        {"counters": {"k": [10**400, 1.0, None, 1.0, 0]}, "gpus": {}, "engines": {}},
        {"counters": {"k": [1.0]}, "gpus": {"GPU-1": 5}, "engines": {}},
        {"counters": {"k": [1.0, 1.0, None, 1.0, 0]}, "gpus": {}, "engines": {"a": ["vllm"]}},
    ],
)
def test_kept_state_that_is_something_else_is_refused_and_nothing_is_taken(bench, kept):
    with pytest.raises((KeyError, TypeError, ValueError)):
        bench.node.load(kept)

    assert bench.node.dump() == {
        "counters": {},
        "gpus": {},
        "gpu_origins": {},
        "engines": {"a:8000": ["unknown", "unknown"]},
        "ledger": "",
        "drained": None,
    }


def test_costs_of_the_sources_are_in_the_snapshot(bench, moment):
    bench.node.take(Reading("nvml", moment(0.0), costs={"nvmlInit": Cost(1, 0.25)}), 1.0)

    assert bench.snapshot(0.0).costs == {"nvml": {"nvmlInit": Cost(1, 0.25)}}
