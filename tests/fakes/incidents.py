"""Incidents of known figures: one that stands, one that ended, one of a rack, one with hostile words."""

from __future__ import annotations

from dataclasses import replace

from agent.measure.incident import Bounds, Cause, Evidence, Incident, Kind, Severity

MODEL = "meta-llama/Llama-2-70b-chat-hf"


def power_capped(node: str = "tray-03", gpu: int = 2, *, started: float = 1_800_000_400.0) -> Incident:
    """A drop that goes on: a GPU was given a lower power limit."""
    text = f"GPU {gpu} has a power limit of 800 W, before 1400 W"
    return Incident(
        id=f"{node}/{MODEL}/{started:.0f}",
        scope="node",
        kind=Kind.DROP,
        cause=Cause.POWER_CAP,
        severity=Severity.WARNING,
        node=node,
        gpu=gpu,
        engine_instance="",
        model=MODEL,
        started=started,
        detected=started + 4.0,
        ended=None,
        lost_tokens=1_234_567.0,
        lost_joules=None,
        confidence=0.93,
        evidence=(
            Evidence(
                "engine_tokens_per_second",
                node,
                None,
                61_000.0,
                42_000.0,
                "42000 output tokens/s instead of 61000",
            ),
            Evidence("gpu_power_limit_watts", node, gpu, 1400.0, 800.0, text),
        ),
        summary=f"{node}: {MODEL} makes 31 % fewer tokens than it should: {text}",
    )


def engine_down(node: str = "tray-15", *, ended: float | None = 1_800_000_560.0) -> Incident:
    """A stop that is over."""
    stands = power_capped(node, started=1_800_000_480.0)
    text = "engine 127.0.0.1:8000 is gone"
    return replace(
        stands,
        id=f"{node}/{MODEL}/1800000480",
        cause=Cause.ENGINE_DOWN,
        severity=Severity.CRITICAL,
        gpu=None,
        engine_instance="127.0.0.1:8000",
        ended=ended,
        lost_tokens=2_440_000.0,
        lost_joules=57_300.0,
        lost_cost=0.31,
        lost_tokens_bounds=Bounds(2_391_000.0, 2_489_000.0),
        lost_joules_bounds=Bounds(56_100.0, 58_500.0),
        lost_cost_bounds=Bounds(0.30, 0.32),
        lost_gpu_seconds=320.0,
        currency="USD",
        confidence=1.0,
        evidence=(Evidence("engine_up", node, None, 1.0, 0.0, text),),
        summary=f"{node}: {MODEL} made 100 % fewer tokens than it should: {text}",
    )


def not_reporting(node: str = "tray-07", rack: str = "r12") -> Incident:
    """What only a rack sees; nobody knows what it costs."""
    text = f"{node} does not report: timed out: no answer within 0.9 s"
    return replace(
        power_capped(node, started=1_800_000_528.0),
        id=f"{rack}/{node}/gap/1800000528",
        scope="rack",
        kind=Kind.GAP,
        cause=Cause.TELEMETRY_GAP,
        gpu=None,
        model="",
        lost_tokens=0.0,
        confidence=0.9,
        evidence=(Evidence("rack_member_up", node, None, 1.0, 0.0, text),),
        summary=f"{text}; whether it works meanwhile is not known",
    )


def unexplained(node: str = "tray-05") -> Incident:
    """A drop whose cause is not known, told for information only."""
    return replace(
        power_capped(node, started=1_800_000_300.0),
        id=f"{node}/{MODEL}/1800000300",
        cause=Cause.UNKNOWN,
        severity=Severity.INFO,
        gpu=None,
        confidence=0.0,
        evidence=(),
        ended=1_800_000_350.0,
        summary=f"{node}: {MODEL} made 9 % fewer tokens than it should: nothing that is measured explains it",
    )


def worded(words: str, node: str) -> Incident:
    """One whose every word comes from outside."""
    evidence = (Evidence(words, words, 0, None, 2.0, words),)
    named = replace(power_capped(node), id=words, model=words, engine_instance=words)
    named = replace(named, recording=f"javascript:{words}")
    return replace(named, gpu=0, evidence=evidence, summary=words)
