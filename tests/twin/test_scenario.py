"""Scenarios: what ships is sound, what is wrong is told with file, line and key."""

import re
import statistics
from pathlib import Path

import pytest

import agent
from agent import cli
from agent.binding import ConfigError
from agent.twin import scenario
from agent.twin.events import KINDS, Kind
from agent.twin.rack import Rack

DOCS = Path(agent.__file__).parent.parent / "docs"


def test_scenarios_are_shipped():
    assert {"azure-record", "demo", "day", "faults"} <= set(scenario.names())


@pytest.mark.parametrize("name", scenario.names())
def test_a_shipped_scenario_says_what_there_is_to_see(name):
    assert scenario.load(name).about.endswith(".")
    assert scenario.load(name).name == name


def test_the_record_is_reproduced_in_all_five_published_figures():
    rack = Rack(scenario.load("azure-record"))
    rates = [rack.tray(tray, 60 * 10**9)[0].engines[0].rates_mtps[0] / 1000 for tray in range(18)]

    assert sum(rates) == pytest.approx(1_100_948.3, abs=0.05)
    assert max(rates) == pytest.approx(62_803.9, abs=0.05)
    assert min(rates) == pytest.approx(57_599.1, abs=0.05)
    assert statistics.mean(rates) == pytest.approx(61_163.8, abs=0.05)
    assert statistics.median(rates) == pytest.approx(61_759.1, abs=0.05)


def test_the_faults_scenario_has_every_kind():
    assert {event.kind for event in scenario.load("faults").events} == set(Kind)


def test_every_kind_has_an_entry():
    assert set(KINDS) == set(Kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rack: {trais: 3}", "x.yaml:1: rack.trais: unknown key; there are: "),
        ("\nrack:\n  trays: many", "x.yaml:3: rack.trays: 'many' is not an integer"),
        ("rack: {trays: 0}", "x.yaml:1: rack: trays: must be from 1 to 1024"),
        ("rack: {engines_per_tray: 3}", "x.yaml:1: rack: engines_per_tray: must divide gpus_per_tray"),
        (
            "rack: {trays: 3, tray_tokens_per_second: [1, 2]}",
            "x.yaml:1: rack: tray_tokens_per_second: has 2 items for 3 trays",
        ),
        ("load: {level: 11}", "x.yaml:1: load: level: must be from 0 to 10"),
        ("events: [{kind: meteor}]", "x.yaml:1: events[0].kind: 'meteor' is not one of: demand, thermal, "),
        ("events:\n- {at: 3s}", "x.yaml:2: events[0]: needs kind"),
        (
            "events:\n- {kind: thermal, watts: 3}",
            "x.yaml:2: events[0]: watts: means nothing for thermal; it takes degrees",
        ),
        (
            "events:\n- {kind: power_cap, watts: 3}",
            "x.yaml:2: events[0]: watts: must be from 200 to 1400 for power_cap",
        ),
        ("events: [{kind: demand, lasts: 3s, until: 9s}]", "events[0]: until: give either lasts or until"),
        ("events: [{kind: demand, at: 9s, until: 3s}]", "events[0]: until: must be later than at"),
        ("events: [{kind: demand, every: 3s}]", "events[0]: every: must be longer than the event lasts"),
        ("events: [{kind: demand, gpus: [0]}]", "gpus: means nothing for demand, which is about whole trays"),
        ("events: [{kind: thermal, engines: [0]}]", "engines: means nothing for thermal"),
        ("events: [{kind: thermal, trays: [18]}]", "x.yaml:1: events[0].trays: no 18; there are 0 to 17"),
        ("events: [{kind: thermal, gpus: [-1]}]", "x.yaml:1: events[0].gpus: no -1; there are 0 to 3"),
        (
            "events: [{kind: nvlink}]",
            "x.yaml:1: events[0].kind: nvlink is felt only with rack.parallel: tensor",
        ),
        ("[", "x.yaml:1: not YAML: "),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        scenario.parse(text, "x.yaml")


def test_a_scenario_that_is_not_there_is_refused_with_the_shipped_ones():
    with pytest.raises(ConfigError, match="scenario 'nope': no such file; shipped are: azure-record, day"):
        scenario.load("nope")


def test_the_documentation_names_every_kind_and_every_scenario():
    page = (DOCS / "scenarios.md").read_text()

    assert [kind for kind in Kind if f"`{kind.value}`" not in page] == []
    assert [name for name in scenario.names() if f"`{name}`" not in page] == []


def test_scenarios_in_the_documentation_are_accepted():
    blocks = re.findall(r"```yaml scenario\n(.*?)```", (DOCS / "twin.md").read_text(), re.DOTALL)

    assert blocks
    for block in blocks:
        scenario.parse(block, "docs")


def test_the_first_trays_of_a_rack_keep_their_rates_and_what_happens_to_them():
    whole = scenario.parse(
        """
rack: {trays: 4, tray_tokens_per_second: [10, 20, 30, 40]}
events:
  - {kind: demand, at: 1s}
  - {kind: thermal, at: 2s, trays: [1, 3]}
  - {kind: node_down, at: 3s, trays: [3]}
""",
        "x.yaml",
    )
    part = scenario.first_trays(whole, 2)

    assert (part.rack.trays, part.rack.tray_tokens_per_second) == (2, (10.0, 20.0))
    assert [(event.kind, event.trays) for event in part.events] == [(Kind.DEMAND, ()), (Kind.THERMAL, (1,))]
    assert len(Rack(part)) == 2


def test_all_trays_of_a_rack_are_the_rack():
    assert scenario.first_trays(scenario.load("demo"), 18) == scenario.load("demo")


def test_the_command_lists_what_ships(capsys):
    assert cli.main(["twin", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(scenario.names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["twin", "--scenario", "nope"], "scenario 'nope': no such file"),
        (["twin", "--listen", "9745"], "--listen: '9745' is not ADDRESS:PORT"),
        (["demo", "--scenario", "nope"], "scenario 'nope': no such file"),
        (["demo", "--listen", "x:y"], "--listen: 'x:y' is not ADDRESS:PORT"),
        (["twin", "--trays", "0"], "--trays: must be from 1 to 18, the trays of scenario demo"),
        (["demo", "--nodes", "19"], "--nodes: must be from 1 to 18, the trays of scenario demo"),
    ],
)
def test_a_command_used_wrong_says_so(capsys, arguments, message):
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err
