"""Whatever gaps, late reads and cadence: energy neither falls, comes from nothing nor counts twice."""

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.measure.gpu import GpuIdentity, GpuReading, Power, PowerScope
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading

UNIX = 1_760_000_000.0
WATTS = st.floats(0.0, 1400.0)
GAPS = st.floats(0.05, 6.0)


def totals_of(samples):
    """Energy at the boundary gpu after each (seconds, watts, counter) of one GPU; both may be None."""
    node, totals = NodeReckoner("n", "", 10.0, "boot:1", "run:0"), []
    node.expect(["nvml"])
    for seconds, watts, counter in samples:
        at = Moment(seconds, UNIX + seconds)
        power = {} if watts is None else {PowerScope.GPU: Power(watts)}
        identity = GpuIdentity("GPU-0", "NVIDIA GB300", "0:6:0.0", "580")
        node.take(
            Reading("nvml", at, gpus=(GpuReading(identity, at, power=power, energy_joules=counter),)), 1.0
        )
        totals.append(node.dump()["counters"].get("boundary/gpu", [0.0])[0])
    return totals


@given(st.lists(st.tuples(GAPS, WATTS), min_size=2, max_size=40), st.data())
def test_t9_integrated_power_is_the_trapezoids_of_short_gaps_whatever_is_read_again(steps, data):
    """No counter at all: nobody knows what was drawn in a gap of more than three seconds."""
    samples, seconds, again = [], 0.0, []
    for gap, watts in steps:
        seconds += gap
        samples.append((seconds, watts, None))
        again.append(samples[-1])
        again += data.draw(st.lists(st.sampled_from(samples), max_size=2))
    known = sum(
        (after[1] + before[1]) / 2 * (after[0] - before[0])
        for before, after in pairwise(samples)
        if after[0] - before[0] <= 3.0
    )
    totals = totals_of(again)

    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(known, rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(GAPS, WATTS, st.none() | WATTS), min_size=2, max_size=40))
def test_t2_a_counter_is_counted_once_beside_power_of_its_own_mind(steps):
    """The integral of power never enters a total that a counter makes, however long the gaps are."""
    samples, seconds, counter = [(0.0, 500.0, 7000.0)], 0.0, 7000.0
    for gap, drawn, shown in steps:
        seconds, counter = seconds + gap, counter + drawn * gap
        samples.append((seconds, shown, counter))
    totals = totals_of(samples)

    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(counter - 7000.0, rel=1e-9, abs=1e-6)


@given(st.lists(WATTS, min_size=2, max_size=60))
def test_halving_the_interval_changes_no_energy_of_a_counter(watts):
    each = [(float(n), 500.0, float(sum(watts[:n]))) for n in range(len(watts))]
    every_other = [*each[:-1:2], each[-1]]

    assert totals_of(each)[-1] == pytest.approx(totals_of(every_other)[-1], rel=1e-12)


@given(st.lists(WATTS, min_size=2, max_size=30))
def test_halving_the_interval_changes_no_integral_of_power_that_moves_evenly(watts):
    every_other = [(2.0 * n, each, None) for n, each in enumerate(watts)]
    between = [(before[0] + 1.0, (before[1] + after[1]) / 2, None) for before, after in pairwise(every_other)]

    assert totals_of(every_other)[-1] == pytest.approx(totals_of(sorted(every_other + between))[-1], rel=1e-9)
