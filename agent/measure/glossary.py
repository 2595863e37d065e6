"""What each word that a page may print means, and what to do; docs/metrics.md is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.attribution import Claim
from agent.measure.energy import Verdict
from agent.measure.gpu import GpuState
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
}
