"""Racks as records: eighteen trays with what can be wrong with them, for whoever renders a rack."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import math
import time

from fakes.page_server import Answer, PageServer

from agent.measure.engine import TokenKind
from agent.measure.rack_snapshot import (
    MemberFigures,
    MemberGpu,
    ModelFigures,
    RackSnapshot,
    RecordFigures,
)
from agent.measure.reading import Moment
from agent.measure.validity import Flag, Invalid, Validity
from agent.wire.rack_codec import to_json

LLAMA = "llama2-70b-fp4"
PATH = "/api/v1/rack"
OUTPUT, PROMPT = TokenKind.OUTPUT, TokenKind.PROMPT


def gpu(number: int = 0, **changes: object) -> MemberGpu:
    """Return a GPU at work."""
    made = MemberGpu(
        gpu=number,
        uuid=f"GPU-00000000-0000-0000-0000-00000000000{number}",
        up=True,
        power_watts=1200.0,
        power_limit_watts=1400.0,
        temperature_celsius=61.0,
        utilization_ratio=0.98,
        clock_hertz=1.92e9,
        throttled=(),
        power_to_median_ratio=1.0,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # a test names real fields


def member(node: str, **changes: object) -> MemberFigures:
    """Return a tray at work."""
    made = MemberFigures(
        node=node,
        url=f"http://{node}:9744",
        up=True,
        age_seconds=0.4,
        coverage=1.0,
        state="serving",
        models=(LLAMA,),
        tokens_per_second={OUTPUT: 60_000.0, PROMPT: 120_000.0},
        power_watts={"gpu": 4800.0, "module": 5600.0},
        tokens_per_joule={(OUTPUT, "gpu"): 12.5, (OUTPUT, "module"): 10.714},
        rate_to_median_ratio=1.0,
        gpus=tuple(gpu(number) for number in range(4)),
        version="0.1.0",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # a test names real fields


def away(node: str, **changes: object) -> MemberFigures:
    """Return a tray that does not report: its figures are absent."""
    made = member(
        node,
        up=False,
        why="unreachable: cannot connect (Connection refused)",
        age_seconds=95.0,
        coverage=0.0,
        state="unknown",
        tokens_per_second={},
        power_watts={},
        tokens_per_joule={},
        rate_to_median_ratio=None,
        gpus=tuple(MemberGpu(number, f"GPU-{node}-{number}", up=False) for number in range(4)),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # a test names real fields


def rack(*members: MemberFigures, **changes: object) -> RackSnapshot:
    """Return a rack of these members; what it says of the whole follows from them."""
    expected = [each for each in members if not each.drained]
    up = [each for each in expected if each.up]
    tokens = sum(each.tokens_per_second.get(OUTPUT, 0.0) for each in up)
    watts = {b: sum(each.power_watts.get(b, 0.0) for each in up) for b in ("gpu", "module")}
    coverage = len(up) / len(expected) if expected else None
    reasons = frozenset({Invalid.MEMBER_MISSING}) if len(up) < len(expected) else frozenset()
    made = RackSnapshot(
        sequence=1,
        at=Moment(1000.0, 1_790_000_000.0),
        rack="r12",
        of_one=False,
        window_seconds=10.0,
        tokens_per_second={OUTPUT: tokens, PROMPT: 2 * tokens},
        tokens_total={OUTPUT: 9_876_543_210.0, PROMPT: 19_000_000_000.0},
        backfilled_tokens_total={OUTPUT: 1_234_567.0},
        power_watts=watts if up else {},
        power_sources={"gpu": "nvml", "module": "nvml"},
        energy_joules_total={"gpu": 8e9, "module": 9e9},
        tokens_per_joule={(OUTPUT, b): tokens / w for b, w in watts.items() if w and not reasons},
        coverage=coverage,
        validity=(
            Validity("rack_tokens_per_second", 10.0, reasons),
            Validity("rack_tokens_per_joule_gpu", 10.0, reasons),
            Validity("rack_tokens_per_joule_module", 10.0, reasons, frozenset({Flag.INTEGRATED})),
        ),
        nodes_expected=len(expected),
        nodes_reporting=len(up),
        missing=tuple(each.node for each in expected if not each.up),
        drained=tuple(each.node for each in members if each.drained),
        gpus_expected=sum(len(each.gpus) for each in expected),
        gpus_reporting=sum(g.up for each in up for g in each.gpus),
        models=(
            ModelFigures(
                LLAMA,
                {OUTPUT: tokens, PROMPT: 2 * tokens},
                {OUTPUT: 9_876_543_210.0},
                {(OUTPUT, "gpu"): 12.5},
                len(up),
                4608.0,
                12.0,
            ),
        ),
        members=members,
        record=RecordFigures(
            "azure-gb300-llama2-70b",
            "MLPerf v5.1 Azure GB300 NVL72 Llama2-70B Offline",
            1_100_948.3,
            tokens / 1_100_948.3,
            ("unverified", "Offline, a sum of 18 single-node runs", "no power published"),
        ),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # a test names real fields


def ailing_rack(moment: float = 0.0) -> RackSnapshot:
    """Return eighteen trays of which one is away, one drained, one slow and hot, one short of a GPU."""
    members = []
    for tray in range(1, 19):
        name = f"tray-{tray:02}"
        share = 1.0 + 0.02 * math.sin(0.9 * tray + 0.2 * moment)
        gpus = tuple(
            gpu(n, power_watts=1200.0 * share + 8 * n, temperature_celsius=58.0 + tray % 7 + n)
            for n in range(4)
        )
        made = member(
            name,
            tokens_per_second={OUTPUT: 60_000.0 * share, PROMPT: 120_000.0 * share},
            rate_to_median_ratio=share,
            power_watts={"gpu": 4800.0 * share, "module": 5600.0 * share},
            gpus=gpus,
        )
        members.append(made)
    members[3] = away("tray-04")
    members[8] = dataclasses.replace(away("tray-09"), drained=True, why="drained by ops: new firmware")
    hot = gpu(2, throttled=("hw_thermal_slowdown",), temperature_celsius=91.0, power_watts=700.0)
    hot = dataclasses.replace(hot, power_to_median_ratio=0.58)
    members[11] = dataclasses.replace(
        members[11],
        tokens_per_second={OUTPUT: 44_000.0, PROMPT: 88_000.0},
        rate_to_median_ratio=0.733,
        tokens_per_joule={(OUTPUT, "gpu"): 10.2, (OUTPUT, "module"): 8.8},
        gpus=(gpu(0), gpu(1), hot, gpu(3)),
    )
    lost = MemberGpu(3, "GPU-lost", up=False)
    members[14] = dataclasses.replace(
        members[14],
        tokens_per_second={OUTPUT: 52_000.0},
        rate_to_median_ratio=0.866,
        gpus=(gpu(0), gpu(1), gpu(2), lost),
    )
    return rack(*members, sequence=int(moment), at=Moment(moment, 1_790_000_000.0 + moment))


async def serve(seconds: float) -> None:
    """Serve the ailing rack, a new snapshot every second, and print its address."""
    async with PageServer({PATH: Answer(to_json(ailing_rack()))}) as server:
        print(server.url, flush=True)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            server.answers[PATH] = Answer(to_json(ailing_rack(passed)))
            await asyncio.sleep(1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    asyncio.run(serve(parser.parse_args().seconds))
