"""Who a GPU is and where it sits: raw bytes of NVML's structs, read by offset.

pynvml decodes every bytes attribute as text, which raises on a GUID, cuts at NUL and turns small
numbers into characters; so its structs are only carried to the call and read as bytes.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.library import Code, Refusal
from agent.measure.gpu import GpuIdentity
from agent.measure.gpu_fabric import fabric_of

if TYPE_CHECKING:
    from agent.collectors._nvml.library import Library

UNKNOWN_BYTE = 0xFF


def read_identity(nvml: Library, handle: Any, driver: str) -> GpuIdentity:
    """Ask who a GPU is. Raises Refusal when it cannot even tell its UUID."""
    return GpuIdentity(
        uuid=nvml.call("nvmlDeviceGetUUID", handle),
        product=_optional(nvml, "nvmlDeviceGetName", handle) or "unknown",
        pci=_pci(nvml, handle),
        driver=driver,
        serial=_serial(_optional(nvml, "nvmlDeviceGetSerial", handle)),
        minor=_optional(nvml, "nvmlDeviceGetMinorNumber", handle),
    )


def _optional(nvml: Library, function: str, handle: Any) -> Any:
    try:
        return nvml.call(function, handle)
    except Refusal as refusal:
        if refusal.code in {Code.NOT_SUPPORTED, Code.NO_PERMISSION, Code.FUNCTION_NOT_FOUND}:
            return None
        raise


def _pci(nvml: Library, handle: Any) -> str:
    info = _optional(nvml, "nvmlDeviceGetPciInfo", handle)
    return str(info.busId) if info is not None else ""


def _serial(text: str | None) -> str | None:
    return text if text and text.strip("0 ") else None


def _raw(nvml: Library, function: str, handle: Any, structure: Any) -> bytes:
    """Return the bytes that a call wrote; pynvml passes the pointer on as it is, so it must be one."""
    nvml.call(function, handle, ctypes.byref(structure))
    return bytes(structure)


def read_platform(nvml: Library, handle: Any) -> dict[str, Any]:
    """Ask where in the rack a GPU sits, by attribute of Placement. Raises Refusal before Blackwell."""
    raw = _raw(nvml, "nvmlDeviceGetPlatformInfo", handle, nvml.pynvml.c_nvmlPlatformInfo_v2_t())
    return parse_platform(raw)


def parse_platform(raw: bytes) -> dict[str, Any]:
    """Read nvmlPlatformInfo_v2_t: what it does not know is absent, not 0xFF."""
    serial = raw[20:36]
    known = serial.strip(b"\xff").split(b"\0")[0]
    slot, tray, host, _peer_type, module = raw[36:41]
    numbers = {"slot": slot, "tray": tray, "host": host, "module": module}
    return {
        "chassis_serial": known.decode("ascii", "replace").strip() or None,
        **{name: None if number == UNKNOWN_BYTE else number for name, number in numbers.items()},
    }


def read_fabric(nvml: Library, handle: Any) -> dict[str, Any]:
    """Ask for the NVLink domain, by attribute of Placement. Raises Refusal where there is none."""
    function = "nvmlDeviceGetGpuFabricInfoV"
    try:
        raw = _raw(nvml, function, handle, nvml.pynvml.c_nvmlGpuFabricInfo_v3_t())
    except Refusal as refusal:
        if refusal.code != Code.ARGUMENT_VERSION_MISMATCH:
            raise
        raw = _raw(nvml, function, handle, nvml.pynvml.c_nvmlGpuFabricInfo_v2_t())
    return parse_fabric(raw)


def parse_fabric(raw: bytes) -> dict[str, Any]:
    """Read nvmlGpuFabricInfo_v2_t or its extension v3: an all-zero cluster is no cluster."""
    uuid, status, clique, state, mask = struct.unpack_from("<16siIB3xI", raw, 4)
    summary = raw[36] if len(raw) > 36 else 0  # noqa: PLR2004 - the offset of v3's healthSummary
    return fabric_of(uuid, clique, state, well=status == 0, summary=summary, mask=mask)
