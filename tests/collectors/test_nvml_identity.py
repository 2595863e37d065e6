"""Where a GPU sits, read from the bytes of NVML's structs."""

import struct

import pytest

from agent.collectors._nvml.identity import parse_fabric, parse_platform


def platform(serial=b"1820000000001", numbers=(25, 15, 1, 1, 2)):
    return struct.pack("<I16s16s5B3x", 0x0200002C, b"\x80" * 16, serial, *numbers)


def test_platform_info_is_read_by_offset():
    assert parse_platform(platform()) == {
        "chassis_serial": "1820000000001",
        "slot": 25,
        "tray": 15,
        "host": 1,
        "module": 2,
    }


@pytest.mark.parametrize("serial", [b"", b"\xff" * 16])
def test_an_unknown_chassis_is_absent_t11(serial):
    assert parse_platform(platform(serial))["chassis_serial"] is None


def test_unknown_places_are_absent_t11():
    told = parse_platform(platform(numbers=(0xFF, 0xFF, 1, 0, 0)))

    assert told["slot"] is None
    assert told["tray"] is None
    assert told["host"] == 1
    assert told["module"] == 0


def fabric(uuid=b"\x5a" * 16, status=0, clique=32766, state=3, mask=0, summary=1):
    return struct.pack("<I16siIB3xIB3x", 0x03000028, uuid, status, clique, state, mask, summary)


def test_a_completed_fabric_is_a_domain():
    assert parse_fabric(fabric()) == {
        "cluster_uuid": "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a",
        "clique": 32766,
        "fabric_state": "completed",
        "fabric_healthy": True,
        "fabric_troubles": frozenset(),
    }


def test_an_all_zero_cluster_is_no_domain_t11():
    told = parse_fabric(fabric(uuid=bytes(16), clique=0))

    assert told["cluster_uuid"] is None
    assert told["clique"] is None
    assert told["fabric_state"] == "completed"


def test_a_fabric_in_progress_has_no_clique_yet():
    told = parse_fabric(fabric(state=2, summary=0))

    assert told["clique"] is None
    assert told["fabric_state"] == "in_progress"
    assert told["fabric_healthy"] is None


def test_an_older_struct_is_judged_by_its_health_mask():
    assert parse_fabric(fabric(mask=0b10)[:36])["fabric_healthy"] is True
    assert parse_fabric(fabric(mask=0b01)[:36])["fabric_healthy"] is False
    assert parse_fabric(fabric(mask=0b10 | 3 << 8)[:36])["fabric_healthy"] is False


@pytest.mark.parametrize(
    ("mask", "troubles"),
    [
        (0b10_10_10_01, {"degraded_bandwidth"}),
        (0b01_01_10_10, {"route_unhealthy", "access_timeout_recovery"}),
        (5 << 8, {"insufficient_nvlinks"}),
        (3 << 8, {"wrong_chassis_serial"}),
        (12 << 8, {"configuration_12"}),
        (1 << 8 | 0b10_10_10_10, set()),
    ],
)
def test_what_is_wrong_with_a_fabric_is_named(mask, troubles):
    told = parse_fabric(fabric(mask=mask, summary=0))

    assert told["fabric_troubles"] == troubles
    assert told["fabric_healthy"] is not bool(troubles)
