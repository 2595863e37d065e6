"""Rack snapshots of known figures: 18 trays of four GPUs, one GPU alone, hundreds of nodes, hostile names."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from fakes.incidents import engine_down, not_reporting, power_capped, unexplained, worded

from agent.measure.engine import Latency, TokenKind
from agent.measure.ladder import Remainder
from agent.measure.limiter import Limit, Limiter, LimitEvidence
from agent.measure.rack_site import Beside, Pricing, live_costs
from agent.measure.rack_snapshot import (
    DeploymentFigures,
    MemberFigures,
    MemberGpu,
    ModelFigures,
    RackSnapshot,
    RecordFigures,
)
from agent.measure.reading import Moment
from agent.measure.records import BY_NAME
from agent.measure.service import LatencyFigures, ServiceFigures
from agent.measure.site import Site, Stated, capacity_cost, co2e_grams, energy_cost
from agent.measure.validity import Invalid, Validity

OUTPUT, PROMPT = TokenKind.OUTPUT, TokenKind.PROMPT
MODEL = "meta-llama/Llama-2-70b-chat-hf"
AZURE = BY_NAME["azure-gb300-llama2-70b"]
RECORD_TOKENS_PER_SECOND = 1_100_948.3
RECORD = RecordFigures(
    AZURE.name, AZURE.title, RECORD_TOKENS_PER_SECOND, None, AZURE.caveats, "https://records.example/azure"
)


def gpu(number: int, watts: float, *, node: str = "n", throttled: tuple[str, ...] = ()) -> MemberGpu:
    """One GPU that reports."""
    return MemberGpu(
        gpu=number,
        uuid=f"GPU-{node}-{number:04d}",
        up=True,
        power_watts=watts,
        power_limit_watts=1400.0,
        temperature_celsius=48.0 + number * 3 + (25 if throttled else 0),
        utilization_ratio=0.97,
        clock_hertz=1.92e9,
        throttled=throttled,
        power_to_median_ratio=watts / 1290.0,
    )


def member(name: str, rate: float, *, gpus: int = 4, wobble: float = 0.0) -> MemberFigures:
    """One node that serves."""
    each = tuple(gpu(n, 1290.0 + 7 * n + 20 * math.sin(wobble + n), node=name) for n in range(gpus))
    watts = sum(one.power_watts or 0.0 for one in each)
    return MemberFigures(
        node=name,
        url=f"http://{name}:9744",
        up=True,
        age_seconds=0.4,
        coverage=1.0,
        state="serving",
        models=(MODEL,),
        tokens_per_second={OUTPUT: rate, PROMPT: rate * 3},
        power_watts={"gpu": watts, "module": watts * 1.21},
        tokens_per_joule={(OUTPUT, "gpu"): rate / watts, (OUTPUT, "module"): rate / watts / 1.21},
        rate_to_median_ratio=rate / 61_700.0,
        gpus=each,
        version="0.1.0",
    )


def away(one: MemberFigures, why: str, age_seconds: float | None) -> MemberFigures:
    """The same node while it does not report."""
    dark = tuple(MemberGpu(gpu=each.gpu, uuid=each.uuid, up=False) for each in one.gpus)
    return MemberFigures(
        node=one.node, url=one.url, up=False, why=why, age_seconds=age_seconds, gpus=dark, version=one.version
    )


def service(model: str, scale: float = 1.0) -> ServiceFigures:
    """What the clients of a model wait; its slowest whole requests are above the highest bucket."""
    waits = {
        Latency.FIRST_TOKEN: {0.5: 0.118 * scale, 0.9: 0.31 * scale, 0.99: 1.24 * scale},
        Latency.INTER_TOKEN: {0.5: 0.0112 * scale, 0.9: 0.0197 * scale, 0.99: 0.0416 * scale},
        Latency.END_TO_END: {0.5: 8.2 * scale, 0.9: 14.6 * scale},
    }
    told = tuple(LatencyFigures(each, 200.0, None, quantiles, None) for each, quantiles in waits.items())
    return ServiceFigures(model, 60.0, told)


def rack_of(
    members: tuple[MemberFigures, ...], sequence: int = 1, *, name: str = "r12", seconds: float = 1000.0
) -> RackSnapshot:
    """The rack over these members: sums of what reports, ratios of sums, what is missing by name."""
    expected = [each for each in members if not each.drained]
    there = [each for each in expected if each.up]
    missing = tuple(each.node for each in expected if not each.up)
    rates = {kind: sum(each.tokens_per_second.get(kind, 0.0) for each in there) for kind in (OUTPUT, PROMPT)}
    watts = {at: sum(each.power_watts.get(at, 0.0) for each in there) for at in ("gpu", "module")}
    coverage = len(there) / len(expected) if expected else None
    reasons = frozenset({Invalid.MEMBER_MISSING}) if coverage is None or coverage < 0.95 else frozenset()
    ratios = {} if reasons else {(OUTPUT, at): rates[OUTPUT] / watts[at] for at in watts if watts[at]}
    figures = ("rack_tokens_per_second", "rack_tokens_per_joule_gpu", "rack_tokens_per_joule_module")
    model = ModelFigures(
        model=MODEL,
        tokens_per_second=rates,
        tokens_total={OUTPUT: 4.2e9 + seconds * 1e6, PROMPT: 12.6e9},
        tokens_per_joule=ratios,
        nodes=len(there),
        running=4608.0,
        waiting=0.0,
    )
    return RackSnapshot(
        sequence=sequence,
        at=Moment(seconds, 1_800_000_000.0 + seconds),
        rack=name,
        of_one=False,
        window_seconds=10.0,
        tokens_per_second=rates,
        tokens_total=model.tokens_total,
        backfilled_tokens_total={OUTPUT: 0.0, PROMPT: 0.0},
        power_watts=watts,
        power_sources={"gpu": "nvml", "module": "nvml"},
        energy_joules_total={"gpu": 3.6e8 + seconds * 9e4, "module": 4.4e8 + seconds * 1.1e5},
        tokens_per_joule=ratios,
        coverage=coverage,
        validity=tuple(Validity(figure, 10.0, reasons) for figure in figures),
        nodes_expected=len(expected),
        nodes_reporting=len(there),
        missing=missing,
        drained=tuple(each.node for each in members if each.drained),
        gpus_expected=sum(len(each.gpus) for each in expected),
        gpus_reporting=sum(each.up for one in there for each in one.gpus),
        models=(model,),
        members=members,
        record=replace(RECORD, ratio=rates[OUTPUT] / RECORD_TOKENS_PER_SECOND),
    )


def nvl72(sequence: int = 1, seconds: float = 1000.0) -> RackSnapshot:
    """18 trays x 4 GPUs that together make exactly what the record says."""
    shares = [1 + 0.02 * math.sin(1.7 * i) for i in range(18)]
    rates = [RECORD_TOKENS_PER_SECOND * share / sum(shares) for share in shares]
    names = [f"tray-{i:02d}" for i in range(1, 19)]
    members = tuple(
        member(n, r, wobble=i + seconds / 7) for i, (n, r) in enumerate(zip(names, rates, strict=True))
    )
    return rack_of(members, sequence, seconds=seconds)


SITE = Site(
    pue=Stated(1.2, "report of 2026"),
    currency="USD",
    price_per_kwh=0.08,
    price_per_gpu_hour=3.3,
    grams_co2e_per_kwh=Stated(400.0, "supplier", "2026"),
)
AROUND = {"node": 1.35, "rack": 1.45, "facility": 1.45 * 1.2}
"""What boundaries draw, over what the GPUs do."""


def billed(sequence: int = 1, seconds: float = 1000.0, site: Site = SITE) -> RackSnapshot:
    """The record's rack with a meter at every boundary, and its costs; 12 % of its energy nobody rated."""
    whole = nvl72(sequence, seconds)
    of_gpus = whole.power_watts["gpu"]
    watts = {**whole.power_watts, **{at: of_gpus * times for at, times in AROUND.items()}}
    ratios = {(OUTPUT, at): whole.tokens_per_second[OUTPUT] / told for at, told in watts.items()}
    joules = {at: told * seconds for at, told in watts.items()}
    steps = pairwise(watts)
    rests = tuple(
        Remainder(outer, inner, watts[outer] - watts[inner], Validity(f"rack_power_remainder_{outer}", 10.0))
        for inner, outer in steps
    )
    whole = replace(
        whole,
        power_watts=watts,
        power_sources={
            "gpu": "nvml",
            "module": "nvml",
            "node": "redfish",
            "rack": "redfish",
            "facility": "pue",
        },
        energy_joules_total=joules,
        tokens_per_joule=ratios,
        validity=(
            whole.validity[0],
            *(Validity(f"rack_tokens_per_joule_{at}", 10.0) for at in watts),
            *(each.standing for each in rests),
        ),
        remainders=rests,
        power_coverage=dict.fromkeys(watts, 1.0),
    )
    told = live_costs(whole, Pricing(site, site.prices(None)), Beside())
    inside = {at: told for at, told in joules.items() if at != "facility"}
    booked = {("co2e", at): (told * 0.88, told * 0.12) for at, told in inside.items()}
    costs = {("energy", at, "USD"): energy_cost(told, 0.08, 1.2) for at, told in inside.items()}
    totals = replace(
        told,
        costs_total=costs | {("capacity", "", "USD"): capacity_cost(72, seconds, 3.3)},
        grams_total={at: co2e_grams(told * 0.88, 400.0, 1.2) for at, told in inside.items()},
        booked_joules=booked,
    )
    return replace(whole, site=totals)


def with_troubles(sequence: int = 1, seconds: float = 1000.0) -> RackSnapshot:
    """The same rack: tray-07 missing, a GPU of tray-03 throttled, tray-11 drained, tray-15 straggling."""
    members = list(nvl72(sequence, seconds).members)
    members[6] = away(members[6], "timed out: no answer within 0.9 s", 72.0)
    hot = gpu(2, 980.0, node="tray-03", throttled=("hw_thermal_slowdown",))
    members[2] = replace(members[2], gpus=(*members[2].gpus[:2], hot, members[2].gpus[3]))
    members[10] = replace(away(members[10], "", 40.0), drained=True)
    slow = dict(members[14].tokens_per_second) | {OUTPUT: 50_100.0}
    members[14] = replace(members[14], tokens_per_second=slow, rate_to_median_ratio=50_100 / 61_700)
    return rack_of(tuple(members), sequence, seconds=seconds)


def with_incidents(sequence: int = 1, seconds: float = 1000.0) -> RackSnapshot:
    """The rack with troubles, and why: by 600 s three incidents stand and two have ended."""
    told = (
        power_capped(),
        not_reporting(),
        engine_down("tray-12", ended=None),
        engine_down("tray-15"),
        unexplained(),
    )
    return replace(with_troubles(sequence, seconds), incidents=told)


def workstation(sequence: int = 1, seconds: float = 1000.0) -> RackSnapshot:
    """A rack of one: one GPU, one small model, no module boundary and no record."""
    card = MemberGpu(
        0, "GPU-5d1c", up=True, power_watts=212.4, power_limit_watts=450.0, temperature_celsius=61.0
    )
    card = replace(card, utilization_ratio=0.88, clock_hertz=2.52e9)
    one = replace(
        member("deskbox", 84.2, gpus=1),
        url="",
        models=("qwen2.5-7b-instruct-q4_k_m.gguf",),
        power_watts={"gpu": 212.4},
        tokens_per_joule={(OUTPUT, "gpu"): 84.2 / 212.4},
        rate_to_median_ratio=None,
        gpus=(card,),
    )
    whole = rack_of((one,), sequence, name="deskbox", seconds=seconds)
    return replace(
        whole,
        of_one=True,
        record=None,
        power_watts={"gpu": 212.4},
        power_sources={"gpu": "nvml"},
        energy_joules_total={"gpu": 1.2e6},
        tokens_per_joule={(OUTPUT, "gpu"): 84.2 / 212.4},
        tokens_total={OUTPUT: 481_220.0, PROMPT: 1_203_441.0},
        validity=whole.validity[:2],
        models=(
            replace(
                whole.models[0],
                model=one.models[0],
                tokens_total={OUTPUT: 481_220.0},
                running=2.0,
                service=service(one.models[0], 3.0),
            ),
        ),
        deployments=(DeploymentFigures(one.models[0], one.models[0], gpus=1),),
    )


LIMITERS = {
    "chat-batch": Limiter(
        Limit.KV_MEMORY,
        0.98,
        (
            LimitEvidence(
                "deployment_kv_cache_usage_ratio",
                None,
                0.98,
                0.95,
                "the KV cache is 98% full and 14 requests wait",
            ),
        ),
    ),
    "chat-live": Limiter(Limit.DEMAND, None),
}


def shared(sequence: int = 1, seconds: float = 1000.0) -> RackSnapshot:
    """A node of eight GPUs alone: two models in three deployments, of which one does not know its GPUs."""
    whole = rack_of((member("hgx-03", 9_210.0, gpus=8),), sequence, name="hgx-03", seconds=seconds)
    chat, code = "meta-llama/Llama-3.3-70B-Instruct", "Qwen/Qwen2.5-Coder-32B"
    of_models = [
        replace(whole.models[0], model=chat, tokens_per_joule={}, service=service(chat, 1.4), nodes=1),
        replace(whole.models[0], model=code, tokens_per_joule={}, service=service(code, 0.6), nodes=1),
    ]
    unknown = frozenset({Invalid.UNATTRIBUTED})

    def deployment(name: str, model: str, gpus: int, rate: float, scale: float) -> DeploymentFigures:
        return DeploymentFigures(
            name,
            model,
            gpus=gpus,
            tokens_per_second={OUTPUT: rate},
            tokens_per_joule={(OUTPUT, "gpu"): rate / (1290.0 * gpus)} if gpus else {},
            running=rate / 40,
            waiting=0.0,
            reasons=frozenset() if gpus else unknown,
            service=service(model, scale),
            limiter=LIMITERS.get(name),
        )

    deployments = (
        deployment("chat-batch", chat, 2, 2_050.0, 2.4),
        deployment("chat-live", chat, 4, 5_840.0, 1.0),
        deployment("coder", code, 0, 1_320.0, 0.6),
    )
    alone = replace(whole, of_one=True, record=None, models=tuple(of_models), deployments=deployments)
    priced = Site(pue=Stated(1.2), currency="EUR", price_per_kwh=0.19)
    return replace(alone, site=live_costs(alone, Pricing(priced, priced.prices(None)), Beside()))


def many(count: int, sequence: int = 1, seconds: float = 1000.0) -> RackSnapshot:
    """Hundreds of nodes, three of them missing."""
    members = [
        member(f"n{i:04d}", 61_700 * (1 + 0.04 * math.sin(i)), wobble=i + seconds) for i in range(count)
    ]
    for i in (17, 99, 133):
        members[i] = away(members[i], "unreachable: connection refused", 300.0 + i)
    return rack_of(tuple(members), sequence, name="hall-b", seconds=seconds)


HOSTILE = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>\'"&amp;\u202e\u0000'


def hostile(sequence: int = 1, seconds: float = 1000.0) -> RackSnapshot:
    """Names of rack, nodes, models, reasons and caveats that try to be markup."""
    first = replace(
        member(HOSTILE, 1000.0), url="javascript:window.owned=1", models=(HOSTILE,), state=HOSTILE
    )
    second = away(member(f"{HOSTILE}2", 1000.0), HOSTILE, None)
    whole = rack_of((first, second), sequence, name=HOSTILE, seconds=seconds)
    return replace(
        whole,
        models=(replace(whole.models[0], model=HOSTILE, service=service(HOSTILE)),),
        deployments=(DeploymentFigures(f"{HOSTILE}3", HOSTILE, reasons=frozenset({Invalid.UNATTRIBUTED})),),
        incidents=(worded(HOSTILE, HOSTILE),),
        power_sources={"gpu": HOSTILE},
        power_watts={"gpu": 5.0, HOSTILE: 6.0},
        record=replace(RECORD, title=HOSTILE, caveats=(HOSTILE,), ratio=0.5),
    )
