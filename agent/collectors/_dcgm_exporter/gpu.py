"""The series of one GPU on a page of dcgm-exporter, made into a reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.collectors._dcgm_exporter.fields import BY_NAME, is_blank
from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Placement, Power, PowerScope
from agent.measure.gpu_clocks import reasons_of
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.collectors._dcgm_exporter.fields import DcgmField
    from agent.measure.reading import Moment
    from agent.wire.page import Page

UUID_LABELS = ("UUID", "uuid", "gpu_uuid")
PRODUCT_LABELS = ("modelName", "model_name")
INSTANCE_LABEL = "GPU_I_ID"
DRIVER_LABEL = "DCGM_FI_DRIVER_VERSION"
SERIAL_LABELS = ("DCGM_FI_DEV_SERIAL", "DCGM_FI_DEV_BOARD_SERIAL")
PLATFORM = "DCGM_FI_DEV_PLATFORM_"
PARTS = ("xid", "free_bytes", "power", "power_limit_watts")
"""Not fields of a reading as they stand."""
SIGNED = ("temperature_celsius", "thermal_margin_celsius")
UNSET = 0xFF
"""A slot or tray that the driver does not know (T11)."""


@dataclass(slots=True)
class Told:
    """What a page says of one GPU."""

    uuid: str
    labels: dict[str, str] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    mappings: dict[str, dict[Any, float]] = field(default_factory=dict)
    numbers: dict[tuple[str, Any], int] = field(default_factory=dict)
    """By which field each was told: the same may be told by an old and by a new one, which wins."""

    def put(self, told: DcgmField, value: float) -> None:
        """Take the value of one field."""
        place = (told.part, told.key)
        if self.numbers.get(place, 0) >= told.number:
            return
        self.numbers[place] = told.number
        if told.key is None:
            self.values[told.part] = value * told.scale
        else:
            self.mappings.setdefault(told.part, {})[told.key] = value * told.scale

    @property
    def print(self) -> tuple[Any, ...]:
        """Every value: while it is the same, nothing was measured anew."""
        return (tuple(self.values.items()), *(tuple(each.items()) for each in self.mappings.values()))


def told_of(page: Page) -> list[Told]:
    """Return what is said of each GPU, by UUID: numbers and host names differ between tellers."""
    found: dict[str, Told] = {}
    for labels, name, value in _samples(page):
        uuid = _first(labels, UUID_LABELS)
        if not _is_uuid(uuid):
            continue
        field_ = BY_NAME[name]
        if labels.get(INSTANCE_LABEL) and not field_.whole:
            continue
        told = found.setdefault(uuid, Told(uuid))
        told.labels |= {label: text for label, text in labels.items() if text}
        if value is None or is_blank(value) or (value < 0 and field_.part not in SIGNED):
            continue
        told.put(field_, value)
    return list(found.values())


def reading_of(told: Told, at: Moment, xids: Mapping[int, int], last_xid: int | None) -> GpuReading:
    """Make the reading of a GPU."""
    values, mappings = dict(told.values), dict(told.mappings)
    identity = identity_of(told)
    if not values.keys() - {"xid"} and not mappings:
        trouble = "DCGM has no value of it: it may have fallen off the bus"
        return GpuReading(identity, at, GpuState.FAILED, trouble, xid_errors=xids, last_xid=last_xid)
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
        xid_errors=xids,
        last_xid=last_xid,
        placement=_placement(told.labels),
        **more,
    )


def identity_of(told: Told) -> GpuIdentity:
    """Tell who a GPU is."""
    labels = told.labels
    return GpuIdentity(
        uuid=told.uuid,
        product=printable(_first(labels, PRODUCT_LABELS)),
        pci=printable(labels.get("pci_bus_id", "")),
        driver=printable(labels.get(DRIVER_LABEL, "")),
        serial=printable(_first(labels, SERIAL_LABELS)) or None,
    )


def _samples(page: Page) -> Iterator[tuple[Mapping[str, str], str, float | None]]:
    """Yield labels, name and value; a series without a value still says that there is such a GPU."""
    for series, value in zip(page.series, page.values, strict=True):
        yield series.labels, series.name, value


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _is_uuid(text: str) -> bool:
    """Tell an identity from its absence: nothing, zeros, 0xFF (T11)."""
    return bool(text) and bool(text.removeprefix("GPU-").replace("-", "").lower().strip("0f"))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _total_bytes(values: Mapping[str, float]) -> float | None:
    """Return the size of the memory; by default its parts are told, and it is not."""
    free, used = values.get("free_bytes"), values.get("memory_used_bytes")
    if free is None or used is None:
        return None
    return free + used + values.get("memory_reserved_bytes", 0.0)


def _power(watts: Mapping[Any, float]) -> dict[PowerScope, Power]:
    """Return the power of the GPU; 0 W is no measurement of something that answers."""
    return {PowerScope.GPU: Power(**watts)} if watts else {}


def _placement(labels: Mapping[str, str]) -> Placement | None:
    """Return where it stands, if the exporter was told to add that to the labels."""
    placed = Placement(
        chassis_serial=printable(labels.get(f"{PLATFORM}CHASSIS_SERIAL_NUMBER", "").strip()) or None,
        slot=_number(labels.get(f"{PLATFORM}CHASSIS_SLOT_NUMBER", "")),
        tray=_number(labels.get(f"{PLATFORM}TRAY_INDEX", "")),
        host=_number(labels.get(f"{PLATFORM}HOST_ID", "")),
        module=_number(labels.get(f"{PLATFORM}MODULE_ID", "")),
    )
    return None if placed == Placement() else placed


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) < UNSET else None
