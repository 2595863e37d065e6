"""What starting took is given back."""

import subprocess
import sys

HELD_AND_LET_GO = """
import asyncio
from pathlib import Path
from agent import garbage

def resident_kib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

garbage.SETTLE_SECONDS = 0.0
pieces = [bytes(1024) for _ in range(40_000)]
last = bytes(2048)  # above them: the heap can not shrink from its end
held = resident_kib()
del pieces
asyncio.run(garbage.settle())
print(held - resident_kib())
"""


def test_memory_that_was_let_go_of_is_given_back():
    told = subprocess.run(
        [sys.executable, "-c", HELD_AND_LET_GO], check=True, capture_output=True, text=True, timeout=20.0
    )

    assert int(told.stdout) > 30_000
