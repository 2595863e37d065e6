"""Which GPUs a node expects: over restarts, reloads and repairs (T10)."""

import json

import pytest

from agent.measure.gpu_sources import PREFERENCE
from agent.measure.node import NodeReckoner
from agent.measure.rack import RackPlan
from agent.measure.rack_of_one import rack_of_one
from agent.measure.reading import Cost, Reading
from agent.measure.rows import rows_of
from agent.measure.validity import Invalid

HOUR_SECONDS, WEEK_SECONDS = 3600.0, 7 * 86400.0
ENGINE = "engines/a:8000"


@pytest.fixture
def pair(bench, gpu):
    """A node that has seen two GPUs of one board, and a page of its engine."""
    bench.take_gpus(
        gpu(0.0, 1000.0, 500.0, number=0, serial="165", module_watts=900.0),
        gpu(0.0, 1000.0, 500.0, number=1, serial="166", module_watts=900.0),
    )
    return bench


def known(snapshot):
    return [each.gpu for each in snapshot.gpus]


def test_a_gpu_that_a_reboot_left_off_the_bus_is_missing_not_forgotten(bench, gpu, page, standing):
    bench.take_gpus(gpu(0.0, 1000.0, 500.0, number=0), gpu(0.0, 1000.0, 500.0, number=1))
    bench = bench.restart(epoch="boot:2")
    for second in range(600, 612):
        bench.take_gpus(gpu(float(second), 500.0 * (second - 599), 500.0, number=0))
        bench.take_page(page(float(second), 10.0 * second))
    snapshot = bench.snapshot(611.0)

    assert [(each.gpu, each.state) for each in snapshot.gpus] == [(0, "ok"), (1, None)]
    assert standing(snapshot, "node_tokens_per_joule_gpu").reasons == {Invalid.MEMBER_MISSING}


def test_gpus_whose_source_left_the_configuration_are_not_missed(pair):
    pair.node.expect([ENGINE])
    snapshot = pair.snapshot(1.0)

    assert (known(snapshot), snapshot.boundaries) == ([], ())


def test_a_ratio_whose_gpu_source_left_the_configuration_has_no_meter(pair, page, standing):
    pair.node.expect([ENGINE])
    for second in range(12):
        pair.take_page(page(float(second), 10.0 * second))

    assert standing(pair.snapshot(11.0), "node_tokens_per_joule_gpu").reasons == {Invalid.NO_METER}


def test_modules_whose_source_left_the_configuration_have_no_figure(pair):
    pair.node.expect([ENGINE])
    figures = [each.figure for each in pair.snapshot(1.0).validity]

    assert "node_tokens_per_joule_module" not in figures


def test_costs_and_notes_leave_with_their_source(bench, moment):
    bench.node.take(Reading("nvml", moment(0.0), costs={"nvmlInit": Cost(1, 0.25)}, notes=("a note",)), 1.0)
    bench.node.expect([ENGINE])
    snapshot = bench.snapshot(1.0)

    assert (snapshot.costs, snapshot.notes) == ({}, ())


def test_gpus_are_expected_again_when_their_source_returns(pair):
    pair.node.expect([ENGINE])
    pair.node.expect(["nvml", ENGINE])

    assert known(pair.snapshot(1.0)) == [0, 1]


def test_a_gpu_whose_source_returns_keeps_its_total(pair, gpu):
    pair.take_gpus(gpu(1.0, 1500.0, 500.0))
    pair.node.expect([ENGINE])
    pair.node.expect(["nvml", ENGINE])
    pair.take_gpus(gpu(9.0, 5500.0, 500.0))

    assert pair.snapshot(9.0).gpus[0].energy_joules_total == 4500.0


def test_gpus_of_an_earlier_run_are_not_expected_before_their_source_is_offered(pair):
    pair = pair.restart()
    pair.node.expect([ENGINE, "dcgm"])

    assert known(pair.snapshot(1.0)) == []


def test_gpus_of_an_earlier_run_are_expected_of_the_source_that_told_of_them(bench, gpu):
    bench.node.expect(["dcgm", ENGINE])
    bench.take_gpus(gpu(0.0, 1000.0, 500.0), source="dcgm")
    bench = bench.restart()
    with_nvml = known(bench.snapshot(1.0))
    bench.node.expect(["dcgm", ENGINE])

    assert (with_nvml, known(bench.snapshot(1.0))) == ([], [0])


def test_gpus_of_a_file_that_does_not_tell_their_source_are_expected_of_nvml(pair, moment):
    kept = pair.node.dump()
    del kept["gpu_origins"]
    node = NodeReckoner("tray-07", "", 10.0, "boot:1", "run:2")
    node.load(json.loads(json.dumps(kept)))
    node.expect(["nvml"])

    assert known(node.snapshot(moment(1.0), (), {})) == [0, 1]


def test_a_gpu_of_an_old_file_that_was_never_read_is_not_expected(moment):
    node = NodeReckoner("tray-07", "", 10.0, "boot:1", "run:2")
    node.load({"counters": {}, "gpus": {"GPU-0": 0}, "engines": {}})
    node.expect(["nvml"])

    assert known(node.snapshot(moment(1.0), (), {})) == []


def test_a_gpu_that_was_taken_out_a_week_ago_is_no_longer_expected(pair, gpu):
    pair.take_gpus(gpu(WEEK_SECONDS + 1, 2000.0, 500.0, number=0))
    pair = pair.restart()

    assert known(pair.snapshot(WEEK_SECONDS + 2)) == [0]


def test_a_gpu_that_was_swapped_while_running_leaves_after_a_week(pair, gpu):
    pair.take_gpus(gpu(WEEK_SECONDS - 1, 2000.0, 500.0, number=0), gpu(WEEK_SECONDS - 1, 0.0, number=2))
    before = known(pair.snapshot(WEEK_SECONDS - 1))
    pair.take_gpus(gpu(WEEK_SECONDS, 2000.0, 500.0, number=0), gpu(WEEK_SECONDS, 0.0, number=2))

    assert (before, known(pair.snapshot(WEEK_SECONDS))) == ([0, 1, 2], [0, 2])


def test_a_gpu_that_left_stays_away_when_the_sources_are_named_again(pair, gpu):
    pair.take_gpus(gpu(WEEK_SECONDS, 2000.0, 500.0, number=0))
    pair.snapshot(WEEK_SECONDS)
    pair.node.expect(["nvml", ENGINE])

    assert known(pair.snapshot(WEEK_SECONDS)) == [0]


def test_a_gpu_that_left_stays_away_after_a_restart(pair, gpu):
    pair.take_gpus(gpu(WEEK_SECONDS, 2000.0, 500.0, number=0))
    pair.snapshot(WEEK_SECONDS)

    assert known(pair.restart().snapshot(WEEK_SECONDS)) == [0]


def test_a_module_leaves_with_its_gpu(pair, gpu, page, standing):
    for second in range(12):
        at = WEEK_SECONDS + second
        pair.take_gpus(gpu(at, 500.0 * second, 500.0, number=0, serial="165", module_watts=900.0))
        pair.take_page(page(at, 10.0 * second))

    assert standing(pair.snapshot(WEEK_SECONDS + 11), "node_tokens_per_joule_module").valid


def test_a_gpu_that_returns_after_it_left_keeps_its_number_and_its_total(pair, gpu):
    pair.take_gpus(gpu(1.0, 2000.0, 500.0, number=0), gpu(1.0, 1500.0, 500.0, number=1))
    pair.take_gpus(gpu(WEEK_SECONDS + 1, 2000.0, 500.0, number=0))
    pair.snapshot(WEEK_SECONDS + 1)
    pair.take_gpus(gpu(WEEK_SECONDS + 2, 1500.0, 500.0, number=1))
    told = pair.snapshot(WEEK_SECONDS + 2).gpus[1]

    assert (told.gpu, told.energy_joules_total) == (1, 500.0)


@pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS, 10 * WEEK_SECONDS])
def test_a_stepped_clock_makes_no_running_node_forget_its_gpus(pair, step):
    assert known(pair.snapshot(1.0, stepped=step)) == [0, 1]


@pytest.mark.parametrize("step", [-HOUR_SECONDS, HOUR_SECONDS])
def test_a_clock_stepped_by_an_hour_makes_no_restarted_node_forget_its_gpus(pair, step):
    assert known(pair.restart().snapshot(1.0, stepped=step)) == [0, 1]


def test_a_gpu_seen_in_the_future_leaves_a_week_after_the_clock_was_mended(bench, gpu, moment):
    bench.take_gpus(gpu(0.0, at=moment(0.0, stepped=100 * WEEK_SECONDS)))
    bench = bench.restart()
    mended = known(bench.snapshot(1.0))

    assert (mended, known(bench.snapshot(WEEK_SECONDS + 1))) == ([0], [])


# ---- how many there should be, as somebody stated it


def served(bench, gpu, page, gpus):
    """A window of work on some GPUs, each on a board of its own."""
    for second in range(13):
        bench.take_gpus(
            *(
                gpu(float(second), 500.0 * second, 500.0, number=n, serial=f"16{n}", module_watts=900.0)
                for n in range(gpus)
            )
        )
        bench.take_page(page(float(second), 10.0 * second))
    return bench.snapshot(12.0)


def test_a_gpu_that_was_never_seen_is_missed_where_it_is_said_how_many_there_are(bench, gpu, page, standing):
    bench.node.prefer(PREFERENCE, 4)
    snapshot = served(bench, gpu, page, 3)

    assert (len(snapshot.gpus), snapshot.gpus_absent) == (3, 1)
    for boundary in ("gpu", "module"):
        figure = f"node_tokens_per_joule_{boundary}"
        assert standing(snapshot, figure).reasons == {Invalid.MEMBER_MISSING}
        assert Invalid.MEMBER_MISSING in {b.boundary: b.reasons for b in snapshot.boundaries}[boundary]
    assert snapshot.tokens_per_joule == {}
    assert snapshot.notes[0].startswith("only 3 of 4 GPUs were ever seen here (node.gpus): compare lspci")


@pytest.mark.parametrize("wanted", [None, 0, 2, 3])
def test_nothing_is_missed_where_enough_are_there(bench, gpu, page, standing, wanted):
    bench.node.prefer(PREFERENCE, wanted)
    snapshot = served(bench, gpu, page, 3)

    assert (snapshot.gpus_absent, snapshot.notes) == (0, ())
    assert standing(snapshot, "node_tokens_per_joule_gpu").valid


def test_until_the_driver_has_answered_nothing_is_missed(bench):
    bench.node.prefer(PREFERENCE, 4)
    bench.node.expect(["nvml", ENGINE])

    assert bench.snapshot(0.0).gpus_absent == 0

    bench.node.miss("nvml")
    assert bench.snapshot(1.0).gpus_absent == 4


def test_what_is_expected_and_what_answers_are_rows(bench, gpu, lost_gpu):
    bench.node.prefer(PREFERENCE, 4)
    bench.take_gpus(gpu(0.0, 0.0, 500.0), lost_gpu(0.0, number=1), gpu(0.0, 0.0, 500.0, number=2))
    rows = {row.metric: row.value for row in rows_of(bench.snapshot(0.0)) if "node_gpus" in row.metric}

    assert rows == {"node_gpus_expected": 4, "node_gpus_reporting": 2}


def test_a_node_alone_is_a_rack_that_misses_its_gpu(bench, gpu):
    bench.node.prefer(PREFERENCE, 4)
    bench.take_gpus(gpu(0.0, 0.0, 500.0))
    rack = rack_of_one(bench.snapshot(0.0), RackPlan())

    assert (rack.gpus_expected, rack.gpus_reporting) == (4, 1)
