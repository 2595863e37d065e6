"""Alerts end to end: faults, daemons, Prometheus, Alertmanager; what a webhook is told, and what it is not.

The shipped template with shorter durations (fakes/alertmanager.py). docs/alerts.md says which are here.
"""

import re

import pytest
from fakes import promql
from fakes.alert_story import LASTING, TO_STAY, Story

pytestmark = pytest.mark.alone

TWIN = {
    "RackwattThroughputDrop": {"rack": "hot"},
    "RackwattIncidentCritical": {"rack": "dark", "node": "dark-3", "cause": "engine_stall"},
    "RackwattIncident": {"rack": "hot", "node": "hot-2", "cause": "thermal"},
    "RackwattGpuPowerBrake": {"node": "hot-0", "gpu": "3"},
    "RackwattGpuThermalThrottle": {"node": "hot-2"},
    "RackwattGpuPowerLimitLow": {"node": "hot-3", "gpu": "1"},
    "RackwattGpuXidFatal": {"node": "hot-4", "gpu": "1", "xid": "149"},
    "RackwattGpuXid": {"node": "hot-4", "gpu": "2", "xid": "145"},
    "RackwattGpuHot": {"node": "hot-2"},
    "RackwattGpuEccUncorrected": {"node": "hot-4", "gpu": "0"},
    "RackwattNodeMissing": {"rack": "dark", "node": "dark-0"},
    "RackwattEngineDown": {"node": "dark-1"},
    "RackwattEngineRestarting": {"node": "dark-4"},
    "RackwattCollectorFailing": {"node": "dark-5", "collector": "twin"},
    "RackwattThroughputSloBurn": {"rack": "hot"},
    "RackwattThroughputSloBurnSlow": {"rack": "hot"},
    "RackwattRackUnwatched": {"rack": "dark"},
    "RackwattGpuMissing": {"node": "dark-2", "gpu": "1"},
    "RackwattMeterSilent": {"node": "hot-5", "source": "twin", "part": "node"},
}
DRIVER = {
    "RackwattGpuMissing": {"node": "bench-1", "gpu": "3"},
    "RackwattGpuEccUncorrected": {"node": "bench-1", "gpu": "1"},
    "RackwattGpuEccCorrectedStorm": {"node": "bench-1", "gpu": "2"},
    "RackwattGpuRowRemapFailed": {"node": "bench-1", "gpu": "2"},
    "RackwattGpuRecoveryNeeded": {"node": "bench-1", "gpu": "2", "action": "gpu_reset"},
    "RackwattGpuFabricUnhealthy": {"node": "bench-1", "gpu": "0"},
    "RackwattGpuFabricIncomplete": {"node": "bench-1", "gpu": "2"},
    "RackwattGpuHardwareSlowdown": {"node": "bench-1", "gpu": "1"},
}
PAGE = {
    "RackwattTargetDown": {},
    "RackwattModelDown": {"rack": "lab", "model": "lab"},
    "RackwattRequestsFailing": {"node": "lab-1", "engine_instance": "a:1"},
    "RackwattGpuHot": {"node": "lab-1"},
    "RackwattFigureInvalid": {"node": "lab-2", "reason": "gap"},
    "RackwattEnergyMismatch": {"node": "lab-1"},
    "RackwattStateNotWritable": {"node": "lab-1"},
    "RackwattConfigRejected": {"node": "lab-1"},
    "RackwattWebConfigRejected": {"node": "lab-1"},
    "RackwattAgentRestarting": {"node": "lab-1"},
    "RackwattIncidentCritical": {"rack": "cell", "node": "cell-1", "kind": "drop"},
    "RackwattIncidentFault": {"rack": "lab", "node": "lab-2", "cause": "nvlink"},
    "RackwattThroughputDrop": {"rack": "lab"},
    "RackwattEfficiencyRegression": {"rack": "lab", "model": "lean"},
    "RackwattThroughputSloBurn": {"rack": "lab"},
    "RackwattThroughputSloBurnSlow": {"rack": "lab"},
    "RackwattLatencySloBurn": {"rack": "lab", "slo": "first_token"},
    "RackwattLatencySloBurnSlow": {"rack": "lab", "slo": "first_token"},
    "RackwattSloUnmeasured": {"rack": "lab", "slo": "inter_token"},
    "RackwattCoolantLeak": {"node": "lab-2", "target": "bmc-1", "state": "critical"},
    "RackwattLeakUnwatched": {"node": "lab-1", "target": "bmc-1"},
    "RackwattMetersDisagree": {"node": "lab-1", "boundary": "module"},
    "RackwattGpuNvlinkDegraded": {"node": "lab-1", "gpu": "1", "trouble": "links_down"},
    "RackwattGpuPcieDegraded": {"node": "lab-1", "gpu": "1"},
    "RackwattHostOomKill": {"node": "lab-1"},
    "RackwattHostLinkDown": {"node": "lab-1", "device": "mlx5_0"},
    "RackwattEnergyUnbooked": {"rack": "lab", "total": "cost"},
    "RackwattRecordingsLost": {"node": "lab-2"},
    "RackwattPushFailing": {"node": "lab-1", "exporter": "otlp"},
    "RackwattAbsent": {},
    "RackwattWatchdog": {},
}
HELD_BACK = {
    "RackwattTelemetryGap": ("twin", {"rack": "dark"}),
    "RackwattRackGpusMissing": ("twin", {"rack": "dark"}),
    "RackwattEngineStalled": ("twin", {"node": "dark-3"}),
    "RackwattStraggler": ("twin", {"rack": "hot", "node": "hot-0"}),
    "RackwattEngineDown": ("page", {"rack": "lab"}),
    "RackwattThroughputDrop": ("page", {"rack": "cell"}),
}
"""Inhibited by what explains them; told to nobody while that lasts."""
INFORMATION = {
    "RackwattDropExplained": ("page", {"rack": "cell"}),
    "RackwattDemandFell": ("page", {"rack": "lab"}),
    "RackwattVersionSkew": ("page", {"rack": "lab"}),
    "RackwattGpuPowerNearLimit": ("driver", {"node": "bench-1", "gpu": "0"}),
    "RackwattGpuXidApplication": ("driver", {"node": "bench-1", "gpu": "2", "xid": "13"}),
}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A minute and three quarters, once."""
    with Story(tmp_path_factory.mktemp("alerts")) as story:
        yield story.tell()


def fired(story, name, labels):
    return [each for each in map(dict, story.fired) if {"alertname": name, **labels}.items() <= each.items()]


def test_nothing_fires_while_all_is_well(story):
    """But what is wrong from the start: a target that never answers, a bound that is not there."""
    begun = {"RackwattWatchdog", "RackwattTargetDown", "RackwattSloUnmeasured"}

    assert [each for each in map(dict, story.fired_before) if each["alertname"] not in begun] == []


def test_no_rule_fails(story):
    assert story.failed_rules == []


@pytest.mark.parametrize(("name", "labels"), [*TWIN.items(), *DRIVER.items(), *PAGE.items()])
def test_it_is_told_with_its_texts(story, name, labels):
    told = story.webhook.of(name, **labels)

    assert told, fired(story, name, {})
    severity = told[0].labels["severity"]
    assert told[0].to == {"critical": "/page", "warning": "/ticket", "info": "/watchdog"}[severity]
    assert all("{{" not in text and "<no value>" not in text for text in told[0].annotations.values())


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        (name, labels)
        for each in (TWIN, DRIVER, PAGE)
        for name, labels in each.items()
        if name not in LASTING and (name, labels.get("rack")) not in TO_STAY
    ],
)
def test_its_end_is_told(story, name, labels):
    assert story.webhook.of(name, firing=False, **labels)


@pytest.mark.parametrize(("name", "where"), HELD_BACK.items())
def test_what_is_explained_by_another_fires_and_is_not_told(story, name, where):
    labels = where[1]

    assert fired(story, name, labels)
    assert [told for told in story.webhook.of(name, **labels) if told.at < story.ended] == []


@pytest.mark.parametrize(("name", "where"), INFORMATION.items())
def test_information_fires_and_rings_nobody(story, name, where):
    assert fired(story, name, where[1])
    assert story.webhook.of(name) == []


def test_one_event_of_a_rack_is_one_page(story):
    """What began together is one group: told once, and again at its interval as more joins it."""
    groups = {tuple(group.items()) for path, group in story.webhook.notifications if path != "/watchdog"}
    pages = [each for each in story.pages_before_the_end if each == {"rack": "dark"}]

    assert groups <= {(("rack", rack),) for rack in ("hot", "dark", "bench", "lab", "cell")} | {()}
    assert 1 <= len(pages) <= 5
    assert len({each.name for each in story.webhook.told if each.labels.get("rack") == "dark"}) > len(pages)


def test_the_page_says_what_was_seen_how():
    page = (promql.ALERTING.parents[2] / "docs" / "alerts.md").read_text()
    told = dict(re.findall(r"^\| \[(\w+)\].*\| ([\w, -]+) \|$", page, re.MULTILINE))
    seen = {name: set() for name in told}
    for source, alerts in (("twin", TWIN), ("driver", DRIVER), ("page", PAGE)):
        for name in alerts:
            seen[name].add(source)
    for name, (source, _) in (HELD_BACK | INFORMATION).items():
        seen[name].add(source)

    assert {name: set(text.split(", ")) - {"-"} for name, text in told.items()} == seen
