"""One member of a rack: its clock, its live series, and what it gives over one window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from agent.measure.engine import TokenKind
from agent.measure.rack_clock import MemberClock
from agent.measure.rack_outside import moved, with_meter
from agent.measure.series import Point, Series, max_gap_seconds
from agent.measure.totals import counting_output, told_seconds
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.efficiency import Window
    from agent.measure.node_meters import RackMeter
    from agent.measure.rack_ledger import Key
    from agent.measure.series import Grown, Horizon
    from agent.measure.totals import BoundaryTotals, DeploymentTotals, EngineTotals, MemberReading, NodeTotals

SLOWEST_SECONDS = 120.0
"""A source that is read more rarely does not stretch the rack's window; it is not covered."""
ROUNDING_SECONDS = 1e-6
"""A moment that went to our clock and back may end up this far behind the newest sample it came from."""
STALE_SECONDS = 10.0
"""A node reckons at least once a second: one that answers with older figures hangs."""

MOST_BOUNDARIES = 16
"""There are four; names come from outside."""


class Reach(NamedTuple):
    """How far one series of a member has come, on our clock."""

    last: float
    cadence_seconds: float


@dataclass(slots=True)
class PartSums:
    """What one deployment gives that is a part of what its member has."""

    tokens: dict[TokenKind, float] = field(default_factory=dict)
    joules: dict[str, float] = field(default_factory=dict)
    reasons: dict[TokenKind, set[Invalid]] = field(default_factory=dict)
    away: bool = False

    def whole(self, kind: TokenKind) -> bool:
        """Whether every series of a kind is in; a kind that none of its instances counts has none."""
        return not self.away and not self.reasons.get(kind)


@dataclass(slots=True)
class MemberSums:
    """What a member gives over one window."""

    tokens: dict[TokenKind, float] = field(default_factory=dict)
    """Of every series that is valid at both edges."""
    by_model: dict[tuple[str, TokenKind], float] = field(default_factory=dict)
    """The same, of engines that serve one model."""
    joules: dict[str, float] = field(default_factory=dict)
    reasons: dict[TokenKind, set[Invalid]] = field(default_factory=dict)
    """What keeps a series of each kind out."""
    joule_reasons: dict[str, frozenset[Invalid]] = field(default_factory=dict)
    uncertainty: float = 0.0
    """Of its output tokens."""
    valid_ratio: float = 0.0
    """Share of its output series that are in."""
    known_ratio: float = 0.0
    """Share of the window for which its output series are known."""
    flags: set[Flag] = field(default_factory=set)
    joule_flags: dict[str, frozenset[Flag]] = field(default_factory=dict)
    zeros: set[TokenKind] = field(default_factory=set)
    """Kinds of which it makes none for certain over the whole window."""
    parts: dict[int, PartSums] = field(default_factory=dict)
    """By place among its deployments: those that are not all that it has."""
    young: set[int] = field(default_factory=set)
    """Places of those that got or lost instances or GPUs within the window."""

    def whole(self, kind: TokenKind) -> bool:
        """Whether every series of a kind is in, or there is none because none of it is made."""
        return (kind in self.tokens or kind in self.zeros) and not self.reasons.get(kind)


class RackMember:
    """What is remembered of one member between polls. Its series stay on its own clock."""

    def __init__(self, url: str, horizon: Horizon) -> None:
        self.url = url
        self.totals: NodeTotals | None = None
        """Its last document; while it is away only who it is, is still true."""
        self.up = False
        """Whether its last document is young enough, and was then: `settle` looks at the time."""
        self.missed = False
        """Whether its last poll was lost."""
        self.read_here_watts: float | None = None
        self.why = "was not asked yet"
        self.seen_seconds: float | None = None
        """When it last answered, on our clock."""
        self.key: Key | None = None
        """Its account."""
        self.most_gpus = 0
        self.gpus: tuple[tuple[int, str], ...] = ()
        """Number and UUID of the GPUs it last showed."""
        self.clock = MemberClock()
        self._horizon = horizon
        self._cadence_seconds = 1.0
        self._reset_seconds: float | None = None
        self._tokens: dict[tuple[str, TokenKind], Series] = {}
        self._energy: dict[str, Series] = {}
        self._shares: dict[tuple[str, str, str], Series] = {}
        """Energy of deployments that are a part of the node, by deployment, model and boundary."""
        self._zeros: dict[TokenKind, float] = {}
        """Kinds of which it makes none, and since when it says so."""
        self._token_reach: list[Reach] = []
        self._energy_reach: list[Reach] = []

    @property
    def gpus_wanted(self) -> int:
        """How many GPUs it should have: the most that it has shown, and those that it misses itself."""
        told = self.totals
        return self.most_gpus if told is None else max(self.most_gpus, len(told.gpus) + told.gpus_absent)

    @property
    def name(self) -> str:
        """Its name; the host and port of its address until it has told one."""
        return self.key[0] if self.key is not None else self.url.partition("://")[2].rstrip("/")

    @property
    def boot_id(self) -> str:
        """On which boot of which machine it was last seen; empty before that."""
        return self.totals.origin.boot_id if self.totals is not None else ""

    def take(self, reading: MemberReading, cadence_seconds: float, meter: RackMeter | None = None) -> bool:
        """Take one answer, and its meter if it is read here; return False for one that tells nothing new."""
        totals, answered = reading.totals, reading.first_byte_monotonic_seconds
        boot_id, theirs = totals.origin.boot_id, totals.at.monotonic_seconds
        if self.clock.is_old(boot_id, theirs):
            self.up = False
            self.miss("it answered with a copy of an earlier answer: is there a cache in between?")
            return False
        same = self.clock.observe(boot_id, theirs, reading.asked_monotonic_seconds, answered)
        totals, previous = with_meter(totals, meter, self.clock.shift_seconds), self.totals
        for boundary in moved(previous, totals):
            self._energy.pop(boundary, None)
        if previous is not None and previous.origin.ledger != totals.origin.ledger:
            self._reset_seconds, same = answered, False
        if not same:
            self._tokens, self._energy, self._shares, self._zeros = {}, {}, {}, {}
        elif previous is not None and previous.origin.run != totals.origin.run:
            self._forget_fallen(totals)
        self.totals, self.seen_seconds, self._cadence_seconds = totals, answered, cadence_seconds
        self.missed = False
        hung_seconds = theirs - totals.reckoned_seconds
        self.up = hung_seconds <= STALE_SECONDS
        self.why = "" if self.up else f"its figures are {hung_seconds:.0f} s old: its rackwatt hangs"
        self.gpus = tuple((gpu.gpu, gpu.uuid) for gpu in totals.gpus)
        self.most_gpus = max(self.most_gpus, len(self.gpus))
        self._extend(totals)
        return True

    def miss(self, why: str) -> None:
        """Note that it did not answer."""
        self.missed, self.why = True, why

    def settle(self, now: float) -> None:
        """See whether it is away: then what it told is no longer shown (T15).

        One lost poll takes nobody out: it is up while its last document is young, and the age is told.
        """
        if self.up and self.away_seconds(now) > max_gap_seconds(self._cadence_seconds):
            self.up = False
            self.why = self.why or f"has not been read for {self.away_seconds(now):.0f} s"

    def away_seconds(self, asked: float) -> float:
        """Return for how long it had not answered when it was asked; infinite for never in this run."""
        return float("inf") if self.seen_seconds is None else asked - self.seen_seconds

    def was_silent(self, totals: NodeTotals) -> bool:
        """Tell whether none of its engines had told anything for longer than a gap.

        One that was stopped answers first with what it knew, and only then with what was made meanwhile.
        """
        previous = self.totals
        if previous is None or previous.origin.boot_id != totals.origin.boot_id:
            return False
        before, after = told_seconds(previous), told_seconds(totals)
        slowest = max((engine.cadence_seconds for engine in totals.engines), default=self._cadence_seconds)
        return before is not None and after is not None and after - before > max_gap_seconds(slowest)

    def reach(self) -> tuple[Sequence[Reach], Sequence[Reach]]:
        """Return how far the series of engines that are up, and the energy of each boundary, have come."""
        return self._token_reach, self._energy_reach

    def sums(self, window: Window | None) -> MemberSums:
        """Reckon what it gives over a window on our clock; its own clock measures how long that is."""
        found = MemberSums()
        if self.totals is None or window is None:
            away = Invalid.GAP if self.up else Invalid.MEMBER_MISSING
            none = self.totals is not None and not counting_output(self.totals)
            found.reasons[TokenKind.OUTPUT] = {Invalid.NO_ENGINES if none else away}
            return found
        shift = self.clock.shift_seconds
        start, end = window.start - shift, window.end - shift
        self._begin_parts(self.totals, start, found)
        self._sum_tokens(self.totals, start, end, found)
        self._sum_zeros(self.totals, start, found)
        for at in self.totals.boundaries:
            self._sum_joules(at, start, end, found)
        for place, part in found.parts.items():
            self._sum_part(self.totals.deployments[place], start, end, part)
        if self._reset_seconds is not None and self._reset_seconds >= window.start:
            found.flags.add(Flag.COUNTER_RESET)
        if not self.up:
            for reasons in found.reasons.values():
                reasons.add(Invalid.MEMBER_MISSING)
        return found

    def _begin_parts(self, totals: NodeTotals, start: float, found: MemberSums) -> None:
        for place, told in enumerate(totals.deployments):
            if told.since_seconds > start:
                found.young.add(place)
            if not told.whole:
                found.parts[place] = PartSums(away=not self.up)

    def _sum_tokens(self, totals: NodeTotals, start: float, end: float, found: MemberSums) -> None:
        valid, known = 0, 0.0
        for engine in totals.engines:
            gap = max_gap_seconds(self._seen_cadence(engine.cadence_seconds))
            for kind in {TokenKind.OUTPUT, *engine.live} if engine.counts_output else engine.live:
                series = self._tokens.get((engine.instance, kind)) if engine.up else None
                output = kind is TokenKind.OUTPUT
                grown = None if series is None else _grown(series, start, end, gap, bounded=output)
                why_not = _why_not(series, grown, start)
                if why_not is not None:
                    _doubt(engine, kind, why_not, found)
                elif grown is not None:
                    _add(engine, kind, grown, found)
                if output and why_not is None:
                    valid, known = valid + 1, known + 1.0
                elif output and series is not None:
                    known += series.known_seconds(start, end, gap) / (end - start)
            _note_flags(engine, start, found)
        number = max(1, counting_output(totals))
        found.valid_ratio, found.known_ratio = valid / number, min(1.0, known / number)

    def _sum_zeros(self, totals: NodeTotals, start: float, found: MemberSums) -> None:
        """Tell which kinds are zero for certain, and of those that nothing counts there why they are not."""
        uncounted = not counting_output(totals)
        for kind in {TokenKind.OUTPUT, *self._zeros} if uncounted else self._zeros:
            doubts = self._why_not_zero(kind, start)
            if doubts:
                found.reasons.setdefault(kind, set()).update(doubts)
            else:
                found.zeros.add(kind)
        if uncounted and TokenKind.OUTPUT in found.zeros:
            found.valid_ratio = found.known_ratio = 1.0

    def _why_not_zero(self, kind: TokenKind, start: float) -> set[Invalid]:
        """Tell why a kind that nothing counts there is not known to be zero since `start`; empty: it is."""
        since = self._zeros.get(kind)
        if since is None:
            return {Invalid.NO_ENGINES}
        if not self.up:
            return {Invalid.MEMBER_MISSING}
        return {Invalid.WARMING_UP} if since > start else set()

    def _sum_joules(self, at: BoundaryTotals, start: float, end: float, found: MemberSums) -> None:
        series = self._energy.get(at.boundary)
        grown = self._joules(series, at, start, end)
        why_not = _why_not(series, grown, start)
        found.joule_reasons[at.boundary] = at.reasons | (frozenset() if why_not is None else {why_not})
        found.joule_flags[at.boundary] = at.flags
        if grown is not None and not found.joule_reasons[at.boundary]:
            found.joules[at.boundary] = grown.amount

    def _sum_part(self, told: DeploymentTotals, start: float, end: float, part: PartSums) -> None:
        for at in told.energies:
            grown = self._joules(self._shares.get(_share(told, at)), at, start, end)
            if grown is not None and not at.reasons:
                part.joules[at.boundary] = grown.amount

    def _joules(self, series: Series | None, at: BoundaryTotals, start: float, end: float) -> Grown | None:
        gap = max_gap_seconds(self._seen_cadence(at.cadence_seconds))
        return None if series is None else _grown(series, start, end, gap, bounded=False)

    def _extend(self, totals: NodeTotals) -> None:
        """Add the newest points; series of engines that are gone are forgotten."""
        listed = {engine.instance for engine in totals.engines}
        tokens = {key: series for key, series in self._tokens.items() if key[0] in listed}
        for engine in totals.engines:
            self._horizon.stretch(self._seen_cadence(engine.cadence_seconds))
            for kind, point in engine.live.items():
                key = (engine.instance, kind)
                if key not in tokens:
                    tokens[key] = Series(self._horizon)
                tokens[key].add(point)
        energy = dict(self._energy) if len(self._energy) <= MOST_BOUNDARIES else {}
        for at in totals.boundaries:
            self._horizon.stretch(self._seen_cadence(at.cadence_seconds))
            energy[at.boundary] = self._extended(energy.get(at.boundary), at)
        self._shares = {
            _share(told, at): self._extended(self._shares.get(_share(told, at)), at)
            for told in totals.deployments
            for at in told.energies
        }
        self._tokens, self._energy = tokens, energy
        self._zeros = {kind: self._zeros.get(kind, totals.reckoned_seconds) for kind in totals.zeros}
        shift = self.clock.shift_seconds
        self._token_reach = [
            Reach(tokens[engine.instance, kind].newest + shift, self._seen_cadence(engine.cadence_seconds))
            for engine in totals.engines
            if engine.up and engine.cadence_seconds <= SLOWEST_SECONDS
            for kind in engine.live
        ]
        self._energy_reach = [
            Reach(energy[at.boundary].newest + shift, self._seen_cadence(at.cadence_seconds))
            for at in totals.boundaries
            if at.cadence_seconds <= SLOWEST_SECONDS
        ]

    def _forget_fallen(self, totals: NodeTotals) -> None:
        """Begin anew what a restarted node had not kept: its rate is unknown then, and not 0."""
        told = {(e.instance, kind): point.value for e in totals.engines for kind, point in e.live.items()}
        joules = {at.boundary: at.joules for at in totals.boundaries}
        self._tokens = {key: each for key, each in self._tokens.items() if not _fell(each, told.get(key))}
        self._energy = {key: each for key, each in self._energy.items() if not _fell(each, joules.get(key))}
        self._shares = {}

    def _extended(self, known: Series | None, at: BoundaryTotals) -> Series:
        """Return the energy of a boundary with its newest point, begun anew after a hole in it."""
        hole = known is not None and known.last is not None and (at.since_seconds or 0.0) > known.last.seconds
        series = Series(self._horizon) if known is None or hole else known
        if not at.reasons:  # a sum that lacks a GPU is no edge: what it used then comes later, at once
            series.add(Point(at.at_seconds, at.joules))
        return series

    def _seen_cadence(self, cadence_seconds: float) -> float:
        """Return how far apart samples of a source are here: it is read there, then polled."""
        return min(cadence_seconds, SLOWEST_SECONDS) + self._cadence_seconds


def _share(told: DeploymentTotals, at: BoundaryTotals) -> tuple[str, str, str]:
    return (told.deployment, told.model, at.boundary)


def _part_of(engine: EngineTotals, found: MemberSums) -> PartSums | None:
    """Return the sums of the deployment that an engine is of, if that is not all that the member has."""
    return None if engine.deployment is None else found.parts.get(engine.deployment)


def _doubt(engine: EngineTotals, kind: TokenKind, why: Invalid, found: MemberSums) -> None:
    found.reasons.setdefault(kind, set()).add(why)
    part = _part_of(engine, found)
    if part is not None:
        part.reasons.setdefault(kind, set()).add(why)


def _add(engine: EngineTotals, kind: TokenKind, grown: Grown, found: MemberSums) -> None:
    found.tokens[kind] = found.tokens.get(kind, 0.0) + grown.amount
    if kind is TokenKind.OUTPUT:
        found.uncertainty += grown.uncertainty
    if len(engine.models) == 1:
        pair = (engine.models[0], kind)
        found.by_model[pair] = found.by_model.get(pair, 0.0) + grown.amount
    part = _part_of(engine, found)
    if part is not None:
        part.tokens[kind] = part.tokens.get(kind, 0.0) + grown.amount


def _fell(series: Series, value: float | None) -> bool:
    return value is not None and series.last is not None and value < series.last.value


def _grown(series: Series, start: float, end: float, gap: float, *, bounded: bool) -> Grown | None:
    newest = series.newest
    if newest < end <= newest + ROUNDING_SECONDS:
        end = newest
    return series.grown(start, end, gap, bounded=bounded)


def _why_not(series: Series | None, grown: Grown | None, start: float) -> Invalid | None:
    """Tell why a series does not count over a window; None when it does."""
    if series is None:
        return Invalid.MEMBER_MISSING
    if grown is not None:
        return Invalid.BELOW_RESOLUTION if grown.below_step else None
    first = series.first
    return Invalid.WARMING_UP if first is None or first.seconds > start else Invalid.GAP


def _note_flags(engine: EngineTotals, start: float, found: MemberSums) -> None:
    if engine.on_finish:
        found.flags.add(Flag.ON_FINISH)
    if engine.reset_seconds is not None and engine.reset_seconds >= start:
        found.flags.add(Flag.COUNTER_RESET)
