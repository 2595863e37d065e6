"""A page under dcgm-exporter's names, labels and units, for dashboards and alerts that were made for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.gpu import GpuState
from agent.measure.page_path import require_page_path
from agent.measure.settings import setting
from exporters._dcgm_names.field import XID
from exporters._dcgm_names.fields import FIELDS
from exporters._dcgm_names.xids import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agent.measure.gpu import GpuReading
    from agent.measure.owner import GpuOwner
    from agent.measure.snapshot import GpuFigures, Snapshot
    from exporters._dcgm_names.field import DcgmField

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Always: OpenMetrics would append `_total` to the names of counters, and they would be other names."""

ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Names(StrEnum):
    """Which generation of DCGM's names is shown."""

    OLD = "old"
    NEW = "new"
    BOTH = "both"


class HostnameLabel(StrEnum):
    """How dcgm-exporter spells the label of the node: with a capital until 4.8.2, small after it."""

    CAPITAL = "Hostname"
    SMALL = "hostname"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the exporter of dcgm-exporter's names (docs/dcgm_names.md)."""

    path: str = setting("/metrics/dcgm", "HTTP path of the page.")
    names: Names = setting(
        Names.OLD, "`old`: names until DCGM 4.5, of most dashboards; `new`: since DCGM 4.6; or `both`."
    )
    hostname_label: HostnameLabel = setting(
        HostnameLabel.CAPITAL, "`Hostname` as dcgm-exporter until 4.8.2, or `hostname` as after it."
    )
    kubernetes: bool = setting(
        default=False, doc="Labels `pod` and `namespace` on a GPU that exactly one pod uses."
    )
    hpc_job: bool = setting(
        default=False, doc="Label `hpc_job` on a GPU that exactly one job of a batch system uses."
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a path that nobody could reach."""
        require_page_path(self.path)


def build(settings: Settings) -> DcgmNamesRenderer:
    """Make the exporter."""
    return DcgmNamesRenderer(settings)


class DcgmNamesRenderer:
    """Renders the text format itself: prometheus_client's would rename the counters."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.path
        self._settings = settings
        self._heads = tuple((field, _heads(field, names)) for field, names in _named(settings.names))
        self._page: tuple[int, bytes] = (-1, b"")

    def render(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:  # noqa: ARG002  (there is one format)
        """Return the page and its content type; the page of one snapshot is rendered once."""
        if self._page[0] != snapshot.sequence:
            self._page = snapshot.sequence, "".join(self._families(snapshot)).encode()
        return self._page[1], CONTENT_TYPE

    def _families(self, snapshot: Snapshot) -> Iterator[str]:
        gpus = [
            (gpu, gpu.reading, self._labels(gpu, gpu.reading, snapshot))
            for gpu in snapshot.gpus
            if gpu.reading is not None
        ]
        for field, heads in self._heads:
            rows = [
                f"{{{labels}{_details(field, value)}}} {value}\n"
                for gpu, reading, labels in gpus
                if (value := _value(field, gpu, reading)) is not None
            ]
            for name, head in heads if rows else ():
                yield head
                yield from (name + row for row in rows)

    def _labels(self, gpu: GpuFigures, reading: GpuReading, snapshot: Snapshot) -> str:
        """Return the labels of a GPU in dcgm-exporter's order."""
        who = reading.identity
        labels = {
            "gpu": str(gpu.gpu),
            "UUID": who.uuid,
            "pci_bus_id": who.pci,
            "device": f"nvidia{gpu.gpu if who.minor is None else who.minor}",
            "modelName": who.product,
            self._settings.hostname_label: snapshot.node.name,
            "DCGM_FI_DRIVER_VERSION": who.driver,
        }
        owners = [owner for owner in snapshot.owners if owner.uuid == who.uuid]
        return _pairs(labels | self._owner_labels(owners))

    def _owner_labels(self, owners: Sequence[GpuOwner]) -> dict[str, str]:
        """Return who uses a GPU alone: two owners, or one of a part of it, are not this GPU's."""
        if any(owner.mig for owner in owners):
            return {}
        labels = {}
        pods = {(owner.pod, owner.namespace) for owner in owners}
        if self._settings.kubernetes and len(pods) == 1:
            labels["pod"], labels["namespace"] = pods.pop()
        jobs = {owner.job_id for owner in owners}
        if self._settings.hpc_job and len(jobs) == 1:
            labels["hpc_job"] = jobs.pop()
        return {name: value for name, value in labels.items() if value}


def _named(names: Names) -> Iterator[tuple[DcgmField, Sequence[str]]]:
    """Yield each field with the names that it is shown under, no name twice."""
    shown: set[str] = set()
    for field in FIELDS:
        wanted = {Names.OLD: (field.old,), Names.NEW: (field.new,)}.get(names, (field.old, field.new))
        fresh = [name for name in dict.fromkeys(wanted) if name not in shown]
        shown.update(fresh)
        yield field, fresh


def _heads(field: DcgmField, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return each name with the comment lines of its family."""
    doc = f"{field.doc} [{field.unit}]"
    return tuple((name, f"# HELP {name} {doc}\n# TYPE {name} {field.type}\n") for name in names)


def _value(field: DcgmField, gpu: GpuFigures, reading: GpuReading) -> float | None:
    """Return what a field says of a GPU; of one that does not answer nothing is known but what befell it."""
    if reading.state is not GpuState.OK and not field.of_lost:
        return None
    return field.tell(gpu, reading)


def _details(field: DcgmField, value: float) -> str:
    """Return the labels that dcgm-exporter adds to an Xid."""
    if field.number != XID:
        return ""
    return "," + _pairs({"err_code": str(value), "err_msg": words_of(int(value))})


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value.translate(ESCAPES)}"' for name, value in labels.items())
