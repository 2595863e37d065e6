"""Readings of the machine into totals: kept over restarts of rackwatt, of drivers and of the machine (T1)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from agent.measure.host import HostFigures, LinkFigures

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agent.measure.host import HostReading, LinkReading
    from agent.measure.ledger import Ledger
    from agent.measure.reading import Moment

KEY = "host/"
REFRESH_SECONDS = 3600.0
"""A count that stands still is booked again this often: the ledger then knows that it is still there."""
FORGET_SECONDS = 7 * 86400.0
"""A device that was not seen for so long is gone, and its totals with it."""
MOST_STALLED = 1.0
"""No resource can stall anybody for more than a second in a second."""
NOTHING: tuple[object, ...] = (None, (), {})


class HostBook:
    """What each source of the host told last, with its totals."""

    def __init__(self, ledger: Ledger, epoch: str) -> None:
        """`epoch` is the kernel's boot id: with another one its counts began anew."""
        self._ledger, self._epoch = ledger, epoch
        self._told: dict[str, HostFigures] = {}
        self._whole: HostFigures | None = None
        self._tidied_seconds: float | None = None

    @property
    def figures(self) -> HostFigures | None:
        """The machine as its sources tell it now; None while none of them does (T15)."""
        if self._whole is None and self._told:
            self._whole = _merged(list(self._told.values()))
        return self._whole

    def expect(self, sources: Collection[str]) -> None:
        """Know only what these sources told."""
        for source in self._told.keys() - set(sources):
            self.miss(source)

    def miss(self, source: str) -> None:
        """Note that a source failed: what it told is no longer known."""
        if self._told.pop(source, None) is not None:
            self._whole = None

    def take(self, source: str, reading: HostReading | None) -> None:
        """Book what one source tells of the host, if it tells of it."""
        if reading is None:
            return
        at = reading.at
        self._told[source] = HostFigures(
            stalled_seconds_total={
                (resource, share): self._since_boot(f"stalled/{resource}/{share}", raw, at, MOST_STALLED)
                for (resource, share), raw in reading.stalled_seconds.items()
            },
            clock=reading.clock,
            cpu_steal_seconds_total=self._known("steal", reading.cpu_steal_seconds, at),
            oom_kills_total=self._known("oom", reading.oom_kills, at),
            cpu_frequency_hertz=reading.cpu_frequency_hertz,
            interfaces=tuple(self._link("network", each, at) for each in reading.interfaces),
            ports=tuple(self._link("infiniband", each, at) for each in reading.ports),
            pcie_links=reading.pcie_links,
        )
        self._whole = None
        if reading.interfaces or reading.ports:
            self._tidy(at)

    def _known(self, what: str, raw: float | None, at: Moment) -> float | None:
        return None if raw is None else self._since_boot(what, raw, at)

    def _since_boot(self, what: str, raw: float, at: Moment, most: float | None = None) -> float:
        """Book a count of the kernel. Within one boot it never begins anew: a fall is noise, not growth.

        Steal falls by a little when a virtual machine moves; taken for a restart, it would be counted twice.
        """
        counter = self._ledger.get(KEY + what)
        fell = counter is not None and counter.epoch == self._epoch and raw < counter.raw
        return self._count(what, raw, at, fell=fell, most=most)

    def _count(
        self, what: str, raw: float, at: Moment, *, fell: bool = False, most: float | None = None
    ) -> float:
        counter = self._ledger.get(KEY + what)
        if most is None and counter is not None and counter.raw == raw and counter.epoch == self._epoch:
            seen = counter.seen_monotonic_seconds
            if seen is not None and at.monotonic_seconds < seen + REFRESH_SECONDS:
                return counter.total  # mostly: counts of errors stand still
        step = self._ledger.observe(KEY + what, raw, at, self._epoch, adopted=fell, max_rate=most)
        return step.counter.total

    def _link(self, kind: str, link: LinkReading, at: Moment) -> LinkFigures:
        """Book the counts of a link: one that falls began anew with its driver, or was cleared."""
        owner = f"{kind}/{link.device}/{link.port}/"
        return LinkFigures(
            link, {what: self._count(owner + what, raw, at) for what, raw in link.counts.items()}
        )

    def _tidy(self, at: Moment) -> None:
        """Forget devices that are gone for good, now and then."""
        last = self._tidied_seconds
        if last is not None and at.monotonic_seconds < last + REFRESH_SECONDS:
            return
        self._tidied_seconds = at.monotonic_seconds
        keys = (*self._ledger.keys(f"{KEY}network/"), *self._ledger.keys(f"{KEY}infiniband/"))
        self._ledger.drop([key for key in keys if self._ledger.unseen_seconds(key, at) >= FORGET_SECONDS])


def _merged(parts: Sequence[HostFigures]) -> HostFigures:
    """Put together what several sources tell, each of something else."""
    whole = HostFigures()
    for part in parts:
        told = {each.name: getattr(part, each.name) for each in fields(part)}
        whole = replace(whole, **{name: value for name, value in told.items() if value not in NOTHING})
    return whole
