"""The alerts name only what there is, say what they mean, and fire when and only when they should."""

import os
import re
import subprocess

import pytest
import yaml
from fakes import promql, rule_tests
from fakes.prometheus import found_program, promtool_check_rules

from agent import dashboards
from agent.measure.gpu_book import HARDWARE_XIDS

FOLDER = dashboards.source_folder()
FILE = promql.ALERTING
SECTIONS = ["How to confirm", "What to do", "When to leave it"]
TESTS = sorted((FOLDER / "rules" / "tests").glob("alerts_*.yml"))
RULES = promql.rules_of(FILE)
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


@pytest.fixture(scope="module")
def values():
    return dashboards.values_with({}, FOLDER)


@pytest.fixture(scope="module")
def records():
    """What alerts may use: what is recorded, for figures and for alerts."""
    return promql.known()


@pytest.fixture(scope="module")
def page():
    return (FOLDER.parent / "docs" / "alerts.md").read_text()


def test_promtool_has_no_complaint():
    code, said = promtool_check_rules(FILE)

    assert (code, f"{len(RULES)} rules found" in said) == (0, True), said


def test_vmalert_has_no_complaint():
    command = [found_program("vmalert"), "-dryRun", f"-rule={FILE}"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_not_when_they_should_not(file):
    """With real durations; RACKWATT_UPDATE_GOLDENS writes their texts anew, and nothing else."""
    if os.environ.get("RACKWATT_UPDATE_GOLDENS") == "1":
        rule_tests.fill_annotations(file)
    code, said = rule_tests.run(file)

    assert code == 0, said


def test_every_alert_is_tested_to_fire_to_be_silent_and_to_end():
    fired, silent, ended = set(), set(), set()
    for file in TESTS:
        for group in yaml.safe_load(file.read_text())["tests"]:
            firing = {}
            for check in sorted(group["alert_rule_test"], key=lambda check: minutes(check["eval_time"])):
                name, told = check["alertname"], len(check["exp_alerts"])
                (fired if told else silent).add(name)
                if told < firing.get(name, 0):
                    ended.add(name)
                firing[name] = told

    assert fired == ALERTS.keys()
    assert silent == ended == ALERTS.keys() - {"RackwattWatchdog"}


def minutes(text):
    return sum(
        int(number) * {"d": 1440, "h": 60, "m": 1}[unit] for number, unit in re.findall(r"(\d+)([dhm])", text)
    )


def test_t17_every_metric_and_label_is_in_the_catalogue_or_recorded(records):
    for rule in RULES:
        assert promql.unknown(rule["expr"], records) == [], rule.get("alert", rule.get("record"))


def test_t17_what_annotations_ask_for_is_in_the_catalogue_too(records):
    asked = [
        query.replace("%q", '"x"')
        for rule in ALERTS.values()
        for text in rule["annotations"].values()
        for query in re.findall(r'printf "(.*?)" ', text)
    ]

    assert len(asked) > 3
    assert [wrong for query in asked for wrong in promql.unknown(query, records)] == []


def test_labels_that_texts_name_are_those_that_the_expression_leaves(records):
    for name, rule in ALERTS.items():
        left = promql.labels_of(rule["expr"], records) | {"job", "instance"}
        named = {
            label for text in rule["annotations"].values() for label in re.findall(r"\$labels\.(\w+)", text)
        }
        assert named - left == set(), name


def test_every_alert_has_a_severity_and_says_what_where_and_what_to_do(values):
    for name, rule in ALERTS.items():
        assert re.fullmatch(r"Rackwatt[A-Z]\w+", name)
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"{values['runbook_url_prefix']}{name}.md"


def test_what_speaks_of_a_gpu_names_its_node_and_rack():
    for name, rule in ALERTS.items():
        if name.startswith("RackwattGpu"):
            text = " ".join(rule["annotations"].values())
            assert all(f"$labels.{label}" in text for label in ("gpu", "node", "rack")), name


def test_every_parameter_of_the_file_is_used_and_every_duration_is_one(values):
    texts = [path.read_text() for path in FOLDER.rglob(f"*{dashboards.TEMPLATE}")]
    used = {name for text in texts for name in re.findall(r"@\{(\w+)\}", text)}
    alerts = (FOLDER / "rules" / "alerts.yml.in").read_text()

    assert used == values.keys()
    assert re.findall(r"^\s+for: (?!@\{\w+\}$).*$", alerts, re.MULTILINE) == []
    assert re.findall(r"\[\d\w*\]|offset \d", alerts) == []


def test_every_xid_of_hardware_that_the_agent_counts_from_the_start_has_a_class(values):
    """The others are RackwattGpuXid's as well: an Xid that nobody knows is no reason for silence."""
    classes = [set(values[f"xid_{which}"].split("|")) for which in ("fatal", "application", "ignored")]
    fatal, application, ignored = classes
    hardware = {str(xid) for xid in HARDWARE_XIDS}

    assert sum(map(len, classes)) == len(set.union(*classes))
    assert hardware & application == set()
    assert hardware & ignored == {"154"}
    assert hardware - fatal - ignored == {"63", "92", "94", "145"}


def test_the_page_lists_every_alert_with_its_severity_and_time(page):
    told = re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+) \| ([\w ]+) \|", page, re.MULTILINE)
    real = [(name, rule["labels"]["severity"], rule.get("for", "at once")) for name, rule in ALERTS.items()]

    assert told == real
    assert page.startswith(f"# Alerts\n\n{len(real)} alerts ")


def test_the_page_lists_every_parameter(page):
    told = re.findall(
        r"^\| `(\w+)` \| `(.*?)` \| (.*) \|$", page.partition("<!-- parameters -->")[2], re.MULTILINE
    )
    real = [
        (name, *(text.replace("|", "\\|") for text in (row.value, row.doc)))
        for name, row in dashboards.parameters().items()
    ]

    assert told == real


def test_the_page_names_only_alerts_that_there_are(page):
    assert set(re.findall(r"\bRackwatt[A-Z]\w+", page)) == ALERTS.keys()


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    pages = {page.stem: page.read_text() for page in (FOLDER.parent / "docs" / "runbooks").glob("*.md")}

    assert pages.keys() == ALERTS.keys()
    for name, page in pages.items():
        assert page.startswith(f"# {name}\n\nSeverity: {ALERTS[name]['labels']['severity']}.\n"), name
        assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS, name


def test_amtool_has_no_complaint():
    file = FOLDER / "alertmanager" / "alertmanager.yml"
    done = subprocess.run(
        [found_program("amtool"), "check-config", str(file)], capture_output=True, timeout=30, check=False
    )

    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_inhibit_rules_name_alerts_that_there_are():
    config = yaml.safe_load((FOLDER / "alertmanager" / "alertmanager.yml").read_text())
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, operator, value = re.fullmatch(r'(\w+)(!?=~?)"(.*)"', matcher).groups()
            if label == "alertname":
                matched = [name for name in ALERTS if re.fullmatch(value, name)]
                assert len(matched) >= (
                    len(value.split("|")) if operator == "=~" and "(" not in value else 1
                ), value
