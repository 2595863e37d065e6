"""Models and deployments: what they make, what it takes, and how long clients wait."""

from __future__ import annotations

from agent.measure.metric import Metric, MetricType

_G, _C, _H = MetricType.GAUGE, MetricType.COUNTER, MetricType.HISTOGRAM
_DEPLOYMENT = ("deployment", "model")

METRICS: tuple[Metric, ...] = (
    Metric(
        "model_tokens_total",
        _C,
        ("model", "kind"),
        "Tokens of one model over all engines of this node, also of those that are gone.",
    ),
    Metric(
        "model_tokens_per_second",
        _G,
        ("model", "kind"),
        "Live rate of one model over the window. Absent while an engine serves another model beside it.",
    ),
    Metric(
        "model_tokens_per_joule",
        _G,
        ("model", "kind", "boundary"),
        "Tokens per joule of one model over the window. Absent unless the node serves nothing else.",
    ),
    Metric(
        "model_energy_joules_total",
        _C,
        ("model", "boundary"),
        "Energy of the GPUs that worked for one model and nothing else; survives restarts. At the module "
        "boundary only while all GPUs of its modules did.",
    ),
    Metric(
        "deployment_gpu_info", _G, (*_DEPLOYMENT, "gpu"), "1; a GPU that the instances of a deployment hold."
    ),
    Metric(
        "gpu_attribution",
        _G,
        ("gpu", "state"),
        "1 for whose a GPU is: attributed to one deployment, shared by several, unattributed (something "
        "computes on it that no known engine claims), free, unknown.",
    ),
    Metric(
        "deployment_tokens_per_second",
        _G,
        (*_DEPLOYMENT, "kind"),
        "Live rate over the window of the instances that serve one model together: named as configured, else "
        "after the model.",
    ),
    Metric(
        "deployment_tokens_per_joule",
        _G,
        (*_DEPLOYMENT, "kind", "boundary"),
        "Tokens per joule over the window, of the deployment's own GPUs. Absent unless all of them are "
        "known, on this node and no one else's.",
    ),
    Metric(
        "deployment_power_watts", _G, (*_DEPLOYMENT, "boundary"), "Power now of the deployment's own GPUs."
    ),
    Metric(
        "deployment_energy_joules_total",
        _C,
        (*_DEPLOYMENT, "boundary", "state"),
        "Energy of the deployment's own GPUs by what it did meanwhile: serving, idle (asleep included), or "
        "unknown; survives restarts. A shared GPU's is nobody's.",
    ),
    Metric(
        "deployment_requests",
        _G,
        (*_DEPLOYMENT, "state"),
        "Requests of the deployment that are running, and waiting: sums over its instances that count.",
    ),
    Metric(
        "deployment_kv_cache_usage_ratio",
        _G,
        _DEPLOYMENT,
        "Fill of the KV cache of its fullest instance, which lets requests wait first. No mean: one full "
        "instance among many empty ones is what is to be seen.",
    ),
    Metric(
        "deployment_limiter",
        _G,
        (*_DEPLOYMENT, "limiter"),
        "1 for what bounds the throughput of the deployment now, wrong or not: demand, kv_memory, "
        "memory_bandwidth, compute, nvlink, power_limit, thermal, host or unknown (docs/limiter.md).",
    ),
    Metric(
        "deployment_requests_finished_total",
        _C,
        (*_DEPLOYMENT, "outcome"),
        "Requests that its instances saw end: succeeded, failed, aborted (given up by the client); only what "
        "its engines tell. Does not fall when an instance leaves; survives restarts. What a pair ended well "
        "its decode half tells.",
    ),
    Metric(
        "deployment_latency_quantile_seconds",
        _G,
        (*_DEPLOYMENT, "latency", "percentile"),
        "As model_latency_quantile_seconds, over the instances of one deployment. Absent where they serve "
        "several models.",
    ),
    Metric(
        "deployment_goodput_ratio",
        _G,
        (*_DEPLOYMENT, "bound"),
        "As model_goodput_ratio, of one deployment.",
    ),
    Metric(
        "deployment_goodput_requests_per_second",
        _G,
        (*_DEPLOYMENT, "bound"),
        "As model_goodput_requests_per_second, of one deployment.",
    ),
    Metric(
        "deployment_cached_prompt_ratio",
        _G,
        _DEPLOYMENT,
        "As model_cached_prompt_ratio, of one deployment.",
    ),
    Metric(
        "model_time_to_first_token_seconds",
        _H,
        ("model",),
        "From a request's arrival to its first output token, over all engines of this node that tell, at the "
        "bounds that all of them have. A request that a gateway tells of as well is one; of a prefill and "
        "decode pair its decode half tells, without the prefill. Begins at 0 when rackwatt starts.",
    ),
    Metric(
        "model_inter_token_latency_seconds",
        _H,
        ("model",),
        "Between two outputs of a request, likewise: an engine that hands out several tokens at once counts "
        "them once.",
    ),
    Metric(
        "model_request_duration_seconds",
        _H,
        ("model",),
        "From a request's arrival to its last token, likewise.",
    ),
    Metric(
        "model_queue_time_seconds",
        _H,
        ("model",),
        "From a request's arrival to the first work on it, likewise.",
    ),
    Metric(
        "model_latency_quantile_seconds",
        _G,
        ("model", "latency", "percentile"),
        "Latency that 50, 90 or 99 % stayed within over model_latency_window_seconds, as PromQL's "
        "histogram_quantile reckons it. Absent above the engine's highest bound; below its lowest (10 ms "
        "between tokens with vLLM) it is spread evenly from 0, and the mean says more.",
    ),
    Metric(
        "model_latency_mean_seconds",
        _G,
        ("model", "latency"),
        "Mean latency over the same window.",
    ),
    Metric("model_latency_window_seconds", _G, ("model",), "Interval that the figures of service speak of."),
    Metric(
        "model_slo_attained_ratio",
        _G,
        ("model", "latency"),
        "Share within its limit (slo) over the same window: of requests, and for inter_token of gaps between "
        "tokens. Exact when the limit is a bound of the engine's buckets, else spread evenly inside one; "
        "absent when the limit is above the highest and some took longer.",
    ),
    Metric(
        "model_goodput_ratio",
        _G,
        ("model", "bound"),
        "Share of requests that met every limit they have one time of (first_token, end_to_end, queue): "
        "between lower and upper, for histograms do not tell which request missed which. lower: no request "
        "missed two; upper: all that missed one missed the hardest as well. First tokens are counted when "
        "they come, the rest when requests end.",
    ),
    Metric(
        "model_goodput_requests_per_second",
        _G,
        ("model", "bound"),
        "Requests a second that met every limit: model_goodput_ratio times those of the window, of which the "
        "limit that was measured least often has the number. 0 where no request came.",
    ),
    Metric(
        "model_cached_prompt_ratio",
        _G,
        ("model",),
        "Share of prompt tokens that came from a cache, over the same window; of engines that count both.",
    ),
    Metric(
        "model_speculative_accepted_ratio",
        _G,
        ("model",),
        "Share of tokens guessed by speculative decoding that the model took, over the same window.",
    ),
)
