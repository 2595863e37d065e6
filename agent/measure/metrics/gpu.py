"""One GPU: power, energy, use, clocks, heat, errors and links."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C = MetricType.GAUGE, MetricType.COUNTER

METRICS: tuple[Metric, ...] = (
    Metric("gpu_info", _G, ("gpu", "uuid", "product", "serial", "pci", "driver"), "1; who a GPU is."),
    Metric(
        "gpu_owner_info",
        _G,
        ("gpu", "mig", "namespace", "pod", "job_id"),
        "1; who uses a GPU, by the control groups of its processes: a pod (by its UID where the cluster is "
        "not asked), a Slurm job; on a divided GPU its instance (`1/0`). A row for each of several; join it "
        "to other series by `gpu`.",
    ),
    Metric(
        "gpu_source_info",
        _G,
        ("gpu", "figure", "source"),
        "1; which collector tells of a GPU, and of which figures another one does.",
    ),
    Metric("gpu_up", _G, ("gpu",), "1 while a known GPU answers its driver."),
    Metric(
        "gpu_state",
        _G,
        ("gpu", "state"),
        "1 for how a GPU stands: ok, lost, reset_required, wedged (a driver call hangs), failed, unknown.",
    ),
    Metric("gpu_power_watts", _G, ("gpu",), "Mean power of the last second, memory included."),
    Metric(
        "gpu_power_instant_watts",
        _G,
        ("gpu",),
        "Power over a short window of the driver's; aliases with periodic load, do not integrate.",
    ),
    Metric("gpu_memory_power_watts", _G, ("gpu",), "Mean power of the memory: a part of gpu_power_watts."),
    Metric("gpu_power_limit_watts", _G, ("gpu",), "Enforced power limit."),
    Metric(
        "gpu_module_power_limit_watts",
        _G,
        ("gpu",),
        "Enforced power limit of the superchip that a GPU sits on; both of its GPUs tell the same one.",
    ),
    Metric(
        "gpu_energy_joules_total",
        _C,
        ("gpu",),
        "Energy by the driver's own counter, since the GPU was first seen; survives restarts and resets.",
    ),
    Metric(
        "gpu_energy_integrated_joules_total",
        _C,
        ("gpu",),
        "Energy integrated from mean power by the trapezoid rule, over gaps of at most 3 s.",
    ),
    Metric(
        "gpu_energy_crosscheck",
        _G,
        ("gpu", "verdict"),
        "1 for what 60 s windows of counter against integrated power say: unknown, agrees, mismatch, "
        "unverified.",
    ),
    Metric("gpu_utilization_ratio", _G, ("gpu",), "Share of time in which at least one kernel ran."),
    Metric("gpu_sm_active_ratio", _G, ("gpu",), "Share of time in which an SM had work, mean of all SMs."),
    Metric("gpu_sm_occupancy_ratio", _G, ("gpu",), "Warps in the SMs, as a share of what fits."),
    Metric("gpu_tensor_active_ratio", _G, ("gpu",), "Share of its cycles in which any tensor pipe worked."),
    Metric(
        "gpu_memory_bandwidth_ratio", _G, ("gpu",), "Traffic of the memory, as a share of what it can carry."
    ),
    Metric(
        "gpu_unit_active_ratio",
        _G,
        ("gpu", "unit"),
        "Share of its cycles in which a unit worked: graphics, fp64, fp32, fp16.",
    ),
    Metric(
        "gpu_link_bytes_per_second",
        _G,
        ("gpu", "link", "direction"),
        "Traffic now, as the GPU sees it: nvlink, pcie, c2c (to the CPU of its superchip); tx, rx.",
    ),
    Metric(
        "gpu_memory_used_bytes", _G, ("gpu",), "Memory in use, without what the driver reserves if it tells."
    ),
    Metric("gpu_memory_total_bytes", _G, ("gpu",), "Memory size."),
    Metric("gpu_memory_reserved_bytes", _G, ("gpu",), "Memory that the driver keeps for itself."),
    Metric(
        "gpu_memory_busy_ratio", _G, ("gpu",), "Share of time in which the memory was read or written at all."
    ),
    Metric(
        "gpu_video_engine_busy_ratio",
        _G,
        ("gpu", "engine"),
        "Load of the video engines: encoder, decoder (of models that see).",
    ),
    Metric("gpu_temperature_celsius", _G, ("gpu", "sensor"), "Temperature by sensor: gpu, memory."),
    Metric("gpu_thermal_margin_celsius", _G, ("gpu",), "Degrees left to the nearest slowdown threshold."),
    Metric("gpu_clock_hertz", _G, ("gpu", "clock"), "Clock by domain: graphics, sm, memory, video."),
    Metric("gpu_throttled", _G, ("gpu", "reason"), "1 while this reason holds the clocks down."),
    Metric(
        "gpu_throttled_seconds_total",
        _C,
        ("gpu", "reason"),
        "Time for which this reason held the clocks down.",
    ),
    Metric("gpu_ecc_errors_total", _C, ("gpu", "severity"), "Memory errors: corrected, uncorrected."),
    Metric(
        "gpu_nvlink_bytes_total",
        _C,
        ("gpu", "direction"),
        "Bytes over all NVLinks of a GPU since it was first seen: tx, rx.",
    ),
    Metric(
        "gpu_nvlink_errors_total",
        _C,
        ("gpu", "error"),
        "Errors over all NVLinks of a GPU by kind. effective and symbol are corrected all the time; "
        "link_recovery (recovery until Hopper) speaks of a link that is failing.",
    ),
    Metric(
        "gpu_nvlinks",
        _G,
        ("gpu", "state"),
        "NVLinks of a GPU by state: active, sleep, inactive, traffic_disabled.",
    ),
    Metric(
        "gpu_nvlink_slowest_bytes_per_second",
        _G,
        ("gpu",),
        "Speed of the slowest NVLink that is active, in one direction (53.125e9 is NVLink 5).",
    ),
    Metric(
        "gpu_nvlink_worst_recoveries",
        _G,
        ("gpu", "link"),
        "Recoveries of the NVLink that had most of them, since the driver was loaded; absent while none had "
        "any.",
    ),
    Metric(
        "gpu_c2c_links",
        _G,
        ("gpu", "state"),
        "Links of a GPU to the CPU of its superchip (NVLink-C2C) by state: active, low_power, inactive.",
    ),
    Metric(
        "gpu_c2c_slowest_bytes_per_second",
        _G,
        ("gpu",),
        "Speed of the slowest C2C link that is up, as the driver tells it.",
    ),
    Metric(
        "gpu_c2c_errors_total",
        _C,
        ("gpu", "error"),
        "Errors over all C2C links of a GPU by kind: interrupt, replay, replay_b2b (one replay right after "
        "another).",
    ),
    Metric(
        "gpu_remapped_rows",
        _G,
        ("gpu", "kind"),
        "Memory rows remapped (correctable, uncorrectable), and 1 for pending or failure.",
    ),
    Metric(
        "gpu_recovery_action",
        _G,
        ("gpu", "action"),
        "1 for the recovery that the driver asks for; none is healthy.",
    ),
    Metric(
        "gpu_xid_errors_total",
        _C,
        ("gpu", "xid"),
        "Xid events seen by rackwatt, in the driver's events or in the kernel log, each once.",
    ),
    Metric(
        "gpu_fabric_info",
        _G,
        ("gpu", "cluster_uuid", "clique", "state"),
        "1; the NVLink domain a GPU belongs to. An all-zero cluster UUID is none.",
    ),
    Metric(
        "gpu_fabric_healthy", _G, ("gpu",), "1 while the fabric manager reports this GPU's links healthy."
    ),
    Metric(
        "gpu_fabric_trouble",
        _G,
        ("gpu", "trouble"),
        "1 for what the fabric's health mask says is wrong: degraded_bandwidth, route_unhealthy, "
        "insufficient_nvlinks, wrong_chassis_serial, …, or registration_failed; absent while nothing is.",
    ),
    Metric(
        "gpu_placement_info",
        _G,
        ("gpu", "chassis", "slot", "tray", "host", "module"),
        "1; where a GPU sits, as the driver tells it: the module number is the one on the board, not `gpu`.",
    ),
    Metric(
        "gpu_pcie_replays_total",
        _C,
        ("gpu",),
        "PCIe packets sent again, since the GPU was first seen: a link that is bad, or badly seated.",
    ),
    Metric("gpu_processes", _G, ("gpu",), "Processes with a compute context on a GPU."),
    Metric(
        "gpu_pcie_link_width_lanes",
        _G,
        ("gpu",),
        "Lanes of the GPU's PCIe link now; less than gpu_pcie_link_max_width_lanes is a fault.",
    ),
    Metric("gpu_pcie_link_max_width_lanes", _G, ("gpu",), "Lanes that both ends of the link have."),
    Metric(
        "gpu_pcie_link_transfers_per_second",
        _G,
        ("gpu",),
        "Speed of each lane now (32e9 is PCIe 5). An idle GPU may lower it: compare it only under load.",
    ),
    Metric(
        "gpu_pcie_link_max_transfers_per_second", _G, ("gpu",), "Speed that both ends of the link can do."
    ),
)
