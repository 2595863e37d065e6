"""A live counter beside an exact one that moves when requests end (T21), through the node."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.measure.engine import Demand, EngineReading, TokenCounter, TokenKind
from agent.measure.engine_book import EngineBook
from agent.measure.ledger import Ledger
from agent.measure.reading import Moment
from agent.measure.series import Horizon

OUTPUT = TokenKind.OUTPUT
UNIX = 1_760_000_000.0


@pytest.fixture
def live(bench):
    """The newest value of the live series."""

    def find(seconds):
        return bench.snapshot(float(seconds)).engines[0].live[OUTPUT].value

    return find


@pytest.fixture
def feed(bench, page):
    """Pages a second apart: exact counter, live counter, running requests."""

    def take(*pages, since=0.0, **more):
        for second, (exact, counter, running) in enumerate(pages):
            told = page(
                since + second, exact, live_output_tokens=counter, running=running, waiting=0.0, **more
            )
            bench.take_page(told)

    return take


BUSY = tuple((500.0, 900.0 + 20.0 * second, 1.0) for second in range(11))


def test_t21_the_rate_is_that_of_the_live_counter(bench, feed):
    feed(*BUSY)

    assert bench.snapshot(10.0).tokens_per_second == {OUTPUT: 20.0}


def test_t21_the_total_is_that_of_the_exact_counter(bench, feed, total):
    feed(*BUSY[:-1], (700.0, 1100.0, 0.0))

    assert total(bench.snapshot(10.0)) == 200.0


def test_t21_a_request_that_ends_is_no_burst(bench, feed):
    feed(*BUSY[:-1], (680.0, 1100.0, 1.0))

    assert bench.snapshot(10.0).tokens_per_second == {OUTPUT: 20.0}


def test_t21_what_was_made_before_we_looked_is_no_burst_when_its_request_ends(bench, feed):
    feed(*BUSY[:-1], (5500.0, 1100.0, 1.0))

    assert bench.snapshot(10.0).tokens_per_second == {OUTPUT: 20.0}


def test_t21_an_engine_that_ran_for_days_brings_no_tokens_of_its_past(feed, live):
    feed((5e9, 7e9, 3.0), (5e9, 7e9 + 20.0, 3.0))

    assert live(1) == 20.0


def test_t21_what_is_pending_when_an_engine_is_first_seen_is_not_known(bench, feed):
    feed((500.0, 900.0, 1.0), (500.0, 900.0, 1.0))

    assert bench.snapshot(1.0).engines[0].tokens[0].uncertainty == 0.0


def test_t21_what_an_unfinished_request_has_made_is_in_the_bound(bench, feed):
    feed((500.0, 900.0, 1.0), (500.0, 930.0, 1.0))
    steepest = 30.0

    assert bench.snapshot(1.0).engines[0].tokens[0].uncertainty == 30.0 + steepest * 1.0


REST = tuple((500.0, 900.0, 0.0) for _ in range(4))


def test_t21_tokens_that_the_live_counter_misses_are_in_the_rate_when_the_exact_one_shows_them(feed, live):
    feed(*REST, (500.0, 990.0, 1.0), (600.0, 990.0, 0.0))

    assert live(5) == 100.0


def test_t21_tokens_of_a_request_that_was_given_up_were_made(feed, live):
    feed(*REST, (500.0, 990.0, 1.0), *[(500.0, 990.0, 0.0)] * 4)

    assert live(8) == 90.0


def test_t21_tokens_of_a_request_that_was_given_up_are_pending_no_more_once_the_engine_rests(bench, feed):
    feed(*REST, (500.0, 990.0, 1.0), *[(500.0, 990.0, 0.0)] * 20)
    feed((500.0, 990.0, 0.0), since=60.0)
    feed((500.0, 990.0, 0.0), since=61.0)

    assert bench.snapshot(61.0).engines[0].tokens[0].uncertainty == 0.0


def test_t21_tokens_given_up_do_not_hide_those_of_the_next_request(feed, live):
    feed(*REST, (500.0, 990.0, 1.0), *[(500.0, 990.0, 0.0)] * 4, (500.0, 1000.0, 1.0), (600.0, 1000.0, 0.0))

    assert live(10) == 90.0 + 100.0


def test_t21_a_gauge_that_may_be_old_is_no_proof_of_rest(bench, page, live):
    for second in range(9):
        told = page(
            float(second), 500.0 + 90.0 * (second == 8), live_output_tokens=990.0 if second else 900.0
        )
        demand = Demand(running=0.0, waiting=0.0, stale_seconds=30.0)
        bench.take_page(_with(told, demand))

    assert live(8) == 90.0


def test_t21_idle_time_that_grew_is_a_proof_of_rest_though_the_gauge_is_old(bench, page, live):
    for second in range(9):
        told = page(
            float(second), 500.0 + 90.0 * (second == 8), live_output_tokens=990.0 if second else 900.0
        )
        demand = Demand(running=0.0, stale_seconds=30.0, idle_seconds=100.0 + second)
        bench.take_page(_with(told, demand))

    assert live(8) == 180.0


def test_t2_a_restart_begins_the_live_counter_at_zero(feed, live):
    feed((500.0, 900.0, 1.0), (500.0, 930.0, 1.0))
    feed((None, 25.0, 1.0), since=9.0, epoch="start:1760000008")

    assert live(9) == 30.0 + 25.0


def test_t2_what_was_pending_when_an_engine_died_is_in_the_bound_of_what_is_lost(bench, feed):
    feed((500.0, 900.0, 1.0), (500.0, 930.0, 1.0))
    feed((10.0, 25.0, 1.0), since=2.0, epoch="start:1760000002")

    assert bench.snapshot(2.0).engines[0].tokens[0].unobserved == 30.0 + 30.0


def test_t2_a_live_counter_that_falls_without_a_restart_makes_no_tokens(feed, live):
    feed((500.0, 900.0, 1.0), (500.0, 930.0, 1.0), (500.0, 450.0, 1.0), epoch=None)

    assert live(2) == 30.0


def test_t2_what_was_pending_when_the_live_counter_fell_may_be_lost(bench, feed):
    feed((500.0, 900.0, 1.0), (500.0, 930.0, 1.0), (500.0, 3.0, 1.0), epoch=None)

    assert bench.snapshot(2.0).engines[0].tokens[0].unobserved == 30.0


def test_t2_an_exact_counter_that_appears_long_after_a_restart_leaves_the_live_one_alone(feed, live):
    feed((500.0, 900.0, 1.0), (None, 3.0, 1.0), (None, 23.0, 1.0), (20.0, 43.0, 1.0), epoch=None)

    assert live(3) == 40.0


def test_t25_a_live_counter_that_appears_with_the_first_token_began_at_zero(feed, live):
    feed((None, None, 0.0), (None, 15.0, 1.0))

    assert live(1) == 15.0


def test_t25_a_live_counter_that_appears_on_an_engine_with_tokens_brings_none(feed, live):
    feed((500.0, None, 0.0), (500.0, 90_000.0, 1.0))

    assert live(1) == 0.0


def test_t21_while_the_live_counter_is_not_told_the_exact_one_goes_on(feed, live):
    feed(*REST, (500.0, 990.0, 1.0), (700.0, None, 1.0))

    assert live(5) == 200.0


def test_t21_a_live_counter_that_comes_back_brings_what_it_made_meanwhile_once(feed, live):
    feed(*REST, (500.0, 990.0, 1.0), (700.0, None, 1.0), (700.0, 1120.0, 1.0))

    assert live(6) == 220.0


def test_t21_an_adopted_process_brings_no_tokens_of_its_past(feed, live):
    feed((500.0, 900.0, 1.0), (500.0, 930.0, 1.0))
    feed(*[(9000.0, 9900.0, 1.0)] * 4, since=2.0, epoch="start:1759980000")

    assert live(5) == 30.0


def test_t21_over_many_requests_the_live_series_and_the_exact_total_gain_the_same(feed, live):
    """The live counter misses the first token of each."""
    told = [(500.0 + 10.0 * done, 900.0 + 9.0 * done, float(done < 40)) for done in range(41)]
    feed(*REST, *told)

    assert live(44) == 400.0


def _given_up(page, second):
    """Seconds 1 to 7 show 90 tokens more than the exact counter, which gets them at second 8."""
    exact, counter = 590.0 if second == 8 else 500.0, 990.0 if second else 900.0
    return page(float(second), exact, live_output_tokens=counter)


def _with(told, demand):
    return EngineReading(**{name: getattr(told, name) for name in told.__slots__} | {"demand": demand})


class Truth(RuleBasedStateMachine):
    """An engine whose exact counter moves on finish and whose live one misses, repeats and restarts."""

    @initialize(exact=st.integers(0, 10**9), live=st.integers(0, 10**9), inside=st.lists(st.integers(1, 900)))
    def begin(self, exact, live, inside):
        self.seconds, self.runs = 1000.0, 0
        self.exact, self.live, self.requests = exact, live, list(inside)
        self.made, self.before = 0, sum(inside)
        self.missed = 0
        self.book = EngineBook("a:8000", Ledger(), Horizon(1e9))
        self.points, self.first = [], exact
        self.finished = 0
        self.look()

    @rule(tokens=st.integers(1, 500))
    def work(self, tokens):
        if not self.requests:
            self.requests.append(0)
        self.requests[-1] += tokens
        self.made += tokens
        self.live += tokens

    @rule(first=st.integers(0, 3))
    def arrive(self, first):
        """First tokens that the live counter does not show."""
        self.requests.append(first)
        self.made += first
        self.missed += first

    @rule()
    def finish(self):
        if self.requests:
            done = self.requests.pop(0)
            self.exact += done
            self.finished += done

    @rule()
    def give_up(self):
        if self.requests:
            self.requests.pop(0)

    @rule(repeated=st.integers(0, 200))
    def retract(self, repeated):
        """Work that is done twice: the live counter shows it twice."""
        self.live += repeated
        self.made += repeated

    @rule()
    def crash(self):
        self.requests.clear()
        self.exact = self.live = 0
        self.runs += 1

    @rule(elapsed=st.floats(0.5, 5.0), told=st.booleans())
    def look(self, elapsed=1.0, told=True):
        self.seconds += elapsed
        self.take(told=told)

    @rule()
    def rest(self):
        """Nothing to do for longer than any counter lags."""
        while self.requests:
            self.finish()
        for _ in range(4):
            self.look()

    def take(self, *, told):
        at = Moment(self.seconds, UNIX + self.seconds)
        counters = (TokenCounter("s", "m", OUTPUT, float(self.exact)),)
        reading = EngineReading(
            engine="sglang",
            instance="a:8000",
            model="m",
            at=at,
            asked_monotonic_seconds=self.seconds,
            epoch=f"run:{self.runs}",
            counters=counters,
            demand=Demand(running=float(len(self.requests)), waiting=0.0),
            live_output_tokens=float(self.live) if told else None,
            live=told,
        )
        self.book.take(reading, 1.0)
        self.points.append(self.book.live_output())

    @invariant()
    def the_live_series_never_falls(self):
        assert self.points == sorted(self.points)

    @invariant()
    def no_token_comes_from_nothing(self):
        grown = self.points[-1] - self.points[0]

        assert grown <= self.made + self.before

    @invariant()
    def the_total_is_what_the_exact_counter_gained(self):
        assert self.book.total(OUTPUT) <= self.finished

    @invariant()
    def what_is_pending_is_no_debt(self):
        assert self.points[-1] >= self.points[0]


TestTruth = Truth.TestCase
TestTruth.settings = settings(
    max_examples=120, stateful_step_count=40, suppress_health_check=list(HealthCheck)
)
