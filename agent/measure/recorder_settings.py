"""How much is kept of the time around an incident."""

from __future__ import annotations

from dataclasses import dataclass

from agent.measure.settings import Bytes, Seconds, setting

DIRECTORY = "incidents"
"""In `state_dir`, unless another is configured."""
LEAST_MEMORY_BYTES = 512 * 1024
"""Two minutes of eight GPUs and eight engines before they are packed: less records nothing."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """`recorder`: the flight recorder (docs/incidents.md)."""

    memory: Bytes | None = setting(
        Bytes(4 * 1024 * 1024),
        "What the last half hour may take in memory, packed; where it is too little it goes back less far. A "
        "rack with members may take as much again. 0 records nothing.",
    )
    directory: str = setting(
        "", f"Where recordings of incidents are written; default is `{DIRECTORY}` in `state_dir`."
    )
    retention_size: Bytes | None = setting(
        Bytes(64 * 1024 * 1024), "What they may take on disk; the oldest go first. 0 writes none."
    )
    retention_time: Seconds = setting(Seconds(30 * 86400.0), "For how long they are kept.")

    def __post_init__(self) -> None:
        """Refuse a memory that holds nothing."""
        if self.memory is not None and self.memory < LEAST_MEMORY_BYTES:
            raise ValueError(f"memory: must be 0, or at least {LEAST_MEMORY_BYTES // 1024}KiB")
