"""What DCGM says of one GPU by number of field, made into a reading; whoever asked it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.measure.dcgm_fields import is_blank
from agent.measure.gpu import RECOVERY_ACTIONS, GpuReading, GpuState, Power, PowerScope
from agent.measure.gpu_clocks import reasons_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.dcgm_fields import DcgmField
    from agent.measure.gpu import GpuIdentity, Placement
    from agent.measure.reading import Moment

PARTS = ("xid", "free_bytes", "power", "power_limit_watts", "recovery_action")
"""Not fields of a reading as they stand."""
SIGNED = ("temperature_celsius", "thermal_margin_celsius")
NO_VALUE = "DCGM has no value of it: it may have fallen off the bus"
NONE_KNOWN: Mapping[str, int] = MappingProxyType({})


@dataclass(slots=True)
class DcgmValues:
    """The values of one GPU, in our units; a blank is not among them."""

    values: dict[str, float] = field(default_factory=dict)
    mappings: dict[str, dict[Any, float]] = field(default_factory=dict)
    numbers: dict[tuple[str, Any], int] = field(default_factory=dict)
    """By which field each was told: the same may be told by an old and by a new one, which wins."""

    def put(self, told: DcgmField, value: float | None) -> None:
        """Take the value of one field, unless it is a blank or cannot be (T11)."""
        if value is None or is_blank(value) or math.isnan(value):
            return
        if value < 0 and told.part not in SIGNED:
            return
        place = (told.part, told.key)
        if self.numbers.get(place, 0) >= told.number:
            return
        self.numbers[place] = told.number
        if told.key is None:
            self.values[told.part] = value * told.scale
        else:
            self.mappings.setdefault(told.part, {})[told.key] = value * told.scale

    @property
    def empty(self) -> bool:
        """Whether nothing is known but, perhaps, an Xid."""
        return not self.values.keys() - {"xid"} and not self.mappings

    @property
    def print(self) -> tuple[Any, ...]:
        """Every value: while it is the same, nothing was measured anew."""
        return (tuple(self.values.items()), *(tuple(each.items()) for each in self.mappings.values()))


def reading_of(
    told: DcgmValues,
    identity: GpuIdentity,
    at: Moment,
    xids: tuple[Mapping[int, int], int | None],
    placement: Placement | None = None,
    nvlinks: Mapping[str, int] = NONE_KNOWN,
) -> GpuReading:
    """Make the reading of a GPU; `xids` are those counted and the last."""
    values, mappings = told.values, told.mappings
    counted, last = xids
    if told.empty:
        return GpuReading(identity, at, GpuState.FAILED, NO_VALUE, xid_errors=counted, last_xid=last)
    mask = _whole(values.get("clock_event_mask"))
    more: dict[str, Any] = {name: value for name, value in values.items() if name not in PARTS}
    more |= {name: value for name, value in mappings.items() if name not in PARTS}
    more |= {name: _whole(more[name]) for name in ("clock_event_mask", "pcie_replays") if name in more}
    for name in ("ecc_errors", "remapped_rows"):
        if name in more:
            more[name] = {key: int(value) for key, value in more[name].items()}
    if "memory_total_bytes" not in more:
        more["memory_total_bytes"] = _total_bytes(values)
    return GpuReading(
        identity,
        at,
        power=_power(mappings.get("power", {})),
        power_limit_watts={
            PowerScope(scope): w for scope, w in mappings.get("power_limit_watts", {}).items()
        },
        throttle_active=None if mask is None else reasons_of(mask),
        recovery_action=_action(_whole(values.get("recovery_action"))),
        xid_errors=counted,
        last_xid=last,
        placement=placement,
        nvlinks=nvlinks,
        **more,
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _action(number: int | None) -> str | None:
    if number is None:
        return None
    return RECOVERY_ACTIONS[number] if number < len(RECOVERY_ACTIONS) else f"action_{number}"


def _total_bytes(values: Mapping[str, float]) -> float | None:
    """Return the size of the memory; by default its parts are told, and it is not."""
    free, used = values.get("free_bytes"), values.get("memory_used_bytes")
    if free is None or used is None:
        return None
    return free + used + values.get("memory_reserved_bytes", 0.0)


def _power(watts: Mapping[Any, float]) -> dict[PowerScope, Power]:
    """Return the power of the GPU as a whole, where any is told."""
    return {PowerScope.GPU: Power(**watts)} if watts else {}
