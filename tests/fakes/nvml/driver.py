"""The Python side of the fake NVIDIA driver: builds the library, writes its tape, knows the truth.

A `FakeDriver` owns one tape: a text file which describes a machine and to which events are
appended while programs run.  Every process that loads the library reads the same tape, so the
agent, a restarted agent and a test agree.  The truth here is reckoned apart from the C code.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from fakes.nvml.build import library_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

POWER_LAG_SECONDS = 0.15
NVLINK_STATE_FIELD = 165
EVERY = "*"

Gpu = int | str
Value = str | int | float


class PowerModel(NamedTuple):
    """The four numbers that turn offered load into power."""

    gpus: int
    idle_watts: float
    demand_max_watts: float
    limit_watts: float


PRESETS = {
    "gb300": PowerModel(4, 180.0, 1400.0, 1400.0),
    "h100": PowerModel(8, 70.0, 700.0, 700.0),
    "workstation": PowerModel(1, 25.0, 300.0, 300.0),
    "b200": PowerModel(8, 195.0, 1000.0, 1000.0),
    "h100_pcie": PowerModel(4, 48.0, 350.0, 350.0),
    "geforce": PowerModel(1, 12.0, 450.0, 450.0),
}
SLOWDOWN_FACTORS = {
    "sw_thermal": 0.8,
    "hw_thermal": 0.5,
    "hw_slowdown": 0.5,
    "power_brake": 0.4,
}


class Event(NamedTuple):
    """One event line of the tape."""

    at: float
    gpu: str
    key: str
    values: tuple[str, ...]


class Truth:
    """What the machine of a tape really did, by superposing the step responses of its power.

    Power follows its target with a first-order lag, so it is linear in the target's steps: each
    step adds one exponential, and energy is the sum of their integrals.
    """

    def __init__(self, header: dict[str, str], events: Sequence[Event]) -> None:
        """Takes a parsed tape: its header and its events in order of time."""
        model = PRESETS[header.get("preset", "gb300")]
        self.gpus = int(header.get("gpus", model.gpus))
        self.epoch = float(header.get("epoch", 0.0))
        self._idle = float(header.get("idle_watts", model.idle_watts))
        self._demand_max = float(header.get("demand_max_watts", model.demand_max_watts))
        self._limit = float(header.get("limit_watts", model.limit_watts))
        self._events = events

    def _targets(self, gpu: int) -> Iterator[tuple[float, float, bool]]:
        """Yields (from when, target watts, clamped by the limit) for each stretch of a GPU."""
        load, limit, reasons = 0.0, self._limit, set[str]()
        yield self.epoch, min(self._idle, limit), self._idle > limit
        for event in self._events:
            if event.gpu not in {EVERY, str(gpu)}:
                continue
            if event.key == "load":
                load = min(1.0, max(0.0, float(event.values[0])))
            elif event.key == "power_limit":
                limit = float(event.values[0])
            elif event.key == "throttle":
                (reasons.add if event.values[1] == "on" else reasons.discard)(event.values[0])
            factor = min((SLOWDOWN_FACTORS[reason] for reason in reasons), default=1.0)
            demand = self._idle + load * (self._demand_max - self._idle) * factor
            yield max(event.at, self.epoch), min(demand, limit), demand > limit

    def power_watts(self, gpu: int, at: float) -> float:
        """The power of a GPU at a monotonic time."""
        power = previous = 0.0
        for index, (since, target, _) in enumerate(self._targets(gpu)):
            if index == 0:
                power = target
            elif since < at:
                power += (target - previous) * -math.expm1((since - at) / POWER_LAG_SECONDS)
            previous = target
        return power

    def energy_joules(self, gpu: int, at: float) -> float:
        """The energy of a GPU from the start of the tape until a monotonic time."""
        energy = previous = 0.0
        for index, (since, target, _) in enumerate(self._targets(gpu)):
            span = at - since
            if index == 0:
                energy = target * span
            elif span > 0:
                lag = POWER_LAG_SECONDS * -math.expm1(-span / POWER_LAG_SECONDS)
                energy += (target - previous) * (span - lag)
            previous = target
        return energy

    def clamped_seconds(self, gpu: int, at: float) -> float:
        """For how long the power limit has held a GPU below its demand, until a monotonic time."""
        total, since, clamped = 0.0, self.epoch, False
        for start, _, held in self._targets(gpu):
            if start > at:
                break
            total += (start - since) * clamped
            since, clamped = start, held
        return total + (at - since) * clamped


def read_tape(path: Path) -> tuple[dict[str, str], list[Event]]:
    """Parses the complete lines of a tape into its header and its events, in order of time."""
    header: dict[str, str] = {}
    events: list[Event] = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isalpha():
            key, _, value = line.partition("=")
            header[key] = value
        else:
            at, gpu, key, *values = line.split()
            events.append(Event(float(at), gpu, key, tuple(values)))
    return header, sorted(events, key=lambda event: event.at)


class FakeDriver:
    """One fake NVIDIA driver with its GPUs; faults and loads are appended while programs run.

    >>> with FakeDriver(tmp_path, preset="gb300", driver="580.65.06") as driver:  # doctest: +SKIP
    ...     driver.load(2, 0.8)
    ...     subprocess.run(["nvitop", "-1"], env=os.environ | driver.env, check=True)
    """

    def __init__(self, directory: Path, preset: str = "gb300", **overrides: Value) -> None:
        """Builds the library if need be and starts a new tape; overrides are header keys."""
        if preset not in PRESETS:
            message = f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}"
            raise ValueError(message)
        self.library_directory = library_directory()
        self.tape = directory / "nvml.tape"
        header: dict[str, Value] = {"preset": preset, "epoch": repr(time.monotonic()), **overrides}
        lines = "".join(f"{key}={value}\n" for key, value in header.items())
        self.tape.write_text(lines, encoding="utf-8")
        self.gpus = self._truth().gpus

    def __enter__(self) -> Self:
        """Returns itself: the tape is already running."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Takes the driver away, so that a program left running cannot read it as alive."""
        self.gone()

    @property
    def env(self) -> dict[str, str]:
        """The environment to merge into that of a program which shall see these GPUs."""
        path = f"{self.library_directory}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
        return {"LD_LIBRARY_PATH": path, "RACKWATT_FAKE_NVML": str(self.tape)}

    def set(self, gpu: Gpu, key: str, *values: Value, at: float | None = None) -> float:
        """Appends one event, now or at another monotonic time, and returns that time."""
        when = time.monotonic() if at is None else at
        line = " ".join(str(word) for word in (repr(when), gpu, key, *values)) + "\n"
        with self.tape.open("ab", buffering=0) as tape:
            tape.write(line.encode())
        return when

    # ---- what the machine does

    def load(self, gpu: Gpu, fraction: float, at: float | None = None) -> float:
        """Offers a load between 0 and 1."""
        return self.set(gpu, "load", fraction, at=at)

    def power_limit(self, gpu: Gpu, watts: float, at: float | None = None) -> float:
        """Sets the enforced power limit."""
        return self.set(gpu, "power_limit", watts, at=at)

    def throttle(self, gpu: Gpu, reason: str, *, on: bool = True, at: float | None = None) -> float:
        """Starts or ends hw_thermal, sw_thermal, power_brake or hw_slowdown."""
        return self.set(gpu, "throttle", reason, _switch(on), at=at)

    def ambient(self, gpu: Gpu, celsius: float, at: float | None = None) -> float:
        """Sets the temperature that an unpowered GPU would have."""
        return self.set(gpu, "temperature", celsius, at=at)

    def memory_used(self, gpu: Gpu, used_bytes: int | None, at: float | None = None) -> float:
        """Pins the used memory; None lets it follow the load again."""
        return self.set(gpu, "memory_used", "auto" if used_bytes is None else used_bytes, at=at)

    def process(self, gpu: Gpu, pid: int, used_bytes: int, at: float | None = None) -> float:
        """Shows a compute process, or changes its memory."""
        return self.set(gpu, "process", pid, used_bytes, at=at)

    def process_in(
        self, gpu: Gpu, pid: int, used_bytes: int, instance: tuple[int, int], at: float | None = None
    ) -> float:
        """Shows a compute process in a MIG instance: its GPU instance and its compute instance."""
        return self.set(gpu, "process_in", pid, used_bytes, *instance, at=at)

    def process_gone(self, gpu: Gpu, pid: int, at: float | None = None) -> float:
        """Removes a compute process."""
        return self.set(gpu, "process_gone", pid, at=at)

    # ---- what goes wrong with a GPU

    def lose(self, gpu: Gpu, at: float | None = None) -> float:
        """Lets a GPU fall off the bus: each call on it answers GPU_IS_LOST."""
        return self.set(gpu, "lost", "on", at=at)

    def find(self, gpu: Gpu, at: float | None = None) -> float:
        """Brings a lost GPU back."""
        return self.set(gpu, "lost", "off", at=at)

    def reset_required(self, gpu: Gpu, *, on: bool = True, at: float | None = None) -> float:
        """Makes each call on a GPU answer RESET_REQUIRED."""
        return self.set(gpu, "reset_required", _switch(on), at=at)

    def xid(self, gpu: Gpu, number: int, *, kmsg_only: bool = False, at: float | None = None) -> float:
        """Raises an Xid; with kmsg_only NVML never tells of it."""
        return self.set(gpu, "xid", number, *(["kmsg_only"] if kmsg_only else []), at=at)

    def ecc(self, gpu: Gpu, kind: str, count: int = 1, at: float | None = None) -> float:
        """Adds corrected or uncorrected memory errors."""
        return self.set(gpu, "ecc", kind, count, at=at)

    def remap(self, gpu: Gpu, kind: str, count: int = 1, at: float | None = None) -> float:
        """Adds correctable or uncorrectable row remappings, or sets pending or failure (0 or 1)."""
        return self.set(gpu, "remap", kind, count, at=at)

    def nvlink(self, gpu: Gpu, link: int, field: int, count: int = 1, at: float | None = None) -> float:
        """Adds to one per-link NVLink error counter, named by its NVML field id."""
        return self.set(gpu, "nvlink", link, field, count, at=at)

    def nvlink_state(self, gpu: Gpu, link: int, state: int, at: float | None = None) -> float:
        """Moves a link that is active (1) to another state: 0 inactive, 2 asleep."""
        return self.nvlink(gpu, link, NVLINK_STATE_FIELD, state - 1, at)

    def c2c(self, gpu: Gpu, link: int, field: int, count: int = 1, at: float | None = None) -> float:
        """Adds to a field of one C2C link: status (171) is 1, power state (234) and errors (231 to 233) 0."""
        return self.set(gpu, "c2c", link, field, count, at=at)

    def recovery_action(self, gpu: Gpu, action: int, at: float | None = None) -> float:
        """Sets the recovery action (0 none, 1 reset the GPU, 2 reboot the node …)."""
        return self.set(gpu, "recovery_action", action, at=at)

    def reset_energy(self, gpu: Gpu = EVERY, at: float | None = None) -> float:
        """Restarts the energy and throttle counters from 0, as a driver reload does."""
        return self.set(gpu, "reset_energy", at=at)

    # ---- what goes wrong with the library

    def hang(self, function: str, seconds: float, gpu: Gpu = EVERY, at: float | None = None) -> float:
        """Blocks calls to a C function (or `*`) until seconds after now; 0 frees them all."""
        return self.set(gpu, "hang", function, seconds, at=at)

    def slow(self, function: str, microseconds: int, gpu: Gpu = EVERY, at: float | None = None) -> float:
        """Makes each call to a C function take that much longer; 0 ends it."""
        return self.set(gpu, "slow", function, microseconds, at=at)

    def fail(self, function: str, rc: int, gpu: Gpu = EVERY, at: float | None = None) -> float:
        """Makes a C function answer an NVML return code; 0 ends it."""
        return self.set(gpu, "error", function, rc, at=at)

    def deny(self, function: str, gpu: Gpu = EVERY, at: float | None = None) -> float:
        """Makes a C function answer NO_PERMISSION; `fail(function, 0)` ends it."""
        return self.set(gpu, "denied", function, at=at)

    def gone(self, at: float | None = None) -> float:
        """Unloads the driver: nvmlInit answers DRIVER_NOT_LOADED."""
        return self.set(EVERY, "driver", "gone", at=at)

    def back(self, *, counters_restart: bool = True, at: float | None = None) -> float:
        """Loads the driver again; sessions from before must initialise NVML anew."""
        when = self.set(EVERY, "driver", "back", at=at)
        if counters_restart:
            self.reset_energy(at=when)
        return when

    def version_mismatch(self, *, on: bool = True, at: float | None = None) -> float:
        """Makes every call answer LIB_RM_VERSION_MISMATCH."""
        return self.set(EVERY, "version_mismatch", _switch(on), at=at)

    # ---- the truth, apart from the C code

    def energy_joules(self, gpu: int, at_monotonic: float) -> float:
        """The true energy since the tape's start, neither rounded nor touched by reset_energy."""
        return self._truth().energy_joules(gpu, at_monotonic)

    def power_watts(self, gpu: int, at_monotonic: float) -> float:
        """The true power at one instant."""
        return self._truth().power_watts(gpu, at_monotonic)

    def clamped_seconds(self, gpu: int, at_monotonic: float) -> float:
        """For how long the power limit has held the GPU below its demand."""
        return self._truth().clamped_seconds(gpu, at_monotonic)

    def attached(self) -> list[int]:
        """The living processes that have initialised NVML and not shut it down."""
        prefix = self.tape.name + ".attached."
        names = (path.name for path in self.tape.parent.glob(prefix + "*"))
        return sorted(pid for name in names if _lives(pid := int(name.removeprefix(prefix))))

    def _truth(self) -> Truth:
        return Truth(*read_tape(self.tape))


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _lives(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def main() -> None:
    """Starts a tape in a directory and prints the shell lines that let programs see it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="gb300")
    parser.add_argument("--load", type=float, default=0.0, help="load of every GPU, 0 to 1")
    parser.add_argument("header", nargs="*", metavar="KEY=VALUE", help="header keys to override")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    overrides = dict(word.split("=", 1) for word in options.header)
    driver = FakeDriver(options.directory, options.preset, **overrides)
    driver.load(EVERY, options.load)
    for key, value in driver.env.items():
        print(f"export {key}={value}")


if __name__ == "__main__":
    main()
