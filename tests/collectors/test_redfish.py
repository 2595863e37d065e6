"""Power and surroundings by Redfish, from controllers whose trees are written by hand."""

import contextlib
import time

import pytest
from fakes import redfish_trees as trees
from fakes.bmc import SESSIONS, Bmc

from agent.collectors._redfish.target import Boundary, Target
from agent.collectors.redfish import Settings, build, examine
from agent.measure.environment import LeakState
from agent.measure.finding import Level
from agent.measure.meter import MeterReading
from agent.measure.reading import Moment, Reason, SourceError

USER, PASSWORD = "reader", "correct horse"


def now():
    return Moment(time.monotonic(), time.time())


@pytest.fixture
def secret(tmp_path):
    """A file with the password."""
    path = tmp_path / "bmc"
    path.write_text(PASSWORD + "\n")
    return path


@contextlib.asynccontextmanager
async def reading_of(bmc, *, boundary=Boundary.NODE, settings=None, **target):
    """A collector with one target, and its source."""
    targets = (Target(url=bmc.url, boundary=boundary, name="bmc-07", **target),)
    collector = build(Settings(targets=targets, **(settings or {})))
    try:
        yield collector.sources(None)[0]
    finally:
        await collector.close()


async def told(tree, **more):
    async with Bmc(tree) as bmc, reading_of(bmc, **more) as source:
        return await source.collect(now(), None)


def watts(reading):
    found = {}
    for meter in reading.meters:
        assert isinstance(meter, MeterReading)
        found.setdefault((meter.part, meter.source), []).append(meter.power_watts)
    return found


async def failure(source):
    with pytest.raises(SourceError) as caught:
        await source.collect(now(), None)
    return caught.value


# ---- which meter


async def test_a_tray_is_its_outer_chassis_and_what_it_contains_is_not_added():
    reading = await told(trees.gb300_tray())

    assert watts(reading) == {("node", "redfish"): [6120.0], ("node", "redfish_sensor"): [6098.5]}


async def test_without_metrics_the_sensor_of_the_whole_is_the_meter_and_that_of_the_gpus_is_not():
    tree = trees.gb300_tray(None)

    assert watts(await told(tree)) == {("node", "redfish"): [6098.5]}


async def test_t7_every_other_way_is_a_cross_check_and_no_part_is_added():
    reading = await told(trees.dgx())

    assert watts(reading) == {
        ("node", "redfish"): [10_401.0],
        ("node", "redfish_power_supplies"): [1730.0, 1740.0, 1735.0, 1731.0, 1738.0, 1736.0],
        ("node", "redfish_power_control"): [10_395.0],
    }


async def test_a_counter_of_joules_is_told_and_power_without_one_is_unverified():
    reading = await told(trees.dgx())
    first, second, *_ = reading.meters

    assert (first.energy_joules, first.unverified) == (5.0e9, False)
    assert (second.energy_joules, second.unverified) == (None, True)


async def test_the_older_schema_is_understood():
    assert watts(await told(trees.old_server())) == {("node", "redfish"): [612.0]}


async def test_a_power_supply_that_does_not_tell_makes_no_sum():
    tree = trees.root("Chassis") | trees.collection(trees.CHASSIS, "1")
    tree |= trees.chassis("1", "RackMount", PowerSubsystem="PowerSubsystem", Power="Power")
    tree |= trees.supplies(f"{trees.CHASSIS}/1/PowerSubsystem", 300.0, None)
    tree[f"{trees.CHASSIS}/1/Power"] = {"PowerControl": [{"PowerConsumedWatts": 590.0}]}

    assert watts(await told(tree)) == {("node", "redfish"): [590.0]}


async def test_two_chassis_that_do_not_contain_each_other_are_not_added():
    tree = trees.root("Chassis") | trees.collection(trees.CHASSIS, "A", "B")
    for name in ("A", "B"):
        tree |= trees.chassis(name, "RackMount", EnvironmentMetrics="EnvironmentMetrics")
        tree |= trees.metrics(f"{trees.CHASSIS}/{name}/EnvironmentMetrics", 700.0)
    async with Bmc(tree) as bmc, reading_of(bmc) as source:
        error = await failure(source)

    assert error.reason is Reason.UNSUPPORTED
    assert "several chassis tell power" in error.detail
    assert "/redfish/v1/Chassis/A, /redfish/v1/Chassis/B" in error.detail


async def test_the_configuration_may_name_the_meter():
    tree = trees.gb300_tray()
    meter = f"{trees.CHASSIS}/Chassis_0/Sensors/Chassis_0_TotalHSC_Power_0"

    assert watts(await told(tree, meter=meter)) == {("node", "redfish"): [6098.5]}


async def test_an_enclosure_of_several_nodes_is_no_node():
    tree = trees.root("Chassis", "Systems") | trees.collection(trees.CHASSIS, "Enc", "Sled1")
    tree |= trees.systems(System_1="Sled1")
    tree |= trees.chassis("Enc", "Enclosure", EnvironmentMetrics="EnvironmentMetrics")
    tree |= trees.chassis("Sled1", "Sled", "Enc", EnvironmentMetrics="EnvironmentMetrics")
    tree |= trees.metrics(f"{trees.CHASSIS}/Enc/EnvironmentMetrics", 2800.0)
    tree |= trees.metrics(f"{trees.CHASSIS}/Sled1/EnvironmentMetrics", 700.0)

    assert watts(await told(tree)) == {("node", "redfish"): [700.0]}


async def test_a_total_that_only_a_report_tells_is_read_there():
    tree = trees.gb300_tray(None)
    del tree[f"{trees.CHASSIS}/Chassis_0/Sensors/Chassis_0_TotalHSC_Power_0"]
    tree[trees.V1]["TelemetryService"] = trees.to(f"{trees.V1}/TelemetryService")
    reports = f"{trees.V1}/TelemetryService/MetricReports"
    tree[f"{trees.V1}/TelemetryService"] = {"MetricReports": trees.to(reports)}
    tree |= trees.collection(reports, "Platform_0")
    sensors = f"{trees.CHASSIS}/Chassis_0/Sensors"
    tree[f"{reports}/Platform_0"] = {
        "Timestamp": "2026-11-30T04:00:00Z",
        "MetricValues": [
            {"MetricProperty": f"{sensors}/Chassis_0_TotalGPU_Power_0", "MetricValue": "4700.5"},
            {"MetricProperty": f"{sensors}/Chassis_0_TotalHSC_Power_0#/Reading", "MetricValue": "6098.5"},
        ],
    }

    assert watts(await told(tree)) == {("node", "redfish"): [6098.5]}


# ---- the rack


async def test_a_power_shelf_is_the_sum_of_its_supplies_at_their_input():
    reading = await told(trees.power_shelf(), boundary=Boundary.RACK)

    assert watts(reading) == {("rack", "redfish"): [2750.0] * 6}
    assert reading.meters[0].unit == "bmc-07/PSU0"


async def test_the_shelves_of_a_manager_are_added_and_pdus_cross_check_them():
    reading = await told(trees.rack_manager(pdus=(132_400.0,)), boundary=Boundary.RACK)

    assert watts(reading) == {
        ("rack", "redfish"): [66_000.0, 65_500.0],
        ("rack", "redfish_rack_pdus"): [132_400.0],
    }


async def test_kilowatt_hours_of_the_racks_meters_are_told_as_coarse_counters():
    reading = await told(trees.rack_manager(pdus=(132_400.0,)), boundary=Boundary.RACK)

    assert [meter.coarse_joules for meter in reading.meters] == [1234.5 * 3.6e6] * 3
    assert [meter.energy_joules for meter in reading.meters] == [None] * 3


async def test_the_count_of_a_whole_life_is_read_before_one_that_can_be_reset():
    tree = trees.rack_manager((), (4000.0,))
    place = f"{trees.V1}/PowerEquipment/RackPDUs/RackPDU0/Metrics"
    tree[place]["EnergykWh"] = {"Reading": 12.5, "LifetimeReading": 98_765.4}
    reading = await told(tree, boundary=Boundary.RACK)

    assert reading.meters[0].coarse_joules == pytest.approx(98_765.4 * 3.6e6)


async def test_a_count_of_a_whole_life_that_is_zero_is_none():
    tree = trees.rack_manager((), (4000.0,))
    place = f"{trees.V1}/PowerEquipment/RackPDUs/RackPDU0/Metrics"
    tree[place]["EnergykWh"] = {"Reading": 12.5, "LifetimeReading": 0}
    reading = await told(tree, boundary=Boundary.RACK)

    assert reading.meters[0].coarse_joules == pytest.approx(12.5 * 3.6e6)


async def test_a_meter_that_counts_joules_needs_no_kilowatt_hours():
    tree = trees.power_shelf()
    tree[f"{trees.CHASSIS}/powershelf"]["EnvironmentMetrics"] = trees.to(
        f"{trees.CHASSIS}/powershelf/EnvironmentMetrics"
    )
    told_of = {"EnergyJoules": {"Reading": 5.0e9}, "EnergykWh": {"Reading": 1388.9}}
    tree |= trees.metrics(f"{trees.CHASSIS}/powershelf/EnvironmentMetrics", 16_000.0, **told_of)
    (first, *_) = (await told(tree, boundary=Boundary.RACK)).meters

    assert (first.energy_joules, first.coarse_joules) == (5.0e9, None)


async def test_kilowatt_hours_of_a_node_are_not_read():
    """Its rack reckons windows of seconds from the node's total: steps of hours would be no window."""
    tree = trees.gb300_tray()
    tree[f"{trees.CHASSIS}/Chassis_0/EnvironmentMetrics"]["EnergykWh"] = {"Reading": 77.0}

    assert (await told(tree)).meters[0].coarse_joules is None


async def test_outlets_of_a_pdu_are_never_asked_for():
    async with (
        Bmc(trees.rack_manager((), (4000.0, 4100.0))) as bmc,
        reading_of(bmc, boundary=Boundary.RACK) as source,
    ):
        reading = await source.collect(now(), None)

    assert watts(reading) == {("rack", "redfish"): [4000.0, 4100.0]}
    assert not [line for line in bmc.asked if "Outlets" in line]


async def test_t7_a_shelf_that_falls_silent_is_told_without_power():
    tree = trees.rack_manager()
    async with Bmc(tree) as bmc, reading_of(bmc, boundary=Boundary.RACK) as source:
        await source.collect(now(), None)
        bmc.mood.statuses[f"{trees.V1}/PowerEquipment/PowerShelves/PowerShelve1/Metrics"] = 503
        reading = await source.collect(now(), None)

    assert watts(reading) == {("rack", "redfish"): [66_000.0, None]}


def test_all_targets_of_the_rack_are_named_in_each_of_its_meters():
    shelves = tuple(Target(url=f"https://pmc-{n}", boundary=Boundary.RACK) for n in (1, 2))
    collector = build(Settings(targets=(*shelves, Target(url="https://cdu", boundary=Boundary.NONE))))

    assert [source.readings for source in collector.sources(None)] == [
        ("redfish/pmc-1", "redfish/pmc-2"),
        ("redfish/pmc-1", "redfish/pmc-2"),
        ("redfish/cdu",),
    ]


# ---- air, coolant, leaks


async def test_inlets_of_the_modules_and_leak_detectors_of_a_tray_are_told():
    (air,) = (await told(trees.gb300_tray())).environment

    assert air.temperature_celsius == {
        ("intake", "HGX_ProcessorModule_0_Inlet_Temp_0"): 24.5,
        ("exhaust", "HGX_ProcessorModule_0_Exhaust_Temp_0"): 41.0,
        ("intake", "HGX_ProcessorModule_1_Inlet_Temp_0"): 25.5,
        ("exhaust", "HGX_ProcessorModule_1_Exhaust_Temp_0"): 41.0,
    }
    assert air.leaks == {
        "Chassis_0/Chassis_0_LeakDetector_0_ColdPlate": LeakState.OK,
        "Chassis_0/Chassis_0_LeakDetector_0_Manifold": LeakState.OK,
    }


async def test_the_inlet_of_a_power_supply_is_no_inlet_of_the_node():
    (air,) = (await told(trees.dgx())).environment

    assert air.temperature_celsius == {("intake", "Inlet Temp"): 22.0}
    assert air.fan_speed_ratio == {"FAN1": 0.4}


async def test_a_cooling_unit_tells_flow_heat_pressure_and_leaks_in_base_units():
    (air,) = (
        await told(trees.root("ThermalEquipment") | trees.cdu_room(), boundary=Boundary.NONE)
    ).environment

    assert air.target == "bmc-07"
    assert air.temperature_celsius == {
        ("coolant_supply", "1/Secondary1"): 30.0,
        ("coolant_return", "1/Secondary1"): 42.5,
    }
    assert air.coolant_flow_liters_per_second == {"1/Secondary1": 2.0}
    assert air.coolant_heat_watts == {"1/Secondary1": 104_500.0}
    assert air.coolant_pressure_pascals == {("supply", "1/Secondary1"): 250_000.0}
    assert air.leaks == {"1/Moisture": LeakState.CRITICAL, "1/Overflow": LeakState.OK}


async def test_surroundings_are_read_rarely_and_power_each_round():
    async with Bmc(trees.gb300_tray()) as bmc, reading_of(bmc) as source:
        for _ in range(3):
            reading = await source.collect(now(), None)
    thermal = f"{trees.CHASSIS}/HGX_ProcessorModule_0/ThermalSubsystem/ThermalMetrics"

    assert bmc.gets(f"{trees.CHASSIS}/Chassis_0/EnvironmentMetrics") == 4
    assert bmc.gets(thermal) == 2
    assert reading.environment


async def test_with_expansion_a_tray_is_looked_at_with_fewer_requests():
    async with Bmc(trees.gb300_tray()) as bmc, reading_of(bmc) as source:
        await source.collect(now(), None)
    async with Bmc(trees.gb300_tray(expands=True)) as able, reading_of(able) as source:
        able.mood.expands = True
        reading = await source.collect(now(), None)

    assert watts(reading)["node", "redfish"] == [6120.0]
    assert len(able.asked) <= len(bmc.asked) - 10


async def test_a_service_that_only_promises_expansion_is_read_without():
    assert watts(await told(trees.gb300_tray(expands=True)))["node", "redfish"] == [6120.0]


# ---- logging in


async def test_one_session_serves_all_requests_and_is_ended_on_exit(secret):
    async with Bmc(trees.old_server(), (USER, PASSWORD)) as bmc:
        async with reading_of(bmc, username=USER, password_file=str(secret)) as source:
            await source.collect(now(), None)
            await source.collect(now(), None)

            assert len(bmc.tokens) == 1
        assert bmc.tokens == {}
        assert bmc.asked.count(f"POST {SESSIONS}") == 1


async def test_a_session_that_ended_is_replaced_within_the_same_round(secret):
    async with (
        Bmc(trees.old_server(), (USER, PASSWORD)) as bmc,
        reading_of(bmc, username=USER, password_file=str(secret)) as source,
    ):
        await source.collect(now(), None)
        bmc.tokens.clear()
        reading = await source.collect(now(), None)

    assert watts(reading) == {("node", "redfish"): [612.0]}


async def test_a_new_password_is_read_from_its_file_when_the_session_ends(secret):
    async with (
        Bmc(trees.old_server(), (USER, PASSWORD)) as bmc,
        reading_of(bmc, username=USER, password_file=str(secret)) as source,
    ):
        await source.collect(now(), None)
        bmc.tokens.clear()
        bmc.login = (USER, "rotated since then")
        secret.write_text("rotated since then")
        reading = await source.collect(now(), None)

    assert watts(reading) == {("node", "redfish"): [612.0]}
    assert bmc.refused == 0


@pytest.mark.parametrize("mood", [{"sessions": 0}, {"has_sessions": False}])
async def test_where_no_session_can_be_had_each_request_carries_the_login(secret, mood):
    async with Bmc(trees.old_server(), (USER, PASSWORD)) as bmc:
        for key, value in mood.items():
            setattr(bmc.mood, key, value)
        async with reading_of(bmc, username=USER, password_file=str(secret)) as source:
            reading = await source.collect(now(), None)

    assert watts(reading) == {("node", "redfish"): [612.0]}
    assert bmc.asked.count(f"POST {SESSIONS}") == 1


async def test_without_sessions_none_is_made(secret):
    async with (
        Bmc(trees.old_server(), (USER, PASSWORD)) as bmc,
        reading_of(bmc, username=USER, password_file=str(secret), sessions=False) as source,
    ):
        await source.collect(now(), None)

    assert f"POST {SESSIONS}" not in bmc.asked


@pytest.mark.parametrize("sessions", [True, False])
async def test_a_refused_password_is_not_tried_again_until_it_changes(secret, sessions):
    secret.write_text("wrong")
    async with (
        Bmc(trees.old_server(), (USER, PASSWORD)) as bmc,
        reading_of(bmc, username=USER, password_file=str(secret), sessions=sessions) as source,
    ):
        source._retry.due = lambda _: True
        errors = [await failure(source) for _ in range(4)]

        assert {error.reason for error in errors} == {Reason.DENIED}
        assert "password_file are not accepted" in errors[-1].detail
        assert bmc.refused == 1
        secret.write_text(PASSWORD)
        assert watts(await source.collect(now(), None)) == {("node", "redfish"): [612.0]}


async def test_the_password_is_in_no_message(secret):
    secret.write_text("s3cr3t-and-wrong")
    async with (
        Bmc(trees.old_server(), (USER, PASSWORD)) as bmc,
        reading_of(bmc, username=USER, password_file=str(secret)) as source,
    ):
        assert "s3cr3t" not in (await failure(source)).detail


# ---- what is refused before the start


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"url": "http://bmc-07", "username": "u", "password_file": "/f"}, "readable on the way"),
        ({"url": "https://u:p@bmc-07"}, "name and password under username"),
        ({"url": "https://bmc-07/redfish/v1/Chassis"}, "scheme, host and port alone"),
        ({"url": "https://bmc-07", "username": "u"}, "set both or none"),
        ({"url": "https://bmc-07", "follow_redirects": True}, "nothing elsewhere"),
        ({"url": "https://pdu", "boundary": Boundary.RACK, "node": "x"}, "the BMC of a member"),
        ({"url": "https://bmc-07", "meter": "//evil/redfish/v1/x"}, "no path under /redfish/"),
    ],
)
def test_a_target_that_cannot_be_right_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        Target(**wrong)


def test_a_machine_has_one_controller():
    with pytest.raises(ValueError, match="which has one controller"):
        Settings(targets=(Target(url="https://a"), Target(url="https://b")))
    with pytest.raises(ValueError, match="two are the controller of node 'tray-07'"):
        Settings(targets=(Target(url="https://a", node="tray-07"), Target(url="https://b", node="tray-07")))


def test_a_racks_daemon_may_read_the_controllers_of_its_nodes_beside_its_own():
    own, *others = Target(url="https://own"), *(Target(url=f"https://{n}", node=f"tray-{n}") for n in "12")

    assert len(Settings(targets=(own, *others)).targets) == 3


async def test_the_meter_of_a_members_controller_says_whose_it_is():
    (first, _) = (await told(trees.gb300_tray(), node="tray-07")).meters

    assert (first.part, first.node, first.power_watts) == ("node", "tray-07", 6120.0)


# ---- the doctor


async def test_the_doctor_names_boundary_ways_and_sensors():
    async with Bmc(trees.gb300_tray()) as bmc:
        findings = await examine(Settings(targets=(Target(url=bmc.url, name="bmc-07"),)))

    assert [(each.level, each.subject) for each in findings] == [(Level.OK, "redfish/bmc-07")] * 2
    assert "NVIDIA 1.17.0: boundary node: 6120 W by environment (" in findings[0].text
    assert findings[1].text == "sensors: 4 temperatures, 2 leak detectors"


async def test_the_doctor_says_why_there_is_no_power():
    tree = trees.root("Chassis") | trees.collection(trees.CHASSIS, "1")
    tree |= trees.chassis("1", "RackMount", ThermalSubsystem="ThermalSubsystem")
    tree |= trees.thermal(f"{trees.CHASSIS}/1/ThermalSubsystem", ("Inlet", 21.0))
    async with Bmc(tree) as bmc:
        first, _ = await examine(Settings(targets=(Target(url=bmc.url, name="bmc-07"),)))

    assert (first.level, first.remedy) == (
        Level.NOTE,
        "set meter, or boundary: none for its sensors alone",
    )
