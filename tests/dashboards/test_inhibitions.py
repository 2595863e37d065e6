"""What a real Alertmanager with the shipped configuration holds back when two tell of incidents."""

import json
import urllib.request
from pathlib import Path

import pytest
from fakes.alertmanager import Alertmanager
from fakes.processes import http_get

CONFIG = Path(__file__).parents[2] / "dashboards" / "alertmanager" / "alertmanager.yml"
BY = {"rack": "r12", "node": "tray-03", "kind": "drop", "cause": "power_brake"}
RULE = {"alertname": "RackwattIncidentCritical", "severity": "critical", **BY}
SENT = {"alertname": "RackwattIncident", "severity": "critical", "incident": "tray-03/a/drop/1", **BY}
TICKET = {"alertname": "RackwattIncident", "severity": "warning", **BY}
BRAKE = {
    "alertname": "RackwattGpuPowerBrake",
    "severity": "critical",
    "rack": "r12",
    "node": "tray-03",
    "gpu": "1",
}
PLACE = {"rack": "r12", "node": "tray-03", "target": "bmc-03"}
LEAK = {"alertname": "RackwattCoolantLeak", "severity": "critical", "sensor": "Pan", **PLACE}
MUTE = {"alertname": "RackwattLeakUnwatched", "severity": "warning", **PLACE}
METER = {"alertname": "RackwattMeterSilent", "severity": "warning", "unit": "bmc-03", **PLACE}
MISSING = {"alertname": "RackwattNodeMissing", "severity": "critical", "rack": "r12", "node": "tray-03"}


@pytest.fixture
def silent(tmp_path):
    """Which of the alerts that stand are held back."""
    with Alertmanager(CONFIG, tmp_path) as real:
        url = f"http://{real.address}/api/v2/alerts"

        def held_back(*alerts):
            body = json.dumps([{"labels": labels} for labels in alerts]).encode()
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=5).close()
            told = json.loads(http_get(url)[1])
            return [each["labels"] for each in told if each["status"]["inhibitedBy"]]

        yield held_back


def test_what_a_daemon_sent_itself_holds_the_page_of_the_rule_back_and_is_told(silent):
    assert silent(SENT, RULE) == [RULE]


def test_a_page_that_a_daemon_sent_is_held_back_by_no_alert_of_its_cause(silent):
    assert SENT not in silent(SENT, BRAKE)


def test_another_severity_is_another_message(silent):
    assert silent({**SENT, "severity": "warning"}, RULE) == [{**SENT, "severity": "warning"}]


def test_the_page_of_a_rule_is_its_ticket_and_the_page_of_its_symptom(silent):
    held_back = silent(RULE, TICKET, BRAKE)

    assert RULE not in held_back
    assert [each for each in (TICKET, BRAKE) if each not in held_back] == []


def test_another_node_says_its_own(silent):
    assert silent(SENT, {**RULE, "node": "tray-04"}) == []


def test_a_leak_is_told_beside_the_node_that_it_took_away_and_what_it_silenced_is_not(silent):
    held_back = silent(LEAK, MISSING, MUTE, METER)

    assert [each for each in (LEAK, MISSING) if each in held_back] == []
    assert [each for each in (MUTE, METER) if each not in held_back] == []


def test_a_link_that_an_incident_names_is_not_told_again_by_its_gpu_and_another_nodes_is(silent):
    fault = {**TICKET, "alertname": "RackwattIncidentFault", "kind": "fault", "cause": "nvlink"}
    link = {**BRAKE, "alertname": "RackwattGpuNvlinkDegraded", "severity": "warning"}

    assert silent(fault, link, {**link, "node": "tray-04"}) == [link]
