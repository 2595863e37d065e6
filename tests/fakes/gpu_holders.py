"""A snapshot in which the driver names processes."""

from agent.measure.gpu import GpuIdentity, GpuProcess, GpuReading
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading
from agent.measure.snapshot import Snapshot

AT = Moment(10.0, 1_760_000_000.0)


def seen(*holders: tuple[int, ...]) -> Snapshot:
    """One GPU for each tuple of pids: GPU-0, GPU-1, …"""
    node = NodeReckoner("n", "r", 10.0, "boot", "run")
    node.expect(["nvml"])
    gpus = tuple(
        GpuReading(
            GpuIdentity(f"GPU-{number}", "NVIDIA GB300", f"0000000{number}:06:00.0", "580.95.05"),
            AT,
            processes=tuple(GpuProcess(pid, 1) for pid in pids),
        )
        for number, pids in enumerate(holders)
    )
    node.take(Reading("nvml", AT, gpus=gpus), 1.0)
    return node.snapshot(AT, (), {})
