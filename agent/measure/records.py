"""Published records that a rack may be compared with, as data: figure, conditions, caveats, source (T20)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One published figure; comparing with it makes nothing a benchmark result."""

    name: str
    title: str
    tokens_per_second: float
    """Output tokens only."""
    model_words: frozenset[str]
    """A served model matches when its name has all of these words …"""
    other_models: frozenset[str]
    """… and none of these: fine-tunes and namesakes of another family."""
    nodes: int
    gpus: int
    published: str
    source: str
    caveats: tuple[str, ...]

    def matches(self, model: str) -> bool:
        """Tell whether a served model is the record's, by whole words of its name (T16)."""
        told = words_of(model)
        return self.model_words <= told and not self.other_models & told


def words_of(model: str) -> frozenset[str]:
    """Cut a model's name into words: `meta-llama/Llama-2-70b-chat-hf` has llama, 2, 70b, chat and hf.

    A number that sticks to the family's name is a word of its own: `llama2` is llama and 2.
    """
    parts = re.split(r"[^a-z0-9.]+", model.lower())
    found: set[str] = set()
    for part in parts:
        family = re.fullmatch(r"(llama)(?:v)?(\d+(?:\.\d+)?)", part)
        found.update(family.groups() if family else (part,))
    return frozenset(found - {""})


RECORDS: tuple[Record, ...] = (
    Record(
        name="azure-gb300-llama2-70b",
        title="Azure ND GB300 v6, Llama2-70B FP4, MLPerf Inference v5.1 Offline (unverified)",
        tokens_per_second=1_100_948.3,
        model_words=frozenset({"llama", "2", "70b"}),
        other_models=frozenset({"code", "codellama", "guard", "3", "3.1", "3.2", "3.3", "4"}),
        nodes=18,
        gpus=72,
        published="2025-11-03",
        source="https://techcommunity.microsoft.com/t5/azure-high-performance-computing/"
        "breaking-the-million-token-barrier-the-technical-achievement-of/ba-p/4466080",
        caveats=(
            "an unverified MLPerf v5.1 entry, Offline (no limit on latency); a live figure is no result",
            "the sum of 18 separate runs of one node (57,599.1 to 62,803.9 tokens/s), not one over 72 GPUs",
            "output tokens only; no power was published",
            "comparable only at its shape (18 nodes, 72 GB300 GPUs) and its precision (FP4)",
        ),
    ),
)

BY_NAME = {record.name: record for record in RECORDS}
