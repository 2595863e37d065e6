"""The incidents of a running daemon: found in each snapshot, told once in the log, counted."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from agent.diagnose import diagnosis, rack_diagnosis
from agent.diagnose.diagnosis import Memory, baselines_of, diagnosed, with_baselines
from agent.diagnose.kept import recalled as kept_node
from agent.diagnose.limiter import Limits, looked
from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed, told_by_members
from agent.diagnose.rack_kept import recalled as kept_rack
from agent.diagnose.rack_signs import rack_signs_of
from agent.diagnose.signs import signs_of
from agent.measure.incident import Severity, recording_at
from agent.measure.incident_cost import Pricing
from agent.measure.quick import changed
from agent.measure.site import NO_SITE
from agent.wire.incident_codec import of_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.diagnose.rack_signs import RackSigns
    from agent.diagnose.signs import NodeSigns
    from agent.measure.incident import Incident
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.snapshot import Snapshot

log = logging.getLogger("rackwatt.incidents")

LEAST_SPACING_SECONDS = 0.9
"""Engines are read once a second: looking more often finds nothing."""
MOST_KEPT = 50
"""So many incidents survive a restart, those that stand before all others."""
Place = tuple[str, str, str]
"""Scope, kind and cause."""
LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


class Recorder(Protocol):
    """Takes what diagnosis was given."""

    def take(self, before: Memory, signs: NodeSigns, incidents: tuple[Incident, ...]) -> None:
        """Take a moment of the node: what was remembered, what was seen, and what is told of it."""

    def take_rack(self, signs: RackSigns, incidents: tuple[Incident, ...]) -> None:
        """Take a moment of the rack, and what only the rack tells of it."""


class IncidentDesk:
    """Holds what diagnosis remembers from one snapshot to the next."""

    def __init__(self, recorder: Recorder | None = None, *, pricing: Pricing | None = None) -> None:
        """Without a recorder nothing is recorded; `pricing` tells cost."""
        self._recorder = recorder
        self.price(pricing or Pricing(NO_SITE))
        self._memory = Memory()
        self._limits = Limits()
        self._counts = Counts()
        self._rack_memory = RackMemory()
        self._rack_counts = Counts()
        self._looked_seconds = float("-inf")
        self.changed = False
        """An incident began, ended or is another since the last dump: that is worth keeping at once."""
        self._kept: dict[str, Any] = {"node": {}, "rack": {}}
        """What was loaded, until it is taken up."""

    def price(self, pricing: Pricing) -> None:
        """Tell costs at these prices from now on."""
        self._pricing, self._rack_pricing = pricing, pricing.another()

    def examined(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with the incidents that stand, and those that ended lately."""
        now = snapshot.at.monotonic_seconds
        if now - self._looked_seconds >= LEAST_SPACING_SECONDS:
            self._looked_seconds = now
            before, signs = self._memory, signs_of(snapshot)
            self._memory = diagnosed(before, signs)
            if self._recorder is not None:
                self._recorder.take(before, signs, self._pricing.priced(self._memory.incidents))
            self.changed |= self._counts.take(self._memory.incidents, snapshot.at.unix_seconds)
            baselines = {name: watch.gap.baseline for name, watch in self._memory.watches.items()}
            self._limits = looked(self._limits, snapshot, baselines)
        incidents = self._pricing.priced(self._memory.incidents)
        return changed(
            snapshot,
            incidents=self._linked(incidents, {each.id for each in incidents}),
            incident_counts=self._counts.totals,
            limiters=self._limits.told,
        )

    def examined_rack(self, rack: RackSnapshot) -> RackSnapshot:
        """Return the rack with what its members told, and what only a rack can see."""
        signs = rack_signs_of(rack)
        self._rack_memory = memory = rack_diagnosed(self._rack_memory, signs, told_by_members(rack))
        self.changed |= self._rack_counts.take(memory.incidents, rack.at.unix_seconds)
        priced = self._rack_pricing.priced(memory.incidents)
        if self._recorder is not None:
            self._recorder.take_rack(signs, tuple(each for each in priced if each.id in memory.own))
        incidents = self._linked(priced, memory.own)
        return replace(rack, incidents=incidents, incident_counts=self._rack_counts.totals)

    def _linked(self, incidents: tuple[Incident, ...], own: Collection[str]) -> tuple[Incident, ...]:
        """Say where the recordings of our own are."""
        if self._recorder is None:
            return incidents
        return tuple(
            replace(each, recording=recording_at(each.id)) if each.id in own else each for each in incidents
        )

    def dump(self) -> dict[str, Any]:
        """Return what deployments usually give, to be kept over a restart."""
        return baselines_of(self._memory)

    def load(self, kept: Any) -> None:
        """Take what `dump` gave. Raises ValueError, TypeError or KeyError when it is something else."""
        self._memory = with_baselines(self._memory, kept)

    def dump_standing(self) -> dict[str, Any]:
        """Return the incidents, those that stand and the newest of the others, and how they go on."""
        self.changed = False
        memory, of_rack = self._memory, self._rack_memory
        node = memory.incidents if memory.resumed is None else memory.resumed.incidents
        rack = of_rack.own_incidents if of_rack.resumed is None else of_rack.resumed.incidents
        told = (*self._pricing.priced(node), *rack)
        newest = sorted(told, key=lambda each: (each.ended is not None, -each.started))[:MOST_KEPT]
        return {
            "incidents": [to_plain(each) for each in newest],
            "node": diagnosis.standing_of(memory) if memory.resumed is None else self._kept["node"],
            "rack": rack_diagnosis.standing_of(of_rack) if of_rack.resumed is None else self._kept["rack"],
        }

    def load_standing(self, kept: Any) -> None:
        """Take what `dump_standing` gave, all or nothing. Raises as `load` does."""
        told = tuple(of_plain(each) for each in kept["incidents"])
        node, rack = (tuple(each for each in told if each.scope == scope) for scope in ("node", "rack"))
        resumed, of_rack = kept_node(kept["node"], node), kept_rack(kept["rack"], rack)
        self._kept = kept
        self._memory = replace(self._memory, resumed=resumed)
        self._rack_memory = replace(self._rack_memory, resumed=of_rack)


class Counts:
    """How many incidents there were and what they lost, since the daemon started; each is logged once.

    A counter never falls, and a loss may be reckoned lower once it is known what was asked for: what was
    booked too much is taken from what is lost next, so that a counter comes to what its incidents lost.
    """

    def __init__(self) -> None:
        self.totals: Mapping[Place, tuple[float, float]] = {}
        """Number and lost tokens by scope, kind and cause."""
        self._began: float | None = None
        """Unix seconds: what was told before was counted by an earlier run, or by nobody."""
        self._known: dict[str, Incident] = {}
        self._counted: set[tuple[str, Place]] = set()
        """Incidents that are known, with each kind and cause they were told with."""
        self._owed: dict[Place, float] = {}
        """Lost tokens that were booked too much."""

    def take(self, incidents: tuple[Incident, ...], unix_seconds: float) -> bool:
        """Count what is new, and what is lost since; return whether one began, ended or is another."""
        changed = False
        self._began = unix_seconds if self._began is None else self._began
        totals = dict(self.totals)
        for incident in incidents:
            before = self._known.get(incident.id)
            if before == incident:
                continue
            place = (incident.scope, str(incident.kind), str(incident.cause))
            old = before is None and incident.detected < self._began
            changed |= _tell(before, incident, old=old)
            new = not old and (incident.id, place) not in self._counted
            self._counted.add((incident.id, place))
            number, lost = totals.get(place, (0.0, 0.0))
            known = 0.0 if before is None and not old else (before or incident).lost_tokens
            totals[place] = (number + new, lost + self._more(place, incident.lost_tokens - known))
        self.totals = totals
        self._known = {incident.id: incident for incident in incidents}
        self._counted = {each for each in self._counted if each[0] in self._known}
        return changed

    def _more(self, place: Place, lost: float) -> float:
        """Return by how much a counter grows: by nothing while it has been told too much."""
        more = lost - self._owed.get(place, 0.0)
        self._owed[place] = max(0.0, -more)
        return max(0.0, more)


def _tell(before: Incident | None, now: Incident, *, old: bool) -> bool:
    """Log an incident when it begins, when it turns out to be another one, and when it ends.

    Of an `old` one, which an earlier run told, only that it goes on. Returns whether it is worth keeping.
    """
    facts = {"incident": now.id, "kind": now.kind, "cause": now.cause, "scope": now.scope}
    if now.ended is not None:
        if old or (before is not None and before.ended is not None):
            return False
        log.info("incident over: %s", now.summary, extra={**facts, "lost_tokens": round(now.lost_tokens)})
        return True
    if before is not None and (before.kind, before.cause) == (now.kind, now.cause):
        return False
    text = "incident is another: %s" if before is not None else "incident: %s"
    log.log(LEVELS[now.severity], "incident goes on: %s" if old else text, now.summary, extra=facts)
    return not old
