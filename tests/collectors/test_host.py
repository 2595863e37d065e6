"""The machine around the GPUs, from files in the kernel's formats, hostile ones, and this very machine."""

import asyncio
import ctypes
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes.agent import RunningAgent
from fakes.host_tree import HostTree
from fakes.nvml.driver import FakeDriver

from agent import config
from agent.collectors import host
from agent.collectors._host import kernel
from agent.collectors._host.clock import KernelClock, clock_of
from agent.collectors._host.devices import Devices
from agent.collectors._host.infiniband import rate_in
from agent.collectors._host.pcie import sysfs_name
from agent.measure.energy import Verdict
from agent.measure.finding import Level
from agent.measure.gpu import GpuIdentity, GpuReading
from agent.measure.host import HostClock, LinkReading, PcieLink
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reason, SourceError
from agent.measure.rows import rows_of
from agent.measure.snapshot import GpuFigures

AT = Moment(100.0, 1_796_000_000.0)


@pytest.fixture
def tree(tmp_path):
    return HostTree(tmp_path)


@pytest.fixture
def collector(tree):
    return host.build(host.Settings(root=str(tree.root)))


@pytest.fixture
def fast(collector):
    return lambda: asyncio.run(collector.fast.collect(AT, None))


@pytest.fixture
def slow(collector):
    """What drivers tell; a snapshot of the GPUs may be given."""
    return lambda seen=None: asyncio.run(collector.slow.collect(AT, seen))


@pytest.fixture
def with_gpus():
    """A snapshot of GPUs, by UUID and PCI id; one without an id does not report."""

    def make(**pcis):
        reckoner = NodeReckoner("n", "", 10.0, "boot", "run")
        gpus = tuple(
            GpuFigures(
                number,
                uuid,
                None,
                pci and GpuReading(GpuIdentity(uuid, "NVIDIA H100", pci, "580"), AT),
                None,
                None,
                Verdict.UNKNOWN,
            )
            for number, (uuid, pci) in enumerate(pcis.items())
        )
        return _replace(reckoner.snapshot(AT, (), {}), gpus=gpus)

    return make


def _replace(snapshot, **changes):
    return type(snapshot)(**{name: getattr(snapshot, name) for name in snapshot.__slots__} | changes)


def test_pressure_is_told_in_seconds_by_resource_and_share(tree, fast):
    tree.pressure("cpu", 163_165_300, 0)
    tree.pressure("memory", 500_000, 250_000)
    tree.pressure("io", 10_631_388, 7_577_245)
    tree.pressure("irq", None, 1_000_000)

    assert fast().host.stalled_seconds == {
        ("cpu", "some"): pytest.approx(163.1653),
        ("memory", "some"): 0.5,
        ("memory", "full"): 0.25,
        ("io", "some"): pytest.approx(10.631388),
        ("io", "full"): pytest.approx(7.577245),
        ("irq", "full"): 1.0,
    }


def test_pressure_of_all_tasks_on_the_cpu_is_undefined_and_so_absent(tree, fast):
    tree.pressure("cpu", 1, 0)

    assert ("cpu", "full") not in fast().host.stalled_seconds


def test_without_pressure_it_is_absent_and_a_note_says_what_to_do(fast):
    reading = fast()

    assert reading.host.stalled_seconds == {}
    assert any("boot it with psi=1" in note for note in reading.notes)


def test_where_pressure_is_told_there_is_no_note_of_it(tree, fast):
    tree.pressure("memory", 1, 1)

    assert not any("psi=1" in note for note in fast().notes)


def test_without_a_proc_the_source_fails_and_names_the_setting(tree, fast):
    shutil.rmtree(tree.root / "proc")

    with pytest.raises(SourceError) as caught:
        fast()
    assert caught.value.reason is Reason.UNREACHABLE
    assert f"{tree.root}/proc" in caught.value.detail
    assert "collectors.host.root" in caught.value.detail


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"\0\xff" * 100,
        b"some\n",
        b"some avg10=0.00 total=\n",
        b"some avg10=0.00 total=-5\n",
        b"some avg10=0.00 total=1e9\n",
        b"some avg10=0.00 total=nan\n",
        b"some avg10=0.00 total=123456789012345678901\n",
        "some avg10=0.00 total=١٢\n".encode(),
        b"none avg10=0.00 total=5\n",
    ],
)
def test_a_page_of_pressure_that_is_none_tells_nothing(page):
    assert kernel.pressure_in(page) == {}


def test_steal_and_oom_kills_are_told(tree, slow):
    tree.stat(steal=137)
    tree.vmstat(oom_kills=3)

    assert slow().host.cpu_steal_seconds == 1.37
    assert slow().host.oom_kills == 3.0


def test_a_kernel_that_does_not_count_its_kills_tells_none(tree, slow):
    tree.vmstat(oom_kills=None)

    assert slow().host.oom_kills is None


def test_the_frequency_of_processors_is_the_least_the_mean_and_the_greatest(tree, slow):
    tree.policy(0, 800_000)
    tree.policy(1, 2_400_000)
    tree.policy(2, 4_000_000)
    tree.policy(3, "<unknown>")

    assert slow().host.cpu_frequency_hertz == {"min": 8e8, "mean": 2.4e9, "max": 4e9}


def test_of_very_many_processors_a_spread_part_is_asked(tree, slow, monkeypatch):
    for number in range(144):
        tree.policy(number, 1_000_000 + number)
    asked, real = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *more: asked.append(path) or real(path, *more))

    assert slow().host.cpu_frequency_hertz["mean"] == pytest.approx(1e9, rel=1e-3)
    assert len([path for path in asked if path.endswith("scaling_cur_freq")]) == 16


def test_a_network_interface_tells_state_speed_and_errors(tree, slow):
    tree.interface(
        "eth0", speed=400_000, carrier_changes=4, rx_errors=1, tx_errors=2, rx_dropped=3, tx_dropped=5
    )

    assert slow().host.interfaces == (
        LinkReading(
            "eth0",
            "",
            up=True,
            speed_bytes_per_second=50e9,
            counts={
                "receive_errors": 1.0,
                "transmit_errors": 2.0,
                "receive_dropped": 3.0,
                "transmit_dropped": 5.0,
                "carrier_changes": 4.0,
            },
        ),
    )


@pytest.mark.parametrize(
    ("state", "flags", "up"),
    [
        ("up", "0x1003", True),
        ("down", "0x1003", False),
        ("lowerlayerdown", "0x1003", False),
        ("dormant", "0x1003", False),
        ("unknown", "0x1003", None),
        ("down", "0x1002", None),
        ("up", "garbage", True),
    ],
)
def test_a_link_is_up_down_or_unknown_and_one_switched_off_on_purpose_is_no_fault(
    tree, slow, state, flags, up
):
    tree.interface("eth0", state=state, flags=flags)

    assert slow().host.interfaces[0].up is up


@pytest.mark.parametrize("speed", [-1, 0, 4294967295, "garbage", ""])
def test_a_driver_that_does_not_know_its_speed_tells_none(tree, slow, speed):
    tree.interface("eth0", speed=speed)

    assert slow().host.interfaces[0].speed_bytes_per_second is None


def test_a_link_that_is_down_has_no_speed(tree, slow):
    tree.interface("eth0", state="down")

    assert slow().host.interfaces[0].speed_bytes_per_second is None


def test_the_speed_is_asked_again_only_when_the_link_has_changed(tree, slow):
    tree.interface("eth0", speed=100_000, carrier_changes=2)
    slow()
    tree.interface("eth0", speed=25_000, carrier_changes=2)
    before = slow().host.interfaces[0].speed_bytes_per_second
    tree.interface("eth0", speed=25_000, carrier_changes=4)

    assert before == 12.5e9
    assert slow().host.interfaces[0].speed_bytes_per_second == 3.125e9


def test_loopback_containers_and_software_are_left_out(tree, slow):
    for name in ("lo", "veth12ab", "docker0", "cali9f", "br-55"):
        tree.interface(name)
    tree.virtual_interface("bond0")
    tree.write("sys/class/net/bonding_masters", "bond0\n")
    tree.interface("enp1s0")

    assert [link.device for link in slow().host.interfaces] == ["enp1s0"]


def test_software_interfaces_are_read_where_it_is_asked_for(tree):
    tree.virtual_interface("bond0")
    tree.virtual_interface("lo", state="unknown")
    tree.write("sys/class/net/bonding_masters", "bond0\n")
    settings = host.Settings(root=str(tree.root), devices=Devices(virtual=True))
    reading = asyncio.run(host.build(settings).slow.collect(AT, None))

    assert [link.device for link in reading.host.interfaces] == ["bond0"]


def test_only_what_is_included_and_not_excluded_is_read(tree):
    for name in ("eth0", "eth1", "ib0"):
        tree.interface(name)
    tree.port("mlx5_0")
    devices = Devices(include=("eth*", "mlx5_?"), exclude=("eth1",))
    reading = asyncio.run(
        host.build(host.Settings(root=str(tree.root), devices=devices)).slow.collect(AT, None)
    )

    assert [link.device for link in reading.host.interfaces] == ["eth0"]
    assert [link.device for link in reading.host.ports] == ["mlx5_0"]


def test_nothing_is_excluded_where_no_pattern_is_given(tree):
    tree.interface("veth0")
    devices = Devices(exclude=())
    reading = asyncio.run(
        host.build(host.Settings(root=str(tree.root), devices=devices)).slow.collect(AT, None)
    )

    assert [link.device for link in reading.host.interfaces] == ["veth0"]


def test_beyond_a_number_of_interfaces_the_rest_is_left_out_and_told(tree, slow):
    for number in range(66):
        tree.interface(f"eth{number}")
    reading = slow()

    assert len(reading.host.interfaces) == 64
    assert "2 interfaces are left out: narrow collectors.host.devices.include" in reading.notes


def test_an_infiniband_port_tells_state_rate_and_errors(tree, slow):
    tree.port("mlx5_0", symbol_error=17, link_downed=1, hardware={"out_of_sequence": 9, "lifespan": 10})
    (link,) = slow().host.ports

    assert (link.device, link.port, link.up, link.speed_bytes_per_second) == ("mlx5_0", "1", True, 50e9)
    assert link.counts["symbol_error"] == 17.0
    assert link.counts["link_downed"] == 1.0
    assert link.counts["out_of_sequence"] == 9.0
    assert link.counts.keys().isdisjoint({"lifespan", "port_xmit_wait", "packet_seq_err"})


@pytest.mark.parametrize(
    ("state", "physical", "up"),
    [
        ("4: ACTIVE", "5: LinkUp", True),
        ("1: DOWN", "2: Polling", False),
        ("2: INIT", "5: LinkUp", False),
        ("1: DOWN", "3: Disabled", None),
    ],
)
def test_a_port_is_up_when_active_and_absent_when_disabled(tree, slow, state, physical, up):
    tree.port("mlx5_0", state=state, physical=physical)

    assert slow().host.ports[0].up is up


def test_a_port_whose_state_is_garbage_is_none(tree, slow):
    tree.port("mlx5_0", state="ACTIVE")

    assert slow().host.ports == ()


@pytest.mark.parametrize(
    ("line", "rate"),
    [
        ("400 Gb/sec (4X NDR)", 50e9),
        ("2.5 Gb/sec (1X SDR)", 0.3125e9),
        ("800 Gb/sec (4X XDR)", 100e9),
        ("0 Gb/sec", None),
        ("fast", None),
        ("-1 Gb/sec", None),
        (None, None),
    ],
)
def test_the_rate_of_a_port_is_in_bytes(line, rate):
    assert rate_in(line) == rate


def test_the_link_of_a_gpu_is_found_by_its_pci_id(tree, slow, with_gpus):
    tree.pci("0008:06:00.0", width=8, speed="16.0 GT/s PCIe")

    assert slow(with_gpus(GPU_a="00000008:06:00.0")).host.pcie_links == {
        "GPU_a": PcieLink(8.0, 16.0, 16e9, 32e9)
    }


def test_a_gpu_in_a_narrower_slot_is_not_degraded(tree, slow, with_gpus):
    tree.pci("0000:41:00.0", width=8, speed="16.0 GT/s PCIe", slot=(8, "16.0 GT/s PCIe"))

    assert slow(with_gpus(GPU_a="00000000:41:00.0")).host.pcie_links == {
        "GPU_a": PcieLink(8.0, 8.0, 16e9, 16e9)
    }


@pytest.mark.parametrize(
    ("width", "speed"), [(63, "Unknown"), (255, "Unknown"), (0, "Unknown speed"), ("", ""), ("all", "GT/s")]
)
def test_what_a_gpu_that_fell_off_the_bus_reads_as_is_unknown(tree, slow, with_gpus, width, speed):
    tree.pci("0000:41:00.0", width=width, speed=speed)
    link = slow(with_gpus(GPU_a="00000000:41:00.0")).host.pcie_links["GPU_a"]

    assert (link.width_lanes, link.transfers_per_second) == (None, None)
    assert link.max_width_lanes == 16.0


def test_what_a_link_can_is_learned_when_the_gpu_is_back_on_the_bus(tree, slow, with_gpus):
    tree.pci("0000:41:00.0", most=(255, "Unknown"), slot=(255, "Unknown"))
    seen = with_gpus(GPU_a="00000000:41:00.0")
    lost = slow(seen).host.pcie_links["GPU_a"].max_width_lanes
    tree.pci("0000:41:00.0")

    assert (lost, slow(seen).host.pcie_links["GPU_a"].max_width_lanes) == (None, 16.0)


def test_a_simulated_gpu_is_not_taken_for_another_device(tree, slow, with_gpus):
    tree.pci("0000:41:00.0", kind="0x020000")

    assert (
        slow(with_gpus(GPU_a="00000000:41:00.0", GPU_b="nonsense", GPU_c="00000000:42:00.0")).host.pcie_links
        == {}
    )


def test_the_link_of_a_gpu_that_fell_silent_is_still_told(tree, slow, with_gpus):
    tree.pci("0000:41:00.0")
    slow(with_gpus(GPU_a="00000000:41:00.0"))

    assert "GPU_a" in slow(with_gpus(GPU_a=None)).host.pcie_links


def test_a_gpu_that_was_forgotten_has_no_link(tree, slow, with_gpus):
    tree.pci("0000:41:00.0")
    slow(with_gpus(GPU_a="00000000:41:00.0"))

    assert slow(with_gpus()).host.pcie_links == {}


@pytest.mark.parametrize(
    ("status", "offset", "bound", "clock"),
    [
        (0x40, 0, 16_000_000, HostClock(False, 16.0, None)),
        (0x0, 0, 20_000, HostClock(True, 0.02, None)),
        (0x2001, 250_000, 5_000, HostClock(True, 0.005, pytest.approx(0.00025))),
        (0x1, -250, 5_000, HostClock(True, 0.005, pytest.approx(-0.00025))),
        (0x41, 7, -1, HostClock(False, 0.0, pytest.approx(7e-6))),
    ],
    ids=["kept by nobody", "chrony", "nanoseconds", "microseconds behind", "nonsense"],
)
def test_the_clock_is_what_the_kernel_says_of_it(status, offset, bound, clock):
    assert clock_of(status, offset, bound) == clock


def test_a_clock_that_may_not_be_asked_is_absent_with_a_note(collector, slow, monkeypatch):
    def forbidden(_):
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(collector.slow._clock, "_library", SimpleNamespace(adjtimex=forbidden))
    reading = slow()

    assert reading.host.clock is None
    assert reading.notes == (
        "the kernel does not tell of its clock (adjtimex: Operation not permitted): it stays absent",
    )


def test_a_library_that_cannot_ask_the_clock_costs_only_the_clock(collector, slow, monkeypatch):
    monkeypatch.setattr(collector.slow._clock, "_library", SimpleNamespace())

    assert slow().host.clock is None
    assert slow().host.oom_kills == 0.0


def test_hostile_files_cost_their_value_and_nothing_else(tree, slow):
    tree.interface("eth0", rx_errors=7)
    tree.write("sys/class/net/eth0/statistics/tx_errors", "9" * 5000)
    tree.write("sys/class/net/eth0/statistics/rx_dropped", "\n" * 100_000)
    os.mkfifo(tree.root / "sys/class/net/eth1")
    (tree.root / "sys/class/net/eth0/statistics/tx_dropped").unlink()
    (tree.root / "sys/class/net/eth0/statistics/tx_dropped").mkdir()
    (tree.root / "sys/class/net/eth0/carrier_changes").unlink()
    (tree.root / "sys/class/net/eth0/carrier_changes").symlink_to("/dev/zero")
    tree.write("proc/vmstat", "nr_free_pages 1\n" * 10_000 + "oom_kill 5\n")
    tree.write("proc/stat", "cpu  1 2 three\n")
    tree.interface(os.fsdecode(b"\xff\n"))
    told = slow().host

    assert [(link.device, link.counts) for link in told.interfaces] == [("eth0", {"receive_errors": 7.0})]
    assert told.oom_kills is None
    assert told.cpu_steal_seconds is None


def test_a_number_that_a_limit_would_cut_is_not_taken_for_a_smaller_one(tree, slow):
    filler = "nr_free_pages 1\n" * 5000
    tree.write("proc/vmstat", f"{filler[: 65536 - len('oom_kill 12') - 1]}\noom_kill 123456\n")

    assert slow().host.oom_kills is None


def test_a_fifo_in_place_of_a_file_is_not_waited_for(tree, slow):
    (tree.root / "proc/vmstat").unlink()
    os.mkfifo(tree.root / "proc/vmstat")

    assert slow().host.oom_kills is None


def test_a_device_that_vanishes_is_gone_from_the_next_reading(tree, slow):
    tree.interface("eth0")
    tree.port("mlx5_0")
    slow()
    shutil.rmtree(tree.root / "sys/class/net/eth0")
    shutil.rmtree(tree.root / "sys/class/infiniband/mlx5_0/ports/1/counters")

    assert slow().host.interfaces == ()
    assert slow().host.ports[0].counts == {}


def test_what_this_user_may_not_read_is_absent_and_told_once(tree, slow, monkeypatch):
    """Root may read everything: the kernel's answer to anybody else is put in its place."""
    tree.interface("eth0")
    real = os.open

    def refused(path, *arguments):
        if path.endswith(("tx_errors", "rx_errors")):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", refused)
    reading = slow()

    assert "receive_errors" not in reading.host.interfaces[0].counts
    assert [note for note in reading.notes if "and 1 more may not be read by this user" in note]


def test_a_read_that_hangs_costs_its_source_only_and_is_named(tree, monkeypatch):
    tree.interface("eth0")
    tree.pressure("memory", 1, 1)
    real, hang = os.open, threading.Event()

    def hanging(path, *arguments):
        if path.endswith("speed"):
            hang.wait(20.0)
        return real(path, *arguments)

    async def story():
        collector = host.build(host.Settings(root=str(tree.root), timeout=0.1))
        reasons = []
        for _ in range(2):
            with pytest.raises(SourceError) as caught:
                await collector.slow.collect(AT, None)
            reasons.append((caught.value.reason, caught.value.detail))
        told = await collector.fast.collect(AT, None)
        hang.set()
        while collector.slow._aside.busy:
            await asyncio.sleep(0.01)
        return reasons, told, await collector.slow.collect(AT, None)

    monkeypatch.setattr(os, "open", hanging)
    reasons, told, again = asyncio.run(story())

    speed = f"{tree.root}/sys/class/net/eth0/speed"
    assert reasons == [
        (Reason.TIMED_OUT, f"reading {speed} does not return"),
        (Reason.OVERLAPPED, f"{speed} has not returned from an earlier read"),
    ]
    assert told.host.stalled_seconds
    assert again.host.interfaces[0].device == "eth0"


def test_a_machine_of_very_many_slow_devices_is_asked_less_often(collector):
    usual = collector.slow.interval_seconds
    collector.slow._taken_seconds = 0.4
    dear = collector.slow.interval_seconds
    collector.slow._taken_seconds = 30.0

    assert (usual, dear, collector.slow.interval_seconds) == (5.0, pytest.approx(20.0), 60.0)


def test_what_is_slow_is_not_read_more_often_than_what_is_fast(tree):
    settings = host.Settings(root=str(tree.root), interval=30.0, slow_interval=5.0)

    assert host.build(settings).slow.interval_seconds == 30.0


def test_devices_are_configured_as_lists_of_patterns():
    settings = config.parse("collectors: {host: {devices: {include: ['eth*', ib0], virtual: true}}}", "x")
    matches = settings.collectors["host"].devices.matcher()

    assert [name for name in ("eth7", "ib0", "ib1", "lo") if matches(name)] == ["eth7", "ib0"]
    assert settings.collectors["host"].devices.virtual


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"interval": 0.0}, "interval: must be longer than 0"),
        ({"slow_interval": float("inf")}, "slow_interval: must be longer than 0"),
        ({"root": "host"}, "root: 'host' must begin with /"),
    ],
)
def test_impossible_settings_are_refused(wrong, text):
    with pytest.raises(ValueError) as caught:
        host.Settings(**wrong)
    assert str(caught.value) == text


def test_the_doctor_says_what_is_told_and_what_to_do(tree, with_gpus):
    tree.pressure("memory", 1, 1)
    tree.interface("eth0")
    tree.port("mlx5_0", state="1: DOWN", physical="2: Polling")
    tree.pci("0000:41:00.0", width=8)
    seen = with_gpus(GPU_a="00000000:41:00.0")
    found = asyncio.run(host.examine(host.Settings(root=str(tree.root)), seen))
    told = {finding.subject: (finding.level, finding.text) for finding in found}

    assert told["pressure"] == (Level.OK, "told for memory")
    assert told["network"] == (Level.OK, "eth0 up")
    assert told["InfiniBand"] == (Level.OK, "mlx5_0 port 1 down")
    assert told["GPU 0 PCIe"] == (Level.PROBLEM, "8 of 16 lanes")
    assert "wall clock" in told


def test_the_doctor_says_that_pressure_is_off_and_that_a_root_is_wrong(tree, tmp_path, with_gpus):
    without = asyncio.run(host.examine(host.Settings(root=str(tree.root)), with_gpus()))
    nowhere = asyncio.run(host.examine(host.Settings(root=str(tmp_path / "none")), with_gpus()))

    assert any(finding.level is Level.NOTE and "psi=1" in finding.text for finding in without)
    assert [finding.remedy for finding in nowhere if finding.level is Level.PROBLEM] == [
        "mend collectors.host.root or mount it"
    ]


def test_this_kernel_is_read_as_its_files_say():
    """The real machine: what the collector tells is what is there, and what is not there is absent."""
    collector = host.build(host.Settings())
    fast = asyncio.run(collector.fast.collect(AT, None))
    slow = asyncio.run(collector.slow.collect(AT, None))

    assert bool(fast.host.stalled_seconds) is Path("/proc/pressure/cpu").exists()
    assert ("oom_kill" in Path("/proc/vmstat").read_text()) is (slow.host.oom_kills is not None)
    assert slow.host.cpu_steal_seconds is not None
    assert {link.device for link in slow.host.interfaces} <= {
        path.name for path in Path("/sys/class/net").iterdir()
    }
    assert KernelClock().ask().error_bound_seconds >= 0.0


BURN = "import time\nuntil = time.monotonic() + 1.0\nwhile time.monotonic() < until: pass"


def test_more_work_than_processors_shows_as_pressure():
    """On a kernel without pressure there is nothing to see, and the note says so."""
    collector = host.build(host.Settings())
    before = asyncio.run(collector.fast.collect(AT, None))
    crowd = 2 * len(os.sched_getaffinity(0)) + 1
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(crowd)]
    for burner in burners:
        burner.wait(60.0)
    after = asyncio.run(collector.fast.collect(AT, None))

    if "psi=1" in " ".join(before.notes):
        assert not Path("/proc/pressure").exists()
        return
    waited = after.host.stalled_seconds["cpu", "some"] - before.host.stalled_seconds["cpu", "some"]
    assert waited > 0.3


def test_what_is_read_here_becomes_rows(tree, collector):
    tree.pressure("memory", 2_000_000, 1_000_000)
    tree.interface("eth0", rx_errors=4)
    reckoner = NodeReckoner("n", "", 10.0, "boot", "run")
    reckoner.expect(["host", "host/slow"])
    for source in collector.sources(None):
        reckoner.take(asyncio.run(source.collect(AT, None)), 1.0)
    told = {(row.metric, row.labels): row.value for row in rows_of(reckoner.snapshot(AT, (), {}))}

    assert told["host_pressure_stalled_seconds_total", ("memory", "some")] == 0.0
    assert told["host_network_errors_total", ("eth0", "receive")] == 0.0
    assert told["host_network_up", ("eth0",)] == 1


def until(condition):
    """Wait until a condition holds, and return what it gives."""
    ends = time.monotonic() + 15.0
    while not (found := condition()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return found


def test_the_daemon_joins_links_to_gpus_and_keeps_totals_over_a_restart(tree, tmp_path):
    """A GPU on half its lanes, by the PCI id that its driver tells; errors while rackwatt was away."""
    tree.interface("eth0", rx_errors=100)
    quick = {"interval": "200ms", "slow_interval": "200ms", "root": str(tree.root)}
    settings = {"collectors": {"nvml": {}, "host": quick}}
    with (
        FakeDriver(tmp_path, preset="gb300") as driver,
        RunningAgent(tmp_path / "agent", settings, env=driver.env) as agent,
    ):
        gpu = agent.node()["gpus"][1]
        tree.pci(sysfs_name(gpu["pci"]), width=8)
        until(lambda: agent.value("rackwatt_gpu_pcie_link_width_lanes", gpu=str(gpu["gpu"])) == 8.0)
        tree.interface("eth0", rx_errors=107)
        until(lambda: agent.value("rackwatt_host_network_errors_total", direction="receive") == 7.0)
        agent.program.stop()
        tree.interface("eth0", rx_errors=110)
        agent.start()

        assert agent.value("rackwatt_host_network_errors_total", direction="receive") == 10.0
        assert agent.value("rackwatt_gpu_pcie_link_width_lanes", gpu="0") is None
        assert "psi=1" in " ".join(agent.node()["notes"])
        shutil.rmtree(tree.root / "proc")
        failed = agent.wait_for(lambda node: not all(source["ok"] for source in node["sources"]))
        assert [source["source"] for source in failed["sources"] if not source["ok"]] == ["host"]
