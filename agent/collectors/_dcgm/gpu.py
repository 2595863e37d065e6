"""What a host engine says of one GPU, made into a reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.collectors._dcgm import fields
from agent.collectors._dcgm.xids import Heard
from agent.measure import dcgm_gpu
from agent.measure.dcgm_fields import BY_NUMBER, ENERGY, is_blank
from agent.measure.dcgm_gpu import DcgmValues
from agent.measure.gpu import GpuIdentity, GpuReading, GpuState, Placement
from agent.measure.gpu_fabric import fabric_of
from agent.measure.reading import Moment
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.collectors._dcgm.library import Identity, Sample
    from agent.collectors._dcgm.session import Gpu

POWER = 155
LOST, DETACHED = 4, 7
"""Of DcgmEntityStatus."""
INACCESSIBLE = {
    2: "is not supported by DCGM",
    3: "is not visible to the host engine",
    6: "is disabled in DCGM",
}
FELL_OFF = "fell off the bus: drain the node, reset the GPU or reboot"
LINK_STATES = {1: "inactive", 2: "inactive", 3: "active"}
"""Of dcgmNvLinkLinkState: disabled, down, up; 0 is no link."""
UNSET = 0xFF
"""A slot or tray that the driver does not know (T11)."""
FABRIC_FAILED = 4
"""Of dcgmFabricManagerStatus: completed, with an error."""
FABRIC_STATES = 5
"""Its numbers from here on say nothing of the fabric."""


class Past:
    """One GPU over the collections: since when its values stand, and which Xids came."""

    def __init__(self) -> None:
        self.heard = Heard()
        self._stamp: float | None = None
        self._at: Moment | None = None
        self._first_seen_seconds = 0.0

    def stand(self, stamp: float, now: Moment, period_seconds: float) -> Moment:
        """Return when the values were measured, and note how long nothing new has come.

        A stamp is on the wall clock of the host engine's machine. It is believed as far as one period: a
        clock that was stepped, or another machine's, shifts a reading by no more than that.
        """
        if self._at is None or stamp != self._stamp:
            age = min(max(now.unix_seconds - stamp, 0.0), period_seconds)
            self._stamp, self._first_seen_seconds = stamp, now.monotonic_seconds
            at = Moment(now.monotonic_seconds - age, now.unix_seconds - age)
            if self._at is not None and at.monotonic_seconds <= self._at.monotonic_seconds:
                at = Moment((self._at.monotonic_seconds + now.monotonic_seconds) / 2, at.unix_seconds)
            self._at = at
        return self._at

    def still_seconds(self, now: Moment) -> float:
        """Return for how long the same values were shown."""
        return now.monotonic_seconds - self._first_seen_seconds


def is_uuid(text: str) -> bool:
    """Tell an identity from its absence: nothing, zeros, 0xFF (T11)."""
    return bool(text.removeprefix("GPU-").replace("-", "").lower().strip("0f"))


def identity_of(who: Identity) -> GpuIdentity:
    """Say who a GPU is, in our words."""
    serial = printable(who.serial).strip()
    return GpuIdentity(
        uuid=who.uuid,
        product=printable(who.product) or "unknown",
        pci=printable(who.pci),
        driver=printable(who.driver),
        serial=serial if serial.strip("0 ") and serial.upper() != "N/A" else None,
    )


def stamp_of(gpu: Gpu) -> float | None:
    """Return when the energy of a GPU was measured, else its power, else anything; None without a value."""
    stamps = {number: each.unix_seconds for number, each in gpu.fast.items() if each.value is not None}
    return stamps.get(ENERGY, stamps.get(POWER, max(stamps.values(), default=None)))


def reading_of(gpu: Gpu, at: Moment, heard: Heard) -> GpuReading:
    """Make the reading of a GPU."""
    told = DcgmValues()
    for samples in (gpu.fast, gpu.slow, gpu.counters):
        for number, sample in samples.items():
            field = BY_NUMBER.get(number)
            if field is not None and isinstance(sample.value, int | float):
                told.put(field, sample.value)
    identity = identity_of(gpu.identity)
    trouble = _trouble(gpu, heard, silent=stamp_of(gpu) is None)
    if trouble is not None:
        state, text = trouble
        return GpuReading(identity, at, state, text, xid_errors=heard.counts, last_xid=heard.last)
    links = _links(gpu.links)
    return dcgm_gpu.reading_of(told, identity, at, (heard.counts, heard.last), _placement(gpu.slow), links)


def still(gpu: Gpu, at: Moment, heard: Heard, seconds: float) -> GpuReading:
    """Make the reading of a GPU whose values are old."""
    trouble = f"the host engine has measured nothing new of it for {seconds:.0f} s"
    identity = identity_of(gpu.identity)
    return GpuReading(identity, at, GpuState.FAILED, trouble, xid_errors=heard.counts, last_xid=heard.last)


def _trouble(gpu: Gpu, heard: Heard, *, silent: bool) -> tuple[GpuState, str] | None:
    """Return what is wrong with a GPU: DCGM says so, or it is silent."""
    if gpu.status == LOST or (silent and heard.fell):
        return GpuState.LOST, FELL_OFF
    if gpu.status == DETACHED:
        return GpuState.FAILED, "is detached from DCGM: attach it again (dcgmi or nvidia-smi)"
    if silent:
        return GpuState.FAILED, INACCESSIBLE.get(gpu.status or 0, dcgm_gpu.NO_VALUE)
    return None


def _links(states: Sequence[int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for state in states:
        if state in LINK_STATES:
            counts[LINK_STATES[state]] = counts.get(LINK_STATES[state], 0) + 1
    return counts


def _placement(slow: Mapping[int, Sample]) -> Placement | None:
    """Return where it stands: rack, tray and NVLink domain."""
    numbers: dict[str, Any] = {
        name: _byte(slow, number)
        for name, number in (
            ("slot", fields.SLOT),
            ("tray", fields.TRAY),
            ("host", fields.HOST),
            ("module", fields.MODULE),
        )
    }
    placed = Placement(chassis_serial=_string(slow, fields.CHASSIS) or None, **numbers, **_fabric(slow))
    return None if placed == Placement() else placed


def _fabric(slow: Mapping[int, Sample]) -> dict[str, Any]:
    state = _number(slow, fields.FABRIC_STATE)
    if state is None or state >= FABRIC_STATES:
        return {}
    uuid = _string(slow, fields.CLUSTER).replace("-", "")
    try:
        raw = bytes.fromhex(uuid)
    except ValueError:
        raw = b""
    return fabric_of(
        raw if len(raw) == 16 else b"",  # noqa: PLR2004 - of a UUID
        _number(slow, fields.CLIQUE),
        min(state, FABRIC_FAILED - 1),
        well=state != FABRIC_FAILED,
        summary=_number(slow, fields.HEALTH_SUMMARY) or 0,
        mask=_number(slow, fields.HEALTH_MASK) or 0,
    )


def _number(samples: Mapping[int, Sample], number: int) -> int | None:
    sample = samples.get(number)
    value = None if sample is None else sample.value
    if isinstance(value, str):
        return int(value) if value.isdecimal() else None
    return None if value is None or is_blank(value) or value < 0 else int(value)


def _byte(samples: Mapping[int, Sample], number: int) -> int | None:
    value = _number(samples, number)
    return value if value is not None and value < UNSET else None


def _string(samples: Mapping[int, Sample], number: int) -> str:
    sample = samples.get(number)
    text = sample.value if sample is not None and isinstance(sample.value, str) else ""
    return "" if text.startswith("<<<") or not text.strip("0xXfF- ") else printable(text.strip())
