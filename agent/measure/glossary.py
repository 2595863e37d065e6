"""What each word that a page may print means, and what to do; docs/metrics.md is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.attribution import Claim
from agent.measure.energy import Verdict
from agent.measure.gpu import GpuState
from agent.measure.incident import Cause, Kind, Severity
from agent.measure.limiter import Limit
from agent.measure.push import Loss
from agent.measure.reading import Reason
from agent.measure.snapshot import Activity
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

BOUNDARIES = {
    "gpu": "GPUs with their memory, by the driver's energy counter; summed over the GPUs that report.",
    "module": "Superchips: both GPUs, the Grace CPU and regulators, integrated from the module's power; one "
    "reading for each board. By the sockets' own meters where NVML does not tell it (`hwmon`).",
    "node": "The whole node at its inlet, by a meter that the configuration names; absent without one.",
    "rack": "The whole rack, with switches, shelves and losses, by a meter of the rack; absent without one. The sum of "
    "its nodes is never taken for it.",
    "facility": "The rack, or without a meter of it its nodes, times the stated PUE (source `pue`): modelled, never "
    "measured, and never a base of cost.",
}

WORDS: Mapping[type[StrEnum], Mapping[StrEnum, str]] = {
    Invalid: {
        Invalid.NO_ENGINES: "No serving engine is configured: name its page under collectors.engines.targets.",
        Invalid.NO_METER: "Nothing measures that boundary: no GPU reports energy or power.",
        Invalid.WARMING_UP: "The window is not full yet, after a start or a gap: wait for figure_window_seconds.",
        Invalid.GAP: "Samples around an edge of the window are too far apart: a source was away or slow.",
        Invalid.BELOW_RESOLUTION: "The engine prints too few digits to tell so little growth: take a longer window.",
        Invalid.MEMBER_MISSING: "A known GPU, engine or node does not report: see gpu_up, engine_up and rack_member_up.",
        Invalid.COUNTER_POWER_MISMATCH: "A GPU's energy counter and its integrated power disagree: see "
        "gpu_energy_crosscheck.",
        Invalid.METERS_DISAGREE: "Two meters of this boundary differ by more than 5 %: see power_crosscheck_watts and "
        "the notes of /api/v1/node.",
        Invalid.INNER_EXCEEDS_OUTER: "What is inside a boundary draws more than the boundary itself: one of the two "
        "meters is wrong, or does not measure what its name says.",
        Invalid.LOW_COVERAGE: "Less than 95 % of the rack's member-seconds are valid: see rack_coverage_ratio.",
        Invalid.SPANS_NODES: "Tokens that count here are made with GPUs of other nodes too, or the other way round: "
        "only the rack's figure has both.",
        Invalid.UNATTRIBUTED: "Not all GPUs of the deployment are known, or another holds one of them too: see "
        "gpu_attribution.",
        Invalid.ZERO_ENERGY: "The meter shows no energy at all over the window, so nothing can be divided by it.",
    },
    Claim: {
        Claim.ATTRIBUTED: "The instances of one deployment hold it: its joules are that deployment's.",
        Claim.SHARED: "The instances of several deployments hold it: its joules are nobody's.",
        Claim.UNATTRIBUTED: "Something computes on it that no known engine claims: read that engine, or name its "
        "GPUs under collectors.engines.targets.",
        Claim.FREE: "Nothing computes on it.",
        Claim.UNKNOWN: "It is not known what computes on it: the driver does not list processes, or hides them.",
    },
    Flag: {
        Flag.COUNTER_RESET: "An engine restarted inside the window.",
        Flag.ON_FINISH: "Tokens are counted when requests end, so the rate comes in steps.",
        Flag.UNVERIFIED: "Energy could not be checked against power.",
        Flag.INTEGRATED: "Energy is integrated from power; there is no counter.",
        Flag.MODELLED: "Reckoned from another boundary with a factor that somebody stated: see site_pue_info.",
    },
    Loss: {
        Loss.OVERFLOW: "The receiver was away for longer than `buffer` holds: the oldest went.",
        Loss.REFUSED: "The receiver did not want them, and would not want them later: the log has its words.",
        Loss.STOPPED: "rackwatt stopped, or the exporter was removed, before they could be sent.",
    },
    Reason: {
        Reason.UNREACHABLE: "Nothing answers there, or it hung up: is it running, is the address right?",
        Reason.TIMED_OUT: "No answer within the deadline; the log says in which phase.",
        Reason.MALFORMED: "It answered something that cannot be trusted; the log says which line.",
        Reason.TOO_LARGE: "It answered more than the limits allow; they are settings.",
        Reason.UNSUPPORTED: "It answers without what is needed: the log names the flag or driver to change.",
        Reason.DENIED: "Rights or credentials are missing; the log names the setting.",
        Reason.OVERLAPPED: "The collection before is still stuck, usually in a driver call.",
        Reason.RELEASED: "Let go of on request (SIGUSR1); SIGUSR2 takes hold again.",
        Reason.LIBRARY_MISMATCH: "The driver was replaced; restart rackwatt, or reboot if it says so at the start.",
        Reason.BUG: "An error of rackwatt itself: please report the traceback in the log.",
    },
    GpuState: {
        GpuState.OK: "It answers its driver.",
        GpuState.LOST: "It fell off the bus: only a reset or a reboot brings it back.",
        GpuState.RESET_REQUIRED: "The driver wants it reset.",
        GpuState.WEDGED: "A driver call for it does not return; the others are read without it.",
        GpuState.FAILED: "The driver answers for it with errors.",
    },
    Verdict: {
        Verdict.UNKNOWN: "No full minute above idle yet.",
        Verdict.AGREES: "Counter and integrated power agree within 5 % of the energy or 1.5 s of the power swing.",
        Verdict.MISMATCH: "They disagreed for two minutes in a row: do not trust either.",
        Verdict.UNVERIFIED: "Power cannot be integrated honestly: no mean, or read too seldom.",
    },
    Activity: {
        Activity.SERVING: "Requests are in work or waiting, or tokens came.",
        Activity.IDLE: "It was read, and there is nothing to do.",
        Activity.ASLEEP: "It sleeps on purpose.",
        Activity.UNKNOWN: "It could not be read, or does not tell.",
    },
    Kind: {
        Kind.DROP: "Fewer output tokens than the deployment gives at such a load, though they are asked for.",
        Kind.STALL: "None at all, though requests are there.",
        Kind.STRAGGLER: "One node behind the median of those that serve the same with as much to do.",
        Kind.FAULT: "A hardware error of which no drop has come.",
        Kind.GAP: "Telemetry is missing: whether work goes on is not known.",
        Kind.RESTART: "An engine was stopped and came back within 20 s, or may still do so.",
        Kind.DEMAND: "Clients ask for less.",
        Kind.SATURATION: "The KV cache is full, and nothing is lost yet.",
        Kind.EFFICIENCY: "More joules for the same tokens.",
    },
    Cause: {
        Cause.ENGINE_DOWN: "An engine is gone: look at its log and its service manager.",
        Cause.ENGINE_RESTART: "An engine began anew: its counters or its process did.",
        Cause.ENGINE_STALL: "An engine answers and holds requests, but makes no tokens: look at its log.",
        Cause.KV_SATURATION: "The KV cache is full, so that batches shrink: fewer or shorter requests, or more instances.",
        Cause.THERMAL: "Heat holds clocks down: look at fans, coolant and filters.",
        Cause.POWER_CAP: "The power limit holds clocks down: see gpu_power_limit_watts, and who set it.",
        Cause.POWER_BRAKE: "The machine asked its GPUs to slow down: look at power supplies and shelves.",
        Cause.CLOCKS_LOW: "Clocks are low, and the driver does not say why.",
        Cause.GPU_LOST: "A GPU no longer answers its driver: it needs a reset or a reboot.",
        Cause.GPU_FAULT: "A GPU reported an error of its hardware: see gpu_xid_errors_total.",
        Cause.ECC: "A GPU had a memory error that could not be corrected.",
        Cause.NVLINK: "NVLink or its fabric reported an error.",
        Cause.HOST_PRESSURE: "GPUs are worked less, and nothing holds their clocks down: something before them is slow; see host_pressure_stalled_seconds_total.",
        Cause.NODE_DOWN: "A node does not answer and its power is gone, by a meter beside it: look at its power and console.",
        Cause.TELEMETRY_GAP: "It cannot be read: its page, its driver, or the way to it.",
        Cause.WORKLOAD_SHIFT: "Prompts grew against outputs: nothing is broken.",
        Cause.DEMAND: "Clients ask for less: nothing is broken.",
        Cause.UNKNOWN: "Nothing that is measured explains it.",
    },
    Limit: {
        Limit.DEMAND: "Requests: all that are there are in work, and more would give more tokens.",
        Limit.KV_MEMORY: "Room in the KV cache: requests wait for it, or are put off.",
        Limit.MEMORY_BANDWIDTH: "The GPUs' own memory: decoding reads all weights for each token of a batch.",
        Limit.COMPUTE: "Tensor cores: large batches, or many prompts.",
        Limit.NVLINK: "Traffic between GPUs.",
        Limit.POWER_LIMIT: "Watts: the power limit, or a power brake, holds clocks down.",
        Limit.THERMAL: "Cooling: heat holds clocks down.",
        Limit.HOST: "What is before the GPUs: requests are there, and the GPUs wait.",
        Limit.UNKNOWN: "Nothing that is measured says; the evidence says what is missing.",
    },
    Severity: {
        Severity.INFO: "Nobody must act.",
        Severity.WARNING: "Somebody must look today: fewer tokens, or something is not seen.",
        Severity.CRITICAL: "Somebody must look now: at least half of the tokens are missing.",
    },
}
