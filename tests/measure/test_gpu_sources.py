"""One GPU that several sources tell of: one in every sum, energy by one counter, gaps filled and named."""

import pytest

from agent.measure.gpu import GpuState
from agent.measure.gpu_sources import DEFAULT
from agent.measure.reading import Reading

DCGM = "dcgm_exporter"


@pytest.fixture
def two(bench):
    """A node with NVML and dcgm-exporter, both of which have told of GPU 0 in the first second."""
    bench.node.expect(["nvml", DCGM, "engines/a:8000"])
    return bench


@pytest.fixture
def boundary():
    """What a snapshot says at the boundary of the GPUs."""
    return lambda snapshot: next((each for each in snapshot.boundaries if each.boundary == "gpu"), None)


def told(bench, seconds):
    (figures,) = bench.snapshot(seconds).gpus
    return figures


def test_t7_a_gpu_of_two_sources_is_one_gpu_with_the_power_of_the_first(two, gpu, boundary):
    two.take_gpus(gpu(0.0, 1000.0, 300.0))
    two.take_gpus(gpu(0.1, 900.0, 280.0), source=DCGM)
    snapshot = two.snapshot(0.2)

    assert len(snapshot.gpus) == 1
    assert (boundary(snapshot).power_watts, boundary(snapshot).source) == (300.0, "nvml")


def test_who_tells_first_does_not_matter(two, gpu, boundary):
    two.take_gpus(gpu(0.0, 900.0, 280.0), source=DCGM)
    two.take_gpus(gpu(0.1, 1000.0, 300.0))

    assert boundary(two.snapshot(0.2)).power_watts == 300.0


def test_what_the_first_lacks_is_filled_by_the_second_and_its_source_told(two, gpu):
    two.take_gpus(gpu(0.0, 1000.0, 300.0, temperature_celsius={"gpu": 61.0}))
    beside = {"active_ratio": {"sm": 0.9}, "temperature_celsius": {"gpu": 50.0, "memory": 70.0}}
    two.take_gpus(gpu(0.0, 900.0, 280.0, **beside), source=DCGM)
    figures = told(two, 0.2)

    assert figures.reading.active_ratio == {"sm": 0.9}
    assert figures.reading.temperature_celsius == {"gpu": 61.0, "memory": 70.0}
    assert figures.sources == {DEFAULT: "nvml", "active_ratio": DCGM, "temperature_celsius": DCGM}


def test_t15_what_a_failed_source_filled_is_absent(two, gpu):
    two.take_gpus(gpu(0.0, 1000.0, 300.0))
    two.take_gpus(gpu(0.0, 900.0, 280.0, active_ratio={"sm": 0.9}), source=DCGM)
    two.node.miss(DCGM)

    assert told(two, 0.2).reading.active_ratio == {}


def test_the_second_takes_over_when_the_first_fails(two, gpu, boundary):
    two.take_gpus(gpu(0.0, 1000.0, 300.0))
    two.take_gpus(gpu(0.0, 900.0, 280.0), source=DCGM)
    two.node.miss("nvml")

    assert told(two, 0.2).reading is None

    two.take_gpus(gpu(15.0, 5000.0, 290.0), source=DCGM)

    assert boundary(two.snapshot(15.1)).source == DCGM


def test_t1_energy_that_lags_behind_is_not_counted_twice(two, gpu):
    """DCGM shows the driver's counter, but up to 30 s late: below what NVML told it is no restart."""
    two.take_gpus(gpu(0.0, 10_000.0, 300.0))
    two.take_gpus(gpu(30.0, 19_000.0, 300.0))
    two.node.miss("nvml")
    two.take_gpus(gpu(31.0, 11_000.0, 300.0), source=DCGM)
    lagging = told(two, 31.0).energy_joules_total
    two.take_gpus(gpu(61.0, 20_000.0, 300.0), source=DCGM)

    assert lagging == 9000.0
    assert told(two, 61.0).energy_joules_total == 10_000.0


def test_t1_going_back_to_the_first_counts_what_came_between(two, gpu):
    two.take_gpus(gpu(0.0, 10_000.0, 300.0))
    two.node.miss("nvml")
    two.take_gpus(gpu(1.0, 9_900.0, 300.0), source=DCGM)
    two.take_gpus(gpu(20.0, 16_000.0, 300.0))

    assert told(two, 20.0).energy_joules_total == 6000.0


def test_another_counter_is_gone_on_with_where_it_stands(two, gpu):
    """A page that counts from another moment stays below for good: after a while it is taken as it is."""
    two.take_gpus(gpu(0.0, 1_000_000.0, 300.0))
    two.node.miss("nvml")
    for second in (1.0, 50.0, 100.0, 101.0):
        two.take_gpus(gpu(second, 300.0 * second, 300.0), source=DCGM)

    assert told(two, 101.0).energy_joules_total == 300.0


def test_errors_are_counted_by_one_source(two, gpu):
    two.take_gpus(gpu(0.0, 0.0, 300.0, xid_errors={79: 0}))
    two.take_gpus(gpu(1.0, 300.0, 300.0, xid_errors={79: 1}))
    two.take_gpus(gpu(1.0, 300.0, 300.0, xid_errors={79: 1}), source=DCGM)

    assert told(two, 1.0).xid_errors_total[79] == 1


def test_a_gpu_that_only_the_second_sees_is_a_gpu_as_well(two, gpu, boundary):
    two.take_gpus(gpu(0.0, 1000.0, 300.0, number=0))
    two.take_gpus(gpu(0.0, 900.0, 280.0, number=0), gpu(0.0, 900.0, 200.0, number=1), source=DCGM)

    assert boundary(two.snapshot(0.2)).power_watts == 500.0


def test_the_state_of_a_gpu_is_that_of_the_first_who_tells_of_it(two, gpu, lost_gpu):
    two.take_gpus(lost_gpu(0.0, number=0))
    two.take_gpus(gpu(0.0, 900.0, 280.0), source=DCGM)

    assert told(two, 0.2).state is GpuState.LOST


def test_the_slow_source_does_not_widen_the_window_while_it_only_fills(two, gpu):
    two.take_gpus(gpu(0.0, 1000.0, 300.0))
    two.node.take(Reading(DCGM, gpu(0.0).at, gpus=(gpu(0.0),), renewed_seconds=30.0), 15.0)

    assert two.snapshot(0.2).boundaries[0].cadence_seconds == 1.0


def test_t3_alone_its_figures_are_of_its_own_cadence(two, gpu, boundary):
    two.node.expect([DCGM])
    two.node.take(Reading(DCGM, gpu(0.0).at, gpus=(gpu(0.0, 0.0, 300.0),), renewed_seconds=30.0), 15.0)

    assert boundary(two.snapshot(0.2)).cadence_seconds == 30.0


def test_the_preference_can_be_turned(bench, gpu, boundary):
    bench.node.prefer((DCGM, "nvml"))
    bench.node.expect(["nvml", DCGM])
    bench.take_gpus(gpu(0.0, 900.0, 280.0), source=DCGM)
    bench.take_gpus(gpu(0.1, 1000.0, 300.0))

    assert boundary(bench.snapshot(0.2)).source == DCGM


def test_after_a_restart_the_second_waits_for_the_first(two, gpu, boundary):
    """Else every start would change the source twice."""
    two.take_gpus(gpu(0.0, 1000.0, 300.0))
    again = two.restart()
    again.node.expect(["nvml", DCGM])
    again.take_gpus(gpu(1.0, 900.0, 280.0), source=DCGM)

    assert boundary(again.snapshot(1.1)) is None
