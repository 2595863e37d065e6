"""What a person should know about engines that were found, or could not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.discovery.probes import Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from agent.discovery.probes import Probe
    from agent.discovery.proc import Process
    from agent.discovery.processes import Family, Sight

CAPABILITY = "run rackwatt as that user, or with CAP_SYS_PTRACE, or name the engine under targets"


def of_sight(sight: Sight, read_elsewhere: Collection[str]) -> Iterator[str]:
    """Say what could not be seen; engines of pods that are read anyway are left out."""
    if sight.missing:
        yield (
            f"{len(sight.missing)} processes that hold GPUs cannot be seen here (pid {sight.missing[0]}); "
            "give rackwatt the host's PID namespace (hostPID, --pid=host) and a /proc without hidepid"
        )
    for family in sight.families:
        yield from _of_family(family, read_elsewhere)


def of_probes(probes: Collection[Probe]) -> Iterator[str]:
    """Say which sockets have no page for us, and what to do about it."""
    for probe in probes:
        where = f"process {probe.listener.pid} on {probe.listener.place}"
        if probe.verdict is Verdict.GUARDED:
            yield f"{where} guards its page; name it under targets, with authorization"
        elif probe.verdict is Verdict.PAGELESS and probe.unsupported:
            yield f"{where} cannot be read: {probe.unsupported}"
        elif probe.verdict is Verdict.PAGELESS and probe.remedy and probe.listener.named:
            yield f"{where} has no page of an engine; {probe.remedy}"


def _of_family(family: Family, read_elsewhere: Collection[str]) -> Iterator[str]:
    if family.listeners or family.pod_uid in read_elsewhere:
        return
    if family.unseen:
        yield f"what {_named(family.unseen[0])} listens on is not to be seen; {CAPABILITY}"
    elif family.unreachable_ports:
        ports = ", ".join(map(str, family.unreachable_ports[:4]))
        yield (
            f"{_named(family.head)} listens in another network namespace (port {ports}); name the address at "
            "which it can be reached under targets, or use targets_from.kubernetes"
        )


def _named(process: Process) -> str:
    return f"process {process.pid} ({process.name}, user {process.uid})"
