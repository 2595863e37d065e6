"""From the processes that hold GPUs to the sockets on which their families listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.discovery import command
from agent.discovery.owners import owner_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.discovery.proc import Proc, Process
    from agent.discovery.proc_text import Listening

Key = tuple[int, int, int]
"""Process, its start and a port: one socket for good."""
MOST_HOLDERS = 1024
"""Processes with GPUs that are looked at."""
MOST_MEMBERS = 512
"""Processes of one family that are looked at."""
MOST_LISTENERS = 16
"""Sockets of one family that are kept: those that the command line names come first."""
MOST_ANCESTORS = 16
NO_FAMILY = frozenset({
    *("init", "systemd", "containerd-shim", "dockerd", "conmon", "crio", "kubelet"),
    *("slurmd", "slurmstepd", "supervisord", "runsvdir", "s6-supervise", "tini", "dumb-init", "docker-init"),
    *("sshd", "login", "sudo", "su", "cron", "crond", "tmux: server", "screen", "make"),
    *("sh", "bash", "dash", "zsh", "fish", "ksh"),
})  # fmt: skip
"""What starts engines and has nothing else to do with them: its other children are strangers."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket on which a family listens, and what stands behind it."""

    pid: int
    start_ticks: int
    host: str
    """Address at which we can ask."""
    port: int
    inode: int
    named: bool
    """Whether the command line names the port."""
    gpus: tuple[str, ...]
    """UUIDs of the GPUs of the process and of its children; those of its family if these have none."""
    parallelism: command.Parallelism
    likeness: tuple[object, ...]
    """What stays the same when it starts again on another port: command line, user, control group, GPUs."""

    @property
    def key(self) -> Key:
        """One socket of one process for good."""
        return self.pid, self.start_ticks, self.port

    @property
    def place(self) -> str:
        """Host and port as in an address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Family:
    """The processes that hold GPUs together, with those that started them."""

    head: Process
    members: tuple[Process, ...]
    gpus: tuple[str, ...]
    """UUIDs of the GPUs that it holds."""
    listeners: tuple[Listener, ...]
    unreachable_ports: tuple[int, ...] = ()
    """Ports that it listens on in another network namespace."""
    unseen: tuple[Process, ...] = ()
    """Members whose sockets we may not see."""

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The command lines of all members."""
        return tuple(member.argv for member in self.members)

    @property
    def pod_uid(self) -> str:
        """The pod in which it runs; empty for none."""
        return owner_of(self.head.cgroup).pod_uid

    @property
    def plans(self) -> tuple[command.Parallelism, ...]:
        """How its members say that they are spread."""
        return tuple(command.parallelism(member.argv) for member in self.members)


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen at one look."""

    families: tuple[Family, ...] = ()
    missing: tuple[int, ...] = ()
    """Processes that hold GPUs, by the driver's word, and are not there for us."""


def look(holders: Mapping[int, frozenset[str]], proc: Proc, own_pid: int) -> Sight:
    """Look at the families of these processes, of which each holds some GPUs. Takes its time."""
    heads: dict[int, list[int]] = {}
    missing = []
    for pid in sorted(holders)[:MOST_HOLDERS]:
        process = proc.process(pid)
        if process is None:
            missing.append(pid)
        else:
            heads.setdefault(_head(process, proc).pid, []).append(pid)
    ours = {each.inode: each for each in proc.listening()}
    families = (_family(head, pids, holders, proc, ours, own_pid) for head, pids in heads.items())
    return Sight(tuple(family for family in families if family is not None), tuple(missing))


def _head(process: Process, proc: Proc) -> Process:
    """Go up to the last ancestor that belongs to it: of its session, or of its container, job or unit."""
    for _ in range(MOST_ANCESTORS):
        parent = proc.process(process.parent) if process.parent > 1 else None
        if parent is None or not _related(parent, process):
            break
        process = parent
    return process


def _related(parent: Process, child: Process) -> bool:
    """Whether a parent and its child are of one family."""
    together = parent.cgroup == child.cgroup and owner_of(child.cgroup).known
    return parent.name not in NO_FAMILY and (parent.session == child.session or together)


def _family(
    head_pid: int,
    holding: Iterable[int],
    holders: Mapping[int, frozenset[str]],
    proc: Proc,
    ours: Mapping[int, Listening],
    own_pid: int,
) -> Family | None:
    members = [p for p in _descend(head_pid, holding, proc) if p.pid != own_pid]
    if not members:
        return None
    gpus = {pid: holders.get(pid, frozenset()) for pid in (member.pid for member in members)}
    whole = tuple(sorted(frozenset[str]().union(*gpus.values())))
    sockets: dict[int, tuple[Process, Listening]] = {}
    elsewhere: dict[int, None] = {}
    unseen = []
    for member in members:  # the head first: what children inherit is its socket
        inodes = proc.sockets(member.pid)
        if inodes is None:
            unseen.append(member)
        for each, reachable in _listening(member, inodes, proc, ours):
            if reachable:
                sockets.setdefault(each.inode, (member, each))
            else:
                elsewhere[each.port] = None
    made = [_listener(p, each, _below(p.pid, members, gpus) or whole) for p, each in sockets.values()]
    first = sorted(made, key=lambda listener: not listener.named)
    once = {(each.host, each.port): each for each in reversed(first) if each.host}
    listeners = sorted(once.values(), key=lambda listener: (not listener.named, listener.port))
    ports = tuple(elsewhere)
    return Family(members[0], tuple(members), whole, tuple(listeners[:MOST_LISTENERS]), ports, tuple(unseen))


def _descend(head_pid: int, holding: Iterable[int], proc: Proc) -> Iterator[Process]:
    """Yield the head, its descendants by generation, and those that hold GPUs in any case."""
    queue, seen = [head_pid], set[int]()
    for pid in queue:
        process = proc.process(pid)
        if pid in seen or process is None or len(seen) >= MOST_MEMBERS:
            continue
        seen.add(pid)
        yield process
        children = map(proc.process, proc.children(pid))
        queue += [child.pid for child in children if child is not None and _related(process, child)]
    for pid in holding:
        process = proc.process(pid)
        if pid not in seen and process is not None:
            yield process


def _listening(
    process: Process, inodes: frozenset[int] | None, proc: Proc, ours: Mapping[int, Listening]
) -> Iterator[tuple[Listening, bool]]:
    """Yield what a process listens on, and whether that is in our own network namespace.

    Where its sockets are hidden from us, the port that its command line names is its own if the socket there
    is its user's. The inode tells the namespace: a socket has one, and is in one table only.
    """
    if inodes is not None:
        mine = inodes & ours.keys()
        yield from ((ours[inode], True) for inode in sorted(mine))
        if not mine and inodes:
            yield from ((each, False) for each in proc.listening(process.pid) if each.inode in inodes)
        return
    ports = command.named_ports(process.argv)
    for each in proc.listening(process.pid) if ports else ():
        if each.port in ports and each.uid == process.uid:
            yield each, each.inode in ours


def _listener(process: Process, listening: Listening, gpus: tuple[str, ...]) -> Listener:
    return Listener(
        pid=process.pid,
        start_ticks=process.start_ticks,
        host=_reachable(listening.host),
        port=listening.port,
        inode=listening.inode,
        named=listening.port in command.named_ports(process.argv),
        gpus=gpus,
        parallelism=command.parallelism(process.argv),
        likeness=(command.without_ports(process.argv), process.uid, process.cgroup, gpus),
    )


def _reachable(host: str) -> str:
    """Return the address to ask at: a socket on all addresses is asked on loopback; empty for none."""
    if host.startswith("fe80:"):
        return ""  # needs the name of its interface
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _below(pid: int, members: Iterable[Process], gpus: Mapping[int, frozenset[str]]) -> tuple[str, ...]:
    """Return the GPUs of a process and its descendants; members come by generation."""
    inside = {pid}
    for member in members:
        if member.parent in inside:
            inside.add(member.pid)
    return tuple(sorted(frozenset[str]().union(*(gpus.get(one, frozenset()) for one in inside))))
