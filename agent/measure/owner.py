"""Who uses a GPU, as control groups and clusters tell it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class GpuOwner:
    """One user of one GPU; empty is unknown or does not apply."""

    uuid: str
    """Of the GPU."""
    mig: str = ""
    namespace: str = ""
    pod: str = ""
    job_id: str = ""
