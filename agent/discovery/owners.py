"""Who a process belongs to, by its control group: a pod, a container, a Slurm job, a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

POD = re.compile(r"pod([0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12})(?=[./]|$)")
"""A pod's UID: with `-` by the cgroupfs driver, with `_` by systemd's; a static pod's has neither."""
CONTAINER = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:/|$)")
JOB = re.compile(r"slurm[^/]*/(?:[^/]+/)*?job_(\d+)(?:/|$)")
UNIT = re.compile(r"/([^/]+\.service)(?:/|$)")
NOBODYS_UNITS = re.compile(r"user@\d+\.service|sshd?\.service|sshd?@.*|crond?\.service|getty@.*")
"""Units that hold what people started by hand: those have nothing to do with each other."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What a control group tells; empty is unknown."""

    pod_uid: str = ""
    container: str = ""
    job_id: str = ""
    unit: str = ""

    @property
    def known(self) -> bool:
        """Whether processes of the same control group belong together."""
        return bool(self.pod_uid or self.container or self.job_id or self.unit)


def owner_of(cgroup: str) -> Owner:
    """Read `/proc/PID/cgroup`: every hierarchy may know something."""
    pod = container = job = unit = ""
    for line in cgroup.splitlines():
        path = line.split(":", 2)[-1]
        pod = pod or _first(POD, path).replace("_", "-")
        container = container or _first(CONTAINER, path)
        job = job or _first(JOB, path)
        unit = unit or next((u for u in UNIT.findall(path) if not NOBODYS_UNITS.fullmatch(u)), "")
    return Owner(pod, container, job, unit)


def _first(pattern: re.Pattern[str], path: str) -> str:
    found = pattern.search(path)
    return "" if found is None else found[1]
