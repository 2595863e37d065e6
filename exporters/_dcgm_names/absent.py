"""What dcgm-exporter may export and we do not, each with its reason: these names are never on our page."""

LABEL = "a label that is off by default there; `rackwatt_gpu_info` has the serial number"
RETIRED = (
    "row remapping replaced retired pages from Ampere on: see `DCGM_FI_DEV_ROW_REMAP_PENDING` and `_FAILURE`"
)
AGGREGATE = "lifetime counts are not read; `rackwatt_gpu_ecc_errors_total` outlives reloads of the driver"
WINDOWED = "called a counter there, and is a count of the last minutes that falls again; "

ABSENT = {
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL": (
        "called a counter there, and is a gauge of MB/s; ask `rate(rackwatt_gpu_nvlink_bytes_total[1m])`"
    ),
    "DCGM_FI_DEV_NVLINK_BANDWIDTH_L0": "not read",
    "DCGM_FI_DEV_VGPU_LICENSE_STATUS": "concerns vGPU guests, which rackwatt is not for",
    "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL": AGGREGATE,
    "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL": AGGREGATE,
    "DCGM_FI_DEV_RETIRED_SBE": RETIRED,
    "DCGM_FI_DEV_RETIRED_DBE": RETIRED,
    "DCGM_FI_DEV_RETIRED_PENDING": RETIRED,
    "DCGM_EXP_XID_ERRORS_COUNT": WINDOWED + "ask `increase(rackwatt_gpu_xid_errors_total[5m])`",
    "DCGM_EXP_CLOCK_EVENTS_COUNT": WINDOWED + "ask `rate(rackwatt_gpu_throttled_seconds_total[5m])`",
    "DCGM_EXP_GPU_HEALTH_STATUS": "DCGM's own judgement; ours is `rackwatt_gpu_state`",
    "DCGM_EXP_P2P_STATUS": "not read",
    "DCGM_FI_NVML_VERSION": LABEL,
    "DCGM_FI_DEV_BRAND": LABEL,
    "DCGM_FI_DEV_SERIAL": LABEL,
    "DCGM_FI_DEV_OEM_INFOROM_VER": LABEL,
    "DCGM_FI_DEV_ECC_INFOROM_VER": LABEL,
    "DCGM_FI_DEV_POWER_INFOROM_VER": LABEL,
    "DCGM_FI_DEV_INFOROM_IMAGE_VER": LABEL,
    "DCGM_FI_DEV_VBIOS_VERSION": LABEL,
}
