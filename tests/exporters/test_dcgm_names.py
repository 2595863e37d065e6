"""The page under dcgm-exporter's names: its names, labels and units, whole, and what is not on it."""

import dataclasses

import pytest
from fakes.prometheus import promtool_check_metrics
from prometheus_client.parser import text_string_to_metric_families

from agent.measure.gpu import GpuState, Power, PowerScope
from agent.measure.owner import GpuOwner
from exporters._dcgm_names.absent import ABSENT
from exporters._dcgm_names.fields import FIELDS
from exporters.dcgm_names import HostnameLabel, Names, Settings, build

ON_BY_DEFAULT = {
    "DCGM_FI_DEV_SM_CLOCK": "gauge",
    "DCGM_FI_DEV_MEM_CLOCK": "gauge",
    "DCGM_FI_DEV_MEMORY_TEMP": "gauge",
    "DCGM_FI_DEV_GPU_TEMP": "gauge",
    "DCGM_FI_DEV_POWER_USAGE": "gauge",
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": "counter",
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": "counter",
    "DCGM_FI_DEV_GPU_UTIL": "gauge",
    "DCGM_FI_DEV_MEM_COPY_UTIL": "gauge",
    "DCGM_FI_DEV_ENC_UTIL": "gauge",
    "DCGM_FI_DEV_DEC_UTIL": "gauge",
    "DCGM_FI_DEV_XID_ERRORS": "gauge",
    "DCGM_FI_DEV_FB_FREE": "gauge",
    "DCGM_FI_DEV_FB_USED": "gauge",
    "DCGM_FI_DEV_FB_RESERVED": "gauge",
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL": "counter",
    "DCGM_FI_DEV_VGPU_LICENSE_STATUS": "gauge",
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": "counter",
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": "counter",
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": "gauge",
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": "gauge",
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "gauge",
    "DCGM_FI_PROF_DRAM_ACTIVE": "gauge",
    "DCGM_FI_PROF_PCIE_TX_BYTES": "gauge",
    "DCGM_FI_PROF_PCIE_RX_BYTES": "gauge",
}
"""What dcgm-exporter's etc/default-counters.csv switches on (NVIDIA/dcgm-exporter, d5e5f51), by type."""

OFF_BY_DEFAULT = {
    "DCGM_FI_DEV_POWER_VIOLATION",
    "DCGM_FI_DEV_THERMAL_VIOLATION",
    "DCGM_FI_DEV_SYNC_BOOST_VIOLATION",
    "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION",
    "DCGM_FI_DEV_LOW_UTIL_VIOLATION",
    "DCGM_FI_DEV_RELIABILITY_VIOLATION",
    "DCGM_EXP_CLOCK_EVENTS_COUNT",
    "DCGM_EXP_XID_ERRORS_COUNT",
    "DCGM_EXP_GPU_HEALTH_STATUS",
    "DCGM_EXP_P2P_STATUS",
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
    "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL",
    "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL",
    "DCGM_FI_DEV_RETIRED_SBE",
    "DCGM_FI_DEV_RETIRED_DBE",
    "DCGM_FI_DEV_RETIRED_PENDING",
    "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL",
    "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL",
    "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL",
    "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL",
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_L0",
    "DCGM_FI_NVML_VERSION",
    "DCGM_FI_DEV_BRAND",
    "DCGM_FI_DEV_SERIAL",
    "DCGM_FI_DEV_OEM_INFOROM_VER",
    "DCGM_FI_DEV_ECC_INFOROM_VER",
    "DCGM_FI_DEV_POWER_INFOROM_VER",
    "DCGM_FI_DEV_INFOROM_IMAGE_VER",
    "DCGM_FI_DEV_VBIOS_VERSION",
    "DCGM_FI_PROF_SM_ACTIVE",
    "DCGM_FI_PROF_SM_OCCUPANCY",
    "DCGM_FI_PROF_PIPE_FP64_ACTIVE",
    "DCGM_FI_PROF_PIPE_FP32_ACTIVE",
    "DCGM_FI_PROF_PIPE_FP16_ACTIVE",
}
"""What the same file holds and leaves off."""

LINK_ERRORS = (
    "crc_flit", "crc_data", "replay", "recovery", "crc", "malformed_packet", "buffer_overrun", "receive",
    "receive_remote", "receive_general", "local_link_integrity", "transmit_discard", "link_recovery_failed",
    "link_recovery", "symbol", "effective",
)  # fmt: skip
"""Of Hopper and of Blackwell in one: no GPU tells all."""

RENAMED = {
    140: ("DCGM_FI_DEV_MEMORY_TEMP", "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS"),
    150: ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS"),
    153: ("DCGM_FI_DEV_GPU_TEMP_LIMIT", "DCGM_FI_DEV_GPU_TEMP_MARGIN_CELSIUS"),
    155: ("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS"),
    157: ("DCGM_FI_DEV_POWER_USAGE_INSTANT", "DCGM_FI_DEV_BOARD_POWER_RAW_WATTS"),
    164: ("DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS"),
    202: ("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "DCGM_FI_DEV_PCIE_REPLAY_TOTAL"),
    203: ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO"),
    230: ("DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_XID_ERROR"),
    254: ("DCGM_FI_DEV_FB_USED_PERCENT", "DCGM_FI_DEV_FB_USED_RATIO"),
    393: ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL"),
    394: ("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL"),
    395: ("DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_ROW_REMAP_FAILED"),
    409: ("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL"),
    419: ("DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL"),
    429: ("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL"),
    439: ("DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL"),
    497: ("DCGM_FI_DEV_NVLINK_ERROR_DL_CRC", "DCGM_FI_DEV_NVLINK_CRC_ERROR_TOTAL"),
    1201: ("DCGM_FI_DEV_NVLINK_COUNT_TX_BYTES", "DCGM_FI_DEV_NVLINK_TX_BYTES_TOTAL"),
    1203: ("DCGM_FI_DEV_NVLINK_COUNT_RX_BYTES", "DCGM_FI_DEV_NVLINK_RX_BYTES_TOTAL"),
    1204: (
        "DCGM_FI_DEV_NVLINK_COUNT_RX_MALFORMED_PACKET_ERRORS",
        "DCGM_FI_DEV_NVLINK_RX_PACKET_MALFORMED_TOTAL",
    ),
    1205: ("DCGM_FI_DEV_NVLINK_COUNT_RX_BUFFER_OVERRUN_ERRORS", "DCGM_FI_DEV_NVLINK_RX_PACKET_DROPPED_TOTAL"),
    1206: ("DCGM_FI_DEV_NVLINK_COUNT_RX_ERRORS", "DCGM_FI_DEV_NVLINK_RX_ERROR_TOTAL"),
    1207: ("DCGM_FI_DEV_NVLINK_COUNT_RX_REMOTE_ERRORS", "DCGM_FI_DEV_NVLINK_RX_REMOTE_ERROR_TOTAL"),
    1208: ("DCGM_FI_DEV_NVLINK_COUNT_RX_GENERAL_ERRORS", "DCGM_FI_DEV_NVLINK_RX_GENERAL_ERROR_TOTAL"),
    1209: (
        "DCGM_FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS",
        "DCGM_FI_DEV_NVLINK_INTEGRITY_ERROR_TOTAL",
    ),
    1212: (
        "DCGM_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS",
        "DCGM_FI_DEV_NVLINK_RECOVERY_FAILED_TOTAL",
    ),
    1213: ("DCGM_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS", "DCGM_FI_DEV_NVLINK_RECOVERY_EVENT_TOTAL"),
    1214: ("DCGM_FI_DEV_NVLINK_COUNT_RX_SYMBOL_ERRORS", "DCGM_FI_DEV_NVLINK_RX_SYMBOL_ERROR_TOTAL"),
    1219: ("DCGM_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS", "DCGM_FI_DEV_NVLINK_EFFECTIVE_ERROR_TOTAL"),
    1001: ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO"),
    1002: ("DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_SM_UTIL_RATIO"),
    1003: ("DCGM_FI_PROF_SM_OCCUPANCY", "DCGM_FI_PROF_SM_OCCUPANCY_RATIO"),
    1004: ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_TENSOR_UTIL_RATIO"),
    1005: ("DCGM_FI_PROF_DRAM_ACTIVE", "DCGM_FI_PROF_DRAM_UTIL_RATIO"),
    1006: ("DCGM_FI_PROF_PIPE_FP64_ACTIVE", "DCGM_FI_PROF_FP64_UTIL_RATIO"),
    1007: ("DCGM_FI_PROF_PIPE_FP32_ACTIVE", "DCGM_FI_PROF_FP32_UTIL_RATIO"),
    1008: ("DCGM_FI_PROF_PIPE_FP16_ACTIVE", "DCGM_FI_PROF_FP16_UTIL_RATIO"),
}
"""Of the fields that we tell, those that DCGM 4.6 renamed (NVIDIA/DCGM, dcgmlib/dcgm_fields.h, v4.6.0)."""

NOT_RENAMED = {
    100: "DCGM_FI_DEV_SM_CLOCK",
    101: "DCGM_FI_DEV_MEM_CLOCK",
    112: "DCGM_FI_DEV_CLOCKS_EVENT_REASONS",
    156: "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    204: "DCGM_FI_DEV_MEM_COPY_UTIL",
    206: "DCGM_FI_DEV_ENC_UTIL",
    207: "DCGM_FI_DEV_DEC_UTIL",
    240: "DCGM_FI_DEV_POWER_VIOLATION",
    241: "DCGM_FI_DEV_THERMAL_VIOLATION",
    242: "DCGM_FI_DEV_SYNC_BOOST_VIOLATION",
    243: "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION",
    244: "DCGM_FI_DEV_LOW_UTIL_VIOLATION",
    245: "DCGM_FI_DEV_RELIABILITY_VIOLATION",
    247: "DCGM_FI_DEV_TOTAL_BASE_CLOCKS_VIOLATION",
    250: "DCGM_FI_DEV_FB_TOTAL",
    251: "DCGM_FI_DEV_FB_FREE",
    252: "DCGM_FI_DEV_FB_USED",
    253: "DCGM_FI_DEV_FB_RESERVED",
    310: "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
    311: "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
    396: "DCGM_FI_DEV_ROW_REMAP_PENDING",
    1210: "DCGM_FI_DEV_NVLINK_COUNT_TX_DISCARDS",
    1009: "DCGM_FI_PROF_PCIE_TX_BYTES",
    1010: "DCGM_FI_PROF_PCIE_RX_BYTES",
    1011: "DCGM_FI_PROF_NVLINK_TX_BYTES",
    1012: "DCGM_FI_PROF_NVLINK_RX_BYTES",
    1420: "DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS",
    1421: "DCGM_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST_NS",
    1422: "DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS",
    1423: "DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS",
    1424: "DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS",
}
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@pytest.fixture
def talkative_gpu(well_gpu):
    """A GPU that tells every field."""
    reasons = {
        "sw_power_cap": 12.5,
        "thermal": 3.0,
        "sync_boost": 0.0,
        "board_limit": 0.25,
        "low_utilization": 0.0,
        "reliability": 0.0,
        "base_clocks": 0.0,
        "sw_thermal_slowdown": 1.0,
        "hw_thermal_slowdown": 2.0,
        "hw_power_brake_slowdown": 0.0,
    }
    reading = dataclasses.replace(
        well_gpu.reading,
        memory_busy_ratio=0.58,
        active_ratio={
            "graphics": 0.99,
            "sm": 0.87,
            "sm_occupancy": 0.31,
            "tensor": 0.41,
            "dram": 0.65,
            "fp64": 0.0,
            "fp32": 0.08,
            "fp16": 0.02,
        },
        link_bytes_per_second={
            "pcie_tx": 1.25e6,
            "pcie_rx": 2.5e6,
            "nvlink_tx": 4.01e11,
            "nvlink_rx": 3.98e11,
            "c2c_tx": 1e9,
        },
        encoder_busy_ratio=0.0,
        decoder_busy_ratio=0.12,
        memory_reserved_bytes=947 * 2**20,
        memory_total_bytes=284_208 * 2**20,
        memory_used_bytes=200_000 * 2**20 + 1,
        clock_event_mask=0x4,
        ecc_errors={"corrected": 40, "uncorrected": 1},
        remapped_rows={"correctable": 5, "uncorrectable": 2, "pending": 1, "failure": 0},
        pcie_replays=17,
        last_xid=94,
    )
    errors = dict.fromkeys(LINK_ERRORS, 3)
    return dataclasses.replace(
        well_gpu, reading=reading, throttled_seconds_total=reasons, nvlink_errors_total=errors
    )


@pytest.fixture
def node(snapshot, talkative_gpu, lost_gpu, silent_gpu):
    """A node with a GPU that tells everything, one that fell off the bus, one whose source failed."""
    lost = dataclasses.replace(lost_gpu, reading=dataclasses.replace(lost_gpu.reading, last_xid=79))
    return dataclasses.replace(snapshot, gpus=(talkative_gpu, lost, silent_gpu))


def page_of(node, **settings):
    body, content_type = build(Settings(**settings)).render(node, "application/openmetrics-text")
    assert content_type == TEXT
    return body.decode()


def series(page, name):
    """The samples of one name: labels and value. The reader puts `_total` after the name of each counter."""
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.removesuffix("_total") == name
    ]


def value(page, name):
    (found,) = series(page, name)
    return found[1]


def names_on(page):
    return {line.split("{")[0] for line in page.splitlines() if not line.startswith("#")}


def with_reading(node, **changes):
    gpu = node.gpus[0]
    changed = dataclasses.replace(gpu, reading=dataclasses.replace(gpu.reading, **changes))
    return dataclasses.replace(node, gpus=(changed,))


def test_the_page_of_a_node_is_the_golden_one(node, hold_against):
    page = page_of(node)

    assert page == hold_against(page, "rich_node.dcgm")


def test_every_field_that_dcgm_exporter_may_show_is_told_or_said_to_be_absent():
    told = {field.old for field in FIELDS}
    listed = {*ON_BY_DEFAULT, *OFF_BY_DEFAULT}

    assert listed - told - ABSENT.keys() == set()
    assert told & ABSENT.keys() == set()


def test_a_gpu_that_tells_everything_shows_every_field_of_the_table(node):
    assert names_on(page_of(node)) == {field.old for field in FIELDS}


def test_what_is_said_to_be_absent_is_absent(node):
    page = page_of(node, names=Names.BOTH)

    assert [name for name in ABSENT if name in page] == []


def test_types_are_those_of_dcgm_exporter():
    types = {field.old: field.type for field in FIELDS}

    assert {name: types[name] for name in ON_BY_DEFAULT if name in types} == {
        name: kind for name, kind in ON_BY_DEFAULT.items() if name in types
    }


def test_numbers_and_both_names_are_those_of_dcgm():
    of_dcgm3 = (112, "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS")
    told = {(field.number, field.old, field.new) for field in FIELDS} - {of_dcgm3}

    assert told == {(number, old, new) for number, (old, new) in RENAMED.items()} | {
        (number, name, name) for number, name in NOT_RENAMED.items()
    }


def test_values_are_in_the_units_of_dcgm_exporter(node):
    page = page_of(node)

    assert value(page, "DCGM_FI_DEV_SM_CLOCK") == 1920  # MHz
    assert value(page, "DCGM_FI_DEV_POWER_USAGE") == 1033.5  # W
    assert value(page, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == 123_456_500  # mJ
    assert value(page, "DCGM_FI_DEV_GPU_UTIL") == 98  # percent
    assert value(page, "DCGM_FI_DEV_FB_USED") == 200_000  # MiB
    assert value(page, "DCGM_FI_DEV_FB_FREE") == 284_208 - 200_000 - 947 - 1  # MiB, cut off
    assert value(page, "DCGM_FI_DEV_POWER_VIOLATION") == 12_500_000_000  # ns
    assert value(page, "DCGM_FI_DEV_GPU_TEMP") == 61  # celsius


def test_the_new_name_of_utilisation_is_in_percent_as_well(node):
    """DCGM 4.6 calls it a ratio and gives percent all the same."""
    assert value(page_of(node, names=Names.NEW), "DCGM_FI_DEV_GPU_UTIL_RATIO") == 98


def test_used_memory_as_a_share_is_a_ratio(node):
    share = value(page_of(node), "DCGM_FI_DEV_FB_USED_PERCENT")

    assert share == pytest.approx(200_000 / (284_208 - 947), rel=1e-6)


def test_integers_of_dcgm_are_integers(node):
    lines = [line for line in page_of(node).splitlines() if not line.startswith("#")]
    fractions = {line.split("{")[0] for line in lines if "." in line.rpartition(" ")[2]}

    assert fractions == {
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_POWER_USAGE_INSTANT",
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT",
        "DCGM_FI_DEV_FB_USED_PERCENT",
        *(old for old, new in RENAMED.values() if old.startswith("DCGM_FI_PROF_")),
    }


def test_t1_energy_is_our_total_not_the_drivers_counter(node):
    assert node.gpus[0].reading.energy_joules == 9.0e9
    assert value(page_of(node), "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == 123_456.5 * 1000


def test_errors_are_the_drivers_own_counts_because_alerts_compare_them_with_0(node):
    """`> 0` has to hold of a GPU that had its error before rackwatt was installed."""
    assert node.gpus[0].ecc_errors_total["uncorrected"] == 0
    assert value(page_of(node), "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL") == 1


def test_labels_are_those_of_dcgm_exporter_in_its_order(node):
    line = next(line for line in page_of(node).splitlines() if line.startswith("DCGM_FI_DEV_SM_CLOCK{"))

    assert line == (
        'DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU-aa",pci_bus_id="00000008:06:00.0",device="nvidia0",'
        'modelName="NVIDIA GB300",Hostname="tray-07",DCGM_FI_DRIVER_VERSION="580.95.05"} 1920'
    )


def test_the_label_of_the_node_is_spelt_as_is_wanted(node):
    (labels, _) = series(page_of(node, hostname_label=HostnameLabel.SMALL), "DCGM_FI_DEV_SM_CLOCK")[0]

    assert labels["hostname"] == "tray-07"
    assert "Hostname" not in labels


def test_the_device_is_the_file_of_the_driver(node):
    identity = dataclasses.replace(node.gpus[0].reading.identity, minor=3)
    (labels, _) = series(page_of(with_reading(node, identity=identity)), "DCGM_FI_DEV_SM_CLOCK")[0]

    assert (labels["gpu"], labels["device"]) == ("0", "nvidia3")


def test_label_values_are_escaped_and_read_back(node):
    name = 'NVIDIA "GB300"\\tray\n{x="1"} 5'
    identity = dataclasses.replace(node.gpus[0].reading.identity, product=name)
    page = page_of(with_reading(node, identity=identity))

    assert {labels["modelName"] for labels, _ in series(page, "DCGM_FI_DEV_SM_CLOCK")} == {name}
    assert len(series(page, "DCGM_FI_DEV_SM_CLOCK")) == 1


@pytest.mark.parametrize("names", list(Names))
def test_each_family_is_there_once_with_its_type(node, names):
    page = page_of(node, names=names)
    types = [line for line in page.splitlines() if line.startswith("# TYPE ")]
    samples = [line.rpartition(" ")[0] for line in page.splitlines() if not line.startswith("#")]

    assert len(types) == len({line.split()[2] for line in types})
    assert len(samples) == len(set(samples))


def test_the_new_names_are_those_of_4_6(node):
    assert names_on(page_of(node, names=Names.NEW)) == {field.new for field in FIELDS}


def test_both_are_the_old_and_the_new_names(node):
    assert names_on(page_of(node, names=Names.BOTH)) == {
        name for field in FIELDS for name in (field.old, field.new)
    }


def test_counters_keep_their_names_whatever_is_accepted(node):
    """In OpenMetrics they would have to end in `_total`, which no dashboard of dcgm-exporter expects."""
    body, content_type = build(Settings()).render(node, "application/openmetrics-text;version=1.0.0")

    assert content_type == TEXT
    assert b"\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{" in body
    assert b"# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n" in body


def test_promtool_can_read_the_page(node):
    status, said = promtool_check_metrics(page_of(node, names=Names.BOTH))

    assert status != 1, said  # 3 is its taste in names, which are DCGM's


def test_t15_a_gpu_that_is_lost_shows_its_last_xid_and_nothing_else(node):
    page = page_of(node)
    shown = {line.split("{")[0] for line in page.splitlines() if 'UUID="GPU-bb"' in line}

    assert shown == {"DCGM_FI_DEV_XID_ERRORS"}
    assert series(page, "DCGM_FI_DEV_XID_ERRORS")[1][1] == 79


def test_a_gpu_whose_source_failed_is_not_on_the_page(node):
    assert 'gpu="2"' not in page_of(node)


def test_an_xid_tells_its_number_and_what_it_means(node):
    told = [
        (labels["err_code"], labels["err_msg"])
        for labels, _ in series(page_of(node), "DCGM_FI_DEV_XID_ERRORS")
    ]

    assert told == [("94", "contained memory error: its application ends"), ("79", "fell off the bus")]


def test_no_xid_yet_is_0_and_one_that_nobody_would_tell_is_absent(node):
    none = series(page_of(with_reading(node, last_xid=0)), "DCGM_FI_DEV_XID_ERRORS")
    unknown = series(page_of(with_reading(node, last_xid=None)), "DCGM_FI_DEV_XID_ERRORS")

    assert [(labels["err_code"], labels["err_msg"], value) for labels, value in none] == [
        ("0", "No Error", 0)
    ]
    assert unknown == []


def test_an_xid_without_words_of_ours_has_its_number(node):
    (labels, _) = series(page_of(with_reading(node, last_xid=999)), "DCGM_FI_DEV_XID_ERRORS")[0]

    assert labels["err_msg"] == "Xid 999, see the driver's list of Xids"


def test_t4_what_is_unknown_is_absent_and_never_0(node):
    bare = dataclasses.replace(
        node.gpus[0],
        energy_joules_total=None,
        throttled_seconds_total={},
        nvlink_errors_total={},
        nvlink_bytes_total={},
        reading=type(node.gpus[0].reading)(node.gpus[0].reading.identity, node.gpus[0].reading.at),
    )

    assert page_of(dataclasses.replace(node, gpus=(bare,))) == ""


def test_zero_is_zero(node):
    page = page_of(with_reading(node, utilization_ratio=0.0, power={PowerScope.GPU: Power(0.0)}))

    assert (value(page, "DCGM_FI_DEV_GPU_UTIL"), value(page, "DCGM_FI_DEV_POWER_USAGE")) == (0, 0)


def test_free_memory_of_an_old_driver_counts_what_is_reserved_as_used(node):
    page = page_of(
        with_reading(
            node, memory_total_bytes=100 * 2**20, memory_used_bytes=30 * 2**20, memory_reserved_bytes=None
        )
    )

    assert value(page, "DCGM_FI_DEV_FB_FREE") == 70
    assert not {"DCGM_FI_DEV_FB_RESERVED", "DCGM_FI_DEV_FB_USED_PERCENT"} & names_on(page)


def test_a_node_without_gpus_has_an_empty_page(node):
    assert page_of(dataclasses.replace(node, gpus=())) == ""


@pytest.mark.parametrize("state", [state for state in GpuState if state is not GpuState.OK])
def test_t15_no_state_but_ok_shows_figures(node, state):
    assert names_on(page_of(with_reading(node, state=state))) == {"DCGM_FI_DEV_XID_ERRORS"}


def owned(node, *owners):
    return dataclasses.replace(node, owners=tuple(GpuOwner("GPU-aa", *owner) for owner in owners))


def owner_labels(node, **settings):
    (labels, _) = series(page_of(node, **settings), "DCGM_FI_DEV_SM_CLOCK")[0]
    return {name: labels[name] for name in ("pod", "namespace", "hpc_job") if name in labels}


def test_the_pod_of_a_gpu_is_a_label_where_it_is_wanted(node):
    served = owned(node, ("", "serving", "llama-0", ""))

    assert owner_labels(served) == {}
    assert owner_labels(served, kubernetes=True) == {"pod": "llama-0", "namespace": "serving"}


def test_two_processes_of_one_pod_are_one_owner(node):
    served = owned(node, ("", "serving", "llama-0", ""), ("", "serving", "llama-0", ""))

    assert owner_labels(served, kubernetes=True) == {"pod": "llama-0", "namespace": "serving"}


def test_a_gpu_that_is_shared_is_no_pods(node):
    shared = owned(node, ("", "serving", "llama-0", ""), ("", "serving", "llama-1", ""))
    with_a_stranger = owned(node, ("", "serving", "llama-0", ""), ("", "", "", "4711"))

    assert owner_labels(shared, kubernetes=True) == {}
    assert owner_labels(with_a_stranger, kubernetes=True) == {}


def test_a_part_of_a_gpu_that_a_pod_uses_makes_not_the_whole_its_own(node):
    assert owner_labels(owned(node, ("MIG-1", "serving", "llama-0", "")), kubernetes=True) == {}


def test_a_pod_of_another_gpu_is_not_told(node):
    other = dataclasses.replace(node, owners=(GpuOwner("GPU-bb", "", "serving", "llama-0"),))

    assert owner_labels(other, kubernetes=True) == {}


def test_the_job_of_a_batch_system_is_a_label_where_it_is_wanted(node):
    batch = owned(node, ("", "", "", "4711"))

    assert owner_labels(batch, kubernetes=True) == {}
    assert owner_labels(batch, hpc_job=True) == {"hpc_job": "4711"}


def test_the_page_of_one_snapshot_is_rendered_once(node):
    renderer = build(Settings())
    first, _ = renderer.render(node, "")
    again, _ = renderer.render(node, "text/plain")
    later, _ = renderer.render(dataclasses.replace(node, sequence=node.sequence + 1, gpus=()), "")

    assert again is first
    assert later == b""


def test_the_page_can_be_where_dcgm_exporters_is():
    assert build(Settings(path="/metrics")).path == "/metrics"
    with pytest.raises(ValueError, match="path: '/-/ready' must begin with / and not be one of"):
        Settings(path="/-/ready")
