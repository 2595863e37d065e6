"""The fake NVML keeps its word: its counters are true, and NVIDIA's own tools believe it.

Whatever loads the library runs in a child, as LD_LIBRARY_PATH counts only before exec.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pynvml
import pytest
from fakes.nvml import build
from fakes.nvml.driver import EVERY, PRESETS, FakeDriver

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILD_TIMEOUT_SECONDS = 30
HISTORY_SECONDS = 60.0
PRELUDE = """
import ctypes, json, os, sys, threading, time
import pynvml as N
def rc(call, *args):
    try:
        call(*args)
    except N.NVMLError as error:
        return error.value
    return 0
def handles():
    return [N.nvmlDeviceGetHandleByIndex(i) for i in range(N.nvmlDeviceGetCount())]
def fields(handle, ids):
    return [(v.nvmlReturn, v.value.ullVal, v.valueType) for v in
            N.nvmlDeviceGetFieldValues(handle, ids)]
def say(value):
    print(json.dumps(value), flush=True)
"""


@pytest.fixture
def driver(tmp_path: Path) -> FakeDriver:
    """A tray of four GB300 that has been up for a minute."""
    return FakeDriver(tmp_path, epoch=repr(time.monotonic() - HISTORY_SECONDS))


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Ends the children of a test that failed half-way."""
    yield
    while STARTED:
        child = STARTED.pop()
        with child:
            child.kill()


def start(driver: FakeDriver, code: str) -> subprocess.Popen[str]:
    """Starts Python on the fake driver; the code has the prelude's words."""
    child = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code],
        env=os.environ | driver.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(child)
    return child


def finish(child: subprocess.Popen[str]) -> tuple[list[Any], str]:
    """Waits for a child; returns what it said, and its stderr."""
    out, err = child.communicate(timeout=CHILD_TIMEOUT_SECONDS)
    assert child.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()], err


def ask(driver: FakeDriver, code: str) -> Any:
    """The last thing that a child says after initialising NVML."""
    return finish(start(driver, "N.nvmlInit()\nhs = handles()\n" + code))[0][-1]


def heard(child: subprocess.Popen[str]) -> Any:
    """The next thing that a running child says."""
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, finish(child)
    return json.loads(line)


def tell(child: subprocess.Popen[str]) -> None:
    """Lets a child that waits for a line go on."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def a_busy_minute(driver: FakeDriver, since: float) -> None:
    """Writes a past with load steps, a power cap and slowdowns on GPU 0, and a step to come."""
    peak = PRESETS["gb300"].limit_watts
    for after, fraction in ((1.0, 0.9), (1.07, 0.2), (9.5, 1.0), (31.25, 0.5), (60.3, 0.95)):
        driver.load(0, fraction, at=since + after)
    driver.power_limit(0, 0.5 * peak, at=since + 20)
    driver.power_limit(0, peak, at=since + 40)
    driver.throttle(EVERY, "hw_thermal", at=since + 45)
    driver.throttle(EVERY, "hw_thermal", on=False, at=since + 47)


# ---- energy and power


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_energy_counter_is_the_true_integral_at_its_last_tick(tmp_path: Path, preset: str) -> None:
    """The C sum and the Python sum, derived apart, agree through steps, caps and slowdowns."""
    since = time.monotonic() - HISTORY_SECONDS
    driver = FakeDriver(tmp_path, preset, epoch=repr(since))
    a_busy_minute(driver, since)

    readings = ask(
        driver,
        """
readings = []
for _ in range(60):
    before = time.monotonic()
    energy = N.nvmlDeviceGetTotalEnergyConsumption(hs[0]) / 1e3
    readings.append((before, energy, time.monotonic()))
    time.sleep(0.01)
say(readings)
""",
    )

    for before, energy, after in readings:
        assert driver.energy_joules(0, before - 0.1) - 0.01 <= energy
        assert energy <= driver.energy_joules(0, after) + 0.01


def test_energy_counter_moves_every_100_ms_by_the_energy_of_that_tick(driver: FakeDriver) -> None:
    """Between ticks the counter stands still; over a tick it gains exactly what was used."""
    driver.load(0, 0.6)

    seen = ask(
        driver,
        """
seen = []
end = time.monotonic() + 0.7
while time.monotonic() < end:
    energy = N.nvmlDeviceGetTotalEnergyConsumption(hs[0])
    if not seen or seen[-1] != energy:
        seen.append(energy)
    time.sleep(0.002)
say(seen)
""",
    )

    assert 5 <= len(seen) <= 9
    assert seen == sorted(seen)


def test_power_usage_is_the_mean_of_the_last_second_and_lags(driver: FakeDriver) -> None:
    """Just after a step the driver's power is far below the true power."""
    stepped = driver.load(0, 1.0, at=time.monotonic() + 0.3)

    readings = ask(
        driver,
        f"""
time.sleep(max(0, {stepped!r} + 0.5 - time.monotonic()))
readings = []
for _ in range(20):
    before = time.monotonic()
    watts = N.nvmlDeviceGetPowerUsage(hs[0]) / 1e3
    readings.append((before, watts, time.monotonic()))
say(readings)
""",
    )

    for before, watts, after in readings:
        low = driver.energy_joules(0, before) - driver.energy_joules(0, before - 1)
        high = driver.energy_joules(0, after) - driver.energy_joules(0, after - 1)
        assert low - 0.01 <= watts <= high + 0.01
    before, watts, _ = readings[0]
    if before - stepped < 0.8:
        assert watts < 0.85 * driver.power_watts(0, before)


def test_instant_power_is_the_power_at_the_last_tick(driver: FakeDriver) -> None:
    """Field 186 shows one moment of the last 100 ms."""
    driver.load(0, 1.0)

    before, watts, after = ask(
        driver,
        """
before = time.monotonic()
value = fields(hs[0], [(186, 0)])[0][1] / 1e3
say((before, value, time.monotonic()))
""",
    )

    assert driver.power_watts(0, before - 0.1) - 0.01 <= watts
    assert watts <= driver.power_watts(0, after) + 0.01


def test_module_power_is_both_gpus_and_grace_and_both_gpus_report_it(driver: FakeDriver) -> None:
    """Scope 1 is per superchip, scope 2 a part of scope 0, and memory has no instant power."""
    driver.load(0, 0.5, at=time.monotonic() - 5)
    driver.load(1, 0.25, at=time.monotonic() - 5)

    got = ask(
        driver,
        """
ids = [(185, 0), (185, 1), (185, 2), (186, 0), (186, 1), (186, 2), (185, 3), (185, 4), (191, 1)]
say([fields(h, ids) for h in hs])
""",
    )

    watts = [[value / 1e3 for _, value, _ in gpu] for gpu in got]
    assert watts[0][1] == pytest.approx(watts[0][0] + watts[1][0] + 130, abs=0.01)
    assert watts[1][4] == pytest.approx(watts[0][3] + watts[1][3] + 130, abs=0.01)
    assert watts[0][1] == pytest.approx(watts[1][1], abs=0.01)
    assert watts[2][1] == pytest.approx(180 + 180 + 130, abs=0.01)
    assert 0 < watts[0][2] < 0.3 * watts[0][0]
    assert [rc for rc, _, _ in got[0]] == [0, 0, 0, 0, 0, 3, 3, 2, 3]


def test_two_processes_read_the_same_counter_at_the_same_tick(driver: FakeDriver) -> None:
    """Truth is in the tape and the clock, not in a process."""
    since = time.monotonic() - HISTORY_SECONDS
    a_busy_minute(driver, since)
    epoch = float(driver.tape.read_text().split("epoch=")[1].split()[0])
    code = f"""
N.nvmlInit()
h = handles()[0]
tick = lambda: int((time.monotonic() - {epoch!r}) / 0.1)
seen = {{}}
end = time.monotonic() + 1.0
while time.monotonic() < end:
    before = tick()
    energy = N.nvmlDeviceGetTotalEnergyConsumption(h)
    if tick() == before:
        seen.setdefault(before, set()).add(energy)
    time.sleep(0.01)
say({{k: sorted(v) for k, v in seen.items()}})
"""
    children = [start(driver, code) for _ in range(2)]

    first, second = (finish(child)[0][0] for child in children)

    common = first.keys() & second.keys()
    assert len(common) >= 3
    assert all(first[tick] == second[tick] and len(first[tick]) == 1 for tick in common)


# ---- throttling


def test_power_cap_counter_is_the_clamped_time_to_the_nanosecond(driver: FakeDriver) -> None:
    """Field 74 and the violation status sum two stretches of clamping and nothing else."""
    since = time.monotonic() - HISTORY_SECONDS
    a_busy_minute(driver, since)
    clamped = driver.clamped_seconds(0, since + 60)

    counter, violation, old, reasons = ask(
        driver,
        """
say([fields(hs[0], [74])[0][1], N.nvmlDeviceGetViolationStatus(hs[0], 0).violationTime,
     fields(hs[1], [74])[0][1], N.nvmlDeviceGetCurrentClocksEventReasons(hs[0])])
""",
    )

    assert clamped == pytest.approx(20.0)
    assert counter == violation == pytest.approx(clamped * 1e9, abs=100)
    assert old == 0
    assert reasons == 0


def test_a_clamped_gpu_shows_the_reason_and_a_lower_clock(driver: FakeDriver) -> None:
    """While power is capped bit 0x4 is set, power is the limit and the clock falls."""
    past = time.monotonic() - 10
    driver.load(EVERY, 1.0, at=past)
    driver.power_limit(1, 700, at=past)

    got = ask(
        driver,
        """
say([(N.nvmlDeviceGetCurrentClocksEventReasons(h), N.nvmlDeviceGetClockInfo(h, 1),
      N.nvmlDeviceGetPowerUsage(h), N.nvmlDeviceGetEnforcedPowerLimit(h)) for h in hs[:2]])
""",
    )

    assert got[0] == [0, 2070, 1400000, 1400000]
    assert got[1][0] == 4
    assert got[1][1] < 1800
    assert got[1][2:] == [700000, 700000]


@pytest.mark.parametrize(
    ("reason", "bits", "held"),
    [
        ("sw_thermal", 0x20, [1, 0, 0, 1, 0]),
        ("hw_thermal", 0x48, [0, 1, 0, 1, 1]),
        ("power_brake", 0x88, [0, 0, 1, 0, 1]),
        ("hw_slowdown", 0x08, [0, 0, 0, 0, 1]),
    ],
)
def test_each_slowdown_sets_its_bits_and_fills_its_counters(
    driver: FakeDriver, reason: str, bits: int, held: list[int]
) -> None:
    """Two seconds of a slowdown are two seconds in its own counters, and in no other."""
    past = time.monotonic() - 10
    driver.load(2, 1.0, at=past)
    driver.throttle(2, reason, at=past)
    driver.throttle(2, reason, on=False, at=past + 2)
    seen_later = driver.throttle(2, reason, at=time.monotonic() + 3600)

    counters, idle = ask(
        driver,
        """
say([[value for _, value, _ in fields(hs[2], [269, 270, 271, 75, 81])],
     N.nvmlDeviceGetCurrentClocksEventReasons(hs[0])])
""",
    )
    driver.throttle(2, reason)
    now_bits = ask(driver, "say(N.nvmlDeviceGetCurrentClocksEventReasons(hs[2]))")

    assert counters == pytest.approx([2e9 * share for share in held], abs=10)
    assert (idle, now_bits) == (1, bits)
    assert seen_later > time.monotonic()


def test_a_driver_reload_restarts_energy_and_throttle_counters(driver: FakeDriver) -> None:
    """The counters begin again at 0; the truth does not."""
    past = time.monotonic() - 10
    driver.load(0, 1.0, at=past)
    driver.power_limit(0, 700, at=past)
    driver.reset_energy(at=past + 8)

    joules, held = ask(
        driver,
        "say([N.nvmlDeviceGetTotalEnergyConsumption(hs[0]) / 1e3, fields(hs[0], [74])[0][1]])",
    )

    assert 2 * 700 - 80 < joules < (time.monotonic() - past - 8) * 700
    assert 2e9 < held < 4e9
    assert driver.energy_joules(0, past + 10) > HISTORY_SECONDS * 180


# ---- field numbers, scopes and layouts


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("570.124.06", [4, 4, 4, 2, 2, 2, 2, 2]),
        ("575.51.03", [0, 3, 4, 4, 4, 4, 2, 2]),
        ("580.65.06", [0, 3, 4, 4, 4, 4, 2, 2]),
        ("580.82.07", [4, 4, 4, 0, 0, 3, 2, 2]),
        ("580.173.02", [4, 4, 4, 0, 0, 3, 2, 2]),
        ("590.44.01", [4, 4, 4, 0, 0, 3, 3, 2]),
    ],
)
def test_fields_251_to_273_are_numbered_by_the_driver(
    tmp_path: Path, version: str, expected: list[int]
) -> None:
    """The same number means thermal slowdown, power smoothing or nothing at all."""
    driver = FakeDriver(tmp_path, driver=version)

    got = ask(driver, "say(fields(hs[0], [251, 255, 258, 269, 271, 272, 280, 400]))")

    assert [rc for rc, _, _ in got] == expected


def test_field_values_say_type_time_and_return_code_per_entry(driver: FakeDriver) -> None:
    """One bad entry spoils no other, and a slow call shows in the latency."""
    driver.slow("nvmlDeviceGetFieldValues", 40_000)

    got = ask(
        driver,
        """
values = N.nvmlDeviceGetFieldValues(hs[0], [83, 191, 9999, 161, (186, 0), 193])
say([(v.nvmlReturn, v.valueType, v.value.sllVal, time.time() - v.timestamp / 1e6, v.latencyUsec)
     for v in values])
""",
    )

    assert [entry[0] for entry in got] == [0, 0, 2, 3, 0, 0]
    assert [entry[1] for entry in got] == [3, 3, 0, 0, 1, 5]
    assert got[0][2] == got[1][2] > 0
    assert all(abs(entry[3]) < 5 for entry in got)
    assert sum(entry[4] for entry in got) >= 39_000


def test_traffic_counters_follow_the_load(driver: FakeDriver) -> None:
    """NVLink totals are the sum of the links; idle GPUs move nothing."""
    driver.load(0, 0.5, at=time.monotonic() - 10)

    got = ask(
        driver,
        """
ids = [(138, 0), (138, 0xFFFFFFFF), (139, 18), (202, 3), 197, 198]
say([fields(hs[0], ids), fields(hs[1], ids), N.nvmlDeviceGetUtilizationRates(hs[0]).gpu])
""",
    )

    busy, idle, percent = got
    assert busy[1][1] == 18 * busy[0][1] > 0
    assert [entry[0] for entry in busy] == [0, 0, 2, 0, 0, 0]
    assert busy[4][1] == pytest.approx(10 * 0.5 * 1e10, rel=0.2)
    assert [entry[1] for entry in idle] == [0] * 6
    assert percent == 50


def test_layouts_are_those_of_nvidia_ml_py() -> None:
    """The sizes that the C code asserts are those that the bindings use."""
    sizes = {
        pynvml.c_nvmlFieldValue_t: 40,
        pynvml.c_nvmlSample_t: 16,
        pynvml.nvmlPciInfo_t: 68,
        pynvml.c_nvmlMemory_v2_t: 40,
        pynvml.c_nvmlProcessInfo_v3_t: 24,
        pynvml.c_nvmlProcessDetail_v1_t: 32,
        pynvml.c_nvmlProcessDetailList_v1_t: 24,
        pynvml.c_nvmlProcessUtilizationSample_t: 32,
        pynvml.c_nvmlEventData_t: 32,
        pynvml.c_nvmlTemperature_v1_t: 12,
        pynvml.c_nvmlMarginTemperature_v1_t: 8,
        pynvml.c_nvmlPlatformInfo_v2_t: 44,
        pynvml.c_nvmlGpuFabricInfo_t: 28,
        pynvml.c_nvmlGpuFabricInfo_v2_t: 36,
        pynvml.c_nvmlGpuFabricInfo_v3_t: 40,
        pynvml.c_nvmlEccSramErrorStatus_v1_t: 104,
        pynvml.c_nvmlPdi_t: 16,
    }

    assert {kind: ctypes.sizeof(kind) for kind in sizes} == sizes


# ---- identity


def test_a_gb300_tray_says_its_rack_its_domain_and_its_superchips(driver: FakeDriver) -> None:
    """Serials pair the GPUs, module ids are not indices, and struct versions are checked."""
    got = ask(
        driver,
        """
def fabric(h, kind, version=None):
    info = kind()
    info.version = version or info.version
    code = rc(N.nvmlDeviceGetGpuFabricInfoV, h, ctypes.byref(info))
    return code, info.cliqueId, info.state, info.healthMask
platform = N.c_nvmlPlatformInfo_v2_t()
N.nvmlDeviceGetPlatformInfo(hs[0], ctypes.byref(platform))
raw = bytes(platform)
say([[N.nvmlDeviceGetSerial(h) for h in hs], [N.nvmlDeviceGetModuleId(h) for h in hs],
     list(raw[36:41]), raw[20:33].decode(),
     fabric(hs[0], N.c_nvmlGpuFabricInfo_v3_t), fabric(hs[0], N.c_nvmlGpuFabricInfo_v2_t),
     fabric(hs[0], N.c_nvmlGpuFabricInfo_v3_t, 0x04000028)[0],
     [N.nvmlDeviceGetPciInfo(h).busId for h in hs],
     N.nvmlDeviceGetIndex(N.nvmlDeviceGetHandleByUUID(N.nvmlDeviceGetUUID(hs[2]))),
     N.nvmlDeviceGetIndex(N.nvmlDeviceGetHandleByPciBusId("0018:06:00.0"))])
""",
    )
    serials, modules, place, chassis, v3, v2, unknown, buses, by_uuid, by_bus = got

    assert serials[0] == serials[1] != serials[2] == serials[3]
    assert modules == [2, 1, 4, 3]
    assert (place, chassis) == ([25, 15, 1, 1, 2], "1820000000001")
    assert v3 == v2 == [0, 32766, 3, 0x1AA]
    assert unknown == pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH
    assert [bus[4:8] for bus in buses] == ["0008", "0009", "0018", "0019"]
    assert (by_uuid, by_bus) == (2, 2)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("h100", [8, 0, 3, 3, 0, 3, 0]), ("workstation", [1, 3, 3, 3, 3, 3, 3])],
)
def test_lesser_machines_lack_what_they_lack(tmp_path: Path, preset: str, expected: list[int]) -> None:
    """An H100 has no module power nor platform; a workstation no serial, ECC, NVLink nor fabric."""
    driver = FakeDriver(tmp_path, preset)

    got = ask(
        driver,
        """
info = N.c_nvmlGpuFabricInfo_v3_t()
platform = N.c_nvmlPlatformInfo_v2_t()
say([len(hs), rc(N.nvmlDeviceGetSerial, hs[0]), fields(hs[0], [(185, 1)])[0][0],
     rc(N.nvmlDeviceGetPlatformInfo, hs[0], ctypes.byref(platform)),
     rc(N.nvmlDeviceGetGpuFabricInfoV, hs[0], ctypes.byref(info)),
     fields(hs[0], [(186, 2)])[0][0], fields(hs[0], [91])[0][0]])
assert not any(info.clusterUuid)
assert fields(hs[0], [83])[0][0] == 0
""",
    )

    assert got == expected


# ---- faults


def test_a_lost_gpu_answers_15_and_the_others_go_on(driver: FakeDriver) -> None:
    """Losing and finding a GPU takes effect on handles that are already open."""
    child = start(
        driver,
        """
N.nvmlInit()
hs = handles()
for _ in range(3):
    say([rc(N.nvmlDeviceGetPowerUsage, h) for h in hs])
    sys.stdin.readline()
""",
    )
    answers = [heard(child)]
    driver.lose(2)
    tell(child)
    answers.append(heard(child))
    driver.find(2)
    driver.reset_required(3)
    tell(child)
    answers.append(heard(child))
    tell(child)
    finish(child)

    assert answers == [[0, 0, 0, 0], [0, 0, 15, 0], [0, 0, 0, 16]]


def test_a_hanging_call_blocks_its_thread_and_no_other(driver: FakeDriver) -> None:
    """Other GPUs and other functions answer at full speed meanwhile."""
    began = driver.hang("nvmlDeviceGetPowerUsage", 1.0, gpu=1)

    reads, worst, hung = ask(
        driver,
        """
hung = []
def stuck():
    N.nvmlDeviceGetPowerUsage(hs[1])
    hung.append(time.monotonic())
thread = threading.Thread(target=stuck)
thread.start()
time.sleep(0.01)
reads, worst, last = 0, 0.0, time.monotonic()
while thread.is_alive():
    N.nvmlDeviceGetPowerUsage(hs[0])
    N.nvmlDeviceGetTotalEnergyConsumption(hs[1])
    now = time.monotonic()
    reads, worst, last = reads + 1, max(worst, now - last), now
say([reads, worst, hung[0]])
""",
    )

    assert 1.0 <= hung - began < 1.6
    assert reads > 100
    assert worst < 0.4


def test_a_hang_can_be_ended_early(driver: FakeDriver) -> None:
    """A hang of zero seconds frees calls that are already stuck."""
    driver.hang("nvmlDeviceGetName", 1000)
    child = start(driver, "N.nvmlInit()\nhs = handles()\nsay(1)\nsay(N.nvmlDeviceGetName(hs[0]))")
    assert heard(child) == 1
    driver.hang("nvmlDeviceGetName", 0)

    assert finish(child)[0] == ["NVIDIA GB300"]


def test_an_xid_reaches_each_registered_set_once_with_its_device(driver: FakeDriver) -> None:
    """Xids from before the registration, and those only in the kernel's log, never arrive."""
    driver.xid(0, 31)
    code = """
N.nvmlInit()
hs = handles()
sets = [N.nvmlEventSetCreate() for _ in range(2)]
for s in sets:
    for h in hs:
        N.nvmlDeviceRegisterEvents(h, N.nvmlDeviceGetSupportedEventTypes(h), s)
say(rc(N.nvmlDeviceRegisterEvents, hs[0], 0xFFFF, sets[0]))
got = []
for s, wait in ((sets[0], 3000), (sets[0], 3000), (sets[0], 50), (sets[1], 50), (sets[1], 50)):
    try:
        e = N.nvmlEventSetWait_v2(s, wait)
        got.append([N.nvmlDeviceGetIndex(e.device), e.eventType, e.eventData])
    except N.NVMLError as error:
        got.append(error.value)
say(got)
"""
    children = [start(driver, code) for _ in range(2)]
    refused = [heard(child) for child in children]
    driver.xid(1, 79, kmsg_only=True)
    driver.xid(2, 79)
    driver.xid(3, 45)

    said = [finish(child)[0][0] for child in children]

    assert refused == [pynvml.NVML_ERROR_NOT_SUPPORTED] * 2
    assert said == [[[2, 8, 79], [3, 8, 45], 10, [2, 8, 79], [3, 8, 45]]] * 2


def test_return_codes_of_a_driver_that_goes_and_comes_back(driver: FakeDriver) -> None:
    """A session from before a reload is worth nothing after it."""
    child = start(
        driver,
        """
before = [rc(N.nvmlDeviceGetCount), rc(N.nvmlShutdown)]
N.nvmlInit()
h = handles()[0]
say(before)
power = lambda: rc(N.nvmlDeviceGetPowerUsage, h)
for _ in range(5):
    sys.stdin.readline()
    say([power(), rc(N.nvmlShutdown), rc(N.nvmlInit), power()])
""",
    )

    def after(*times: float) -> Any:
        assert times
        tell(child)
        return heard(child)

    answers = [
        heard(child),
        after(driver.gone()),
        after(driver.back()),
        after(driver.gone(), driver.back()),
        after(driver.version_mismatch()),
        after(driver.version_mismatch(on=False)),
    ]

    assert answers == [
        [1, 1],
        [9, 0, 9, 1],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [18, 0, 18, 1],
        [1, 1, 0, 0],
    ]


def test_functions_fail_and_are_denied_as_told(driver: FakeDriver) -> None:
    """Faults name a C function, or all, and a GPU, or all; 0 ends them."""
    driver.fail("nvmlDeviceGetFieldValues", 999, gpu=1)
    driver.deny("nvmlDeviceGetPlatformInfo")
    driver.fail("nvmlDeviceGetName", 17)
    driver.fail("nvmlDeviceGetName", 0)

    got = ask(
        driver,
        """
say([rc(N.nvmlDeviceGetFieldValues, hs[0], [83]), rc(N.nvmlDeviceGetFieldValues, hs[1], [83]),
     rc(N.nvmlDeviceGetPlatformInfo, hs[0], ctypes.byref(N.c_nvmlPlatformInfo_v2_t())),
     rc(N.nvmlDeviceGetName, hs[0]), rc(N.nvmlDeviceGetHandleByIndex, 4)])
""",
    )

    assert got == [0, 999, 4, 0, 2]


# ---- memory, errors, processes, samples


def test_errors_memory_and_processes_are_as_the_tape_says(driver: FakeDriver) -> None:
    """Counts add up, flags are set, and a pinned memory stays pinned."""
    driver.ecc(0, "corrected", 3)
    driver.ecc(0, "corrected", 4)
    driver.ecc(0, "uncorrected")
    driver.remap(0, "correctable", 2)
    driver.remap(0, "pending", 1)
    driver.recovery_action(0, 2)
    driver.nvlink(0, 7, 215, 5)
    driver.memory_used(0, 10 << 30)
    driver.process(1, 4242, 7 << 30)
    driver.process(1, 4243, 1 << 30)
    driver.process_gone(1, 4243)

    got = ask(
        driver,
        """
v2 = N.nvmlDeviceGetMemoryInfo(hs[0], version=N.nvmlMemory_v2)
say([N.nvmlDeviceGetTotalEccErrors(hs[0], 0, 0), N.nvmlDeviceGetTotalEccErrors(hs[0], 1, 1),
     N.nvmlDeviceGetRemappedRows(hs[0]), [v for _, v, _ in
     fields(hs[0], [142, 144, 230, (215, 7), (215, 8)])], v2.used >> 30,
     N.nvmlDeviceGetMemoryInfo(hs[0]).used - v2.used - v2.reserved,
     [(p.pid, p.usedGpuMemory >> 30) for p in N.nvmlDeviceGetComputeRunningProcesses(hs[1])],
     N.nvmlDeviceGetMemoryInfo(hs[1], version=N.nvmlMemory_v2).used >> 30])
""",
    )

    assert got == [7, 1, [2, 0, 1, 0], [2, 1, 2, 5, 0], 10, 0, [[4242, 7]], 7]


def test_power_samples_come_every_10_ms_and_only_once(driver: FakeDriver) -> None:
    """The ring holds 1.2 s; a reader that is up to date is told so."""
    driver.load(0, 0.4, at=time.monotonic() - 20)

    stamps, values, again = ask(
        driver,
        """
kind, samples = N.nvmlDeviceGetSamples(hs[0], 0, 0)
last = samples[-1].timeStamp
say([[s.timeStamp for s in samples], [s.sampleValue.uiVal for s in samples],
     rc(N.nvmlDeviceGetSamples, hs[0], 0, last + 500_000)])
""",
    )

    assert len(stamps) == 120
    assert {round((b - a) / 1000) for a, b in pairwise(stamps)} == {10}
    assert set(values) == {668_000}
    assert again == pynvml.NVML_ERROR_NOT_FOUND


def test_temperature_follows_power_slowly_and_ambient(driver: FakeDriver) -> None:
    """After a minute of full load a GPU is warm, and its margin is what is left."""
    driver.load(0, 1.0, at=time.monotonic() - 58)
    driver.load(1, 1.0, at=time.monotonic() - 0.5)

    warm, fresh, idle, margin = ask(
        driver,
        """
say([N.nvmlDeviceGetTemperatureV(hs[i], 0) for i in range(3)]
    + [N.nvmlDeviceGetMarginTemperature(hs[0])])
""",
    )

    assert (warm, idle) == (68, 38)
    assert 38 <= fresh <= 45
    assert margin in {87 - warm - 1, 87 - warm, 87 - warm + 1}


# ---- the tape


def test_a_torn_line_waits_for_its_end_and_a_bad_one_is_named_once(driver: FakeDriver) -> None:
    """Nothing is taken from half a line; nonsense is reported and skipped."""
    child = start(
        driver,
        """
N.nvmlInit()
h = handles()[0]
for _ in range(3):
    say(N.nvmlDeviceGetEnforcedPowerLimit(h) // 1000)
    sys.stdin.readline()
""",
    )
    limits = [heard(child)]
    with driver.tape.open("a", encoding="utf-8") as tape:
        tape.write("12.5 0 nonsense 3\n1.0 0 power_limit 70")
    tell(child)
    limits.append(heard(child))
    with driver.tape.open("a", encoding="utf-8") as tape:
        tape.write("0\n")
    tell(child)
    limits.append(heard(child))
    tell(child)
    _, err = finish(child)

    assert limits == [1400, 1400, 700]
    assert err.count("12.5 0 nonsense 3") == 1


def test_attached_processes_are_those_that_have_not_shut_nvml_down(driver: FakeDriver) -> None:
    """Init is counted; the last shutdown lets go, and so does death."""
    code = """
N.nvmlInit()
N.nvmlInit()
N.nvmlShutdown()
say(1)
sys.stdin.readline()
N.nvmlShutdown()
say(2)
sys.stdin.readline()
"""
    polite, killed = start(driver, code), start(driver, code)
    assert (heard(polite), heard(killed)) == (1, 1)
    both = driver.attached()
    tell(polite)
    assert heard(polite) == 2
    one = driver.attached()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    none = driver.attached()
    polite.communicate("\n")

    assert both == sorted([polite.pid, killed.pid])
    assert one == [killed.pid]
    assert none == []


# ---- building


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build cache with nothing in it."""
    monkeypatch.setenv("RACKWATT_TEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_builds_side_by_side_end_in_one_library(empty_cache: Path) -> None:
    """Each renames a whole library into place."""
    code = "from fakes.nvml.build import library_directory; print(library_directory())"
    environment = os.environ | {"PYTHONPATH": str(Path(build.__file__).parents[2])}
    children = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    places = {child.communicate(timeout=CHILD_TIMEOUT_SECONDS)[0].decode() for child in children}

    assert [child.returncode for child in children] == [0, 0]
    assert len(places) == 1
    assert [path.name for path in Path(places.pop().strip()).iterdir()] == [build.LIBRARY]
    assert empty_cache.exists()


def test_without_a_compiler_the_build_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing compiler is an error, never a skipped test."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(RuntimeError, match="install gcc, or `pip install ziglang`"):
        build.library_directory()


# ---- other people's tools


def test_gpustat_prints_all_gpus(driver: FakeDriver) -> None:
    """The unmodified gpustat finds a tray of four."""
    driver.load(EVERY, 0.5)
    tool = Path(sys.executable).with_name("gpustat")

    done = subprocess.run(
        [tool, "--json"], env=os.environ | driver.env, capture_output=True, text=True, check=True
    )

    gpus = json.loads(done.stdout)["gpus"]
    assert [gpu["name"] for gpu in gpus] == ["NVIDIA GB300"] * 4
    assert all(180 <= gpu["power.draw"] <= 1400 for gpu in gpus)


def test_nvitop_prints_all_gpus_and_complains_of_nothing(driver: FakeDriver) -> None:
    """The unmodified nvitop finds a tray of four and each function that it asks for."""
    driver.process(0, os.getpid(), 5 << 30)
    tool = Path(sys.executable).with_name("nvitop")

    done = subprocess.run(
        [tool, "-1"], env=os.environ | driver.env, capture_output=True, text=True, check=True
    )

    assert all(f"│   {index}  GB300" in done.stdout for index in range(4))
    assert "5120MiB" in done.stdout
    assert done.stderr == ""


# ---- hardware counters


def test_gpm_refuses_samples_that_are_too_close_or_of_two_gpus(driver: FakeDriver) -> None:
    """As nvml.h demands: more than 0.1 s apart, one GPU, filled."""
    got = ask(
        driver,
        """
def metrics(first, second):
    request = N.c_nvmlGpmMetricsGet_t()
    request.version, request.numMetrics = 1, 2
    request.sample1, request.sample2 = first, second
    request.metrics[0].metricId, request.metrics[1].metricId = 2, 30
    code = rc(N.nvmlGpmMetricsGet, request)
    return [code, *((m.nvmlReturn, m.value) for m in request.metrics[:2])]
a, b, other, empty = (N.nvmlGpmSampleAlloc() for _ in range(4))
N.nvmlGpmSampleGet(hs[0], a)
N.nvmlGpmSampleGet(hs[0], b)
soon = metrics(a, b)[0]
time.sleep(0.12)
N.nvmlGpmSampleGet(hs[0], b)
N.nvmlGpmSampleGet(hs[1], other)
say([soon, metrics(a, b), metrics(b, a)[0], metrics(a, other)[0], metrics(a, empty)[0],
     [rc(N.nvmlGpmSampleFree, each) for each in (a, b, other, empty)]])
""",
    )

    assert got == [2, [0, [0, 0.0], [3, 0.0]], 2, 2, 2, [0, 0, 0, 0]]


def test_gpm_and_the_byte_counters_tell_of_the_same_traffic(driver: FakeDriver) -> None:
    driver.load(0, 0.7)
    rate, grown = ask(
        driver,
        """
a, b = N.nvmlGpmSampleAlloc(), N.nvmlGpmSampleAlloc()
N.nvmlGpmSampleGet(hs[0], a)
before, at = fields(hs[0], [(138, 0xFFFFFFFF)])[0][1], time.monotonic()
time.sleep(0.5)
N.nvmlGpmSampleGet(hs[0], b)
after, then = fields(hs[0], [(138, 0xFFFFFFFF)])[0][1], time.monotonic()
request = N.c_nvmlGpmMetricsGet_t()
request.version, request.numMetrics, request.sample1, request.sample2 = 1, 1, a, b
request.metrics[0].metricId = 61
N.nvmlGpmMetricsGet(request)
say([request.metrics[0].value * 2**20, (after - before) * 1024 / (then - at)])
""",
    )

    assert rate == pytest.approx(0.7 * 18 * 2e10, rel=1e-6)
    assert grown == pytest.approx(rate, rel=0.02)
