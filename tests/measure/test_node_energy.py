"""A node's power and energy at each boundary, and the cross-check of its GPUs' counters (T5, T7, T8, T9)."""

import pytest

from agent.measure.energy import Verdict
from agent.measure.engine import TokenKind
from agent.measure.validity import Flag, Invalid

RATIO = "node_tokens_per_joule_gpu"
OUTPUT_BY_GPU = (TokenKind.OUTPUT, "gpu")


@pytest.fixture
def boundary():
    """One boundary of a snapshot."""

    def find(snapshot, name):
        return next((each for each in snapshot.boundaries if each.boundary == name), None)

    return find


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
    for second in range(12):
        bench.take_gpus(
            gpu(float(second), 300.0 * second, 300.0, number=0, serial="165", module_watts=1000.0),
            gpu(float(second), 500.0 * second, 500.0, number=1, serial="165", module_watts=1000.0),
        )
        bench.take_page(page(float(second), 3000.0 * second))

    assert bench.snapshot(11.0).tokens_per_joule[TokenKind.OUTPUT, "module"] == 3.0


def test_t5_a_gpu_without_a_module_leaves_no_ratio_at_the_module_boundary(bench, gpu, page, standing):
    for second in range(12):
        bench.take_gpus(
            gpu(float(second), 300.0 * second, 300.0, number=0, serial="165", module_watts=1000.0),
            gpu(float(second), 500.0 * second, 500.0, number=1),
        )
        bench.take_page(page(float(second), 3000.0 * second))
    reasons = standing(bench.snapshot(11.0), "node_tokens_per_joule_module").reasons

    assert reasons == {Invalid.MEMBER_MISSING}


def test_t3_a_load_that_steps_shows_at_gpus_and_module_over_the_same_interval(bench, gpu):
    """Modules tell means of a second, GPUs a counter: what is beside the GPUs is the same all the time."""
    for second in range(31):
        joules, mean = 100.0 * second + 900.0 * max(0, second - 20), 100.0 if second <= 20 else 1000.0
        bench.take_gpus(gpu(float(second), joules, mean, serial="165", module_watts=mean + 130.0))
        told = [rest.power_watts for rest in bench.snapshot(float(second)).remainders]

        assert second < 12 or told == [pytest.approx(130.0)], second


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
