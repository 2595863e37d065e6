"""What an incident cost in money: energy that made no tokens, and time of GPUs that was not made use of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.measure.incident import Bounds
from agent.measure.site import capacity_cost, energy_cost

if TYPE_CHECKING:
    from datetime import tzinfo

    from agent.measure.incident import Incident
    from agent.measure.site import Site


class Pricing:
    """Prices the incidents of one site; what stays as it was is not priced again."""

    def __init__(self, site: Site, zone: tzinfo | None = None) -> None:
        self._site, self._zone, self._prices = site, zone, site.prices(zone)
        self._known: dict[str, tuple[Incident, Incident]] = {}
        """By name: as it was told, and with its cost."""

    def another(self) -> Pricing:
        """Return one at the same prices for other incidents."""
        return Pricing(self._site, self._zone)

    def priced(self, incidents: tuple[Incident, ...]) -> tuple[Incident, ...]:
        """Return incidents with what they cost; those that a node has priced keep its price."""
        if self._prices is None and self._site.price_per_gpu_hour is None:
            return incidents
        known = {each.id: self._of(each) for each in incidents}
        self._known = known
        return tuple(priced for _, priced in known.values())

    def _of(self, incident: Incident) -> tuple[Incident, Incident]:
        before = self._known.get(incident.id)
        if before is not None and before[0] is incident:
            return before
        return incident, incident if incident.lost_cost is not None else self._with_cost(incident)

    def _with_cost(self, incident: Incident) -> Incident:
        capacity = self._capacity(incident)
        energy = self._energy(incident, incident.lost_joules)
        if capacity is None and energy is None:
            return incident
        bounds = incident.lost_joules_bounds
        ends = (None, None) if bounds is None else (bounds.lower, bounds.upper)
        lower, upper = ((self._energy(incident, end) or 0.0) + (capacity or 0.0) for end in ends)
        return replace(
            incident,
            lost_cost=(energy or 0.0) + (capacity or 0.0),
            lost_cost_bounds=Bounds(lower, upper) if bounds is not None else None,
            currency=self._site.currency,
        )

    def _energy(self, incident: Incident, joules: float | None) -> float | None:
        if self._prices is None or self._site.pue is None or joules is None:
            return None
        price = self._prices.mean(incident.started, max(incident.ended or 0.0, incident.detected))
        return energy_cost(joules, price, self._site.pue.value)

    def _capacity(self, incident: Incident) -> float | None:
        price, seconds = self._site.price_per_gpu_hour, incident.lost_gpu_seconds
        return None if price is None or seconds is None else capacity_cost(1.0, seconds, price)
