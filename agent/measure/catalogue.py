"""Every metric there is: one row each, in the order of the page. Names are public: added, never renamed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "rackwatt_"


class MetricType(StrEnum):
    """How a metric behaves."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family; its exported name is PREFIX + name."""

    name: str
    type: MetricType
    labels: tuple[str, ...]
    doc: str


_G, _C, _H = MetricType.GAUGE, MetricType.COUNTER, MetricType.HISTOGRAM
_ENGINE = ("engine", "engine_instance", "model")
_DEPLOYMENT = ("deployment", "model")

CATALOGUE: tuple[Metric, ...] = (
    Metric("build_info", _G, ("version", "revision"), "1; the running version of rackwatt."),
    Metric(
        "node_info",
        _G,
        ("node", "rack", "chassis", "tray", "domain"),
        "1; which node this is, its rack, and where NVML says that it stands.",
    ),
    Metric(
        "node_state",
        _G,
        ("state",),
        "1 for what the node is doing: serving, idle, asleep or unknown (a failed read is never idle).",
    ),
    Metric("node_drained", _G, (), "1 while this node is taken out on purpose (/api/v1/drain)."),
    Metric(
        "node_gpus_expected",
        _G,
        (),
        "GPUs that should be in this node: as many as were ever seen, and at least what node.gpus says.",
    ),
    Metric("node_gpus_reporting", _G, (), "GPUs of this node that answer."),
    Metric(
        "node_tokens_per_second",
        _G,
        ("kind",),
        "Live rate over the window, summed over the engines that report. Kinds are never added.",
    ),
    Metric(
        "node_tokens_per_joule",
        _G,
        ("kind", "boundary"),
        "Tokens per joule over the window (the same number as tokens/s per watt): ratio of sums over "
        "common edges. Absent unless every known GPU and engine is valid.",
    ),
    Metric(
        "power_watts",
        _G,
        ("boundary", "source"),
        "Power now at one boundary, summed over what reports. Boundaries contain each other: never add them.",
    ),
    Metric(
        "energy_joules_total",
        _C,
        ("boundary", "source"),
        "Energy at one boundary since it was first seen; survives restarts.",
    ),
    Metric(
        "power_crosscheck_watts",
        _G,
        ("boundary", "source"),
        "Power at a boundary by a meter that is not its source: to compare with power_watts, never to add.",
    ),
    Metric(
        "power_remainder_watts",
        _G,
        ("boundary", "inner"),
        "What a boundary draws beside the next one inside it that is measured, over figure_window_seconds of "
        "node_power_remainder_<boundary>. Less than 0: one of the two meters is wrong.",
    ),
    Metric(
        "meter_up",
        _G,
        ("source", "part", "unit"),
        "1 while a power meter beside the GPUs answers; 0 names the one that does not.",
    ),
    Metric(
        "site_pue_ratio", _G, (), "Energy of the facility over that of its IT equipment, as it was stated."
    ),
    Metric("site_pue_info", _G, ("source", "date"), "1; who stated the PUE, and of when it is."),
    Metric(
        "part_power_watts",
        _G,
        ("part", "unit", "source"),
        "Power of a part of the node (grace, cpu, sysio, dram, package, …). Parts contain each other: never "
        "add them.",
    ),
    Metric(
        "part_energy_joules_total",
        _C,
        ("part", "unit", "source"),
        "Energy of a part of the node while rackwatt ran: by its counter, else integrated from its power.",
    ),
    Metric("figure_valid", _G, ("figure",), "1 while nothing speaks against a figure."),
    Metric("figure_invalid_reason", _G, ("figure", "reason"), "1 while this reason makes a figure invalid."),
    Metric(
        "figure_flag",
        _G,
        ("figure", "flag"),
        "1 while this is to be known about a figure; it does not make it invalid.",
    ),
    Metric("figure_window_seconds", _G, ("figure",), "Interval that a live figure speaks of."),
    Metric(
        "figure_uncertainty_ratio",
        _G,
        ("figure",),
        "How wrong a live figure may be, as a share of it, because engines take time to answer.",
    ),
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
        "insufficient_nvlinks, wrong_chassis_serial, …; absent while nothing is.",
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
    Metric(
        "host_pressure_stalled_seconds_total",
        _C,
        ("resource", "share"),
        "Time for which some, or all (full), tasks that had work waited for cpu, memory, io or irq, since it "
        "was first seen. Absent where the kernel does not tell (psi=0).",
    ),
    Metric(
        "host_cpu_steal_seconds_total",
        _C,
        (),
        "Processor time that a hypervisor gave to others, over all processors.",
    ),
    Metric("host_oom_kills_total", _C, (), "Processes that the kernel killed for want of memory."),
    Metric(
        "host_cpu_frequency_hertz",
        _G,
        ("stat",),
        "Frequency that processors run at now: min, mean, max over them. Idle ones may run slowly.",
    ),
    Metric("host_clock_synchronized", _G, (), "1 while a time service says that it keeps the wall clock."),
    Metric(
        "host_clock_error_bound_seconds",
        _G,
        (),
        "Farthest that the wall clock can be off; grows to 16 s while nobody keeps it.",
    ),
    Metric(
        "host_clock_offset_seconds",
        _G,
        (),
        "What the kernel still has to correct of its clock, either way. Absent where the time service "
        "corrects by itself (chrony): the bound tells.",
    ),
    Metric(
        "host_network_up",
        _G,
        ("device",),
        "1 while the link of a network interface is up. Absent for one that is switched off on purpose.",
    ),
    Metric(
        "host_network_speed_bytes_per_second",
        _G,
        ("device",),
        "Speed that the link was trained to; absent while it is down, or where the driver does not tell.",
    ),
    Metric("host_network_carrier_changes_total", _C, ("device",), "Times that the link came or went."),
    Metric(
        "host_network_errors_total",
        _C,
        ("device", "direction"),
        "Packets received (receive) or sent (transmit) with errors.",
    ),
    Metric(
        "host_network_dropped_total", _C, ("device", "direction"), "Good packets dropped for want of room."
    ),
    Metric(
        "host_infiniband_up",
        _G,
        ("device", "port"),
        "1 while a port of an InfiniBand or RoCE device is active. Absent for one that is disabled.",
    ),
    Metric(
        "host_infiniband_speed_bytes_per_second",
        _G,
        ("device", "port"),
        "Data rate that an active port was trained to.",
    ),
    Metric(
        "host_infiniband_errors_total",
        _C,
        ("device", "port", "error"),
        "Errors of a port, by the kernel's names: symbol_error, link_downed, port_rcv_errors, … and of "
        "NVIDIA's cards out_of_sequence, local_ack_timeout_err, … Some stop at 255 or 65535 until cleared.",
    ),
    Metric(
        "environment_temperature_celsius",
        _G,
        ("target", "place", "sensor"),
        "Temperature of the air (intake, exhaust, ambient) or of the coolant (coolant_supply, "
        "coolant_return), as the management controller `target` tells it.",
    ),
    Metric(
        "coolant_flow_liters_per_second",
        _G,
        ("target", "sensor"),
        "Coolant that flows through a connector of a chassis or of a cooling unit.",
    ),
    Metric(
        "coolant_pressure_pascals",
        _G,
        ("target", "place", "sensor"),
        "Pressure of the coolant at a connector: supply, return, and the delta between them.",
    ),
    Metric(
        "coolant_heat_watts",
        _G,
        ("target", "sensor"),
        "Heat that the coolant carries away through a connector.",
    ),
    Metric("fan_speed_ratio", _G, ("target", "sensor"), "Speed of a fan, as a share of its full speed."),
    Metric(
        "leak_detector_state",
        _G,
        ("target", "sensor", "state"),
        "1 for what a leak detector says: ok, warning, critical; unknown while it is there and says nothing.",
    ),
    Metric("engine_up", _G, _ENGINE, "1 while an engine's page can be read and believed."),
    Metric(
        "engine_state",
        _G,
        (*_ENGINE, "state"),
        "1 for what an engine is doing: serving, idle, asleep or unknown.",
    ),
    Metric(
        "engine_tokens_total",
        _C,
        (*_ENGINE, "kind"),
        "Tokens produced since the engine was first seen; survives restarts of both. prompt includes cached, "
        "prompt_cached is a part of it.",
    ),
    Metric(
        "engine_tokens_uncertainty",
        _G,
        (*_ENGINE, "kind"),
        "Tokens the engine may have produced beyond engine_tokens_total by the next reading: unfinished "
        "requests, printed precision, and the time since the page was rendered.",
    ),
    Metric(
        "engine_tokens_unobserved_total",
        _C,
        (*_ENGINE, "kind"),
        "Upper estimate of tokens produced but never seen, because the engine restarted after its last page.",
    ),
    Metric(
        "engine_tokens_per_second",
        _G,
        (*_ENGINE, "kind"),
        "Live rate over the window (engine_window_seconds).",
    ),
    Metric(
        "engine_rate_live",
        _G,
        _ENGINE,
        "1 while the output rate is live. 0: output tokens are counted when a request ends, so that none in "
        "a window is no stall, and the window is longer.",
    ),
    Metric(
        "engine_window_seconds",
        _G,
        _ENGINE,
        "Interval that engine_tokens_per_second speaks of: three of the slowest readings, or of the longest "
        "time for which the output counter stood still while requests ran, at most five minutes.",
    ),
    Metric("engine_restarts_total", _C, _ENGINE, "Counter resets seen: restarts of the engine."),
    Metric("engine_requests", _G, (*_ENGINE, "state"), "Requests in the engine: running, waiting."),
    Metric(
        "engine_arrivals_total",
        _C,
        _ENGINE,
        "Requests that arrived since the engine was first seen; absent where it does not count them.",
    ),
    Metric(
        "engine_requests_finished_total",
        _C,
        (*_ENGINE, "outcome"),
        "Requests that ended: succeeded (also cut at the longest length), failed or aborted, as far as the "
        "engine counts each. Requests that their clients gave up are in none of them with some engines.",
    ),
    Metric(
        "engine_preemptions_total",
        _C,
        _ENGINE,
        "Requests that were put off, or begun anew, for want of KV cache.",
    ),
    Metric("engine_kv_cache_usage_ratio", _G, _ENGINE, "Share of the KV cache in use."),
    Metric(
        "engine_page_first_byte_seconds",
        _G,
        _ENGINE,
        "Time until the engine began its page: what being watched costs it, and how late its values are.",
    ),
    Metric("engine_page_bytes", _G, _ENGINE, "Size of the engine's page."),
    Metric(
        "engine_counted",
        _G,
        (*_ENGINE, "kind"),
        "1 while these tokens enter the figures of node, model and rack; 0 where another instance counts the "
        "same ones (a gateway in front of engines, the prompts of a decoder), or the configuration says so.",
    ),
    Metric(
        "model_tokens_total",
        _C,
        ("model", "kind"),
        "Tokens of one model over all engines of this node, also of those that are gone.",
    ),
    Metric(
        "model_tokens_per_second",
        _G,
        ("model", "kind"),
        "Live rate of one model over the window. Absent while an engine serves another model beside it.",
    ),
    Metric(
        "model_tokens_per_joule",
        _G,
        ("model", "kind", "boundary"),
        "Tokens per joule of one model over the window. Absent unless the node serves nothing else.",
    ),
    Metric(
        "model_energy_joules_total",
        _C,
        ("model", "boundary"),
        "Energy of the GPUs that worked for one model and nothing else; survives restarts. At the module "
        "boundary only while all GPUs of its modules did.",
    ),
    Metric(
        "deployment_gpu_info", _G, (*_DEPLOYMENT, "gpu"), "1; a GPU that the instances of a deployment hold."
    ),
    Metric(
        "gpu_attribution",
        _G,
        ("gpu", "state"),
        "1 for whose a GPU is: attributed to one deployment, shared by several, unattributed (something "
        "computes on it that no known engine claims), free, unknown.",
    ),
    Metric(
        "deployment_tokens_per_second",
        _G,
        (*_DEPLOYMENT, "kind"),
        "Live rate over the window of the instances that serve one model together: named as configured, else "
        "after the model.",
    ),
    Metric(
        "deployment_tokens_per_joule",
        _G,
        (*_DEPLOYMENT, "kind", "boundary"),
        "Tokens per joule over the window, of the deployment's own GPUs. Absent unless all of them are "
        "known, on this node and no one else's.",
    ),
    Metric(
        "deployment_power_watts", _G, (*_DEPLOYMENT, "boundary"), "Power now of the deployment's own GPUs."
    ),
    Metric(
        "deployment_energy_joules_total",
        _C,
        (*_DEPLOYMENT, "boundary", "state"),
        "Energy of the deployment's own GPUs by what it did meanwhile: serving, idle (asleep included), or "
        "unknown; survives restarts. A shared GPU's is nobody's.",
    ),
    Metric(
        "deployment_requests",
        _G,
        (*_DEPLOYMENT, "state"),
        "Requests of the deployment that are running, and waiting: sums over its instances that count.",
    ),
    Metric(
        "deployment_kv_cache_usage_ratio",
        _G,
        _DEPLOYMENT,
        "Fill of the KV cache of its fullest instance, which lets requests wait first. No mean: one full "
        "instance among many empty ones is what is to be seen.",
    ),
    Metric(
        "deployment_limiter",
        _G,
        (*_DEPLOYMENT, "limiter"),
        "1 for what bounds the throughput of the deployment now, wrong or not: demand, kv_memory, "
        "memory_bandwidth, compute, nvlink, power_limit, thermal, host or unknown (docs/limiter.md).",
    ),
    Metric(
        "deployment_requests_finished_total",
        _C,
        (*_DEPLOYMENT, "outcome"),
        "Requests that its instances saw end: succeeded, failed, aborted (given up by the client); only what "
        "its engines tell. Does not fall when an instance leaves; survives restarts. What a pair ended well "
        "its decode half tells.",
    ),
    Metric(
        "deployment_latency_quantile_seconds",
        _G,
        (*_DEPLOYMENT, "latency", "percentile"),
        "As model_latency_quantile_seconds, over the instances of one deployment. Absent where they serve "
        "several models.",
    ),
    Metric(
        "deployment_goodput_ratio",
        _G,
        (*_DEPLOYMENT, "bound"),
        "As model_goodput_ratio, of one deployment.",
    ),
    Metric(
        "deployment_goodput_requests_per_second",
        _G,
        (*_DEPLOYMENT, "bound"),
        "As model_goodput_requests_per_second, of one deployment.",
    ),
    Metric(
        "deployment_cached_prompt_ratio",
        _G,
        _DEPLOYMENT,
        "As model_cached_prompt_ratio, of one deployment.",
    ),
    Metric(
        "model_time_to_first_token_seconds",
        _H,
        ("model",),
        "From a request's arrival to its first output token, over all engines of this node that tell, at the "
        "bounds that all of them have. A request that a gateway tells of as well is one; of a prefill and "
        "decode pair its decode half tells, without the prefill. Begins at 0 when rackwatt starts.",
    ),
    Metric(
        "model_inter_token_latency_seconds",
        _H,
        ("model",),
        "Between two outputs of a request, likewise: an engine that hands out several tokens at once counts "
        "them once.",
    ),
    Metric(
        "model_request_duration_seconds",
        _H,
        ("model",),
        "From a request's arrival to its last token, likewise.",
    ),
    Metric(
        "model_queue_time_seconds",
        _H,
        ("model",),
        "From a request's arrival to the first work on it, likewise.",
    ),
    Metric(
        "model_latency_quantile_seconds",
        _G,
        ("model", "latency", "percentile"),
        "Latency that 50, 90 or 99 % stayed within over model_latency_window_seconds, as PromQL's "
        "histogram_quantile reckons it. Absent above the engine's highest bound; below its lowest (10 ms "
        "between tokens with vLLM) it is spread evenly from 0, and the mean says more.",
    ),
    Metric(
        "model_latency_mean_seconds",
        _G,
        ("model", "latency"),
        "Mean latency over the same window.",
    ),
    Metric("model_latency_window_seconds", _G, ("model",), "Interval that the figures of service speak of."),
    Metric(
        "model_slo_attained_ratio",
        _G,
        ("model", "latency"),
        "Share within its limit (slo) over the same window: of requests, and for inter_token of gaps between "
        "tokens. Exact when the limit is a bound of the engine's buckets, else spread evenly inside one; "
        "absent when the limit is above the highest and some took longer.",
    ),
    Metric(
        "model_goodput_ratio",
        _G,
        ("model", "bound"),
        "Share of requests that met every limit they have one time of (first_token, end_to_end, queue): "
        "between lower and upper, for histograms do not tell which request missed which. lower: no request "
        "missed two; upper: all that missed one missed the hardest as well. First tokens are counted when "
        "they come, the rest when requests end.",
    ),
    Metric(
        "model_goodput_requests_per_second",
        _G,
        ("model", "bound"),
        "Requests a second that met every limit: model_goodput_ratio times those of the window, of which the "
        "limit that was measured least often has the number. 0 where no request came.",
    ),
    Metric(
        "model_cached_prompt_ratio",
        _G,
        ("model",),
        "Share of prompt tokens that came from a cache, over the same window; of engines that count both.",
    ),
    Metric(
        "model_speculative_accepted_ratio",
        _G,
        ("model",),
        "Share of tokens guessed by speculative decoding that the model took, over the same window.",
    ),
    Metric(
        "rack_tokens_per_second",
        _G,
        ("rack", "kind"),
        "Live rate over the window, summed over the members' engines that are covered: never scaled up, so "
        "read rack_coverage_ratio beside it. Rack series come only from a daemon that has members.",
    ),
    Metric(
        "rack_tokens_total",
        _C,
        ("rack", "kind"),
        "Sum of the members' own totals, also of members that are away or were removed; survives restarts.",
    ),
    Metric(
        "rack_backfilled_tokens_total",
        _C,
        ("rack", "kind"),
        "Part of rack_tokens_total that members had made while they, or this daemon, were away: no rate "
        "shows it.",
    ),
    Metric(
        "rack_member_tokens_total",
        _C,
        ("rack", "node", "kind"),
        "What one member has added to the rack's total.",
    ),
    Metric("rack_member_tokens_per_second", _G, ("rack", "node", "kind"), "Live rate of one member."),
    Metric(
        "rack_member_rate_to_median_ratio",
        _G,
        ("rack", "node"),
        "Output rate of one member over the median member of the rack.",
    ),
    Metric("rack_member_up", _G, ("rack", "node"), "1 while a member answers with its totals."),
    Metric(
        "rack_power_watts",
        _G,
        ("rack", "boundary", "source"),
        "Power now at one boundary, summed over the members in duty that report. Never add boundaries.",
    ),
    Metric(
        "rack_energy_joules_total",
        _C,
        ("rack", "boundary", "source"),
        "Sum of the members' energy at one boundary, also of members that are away or were removed.",
    ),
    Metric(
        "rack_power_remainder_watts",
        _G,
        ("rack", "boundary", "inner"),
        "What a boundary draws beside the next one inside it, over figure_window_seconds of "
        "rack_power_remainder_<boundary>: of members that tell both, or of the whole rack. Less than 0: a "
        "meter is wrong.",
    ),
    Metric(
        "rack_power_coverage_ratio",
        _G,
        ("rack", "boundary"),
        "Share of the expected nodes whose energy at a boundary is known over the window.",
    ),
    Metric(
        "rack_power_crosscheck_watts",
        _G,
        ("rack", "boundary", "source"),
        "Power at a boundary by what is not its source, such as all nodes together (`nodes`) beside the "
        "rack's meter.",
    ),
    Metric(
        "rack_cost_total",
        _C,
        ("rack", "component", "boundary", "currency"),
        "What the rack has cost while its daemon saw it: energy, measured at a boundary, times PUE and the "
        "price of its moment; capacity, by the hours of the GPUs that should be there. Never add boundaries.",
    ),
    Metric(
        "rack_co2e_grams_total",
        _C,
        ("rack", "boundary"),
        "Grams of CO2 equivalent of the rack's energy, measured at a boundary, times PUE and what "
        "electricity emitted at its moment.",
    ),
    Metric(
        "rack_unbooked_joules_total",
        _C,
        ("rack", "total", "boundary"),
        "Energy that is not in rack_cost_total (total `cost`) or rack_co2e_grams_total (`co2e`), because "
        "nobody knew what it cost or emitted at its moment: a feed that is stale, a price that is gone.",
    ),
    Metric(
        "rack_cost_per_million_tokens",
        _G,
        ("rack", "kind", "component", "boundary", "currency"),
        "What a million tokens cost now: energy from rack_tokens_per_joule, capacity from the rate per "
        "expected GPU; absent at zero tokens.",
    ),
    Metric(
        "rack_co2e_grams_per_million_tokens",
        _G,
        ("rack", "kind", "boundary"),
        "Grams of CO2 equivalent that a million tokens emit now, from rack_tokens_per_joule.",
    ),
    Metric(
        "site_price_per_kwh", _G, ("currency",), "What a kilowatt hour costs at this moment, by the tariff."
    ),
    Metric(
        "site_co2e_grams_per_kwh",
        _G,
        (),
        "Grams of CO2 equivalent that a kilowatt hour emits now, as stated or as a feed tells it.",
    ),
    Metric(
        "rack_tokens_per_joule",
        _G,
        ("rack", "kind", "boundary"),
        "Tokens per joule over the window: ratio of sums over the members that are valid on both sides. "
        "Absent below 95 % of the members.",
    ),
    Metric(
        "rack_joules_per_token",
        _G,
        ("rack", "kind", "boundary"),
        "The same the other way round; absent at zero tokens.",
    ),
    Metric(
        "rack_coverage_ratio",
        _G,
        ("rack",),
        "Valid member-seconds over expected member-seconds of rack_tokens_per_second's window.",
    ),
    Metric(
        "rack_deployment_tokens_per_second",
        _G,
        ("rack", *_DEPLOYMENT, "kind"),
        "Live rate of one deployment over the members that are covered.",
    ),
    Metric(
        "rack_deployment_tokens_per_joule",
        _G,
        ("rack", *_DEPLOYMENT, "kind", "boundary"),
        "Tokens per joule of one deployment: ratio of sums over its GPUs on all members. Absent below 95 % "
        "of the members that serve it.",
    ),
    Metric("rack_nodes_expected", _G, ("rack",), "Nodes that should report; drained ones are not expected."),
    Metric("rack_nodes_reporting", _G, ("rack",), "Nodes in duty that answered the last poll."),
    Metric("rack_nodes_drained", _G, ("rack",), "Nodes taken out on purpose."),
    Metric("rack_gpus_expected", _G, ("rack",), "GPUs that should report."),
    Metric("rack_gpus_reporting", _G, ("rack",), "GPUs of nodes in duty that answer their driver."),
    Metric(
        "rack_record_ratio",
        _G,
        ("rack", "kind", "record"),
        "The rack's rate compared with a published record, for orientation: conditions differ, and a live "
        "figure is not a benchmark result. Absent unless the record's model alone is served.",
    ),
    Metric(
        "incident_active",
        _G,
        ("scope", "kind", "cause", "severity", "node", "gpu"),
        "Incidents that stand. A node shows its own (scope node); page on scope rack where one is watched.",
    ),
    Metric(
        "incidents_total",
        _C,
        ("scope", "kind", "cause"),
        "Incidents since rackwatt started; one that turns out to have another cause is counted there, too.",
    ),
    Metric(
        "incident_lost_tokens_total",
        _C,
        ("scope", "kind", "cause", "token_kind"),
        "Tokens that were asked for, and would usually have been made, but were not (output tokens alone are "
        "reckoned). What is corrected downwards is taken from what is lost next.",
    ),
    Metric(
        "collector_success",
        _G,
        ("collector",),
        "1 while the last collection of every source of it succeeded.",
    ),
    Metric(
        "collector_duration_seconds", _G, ("collector",), "Longest of the last collections of its sources."
    ),
    Metric(
        "collector_last_success_timestamp_seconds",
        _G,
        ("collector",),
        "When the last collection succeeded; of the source for which that is longest ago.",
    ),
    Metric(
        "collector_failures_total", _C, ("collector", "reason"), "Failed collections since rackwatt started."
    ),
    Metric(
        "source_calls_total",
        _C,
        ("collector", "function"),
        "Calls into a source's library since rackwatt started.",
    ),
    Metric(
        "source_call_seconds_total",
        _C,
        ("collector", "function"),
        "Time spent in a source's library since rackwatt started.",
    ),
    Metric(
        "exporter_pushes_total",
        _C,
        ("exporter", "outcome"),
        "Attempts to send a batch, of exporters that push, since rackwatt started: delivered, or why not. "
        "What was not delivered waits and is sent again.",
    ),
    Metric(
        "exporter_lost_points_total",
        _C,
        ("exporter", "reason"),
        "Points that will never be delivered, since rackwatt started: overflow (the receiver was away for "
        "longer than the buffer holds), refused by it, or stopped (rackwatt ended first).",
    ),
    Metric(
        "exporter_waiting_bytes", _G, ("exporter",), "Size of what waits to be sent; bounded by `buffer`."
    ),
    Metric(
        "exporter_last_success_timestamp_seconds",
        _G,
        ("exporter",),
        "When a batch was last delivered.",
    ),
    Metric(
        "state_writable", _G, (), "1 while totals can be kept on disk; 0 means that a restart loses them."
    ),
    Metric("state_saved_timestamp_seconds", _G, (), "When totals were last kept on disk."),
    Metric("config_reload_success", _G, (), "1 unless the last reload of the configuration was refused."),
    Metric(
        "web_config_reload_success",
        _G,
        (),
        "1 unless web.config_file, or a certificate that it names, has changed and was refused; the old one "
        "stays. Absent without web.config_file.",
    ),
)

BY_NAME = {metric.name: metric for metric in CATALOGUE}
