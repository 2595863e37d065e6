"""Which GPUs an engine runs on, by the processes that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.discovery.owners import owner_of
from agent.measure.owner import GpuOwner
from agent.wire.address import DEFAULT_PORTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from agent.discovery.command import Parallelism
    from agent.discovery.kubernetes import Pod
    from agent.discovery.processes import Listener, Sight
    from agent.measure.snapshot import Snapshot

SIMULATED = "twin"
"""The collector of a simulated rack: its processes are not of this machine."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The GPUs of one engine; None is unknown."""

    gpus: tuple[str, ...] | None = None
    spans_nodes: bool | None = None


def holders_of(seen: Snapshot | None) -> dict[int, frozenset[str]] | None:
    """Return the GPUs of each process that holds some; None while no GPU tells."""
    if seen is None or any(outcome.source.startswith(SIMULATED) for outcome in seen.outcomes):
        return None
    holders: dict[int, set[str]] = {}
    told = False
    for gpu in seen.gpus:
        processes = None if gpu.reading is None else gpu.reading.processes
        told |= processes is not None
        for process in processes or ():
            holders.setdefault(process.pid, set()).add(gpu.uuid)
    return {pid: frozenset(gpus) for pid, gpus in holders.items()} if told else None


def instances_of(seen: Snapshot | None) -> dict[tuple[int, str], str]:
    """Return the MIG instance of each process on a GPU that is divided."""
    return {
        (process.pid, gpu.uuid): process.mig
        for gpu in (() if seen is None else seen.gpus)
        for process in (() if gpu.reading is None else gpu.reading.processes or ())
        if process.mig
    }


def of_listener(listener: Listener) -> Joined:
    """Return the GPUs behind a socket."""
    return Joined(listener.gpus, spans(listener.parallelism, len(listener.gpus)))


def of_numbers(numbers: Collection[int], seen: Snapshot | None) -> Joined:
    """Return the GPUs of these numbers, once all are known."""
    if seen is None:
        return Joined()
    found = tuple(gpu.uuid for gpu in seen.gpus if gpu.gpu in numbers)
    return Joined(found if len(found) == len(set(numbers)) else None)


def of_pod(uid: str, sight: Sight) -> Joined:
    """Return the GPUs that a pod holds."""
    families = [family for family in sight.families if family.pod_uid == uid]
    gpus = tuple(sorted({gpu for family in families for gpu in family.gpus}))
    plans = [plan for family in families for plan in family.plans if plan.world_size or plan.nodes]
    return Joined(gpus, spans(plans[0], len(gpus)) if plans else None) if gpus else Joined()


def spans(plan: Parallelism, held: int) -> bool | None:
    """Tell whether an engine has GPUs on other nodes too (T24)."""
    if (plan.nodes or 1) > 1:
        return True
    if plan.world_size is None:
        return None if plan.nodes is None else False
    return plan.world_size > held


def owners_of(
    sight: Sight,
    holders: Mapping[int, frozenset[str]],
    pods: Mapping[str, Pod],
    instances: Mapping[tuple[int, str], str],
) -> tuple[GpuOwner, ...]:
    """Return who uses which GPU; a pod that the cluster does not tell of is named by its UID."""
    found: set[GpuOwner] = set()
    for family in sight.families:
        for member in family.members:
            owner = owner_of(member.cgroup) if member.pid in holders else None
            if owner is not None and (owner.pod_uid or owner.job_id):
                pod = pods.get(owner.pod_uid)
                namespace, name = ("", owner.pod_uid) if pod is None else (pod.namespace, pod.name)
                found |= {
                    GpuOwner(uuid, instances.get((member.pid, uuid), ""), namespace, name, owner.job_id)
                    for uuid in holders[member.pid]
                }
    return tuple(sorted(found))


def claimed_by(
    urls: Iterable[str], sight: Sight, foreign: Mapping[str, bool]
) -> Iterator[tuple[str, Listener]]:
    """Yield each address with the socket that it leads to, unless its host is certainly another machine."""
    by_port = {each.port: each for family in sight.families for each in family.listeners}
    for url in urls:
        host, port = place_of(url)
        if port in by_port and not foreign.get(host, False):
            yield url, by_port[port]


def place_of(url: str) -> tuple[str, int]:
    """Return host and port of an address."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
