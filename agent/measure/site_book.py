"""What a rack has cost and emitted: energy by the price of its moment, GPUs by the hour; never falls (T1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.measure.meter import FACILITY
from agent.measure.site import capacity_cost, co2e_grams, energy_cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.reading import Moment
    from agent.measure.site import Site
    from agent.measure.tariff import Prices

LONGEST_STEP_SECONDS = 60.0
"""GPUs cost something while they are seen to be expected: for a longer absence of ours nobody knows."""
FED_SECONDS = 3600.0
"""A figure of a feed is of an hour: of energy that flowed over a longer absence of ours it says nothing."""
ENERGY, CAPACITY = "energy", "capacity"
COST, CO2E = "cost", "co2e"
"""The totals that energy is booked in."""
EVERYWHERE = ""
"""The boundary of what is not measured at one."""


class Terms(NamedTuple):
    """What holds of energy that is booked now."""

    site: Site
    prices: Prices | None
    grams_per_kwh: float | None
    """None where nobody knows what electricity emits now …"""
    feed: bool
    """… though a feed should tell it."""


class SiteBook:
    """Totals of one rack; fed with its energy totals, which are sums of its members'."""

    def __init__(self) -> None:
        self.costs: dict[tuple[str, str, str], float] = {}
        """By component, boundary and currency."""
        self.grams: dict[str, float] = {}
        """By boundary."""
        self.facility_joules: float | None = None
        self.booked_joules: dict[tuple[str, str], tuple[float, float]] = {}
        """Energy in the total of cost or CO2e, and energy that nobody could price or rate; by total and
        boundary. Of a total that nobody ever asked for there is none."""
        self._joules: dict[str, float] = {}
        """What was booked of each boundary."""
        self._unix: float | None = None
        self._monotonic: float | None = None

    def take(
        self,
        now: Moment,
        joules: Mapping[str, float],
        base: str | None,
        gpus: int,
        terms: Terms,
    ) -> None:
        """Book what the totals have grown by, at what it cost and emitted meanwhile.

        `base` is the boundary that the PUE multiplies. One that is seen for the first time adds nothing.
        """
        since = now.unix_seconds if self._unix is None else self._unix
        if terms.feed and now.unix_seconds - since > FED_SECONDS:
            terms = terms._replace(grams_per_kwh=None)
        site, prices, grams_per_kwh, _ = terms
        pue = None if site.pue is None else site.pue.value
        price = None if prices is None else prices.mean(since, now.unix_seconds)
        for boundary, total in joules.items():
            grown = max(0.0, total - self._joules.get(boundary, total))
            self._joules[boundary] = max(total, self._joules.get(boundary, total))
            self._account(boundary, grown, terms)
            if pue is None:
                continue
            if price is not None:
                key = (ENERGY, boundary, site.currency)
                self.costs[key] = self.costs.get(key, 0.0) + energy_cost(grown, price, pue)
            if grams_per_kwh is not None:
                emitted = co2e_grams(grown, grams_per_kwh, pue)
                self.grams[boundary] = self.grams.get(boundary, 0.0) + emitted
            if boundary == base:
                self.facility_joules = (self.facility_joules or 0.0) + grown * pue
        self._take_capacity(now, gpus, site)
        self._unix, self._monotonic = now.unix_seconds, now.monotonic_seconds

    def _account(self, boundary: str, joules: float, terms: Terms) -> None:
        """Say which energy is in which total, and which is in none because a figure was not known."""
        known = terms.site.pue is not None
        priced = known and terms.prices is not None
        rated = known and terms.grams_per_kwh is not None
        asked = {COST: priced, CO2E: rated or terms.feed or terms.site.grams_co2e_per_kwh is not None}
        for total, told in ((COST, priced), (CO2E, rated)):
            inside, outside = self.booked_joules.get((total, boundary), (0.0, 0.0))
            if asked[total] or inside > 0.0:
                self.booked_joules[total, boundary] = (inside + joules * told, outside + joules * (not told))

    def _take_capacity(self, now: Moment, gpus: int, site: Site) -> None:
        if site.price_per_gpu_hour is None:
            return
        elapsed = 0.0 if self._monotonic is None else now.monotonic_seconds - self._monotonic
        seconds = elapsed if 0.0 < elapsed <= LONGEST_STEP_SECONDS else 0.0
        key = (CAPACITY, EVERYWHERE, site.currency)
        more = capacity_cost(gpus, seconds, site.price_per_gpu_hour)
        self.costs[key] = self.costs.get(key, 0.0) + more

    def joules(self, told: Mapping[str, float]) -> dict[str, float]:
        """Return energy by boundary, with the facility's."""
        if self.facility_joules is None:
            return dict(told)
        return {**told, FACILITY: self.facility_joules}

    def dump(self) -> dict[str, Any]:
        """Return what must survive a restart, as plain values."""
        return {
            "costs": [[*key, amount] for key, amount in self.costs.items()],
            "grams": dict(self.grams),
            "facility": self.facility_joules,
            "joules": dict(self._joules),
            "at": self._unix,
            "booked": [[*key, *joules] for key, joules in self.booked_joules.items()],
        }

    def load(self, kept: Any) -> None:
        """Take what `dump` gave, all of it or nothing. Raises KeyError, TypeError or ValueError."""
        costs = {(str(c), str(b), str(m)): _total(amount) for c, b, m, amount in kept["costs"]}
        grams = {str(boundary): _total(amount) for boundary, amount in dict(kept["grams"]).items()}
        joules = {str(boundary): _total(amount) for boundary, amount in dict(kept["joules"]).items()}
        facility = None if kept["facility"] is None else _total(kept["facility"])
        at = None if kept["at"] is None else _total(kept["at"])
        booked = kept.get("booked", ())  # files from before it was told have none
        told = {(str(total), str(at)): (_total(inside), _total(out)) for total, at, inside, out in booked}
        self.costs, self.grams, self._joules, self.booked_joules = costs, grams, joules, told
        self.facility_joules, self._unix = facility, at


def _total(value: Any) -> float:
    number = float(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"not a total: {value!r}")
    return number
