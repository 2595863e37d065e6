"""Makes a tiny random-weights model folder in the form that vLLM and SGLang load, with no download.

Vocabulary: <unk> <s> </s> and the 256 bytes, so n ASCII prompt bytes are n prompt tokens. As in `tiny_gguf`,
only printable bytes have output rows that are not zero: a completion has exactly `max_tokens` tokens.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fakes.engines.tiny_gguf import CONTROL_TOKENS, PRINTABLE, cache_folder

SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")
CHAT_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
LATIN_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model."""

    layers: int = 2
    hidden: int = 128
    heads: int = 4
    kv_heads: int = 2
    context: int = 4096
    seed: int = 7
    vocabulary: int = 2048
    """Words that nothing is cut into fill it up: Dynamo's simulated engine answers with 1000 to 1999."""


def tiny_hf(shape: Shape | None = None) -> Path:
    """The model folder of this shape; made once, and again when this module changes."""
    shape = shape or Shape()
    recipe = Path(__file__).read_bytes() + repr(shape).encode()
    folder = cache_folder() / f"tiny-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if not folder.exists():
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tiny-"))
        for name, content in _documents(shape).items():
            (unfinished / name).write_text(json.dumps(content), encoding="utf-8")
        _write_safetensors(unfinished / "model.safetensors", _weights(shape))
        try:
            unfinished.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(unfinished)
    return folder


def _documents(shape: Shape) -> dict[str, dict[str, Any]]:
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    return {
        "config.json": _config(shape) | ends,
        "generation_config.json": ends,
        "tokenizer.json": _tokenizer(shape),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "model_max_length": shape.context,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    }


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.hidden * 2,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.hidden // shape.heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "attention_bias": False,
        "mlp_bias": False,
    }


def _tokenizer(shape: Shape) -> dict[str, Any]:
    numbers = {token: number for number, token in enumerate(SPECIAL_TOKENS)}
    numbers |= {letter: CONTROL_TOKENS + byte for byte, letter in enumerate(_byte_letters())}
    numbers |= {f"w{number}": number for number in range(len(numbers), shape.vocabulary)}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": at, "content": token, **special} for at, token in enumerate(SPECIAL_TOKENS)],
        "normalizer": None,
        "pre_tokenizer": by_bytes,
        "post_processor": None,
        "decoder": by_bytes,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": numbers,
            "merges": [],
        },
    }


def _byte_letters() -> list[str]:
    """The letter that stands for each byte, in GPT-2's way: itself, or one of those after U+0100."""
    others = iter(range(256, 512))
    return [chr(byte if byte in LATIN_PRINTABLE else next(others)) for byte in range(256)]


def _weights(shape: Shape) -> dict[str, np.ndarray]:
    source = np.random.default_rng(shape.seed)

    def random(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        weights = source.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return np.asarray(weights, np.float32)

    size, inner, head = shape.hidden, shape.hidden * 2, shape.hidden // shape.heads
    output = random(shape.vocabulary, size, 8.0)
    kept = np.zeros(shape.vocabulary, bool)
    kept[[CONTROL_TOKENS + byte for byte in PRINTABLE]] = True
    output[~kept] = 0
    weights = {
        "model.embed_tokens.weight": random(shape.vocabulary, size, float(np.sqrt(size))),
        "model.norm.weight": np.ones(size, np.float32),
        "lm_head.weight": output,
    }
    for layer in range(shape.layers):
        name = f"model.layers.{layer}."
        weights |= {
            name + "input_layernorm.weight": np.ones(size, np.float32),
            name + "post_attention_layernorm.weight": np.ones(size, np.float32),
            name + "self_attn.q_proj.weight": random(shape.heads * head, size),
            name + "self_attn.k_proj.weight": random(shape.kv_heads * head, size),
            name + "self_attn.v_proj.weight": random(shape.kv_heads * head, size),
            name + "self_attn.o_proj.weight": random(size, shape.heads * head),
            name + "mlp.gate_proj.weight": random(inner, size),
            name + "mlp.up_proj.weight": random(inner, size),
            name + "mlp.down_proj.weight": random(size, inner),
        }
    return weights


def _write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """The format: eight bytes of length, that much JSON which places the tensors, and the tensors."""
    places: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        places[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.nbytes],
        }
        at += tensor.nbytes
    header = json.dumps(places).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for tensor in tensors.values():
            file.write(tensor.astype("<f4").tobytes())
