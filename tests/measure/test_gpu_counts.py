"""Counts of a GPU's events (throttling, memory errors, Xids) become totals of our own (T1, T12, T15)."""

import pytest

from agent.measure.energy import Verdict
from agent.measure.gpu_book import GpuBook
from agent.measure.ledger import Ledger
from agent.measure.series import Horizon

COUNTED = {
    "throttled_seconds_total": "throttled_seconds",
    "ecc_errors_total": "ecc_errors",
    "nvlink_bytes_total": "nvlink_bytes",
    "nvlink_errors_total": "nvlink_errors",
    "c2c_errors_total": "c2c_errors",
}


@pytest.fixture
def of_gpu(bench):
    """The figures of GPU 0 after these readings."""

    def take(*readings):
        for reading in readings:
            bench.take_gpus(reading)
        return bench.snapshot(readings[-1].at.monotonic_seconds).gpus[0]

    return take


@pytest.mark.parametrize(("told", "raw"), COUNTED.items())
def test_t1_a_count_begins_at_zero_and_grows_by_what_was_seen(of_gpu, gpu, told, raw):
    figures = of_gpu(gpu(0.0, **{raw: {"a": 100, "b": 7}}), gpu(1.0, **{raw: {"a": 130, "b": 7}}))

    assert getattr(figures, told) == {"a": 30, "b": 0}


@pytest.mark.parametrize(("told", "raw"), COUNTED.items())
def test_t15_a_gpu_that_is_lost_tells_no_counts_and_its_totals_go_on_when_it_is_back(
    of_gpu, gpu, lost_gpu, told, raw
):
    readings = gpu(0.0, **{raw: {"a": 100}}), gpu(1.0, **{raw: {"a": 130}}), lost_gpu(2.0)

    assert getattr(of_gpu(*readings), told) == {}
    assert getattr(of_gpu(gpu(3.0, **{raw: {"a": 131}})), told) == {"a": 31}


def test_t1_a_count_that_fell_within_one_boot_began_anew(of_gpu, gpu):
    figures = of_gpu(*(gpu(float(n), ecc_errors={"corrected": raw}) for n, raw in enumerate((50, 60, 4))))

    assert figures.ecc_errors_total == {"corrected": 14}


def test_a_count_that_was_read_late_is_neither_counted_nor_remembered(of_gpu, gpu):
    figures = of_gpu(
        gpu(0.0, ecc_errors={"corrected": 50}),
        gpu(2.0, ecc_errors={"corrected": 60}),
        gpu(1.0, ecc_errors={"corrected": 55}),
        gpu(3.0, ecc_errors={"corrected": 55}),
    )

    assert figures.ecc_errors_total == {"corrected": 10 + 55}


def test_pcie_replays_are_counted_and_absent_where_nobody_tells_them(of_gpu, gpu):
    assert of_gpu(gpu(0.0)).pcie_replays_total is None
    assert of_gpu(gpu(1.0, pcie_replays=5), gpu(2.0, pcie_replays=9)).pcie_replays_total == 4


def test_t12_xids_of_hardware_are_at_zero_from_the_start_and_others_when_they_come(of_gpu, gpu):
    before = of_gpu(gpu(0.0))
    after = of_gpu(gpu(1.0, xid_errors={13: 2, 79: 1}))

    assert before.xid_errors_total == dict.fromkeys(
        (48, 63, 64, 74, 79, 92, 94, 95, 119, 120, 145, 149, 154), 0
    )
    assert after.xid_errors_total == before.xid_errors_total | {13: 2, 79: 1}


def test_t12_the_xid_that_took_a_gpu_away_is_told_of_it_while_it_is_away(of_gpu, gpu, lost_gpu):
    figures = of_gpu(gpu(0.0), lost_gpu(1.0, xid_errors={79: 1}))

    assert figures.xid_errors_total[79] == 1


def test_t9_a_window_in_which_the_source_changed_says_nothing_of_the_counter(gpu, moment):
    """The two sources speak of different moments; half of this window's joules would be missing."""
    book = GpuBook(0, "GPU-0", Ledger(), Horizon(120.0))
    for second in range(100):
        if second == 30:
            book.change_source(moment(30.0))
        counted = 500.0 * min(second, 30) + 1000.0 * max(0, second - 30)
        book.take(gpu(float(second), counted, 1000.0 if second else 100.0), "boot:1", "run:1")

    assert book.figures(None).verdict is Verdict.AGREES
