"""One instance of a serving engine."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C = MetricType.GAUGE, MetricType.COUNTER
_ENGINE = ("engine", "engine_instance", "model")

METRICS: tuple[Metric, ...] = (
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
)
