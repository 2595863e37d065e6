"""DCGM's fields of hardware counters (`DCGM_FI_PROF_*`): ratios from 0 to 1, and bytes per second."""

from __future__ import annotations

from exporters._dcgm_names.field import DcgmField, activity, traffic

GPM = "NVML's GPM (Hopper and later), else another collector's page"
NO_GPM = "absent on GPUs before Hopper, unless `collectors.dcgm_exporter` tells it"

PROFILING = (
    *(
        DcgmField(
            number,
            f"DCGM_FI_PROF_{old}",
            "gauge",
            "ratio",
            doc,
            activity(unit),
            GPM,
            renamed=f"DCGM_FI_PROF_{new}",
            differs=NO_GPM,
        )
        for number, old, new, unit, doc in (
            (
                1001,
                "GR_ENGINE_ACTIVE",
                "GR_ENGINE_UTIL_RATIO",
                "graphics",
                "Share of time in which anything computed.",
            ),
            (1002, "SM_ACTIVE", "SM_UTIL_RATIO", "sm", "Share of time in which an SM had work, mean of all."),
            (1003, "SM_OCCUPANCY", "SM_OCCUPANCY_RATIO", "sm_occupancy", "Warps in the SMs, of what fits."),
            (
                1004,
                "PIPE_TENSOR_ACTIVE",
                "TENSOR_UTIL_RATIO",
                "tensor",
                "Share of cycles in which a tensor pipe worked.",
            ),
            (1005, "DRAM_ACTIVE", "DRAM_UTIL_RATIO", "dram", "Traffic of the memory, of what it can carry."),
            (1006, "PIPE_FP64_ACTIVE", "FP64_UTIL_RATIO", "fp64", "Share of cycles of the FP64 pipe."),
            (1007, "PIPE_FP32_ACTIVE", "FP32_UTIL_RATIO", "fp32", "Share of cycles of the FP32 pipe."),
            (1008, "PIPE_FP16_ACTIVE", "FP16_UTIL_RATIO", "fp16", "Share of cycles of the FP16 pipe."),
        )
    ),
    *(
        DcgmField(
            number,
            f"DCGM_FI_PROF_{name}",
            "gauge",
            "bytes/s",
            doc,
            traffic(way),
            GPM,
            differs=NO_GPM,
        )
        for number, name, way, doc in (
            (1009, "PCIE_TX_BYTES", "pcie_tx", "Sent over PCIe by the GPU."),
            (1010, "PCIE_RX_BYTES", "pcie_rx", "Received over PCIe by the GPU."),
            (1011, "NVLINK_TX_BYTES", "nvlink_tx", "Sent over NVLink by the GPU."),
            (1012, "NVLINK_RX_BYTES", "nvlink_rx", "Received over NVLink by the GPU."),
        )
    ),
)
