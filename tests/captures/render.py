"""Renders a page with an engine's own metric code and stand-in values: `render.py sglang 0.5.3`.

It fetches the engine's wheel from PyPI, loads only the module that registers metrics, gives it stubs for the
rest, and tells it a few requests. Names, labels and types are the engine's; the numbers are ours.
Needs pip and prometheus-client, as the engine would have them.
"""

from __future__ import annotations

import enum
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import inspect
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

PYTHON, PLATFORMS = "3.12", ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64", "any")
SGLANG_LABELS = {"model_name": "tiny"}
"""From 0.5.1 with engine_type and tp_rank besides."""
LATENCIES = [(0.05, 0.01, 0.9), (0.3, 0.02, 1.7), (0.12, 0.015, 2.2)]
"""First token, between tokens, whole: of three requests."""
PROMPT, OUTPUT, CACHED = 100, 64, 16


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a stub for every module of a package that is not unpacked."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != self._package:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return MagicMock(__spec__=spec, __path__=[])

    def exec_module(self, module):
        pass


def unpacked(engine: str, version: str, wanted: tuple[str, ...]) -> None:
    """Fetch a wheel, unpack the files whose paths begin with what is wanted, and let them be imported."""
    folder = Path(tempfile.mkdtemp())
    platforms = [option for platform in PLATFORMS for option in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--only-binary", ":all:"]
    subprocess.run(
        [*pip, "--python-version", PYTHON, *platforms, "--dest", folder, f"{engine}=={version}"], check=True
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(wanted)])
    sys.path.insert(0, str(folder))
    sys.meta_path.append(Stubs(engine))


def sglang(version: str) -> bytes:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
    unpacked("sglang", version, ("sglang/srt/metrics/",))
    collector = importlib.import_module("sglang.srt.metrics.collector")
    ranks = "per_stage" in inspect.getsource(collector)
    engine = {"engine_type": "unified"} if ranks else {}
    scheduler = collector.SchedulerMetricsCollector(
        SGLANG_LABELS | engine | ({"tp_rank": "0", "pp_rank": "0"} if ranks else {})
    )
    labels = SGLANG_LABELS
    tokenizer = collector.TokenizerMetricsCollector(labels=labels)
    told = {"labels": labels} if ranks else {}
    for first, between, whole in LATENCIES:
        tokenizer.observe_time_to_first_token(value=first, **told)
        tokenizer.observe_inter_token_latency(
            internval=between * (OUTPUT - 1), num_new_tokens=OUTPUT - 1, **told
        )
        grammar = {"has_grammar": False} if ranks else {}
        tokenizer.observe_one_finished_request(
            prompt_tokens=PROMPT,
            generation_tokens=OUTPUT,
            cached_tokens=CACHED,
            e2e_latency=whole,
            **told,
            **grammar,
        )
    tokenizer.observe_time_to_first_token(value=0.2, **told)  # a fourth request, of which 21 tokens are out
    tokenizer.observe_inter_token_latency(internval=0.4, num_new_tokens=20, **told)
    if ranks:
        tokenizer.observe_one_aborted_request(labels)
        scheduler.observe_queue_time(0.03)
    scheduler.log_stats(collector.SchedulerStats(num_running_reqs=1, num_queue_reqs=2, token_usage=0.25))
    prometheus = importlib.import_module("prometheus_client")  # only now: it looks at the environment
    registry = prometheus.CollectorRegistry()
    importlib.import_module("prometheus_client.multiprocess").MultiProcessCollector(registry)
    return prometheus.generate_latest(registry)


def lmdeploy(version: str) -> bytes:
    unpacked("lmdeploy", version, ("lmdeploy/metrics/",))
    reasons = enum.Enum("ResponseType", "SUCCESS FINISH ENGINE_STOP_ERROR SESSION_REPEAT")
    importlib.import_module("lmdeploy.messages").ResponseType = reasons
    loggers = importlib.import_module("lmdeploy.metrics.loggers")
    stats = importlib.import_module("lmdeploy.metrics.stats")
    logger = loggers.PrometheusStatLogger("tiny", 4096)
    schedule = stats.SchedulerStats(num_total_reqs=6, num_running_reqs=2, num_waiting_reqs=1)
    for name, value in {"num_succeeded_reqs": 3, "num_finished_reqs": 3, "num_cancelled_reqs": 1}.items():
        if hasattr(schedule, name):
            setattr(schedule, name, value)
    schedule.gpu_cache_usage = 0.25
    if hasattr(schedule, "num_api_routed_reqs"):
        schedule.num_api_routed_reqs, schedule.num_total_reqs = 3, 8
    logger.record_schedule(schedule)
    for first, between, whole in LATENCIES:
        for step in range(OUTPUT):
            logger.record_iteration(
                SimpleNamespace(
                    prompt_tokens=0 if step else PROMPT,
                    new_generation_tokens=1,
                    ttft=None if step else first,
                    tpot=between if step else None,
                    itl=between if step else None,
                )
            )
        spans = {"queued": 0.01, "prefill": first, "inference": whole, "decode": whole - first}
        logger.record_finish(
            SimpleNamespace(
                finish_reason=reasons.FINISH,
                e2e_latency=whole,
                prompt_tokens=PROMPT,
                generation_tokens=OUTPUT,
                cached_tokens=CACHED,
                **{f"{span}_time": seconds for span, seconds in spans.items()},
                **{f"{span}_time_interval": seconds for span, seconds in spans.items()},
            )
        )
    if hasattr(logger, "record_specdecode"):
        logger.record_specdecode(
            SimpleNamespace(
                num_drafts=40,
                num_draft_tokens=80,
                num_accepted_tokens=50,
                num_accepted_tokens_per_pos=[30, 20],
            )
        )
    return importlib.import_module("prometheus_client").generate_latest()


def vllm(version: str) -> bytes:
    unpacked("vllm", version, ("vllm/v1/metrics/", "vllm/v1/spec_decode/metrics.py"))
    reasons = enum.StrEnum("FinishReason", "STOP LENGTH ABORT")
    importlib.import_module("vllm.v1.engine").FinishReason = reasons
    model = SimpleNamespace(served_model_name="tiny", max_model_len=4096)
    config = MagicMock(model_config=model, speculative_config=None, lora_config=None)
    config.observability_config.show_hidden_metrics = False
    config.cache_config.metrics_info.return_value = {"block_size": "16"}
    logger = importlib.import_module("vllm.v1.metrics.loggers").PrometheusStatLogger(config)
    for number, (first, between, whole) in enumerate(LATENCIES):
        for step in range(OUTPUT):
            ended = SimpleNamespace(
                finish_reason=reasons.LENGTH,
                e2e_latency=whole,
                queued_time=0.01,
                prefill_time=first,
                inference_time=whole,
                decode_time=whole - first,
                num_prompt_tokens=PROMPT,
                num_generation_tokens=OUTPUT,
                max_tokens_param=OUTPUT,
                mean_time_per_output_token=between,
            )
            cache = SimpleNamespace(queries=0 if step else PROMPT, hits=0 if step else CACHED)
            scheduler = SimpleNamespace(
                num_running_reqs=2,
                num_waiting_reqs=1,
                kv_cache_usage=0.25,
                gpu_cache_usage=0.25,
                prefix_cache_stats=cache,
                spec_decoding_stats=None,
                num_corrupted_reqs=0,
            )
            iteration = SimpleNamespace(
                num_preempted_reqs=int(number == step == 1),
                num_prompt_tokens=0 if step else PROMPT,
                num_generation_tokens=1,
                max_num_generation_tokens_iter=[],
                n_params_iter=[],
                time_to_first_tokens_iter=[] if step else [first],
                time_per_output_tokens_iter=[between] if step else [],
                inter_token_latencies_iter=[between] if step else [],
                finished_requests=[ended] if step == OUTPUT - 1 else [],
            )
            logger.record(scheduler, iteration)
    return importlib.import_module("prometheus_client").generate_latest()


if __name__ == "__main__":
    name, wheel_version = sys.argv[1:]
    page = {"sglang": sglang, "lmdeploy": lmdeploy, "vllm": vllm}[name](wheel_version)
    client = importlib.metadata.version("prometheus-client")
    head = f"# rendered with the metric code of {name} {wheel_version} and prometheus-client {client} by"
    sys.stdout.buffer.write(f"{head} tests/captures/render.py; values are stand-ins\n".encode() + page)
