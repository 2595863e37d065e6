"""The recording rules name only what there is, and mean what they say."""

import re
from pathlib import Path

import pytest
from fakes import promql
from fakes.prometheus import promtool_check_rules, promtool_test_rules

import agent
from agent import dashboards
from agent.measure.engine import TokenKind

RULES = promql.rules_of(*promql.RECORDING)
PAGE = Path(agent.__file__).parent.parent / "docs" / "prometheus.md"
TESTS = sorted((dashboards.source_folder() / "rules" / "tests").glob("recording*.yml"))
LEVELS = {"node": {"rack", "node"}, "model": {"rack", "model"}, "rack": {"rack"}, "site": set()}


@pytest.fixture(scope="module")
def records():
    return promql.shipped()


def test_promtool_has_no_complaint():
    code, said = promtool_check_rules(*promql.RECORDING)

    assert code == 0, said


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_promtools_own_tests_pass(file):
    code, said = promtool_test_rules(file)

    assert code == 0, said


def test_t17_every_metric_and_label_is_in_the_catalogue_or_recorded_before(records):
    known = {}
    for rule in RULES:
        assert promql.unknown(rule["expr"], known) == [], rule["record"]
        known[rule["record"]] = records[rule["record"]]


def test_every_record_has_the_labels_of_its_level(records):
    for name, labels in records.items():
        assert labels >= LEVELS[name.partition(":")[0]], name
        assert not labels & {"job", "instance"}, name


def test_t6_whatever_is_made_of_tokens_says_which_kind(records):
    zero = "node:rackwatt_zero_tokens:rate5m"
    without = [name for name, labels in records.items() if "_tokens" in name and "kind" not in labels]

    assert without == [zero]


def test_t7_whatever_is_made_of_power_says_at_which_boundary(records):
    made = [name for name in records if "watts" in name or "joule" in name]

    assert len(made) > 5
    assert [name for name in made if "boundary" not in records[name]] == []


def test_every_kind_of_token_is_paired_with_joules():
    expr = next(r["expr"] for r in RULES if r["record"] == "node:rackwatt_paired_power_watts:rate5m")
    named = [kind for kind in TokenKind if f'"kind", "{kind}"' in expr]

    assert named == list(TokenKind)


def test_site_figures_are_made_of_rack_figures_alone():
    for rule in RULES:
        if rule["record"].startswith("site:"):
            assert {name.partition(":")[0] for name, _ in promql.used(rule["expr"])} == {"rack"}, rule[
                "record"
            ]


def test_a_name_says_the_window_of_its_rate(records):
    for rule in RULES:
        windows = {"1m", "5m"} & set(rule["expr"].replace("[", " ").replace("]", " ").split())
        assert all(rule["record"].endswith(window) for window in windows), rule["record"]


def test_the_page_about_prometheus_tells_every_record_and_its_labels(records):
    told = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith(("| `node:", "| `model:", "| `rack:", "| `site:")):
            names, labels, _ = line.split(" | ", 2)
            for name in re.findall(r"`([^`]+)`", names):
                told[name] = set(labels.split(", ")) - {"-"}

    assert told == {name: set(labels) for name, labels in records.items()}


@pytest.mark.parametrize(
    ("expr", "complaints"),
    [
        ("sum by (rack) (rate(rackwatt_rack_tokens_total[5m]))", []),
        ("rackwatt_nothing", ["no metric rackwatt_nothing"]),
        ('rackwatt_gpu_up{node="a"}', ["no label node on rackwatt_gpu_up"]),
        ("sum by (rack) (rackwatt_gpu_up)", ["no label rack on sum by (rack) (rackwatt_gpu_up)"]),
        ("sum by (le) (rackwatt_model_queue_time_seconds_bucket)", []),
        ("rackwatt_model_queue_time_seconds", ["no metric rackwatt_model_queue_time_seconds"]),
        ("sum by (rack) (rackwatt_gpu_up * on (job, instance) group_left (rack) rackwatt_node_info)", []),
        (
            "rackwatt_gpu_up * on (job, instance) group_left (shelf) rackwatt_node_info",
            ["no label shelf on rackwatt_gpu_up * on (job, instance) group_left (shelf) rackwatt_node_info"],
        ),
        ('max by (x) (label_replace(up, "x", "$1", "job", "(.+)"))', []),
        ('ALERTS{alertname="Any", rack="r12"}', []),
    ],
)
def test_what_an_expression_names_and_there_is_not_is_said(expr, complaints):
    assert promql.unknown(expr, {}) == complaints


def test_what_an_expression_uses_is_told_with_the_labels_that_it_selects_by():
    expr = 'sum by (kind) (rate(rackwatt_rack_tokens_total{rack="a"}[5m])) / on () up'

    assert promql.used(expr) == {
        ("rackwatt_rack_tokens_total", frozenset({"rack"})),
        ("up", frozenset()),
    }


def test_grafanas_intervals_are_read_as_intervals():
    expr = promql.interpolated("rate(up[$__rate_interval]) + rate(up[${__interval}])")

    assert promql.used(expr) == {("up", frozenset())}
