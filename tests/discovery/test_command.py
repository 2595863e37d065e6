"""What command lines of engines tell."""

import pytest

from agent.discovery import command
from agent.discovery.command import Parallelism


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("vllm serve m --port 8000", (8000,)),
        ("python -m sglang.launch_server --port=30001 --host 0.0.0.0", (30001,)),
        ("text-generation-launcher -p 3000", (3000,)),
        ("lmdeploy serve api_server m --server-port 23333", (23333,)),
        ("tritonserver --http-port 8000 --metrics-port 8002", (8000, 8002)),
        ("lmdeploy serve api_server m --server_port 23333", (23333,)),
        ("vllm serve m", ()),
        ("vllm serve m --port", ()),
        ("vllm serve m --port 0 --port 99999 --port x", ()),
        ("vllm serve m --port 99999999999999999999", ()),
    ],
)
def test_named_ports(line, ports):
    assert command.named_ports(line.split()) == ports


@pytest.mark.parametrize(
    "line",
    [
        "vllm serve m --port 8000 -tp 4",
        "vllm serve m -tp 4 --port=9",
        "vllm serve m -tp 4",
        "vllm serve m -tp 4 -p 1",
    ],
)
def test_a_command_line_without_its_port_stays_the_same(line):
    assert command.without_ports(line.split()) == ("vllm", "serve", "m", "-tp", "4")


@pytest.mark.parametrize(
    ("line", "plan"),
    [
        ("", Parallelism()),
        ("vllm serve m", Parallelism()),
        ("vllm serve m --tensor-parallel-size 4", Parallelism(4)),
        ("vllm serve m -tp=4 -pp 2", Parallelism(8)),
        ("vllm serve m --tensor_parallel_size 8", Parallelism(8)),
        ("vllm serve m -tp 2 -dp 16 -dpl 8", Parallelism(32, 2)),
        ("vllm serve m -tp 2 -dp 16 -dpl 8 --headless", Parallelism(32, 2, headless=True)),
        ("vllm serve m -tp 2 -dp 16 -dpl 8 --data-parallel-hybrid-lb", Parallelism(16, 2)),
        ("vllm serve m -tp 2 -dp 16 --data-parallel-rank 3", Parallelism(2)),
        ("vllm serve m -tp 8 --nnodes 2 --node-rank 0", Parallelism(8, 2)),
        ("vllm serve m -tp 8 --nnodes 2 --node-rank 1 --headless", Parallelism(8, 2, headless=True)),
        (
            "python -m sglang.launch_server --tp 16 --nnodes 2 --node-rank 1",
            Parallelism(16, 2, headless=True),
        ),
        ("lmdeploy serve api_server m --tp=16 --nnodes=2 --node_rank=1", Parallelism(16, 2, headless=True)),
        ("python -m sglang.launch_server --tp 8 --dp-size 2", Parallelism(16)),
        (
            "python -m sglang.launch_server --tp 16 --dp-size 16 --enable-dp-attention --nnodes 2",
            Parallelism(16, 2),
        ),
        ("trtllm-serve m --tp_size 4 --pp_size 2", Parallelism(8)),
        ("vllm serve m -tp many", Parallelism()),
    ],
)
def test_parallelism(line, plan):
    assert command.parallelism(line.split()) == plan


@pytest.mark.parametrize(
    ("line", "destroys"),
    [
        ("/usr/bin/python /usr/local/bin/trtllm-serve m", True),
        ("python -m tensorrt_llm.commands.serve m", True),
        ("vllm serve m", False),
        ("", False),
    ],
)
def test_whose_json_must_not_be_read(line, destroys):
    assert command.reads_destructively([["sh"], line.split()]) is destroys


@pytest.mark.parametrize(
    ("engine", "line", "mentioned"),
    [
        ("vllm", "/usr/bin/python3 /usr/local/bin/vllm serve m", True),
        ("sglang", "python -m sglang.launch_server", True),
        ("llamacpp", "/opt/llama.cpp/llama-server -m x", True),
        ("tgi", "text-generation-launcher --model-id m", True),
        ("vllm", "/opt/vllm/bin/python server.py", False),
    ],
)
def test_engines_that_a_program_is_called_after(engine, line, mentioned):
    assert command.mentions(engine, [line.split()]) is mentioned
