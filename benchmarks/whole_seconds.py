"""Runs a benchmark on a twin that lives in steps of a second instead of a tenth: `MODULE ARGUMENT …`.

Loads and their noise are new each second anyway, and events begin on whole seconds; what differs are the
ramps within a second. Ten times as many days are played in the same time.
"""

from __future__ import annotations

import runpy
import sys

from agent.twin import grid


def main() -> None:
    """Set the steps before anything of the twin is there, then run the module."""
    there = [name for name in sys.modules if name.startswith("agent.twin.") and name != grid.__name__]
    if there:
        raise SystemExit(f"{there[0]} has the steps of a tenth of a second already")
    grid.STEP_NS, grid.STEP_SECONDS, grid.STEPS_PER_SECOND = grid.NANO, 1.0, 1
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
