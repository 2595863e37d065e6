"""The rack: takes what its members tell, keeps their totals, reckons snapshots. Time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.measure.meter import NODE
from agent.measure.rack_figures import MEMBERS_PER_STEP, figures_in_steps
from agent.measure.rack_ledger import RackLedger
from agent.measure.rack_member import RackMember
from agent.measure.rack_outside import OutsideBook
from agent.measure.rack_site import NOTHING, Pricing, with_site
from agent.measure.rack_view import Place, snapshot_in_steps
from agent.measure.series import Horizon, max_gap_seconds
from agent.measure.site import NO_SITE
from agent.measure.site_book import SiteBook

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from agent.measure.node_meters import RackMeter
    from agent.measure.rack_figures import RackFigures
    from agent.measure.rack_ledger import Key
    from agent.measure.rack_site import Beside
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.reading import Moment
    from agent.measure.records import Record
    from agent.measure.site import Site
    from agent.measure.tariff import Prices
    from agent.measure.totals import MemberReading

HORIZON_WINDOWS = 2.0
"""Series are kept for two windows; slow sources stretch that. A thousand members have many series."""
DRAINED_HERE = "drained on the rack's daemon"
DRAINED_BY_PLAN = "drained by the configuration of the rack"


class UnknownMemberError(LookupError):
    """No member has that name; says which there are."""


@dataclass(frozen=True, slots=True)
class RackPlan:
    """What was configured of the rack."""

    name: str = ""
    """Empty: as most members call their rack."""
    nodes_expected: int | None = None
    """At least: more are expected when more members are named, or more GPUs were seen."""
    gpus_expected: int | None = None
    record: Record | None = None
    drained: frozenset[str] = frozenset()
    """Members that are out on purpose, by name or address."""
    site: Site = NO_SITE
    prices: Prices | None = None
    """What a kilowatt hour costs, by the clock of the site."""
    feed: bool = False
    """Whether a feed is configured that tells what electricity emits."""

    @property
    def pricing(self) -> Pricing:
        """What was stated of the site."""
        return Pricing(self.site, self.prices, self.feed)


class RackReckoner:
    """Holds the books of a rack; members' totals go in, snapshots come out."""

    def __init__(self, plan: RackPlan, window_seconds: float) -> None:
        self.plan = plan
        """May be replaced while it runs."""
        self._window_seconds = window_seconds
        self._horizon = Horizon(HORIZON_WINDOWS * window_seconds)
        self._members: dict[str, RackMember] = {}
        self._ledger = RackLedger()
        self._site = SiteBook()
        self._drained: dict[str, str] = {}
        """By name of the node, or by address while it has not told one: why it was drained here."""
        self._kept: dict[str, _KeptMember] = {}
        """What an earlier run knew of each address."""
        self._sequence = 0
        self.read_here: Mapping[str, RackMeter] = {}
        """Meters of members that this daemon reads itself, by name of the node."""
        self.left = False
        """A member has left since this was last cleared: what it told is worth keeping at once."""
        self._held: deque[_Held] | None = None
        """What came in while the rack is being reckoned: booked after it, as if it had come then."""

    @property
    def members(self) -> Sequence[RackMember]:
        """Every member, in the order of the configuration."""
        return list(self._members.values())

    @property
    def drained(self) -> dict[str, str]:
        """Members that were drained here, and why."""
        return dict(self._drained)

    def expect(self, urls: Iterable[str]) -> None:
        """Say which members there are; one that is no longer named keeps its part in the totals."""
        wanted = dict.fromkeys(urls)
        for url in self._members.keys() - wanted.keys():
            self._remember(self._members.pop(url))
        self._members = {url: self._members.get(url) or self._new(url) for url in wanted}

    def take(self, url: str, reading: MemberReading, cadence_seconds: float) -> None:
        """Book one answer of a member that is polled at this cadence."""
        if self._held is None:
            self._take(url, reading, cadence_seconds)
        else:
            self._held.append(_Held(url, reading, cadence_seconds))

    def _take(self, url: str, reading: MemberReading, cadence_seconds: float) -> None:
        member = self._members.get(url)
        if member is None:
            return
        unread_seconds = member.away_seconds(reading.asked_monotonic_seconds)
        away = unread_seconds > max_gap_seconds(cadence_seconds) or member.was_silent(reading.totals)
        key = (reading.totals.node.name, reading.totals.origin.ledger)
        known = member.key is not None or self._ledger.knows(key)
        owner = self._owner(member, key)
        if owner is not None:
            self._miss(
                url, f"{key[0]} answers here, which is read at {owner.url}: is this the right address?"
            )
            return
        meter = None if self._ledger.tells(key, NODE) else self.read_here.get(key[0])
        fresh = member.take(reading, cadence_seconds, meter)
        if fresh:
            self._notice_rename(member, key, reading.totals.origin.boot_id)
            member.key, known = key, known or self._ledger.knows(key)
        # What an old document says was counted, was counted: an account holds the most it was seen to have.
        if fresh or self._ledger.knows(key):
            self._ledger.book(key, reading.totals, backfilled=away and known, in_use=self._accounts_in_use)

    def _accounts_in_use(self) -> set[Key]:
        """Accounts of members, also of those that were named and may be again."""
        kept = {each.key for each in self._kept.values()}
        return kept | {member.key for member in self._members.values() if member.key is not None}

    def miss(self, url: str, why: str) -> None:
        """Note that a member did not answer."""
        if self._held is None:
            self._miss(url, why)
        else:
            self._held.append(_Held(url, why=why))

    def _miss(self, url: str, why: str) -> None:
        member = self._members.get(url)
        if member is not None:
            self.left |= member.up and not member.missed
            member.miss(why)

    def drain(self, node: str, why: str | None) -> None:
        """Take a member out on purpose, or (None) back in. Raises UnknownMemberError."""
        meant = [member for member in self._members.values() if node in (member.name, member.url)]
        if not meant and not (why is None and node in self._drained):
            shown = ", ".join(sorted(member.name for member in self._members.values())[:20])
            raise UnknownMemberError(f"no member {node!a}; there are: {shown or 'none'}")
        if why is None:
            for each in {node, *(word for member in meant for word in (member.name, member.url))}:
                self._drained.pop(each, None)
            return
        for member in meant:  # one that has not told its name will be called otherwise when it has
            self._drained[member.url if member.key is None else node] = why or DRAINED_HERE

    def snapshot(self, now: Moment, own_rack: str, beside: Beside = NOTHING) -> RackSnapshot:
        """Reckon the rack in one piece."""
        steps = self.steps(now, own_rack, beside)
        try:
            while True:
                next(steps)
        except StopIteration as ended:
            rack: RackSnapshot = ended.value
        self.finish()
        return rack

    def steps(
        self, now: Moment, own_rack: str, beside: Beside = NOTHING
    ) -> Generator[None, None, RackSnapshot]:
        """Reckon the rack in short steps, and give it at the end; `catch_up` or `finish` must follow.

        What members tell from here on waits until then, so the rack is that of one moment.
        `own_rack` is its name if neither settings nor members tell one; `beside`: what its daemon reads.
        """
        self._held = deque()
        rack, figures = yield from self._reckoned(now, own_rack, beside)
        return with_site(rack, figures, beside, self.plan.pricing, self._site)

    def catch_up(self) -> Generator[None, None, None]:
        """Book in short steps what came in while the rack was being reckoned, in its order."""
        while self._held:
            for _ in range(min(MEMBERS_PER_STEP, len(self._held))):
                held = self._held.popleft()
                if held.reading is None:
                    self._miss(held.url, held.why)
                else:
                    self._take(held.url, held.reading, held.cadence_seconds)
            yield
        self._held = None

    def finish(self) -> None:
        """Book the same in one piece."""
        for _ in self.catch_up():
            pass

    def _reckoned(
        self, now: Moment, own_rack: str, beside: Beside
    ) -> Generator[None, None, tuple[RackSnapshot, RackFigures]]:
        self._sequence += 1
        for member in self._members.values():
            member.settle(now.monotonic_seconds)
            self._count_here(member)
        places = self._places()
        duty = [place.member for place in places if place.drained is None and not place.same_as]
        drained = sum(place.drained is not None and not place.same_as for place in places)
        counted = sum(not place.same_as for place in places)
        # A rack that names more members than it expects would hide a missing one behind a surplus one.
        expected = max(counted, self.plan.nodes_expected or 0) - drained
        yield
        pue, seconds = self.plan.site.pue, now.monotonic_seconds
        figures = yield from figures_in_steps(
            duty, expected, self._window_seconds, seconds, beside.meter, None if pue is None else pue.value
        )
        rack = yield from snapshot_in_steps(
            self._sequence, now, self.plan, own_rack, places, expected, figures, self._ledger
        )
        return rack, figures

    def _count_here(self, member: RackMember) -> None:
        """Count the energy of a node that is read here, as long as it has never told any itself."""
        key = member.key
        meter = None if key is None else self.read_here.get(key[0])
        told = None if meter is None else meter.figures
        member.read_here_watts = None if told is None or told.reasons else told.power_watts
        if key is not None and told is not None and told.energy_joules_total is not None:
            counts = self._ledger.knows(key) and not self._ledger.tells(key, NODE)
            self._ledger.outside.take(key[0], told.energy_joules_total, counts=counts)

    def dump(self) -> dict[str, Any]:
        """Return what must survive a restart, as plain values."""
        for member in self._members.values():
            self._remember(member)
        members = {
            url: [list(kept.key), kept.most_gpus, [list(gpu) for gpu in kept.gpus]]
            for url, kept in self._kept.items()
        }
        drained, site = dict(self._drained), self._site.dump()
        accounts, outside = self._ledger.dump(), self._ledger.outside.dump()
        return {
            "accounts": accounts,
            "members": members,
            "drained": drained,
            "site": site,
            "outside": outside,
        }

    def load(self, kept: Any) -> None:
        """Take what `dump` gave, all of it or nothing.

        Raises ValueError, TypeError or KeyError when it is something else.
        """
        members = {
            str(url): _KeptMember(
                (str(key[0]), str(key[1])), int(most), tuple((int(gpu), str(uuid)) for gpu, uuid in gpus)
            )
            for url, (key, most, gpus) in dict(kept["members"]).items()
        }
        drained = {str(node): str(why) for node, why in dict(kept["drained"]).items()}
        site = SiteBook()
        if "site" in kept:
            site.load(kept["site"])
        outside = OutsideBook()
        outside.load(kept.get("outside", ()))  # files from before it was told have none
        self._ledger.load(kept["accounts"])
        self._ledger.outside = outside
        self._site = site
        self._kept, self._drained = members, drained

    def _new(self, url: str) -> RackMember:
        member = RackMember(url, self._horizon)
        kept = self._kept.get(url)
        if kept is not None:
            member.key, member.most_gpus, member.gpus = kept.key, kept.most_gpus, kept.gpus
        return member

    def _remember(self, member: RackMember) -> None:
        if member.key is not None:
            self._kept.pop(member.url, None)  # the newest stand last: those of long ago are forgotten first
            self._kept[member.url] = _KeptMember(member.key, member.most_gpus, member.gpus)
        while len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _owner(self, member: RackMember, key: Key) -> RackMember | None:
        """Return whose account an answer is of, when another node answers at the address of this one."""
        if member.key is None or member.key[0] == key[0]:
            return None
        others = (other for other in self._members.values() if other is not member)
        return next((other for other in others if other.up and other.key == key), None)

    def _notice_rename(self, member: RackMember, key: Key, boot_id: str) -> None:
        """See a node that has another name now, at the same address or another: it is the same count."""
        old, known = member.key, self._ledger.knows(key)
        if known or (old is not None and old[1] != key[1]):
            return
        candidates = self._ledger.accounts_of(key[1]) if old is None else [old]
        if not candidates:
            return
        others = [other for other in self._members.values() if other is not member]
        if old is not None:  # the same node by another address will be seen to be renamed next
            others = [other for other in others if other.boot_id != boot_id]
        taken = {other.key for other in others}
        free = [each for each in candidates if each not in taken]
        if len(free) == 1:
            self._ledger.rename(free[0], key)

    def _places(self) -> list[Place]:
        """Tell of each member under which name it is shown, whether it is drained, and whose double it is."""
        first: dict[Key, RackMember] = {}
        for member in sorted(self._members.values(), key=lambda member: not member.up):
            if member.key is not None:
                first.setdefault(member.key, member)
        taken = {member.name for member in first.values()}
        named: set[str] = set()
        places = []
        for member in self._members.values():
            counted = first.get(member.key, member) if member.key is not None else member
            name = member.name
            if (
                name in named
                or (counted is not member and name in taken)
                or (member.key is None and name in taken)
            ):
                name = f"{name} ({member.url})"
            named.add(name)
            places.append(Place(member, name, self._drain_of(member), _why_double(member, counted)))
        return places

    def _drain_of(self, member: RackMember) -> str | None:
        here = self._drained.get(member.name, self._drained.get(member.url))
        if here is not None:
            return here
        if not self.plan.drained.isdisjoint((member.name, member.url)):
            return DRAINED_BY_PLAN
        return None if member.totals is None else member.totals.drained


MOST_KEPT = 8192
"""Addresses of which something is remembered: those of discovered members come and go."""


@dataclass(frozen=True, slots=True)
class _Held:
    """An answer of a member, or (None) that there was none."""

    url: str
    reading: MemberReading | None = None
    cadence_seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class _KeptMember:
    key: Key
    most_gpus: int
    gpus: tuple[tuple[int, str], ...]


def _why_double(member: RackMember, counted: RackMember) -> str:
    """Tell why a member is not counted because another is; empty when it is."""
    if member is counted:
        return ""
    boots = [each.totals.origin.boot_id for each in (member, counted) if each.totals is not None and each.up]
    if len(set(boots)) > 1:
        return (
            f"it has the name and the state of {counted.url}, yet is another machine, and is not counted: "
            "was its state_dir copied? Delete totals.json there and restart it"
        )
    return f"it is the same node as {counted.url}, which is counted"
