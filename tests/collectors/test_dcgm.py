"""GPUs read through DCGM's bindings: a stand-in of them, and of the host engine that they talk to."""

import asyncio
import dataclasses
import sys
import threading
import time
from pathlib import Path

import pytest
from fakes.dcgm.host_engine import DOUBLE_BLANK, DOUBLE_UNSUPPORTED, INT_BLANK, Gpu, HostEngine, micros

from agent.collectors import dcgm
from agent.collectors._dcgm import library, share
from agent.collectors._dcgm.fields import CLUSTER, LINK_FIELDS
from agent.collectors._dcgm.link import Link
from agent.collectors.dcgm import Settings, address_of, build, examine
from agent.measure.finding import Level
from agent.measure.gpu import GpuIdentity, GpuState, Placement, Power, PowerScope
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading, Reason, SourceError

BINDINGS = Path(__file__).parents[1] / "fakes" / "dcgm" / "bindings"
A, B = "GPU-00000000-0000-0000-0000-0000000000d1", "GPU-00000000-0000-0000-0000-0000000000d2"
NAMES = ("pydcgm", "dcgm_structs", "dcgm_field_helpers")


def values(**more):
    """What an ordinary GB300 says, by number of field."""
    return {
        100: 1920, 101: 3996, 112: 4, 140: 70, 150: 61, 153: 24, 155: 1033.5, 157: 1101.25,
        156: 9_000_000_123_000, 164: 1400.0, 202: 17, 203: 98, 204: 41, 240: 12_500_000_000,
        250: 284208, 251: 100000, 252: 183261, 253: 947, 310: 3, 311: 0, 393: 1, 396: 0, 1523: 0,
        1002: 0.83, 1004: 0.41, 1011: 4.01e11, 1201: 7_000_000, 1213: 2, 1420: 13_000_000_000,
        170: 3, 172: "0f0e0d0c-0000-0000-0000-000000000001", 173: 32766, 174: 0, 175: 1,
        572: "1821025190059", 573: 25, 574: 15, 575: 1, 577: 255,
    } | {int(number[1:]): value for number, value in more.items()}  # fmt: skip


@pytest.fixture
def bindings():
    """The stand-in bindings, imported anew."""
    path = list(sys.path)
    yield str(BINDINGS)
    sys.path[:] = path
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def engine():
    """A host engine with two GPUs."""
    made = HostEngine(
        [Gpu(A, values(), links=[3] * 17 + [2, 0]), Gpu(B, values(_155=300.0), pci="9:06:00.0")]
    )
    yield made
    made.kill()


class Watched:
    """Collectors of one host engine."""

    def __init__(self, engine, bindings):
        self._made = []
        self._engine, self._bindings = engine, bindings

    def make(self, **settings):
        more = {"address": self._engine.address, "bindings": self._bindings} | settings
        self._made.append(build(Settings(**more)))
        return self._made[-1]

    async def close(self):
        for collector in self._made:
            await collector.close()


@pytest.fixture
async def watched(engine, bindings):
    made = Watched(engine, bindings)
    yield made
    await made.close()


def moment():
    return Moment(time.monotonic(), time.time())


async def read(collector):
    return await collector.collect(moment(), None)


async def refusal(collector):
    with pytest.raises(SourceError) as caught:
        await read(collector)
    return caught.value


async def seen(condition, seconds=3.0):
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def asked(engine, name):
    return [question[1:] for question in engine.asked if question[0] == name]


# ---- what is told


async def test_a_gpu_is_read_by_numbers_of_fields(watched):
    gpu, other = (await read(watched.make())).gpus

    assert gpu.identity == GpuIdentity(A, "NVIDIA GB300", "00000008:06:00.0", "580.95.05", "1650924000001")
    assert (gpu.state, other.identity.uuid, other.power[PowerScope.GPU].average_watts) == (
        GpuState.OK,
        B,
        300.0,
    )
    assert gpu.power == {PowerScope.GPU: Power(1033.5, 1101.25)}
    assert gpu.energy_joules == pytest.approx(9_000_000_123.0)
    assert gpu.power_limit_watts == {PowerScope.GPU: 1400.0}
    assert gpu.temperature_celsius == {"gpu": 61.0, "memory": 70.0}
    assert gpu.clock_hertz == pytest.approx({"sm": 1.92e9, "memory": 3.996e9})
    assert (gpu.utilization_ratio, gpu.memory_busy_ratio) == pytest.approx((0.98, 0.41))
    assert gpu.memory_total_bytes == 284208 * 2**20
    assert gpu.throttle_active == {"sw_power_cap"}
    assert gpu.ecc_errors == {"corrected": 3, "uncorrected": 0}
    assert gpu.remapped_rows == {"uncorrectable": 1, "pending": 0}
    assert gpu.recovery_action == "none"
    assert (gpu.xid_errors, gpu.last_xid) == ({}, 0)


async def test_of_an_old_and_a_new_throttle_counter_the_newer_is_told(watched):
    gpu, _ = (await read(watched.make())).gpus

    assert gpu.throttled_seconds == {"sw_power_cap": pytest.approx(13.0)}


async def test_counters_and_links_of_nvlink_are_told(watched):
    gpu, _ = (await read(watched.make())).gpus

    assert gpu.nvlink_bytes == {"tx": 7_000_000.0}
    assert gpu.nvlink_errors == {"link_recovery": 2.0}
    assert gpu.nvlinks == {"active": 17, "inactive": 1}


async def test_hardware_counters_are_ratios_and_rates(watched):
    gpu, _ = (await read(watched.make())).gpus

    assert gpu.active_ratio == {"sm": 0.83, "tensor": 0.41}
    assert gpu.link_bytes_per_second == {"nvlink_tx": 4.01e11}


async def test_t11_a_place_that_is_not_known_is_absent(watched):
    gpu, _ = (await read(watched.make())).gpus

    assert gpu.placement == Placement(
        "1821025190059", 25, 15, 1, None, "0f0e0d0c-0000-0000-0000-000000000001", 32766, "completed",
        fabric_healthy=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("uuid", "state", "told"),
    [
        ("00000000-0000-0000-0000-000000000000", 3, (None, None, "completed")),
        ("0f0e0d0c-0000-0000-0000-000000000001", 4, (None, None, "completed")),
        ("0f0e0d0c-0000-0000-0000-000000000001", 2, (None, None, "in_progress")),
        ("<<<NOT_SUPPORTED>>>", 0, (None, None, "unsupported")),
    ],
)
async def test_t11_a_fabric_that_is_none_has_no_cluster(watched, engine, uuid, state, told):
    engine.gpus[0].values |= {170: state, CLUSTER: uuid}
    gpu, _ = (await read(watched.make())).gpus

    assert (gpu.placement.cluster_uuid, gpu.placement.clique, gpu.placement.fabric_state) == told


@pytest.mark.parametrize(
    "blank", [INT_BLANK, INT_BLANK + 3, DOUBLE_BLANK, DOUBLE_UNSUPPORTED, float("nan"), -1]
)
async def test_t11_every_blank_of_dcgm_is_absent(watched, engine, blank):
    engine.gpus[0].values |= {155: blank, 156: blank, 100: blank}
    gpu, _ = (await read(watched.make())).gpus

    assert gpu.energy_joules is None
    assert gpu.power[PowerScope.GPU].average_watts is None
    assert gpu.clock_hertz.keys() == {"memory"}
    assert gpu.power[PowerScope.GPU].instant_watts == 1101.25


async def test_t11_an_all_zero_uuid_is_nobody(watched, engine):
    engine.gpus[1].uuid = "GPU-00000000-0000-0000-0000-000000000000"
    reading = await read(watched.make())

    assert [gpu.identity.uuid for gpu in reading.gpus] == [A]
    assert "GPU 1 tells no UUID" in reading.notes[0]


# ---- what is asked


async def test_the_engine_measures_as_often_as_it_is_asked_and_keeps_little(watched, engine):
    await read(watched.make(interval=2.0, slow_interval=30.0))
    told = {periods: keeps for _, periods, keeps, _ in engine.watches.values()}
    xids = [keeps for numbers, _, keeps, _ in engine.watches.values() if numbers == [230]]

    assert set(told) == {2_000_000, 30_000_000}
    assert told[30_000_000] == 90.0
    assert xids == [600.0]


async def test_t14_an_older_engine_is_asked_for_what_it_has(watched, engine):
    engine.unknown = {1420, 572, 174}
    reading = await read(watched.make())

    assert reading.gpus[0].throttled_seconds == {"sw_power_cap": pytest.approx(12.5)}
    assert reading.gpus[0].placement.tray == 15
    assert "1420, 172" not in reading.notes[0]
    assert "older than these fields: 1420, 174, 572; upgrade DCGM" in reading.notes[0]


async def test_nvlinks_off_asks_for_none_of_their_counters(watched, engine):
    gpu, _ = (await read(watched.make(nvlinks=False))).gpus
    numbers = {number for watch in engine.watches.values() for number in watch[0]}

    assert not numbers & LINK_FIELDS
    assert (gpu.nvlinks, gpu.nvlink_errors) == ({}, {})


async def test_what_changes_seldom_is_asked_seldom(watched, engine):
    collector = watched.make()
    for _ in range(3):
        await read(collector)

    assert len(asked(engine, "links")) == 1
    assert len(asked(engine, "latest")) == 3 * 2 + 1
    assert len(asked(engine, "profiling")) == 1


async def test_a_gpu_that_comes_later_is_found(watched, engine):
    collector = watched.make(slow_interval=1.0)
    await read(collector)
    engine.gpus[2] = Gpu("GPU-00000000-0000-0000-0000-0000000000d3", values())
    collector._link.session._slow_at = float("-inf")
    reading = await read(collector)

    assert len(reading.gpus) == 3
    assert len(engine.leftovers) == 5


# ---- hardware counters


async def test_another_profiler_keeps_its_counters(watched, engine):
    engine.profiling_code = -34
    reading = await read(watched.make())

    assert reading.gpus[0].active_ratio == {}
    assert reading.gpus[0].state is GpuState.OK
    assert reading.notes == (
        (
            "dcgm: no figures of hardware counters: WatchFields: The requested operation could not be "
            "completed because the affected resource is in use (-34)"
        ),
    )


async def test_counters_come_back_when_the_other_profiler_ends(watched, engine):
    engine.profiling_code = -34
    collector = watched.make()
    await read(collector)
    engine.profiling_code = 0
    collector._link.session._counters_at = float("-inf")
    reading = await read(collector)

    assert reading.gpus[0].active_ratio == {"sm": 0.83, "tensor": 0.41}
    assert reading.notes == ()


@pytest.mark.parametrize("code", [-33, -36])
async def test_an_engine_without_hardware_counters_is_not_asked_again(watched, engine, code):
    engine.profiling_code = code
    collector = watched.make()
    await read(collector)
    collector._link.session._counters_at = float("-inf")
    reading = await read(collector)

    assert len(asked(engine, "profiling")) == 1
    assert reading.notes[0].startswith("dcgm: no figures of hardware counters")


async def test_only_supported_counters_are_watched(watched, engine):
    engine.profiled = [1001, 1004, 1005, 1013]
    await read(watched.make())
    counters = [numbers for numbers, *_ in engine.watches.values() if 1004 in numbers]

    assert counters == [[1001, 1004, 1005]]


async def test_paused_counters_are_absent_and_said(watched, engine, monkeypatch):
    monkeypatch.setattr("agent.collectors._dcgm.session.COUNTERS_SILENT_SECONDS", 0.0)
    collector = watched.make()
    engine.gpus[0].values |= {1002: DOUBLE_BLANK, 1004: DOUBLE_BLANK, 1011: DOUBLE_BLANK}
    engine.gpus[1].values = engine.gpus[0].values
    await read(collector)
    reading = await read(collector)

    assert reading.gpus[0].active_ratio == {}
    assert "a profiler has hold of them, or profiling is paused" in reading.notes[0]


async def test_profiling_off_asks_nothing(watched, engine):
    await read(watched.make(profiling=False))

    assert asked(engine, "profiling") == []


# ---- Xids


async def test_t12_xids_are_dated_events_each_counted_once(watched, engine):
    engine.gpus[0].xids.append((micros() - 10_000_000, 31))
    collector = watched.make()
    first = (await read(collector)).gpus[0]
    engine.gpus[0].xids += [(micros(), 94), (micros() + 1, 31), (micros() + 2, 94)]
    second = (await read(collector)).gpus[0]
    third = (await read(collector)).gpus[0]

    assert (first.xid_errors, first.last_xid) == ({}, 0)
    assert (second.xid_errors, second.last_xid) == ({94: 2, 31: 1}, 94)
    assert third.xid_errors == second.xid_errors


async def test_t12_a_stamp_of_the_future_hides_no_later_xid(watched, engine):
    collector = watched.make()
    await read(collector)
    engine.gpus[0].xids.append((micros() + 60_000_000, 31))
    await read(collector)
    engine.gpus[0].xids.append((micros(), 48))

    assert (await read(collector)).gpus[0].xid_errors == {31: 1, 48: 1}


async def test_t12_xids_outlive_the_engine_and_are_not_counted_again(watched, engine):
    collector = watched.make()
    await read(collector)
    engine.gpus[0].xids.append((micros(), 48))
    await read(collector)
    engine.restart()

    assert (await read(collector)).gpus[0].xid_errors == {48: 1}


async def test_a_gpu_that_falls_off_the_bus_is_lost_and_the_other_goes_on(watched, engine):
    collector = watched.make()
    await read(collector)
    engine.gpus[0].fall_off()
    lost, other = (await read(collector)).gpus

    assert (lost.state, lost.xid_errors, lost.last_xid) == (GpuState.LOST, {79: 1}, 79)
    assert (lost.power, lost.energy_joules) == ({}, None)
    assert other.state is GpuState.OK


async def test_a_silent_gpu_without_xid_has_failed(watched, engine):
    engine.gpus[0].values = {}
    gpu, _ = (await read(watched.make())).gpus

    assert (gpu.state, "has no value of it" in gpu.trouble) == (GpuState.FAILED, True)


async def test_a_gpu_that_cannot_be_watched_costs_the_others_nothing(watched, engine):
    engine.gpus[1].status = 3
    first, second = (await read(watched.make())).gpus

    assert first.state is GpuState.OK
    assert (second.state, second.trouble) == (GpuState.FAILED, "is not visible to the host engine")


# ---- time


async def test_a_reading_is_as_old_as_its_energy(watched, engine):
    engine.frozen_us = micros() - 400_000
    before = time.monotonic()
    reading = await read(watched.make())

    assert before - 0.45 < reading.gpus[0].at.monotonic_seconds < before - 0.2


async def test_a_stamp_of_another_clock_is_believed_for_one_period(watched, engine):
    engine.frozen_us = micros() - 3_600_000_000
    reading = await read(watched.make(interval=1.0))

    assert reading.at.monotonic_seconds - reading.gpus[0].at.monotonic_seconds == pytest.approx(1.0)


async def test_t15_an_engine_that_measures_nothing_new_has_failed(watched, engine):
    collector = watched.make(interval=0.05, stale_after=0.1)
    await read(collector)
    engine.frozen_us = micros()
    await read(collector)
    await asyncio.sleep(0.15)
    error = await refusal(collector)

    assert error.reason is Reason.MALFORMED
    assert "has measured nothing new of it for 0 s; restart nv-hostengine" in error.detail


# ---- engines that go and come


async def test_an_engine_that_dies_is_an_outcome_and_its_return_is_seen(watched, engine):
    collector = watched.make()
    await read(collector)
    engine.kill()
    error = await refusal(collector)
    again = await refusal(collector)
    engine.start()
    reading = await read(collector)

    assert error.reason is again.reason is Reason.UNREACHABLE
    assert engine.address in error.detail
    assert "is nv-hostengine running there (systemctl status nvidia-dcgm)" in error.detail
    assert len(reading.gpus) == 2
    assert len(engine.leftovers) == 5


async def test_an_engine_restarted_between_two_readings_costs_none(watched, engine):
    collector = watched.make()
    await read(collector)
    for _ in range(3):
        engine.restart()
        assert len((await read(collector)).gpus) == 2
    handles = sys.modules["pydcgm"].DcgmHandle.handles

    assert (len(engine.leftovers), engine.connections, len(handles)) == (5, 1, 1)


async def test_the_bindings_keep_no_groups_of_dead_engines(watched, engine):
    collector = watched.make()
    await read(collector)
    engine.restart()
    engine._last = 100
    await read(collector)

    assert len(sys.modules["pydcgm"].DcgmFieldGroup.groups) == 4


async def test_groups_are_removed_after_an_engine_gave_its_numbers_again(watched, engine):
    collector = watched.make()
    await read(collector)
    engine.restart()
    await read(collector)
    await collector.close()

    assert (len(asked(engine, "unfields")), len(asked(engine, "remove"))) == (4, 1)
    assert engine.leftovers == []
    assert engine.watches == {}


async def test_an_engine_that_hangs_is_an_outcome_and_is_not_asked_twice(watched, engine):
    collector = watched.make(timeout=0.2)
    await read(collector)
    engine.awake.clear()
    first = await refusal(collector)
    second = await refusal(collector)
    engine.awake.set()
    await seen(lambda: not collector._lane.busy)
    reading = await read(collector)

    assert (first.reason, second.reason) == (Reason.TIMED_OUT, Reason.OVERLAPPED)
    assert len(reading.gpus) == 2


async def test_an_engine_that_timed_out_is_hung_up_on_and_asked_nothing_more(watched, engine):
    collector = watched.make()
    await read(collector)
    engine.refusals = {"latest": -11}
    error = await refusal(collector)
    await seen(lambda: engine.leftovers == [])
    engine.refusals = {}
    reading = await read(collector)

    assert error.reason is Reason.TIMED_OUT
    assert (asked(engine, "unwatch"), asked(engine, "unfields")) == ([], [])
    assert (len(reading.gpus), len(engine.leftovers)) == (2, 5)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(-17, Reason.DENIED), (-12, Reason.UNSUPPORTED), (-67, Reason.RELEASED), (-3, Reason.MALFORMED)],
)
async def test_what_dcgm_refuses_has_a_reason_and_leaves_nothing(watched, engine, code, reason):
    engine.refusals = {"watch": code}
    error = await refusal(watched.make())
    await seen(lambda: engine.connections == 0)

    assert (error.reason, engine.leftovers) == (reason, [])
    assert asked(engine, "remove") != []


async def test_a_call_that_never_returns_is_left_behind(watched, engine, monkeypatch):
    monkeypatch.setattr(dcgm, "LEAVE_SECONDS", 0.0)
    collector = watched.make(timeout=0.3)
    await read(collector)
    stuck, returns = collector._link, threading.Event()
    monkeypatch.setattr(stuck, "read", returns.wait)
    first = await refusal(collector)
    reading = await read(collector)
    connections = engine.connections
    returns.set()

    assert (first.reason, len(reading.gpus), connections) == (Reason.TIMED_OUT, 2, 2)
    await seen(lambda: engine.connections == 1)
    assert collector._lane.left_behind == 0


async def test_no_more_than_three_threads_are_left_behind(watched, monkeypatch):
    monkeypatch.setattr(dcgm, "LEAVE_SECONDS", 0.0)
    returns, collector = threading.Event(), watched.make(timeout=0.1)
    monkeypatch.setattr(Link, "read", lambda *_: returns.wait())
    reasons = [(await refusal(collector)).reason for _ in range(5)]
    left = collector._lane.left_behind
    returns.set()

    assert (reasons, left) == ([Reason.TIMED_OUT] * 4 + [Reason.OVERLAPPED], 3)
    await seen(lambda: collector._lane.left_behind == 0)


async def test_closing_does_not_wait_for_an_engine_that_hangs(watched, engine, monkeypatch):
    collector = watched.make(timeout=0.2)
    await read(collector)
    engine.awake.clear()
    await refusal(collector)
    monkeypatch.setattr(dcgm, "CLOSE_SECONDS", 0.1)
    began = time.monotonic()
    await collector.close()

    assert time.monotonic() - began < 0.8
    engine.awake.set()
    await seen(lambda: engine.leftovers == [])


async def test_closing_leaves_nothing_in_the_engine(watched, engine):
    collector = watched.make()
    await read(collector)
    await collector.close()
    await seen(lambda: engine.connections == 0)

    assert (engine.leftovers, engine.watches) == ([], {})
    assert len(asked(engine, "unwatch")) == 4


async def test_two_agents_do_not_disturb_each_other(watched, engine):
    first, second = watched.make(), watched.make()
    await read(first)
    await read(second)
    names = engine.leftovers
    await first.close()
    reading = await read(second)

    assert len(set(names)) == 10
    assert len(engine.leftovers) == 5
    assert reading.gpus[0].power[PowerScope.GPU].average_watts == 1033.5


async def test_an_engine_is_reached_by_its_socket(tmp_path, bindings):
    engine = HostEngine([Gpu(A, values())], tmp_path / "engine")
    collector = build(Settings(address=engine.address, bindings=bindings))
    reading = await read(collector)
    await collector.close()
    engine.kill()

    assert [gpu.identity.uuid for gpu in reading.gpus] == [A]


async def test_a_release_hangs_up_until_it_is_over(watched, engine):
    collector = watched.make()
    await read(collector)
    collector.release()
    error = await refusal(collector)
    await seen(lambda: engine.connections == 0)
    collector.resume()

    assert (error.reason, engine.leftovers) == (Reason.RELEASED, [])
    assert len((await read(collector)).gpus) == 2


# ---- beside a source that is believed before it


class Node:
    """A node on which NVML tells of the same GPUs, but for `lacks`; every turn hands back what was seen."""

    def __init__(self, collector, preference=("nvml", "dcgm")):
        self.collector = collector
        self.reckoner = NodeReckoner("n", "", 10.0, "", "")
        self.reckoner.prefer(preference)
        self.reckoner.expect(("nvml", "dcgm"))
        self.lacks = {"active_ratio": {}, "link_bytes_per_second": {}}
        self.nvml = None
        self.lost = ()
        self.seen = None

    async def turns(self, count, nvml=True):
        for _ in range(count):
            reading = await self.collector.collect(moment(), self.seen)
            self.nvml = self.nvml or reading.gpus
            if nvml:
                gpus = [dataclasses.replace(gpu, at=moment(), **self.lacks) for gpu in self.nvml]
                for gpu in self.lost:
                    gpus[gpu] = dataclasses.replace(gpus[gpu], state=GpuState.LOST)
                self.reckoner.take(Reading("nvml", moment(), gpus=tuple(gpus)), 1.0)
            else:
                self.reckoner.miss("nvml")
            self.reckoner.take(reading, 1.0)
            self.seen = self.reckoner.snapshot(moment(), (), {})


@pytest.fixture
def soon(monkeypatch):
    """Nobody waits a minute."""
    monkeypatch.setattr(share, "TOLD_SECONDS", 0.0)


NARROW = [[102, 156], [206, 207, 394, 395], [230], [1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009,
          1010, 1011, 1012]]  # fmt: skip
"""What NVML lacks here: a clock, video engines, two kinds of rows, hardware counters; energy is the pulse."""


def fields_of(engine):
    return sorted(numbers for numbers, *_ in engine.watches.values())


async def test_what_a_source_before_it_tells_is_not_measured_again(watched, engine, soon):
    node = Node(watched.make())
    await node.turns(2)
    before, page = fields_of(engine), node.seen.gpus[0]
    await node.turns(3)
    after = node.seen.gpus[0]

    assert [len(numbers) for numbers in before] == [30, 39, 1, 12]
    assert fields_of(engine) == NARROW
    assert (len(engine.leftovers), len(engine.field_groups)) == (5, 4)
    assert dataclasses.replace(after.reading, at=page.reading.at) == page.reading
    assert after.sources == page.sources
    assert after.sources["active_ratio"] == "dcgm"
    assert after.reading.active_ratio == {"sm": 0.83, "tensor": 0.41}


@pytest.mark.parametrize("gone", ["source", "gpu"])
async def test_when_that_source_stops_telling_of_a_gpu_everything_is_measured_again(
    watched, engine, soon, gone
):
    node = Node(watched.make())
    await node.turns(2)
    full = fields_of(engine)
    await node.turns(3)
    node.lost = (1,) if gone == "gpu" else ()
    await node.turns(2, nvml=gone == "gpu")

    assert fields_of(engine) == full
    assert len(engine.leftovers) == 5


async def test_it_takes_over_with_all_that_it_has(watched, engine, soon):
    node = Node(watched.make())
    await node.turns(5)
    engine.gpus[0].values[155] = 900.0
    states = []
    for _ in range(3):
        await node.turns(1, nvml=False)
        states.append(node.seen.gpus[0].state)
    gpu = node.seen.gpus[0]

    assert states == [GpuState.OK] * 3
    assert gpu.sources == {"all others": "dcgm"}
    assert gpu.reading.power[PowerScope.GPU].average_watts == 900.0
    assert gpu.reading.placement.tray == 15
    assert gpu.reading.nvlinks == {"active": 17, "inactive": 1}
    assert gpu.reading.ecc_errors == {"corrected": 3, "uncorrected": 0}


async def test_one_that_is_believed_itself_measures_everything(watched, engine, soon):
    node = Node(watched.make(), ("dcgm", "nvml"))
    await node.turns(1)
    full = fields_of(engine)
    await node.turns(4)

    assert fields_of(engine) == full


async def test_what_is_watched_anew_and_not_measured_yet_leaves_no_gap(watched, engine, soon):
    node = Node(watched.make())
    await node.turns(2)
    engine.lag_seconds = 0.03
    told = []
    for nvml in (True, True, True, False, False, False, False):
        await asyncio.sleep(0.04)
        await node.turns(1, nvml=nvml)
        told += [(gpu.state, gpu.reading.active_ratio.get("sm")) for gpu in node.seen.gpus]

    assert told == [(GpuState.OK, 0.83)] * 14


async def test_without_anything_lacking_neither_counters_nor_links_are_even_asked_for(watched, engine, soon):
    every = dict.fromkeys(("graphics", "sm", "sm_occupancy", "tensor", "dram", "fp64", "fp32", "fp16"), 0.5)
    links = [f"{link}_{way}" for link in ("pcie", "nvlink", "c2c") for way in ("tx", "rx")]
    node = Node(watched.make())
    node.lacks = {"active_ratio": every, "link_bytes_per_second": dict.fromkeys(links, 1.0)}
    await node.turns(5)
    before = [len(asked(engine, question)) for question in ("profiling", "links")]
    session = node.collector._link.session
    session._counters_at = session._slow_at = float("-inf")
    await node.turns(2)

    assert fields_of(engine) == NARROW[:3]
    assert [len(asked(engine, question)) for question in ("profiling", "links")] == before


async def test_the_pulse_is_a_field_that_every_gpu_has(watched, engine, soon):
    engine.gpus[1].values[156] = INT_BLANK
    node = Node(watched.make())
    await node.turns(5)

    assert fields_of(engine)[0] == [102, 155]
    assert [gpu.state for gpu in node.seen.gpus] == [GpuState.OK] * 2


async def test_a_new_engine_is_watched_whole_at_first(watched, engine, soon):
    node = Node(watched.make())
    await node.turns(2)
    full = fields_of(engine)
    await node.turns(3)
    engine.restart()
    await node.turns(1)

    assert fields_of(engine) == full


async def judged(node, seconds):
    """What is left to the host engine at these moments."""
    it = share.Share()
    return [it.judge(node.seen, (A, B), at) for at in seconds]


async def test_less_is_measured_only_after_a_minute_of_being_told(watched):
    node = Node(watched.make())
    await node.turns(2)
    at_first, later, after = await judged(node, (0.0, 59.0, 60.0))

    assert (at_first, later) == (None, None)
    assert {102, 1004} < after
    assert not after & {100, 155, 156, 203, 252, 310}


async def test_a_source_that_comes_and_goes_is_none(watched):
    node = Node(watched.make())
    await node.turns(2)
    it = share.Share()
    told = [it.judge(node.seen if at % 50 else None, (A, B), float(at)) for at in range(200)]

    assert told == [None] * 200


async def test_a_figure_that_comes_and_goes_is_measured_from_the_second_time_on(watched):
    node = Node(watched.make())
    await node.turns(2)
    with_it, it = node.seen, share.Share()
    node.lacks = {**node.lacks, "utilization_ratio": None}
    await node.turns(1)
    steps = [(with_it, 0.0), (with_it, 60.0), (node.seen, 61.0), (with_it, 62.0), (with_it, 122.0)]
    left = [it.judge(seen, (A, B), at) for seen, at in steps]
    later = it.judge(node.seen, (A, B), 123.0)

    assert [None if numbers is None else 203 in numbers for numbers in left] == [
        None,
        False,
        None,
        None,
        True,
    ]
    assert later == left[-1]


# ---- bindings


async def test_without_bindings_it_is_said_where_they_were_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(library.importlib.util, "find_spec", lambda _: None)
    collector = build(Settings())
    error = await refusal(collector)
    await collector.close()

    assert error.reason is Reason.UNSUPPORTED
    assert error.detail.startswith(
        "DCGM's Python bindings (pydcgm) are not installed: looked in sys.path, "
        "/usr/share/datacenter-gpu-manager-4/bindings/python3, /usr/local/dcgm/bindings/python3; install DCGM"
    )


async def test_a_folder_without_bindings_is_named(tmp_path):
    collector = build(Settings(bindings=str(tmp_path)))
    error = await refusal(collector)
    await collector.close()

    assert f"there is no pydcgm.py in {tmp_path}; install DCGM" in error.detail


async def test_bindings_of_another_python_are_named(tmp_path):
    (tmp_path / "pydcgm.py").write_text("print 'two'\n")
    collector = build(Settings(bindings=str(tmp_path)))
    error = await refusal(collector)
    await collector.close()

    assert error.reason is Reason.UNSUPPORTED
    assert f"the bindings in {tmp_path} cannot be imported" in error.detail


def test_the_folder_of_the_bindings_ends_up_last_in_the_path(bindings):
    library.load(bindings)

    assert sys.path[-1] == bindings
    assert sys.path.count(bindings) == 1


def test_bindings_are_found_where_dcgm_installs_them(bindings, tmp_path):
    found = library.load("", (str(tmp_path), bindings))

    assert found.folder == bindings


# ---- settings and doctor


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5555", library.Address("127.0.0.1:5555")),
        ("gpu-07", library.Address("gpu-07:5555")),
        ("tcp://gpu-07:6000", library.Address("gpu-07:6000")),
        ("[::1]:5555", library.Address("[::1]:5555")),
        ("[::1]", library.Address("[::1]:5555")),
        ("unix:///tmp/nv-hostengine", library.Address(socket="/tmp/nv-hostengine")),
        ("/tmp/nv-hostengine", library.Address(socket="/tmp/nv-hostengine")),
        ("embedded", library.Address()),
    ],
)
def test_addresses_are_read(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", ":5555", "host:0", "host:port", "host:99999"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="is not host:port"):
        Settings(address=text)


@pytest.mark.parametrize("wrong", [{"interval": 0.0}, {"timeout": float("inf")}, {"stale_after": 1.5}])
def test_durations_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Settings(**wrong)


async def test_the_doctor_tells_of_bindings_gpus_and_leaves_nothing(engine, bindings):
    engine.gpus[1].fall_off()
    engine.profiling_code = -33
    found = await examine(Settings(address=engine.address, bindings=bindings))
    await seen(lambda: engine.leftovers == [])

    assert [(each.level, each.text) for each in found][:2] == [
        (Level.OK, f"bindings in {bindings}"),
        (Level.OK, f"1 of 2 GPUs answer at {engine.address}"),
    ]
    assert [each.level for each in found][2:] == [Level.PROBLEM, Level.NOTE]


async def test_the_doctor_says_how_to_mend_an_engine_that_is_not_there(engine, bindings):
    address = engine.address
    engine.kill()
    found = await examine(Settings(address=address, bindings=bindings))

    assert [each.level for each in found] == [Level.OK, Level.PROBLEM]
    assert "unreachable" in found[1].text
    assert "is nv-hostengine running there" in found[1].remedy


def test_every_setting_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().address = "x"
