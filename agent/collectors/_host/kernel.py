"""What the kernel counts of the whole machine: pressure, steal, OOM kills, and how fast processors run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.collectors._host.tree import whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.collectors._host.tree import Tree

PRESSURE = "/proc/pressure"
RESOURCES = ("cpu", "memory", "io", "irq")
"""`irq` is told from Linux 6.1 on, where time in interrupts is accounted."""
SHARES = (b"some", b"full")
MEANINGLESS = ("cpu", "full")
"""For the whole machine it is undefined, and the kernel writes 0: unknown is absent."""
MICROSECOND = 1e-6
STEAL_FIELD = 8
"""After the word `cpu`: user, nice, system, idle, iowait, irq, softirq, steal."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KILOHERTZ = 1e3
CPUFREQ = "/sys/devices/system/cpu/cpufreq"
MOST_POLICIES = 16
"""A policy is a processor on most servers; beyond so many, evenly spread ones stand for all."""


def stalled_seconds(tree: Tree) -> dict[tuple[str, str], float]:
    """Return for how long tasks had to wait for each resource since boot."""
    found = {}
    for resource in RESOURCES:
        for share, seconds in pressure_in(tree.read(f"{PRESSURE}/{resource}") or b"").items():
            if (resource, share) != MEANINGLESS:
                found[resource, share] = seconds
    return found


def pressure_in(page: bytes) -> dict[str, float]:
    """Return the totals of one page of pressure stall information, in seconds.

    `some avg10=0.00 avg60=0.00 avg300=0.00 total=165102` is one of its lines, in microseconds.
    """
    found = {}
    for line in page.splitlines():
        share, _, rest = line.partition(b" ")
        total = whole(rest.rpartition(b" total=")[2])
        if share in SHARES and total is not None:
            found[share.decode()] = total * MICROSECOND
    return found


def steal_seconds(tree: Tree) -> float | None:
    """Return the time for which a hypervisor let this machine wait, over all processors."""
    first = (tree.read("/proc/stat") or b"").split(b"\n", 1)[0].split()
    if len(first) <= STEAL_FIELD or first[0] != b"cpu":
        return None
    ticks = whole(first[STEAL_FIELD])
    return None if ticks is None else ticks / TICKS_PER_SECOND


def oom_kills(tree: Tree) -> float | None:
    """Return how many processes the kernel has killed for want of memory."""
    page = tree.read_all("/proc/vmstat") or b""
    _, found, rest = (b"\n" + page).partition(b"\noom_kill ")
    return whole(rest.split(b"\n", 1)[0]) if found else None


def frequencies(tree: Tree) -> Mapping[str, float]:
    """Return the least, mean and greatest frequency that processors run at now."""
    policies = [name for name in tree.names(CPUFREQ) if name.startswith("policy")]
    step = -(-len(policies) // MOST_POLICIES) or 1
    read = (tree.count(f"{CPUFREQ}/{policy}/scaling_cur_freq") for policy in policies[::step])
    hertz = [kilohertz * KILOHERTZ for kilohertz in read if kilohertz]
    return {"min": min(hertz), "mean": sum(hertz) / len(hertz), "max": max(hertz)} if hertz else {}
