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
            (
                "compared with Azure's MLPerf Inference v5.1 entry (unverified, Offline, Llama2-70B, FP4): "
                "a live figure is not an MLPerf result"
            ),
            "Offline: all samples at once and no latency limit, a ceiling and not a serving figure",
            (
                "the record is the sum of 18 separate runs of one node with 4 GPUs each (node maximum "
                "62,803.9, minimum 57,599.1, mean 61,163.8, median 61,759.1 tokens/s), not one over 72 GPUs"
            ),
            "a sum of averages over separate windows: the rack's rate at one instant was never measured",
            "output tokens only; no power was published for the run",
            "comparable only on a rack of the same shape (18 nodes, 72 GB300 GPUs) at the same precision",
        ),
    ),
)

BY_NAME = {record.name: record for record in RECORDS}
