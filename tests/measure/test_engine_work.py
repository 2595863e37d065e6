"""Requests of an engine as totals (T1, T2, T25), through the node and its rows."""

import pytest

from agent.measure.engine import Demand, EngineReading
from agent.measure.rows import rows_of


@pytest.fixture
def work(bench, page):
    """Rows of one metric after these pages, by the labels that follow the engine's."""

    def take(metric, *demands, since=0.0, **more):
        for second, demand in enumerate(demands):
            told = page(since + second, 100.0, **more)
            fields = {name: getattr(told, name) for name in told.__slots__}
            bench.take_page(EngineReading(**fields | {"demand": demand}))
        rows = rows_of(bench.snapshot(since + len(demands)))
        return {row.labels[3:]: row.value for row in rows if row.metric == metric}

    return take


def test_t1_requests_that_ended_before_we_looked_are_not_in_the_total(work):
    assert work("engine_requests_finished_total", Demand(succeeded=900.0)) == {("succeeded",): 0.0}


def test_t1_requests_are_counted_by_how_they_ended(work):
    first = Demand(succeeded=900.0, failed=3.0, aborted=1.0)
    then = Demand(succeeded=912.0, failed=4.0, aborted=1.0)

    assert work("engine_requests_finished_total", first, then) == {
        ("succeeded",): 12.0,
        ("failed",): 1.0,
        ("aborted",): 0.0,
    }


def test_arrivals_are_counted(work):
    assert work("engine_arrivals_total", Demand(arrivals=7.0), Demand(arrivals=9.0)) == {(): 2.0}


def test_preemptions_are_counted(work):
    assert work("engine_preemptions_total", Demand(preemptions=7.0), Demand(preemptions=9.0)) == {(): 2.0}


def test_t4_what_an_engine_does_not_count_is_absent(work):
    assert work("engine_arrivals_total", Demand(), Demand()) == {}


def test_t2_a_counter_that_fell_restarted(work):
    assert work("engine_arrivals_total", Demand(arrivals=7.0), Demand(arrivals=2.0), epoch=None) == {(): 2.0}


def test_t2_a_restart_that_the_counter_hides_shows_in_the_start_time(work):
    work("engine_arrivals_total", Demand(arrivals=7.0))

    assert work("engine_arrivals_total", Demand(arrivals=9.0), since=2.0, epoch="start:1760000001") == {
        (): 9.0
    }


def test_t25_a_counter_that_appears_later_began_at_zero(work):
    assert work("engine_arrivals_total", Demand(), Demand(arrivals=2.0)) == {(): 2.0}


def test_t1_requests_survive_a_restart_of_rackwatt(bench, page):
    def told(second, arrivals):
        bare = page(second, 100.0)
        fields = {name: getattr(bare, name) for name in bare.__slots__}
        return EngineReading(**fields | {"demand": Demand(arrivals=arrivals)})

    bench.take_page(told(0.0, 7.0))
    bench.take_page(told(1.0, 9.0))
    bench = bench.restart()
    bench.take_page(told(9.0, 20.0))

    assert bench.snapshot(9.0).engines[0].work["arrivals"] == 13.0


def test_requests_are_told_while_the_engine_is_away(work, bench):
    work("engine_arrivals_total", Demand(arrivals=7.0), Demand(arrivals=9.0))
    bench.miss("engines/a:8000")

    assert bench.snapshot(3.0).engines[0].work["arrivals"] == 2.0
