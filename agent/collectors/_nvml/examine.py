"""What `rackwatt doctor` asks of NVML: what works, what each thing costs, and how to mend what does not."""

from __future__ import annotations

import itertools
import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.aside import Lane
from agent.collectors._nvml import fields
from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.kmsg import KernelLog
from agent.collectors._nvml.library import Library, Refusal, failure
from agent.collectors._nvml.session import Session
from agent.measure.finding import Finding, Level
from agent.measure.gpu import PowerScope
from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent.collectors._nvml.device import Device, Rates
    from agent.measure.gpu import GpuReading, Placement

REPEATS = 6
"""So often each thing is asked: enough to know what it costs, and what its links tell."""
WATCH_SECONDS = 2.0
POLL_SECONDS = 0.004
ENOUGH_CHANGES = 3
CHEAP_SECONDS = 1e-3
GIGA = 1e9
SUBJECT = re.compile(r"GPU (\d+)")


async def findings(kmsg: str, rates: Rates, timeout_seconds: float) -> tuple[Finding, ...]:
    """Look at the kernel log and the driver, in a thread of its own; what hangs is a finding too."""
    found: list[Finding] = [_kernel_log(kmsg)]
    lane = Lane("nvml-doctor")
    try:
        await lane.run(lambda: _driver(found.append, rates), timeout_seconds)
    except TimeoutError:
        found.append(
            Finding(
                Level.PROBLEM,
                "NVML",
                f"a driver call did not return within {timeout_seconds:g} s",
                "look for Xid 119, 120 or 45 in the kernel log; reset the GPU or reboot",
            )
        )
    finally:
        lane.end()
    return tuple(folded(found))


def folded(found: Sequence[Finding]) -> Iterator[Finding]:
    """Tell what is the same of several GPUs once, where it was first found."""
    alike: dict[tuple[str, str, str], list[int]] = {}
    for each in found:
        number = SUBJECT.fullmatch(each.subject)
        if number:
            alike.setdefault((each.level, each.text, each.remedy), []).append(int(number[1]))
    for each in found:
        if not SUBJECT.fullmatch(each.subject):
            yield each
        elif numbers := alike.pop((each.level, each.text, each.remedy), []):
            yield replace(each, subject=_several(numbers))


def _several(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"GPU {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"GPUs {numbers[0]} to {numbers[-1]}"
    return f"GPUs {', '.join(map(str, numbers))}"


def _kernel_log(path: str) -> Finding:
    if not path:
        return Finding(Level.NOTE, "kernel log", "off by configuration", "set `kmsg` to see every Xid")
    log = KernelLog(path, lambda _: None)
    log.close()
    if not log.note:
        return Finding(Level.OK, "kernel log", f"{path} is readable")
    return Finding(Level.NOTE, "kernel log", log.note, "run as root or with CAP_SYSLOG")


def _driver(report: Callable[[Finding], None], rates: Rates) -> None:
    nvml = Library()
    try:
        session = Session(nvml, rates, {}, None)
    except Refusal as refusal:
        error = failure(refusal)
        what, _, remedy = error.detail.partition(": ")
        report(Finding(Level.PROBLEM, "NVML", what, remedy or "see the driver's log (dmesg)"))
        return
    try:
        for finding in _session(nvml, session):
            report(finding)
    except Refusal as refusal:
        report(Finding(Level.PROBLEM, "NVML", str(refusal), "see the driver's log (dmesg)"))
    finally:
        session.close()


def _session(nvml: Library, session: Session) -> Iterator[Finding]:
    version = nvml.call("nvmlSystemGetNVMLVersion")
    yield Finding(Level.OK, "NVML", f"libnvidia-ml.so.1, NVML {version}, driver {session.driver}")
    yield _rights()
    if not session.devices:
        yield Finding(Level.PROBLEM, "GPUs", "the driver shows none", "look for NVRM in the kernel log")
    for device in session.devices:
        device.result = device.read()
        for _ in range(REPEATS):
            if device.well:
                device.medium.read()
                device.detail.read()
                device.slow.read()
                device.result = device.read()
        yield from _device(device)
        yield from _persistence(nvml, device)
    yield from _costs(nvml)
    well = next((device for device in session.devices if device.well), None)
    if well is not None:
        yield _latencies(well)
        yield from _update_periods(nvml, well)


def _rights() -> Finding:
    if os.geteuid() == 0:
        return Finding(Level.OK, "rights", "running as root")
    text = f"running as uid {os.geteuid()}: enough for all but a few counters"
    return Finding(Level.OK, "rights", text)


def _device(device: Device) -> Iterator[Finding]:
    subject = f"GPU {device.index}"
    identity, result = device.identity, device.result
    if identity is None or result is None or not device.well:
        trouble = result.trouble if result else "did not answer"
        yield Finding(Level.PROBLEM, subject, trouble, "look for its PCI address in the kernel log")
        return
    reading = device.report({})
    power = reading.power if reading else {}
    scopes = ", ".join(f"{scope} {_watts(power[scope])}" for scope in PowerScope if scope in power)
    yield Finding(Level.OK, subject, f"{identity.product}, {identity.uuid}, {identity.pci}; power: {scopes}")
    yield _place(subject, reading.placement if reading else None)
    if reading is not None:
        yield from _links(subject, reading)
    missing = {
        name: code
        for group in (device.once, device.fast, device.medium, device.detail, device.slow)
        for name, code in group.refused.items()
        if name not in device.denied
    }
    if missing:
        listed = ", ".join(f"{name}: {code}" for name, code in missing.items())
        yield Finding(Level.OK, subject, f"not offered by this GPU or driver (NVML error): {listed}")
    for name in sorted(device.denied):
        yield Finding(Level.NOTE, subject, f"{name} is not permitted", "run as root if it is needed")


def _links(subject: str, reading: GpuReading) -> Iterator[Finding]:
    """Tell how many links are up and how fast; some that are down beside others that are not are a fault."""
    for name, states, slowest in (
        ("NVLink", reading.nvlinks, reading.nvlink_slowest_bytes_per_second),
        ("C2C", reading.c2c_links, reading.c2c_slowest_bytes_per_second),
    ):
        if not states:
            continue
        most = sorted(states.items(), key=lambda state: -state[1])
        told = ", ".join(f"{count} {state}" for state, count in most if count)
        speed = "" if slowest is None else f", the slowest at {slowest / GIGA:.1f} GB/s"
        text = f"{name} links: {told}{speed}"
        if states.get("active") and states.get("inactive"):
            remedy = (
                "look for Xid 145, 149 or 74 in the kernel log; reset the GPU, then look at cable and tray"
            )
            yield Finding(Level.PROBLEM, subject, text, remedy)
        else:
            yield Finding(Level.OK, subject, text)


def _watts(power: object) -> str:
    average = getattr(power, "average_watts", None)
    instant = getattr(power, "instant_watts", None)
    return "/".join("-" if watts is None else f"{watts:.0f} W" for watts in (average, instant))


def _place(subject: str, placement: Placement | None) -> Finding:
    if placement is None:
        return Finding(Level.OK, subject, "tells no place in a rack (before Blackwell none does)")
    known = {
        "chassis": placement.chassis_serial,
        "slot": placement.slot,
        "tray": placement.tray,
        "host": placement.host,
        "module": placement.module,
        "NVLink domain": placement.cluster_uuid,
        "clique": placement.clique,
        "fabric": placement.fabric_state,
    }
    text = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    if placement.fabric_healthy is False:
        return Finding(
            Level.PROBLEM, subject, f"NVLink fabric is not healthy; {text}", "check nvidia-fabricmanager"
        )
    return Finding(Level.OK, subject, text or "tells no place")


def _costs(nvml: Library) -> Iterator[Finding]:
    costs = sorted(nvml.costs().items(), key=lambda item: -item[1].seconds / item[1].calls)
    each = ", ".join(f"{name} {cost.seconds / cost.calls * 1e6:.0f}" for name, cost in costs)
    yield Finding(Level.OK, "cost of a call, in us", each)
    for name, cost in costs:
        if name.startswith("nvmlDevice") and cost.seconds / cost.calls > CHEAP_SECONDS * 10:
            text = f"{name} takes {cost.seconds / cost.calls * 1e3:.0f} ms: it will be asked less often"
            yield Finding(Level.NOTE, "cost of a call", text, "enable persistence mode; look for a busy GSP")


def _latencies(device: Device) -> Finding:
    """Say what the driver itself spends on each field."""
    groups = (device.fast, device.medium, device.detail, device.slow)
    batches = [group.batch for group in groups if group.batch]
    told = [item for batch in batches for item in batch.latencies_seconds().items()]
    each = ", ".join(f"{field.label} {seconds * 1e6:.0f}" for field, seconds in told)
    return Finding(Level.OK, f"GPU {device.index} time in the driver, in us", each or "tells none")


def _persistence(nvml: Library, device: Device) -> Iterator[Finding]:
    try:
        mode = nvml.call("nvmlDeviceGetPersistenceMode", device.handle)
    except Refusal:
        return
    if not mode:
        text = "persistence mode is off: the driver may unload state, and opening the GPU takes seconds"
        yield Finding(Level.NOTE, f"GPU {device.index}", text, "start nvidia-persistenced")


def _update_periods(nvml: Library, device: Device) -> Iterator[Finding]:
    """Poll the counter and the instant power of one GPU, and see how often the driver renews them."""
    wanted = (fields.ENERGY, fields.INSTANTS[0])
    batch = Batch(nvml, device.handle, wanted)
    changes: dict[fields.Field, list[float]] = {field: [] for field in wanted}
    last: dict[fields.Field, float | None] = {}
    end = time.monotonic() + WATCH_SECONDS
    while (now := time.monotonic()) < end:
        values, _ = batch.ask()
        for field, value in zip(wanted, values, strict=True):
            if value is not None and last.get(field, value) != value:
                changes[field].append(now)
            last[field] = value
        time.sleep(POLL_SECONDS)
    driver = batch.latencies_seconds()
    for field, moments in changes.items():
        subject = f"GPU {device.index} {field.label}"
        cost = f"{driver[field] * 1e6:.0f} us in the driver"
        if len(moments) < ENOUGH_CHANGES:
            yield Finding(
                Level.NOTE, subject, f"seen to change {len(moments)} times in {WATCH_SECONDS:g} s, {cost}"
            )
            continue
        period = median(b - a for a, b in itertools.pairwise(moments))
        yield Finding(Level.OK, subject, f"renewed every {period * 1e3:.0f} ms, {cost}")
