"""What starting took is given back, and it takes no more than it must."""

import subprocess
import sys

HELD_AND_LET_GO = """
import asyncio
from pathlib import Path
from agent import garbage

def resident_kib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

async def given_back():
    pieces = [bytes(1024) for _ in range(40_000)]
    last = bytes(2048)  # above them: the heap can not shrink from its end
    held = resident_kib()
    del pieces
    await asyncio.sleep(0.3)
    return held - resident_kib()

async def twice():
    settling = asyncio.create_task(garbage.settle())
    print(await given_back(), await given_back())
    settling.cancel()

garbage.SETTLE_SECONDS, garbage.TRIM_SECONDS = 0.0, 0.1
asyncio.run(twice())
"""


def test_memory_that_was_let_go_of_is_given_back_at_the_start_and_later():
    told = subprocess.run(
        [sys.executable, "-c", HELD_AND_LET_GO], check=True, capture_output=True, text=True, timeout=20.0
    )

    assert min(map(int, told.stdout.split())) > 30_000


LOADED = """
import sys
from agent import cli, daemon
from agent.collectors import engines, host, nvml
from exporters import prometheus
print(*sys.modules)
"""
ONLY_FOR_SOME = {
    "bcrypt",
    "decimal",
    "statistics",
    "zoneinfo",
    "google",
    "textual",
    "agent.twin",
    "agent.doctor",
}


def test_a_node_loads_nothing_that_only_others_need():
    """Each costs a third of a MiB or more."""
    told = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True, timeout=20.0
    )

    assert ONLY_FOR_SOME & set(told.stdout.split()) == set()
