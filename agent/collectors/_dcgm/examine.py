"""What `rackwatt doctor` says of DCGM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.aside import Lane
from agent.measure.finding import Finding, Level, problem_of
from agent.measure.gpu import GpuState
from agent.measure.reading import Reason, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.collectors._dcgm.link import Link
    from agent.measure.reading import Reading

NAME = "dcgm"


async def findings(link: Link, timeout_seconds: float) -> tuple[Finding, ...]:
    """Connect, read once, remove what is ours."""
    lane = Lane("dcgm-doctor")
    try:
        reading: Reading = await lane.run(link.read, timeout_seconds)
    except SourceError as error:
        return (*_bindings(link), problem_of(NAME, error))
    except TimeoutError:
        text = f"{link.plan.address.text}: the host engine does not answer; restart it (nvidia-dcgm)"
        return (*_bindings(link), problem_of(NAME, SourceError(Reason.TIMED_OUT, text)))
    else:
        return (*_bindings(link), *_told(link, reading))
    finally:
        lane.submit(link.close)
        lane.end()


def _bindings(link: Link) -> Iterator[Finding]:
    if link.bindings is not None:
        yield Finding(Level.OK, NAME, f"bindings in {link.bindings.folder}")


def _told(link: Link, reading: Reading) -> Iterator[Finding]:
    where = link.plan.address.text
    well = [gpu for gpu in reading.gpus if gpu.state is GpuState.OK]
    if not reading.gpus:
        yield Finding(Level.PROBLEM, NAME, f"no GPU at {where}", "is the driver loaded there (nvidia-smi)?")
    else:
        yield Finding(Level.OK, NAME, f"{len(well)} of {len(reading.gpus)} GPUs answer at {where}")
    for gpu in reading.gpus:
        if gpu.state is not GpuState.OK:
            yield Finding(
                Level.PROBLEM, NAME, f"GPU {gpu.identity.uuid}: {gpu.trouble}", "see docs/faults.md"
            )
    if any(gpu.energy_joules is None for gpu in well):
        yield Finding(Level.NOTE, NAME, "a GPU has no energy counter: its energy is integrated from power")
    for note in reading.notes:
        text, _, remedy = note.removeprefix(f"{NAME}: ").partition("; ")
        yield Finding(Level.NOTE, NAME, text, remedy)
