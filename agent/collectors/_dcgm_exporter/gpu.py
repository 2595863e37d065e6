"""The series of one GPU on a page of dcgm-exporter, made into a reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure import dcgm_gpu
from agent.measure.dcgm_fields import BY_NAME
from agent.measure.dcgm_gpu import DcgmValues
from agent.measure.gpu import GpuIdentity, Placement
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.measure.gpu import GpuReading
    from agent.measure.reading import Moment
    from agent.wire.page import Page

UUID_LABELS = ("UUID", "uuid", "gpu_uuid")
PRODUCT_LABELS = ("modelName", "model_name")
INSTANCE_LABEL = "GPU_I_ID"
DRIVER_LABEL = "DCGM_FI_DRIVER_VERSION"
SERIAL_LABELS = ("DCGM_FI_DEV_SERIAL", "DCGM_FI_DEV_BOARD_SERIAL")
PLATFORM = "DCGM_FI_DEV_PLATFORM_"
UNSET = 0xFF
"""A slot or tray that the driver does not know (T11)."""


@dataclass(slots=True)
class Told(DcgmValues):
    """What a page says of one GPU."""

    uuid: str = ""
    labels: dict[str, str] = field(default_factory=dict)


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
        told = found.setdefault(uuid, Told(uuid=uuid))
        told.labels |= {label: text for label, text in labels.items() if text}
        told.put(field_, value)
    return list(found.values())


def reading_of(told: Told, at: Moment, xids: Mapping[int, int], last_xid: int | None) -> GpuReading:
    """Make the reading of a GPU."""
    return dcgm_gpu.reading_of(told, identity_of(told), at, (xids, last_xid), _placement(told.labels))


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
