"""The GPUs of a tray as JSON: raw counters in the driver's units, with the driver's resolution."""

from __future__ import annotations

import uuid
import zlib
from typing import TYPE_CHECKING, Any

from agent.twin import gb300
from agent.twin.gpu import METERED
from agent.twin.grid import MILLI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.twin.gpu import Gpu
    from agent.twin.scenario import Scenario
    from agent.twin.tray import Tray

PICOJOULES_PER_MILLIJOULE = 10**9
UNCORRECTED_XIDS = frozenset({48, 94, 95})
FIRST_SLOTS = 10
SWITCH_SLOTS = 9
"""Trays 0 to 9 are below the nine switch trays, the others above: slots count both, from 1."""
LOADED_SHARE = 0.92
"""Of the memory, once an engine is there."""
DRIVER_MEMORY_BYTES = 5 * 2**20
FIRST_PID = 20_000
_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")


class GpuPage:
    """Tells the GPUs of one tray; who they are is prepared once."""

    def __init__(self, scenario: Scenario, tray: int) -> None:
        self._tray = tray
        self._identities = [_identity(scenario, tray, gpu) for gpu in range(scenario.rack.gpus_per_tray)]

    def plain(self, tray: Tray, rest_ns: int, epoch_ns: int) -> list[dict[str, Any]]:
        """Return what every GPU says at this moment."""
        return list(self._gpus(tray, rest_ns, epoch_ns))

    def _gpus(self, tray: Tray, rest_ns: int, epoch_ns: int) -> Iterator[dict[str, Any]]:
        for number, gpu in enumerate(tray.gpus):
            xids = [(epoch_ns + at_ns, xid) for at_ns, xid in gpu.xids]
            told = {**self._identities[number], "state": "lost" if gpu.lost else "ok", "xids": xids}
            if not gpu.lost:
                told |= _values(gpu, rest_ns)
                told["power_milliwatts"] = _power(tray, number, rest_ns)
                told["processes"] = self._processes(tray, number)
                used = _used_bytes(told["processes"])
                told["memory_bytes"] = {"used": used, "total": gb300.MEMORY_BYTES}
            yield told

    def _processes(self, tray: Tray, number: int) -> list[tuple[int, int]]:
        place = number // tray.plan.per_engine
        engine = tray.engines[place]
        if engine.down:
            return []
        pid = FIRST_PID + self._tray * 1000 + place * 100 + engine.starts
        return [(pid, int(gb300.MEMORY_BYTES * LOADED_SHARE))]


def _used_bytes(processes: list[tuple[int, int]]) -> int:
    return DRIVER_MEMORY_BYTES + sum(used for _, used in processes)


def _values(gpu: Gpu, rest_ns: int) -> dict[str, Any]:
    busy = gpu.activity > 0 or gpu.utilization > 0
    clock = round(gb300.FULL_CLOCK_MEGAHERTZ * gpu.clock_share) if busy else gb300.IDLE_CLOCK_MEGAHERTZ
    celsius = round(gpu.celsius)
    broken = sum(xid in UNCORRECTED_XIDS for _, xid in gpu.xids)
    return {
        "energy_millijoules": (gpu.energy_at_pj(rest_ns) - gpu.energy_base_pj) // PICOJOULES_PER_MILLIJOULE,
        "limit_milliwatts": {
            "gpu": round(gpu.limit_watts * MILLI),
            "module": round(gb300.MODULE_LIMIT_WATTS * MILLI),
        },
        "utilization_percent": round(100 * gpu.utilization),
        "temperature_celsius": {"gpu": celsius, "memory": celsius},
        "margin_celsius": round(gb300.SLOWDOWN_CELSIUS) - celsius,
        "clock_megahertz": {
            "graphics": clock,
            "sm": clock,
            "memory": round(gb300.MEMORY_CLOCK_HERTZ / 1e6),
            "video": clock,
        },
        "throttle": gpu.reasons,
        "throttled_nanoseconds": {
            reason: gpu.held_at_ns(place, rest_ns) for place, reason in enumerate(METERED)
        },
        "ecc_errors": {"corrected": 0, "uncorrected": broken},
        "remapped_rows": {"correctable": 0, "uncorrectable": 0, "pending": 0, "failure": 0},
        "recovery_action": "gpu_reset" if broken else "none",
    }


def _power(tray: Tray, number: int, rest_ns: int) -> dict[str, Any]:
    """Means of the last second, and the power of this moment, by scope."""
    gpu = tray.gpus[number]
    first = number // gb300.GPUS_PER_MODULE * gb300.GPUS_PER_MODULE
    module = tray.modules[number // gb300.GPUS_PER_MODULE]
    mates = tray.gpus[first : first + gb300.GPUS_PER_MODULE]
    swing = gb300.MEMORY_BUSY_WATTS - gb300.MEMORY_IDLE_WATTS
    return {
        "gpu": {"average": gpu.mean_mw(rest_ns), "instant": gpu.power_mw},
        "module": {
            "average": module.mean_mw(rest_ns) + sum(mate.mean_mw(rest_ns) for mate in mates),
            "instant": module.rest_mw + sum(mate.power_mw for mate in mates),
        },
        "memory": {"average": round((gb300.MEMORY_IDLE_WATTS + swing * gpu.activity) * MILLI)},
    }


def _identity(scenario: Scenario, tray: int, gpu: int) -> dict[str, Any]:
    rack = scenario.rack.name
    own = f"rackwatt-twin/{rack}/{scenario.seed}"
    module = gpu // gb300.GPUS_PER_MODULE
    pairs = gb300.MODULE_IDS
    number = gpu % len(pairs)
    return {
        "gpu": gpu,
        "uuid": f"GPU-{uuid.uuid5(_NAMESPACE, f'{own}/{tray}/{gpu}')}",
        "product": gb300.PRODUCT,
        "pci": gb300.PCI[gpu] if gpu < len(gb300.PCI) else f"000000{gpu + 0x20:02X}:06:00.0",
        "driver": gb300.DRIVER,
        "serial": f"165{zlib.crc32(f'{own}/{tray}/board/{module}'.encode()):010d}",
        "minor": gpu,
        "placement": {
            "chassis_serial": f"182{zlib.crc32(own.encode()):010d}",
            "slot": tray + 1 if tray < FIRST_SLOTS else tray + 1 + SWITCH_SLOTS,
            "tray": tray,
            "host": 1,
            "module": pairs[number] + gpu // len(pairs) * len(pairs),
            "cluster_uuid": str(uuid.uuid5(_NAMESPACE, f"{own}/domain")),
            "clique": gb300.CLIQUE,
            "fabric_state": "completed",
            "fabric_healthy": True,
        },
    }
