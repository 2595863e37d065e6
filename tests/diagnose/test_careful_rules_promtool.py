"""The comparator of the benchmark is no weaker than Prometheus: promtool evaluates the same samples."""

import re
import subprocess
from functools import cache
from types import SimpleNamespace

import pytest
import yaml
from fakes.prometheus import found_program
from fakes.rule_tests import run

from agent.twin import scenario
from benchmarks.careful_rules import FOR_SECONDS, RULES, SCRAPE_SECONDS, SHARE, TOKENS, Rules
from benchmarks.quick_tray import QuickNode
from benchmarks.virtual_tray import ENGINES, GPUS, Missing

SECONDS = 990
FIRST_SECONDS = 60
"""Versions of Prometheus differ in how far back they extrapolate a counter that began within its window."""
WATTS = f"{TOKENS} / sum(gpu_watts)"
EXPRESSIONS = {"tokens": TOKENS, "tokens per watt": WATTS}
CASES = {
    "an engine dies": ("engine_crash, at: 300s, lasts: 900s, engines: [0]", ()),
    "heat, a hole, a restart": (
        "thermal, at: 300s, lasts: 500s, degrees: 60}\n  - {kind: engine_restart, at: 850s",
        (Missing(ENGINES, 200, 240), Missing(GPUS, 400, 540)),
    ),
}


class Scraped:
    """What Prometheus would have of a tray, and what our rules make of the same."""

    def __init__(self, name):
        event, missing = CASES[name]
        text = "seed: 7\nrack: {trays: 1, engines_per_tray: 2}\nload: {level: 1.05, noise: 0.02}\nevents:\n"
        node = QuickNode(scenario.parse(f"{text}  - {{kind: {event}}}\n", name), missing=missing)
        self.rules, self.series, self.firing, self.values = Rules(closed=is_closed()), {}, {}, {}
        for second, _ in enumerate(node.run(SECONDS), start=1):
            self.rules.see(second, node)
            if second % SCRAPE_SECONDS == 0:
                self.scrape(node, second)

    def scrape(self, node, second):
        for place, engine in enumerate(node.tray.engines):
            away = engine.down or node.why_missing(ENGINES, second) is not None
            self.add(
                f'vllm:generation_tokens_total{{engine="{place}"}}', None if away else engine.counters(0)[0]
            )
        for gpu in node.latest.gpus:
            self.add(f'gpu_watts{{gpu="{gpu.gpu}"}}', gpu.power_watts)
        for name, rule in self.rules.rules.items():
            self.firing.setdefault(name, {})[second] = rule.fires
            newest = rule.held[-1] if rule.held and rule.held[-1][0] == second else None
            self.values.setdefault(name, {})[second] = None if newest is None else newest[1]

    def add(self, series, value):
        self.series.setdefault(series, ["_"]).append("stale" if value is None else repr(value))


@cache
def scraped(name):
    return Scraped(name)


@cache
def is_closed():
    """Whether the promtool that is installed counts a sample at the beginning of a window: version 2 does."""
    told = subprocess.run(
        [found_program("promtool"), "--version"], capture_output=True, text=True, check=True
    )
    return re.search(r"version (\d+)", told.stdout + told.stderr)[1] == "2"


def written(lived, folder):
    """The rules and what is expected of them at each scrape, as promtool's unit test."""
    rules = [
        {
            "alert": name.replace(" ", "_"),
            "expr": f"{each} < {SHARE} * avg_over_time(({each})[1h:15s])",
            "for": f"{FOR_SECONDS:.0f}s",
        }
        for name, each in EXPRESSIONS.items()
    ]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "careful", "rules": rules}]}))
    alerts = [
        {
            "eval_time": f"{second}s",
            "alertname": name.replace(" ", "_"),
            "exp_alerts": [{"exp_labels": {}}] if fires else [],
        }
        for name, told in lived.firing.items()
        for second, fires in told.items()
    ]
    values = [
        {
            "expr": f"abs(({EXPRESSIONS[name]}) - {value!r}) <= bool {1e-9 * value!r}",
            "eval_time": f"{second}s",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for name, told in lived.values.items()
        for second, value in told.items()
        if value is not None and second >= FIRST_SECONDS and second % FIRST_SECONDS == 0
    ]
    series = [{"series": name, "values": " ".join(told)} for name, told in lived.series.items()]
    test = {
        "interval": "15s", "input_series": series, "alert_rule_test": alerts, "promql_expr_test": values,
    }  # fmt: skip
    file = folder / "test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [test]})
    )
    return file


@pytest.mark.parametrize("name", CASES)
def test_prometheus_fires_and_reckons_as_our_rules_do(name, tmp_path):
    lived = scraped(name)

    assert any(lived.firing["tokens"].values())
    status, told = run(written(lived, tmp_path))
    assert status == 0, told[:2000]


def test_it_would_be_seen_if_they_differed(tmp_path):
    lived = scraped("an engine dies")
    second = next(at for at, fires in lived.firing["tokens"].items() if fires)
    firing = {**lived.firing, "tokens": {**lived.firing["tokens"], second: False}}

    assert run(written(SimpleNamespace(firing=firing, values={}, series=lived.series), tmp_path))[0] == 1


def test_they_are_the_rules_that_are_shown():
    assert RULES["tokens"] == f"{TOKENS} < {SHARE} * avg_over_time({TOKENS}[1h:15s]), for: 5m"
