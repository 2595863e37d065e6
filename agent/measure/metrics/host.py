"""The machine around the GPUs: what it may be that is not the GPU's fault."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C = MetricType.GAUGE, MetricType.COUNTER

METRICS: tuple[Metric, ...] = (
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
)
