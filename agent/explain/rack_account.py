"""What a recording of a rack comes to: what only the rack sees, judged once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.rack_considered import rack_considered, rack_unknown
from agent.diagnose.rack_signs import RackSigns
from agent.diagnose.rack_timeline import rack_timeline
from agent.diagnose.replay import rack_replayed
from agent.explain.account import Account, NothingFoundError, around, holes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.measure.incident import Incident
    from agent.recorder.reading import Recording

SAME_SECONDS = 10.0
"""A replay may find the beginning so much earlier or later: a hall is recorded each five seconds."""


def rack_account_of(recording: Recording) -> Account:
    """Judge a recording of a rack once more. Raises NothingFoundError."""
    moments = [step for step in recording.steps if isinstance(step, RackSigns)]
    found: dict[str, Incident] = {}
    judged: dict[str, RackSigns] = {}
    for signs, memory in rack_replayed(moments):
        for each in memory.own_incidents:
            if each.id not in found or each.cause != found[each.id].cause:
                judged[each.id] = signs
            found[each.id] = each
    again = _again(recording.incident, found.values())
    told = recording.incident or again
    if told is None:
        raise NothingFoundError
    signs_then = None if again is None else judged[again.id]
    return Account(
        incident=told,
        again=again,
        events=around(rack_timeline(moments, told.node), told),
        others=() if signs_then is None else rack_considered(signs_then, told),
        unknown=() if signs_then is None else tuple(rack_unknown(signs_then, told)),
        notes=(*recording.notes, *holes(moments)),
        recorded=(moments[0].at.unix_seconds, moments[-1].at.unix_seconds),
    )


def _again(told: Incident | None, found: Iterable[Incident]) -> Incident | None:
    """Return the incident of a replay that is the one that was told, or the first where none was."""
    if told is None:
        return min(found, key=lambda each: each.started, default=None)
    what = told.id.rpartition("/")[0]  # the rest is when it began
    same = (
        each
        for each in found
        if each.id.rpartition("/")[0] == what and abs(each.started - told.started) <= SAME_SECONDS
    )
    return min(same, key=lambda each: abs(each.started - told.started), default=None)
