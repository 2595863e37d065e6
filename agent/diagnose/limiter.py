"""What bounds a deployment now: one judge for each limit, by figures that say so; a value that goes round.

The order matters. Heat comes first: it never is a normal bound. Then what holds requests back or leaves
room for more of them, then what the hardware is short of, then what is before the hardware.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.diagnose.baseline import Baseline, expected
from agent.diagnose.look import BRAKE, CAP, HOT, Look, View, look_of, mean
from agent.measure.attribution import Group
from agent.measure.limiter import UNDECIDED, Limit, Limiter, LimitEvidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.measure.snapshot import Snapshot

LOOK_SECONDS = 2.0
"""So often is looked …"""
WINDOW_SECONDS = 10.0
"""… and judged over the means of so long: engines alternate between prompts and output."""
LEAST_LOOKS = 3
HOLD_SECONDS = 6.0
"""Another limit is told when it was found for so long without a break."""
EASE = 0.85
"""What is told already needs only this share of a threshold, so that it does not flap."""

HELD_RATIO = 0.5
"""A reason that holds clocks down for so much of the time holds the work down."""
AT_LIMIT_RATIO = 0.97
"""Power this near its limit is at it: the driver keeps the mean of a second within a few percent."""
FULL_RATIO = 0.95
"""KV cache in use at which engines admit nothing more: they keep some blocks back."""
TIGHT_RATIO = 0.85
"""… and at which requests that are put off are put off for want of it."""
PUT_OFF_PER_SECOND = 0.1
WAITING_RATIO, LEAST_WAITING = 0.02, 0.5
"""Fewer requests waiting than this share of all are on their way into the batch."""
HEADROOM_RATIO = 1.15
"""It has given so many times more at a higher load: more requests would give more tokens."""
PRACTICAL_PEAK = 0.8
"""Share of its theoretical peak that a unit can be brought to: NVIDIA says so of memory bandwidth (the
documentation of DCGM's DRAM_ACTIVE); large matrix products and NCCL's transfers come about as far."""
BOUND_SHARE = 0.6
"""A unit that worked at this share of what it can be brought to, over seconds in which phases alternate, was
at its bound for most of them."""
IDLE_RATIO = 0.5
"""NVIDIA calls less than this share of active multiprocessors an ineffective use of a GPU."""
STALLED_RATIO = 0.25
"""Share of time in which some task waited for a processor that delays an engine's own loop."""
STOLEN_CORES = 0.25


@dataclass(frozen=True, slots=True)
class Watched:
    """What is remembered of one deployment."""

    looks: tuple[Look, ...] = ()
    told: Limiter = UNDECIDED
    challenger: Limit | None = None
    since: float = 0.0
    """When the challenger was first found."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds every deployment of a node, and what must be remembered for it."""

    at: float = float("-inf")
    watched: Mapping[Group, Watched] = field(default_factory=dict)

    @property
    def told(self) -> dict[Group, Limiter]:
        """What bounds each deployment."""
        return {group: each.told for group, each in self.watched.items()}


def looked(limits: Limits, snapshot: Snapshot, baselines: Mapping[str, Baseline]) -> Limits:
    """Take one snapshot more; most are left out. `baselines` are by the name of the deployment."""
    now = snapshot.at.monotonic_seconds
    if now - limits.at < LOOK_SECONDS:
        return limits
    watched = {}
    for each in snapshot.deployments:
        if each.nodes:
            group = Group(each.deployment, each.model)
            before = limits.watched.get(group, Watched())
            baseline = baselines.get(each.deployment, Baseline())
            watched[group] = taken(before, look_of(snapshot, each), baseline)
    return Limits(now, watched)


def taken(before: Watched, look: Look, baseline: Baseline) -> Watched:
    """Take one look more at one deployment."""
    recent = (each for each in before.looks if each.seconds > look.seconds - WINDOW_SECONDS)
    looks = (*recent, look)
    if len(looks) < LEAST_LOOKS:
        return replace(before, looks=looks)
    found = judged(View(looks), baseline, before.told.name)
    if found.name is before.told.name or before.told is UNDECIDED:
        return Watched(looks, found)
    if found.name is not before.challenger:
        return Watched(looks, before.told, found.name, look.seconds)
    if look.seconds - before.since < HOLD_SECONDS:
        return replace(before, looks=looks)
    return Watched(looks, found)


def judged(view: View, baseline: Baseline, told: Limit = Limit.UNKNOWN) -> Limiter:
    """Return what bounds a deployment by these looks; what is `told` already is left standing longer."""
    ease = {limit: EASE if limit is told else 1.0 for limit in Limit}
    if view.running is None:
        evidence = LimitEvidence("engine_up", None, None, None, "no engine tells how many requests it has")
        return Limiter(Limit.UNKNOWN, None, (evidence,))
    for judge in (_no_work, _thermal, _kv_memory, _room_for_more(baseline), _power_limit):
        found = judge(view, ease)
        if found is not None:
            return found
    units = [unit(view, ease) for unit in (_compute, _memory_bandwidth, _nvlink)]
    told_units = [each for each in units if each is not None]
    if told_units:
        return max(told_units, key=lambda each: each.share or 0.0)
    return _host(view, ease) or _nothing_waits(view, ease) or _unknown(view)


Ease = dict[Limit, float]


def _no_work(view: View, _: Ease) -> Limiter | None:
    running, waiting = view.running or 0.0, view.waiting or 0.0
    if running + waiting >= LEAST_WAITING:
        return None
    evidence = LimitEvidence("deployment_requests", None, running + waiting, None, "no requests are there")
    return Limiter(Limit.DEMAND, 0.0, (evidence,))


def _thermal(view: View, ease: Ease) -> Limiter | None:
    held = {gpu: view.held(gpu, HOT) for gpu in view.gpus}
    hot = {gpu: share for gpu, share in held.items() if share >= HELD_RATIO * ease[Limit.THERMAL]}
    if not hot:
        return None
    worst = max(hot, key=lambda gpu: hot[gpu])
    heat = view.of_gpu(worst, lambda gpu: gpu.celsius)
    at = "" if heat is None else f" at {heat:.0f} °C"
    text = f"heat holds down the clocks of {_gpus(hot)}{at}, {hot[worst]:.0%} of the time"
    evidence = LimitEvidence("gpu_temperature_celsius", worst, heat, None, text)
    return Limiter(Limit.THERMAL, hot[worst], (evidence,))


def _kv_memory(view: View, ease: Ease) -> Limiter | None:
    cache, put_off = view.cache, view.put_off or 0.0
    if cache is None:
        return None
    eased = ease[Limit.KV_MEMORY]
    thrashes = put_off >= PUT_OFF_PER_SECOND * eased and cache >= TIGHT_RATIO * eased
    # The cache is a hard bound: to ease it as much as a share of time would call a roomy one full.
    full = cache >= FULL_RATIO - (1.0 - eased) / 3.0 and _waits(view)
    if not (full or thrashes):
        return None
    text = f"the KV cache is {cache:.0%} full, and {_waiting(view)}"
    told = [LimitEvidence("deployment_kv_cache_usage_ratio", None, cache, FULL_RATIO, text)]
    if put_off:
        text = f"{put_off:.1f} requests a second are put off for want of it"
        told.append(LimitEvidence("engine_preemptions_total", None, put_off, None, text))
    return Limiter(Limit.KV_MEMORY, min(cache, 1.0), tuple(told))


def _room_for_more(baseline: Baseline) -> Callable[[View, Ease], Limiter | None]:
    """Return the judge that knows what it gives at higher loads: all is in work, and more would give more."""

    def judge(view: View, ease: Ease) -> Limiter | None:
        running = view.running or 0.0
        most, here = baseline.capacity, expected(baseline, running)
        if _waits(view) or not most or not here:
            return None
        if most < (1.0 + (HEADROOM_RATIO - 1.0) * ease[Limit.DEMAND]) * here:
            return None
        text = (
            f"all {running:.0f} requests are in work; more of them have made {most:.0f} tokens/s, so many "
            f"usually make {here:.0f}"
        )
        evidence = LimitEvidence("deployment_tokens_per_second", None, here, most, text)
        return Limiter(Limit.DEMAND, min(1.0, here / most), (evidence,))

    return judge


def _power_limit(view: View, ease: Ease) -> Limiter | None:
    eased = ease[Limit.POWER_LIMIT]
    reasons = frozenset({CAP, BRAKE})
    near = view.by_gpu(lambda gpu: gpu.power)
    held = {gpu: view.held(gpu, reasons) for gpu in view.gpus}
    at = [
        gpu
        for gpu in view.gpus
        if held[gpu] >= HELD_RATIO * eased or near.get(gpu, 0.0) >= 1.0 - (1.0 - AT_LIMIT_RATIO) / eased
    ]
    if not at:
        return None
    worst = max(at, key=lambda gpu: (held[gpu], near.get(gpu, 0.0)))
    watts = view.of_gpu(worst, lambda gpu: gpu.watts)
    limit = view.of_gpu(worst, lambda gpu: gpu.limit_watts)
    if view.held(worst, frozenset({BRAKE})) >= HELD_RATIO:
        text = f"the power brake of the machine holds down {_gpus(at)}"
    else:
        text = f"{_gpus(at)} at the power limit, clocks held down {held[worst]:.0%} of the time"
    if watts is not None and limit is not None:
        text += f": {watts:.0f} W of {limit:.0f} W"
    evidence = LimitEvidence("gpu_power_watts", worst, watts, limit, text)
    return Limiter(Limit.POWER_LIMIT, min(1.0, near[worst]) if worst in near else None, (evidence,))


def _compute(view: View, ease: Ease) -> Limiter | None:
    return _unit(view, ease, Limit.COMPUTE, "tensor", "gpu_tensor_active_ratio", "tensor cores work")


def _memory_bandwidth(view: View, ease: Ease) -> Limiter | None:
    return _unit(view, ease, Limit.MEMORY_BANDWIDTH, "dram", "gpu_memory_bandwidth_ratio", "memory is used")


def _unit(view: View, ease: Ease, limit: Limit, unit: str, metric: str, does: str) -> Limiter | None:
    """Judge a unit by its mean over the GPUs: with a copy on each, or one over all, they are alike."""
    ratio = mean(view.by_gpu(lambda gpu: gpu.active.get(unit)).values())
    if ratio is None or ratio / PRACTICAL_PEAK < BOUND_SHARE * ease[limit]:
        return None
    text = f"{does} at {ratio:.0%} of the peak, of which {PRACTICAL_PEAK:.0%} can be had"
    evidence = LimitEvidence(metric, None, ratio, PRACTICAL_PEAK, text)
    return Limiter(limit, min(1.0, ratio / PRACTICAL_PEAK), (evidence,))


def _nvlink(view: View, ease: Ease) -> Limiter | None:
    capacity = view.by_gpu(lambda gpu: gpu.link_capacity)
    rates = {gpu: rate for gpu in capacity if (rate := view.link_rate(gpu)) is not None}
    if not rates:
        return None
    worst = max(rates, key=lambda gpu: rates[gpu] / capacity[gpu])
    share = rates[worst] / capacity[worst] / PRACTICAL_PEAK
    if share < BOUND_SHARE * ease[Limit.NVLINK]:
        return None
    text = f"GPU {worst} moves {rates[worst] / 1e9:.0f} GB/s of {capacity[worst] / 1e9:.0f} GB/s over NVLink"
    evidence = LimitEvidence("gpu_nvlink_bytes_total", worst, rates[worst], capacity[worst], text)
    return Limiter(Limit.NVLINK, min(1.0, share), (evidence,))


def _host(view: View, ease: Ease) -> Limiter | None:
    """Tell when requests are there and the GPUs wait: something before them is slow."""
    eased = ease[Limit.HOST]
    worked = view.by_gpu(lambda gpu: gpu.active.get("sm", gpu.busy))
    busy = mean(worked.values())
    if busy is None or busy > 1.0 - (1.0 - IDLE_RATIO) * eased:
        return None
    stalled = view.growth(lambda look: look.cpu_stalled) or 0.0
    stolen = view.growth(lambda look: look.stolen) or 0.0
    pressed = stalled >= STALLED_RATIO * eased or stolen >= STOLEN_CORES * eased
    if not (pressed or _waits(view)):
        return None
    requests = (view.running or 0.0) + (view.waiting or 0.0)
    text = f"GPUs work {busy:.0%} of the time, though {requests:.0f} requests are there"
    told = [LimitEvidence("gpu_utilization_ratio", None, busy, None, text)]
    if stalled:
        text = f"tasks waited for a processor {stalled:.0%} of the time"
        told.append(LimitEvidence("host_pressure_stalled_seconds_total", None, stalled, None, text))
    if stolen >= STOLEN_CORES * EASE:
        text = f"the hypervisor takes {stolen:.1f} processors"
        told.append(LimitEvidence("host_cpu_steal_seconds_total", None, stolen, None, text))
    return Limiter(Limit.HOST, None, tuple(told))


def _nothing_waits(view: View, _: Ease) -> Limiter | None:
    if view.waiting is None or _waits(view):
        return None
    running = view.running or 0.0
    text = f"all {running:.0f} requests are in work, none waits, and nothing that is measured is at its bound"
    return Limiter(Limit.DEMAND, None, (LimitEvidence("deployment_requests", None, running, None, text),))


def _unknown(view: View) -> Limiter:
    """Say what is missing to know it."""
    waiting = view.waiting
    counters = any(gpu.active for look in view.looks for gpu in look.gpus)
    if waiting is None:
        text = "the engine does not tell whether requests wait"
    elif not view.gpus:
        text = f"{_waiting(view)}, and which GPUs it has is not known"
    elif counters:
        text = (
            f"{_waiting(view)}, and no KV cache and no unit of a GPU is at its bound: "
            "see the engine's own limit of requests or tokens in a batch"
        )
    else:
        text = (
            f"{_waiting(view)}; whether arithmetic or memory bounds the GPUs is told by hardware "
            "counters only (NVML from Hopper on, or DCGM's profiling fields)"
        )
    return Limiter(Limit.UNKNOWN, None, (LimitEvidence("deployment_requests", None, waiting, None, text),))


def _waits(view: View) -> bool:
    """Whether more requests wait than are on their way into the batch."""
    waiting = view.waiting or 0.0
    return waiting >= max(LEAST_WAITING, WAITING_RATIO * (waiting + (view.running or 0.0)))


def _waiting(view: View) -> str:
    number = round(view.waiting or 0.0)
    return "1 request waits" if number == 1 else f"{number} requests wait"


def _gpus(numbers: Iterable[int]) -> str:
    named = sorted(numbers)
    return f"GPU{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"
