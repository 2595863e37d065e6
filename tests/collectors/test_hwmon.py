"""Power meters of the kernel, on a tree like /sys: Grace's by label, RAPL with its wraps and rights."""

import asyncio
import threading
from pathlib import Path

import pytest
from fakes.power_tree import PowerTree

from agent.collectors._hwmon.acpi import part_of
from agent.collectors.hwmon import Settings, build, examine
from agent.measure.finding import Level
from agent.measure.reading import Moment, Reason, SourceError

NOW = Moment(1000.0, 1_760_001_000.0)


@pytest.fixture
def tree(tmp_path):
    """An empty tree."""
    return PowerTree(tmp_path)


@pytest.fixture
def collector(tree):
    """The collector that reads it."""
    return build(Settings(root=str(tree.root)))


def power(reading):
    return {(meter.part, meter.unit): meter.power_watts for meter in reading.meters}


def energy(reading):
    return {(meter.part, meter.unit): meter.energy_joules for meter in reading.meters}


# ---- ACPI


@pytest.mark.parametrize("hop", ["device", ""])
async def test_each_rail_of_each_grace_socket_is_told_by_its_label(tree, collector, hop):
    tree.grace(hop=hop)

    assert power(await collector.collect(NOW, None)) == {
        ("module", "0"): 490.0,
        ("grace", "0"): 104.0,
        ("cpu", "0"): 53.0,
        ("sysio", "0"): 6.25,
        ("module", "1"): 490.0,
        ("grace", "1"): 104.0,
        ("cpu", "1"): 53.0,
        ("sysio", "1"): 6.25,
    }


@pytest.mark.parametrize(
    ("label", "part", "unit"),
    [
        ("Module Power Socket 0", "module", "0"),
        ("Grace Power Socket 1", "grace", "1"),
        ("CPU Power Socket 12", "cpu", "12"),
        ("SysIO Power Socket 0", "sysio", "0"),
        ("Total Power Socket 0", "total", "0"),
        ("CPU Rail Power Socket 0", "cpu", "0"),
        ("SoC Rail Input Power Socket 1", "soc", "1"),
        ("DRAM Input Power in uW Socket 0", "dram", "0"),
        ("Fan Power Socket 0", "Fan Power Socket 0", "hwmon3"),
        ("Intel(R) Node Manager", "Intel(R) Node Manager", "hwmon3"),
        ("", "unlabelled", "hwmon3"),
    ],
)
def test_labels_of_other_firmware_are_understood_and_unknown_ones_kept(label, part, unit):
    assert part_of(label, "", "hwmon3") == (part, unit)


async def test_a_meter_is_the_nodes_only_when_the_configuration_says_so(tree):
    tree.acpi(0, "Chassis Inlet", 7100.0)
    told = build(Settings(root=str(tree.root), node_meter="Chassis Inlet"))

    assert power(await told.collect(NOW, None)) == {("node", "0"): 7100.0}


async def test_a_meter_without_a_valid_value_is_absent(tree, collector):
    tree.acpi(0, "Module Power Socket 0", None)
    tree.acpi(1, "Module Power Socket 1", 480.0)

    assert power(await collector.collect(NOW, None)) == {("module", "1"): 480.0}


async def test_sensors_of_other_drivers_are_no_meters_of_ours(tree, collector):
    tree.acpi(0, "GPU", 300.0, driver="amdgpu")
    tree.acpi(1, "Module Power Socket 1", 480.0)

    assert power(await collector.collect(NOW, None)) == {("module", "1"): 480.0}


async def test_a_mean_of_50_ms_is_noted_with_its_remedy(tree, collector):
    tree.grace(milliseconds=50)
    reading = await collector.collect(NOW, None)

    assert all(meter.unverified for meter in reading.meters)
    assert "write 1000 into power1_average_interval" in reading.notes[0]


async def test_an_acpi_meter_tells_power_and_no_counter(tree, collector):
    tree.acpi(0, "Module Power Socket 0", 480.0)
    (meter,) = (await collector.collect(NOW, None)).meters

    assert (meter.power_watts, meter.energy_joules, meter.coarse_joules) == (480.0, None, None)


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(50, 0.05), (1000, 1.0), (None, 0.0), (0, 0.0), (3_600_000, 0.0)]
)
async def test_how_long_a_mean_is_comes_with_the_reading_where_it_is_told(
    tree, collector, milliseconds, seconds
):
    tree.acpi(0, "Module Power Socket 0", 480.0, milliseconds=milliseconds)
    (meter,) = (await collector.collect(NOW, None)).meters

    assert meter.mean_seconds == seconds


async def test_a_mean_of_a_second_needs_no_note(tree, collector):
    tree.grace()
    reading = await collector.collect(NOW, None)

    assert reading.notes == ()
    assert not any(meter.unverified for meter in reading.meters)


# ---- RAPL


async def test_packages_and_their_parts_are_told_with_their_socket(tree, collector):
    tree.rapl("0", "package-0", 1000.0)
    tree.rapl("0:0", "core", 400.0)
    tree.rapl("0:1", "dram", 90.0)
    tree.rapl("1", "package-1", 2000.0)
    tree.rapl("1:0", "dram", 80.0)

    assert energy(await collector.collect(NOW, None)) == {
        ("package", "0"): 1000.0,
        ("core", "0"): 400.0,
        ("dram", "0"): 90.0,
        ("package", "1"): 2000.0,
        ("dram", "1"): 80.0,
    }


async def test_the_second_view_of_the_same_packages_is_left_out(tree, collector):
    tree.rapl("0", "package-0", 1000.0)
    again = tree.root / "class" / "powercap" / "intel-rapl-mmio:0"
    (tree.root / "class" / "powercap" / "intel-rapl:0").rename(again)
    tree.rapl("0", "package-0", 1000.0)

    assert energy(await collector.collect(NOW, None)) == {("package", "0"): 1000.0}


async def test_a_counter_that_wraps_goes_on(tree, collector):
    tree.rapl("0", "package-0", 262_100.0, range_joules=262_143.0)
    await collector.collect(NOW, None)
    tree.rapl("0", "package-0", 57.0, range_joules=262_143.0)

    assert energy(await collector.collect(NOW, None)) == {("package", "0"): pytest.approx(262_200.0)}


def deny(monkeypatch):
    opened = Path.open

    def refuse(path, *arguments, **more):
        if path.name == "energy_uj":
            raise PermissionError(path)
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)


async def test_rapl_that_only_root_may_read_is_noted_beside_what_can_be_read(tree, collector, monkeypatch):
    tree.rapl("0", "package-0", 1000.0)
    tree.acpi(0, "Module Power Socket 0", 480.0)
    deny(monkeypatch)
    reading = await collector.collect(NOW, None)

    assert power(reading) == {("module", "0"): 480.0}
    assert "readable by root only" in reading.notes[0]


async def test_rapl_alone_that_only_root_may_read_is_denied(tree, collector, monkeypatch):
    tree.rapl("0", "package-0", 1000.0)
    deny(monkeypatch)
    with pytest.raises(SourceError) as failure:
        await collector.collect(NOW, None)

    assert failure.value.reason is Reason.DENIED
    assert failure.value.detail.startswith("RAPL counters are readable by root only")


# ---- what may go wrong


async def test_a_machine_without_meters_says_what_to_do(collector):
    with pytest.raises(SourceError) as failure:
        await collector.collect(NOW, None)

    assert failure.value.reason is Reason.UNSUPPORTED
    assert "load the kernel module acpi_power_meter" in failure.value.detail


async def test_a_read_that_hangs_in_the_firmware_is_not_begun_again(tree, collector, monkeypatch):
    tree.grace()
    free = threading.Event()
    monkeypatch.setattr("agent.collectors._hwmon.acpi.Meter.watts", lambda _: free.wait(10) and None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(collector.collect(NOW, None), 0.05)
    with pytest.raises(SourceError) as failure:
        await collector.collect(NOW, None)
    free.set()

    assert failure.value.reason is Reason.OVERLAPPED


async def test_the_doctor_names_the_meters(tree):
    tree.acpi(0, "Module Power Socket 0", 480.0)
    (finding,) = await examine(Settings(root=str(tree.root)))

    assert (finding.level, finding.text) == (Level.OK, "meters: module 0")


async def test_the_doctor_says_that_there_is_none(tree):
    (finding,) = await examine(Settings(root=str(tree.root)))

    assert finding.level is Level.PROBLEM
