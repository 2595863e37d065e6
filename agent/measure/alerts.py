"""Incidents as alerts: who must be told of which, and what was told and not yet taken back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.incident import Severity
from agent.measure.push import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from agent.measure.incident import Incident
    from agent.measure.snapshot import Snapshot

NAME = "RackwattIncident"
MOST_OWED = 256
"""Ends of alerts that wait to be told; beyond it the oldest is lost, and counted."""
RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}

Key = tuple[tuple[str, str], ...]
"""The labels of an alert, which are what it is known by."""


class Scope(StrEnum):
    """Whose incidents are told."""

    AUTO = "auto"  # the rack's where this daemon has members, else the node's
    RACK = "rack"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Alert:
    """One incident as an alert."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    started: float
    """Unix seconds."""
    ended: float | None
    """None while it stands."""
    link: str = ""
    """Where a person looks."""

    @property
    def key(self) -> Key:
        """What it is known by."""
        return tuple(sorted(self.labels.items()))


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is told of what."""

    least: Severity = Severity.WARNING
    scope: Scope = Scope.AUTO
    page: str = ""
    """Address of our live page; empty when nobody said it."""


def moment_text(unix_seconds: float) -> str:
    """Write a moment as Alertmanager does."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alerts_of(snapshot: Snapshot, choice: Choice) -> dict[Key, Alert]:
    """Return what stands and is to be told."""
    of_rack = choice.scope is Scope.RACK or (choice.scope is Scope.AUTO and snapshot.rack is not None)
    if of_rack:
        rack = snapshot.rack
        incidents, name = (rack.incidents, rack.rack) if rack is not None else ((), "")
    else:
        incidents, name = snapshot.incidents, snapshot.node.rack
    told = (
        alert_of(each, name, choice.page)
        for each in incidents
        if each.ended is None and RANK[each.severity] >= RANK[choice.least]
    )
    return {alert.key: alert for alert in told}


def alert_of(incident: Incident, rack: str, page: str) -> Alert:
    """Return an incident as an alert; a label without a value is left out, as receivers do."""
    labels = {
        "alertname": NAME,
        "incident": incident.id,
        "scope": incident.scope,
        "kind": str(incident.kind),
        "cause": str(incident.cause),
        "severity": str(incident.severity),
        "rack": rack,
        "node": incident.node,
        "gpu": "" if incident.gpu is None else str(incident.gpu),
        "model": incident.model,
    }
    base = page.rstrip("/")
    at_node = not incident.recording.startswith("/")
    recording = incident.recording if at_node else f"{base}{incident.recording}"
    annotations = {
        "summary": incident.summary,
        "evidence": "\n".join(each.text for each in incident.evidence),
        "confidence": f"{incident.confidence:.2f}",
        "lost_tokens": f"{incident.lost_tokens:.0f}",
        "link": page,
        "recording": recording if at_node or base else "",
        "explain": f"rackwatt explain {base} --incident {incident.id}" if base else "",
    }
    return Alert(
        {name: value for name, value in labels.items() if value},
        {name: value for name, value in annotations.items() if value},
        incident.started,
        incident.ended,
        page,
    )


@dataclass(frozen=True, slots=True)
class AlertBatch(Batch):
    """A batch that knows what it tells."""

    alerts: tuple[Alert, ...] = ()


class AlertBook:
    """What was told, and whose end is still owed to the receiver."""

    def __init__(self) -> None:
        self.lost = 0
        """Ends that could not be kept until they were delivered, since `take_lost`."""
        self._standing: dict[Key, Alert] = {}
        self._owed: dict[Key, Alert] = {}

    def taken(self, standing: Mapping[Key, Alert], now: float) -> tuple[Alert, ...]:
        """Take what stands now; return all that the receiver must know: that, and what has ended.

        An alert is known by its labels: one whose cause or severity is another now is another alert, and the
        old one ends.
        """
        for key, alert in self._standing.items():
            if key not in standing:
                self._owed[key] = replace(alert, ended=max(now, alert.started))
        for key in standing:
            self._owed.pop(key, None)
        while len(self._owed) > MOST_OWED:
            del self._owed[next(iter(self._owed))]
            self.lost += 1
        self._standing = dict(standing)
        return (*self._standing.values(), *self._owed.values())

    def delivered(self, alerts: Iterable[Alert]) -> None:
        """Note that the receiver knows these."""
        for alert in alerts:
            if alert.ended is not None and self._owed.get(alert.key) == alert:
                del self._owed[alert.key]

    def take_lost(self) -> int:
        """Return how many ends were lost since this was asked last."""
        lost, self.lost = self.lost, 0
        return lost


class Repeats:
    """Whether what is to be told is news, or is to be told again."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._last: frozenset[tuple[Key, bool]] = frozenset()
        self._at = float("-inf")

    def is_due(self, alerts: Iterable[Alert], now: float) -> bool:
        """Whether to tell these now; counts as told when it is."""
        state = frozenset((alert.key, alert.ended is None) for alert in alerts)
        news = bool(state - self._last)  # that one was told to have ended and is gone is none
        if not state or (not news and now - self._at < self._every_seconds):
            self._last = state
            return False
        self._last, self._at = state, now
        return True


class AlertFeed:
    """What one receiver is to be told, and when. It is asked in a thread, while a batch may be on its way."""

    def __init__(self, choice: Choice, repeat_seconds: float, lock: AbstractContextManager[object]) -> None:
        """Make it; `lock` keeps that thread and the sender apart."""
        self._choice = choice
        self._book, self._repeats = AlertBook(), Repeats(repeat_seconds)
        self._lock = lock

    def batch(
        self, snapshot: Snapshot, encode: Callable[[tuple[Alert, ...], float], bytes]
    ) -> AlertBatch | None:
        """Write down every alert, if there is news or it is time to repeat them; None else.

        `encode` writes alerts at a moment, in Unix seconds.
        """
        now = snapshot.at.unix_seconds
        with self._lock:
            alerts = self._book.taken(alerts_of(snapshot, self._choice), now)
            if not self._repeats.is_due(alerts, now):
                return None
            lost = self._book.take_lost()
        return AlertBatch(encode(alerts, now), len(alerts), replaces=True, lost=lost, alerts=alerts)

    def delivered(self, batch: Batch) -> None:
        """Note that the receiver has a batch."""
        if isinstance(batch, AlertBatch):
            with self._lock:
                self._book.delivered(batch.alerts)
