"""Makes a tiny random-weights model file for llama.cpp, with no download.

Vocabulary: <unk> <s> </s> and the 256 bytes, so n prompt bytes are n + 1 prompt tokens. The output rows of
control tokens and unprintable bytes are zero, so greedy decoding never ends early: a completion has
exactly `max_tokens` tokens, and every one of them is one printable byte.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np

CONTROL_TOKENS = 3
PRINTABLE = range(32, 127)


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model; a larger one decodes more slowly and loads for longer."""

    layers: int = 2
    embedding: int = 64
    heads: int = 4
    kv_heads: int = 2
    context: int = 8192
    seed: int = 7


def cache_folder() -> Path:
    """Where made files are kept between runs: RACKWATT_TEST_CACHE, or a folder of this user's in temp."""
    named = os.environ.get("RACKWATT_TEST_CACHE")
    folder = Path(named) if named else Path(tempfile.gettempdir(), f"rackwatt-test-cache-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def tiny_gguf(shape: Shape | None = None) -> Path:
    """The model file of this shape; made once, and again when this module changes."""
    shape = shape or Shape()
    recipe = Path(__file__).read_bytes() + repr(shape).encode() + version("gguf").encode()
    path = cache_folder() / f"tiny-{hashlib.sha256(recipe).hexdigest()[:16]}.gguf"
    if not path.exists():
        handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".tiny-", suffix=".gguf")
        os.close(handle)
        _write(Path(unfinished), shape)
        Path(unfinished).replace(path)
    return path


def _write(path: Path, shape: Shape) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    _add_sizes(writer, shape)
    _add_vocabulary(writer)
    _add_weights(writer, shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("tiny-random-llama")
    writer.add_vocab_size(CONTROL_TOKENS + 256)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.embedding * 2)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.embedding // shape.heads)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([*kinds, *([gguf.TokenType.BYTE] * 256)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(value=True)
    writer.add_add_eos_token(value=False)
    writer.add_add_space_prefix(value=False)
    writer.add_chat_template(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
    )


def _add_weights(writer: gguf.GGUFWriter, shape: Shape) -> None:
    source = np.random.default_rng(shape.seed)

    def random(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        weights = source.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return np.asarray(weights, np.float32)

    size, head = shape.embedding, shape.embedding // shape.heads
    vocabulary = CONTROL_TOKENS + 256
    output = random(vocabulary, size, 8.0)
    kept = np.zeros(vocabulary, bool)
    kept[[CONTROL_TOKENS + byte for byte in PRINTABLE]] = True
    output[~kept] = 0
    writer.add_tensor("token_embd.weight", random(vocabulary, size, float(np.sqrt(size))))
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(size, np.float32))
    for layer in range(shape.layers):
        name = f"blk.{layer}."
        writer.add_tensor(name + "attn_norm.weight", np.ones(size, np.float32))
        writer.add_tensor(name + "ffn_norm.weight", np.ones(size, np.float32))
        writer.add_tensor(name + "attn_q.weight", random(shape.heads * head, size))
        writer.add_tensor(name + "attn_k.weight", random(shape.kv_heads * head, size))
        writer.add_tensor(name + "attn_v.weight", random(shape.kv_heads * head, size))
        writer.add_tensor(name + "attn_output.weight", random(size, shape.heads * head))
        writer.add_tensor(name + "ffn_gate.weight", random(size * 2, size))
        writer.add_tensor(name + "ffn_up.weight", random(size * 2, size))
        writer.add_tensor(name + "ffn_down.weight", random(size, size * 2))
