"""What a simulated rack does not have, on a page beside it: pods, an `slo`, links, coolant, hosts, OTLP."""

from __future__ import annotations

from fakes.alertmanager import Chosen

PIPES = {
    'gpu_owner_info{gpu="0",mig="",namespace="serving",pod="llama-0",job_id=""}': 1.0,
    'model_goodput_ratio{model="llama2-70b-fp4",bound="lower"}': 0.997,
    'power_crosscheck_watts{boundary="module",source="hwmon"}': 35_000.0,
}
LINKS = {
    'gpu_fabric_healthy{gpu="0"}': 1.0,
    'gpu_fabric_info{gpu="0",cluster_uuid="a",clique="1",state="completed"}': 1.0,
    'gpu_fabric_trouble{gpu="0",trouble="degraded_bandwidth"}': 1.0,
    'gpu_nvlinks{gpu="0",state="active"}': 18.0,
    'gpu_nvlinks{gpu="0",state="inactive"}': 0.0,
    'gpu_nvlink_slowest_bytes_per_second{gpu="0"}': 53.125e9,
    'gpu_nvlink_worst_recoveries{gpu="0",link="3"}': 2.0,
    'gpu_c2c_links{gpu="0",state="active"}': 10.0,
    'gpu_pcie_link_width_lanes{gpu="0"}': 16.0,
    'gpu_pcie_link_max_width_lanes{gpu="0"}': 16.0,
    'gpu_tensor_active_ratio{gpu="0"}': 0.4,
    'gpu_memory_bandwidth_ratio{gpu="0"}': 0.5,
    'gpu_sm_active_ratio{gpu="0"}': 0.9,
}
COOLING = {
    'environment_temperature_celsius{target="cdu",place="coolant_supply",sensor="a"}': 32.0,
    'environment_temperature_celsius{target="cdu",place="coolant_return",sensor="a"}': 44.0,
    'coolant_flow_liters_per_second{target="cdu",sensor="a"}': 1.9,
    'coolant_pressure_pascals{target="cdu",place="delta",sensor="a"}': 45_000.0,
    'coolant_heat_watts{target="cdu",sensor="a"}': 95_000.0,
    'fan_speed_ratio{target="bmc",sensor="fan0"}': 0.4,
    'leak_detector_state{target="bmc",sensor="pan",state="ok"}': 1.0,
    'leak_detector_state{target="bmc",sensor="pan",state="warning"}': 0.0,
    'leak_detector_state{target="bmc",sensor="pan",state="critical"}': 0.0,
    'leak_detector_state{target="bmc",sensor="pan",state="unknown"}': 0.0,
    'leak_detector_state{target="bmc",sensor="plate",state="ok"}': 0.0,
    'leak_detector_state{target="bmc",sensor="plate",state="warning"}': 0.0,
    'leak_detector_state{target="bmc",sensor="plate",state="critical"}': 0.0,
    'leak_detector_state{target="bmc",sensor="plate",state="unknown"}': 1.0,
}
HOST = {
    "host_clock_error_bound_seconds": 0.01,
    'exporter_waiting_bytes{exporter="otlp"}': 2000.0,
}
COUNTERS = {
    'gpu_nvlink_bytes_total{gpu="0",direction="tx"}': 300e9,
    'gpu_nvlink_errors_total{gpu="0",error="link_recovery"}': 0.01,
    'gpu_pcie_replays_total{gpu="0"}': 0.0,
    'host_pressure_stalled_seconds_total{resource="cpu",share="some"}': 0.05,
    "host_cpu_steal_seconds_total": 0.0,
    'host_network_errors_total{device="eth0",direction="receive"}': 0.0,
    'host_network_dropped_total{device="eth0",direction="receive"}': 0.2,
    'host_infiniband_errors_total{device="mlx5_0",port="1",error="symbol_error"}': 0.1,
    'exporter_pushes_total{exporter="otlp",outcome="delivered"}': 0.1,
    'exporter_lost_points_total{exporter="otlp",reason="overflow"}': 0.0,
}
"""By how fast they grow a second."""
OF_A_TWIN = {"gpu_fabric_healthy", "gpu_fabric_info"}
NAMES = {
    f"rackwatt_{series.partition('{')[0]}" for series in (*PIPES, *LINKS, *COOLING, *HOST, *COUNTERS)
} - {f"rackwatt_{name}" for name in OF_A_TWIN}
"""What only such a page tells."""


def page_of(node: str, rack: str) -> Chosen:
    """Return the page of a node that has all of it; a context manager."""
    page = Chosen(node, rack)
    page.gauges |= {
        f"rackwatt_{series}": value
        for each in (PIPES, LINKS, COOLING, HOST)
        for series, value in each.items()
    }
    page.per_second |= {f"rackwatt_{series}": rate for series, rate in COUNTERS.items()}
    return page
