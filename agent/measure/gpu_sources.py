"""One GPU that several sources tell of is one GPU: who is believed, and who fills what that one lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.measure.gpu import GpuState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agent.measure.gpu import GpuReading
    from agent.measure.reading import Reading

PREFERENCE = ("nvml", "twin", "dcgm", "dcgm_exporter")
"""Sources of GPUs, the most direct first. One that is not named comes after those that are."""
GAUGES = (
    "utilization_ratio",
    "memory_busy_ratio",
    "encoder_busy_ratio",
    "decoder_busy_ratio",
    "memory_used_bytes",
    "memory_total_bytes",
    "memory_reserved_bytes",
    "thermal_margin_celsius",
    "pcie_replays",
    "recovery_action",
    "nvlink_slowest_bytes_per_second",
)
MAPPINGS = (
    "active_ratio",
    "link_bytes_per_second",
    "power_limit_watts",
    "temperature_celsius",
    "clock_hertz",
    "remapped_rows",
)
"""What may be taken from another source. Power and everything that is counted is not: a boundary has one
source (T7), and a total grows by one counter."""
DEFAULT = "all others"
"""Stands for the figures that come from the source that is believed."""


class Told(NamedTuple):
    """What is known of one GPU now."""

    reading: GpuReading
    sources: Mapping[str, str]
    """Who told a figure, by its name; DEFAULT for those not named."""


class GpuSources:
    """Who tells of which GPU now, and who of them is believed."""

    def __init__(self, preference: Sequence[str] = PREFERENCE) -> None:
        self._ranks = {source: rank for rank, source in enumerate(preference)}
        self._told: dict[str, dict[str, GpuReading]] = {}
        self._awaited: set[str] = set()
        """Sources that are offered and did not say anything yet, not even that they fail."""
        self._offered: frozenset[str] = frozenset()

    def expect(self, offered: Collection[str]) -> None:
        """Know which sources there are; of those that are new nobody knows yet what they will tell."""
        self._awaited |= (set(offered) - self._offered) & self._ranks.keys()
        self._awaited &= set(offered)
        self._offered = frozenset(offered)
        for source in self._told.keys() - self._offered:
            del self._told[source]

    @property
    def settled(self) -> bool:
        """Whether every source that is offered has told something, or that it fails."""
        return not self._awaited

    def take(self, reading: Reading) -> tuple[GpuReading, ...]:
        """Note what a source tells; return the GPUs of which it is the one that is believed."""
        self._awaited.discard(reading.source)
        if not reading.gpus:
            self._told.pop(reading.source, None)
            return ()
        self._told[reading.source] = {gpu.identity.uuid: gpu for gpu in reading.gpus}
        if len(self._told) == 1 and not self._awaited:
            return reading.gpus
        return tuple(gpu for gpu in reading.gpus if self._leads(reading.source, gpu.identity.uuid))

    def miss(self, source: str) -> None:
        """Note that a source failed."""
        self._awaited.discard(source)
        self._told.pop(source, None)

    def complete(self, uuid: str, source: str, reading: GpuReading | None) -> Told | None:
        """Return what `source`, who is believed, tells of a GPU, filled with what others know beside it."""
        if reading is None:
            return None
        sources = {DEFAULT: source}
        if reading.state is not GpuState.OK or len(self._told) < 2:  # noqa: PLR2004  (a second one)
            return Told(reading, sources)
        for other in sorted(self._told.keys() - {source}, key=self._rank):
            beside = self._told[other].get(uuid)
            if beside is not None and beside.state is GpuState.OK:
                reading = _filled(reading, beside, other, sources)
        return Told(reading, sources)

    def _leads(self, source: str, uuid: str) -> bool:
        """Whether nobody who comes first tells of this GPU, or may be about to."""
        rank = self._rank(source)
        better = [other for other, told in self._told.items() if uuid in told and self._rank(other) < rank]
        return not better and all(self._rank(other) >= rank for other in self._awaited)

    def _rank(self, source: str) -> tuple[int, str]:
        return self._ranks.get(source, len(self._ranks)), source


def _filled(reading: GpuReading, beside: GpuReading, other: str, sources: dict[str, str]) -> GpuReading:
    """Fill what a reading lacks from another one, and note who told it."""
    more: dict[str, Any] = {}
    for name in GAUGES:
        if getattr(reading, name) is None and getattr(beside, name) is not None:
            more[name] = getattr(beside, name)
    for name in MAPPINGS:
        known = getattr(reading, name)
        lacking = {key: value for key, value in getattr(beside, name).items() if key not in known}
        if lacking:
            more[name] = {**known, **lacking}
    sources |= dict.fromkeys(more, other)
    return replace(reading, **more) if more else reading
