"""Every engine in every era: the smallest page that its versions of that time show.

Values to fill in: `$ended`, output tokens of requests that ended; `$steps`, those of unfinished ones too;
`$pending`, only those of unfinished ones; `$prompt`; `$running`; `$beats`, steps of the engine; `$role`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING

from agent.measure.snapshot import Activity

if TYPE_CHECKING:
    from collections.abc import Mapping

LIVE, FINISH, NONE = "live", "on finish", "not at all"
RANKS, PAIR, GATEWAY = "DP over two nodes", "P/D pair", "gateway + engine"
NO_ROLE = {PAIR: "it does not tell whether an instance prefills, decodes or does both"}
ONE_SERVER = {
    RANKS: "each data-parallel rank is a server of its own: two instances, as on two nodes"
} | NO_ROLE
NO_RANKS = {RANKS: "it has no data-parallel ranks"} | NO_ROLE
BESIDE = {GATEWAY: {"output": 200.0, "prompt": 20.0, "activity": Activity.SERVING}}
"""It shows no tokens itself: those of the gateway before it count."""
SILENT = {"fresh": {"activity": Activity.UNKNOWN}}  # it does not tell its running requests yet
ONE_PROCESS = {RANKS: "one process tells of all ranks, and names none"} | NO_ROLE


@dataclass(frozen=True)
class Era:
    """One engine as it was for some versions."""

    engine: str
    versions: str
    counts: str
    """Whether output shows with every step, when a request ends, or not at all."""
    page: str
    fresh: str | None = None
    """The page before the first request, where series appear later; None: all are there from the start."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Other pages of the server, by path."""
    standing_in: bool = False
    """Whether something live stands in for an output that shows when a request ends."""
    tells_running: bool = True
    tells_prompt: bool = True
    stale_seconds: float = 0.0
    """How old its gauges may be."""
    two_ranks: str | None = None
    """A page of two data-parallel ranks, each with what the one would show."""
    role: str = ""
    """What it calls an instance that does all; empty where it tells no roles."""
    why_not: Mapping[str, str] = field(default_factory=dict)
    """Situations in which it cannot be, and the reason."""
    differs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Situations in which something else is expected of it than of its kind."""

    @property
    def name(self) -> str:
        """Its engine and its versions."""
        return f"{self.engine} {self.versions}"

    def shown(self, page: str | None = None, role: str = "", **values: float) -> bytes:
        """Fill in a page: the usual one, or another."""
        filled = {name: f"{value:.12g}" for name, value in values.items()}
        text = Template(self.page if page is None else page).substitute(filled, role=role or self.role)
        return (text.strip() + "\n").encode() if text.strip() else b""


MODELS = '{"data":[{"id":"m","owned_by":"$owner"}]}'
OWNED = {"/v1/models": MODELS.replace("$owner", "tensorrt_llm")}
VLLM_RANK = """
vllm:generation_tokens_total{engine="RANK",model_name="m"} $steps
vllm:prompt_tokens_total{engine="RANK",model_name="m"} $prompt
vllm:num_requests_running{engine="RANK",model_name="m"} $running
vllm:num_requests_waiting{engine="RANK",model_name="m"} 0
vllm:iteration_tokens_total_count{engine="RANK",model_name="m"} $beats
"""
SLOTS = '[{"is_processing":true,"next_token":[{"n_decoded":$pending}]},{"is_processing":false}]'
TRTLLM_REQUESTS = """
trtllm_request_success_total{model_name="m",engine_type="trtllm",finished_reason="stop"} $ended
trtllm_e2e_request_latency_seconds_count{model_name="m",engine_type="trtllm"} $ended
"""
TRTLLM_GAUGES = """
trtllm_num_requests_running{model_name="m",engine_type="trtllm"} $running
trtllm_num_requests_waiting{model_name="m",engine_type="trtllm"} 0
"""
TRTLLM_TOKENS = """
trtllm_generation_tokens_total{model_name="m",engine_type="trtllm"} $ended
trtllm_prompt_tokens_total{model_name="m",engine_type="trtllm"} $prompt
"""
TRITON = """
nv_inference_request_success{model="ensemble",version="1"} $ended
nv_inference_request_success{model="m",version="1"} $ended
nv_inference_pending_request_count{model="m",version="1"} 0
"""
BATCHER = """
nv_trt_llm_request_metrics{model="m",request_type="scheduled",version="1"} $running
nv_trt_llm_request_metrics{model="m",request_type="active",version="1"} $running
nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 0
nv_trt_llm_general_metrics{general_type="iteration_counter",model="m",version="1"} $beats
"""
BATCHER_TOKENS = """
nv_llm_output_token_len_sum{model="m",response_metric_type="total_output_tokens",version="1"} $ended
nv_llm_input_token_len_sum{model="m",response_metric_type="total_input_tokens",version="1"} $prompt
"""
TGI = """
tgi_request_success $ended
tgi_request_generated_tokens_sum $ended
tgi_request_input_length_sum $prompt
tgi_batch_current_size $running
tgi_queue_size 0
tgi_batch_inference_count{method="decode"} $beats
"""
TGI_STEPS = """
tgi_request_skipped_tokens_sum 0
tgi_request_skipped_tokens_count $steps
"""

SGLANG = """
sglang:generation_tokens_total{engine_type="$role",model_name="m"} $ended
sglang:prompt_tokens_total{engine_type="$role",model_name="m"} $prompt
"""
SGLANG_GAUGES = """
sglang:num_running_reqs{engine_type="$role",model_name="m",tp_rank="0"} $running
sglang:num_queue_reqs{engine_type="$role",model_name="m",tp_rank="0"} 0
"""
SGLANG_CHUNKS = """
sglang:inter_token_latency_seconds_count{engine_type="$role",model_name="m"} $steps
sglang:time_to_first_token_seconds_count{engine_type="$role",model_name="m"} 0
"""
SGLANG_STEPS = """
sglang:realtime_tokens_total{engine_type="$role",mode="decode",model_name="m",tp_rank="0"} $steps
sglang:realtime_tokens_total{engine_type="$role",mode="prefill_compute",model_name="m",tp_rank="0"} $prompt
"""
SGLANG_HTTP = 'sglang:http_requests_total{endpoint="/metrics",method="GET"} 9'
DYNAMO_RANK = 'dynamo_component_uptime_seconds{dynamo_component="$role"} 60' + VLLM_RANK.replace(
    "{", '{dynamo_component="$role",'
)
FRONTEND = """
dynamo_frontend_output_sequence_tokens_sum{model="m"} $ended
dynamo_frontend_output_tokens_total{model="m"} $steps
dynamo_frontend_input_sequence_tokens_sum{model="m"} $prompt
"""
FRONTEND_GAUGES = """
dynamo_frontend_active_requests{model="m"} $running
dynamo_frontend_queued_requests{model="m"} 0
"""
LMDEPLOY = """
lmdeploy:generation_tokens_total{engine="0",model_name="m"} $steps
lmdeploy:prompt_tokens_total{engine="0",model_name="m"} $prompt
lmdeploy:num_requests_running{engine="0",model_name="m"} $running
lmdeploy:num_requests_waiting{engine="0",model_name="m"} 0
lmdeploy:iteration_tokens_total_count{engine="0",model_name="m"} $beats
"""
NIM = """
num_request_max{model_name="m"} 64
gpu_cache_usage_perc{model_name="m"} 0.1
generation_tokens_total{model_name="m"} $steps
prompt_tokens_total{model_name="m"} $prompt
num_requests_running{model_name="m"} $running
num_requests_waiting{model_name="m"} 0
"""
RAY_GAUGES = """
ray_vllm_num_requests_running{ReplicaId="r",WorkerId="w",model_name="m"} $running
ray_vllm_num_requests_waiting{ReplicaId="r",WorkerId="w",model_name="m"} 0
"""
RAY_TOKENS = """
ray_vllm_generation_tokens_total{ReplicaId="r",WorkerId="w",model_name="m"} $steps
ray_vllm_prompt_tokens_total{ReplicaId="r",WorkerId="w",model_name="m"} $prompt
"""


def _ranks(page: str, *labels: str) -> str:
    """Show a page once for each set of labels, put before its own."""
    lines = [line for line in page.splitlines() if line]
    return "\n".join(line.replace("{", f"{{{label},", 1) for label in labels for line in lines)


ERAS = (
    Era(
        "sglang",
        "0.4.9",
        FINISH,
        SGLANG + SGLANG_CHUNKS + SGLANG_GAUGES,
        fresh=SGLANG_GAUGES,
        standing_in=True,
        stale_seconds=30.0,
        role="unified",
        why_not={RANKS: ONE_PROCESS[RANKS]},
    ),
    Era(
        "sglang",
        "0.5.23",
        FINISH,
        SGLANG + SGLANG_STEPS + SGLANG_GAUGES + SGLANG_HTTP,
        fresh=SGLANG_GAUGES + SGLANG_HTTP,
        standing_in=True,
        stale_seconds=30.0,
        # Every tensor rank tells the same, and there are two for each data-parallel rank.
        two_ranks=_ranks(
            (SGLANG_STEPS + SGLANG_GAUGES).replace(',tp_rank="0"', ""),
            'dp_rank="0",tp_rank="0"',
            'dp_rank="0",tp_rank="1"',
            'dp_rank="1",tp_rank="2"',
            'dp_rank="1",tp_rank="3"',
        ),
        role="unified",
    ),
    Era(
        "dynamo_frontend",
        "1.6.1",
        FINISH,
        FRONTEND + FRONTEND_GAUGES,
        fresh=FRONTEND_GAUGES,
        standing_in=True,
        why_not=ONE_PROCESS | {GATEWAY: "it is the gateway"},
    ),
    Era(
        "dynamo_worker",
        "1.6.1 with vLLM",
        LIVE,
        DYNAMO_RANK.replace("RANK", "0"),
        two_ranks=DYNAMO_RANK.replace("RANK", "0") + DYNAMO_RANK.replace("RANK", "1").partition("\n")[2],
        role="backend",
    ),
    Era("lmdeploy", "0.18", LIVE, LMDEPLOY, stale_seconds=10.0, why_not=ONE_SERVER),
    Era("nim", "1.x", LIVE, NIM, why_not=ONE_PROCESS),
    Era(
        "xinference",
        "4.1",
        FINISH,
        'xinference:model_request_limit{model_name="m",model_type="LLM"} -1\n'
        'xinference:output_tokens_total_counter{model_name="m",model_type="LLM"} $ended\n'
        'xinference:input_tokens_total_counter{model_name="m",model_type="LLM"} $prompt\n'
        'xinference:model_serve_count{model_name="m",model_type="LLM"} $running',
        fresh='xinference:model_request_limit{model_name="m",model_type="LLM"} -1',
        why_not=ONE_SERVER,
        differs=SILENT,
    ),
    Era(
        "ray_serve_llm",
        "2.60 with vLLM",
        LIVE,
        RAY_TOKENS + RAY_GAUGES,
        fresh=RAY_GAUGES,
        stale_seconds=20.0,
        differs={"stale gauge": {"rate": None}},  # its agent tells late: a silent window says nothing
        why_not={RANKS: "each node's agent tells of the replicas of its node: two instances"} | NO_ROLE,
    ),
    Era(
        "vllm",
        "0.8.2",
        LIVE,
        VLLM_RANK.replace('engine="RANK",', ""),
        why_not=ONE_PROCESS,
    ),
    Era(
        "vllm",
        "0.33",
        LIVE,
        VLLM_RANK.replace("RANK", "0"),
        two_ranks=VLLM_RANK.replace("RANK", "0") + VLLM_RANK.replace("RANK", "1"),
        why_not=NO_ROLE,
    ),
    Era(
        "llamacpp",
        "b11549",
        FINISH,
        "llamacpp:tokens_predicted_total $ended\nllamacpp:prompt_tokens_total $prompt\n"
        "llamacpp:requests_processing $running\nllamacpp:requests_deferred 0\n"
        "llamacpp:n_decode_total $beats",
        beside={"/slots": SLOTS, "/v1/models": MODELS.replace("$owner", "llamacpp")},
        standing_in=True,
        why_not=NO_RANKS,
    ),
    Era(
        "trtllm",
        "1.3",
        FINISH,
        TRTLLM_REQUESTS + TRTLLM_TOKENS + TRTLLM_GAUGES,
        fresh="",
        beside=OWNED,
        why_not=ONE_PROCESS,
        differs=SILENT,
    ),
    Era(
        "trtllm",
        "1.3 without iteration statistics",
        FINISH,
        TRTLLM_REQUESTS + TRTLLM_TOKENS,
        fresh="",
        beside=OWNED,
        why_not=ONE_PROCESS,
        tells_running=False,
    ),
    Era(
        "trtllm",
        "1.3 before it counted tokens",
        NONE,
        TRTLLM_REQUESTS,
        beside=OWNED,
        why_not=ONE_PROCESS,
        differs={"fresh": {"rate": 0.0}} | BESIDE,  # nothing has ended without being counted
        tells_running=False,
        tells_prompt=False,
    ),
    Era(
        "trtllm_legacy",
        "1.2",
        NONE,
        "request_success_total $ended\ne2e_request_latency_seconds_count $ended\n"
        "time_to_first_token_seconds_count $ended\nrequest_queue_time_seconds_count $ended",
        beside=OWNED,
        why_not=ONE_PROCESS,
        differs=BESIDE,
        tells_running=False,
        tells_prompt=False,
    ),
    Era(
        "triton_trtllm",
        "0.18",
        FINISH,
        TRITON + BATCHER + BATCHER_TOKENS,
        fresh=TRITON + BATCHER,
        why_not=ONE_SERVER,
    ),
    Era(
        "triton_trtllm",
        "0.15",
        NONE,
        TRITON + BATCHER,
        tells_prompt=False,
        why_not=ONE_SERVER,
        differs={"fresh": {"rate": 0.0}} | BESIDE,
    ),
    Era(
        "triton_vllm",
        "26.01",
        LIVE,
        TRITON
        + 'vllm:generation_tokens_total{model="m",version="1"} $steps\n'
        + 'vllm:prompt_tokens_total{model="m",version="1"} $prompt',
        tells_running=False,
        why_not=ONE_SERVER,
    ),
    Era(
        "triton",
        "26.01",
        NONE,
        TRITON,
        tells_running=False,
        tells_prompt=False,
        why_not=ONE_SERVER,
        differs=BESIDE,
    ),
    Era(
        "tgi",
        "3.3",
        FINISH,
        TGI + TGI_STEPS,
        standing_in=True,
        fresh="tgi_queue_size 0",
        beside={"/info": '{"model_id":"m"}'},
        why_not=NO_RANKS,
        differs=SILENT,
    ),
    Era(
        "tgi",
        "3.3 without a Python backend",
        FINISH,
        TGI,
        fresh="tgi_queue_size 0",
        beside={"/info": '{"model_id":"m"}'},
        why_not=NO_RANKS,
        differs=SILENT,
    ),
)
