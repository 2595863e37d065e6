"""`rackwatt demo`: what it configures and what it prints."""

import pytest

from agent import config, demo
from agent.twin import scenario

RACK = {
    "tokens_per_second": {"output": 1_043_210.4},
    "power_watts": {"gpu": 88_123.0},
    "tokens_per_joule": {"gpu": {"output": 11.838}},
    "nodes": {"expected": 18, "reporting": 17, "missing": ["tray-12"]},
    "gpus": {"expected": 72, "reporting": 68},
    "record": {"ratio": 0.9475},
    "reasons": ["low_coverage"],
}


def test_a_node_reads_its_tray_and_its_engines():
    settings = demo.node_settings(7, 40001, "http://127.0.0.1:9745", ["http://127.0.0.1:40002/metrics"])
    parsed = config.parse(str(settings), "demo")

    assert parsed.node_name == "tray-07"
    assert parsed.collectors["twin"].tray == 7
    assert parsed.collectors["engines"].targets[0].url == "http://127.0.0.1:40002/metrics"


def test_a_line_tells_what_is_known_and_who_is_missing():
    assert demo.line(RACK) == (
        "  1,043,210 output tokens/s     88.1 kW at the GPUs    11.84 tokens/J   17/18 nodes   68/72 GPUs"
        "    94.8% of the record   low_coverage; missing: tray-12"
    )


def test_what_is_not_known_yet_is_a_dash():
    nothing = {
        "tokens_per_second": {},
        "power_watts": {},
        "tokens_per_joule": {},
        "record": None,
        "reasons": ["warming_up"],
        "nodes": {"expected": 18, "reporting": 0, "missing": []},
        "gpus": {"expected": 72, "reporting": 0},
    }

    assert demo.line(nothing) == (
        "          - output tokens/s        - kW at the GPUs        - tokens/J    0/18 nodes    0/72 GPUs"
        "   warming_up"
    )


@pytest.mark.parametrize("record", ["", "azure-gb300-llama2-70b"])
def test_the_rack_compares_with_a_record_only_if_the_scenario_names_one(record):
    chosen = scenario.parse(f"record: '{record}'\nrack: {{name: r1}}", "test")
    settings = demo.rack_settings(chosen, "127.0.0.1:9744", ["http://127.0.0.1:1"])

    assert settings["rack"].get("record", "") == record
    assert settings["rack"]["members"] == ["http://127.0.0.1:1"]
