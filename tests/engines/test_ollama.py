"""Ollama cannot be read: that is said, with the reason, and never shown as zero."""

from __future__ import annotations

import pytest

from agent import config
from agent.collectors._engines import advice
from agent.engines.ollama import TABLE
from agent.plugins import engine_tables
from agent.wire.engine_identity import identify


def test_table_gives_the_reason_and_a_way_out():
    assert TABLE.unsupported.startswith("Ollama has no page of metrics")
    assert "--metrics" in TABLE.remedy


def test_no_page_is_ever_taken_for_it():
    names = frozenset({"ollama_eval_total", "go_goroutines"})

    assert identify(engine_tables(), names) is None


def test_target_that_names_it_is_refused_with_the_reason():
    text = "collectors: {engines: {targets: [{url: 'http://h:11434', engine: ollama}]}}"

    with pytest.raises(config.ConfigError, match=r"engines: targets\[0\]\.engine: Ollama has no page"):
        config.parse(text, "rackwatt.yaml")


def test_person_whose_target_is_on_its_port_is_told_why_it_cannot_be_read():
    told = advice.remedies(engine_tables(), "http://h:11434/metrics", switched_off=True)

    assert told.startswith("if it is ollama, Ollama has no page of metrics")
    assert "vllm" not in told


def test_person_whose_target_is_elsewhere_is_not_told_of_it():
    told = advice.remedies(engine_tables(), "http://h:8080/metrics", switched_off=True)

    assert "if it is llamacpp, start llama-server with --metrics" in told
    assert "ollama" not in told.lower()
