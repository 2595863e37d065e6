"""The fields of DCGM that are read: number, every name each has had, and what is made of its value.

Names: of gpu-monitoring-tools (`dcgm_power_usage`), of DCGM 2 to 4.5 (`DCGM_FI_DEV_POWER_USAGE`), and since
DCGM 4.6 (`DCGM_FI_DEV_BOARD_POWER_WATTS`). Numbers and values did not change with the names: what 4.6 calls
`DCGM_FI_DEV_GPU_UTIL_RATIO` is in percent.
"""

from __future__ import annotations

from typing import NamedTuple

MILLI, PERCENT, MEGA, MEBI, NANO = 1e-3, 0.01, 1e6, 2.0**20, 1e-9
DEV, PROF = "DCGM_FI_DEV_", "DCGM_FI_PROF_"


class DcgmField(NamedTuple):
    """One field: into which part of a GPU's reading it goes."""

    number: int
    names: tuple[str, ...]
    part: str
    """Field of GpuReading."""
    key: str | None = None
    """Place in it, when it is a mapping."""
    scale: float = 1.0
    """Of their unit, in ours."""
    whole: bool = True
    """It is of the physical GPU, and repeated for each of its MIG instances."""


def _dev(number: int, names: str, part: str, key: str | None = None, scale: float = 1.0) -> DcgmField:
    spelled = tuple(name if name.startswith("dcgm_") else DEV + name for name in names.split())
    return DcgmField(number, spelled, part, key, scale)


def _of_instance(field: DcgmField) -> DcgmField:
    return field._replace(whole=False)


def _prof(number: int, names: str, part: str, key: str) -> DcgmField:
    return DcgmField(number, tuple(PROF + name for name in names.split()), part, key, whole=False)


def _link(number: int, names: str, error: str) -> DcgmField:
    return _dev(number, " ".join(f"NVLINK_{name}" for name in names.split()), "nvlink_errors", error)


THROTTLED = (
    (240, "POWER_VIOLATION", "sw_power_cap"),
    (241, "THERMAL_VIOLATION", "thermal"),
    (242, "SYNC_BOOST_VIOLATION", "sync_boost"),
    (243, "BOARD_LIMIT_VIOLATION", "board_limit"),
    (244, "LOW_UTIL_VIOLATION", "low_utilization"),
    (245, "RELIABILITY_VIOLATION", "reliability"),
    (247, "TOTAL_BASE_CLOCKS_VIOLATION", "base_clocks"),
    (1420, "CLOCKS_EVENT_REASON_SW_POWER_CAP_NS", "sw_power_cap"),
    (1421, "CLOCKS_EVENT_REASON_SYNC_BOOST_NS", "sync_boost"),
    (1422, "CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS", "sw_thermal_slowdown"),
    (1423, "CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS", "hw_thermal_slowdown"),
    (1424, "CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS", "hw_power_brake_slowdown"),
)
"""Two of them are there twice; the later, precise ones win."""

NVLINK5_ERRORS = (
    (1204, "COUNT_RX_MALFORMED_PACKET_ERRORS RX_PACKET_MALFORMED_TOTAL", "malformed_packet"),
    (1205, "COUNT_RX_BUFFER_OVERRUN_ERRORS RX_PACKET_DROPPED_TOTAL", "buffer_overrun"),
    (1206, "COUNT_RX_ERRORS RX_ERROR_TOTAL", "receive"),
    (1207, "COUNT_RX_REMOTE_ERRORS RX_REMOTE_ERROR_TOTAL", "receive_remote"),
    (1208, "COUNT_RX_GENERAL_ERRORS RX_GENERAL_ERROR_TOTAL", "receive_general"),
    (1209, "COUNT_LOCAL_LINK_INTEGRITY_ERRORS INTEGRITY_ERROR_TOTAL", "local_link_integrity"),
    (1210, "COUNT_TX_DISCARDS", "transmit_discard"),
    (1212, "COUNT_LINK_RECOVERY_FAILED_EVENTS RECOVERY_FAILED_TOTAL", "link_recovery_failed"),
    (1213, "COUNT_LINK_RECOVERY_EVENTS RECOVERY_EVENT_TOTAL", "link_recovery"),
    (1214, "COUNT_RX_SYMBOL_ERRORS RX_SYMBOL_ERROR_TOTAL", "symbol"),
    (1219, "COUNT_EFFECTIVE_ERRORS EFFECTIVE_ERROR_TOTAL", "effective"),
)
"""From Blackwell on, added over the links; the kinds are those that NVML tells link by link."""

XID, REASONS = 230, 112
ENERGY, RECOVERY_ACTION = 156, 1523

FIELDS = (
    _dev(100, "SM_CLOCK dcgm_sm_clock", "clock_hertz", "sm", MEGA),
    _dev(101, "MEM_CLOCK dcgm_memory_clock", "clock_hertz", "memory", MEGA),
    _dev(102, "VIDEO_CLOCK", "clock_hertz", "video", MEGA),
    _dev(
        REASONS,
        "CLOCKS_EVENT_REASONS CLOCK_THROTTLE_REASONS",
        "clock_event_mask",
    ),
    _dev(140, "MEMORY_TEMP MEMORY_TEMP_CELSIUS dcgm_memory_temp", "temperature_celsius", "memory"),
    _dev(150, "GPU_TEMP GPU_TEMP_CELSIUS dcgm_gpu_temp", "temperature_celsius", "gpu"),
    _dev(153, "GPU_TEMP_LIMIT GPU_TEMP_MARGIN_CELSIUS", "thermal_margin_celsius"),
    _dev(155, "POWER_USAGE BOARD_POWER_WATTS dcgm_power_usage", "power", "average_watts"),
    _dev(157, "POWER_USAGE_INSTANT BOARD_POWER_RAW_WATTS", "power", "instant_watts"),
    _dev(164, "ENFORCED_POWER_LIMIT BOARD_POWER_LIMIT_ENFORCED_WATTS", "power_limit_watts", "gpu"),
    _dev(
        ENERGY,
        "TOTAL_ENERGY_CONSUMPTION dcgm_total_energy_consumption",
        "energy_joules",
        None,
        MILLI,
    ),
    _dev(202, "PCIE_REPLAY_COUNTER PCIE_REPLAY_TOTAL", "pcie_replays"),
    _of_instance(
        _dev(203, "GPU_UTIL GPU_UTIL_RATIO dcgm_gpu_utilization", "utilization_ratio", None, PERCENT)
    ),
    _of_instance(_dev(204, "MEM_COPY_UTIL dcgm_mem_copy_utilization", "memory_busy_ratio", None, PERCENT)),
    _of_instance(_dev(206, "ENC_UTIL dcgm_enc_utilization", "encoder_busy_ratio", None, PERCENT)),
    _of_instance(_dev(207, "DEC_UTIL dcgm_dec_utilization", "decoder_busy_ratio", None, PERCENT)),
    _dev(XID, "XID_ERRORS XID_ERROR dcgm_xid_errors", "xid"),
    *(_dev(number, name, "throttled_seconds", reason, NANO) for number, name, reason in THROTTLED),
    _of_instance(_dev(250, "FB_TOTAL", "memory_total_bytes", None, MEBI)),
    _of_instance(_dev(251, "FB_FREE dcgm_fb_free", "free_bytes", None, MEBI)),
    _of_instance(_dev(252, "FB_USED dcgm_fb_used", "memory_used_bytes", None, MEBI)),
    _of_instance(_dev(253, "FB_RESERVED", "memory_reserved_bytes", None, MEBI)),
    _dev(310, "ECC_SBE_VOL_TOTAL", "ecc_errors", "corrected"),
    _dev(311, "ECC_DBE_VOL_TOTAL", "ecc_errors", "uncorrected"),
    _dev(393, "UNCORRECTABLE_REMAPPED_ROWS ROW_REMAP_UNCORRECTABLE_TOTAL", "remapped_rows", "uncorrectable"),
    _dev(394, "CORRECTABLE_REMAPPED_ROWS ROW_REMAP_CORRECTABLE_TOTAL", "remapped_rows", "correctable"),
    _dev(395, "ROW_REMAP_FAILURE ROW_REMAP_FAILED", "remapped_rows", "failure"),
    _dev(396, "ROW_REMAP_PENDING", "remapped_rows", "pending"),
    _link(409, "CRC_FLIT_ERROR_COUNT_TOTAL CRC_FLIT_ERROR_TOTAL", "crc_flit"),
    _link(419, "CRC_DATA_ERROR_COUNT_TOTAL CRC_DATA_ERROR_TOTAL", "crc_data"),
    _link(429, "REPLAY_ERROR_COUNT_TOTAL REPLAY_ERROR_TOTAL", "replay"),
    _link(439, "RECOVERY_ERROR_COUNT_TOTAL RECOVERY_ERROR_TOTAL", "recovery"),
    _dev(1201, "NVLINK_COUNT_TX_BYTES NVLINK_TX_BYTES_TOTAL", "nvlink_bytes", "tx"),
    _dev(1203, "NVLINK_COUNT_RX_BYTES NVLINK_RX_BYTES_TOTAL", "nvlink_bytes", "rx"),
    _link(497, "ERROR_DL_CRC CRC_ERROR_TOTAL", "crc"),
    _link(498, "ERROR_DL_RECOVERY RECOVERY_TOTAL", "recovery"),
    _link(499, "ERROR_DL_REPLAY REPLAY_TOTAL", "replay"),
    *(_link(number, names, error) for number, names, error in NVLINK5_ERRORS),
    _dev(RECOVERY_ACTION, "GET_GPU_RECOVERY_ACTION GPU_RECOVERY_ACTION", "recovery_action"),
    _prof(1001, "GR_ENGINE_ACTIVE GR_ENGINE_UTIL_RATIO", "active_ratio", "graphics"),
    _prof(1002, "SM_ACTIVE SM_UTIL_RATIO", "active_ratio", "sm"),
    _prof(1003, "SM_OCCUPANCY SM_OCCUPANCY_RATIO", "active_ratio", "sm_occupancy"),
    _prof(1004, "PIPE_TENSOR_ACTIVE TENSOR_UTIL_RATIO", "active_ratio", "tensor"),
    _prof(1005, "DRAM_ACTIVE DRAM_UTIL_RATIO", "active_ratio", "dram"),
    _prof(1006, "PIPE_FP64_ACTIVE FP64_UTIL_RATIO", "active_ratio", "fp64"),
    _prof(1007, "PIPE_FP32_ACTIVE FP32_UTIL_RATIO", "active_ratio", "fp32"),
    _prof(1008, "PIPE_FP16_ACTIVE FP16_UTIL_RATIO", "active_ratio", "fp16"),
    _prof(1009, "PCIE_TX_BYTES", "link_bytes_per_second", "pcie_tx"),
    _prof(1010, "PCIE_RX_BYTES", "link_bytes_per_second", "pcie_rx"),
    _prof(1011, "NVLINK_TX_BYTES", "link_bytes_per_second", "nvlink_tx"),
    _prof(1012, "NVLINK_RX_BYTES", "link_bytes_per_second", "nvlink_rx"),
    _prof(1076, "C2C_TX_ALL_BYTES", "link_bytes_per_second", "c2c_tx"),
    _prof(1078, "C2C_RX_ALL_BYTES", "link_bytes_per_second", "c2c_rx"),
)
"""Not among them: 449 `NVLINK_BANDWIDTH_TOTAL`, which is called a counter and is a gauge of both directions
in one; and what dcgm-exporter makes itself (`DCGM_EXP_*`), counts of the last minutes that fall again."""

PROFILING = range(1001, 1100)
"""Numbers of the fields of hardware counters."""
BY_NUMBER = {field.number: field for field in FIELDS}
BY_NAME = {name: field for field in FIELDS for name in field.names}
INT32_BLANKS = range(0x7FFFFFF0, 0x80000000)
DOUBLE_BLANKS = range(2**47, 2**47 + 16)
INT64_BLANK = float(0x7FFFFFFFFFFFFFF0)


def is_blank(value: float) -> bool:
    """Tell DCGM's way of saying that there is no value: unknown, not found, not supported, not permitted."""
    return value >= INT64_BLANK or value in INT32_BLANKS or value in DOUBLE_BLANKS
