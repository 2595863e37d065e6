"""Models and deployments as JSON, of a node as of a rack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.engine import TokenKind
    from agent.measure.limiter import Limiter
    from agent.measure.rack_snapshot import DeploymentFigures, ModelFigures
    from agent.measure.service import ServiceFigures


def by_boundary(ratios: Mapping[tuple[TokenKind, str], float]) -> dict[str, dict[str, float]]:
    """Return ratios by boundary, and there by kind of token."""
    plain: dict[str, dict[str, float]] = {}
    for (kind, boundary), ratio in ratios.items():
        plain.setdefault(boundary, {})[kind] = ratio
    return plain


def model_row(model: ModelFigures) -> dict[str, Any]:
    """Return one model."""
    return {
        "model": model.model,
        "nodes": model.nodes,
        "tokens_per_second": dict(model.tokens_per_second),
        "tokens_total": dict(model.tokens_total),
        "tokens_per_joule": by_boundary(model.tokens_per_joule),
        "requests": {"running": model.running, "waiting": model.waiting},
        "service": _service(model.service),
    }


def deployment_row(each: DeploymentFigures) -> dict[str, Any]:
    """Return one deployment."""
    return {
        "deployment": each.deployment,
        "model": each.model,
        "nodes": each.nodes,
        "gpus": each.gpus,
        "tokens_per_second": dict(each.tokens_per_second),
        "tokens_per_joule": by_boundary(each.tokens_per_joule),
        "power_watts": dict(each.power_watts),
        "requests": {"running": each.running, "waiting": each.waiting},
        "kv_cache_usage_ratio": each.kv_cache_usage_ratio,
        "service": _service(each.service),
        "reasons": sorted(each.reasons),
        "limiter": _limiter(each.limiter),
    }


def _limiter(limiter: Limiter | None) -> dict[str, Any] | None:
    """Return what bounds one; None while nobody has looked."""
    if limiter is None:
        return None
    evidence = [
        {"metric": e.metric, "gpu": e.gpu, "value": e.value, "bound": e.bound, "text": e.text}
        for e in limiter.evidence
    ]
    return {"name": limiter.name, "share": limiter.share, "evidence": evidence}


def _service(service: ServiceFigures | None) -> dict[str, Any] | None:
    """Return how well one is served; None where nothing is known of that."""
    if service is None:
        return None
    return {
        "window_seconds": service.window_seconds,
        "latency_seconds": {
            figures.latency: {f"{100 * share:g}": seconds for share, seconds in figures.quantiles.items()}
            for figures in service.latencies
        },
        "goodput_ratio": _bounds(service.goodput_ratio),
        "goodput_requests_per_second": _bounds(service.goodput_requests_per_second),
        "cached_prompt_ratio": service.cached_prompt_ratio,
        "speculative_accepted_ratio": service.speculative_accepted_ratio,
    }


def _bounds(pair: tuple[float, float] | None) -> dict[str, float] | None:
    return None if pair is None else dict(zip(("lower", "upper"), pair, strict=True))
