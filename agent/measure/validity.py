"""Why a figure is not to be trusted, or what to know about one that is: closed lists."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LEAST_COVERAGE = 0.95
"""A figure of a rack is valid from this share of its members on (T10)."""


class Invalid(StrEnum):
    """Reasons that make a figure invalid; a ratio with one of them is absent (T10)."""

    NO_ENGINES = "no_engines"  # nothing counts tokens
    NO_METER = "no_meter"  # nothing measures that boundary
    WARMING_UP = "warming_up"  # the window is not full yet
    GAP = "gap"  # the samples around an edge of the window are too far apart
    BELOW_RESOLUTION = "below_resolution"  # an engine prints too few digits to tell (T22)
    MEMBER_MISSING = "member_missing"  # a known GPU or engine does not report
    COUNTER_POWER_MISMATCH = "counter_power_mismatch"  # T9
    METERS_DISAGREE = "meters_disagree"  # two meters of one boundary, over two minutes (T9)
    INNER_EXCEEDS_OUTER = "inner_exceeds_outer"  # what is inside a boundary draws more than the boundary
    LOW_COVERAGE = "low_coverage"  # less than 95 % of the rack's member-seconds are valid (T10)
    SPANS_NODES = "spans_nodes"  # its tokens are made with GPUs of other nodes too: see the rack's (T24)
    UNATTRIBUTED = "unattributed"  # a deployment's GPUs are not known, or not its own
    ZERO_ENERGY = "zero_energy"  # a meter that shows no energy at all cannot be divided by


class Flag(StrEnum):
    """What to know about a figure; does not invalidate it."""

    COUNTER_RESET = "counter_reset"  # a source restarted inside the window
    ON_FINISH = "on_finish"  # tokens are counted when a request ends (T21)
    UNVERIFIED = "unverified"  # energy could not be cross-checked (T9)
    INTEGRATED = "integrated"  # energy is integrated from power, there is no counter
    MODELLED = "modelled"  # reckoned from another boundary with a factor that somebody stated


@dataclass(frozen=True, slots=True)
class Validity:
    """The standing of one figure over its window."""

    figure: str
    window_seconds: float
    reasons: frozenset[Invalid] = frozenset()
    flags: frozenset[Flag] = frozenset()
    uncertainty_ratio: float | None = None
    """How wrong the figure may be, as a share of it, because pages take time to be rendered (T3)."""

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons
