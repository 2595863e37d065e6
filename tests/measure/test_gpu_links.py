"""Totals of a GPU's NVLinks: from zero, over restarts of the driver, absent with the GPU (T1, T2, T15)."""


def told(bench, seconds):
    (figures,) = bench.snapshot(seconds).gpus
    return figures


def test_t1_totals_start_at_zero_and_grow_by_differences(bench, gpu):
    bench.take_gpus(gpu(0.0, nvlink_bytes={"tx": 5000.0}, nvlink_errors={"symbol": 7}))
    bench.take_gpus(gpu(1.0, nvlink_bytes={"tx": 5600.0}, nvlink_errors={"symbol": 9}))

    assert told(bench, 1.0).nvlink_bytes_total == {"tx": 600.0}
    assert told(bench, 1.0).nvlink_errors_total == {"symbol": 2.0}


def test_t2_a_counter_that_falls_was_reset_and_counts_from_zero(bench, gpu):
    bench.take_gpus(gpu(0.0, nvlink_bytes={"tx": 5000.0}))
    bench.take_gpus(gpu(1.0, nvlink_bytes={"tx": 100.0}))

    assert told(bench, 1.0).nvlink_bytes_total == {"tx": 100.0}


def test_t1_pcie_replays_start_at_zero_and_outlive_the_driver(bench, gpu):
    bench.take_gpus(gpu(0.0, pcie_replays=17))
    bench.take_gpus(gpu(1.0, pcie_replays=19))
    bench.take_gpus(gpu(2.0, pcie_replays=1))

    assert told(bench, 2.0).pcie_replays_total == 3.0


def test_pcie_replays_that_nobody_tells_are_absent(bench, gpu):
    bench.take_gpus(gpu(0.0))

    assert told(bench, 0.0).pcie_replays_total is None


def test_t15_a_lost_gpu_tells_no_totals(bench, gpu, lost_gpu):
    bench.take_gpus(gpu(0.0, nvlink_bytes={"tx": 5000.0}))
    bench.take_gpus(lost_gpu(1.0, number=0))

    assert told(bench, 1.0).nvlink_bytes_total == {}


def test_t1_errors_of_the_links_to_grace_start_at_zero_and_outlive_the_driver(bench, gpu):
    bench.take_gpus(gpu(0.0, c2c_errors={"replay": 12}))
    bench.take_gpus(gpu(1.0, c2c_errors={"replay": 14}))
    bench.take_gpus(gpu(2.0, c2c_errors={"replay": 1}))

    assert told(bench, 2.0).c2c_errors_total == {"replay": 3.0}
