"""What no order of events may break: totals never fall, nothing comes from nothing, nothing seen is lost."""

import json
import math

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.measure.efficiency import Member, Window, sum_over
from agent.measure.engine import Demand, EngineReading, TokenCounter, TokenKind
from agent.measure.engine_book import EngineBook
from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Power, PowerScope
from agent.measure.ledger import Ledger
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading
from agent.measure.series import Horizon, Point, Series, max_gap_seconds
from agent.measure.validity import Invalid

UNIX = 1_760_000_000.0
ENGINE = "engines/a:8000"
TOKENS = "engine/a%3A8000/tokens/output/m"


class Node(RuleBasedStateMachine):
    """One engine and one GPU with a known truth; anything may happen to them and to rackwatt."""

    tells_start = True

    @initialize()
    def begin(self):
        self.seconds, self.stepped, self.runs = 1000.0, 0.0, 0
        self.raw, self.born, self.hidden_series = 700.0, self.seconds, False
        self.made, self.lost, self.seen_raw = 0.0, 0.0, 700.0
        self.counter, self.used, self.unseen_reset = 5000.0, 0.0, False
        self.clock_was_stepped = False
        self.pages, self.gpus = [], []
        self.totals = {}
        self.node = NodeReckoner("n", "", 10.0, "boot:1", "run:0")
        self.node.expect(["nvml", ENGINE])
        self.ask()
        self.sample()

    def moment(self):
        return Moment(self.seconds, UNIX + self.seconds + self.stepped)

    @rule(
        elapsed=st.floats(0.05, 30.0),
        tokens=st.integers(0, 5000),
        watts=st.floats(0.0, 1400.0),
    )
    def work(self, elapsed, tokens, watts):
        self.seconds += elapsed
        self.raw += tokens
        self.made += tokens
        self.counter += watts * elapsed
        self.used += watts * elapsed

    @rule(slow=st.floats(0.0, 1.0), pending=st.none() | st.integers(0, 500))
    def ask(self, slow=0.0, pending=None):
        counters = () if self.hidden_series else (TokenCounter("s", "m", TokenKind.OUTPUT, self.raw),)
        page = EngineReading(
            engine="vllm",
            instance="a:8000",
            model="m",
            at=self.moment(),
            asked_monotonic_seconds=self.seconds - slow,
            epoch=f"start:{UNIX + self.born + self.stepped}" if self.tells_start else None,
            counters=counters,
            demand=Demand(running=1.0),
            pending_output_tokens=pending,
        )
        self.take(Reading(ENGINE, page.at, engines=(page,)))
        self.pages.append(page)
        if counters:
            self.seen_raw = self.raw

    @rule(watts=st.none() | st.floats(0.0, 1400.0), counter=st.booleans())
    def sample(self, watts=500.0, counter=True):
        reading = GpuReading(
            GpuIdentity("GPU-0", "NVIDIA GB300", "0:6:0.0", "580"),
            self.moment(),
            power={} if watts is None else {PowerScope.GPU: Power(watts)},
            energy_joules=self.counter if counter else None,
        )
        self.take(Reading("nvml", reading.at, gpus=(reading,)))
        self.gpus.append(reading)

    def take(self, reading):
        self.node.take(reading, 1.0)

    @rule(data=st.data())
    def read_an_old_page_again(self, data):
        page = data.draw(st.sampled_from(self.pages))
        assume(self.runs == 0)
        self.take(Reading(ENGINE, page.at, engines=(page,)))

    @rule(data=st.data())
    def read_an_old_sample_again(self, data):
        reading = data.draw(st.sampled_from(self.gpus))
        assume(self.runs == 0)
        self.take(Reading("nvml", reading.at, gpus=(reading,)))

    @rule()
    def restart_the_engine(self):
        self.lost += self.raw - self.seen_raw
        self.seconds += 0.5
        self.raw, self.seen_raw, self.born = 0.0, 0.0, self.seconds

    @rule()
    def reset_the_gpu(self):
        self.counter, self.unseen_reset = 0.0, True

    @rule()
    def lose_the_gpu(self):
        reading = GpuReading(
            GpuIdentity("GPU-0", "NVIDIA GB300", "0:6:0.0", "580"), self.moment(), GpuState.LOST
        )
        self.take(Reading("nvml", reading.at, gpus=(reading,)))

    @rule(source=st.sampled_from(["nvml", ENGINE]))
    def miss(self, source):
        self.node.miss(source)

    @rule()
    def hide_or_show_the_series(self):
        self.hidden_series = not self.hidden_series

    @rule()
    def drop_the_engine_and_find_it_again(self):
        self.node.expect(["nvml"])
        self.node.expect(["nvml", ENGINE])

    @rule()
    def restart_rackwatt(self):
        kept = json.loads(json.dumps(self.node.dump(), allow_nan=False))
        self.runs += 1
        self.node = NodeReckoner("n", "", 10.0, "boot:1", f"run:{self.runs}")
        self.node.load(kept)
        self.node.expect(["nvml", ENGINE])

    @precondition(lambda self: self.tells_start)
    @rule(by=st.sampled_from([-3600.0, 3600.0]))
    def step_the_wall_clock(self, by):
        self.stepped += by
        self.born -= by
        self.clock_was_stepped = True

    def total(self, key):
        return self.node.dump()["counters"].get(key, [0.0])[0]

    def snapshot(self):
        return self.node.snapshot(self.moment(), (), {})

    @invariant()
    def no_total_goes_down(self):
        now = {key: entry[0] for key, entry in self.node.dump()["counters"].items()}
        fallen = {key for key, total in self.totals.items() if now[key] < total}
        self.totals = now

        assert fallen == set()

    @invariant()
    def no_rate_or_ratio_is_negative(self):
        snapshot = self.snapshot()
        told = [*snapshot.tokens_per_second.values(), *snapshot.tokens_per_joule.values()]

        assert all(value >= 0.0 for value in told)

    @invariant()
    def tokens_do_not_come_from_nothing(self):
        total = self.total(TOKENS)

        assert total <= self.made + 1e-6

    @invariant()
    def energy_does_not_come_from_nothing(self):
        assert self.total("gpu/GPU-0/energy") <= self.used * (1 + 1e-9) + 1e-6

    @invariant()
    def the_boundary_is_the_sum_of_its_gpus(self):
        assert self.total("boundary/gpu") == pytest.approx(self.total("gpu/GPU-0/energy"))

    def teardown(self):
        """When all is well again, what was observable has been counted to the last token."""
        if not hasattr(self, "node"):
            return
        self.hidden_series = False
        self.ask()
        self.sample()
        self.no_total_goes_down()
        if self.tells_start and not self.clock_was_stepped:
            assert self.total(TOKENS) == pytest.approx(self.made - self.lost)
        if not self.unseen_reset:
            assert self.total("gpu/GPU-0/energy") == pytest.approx(self.used)


class NodeOfMuteEngines(Node):
    """The same where the engine does not tell when it started."""

    tells_start = False


SETTINGS = settings(max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow])
TestNode = Node.TestCase
TestNode.settings = SETTINGS
TestNodeOfMuteEngines = NodeOfMuteEngines.TestCase
TestNodeOfMuteEngines.settings = SETTINGS


growths = st.lists(st.integers(0, 10_000), min_size=2, max_size=60)


def total_of(readings):
    """The output total of a fresh book after (seconds, raw, asked) pages."""
    ledger = Ledger()
    book = EngineBook("a", ledger, Horizon(120.0))
    for seconds, raw, asked in readings:
        book.take(page_of(seconds, raw, asked), 1.0)
    return book.total(TokenKind.OUTPUT)


def page_of(seconds, raw, asked=None, epoch="start:1759999999", pending=None):
    counters = (TokenCounter("s", "m", TokenKind.OUTPUT, raw),)
    at = Moment(seconds, UNIX + seconds)
    return EngineReading(
        "vllm",
        "a",
        "m",
        at,
        seconds if asked is None else asked,
        epoch,
        counters,
        Demand(running=1.0),
        None,
        pending,
    )


@given(growths)
def test_halving_the_interval_changes_no_total(grown):
    raws = [sum(grown[: n + 1]) for n in range(len(grown))]
    each = [(float(n), raw, float(n)) for n, raw in enumerate(raws)]
    every_other = [*each[::2], each[-1]]

    assert total_of(each) == total_of(every_other)


@given(growths, st.lists(st.floats(0.0, 0.9), min_size=60, max_size=60))
def test_pages_that_come_late_change_no_total(grown, late):
    raws = [sum(grown[: n + 1]) for n in range(len(grown))]
    in_time = [(float(n), raw, float(n)) for n, raw in enumerate(raws)]
    delayed = [(n + late[n], raw, float(n)) for n, raw in enumerate(raws)]

    assert total_of(delayed) == total_of(in_time)


@given(st.lists(st.floats(0.01, 2.99), min_size=3, max_size=80), st.floats(0.0, 1e6), st.data())
def test_t3_interpolation_is_exact_for_a_constant_rate_with_arbitrary_stamps(gaps, rate, data):
    series = Series(Horizon(1000.0))
    seconds = 0.0
    for gap in gaps:
        series.add(Point(seconds, rate * seconds))
        seconds += gap
    last = series.last.seconds
    start = data.draw(st.floats(0.0, last))
    end = data.draw(st.floats(start, last))
    grown = series.grown(start, end, 3.0)

    assert grown.amount == pytest.approx(rate * (end - start), rel=1e-9, abs=1e-6 * max(rate, 1.0))


@given(st.lists(st.lists(st.integers(0, 1000), min_size=30, max_size=30), min_size=1, max_size=8))
def test_t5_the_sum_over_members_equals_the_sum_of_the_members(rates):
    members = []
    for of_one in rates:
        series, value = Series(Horizon(1000.0)), 0.0
        for second, rate in enumerate(of_one):
            value += rate
            series.add(Point(float(second), value))
        members.append(Member(series, 1.0))
    window = Window(10.0, 20.0)
    alone = [sum_over([member], window, Invalid.NO_ENGINES).amount for member in members]

    assert sum_over(members, window, Invalid.NO_ENGINES).amount == pytest.approx(sum(alone))


@given(
    st.lists(st.floats(0.5, 1.5), min_size=3, max_size=40),
    st.lists(st.integers(0, 1000), min_size=40, max_size=40),
    st.floats(0.0, 1.0),
    st.floats(0.0, 30.0),
    st.floats(0.0, 1.0),
)
def test_t2_the_unobserved_bound_holds_when_the_rate_stays_below_its_observed_peak(
    gaps, rates, share_of_peak, lived_on, slow
):
    book, seconds, raw = EngineBook("a", Ledger(), Horizon(120.0)), 1000.0, 0.0
    for gap, rate in zip(gaps, rates, strict=False):
        book.take(page_of(seconds, raw), 1.0)
        seconds, raw = seconds + gap, raw + rate * gap
    made_before_the_byte = share_of_peak * max(rates[: len(gaps) - 1], default=0.0) * slow
    book.take(page_of(seconds, raw, asked=seconds - slow), 1.0)
    lost = share_of_peak * max(rates[: len(gaps)]) * lived_on + made_before_the_byte
    died = seconds + lived_on
    book.take(page_of(died + 1.0, 5.0, epoch=f"start:{UNIX + died}"), 1.0)
    figures = book.figures(Moment(died + 1.0, UNIX + died + 1.0), 10.0)

    assert lost <= figures.tokens[0].unobserved + 1e-6 * (1.0 + lost)


@given(
    st.lists(st.floats(0.8, 1.0), min_size=3, max_size=30),
    st.floats(1.0, 1e4),
    st.floats(1e-6, 0.2),
    st.lists(st.floats(0.0, 0.2), min_size=30, max_size=30),
    st.floats(0.0, 1.0),
)
def test_uncertainty_bounds_what_a_slowing_engine_has_made_beyond_its_total(gaps, rate, slowing, slow, until):
    def made(seconds):
        return rate / slowing * -math.expm1(-slowing * seconds)

    book, seconds = EngineBook("a", Ledger(), Horizon(120.0)), 0.0
    first = made(gaps[0] - slow[0])
    for gap, late in zip(gaps, slow, strict=False):
        seconds += gap
        book.take(page_of(seconds, made(seconds - late), asked=seconds - late), 1.0)
    now = seconds + until
    tokens = book.figures(Moment(now, UNIX + now), 10.0).tokens[0]

    assert made(now) - first - tokens.total <= tokens.uncertainty * (1 + 1e-9) + 1e-6


@given(st.floats(0.1, 60.0))
def test_t3_the_edge_limit_is_never_less_than_two_and_a_half_cadences(cadence):
    assert max_gap_seconds(cadence) >= 2.5 * cadence
