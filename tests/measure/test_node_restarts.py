"""What a node keeps over restarts of engines and of rackwatt: totals, names, numbers, Xids (T2, T12)."""

import pytest

from agent.measure.reading import Cost, Reading
from agent.measure.validity import Flag

RATE = "node_tokens_per_second"
RATIO = "node_tokens_per_joule_gpu"


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
        {"counters": {}, "gpus": {}, "engines": {}, "counting": {"a": ["boss", True]}},
        {"counters": {}, "gpus": {}, "engines": {}, "counting": {"a": True}},
        {"counters": {}, "gpus": {}, "engines": {}, "found": 7},
        {"counters": {}, "gpus": {}, "engines": {}, "began": "yesterday"},
        {"counters": {}, "gpus": {}, "engines": {}, "began": float("nan")},
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
        "began": None,
        "drained": None,
        "counting": {},
        "found": {},
    }


def test_kept_totals_keep_the_moment_at_which_they_began(bench):
    bench.node.begin(1000.0)
    kept = bench.node.dump()
    bench.node.begin(2000.0)
    bench.node.load(kept)
    origin = bench.snapshot(0.0).origin

    assert (origin.began_unix_seconds, origin.started_unix_seconds) == (1000.0, 2000.0)


def test_when_totals_of_an_older_rackwatt_began_is_unknown(bench):
    kept = bench.node.dump()
    bench.node.begin(2000.0)
    bench.node.load({key: value for key, value in kept.items() if key != "began"})

    assert bench.snapshot(0.0).origin.began_unix_seconds is None


def test_costs_of_the_sources_are_in_the_snapshot(bench, moment):
    bench.node.take(Reading("nvml", moment(0.0), costs={"nvmlInit": Cost(1, 0.25)}), 1.0)

    assert bench.snapshot(0.0).costs == {"nvml": {"nvmlInit": Cost(1, 0.25)}}


def test_what_tells_found_engines_apart_is_kept(bench, moment):
    bench.node.take(Reading("discovery/processes", moment(0.0), found={"a:8000": "f00d"}), 1.0)
    bench.node.take(Reading("discovery/processes", moment(1.0)), 1.0)  # it could not look
    again = bench.restart()

    assert again.snapshot(2.0).found == {"a:8000": "f00d"}
