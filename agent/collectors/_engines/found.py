"""Engines that were found: their names, which outlive their processes where they are provably the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from agent.discovery.probes import Probe
    from agent.discovery.processes import Key, Listener

FORGET_SECONDS = 3600.0
"""An engine whose process has ended is missed for so long; then it was taken out, and did not fail."""
MOST = 64
"""Engines of one node."""
MARK_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Found:
    """One engine that answered."""

    instance: str
    listener: Listener
    url: str
    """Of its page."""
    engine: str
    ended_seconds: float | None = None
    """When its process was seen to have ended; None while it runs."""


class FoundEngines:
    """What was found, by name."""

    def __init__(self, lives: Callable[[Listener], bool]) -> None:
        self._lives = lives
        self._found: dict[str, Found] = {}
        self._kept: Mapping[str, str] | None = None
        """Names of an earlier run that nobody has yet, with what they stood for; None: not asked for."""
        self._kept_until = 0.0

    @property
    def engines(self) -> tuple[Found, ...]:
        """All of them, those that have just ended too."""
        return tuple(self._found.values())

    @property
    def names(self) -> dict[str, str]:
        """Return what the next run must know to call the same engines the same."""
        return dict(self._kept or {}) | {name: _mark(each.listener) for name, each in self._found.items()}

    def recall(self, names: Mapping[str, str], now_seconds: float) -> None:
        """Take what an earlier run knew; once."""
        if self._kept is None:
            self._kept, self._kept_until = dict(names), now_seconds + FORGET_SECONDS

    def take(
        self, probes: Iterable[Probe], claims: Collection[Key], reserved: Collection[str], now_seconds: float
    ) -> bool:
        """Take the sockets that turned out to be engines; tell whether anything changed.

        Sockets of `claims` are read by others, `reserved` are others' names.
        """
        before = dict(self._found)
        pages = {probe.listener.key: probe for probe in probes}
        for name, found in before.items():
            self._found[name] = self._followed(found, pages, now_seconds)
            ended = self._found[name].ended_seconds
            forgotten = ended is not None and now_seconds - ended > FORGET_SECONDS
            if forgotten or name in reserved or found.listener.key in claims:
                del self._found[name]
        kept = self._kept if self._kept and now_seconds < self._kept_until else {}
        known = {found.listener.key for found in self._found.values()}
        new = [probe for key, probe in pages.items() if key not in known]
        new.sort(key=lambda probe: _mark(probe.listener) not in kept.values())  # their names come first
        for probe in new[: max(0, MOST - len(known))]:
            name = self._name(probe.listener, [other.listener for other in new], reserved)
            self._found[name] = Found(
                name, probe.listener, f"http://{probe.listener.place}{probe.path}", probe.engine
            )
        self._kept = {name: mark for name, mark in kept.items() if name not in self._found}
        return self._found != before

    def _followed(self, found: Found, pages: Mapping[Key, Probe], now: float) -> Found:
        """See whether an engine still runs, and on which GPUs."""
        page = pages.get(found.listener.key)
        if found.ended_seconds is not None:
            return found
        if not self._lives(found.listener):
            return replace(found, ended_seconds=now)
        return found if page is None else replace(found, listener=page.listener)

    def _name(self, listener: Listener, new: Sequence[Listener], reserved: Collection[str]) -> str:
        """Name an engine by host and port, or as the one that ended of which it is the successor."""
        ended = [found for found in self._found.values() if found.ended_seconds is not None]
        alike = [found for found in ended if found.listener.likeness == listener.likeness]
        twins = [other for other in new if other.likeness == listener.likeness]
        if len(alike) == len(twins) == 1:
            return alike[0].instance
        before = self._before(listener, reserved) if not alike and len(twins) == 1 else ()
        if len(before) == 1:
            return before[0]
        free = {found.instance for found in ended}
        names = [listener.place, *(f"{listener.place}~{number}" for number in range(2, MOST + 2))]
        return next(n for n in names if n not in reserved and (n not in self._found or n in free))

    def _before(self, listener: Listener, reserved: Collection[str]) -> Sequence[str]:
        """Return what an earlier run called such an engine, if there is no other such one now."""
        if any(found.listener.likeness == listener.likeness for found in self._found.values()):
            return ()
        taken = {*reserved, *self._found}
        mark = _mark(listener)
        return [name for name, like in (self._kept or {}).items() if like == mark and name not in taken]


def _mark(listener: Listener) -> str:
    """Return the likeness of an engine as a short text, of which nobody learns its command line."""
    return hashlib.sha256(repr(listener.likeness).encode()).hexdigest()[:MARK_CHARACTERS]
