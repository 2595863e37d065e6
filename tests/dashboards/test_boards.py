"""The boards: made by their code, whole, and naming only what there is (T17)."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from fakes import boards, promql
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model

from agent import dashboards
from dashboards.grafana.boards.__main__ import texts

BOARDS = boards.loaded()
ASKED = [query for board in BOARDS.values() for query in boards.asked(board)]
MADE_BY_ALERTS = {"rackwatt-rack", "rackwatt-fleet"}
GRAFANA = dashboards.source_folder() / "grafana"


def every_panel():
    return [(uid, panel) for uid, board in BOARDS.items() for panel in boards.panels(board)]


def texts_of(value):
    """Every text in a board, wherever."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each)


@pytest.fixture(scope="module")
def records():
    return promql.shipped()


def test_the_boards_are_what_their_code_makes():
    """Otherwise: `make boards`."""
    for path, text in texts().items():
        assert path.read_text() == text, path.name
    assert {path.stem for path in texts() if path.suffix == ".json"} == set(BOARDS)


def test_there_are_six_with_names_that_stay():
    assert set(BOARDS) == {
        "rackwatt-fleet",
        "rackwatt-health",
        "rackwatt-model",
        "rackwatt-node",
        "rackwatt-power",
        "rackwatt-rack",
    }


@pytest.mark.parametrize("query", ASKED, ids=lambda query: query.name)
def test_t17_every_query_names_only_metrics_and_labels_that_there_are(query, records):
    expr = promql.interpolated(query.expr)

    assert promql.unknown(expr, records) == []


@pytest.mark.parametrize("query", [each for each in ASKED if each.labels], ids=lambda query: query.name)
def test_a_legend_names_only_labels_that_the_result_has(query, records):
    if "ALERTS" not in query.expr:
        assert set(query.labels) <= promql.labels_of(promql.interpolated(query.expr), records)


@pytest.mark.parametrize("uid", BOARDS)
def test_nothing_is_lost_on_the_way_through_the_library_of_grafana(uid):
    """A key that is not Grafana's, or is misspelt, would be."""
    register_default_plugins()

    again = json.loads(JSONEncoder().encode(model.Dashboard.from_json(copy.deepcopy(BOARDS[uid]))))

    assert list(lost(BOARDS[uid], again)) == []


def lost(told, again, where=""):
    if isinstance(told, dict):
        for key, value in told.items():
            if not isinstance(again, dict) or key not in again:
                yield f"{where}/{key}"
            else:
                yield from lost(value, again[key], f"{where}/{key}")
    elif isinstance(told, list) and isinstance(again, list) and len(told) == len(again):
        for number, (one, other) in enumerate(zip(told, again, strict=True)):
            yield from lost(one, other, f"{where}/{number}")
    elif told != again:
        yield f"{where}: {told!r} became {again!r}"


def test_the_first_row_answers_and_no_board_is_crowded():
    for board in BOARDS.values():
        first = [panel for panel in boards.panels(board) if panel["gridPos"]["y"] == 0]
        assert {panel["type"] for panel in first} == {"stat"}, board["uid"]
        assert len(boards.panels(board)) <= 20, board["uid"]


def test_every_panel_says_what_it_shows_and_what_it_means():
    for uid, panel in every_panel():
        assert len(panel["description"]) > 15, f"{uid}: {panel['title']}"
        assert panel["fieldConfig"]["defaults"]["unit"], f"{uid}: {panel['title']}"


def test_panels_are_numbered_and_do_not_cover_each_other():
    for board in BOARDS.values():
        taken = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not taken & cells, panel["title"]
            assert at["x"] + at["w"] <= 24
            taken |= cells
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)


def test_whatever_may_have_several_series_has_a_legend_or_says_that_it_hides_it():
    """The library writes `showLegend: false` for whoever does not ask."""
    for uid, panel in every_panel():
        if panel["type"] == "timeseries" and not panel["options"]["legend"]["showLegend"]:
            lines = [target["legendFormat"] for target in panel["targets"]]
            assert len(lines) == 1, f"{uid}: {panel['title']}"


def test_what_speaks_of_now_asks_for_now():
    """T15: over the time shown, the last value of a series that is gone would pass for now's."""
    for uid, panel in every_panel():
        now = panel["type"] in {"stat", "table", "bargauge"}
        assert {target["instant"] for target in panel["targets"]} == {now}, f"{uid}: {panel['title']}"
        assert {target["range"] for target in panel["targets"]} == {not now}, f"{uid}: {panel['title']}"


def test_every_data_source_is_the_chosen_one():
    for board in BOARDS.values():
        named = {source["uid"] for source in sources_of(board)}
        assert named == {"${datasource}"}, board["uid"]
        assert boards.variables(board)[0]["name"] == "datasource"
        assert boards.variables(board)[0]["query"] == "prometheus"


def sources_of(value):
    if isinstance(value, dict):
        if value.get("type") == "prometheus" and "uid" in value:
            yield value
        for each in value.values():
            yield from sources_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from sources_of(each)


def test_every_variable_is_used_and_every_used_one_is_there():
    for board in BOARDS.values():
        there = {each["name"] for each in boards.variables(board)}
        rest = {key: value for key, value in board.items() if key != "templating"}
        queries = [each["query"] for each in boards.variables(board)]
        said = " ".join(texts_of([rest, queries]))
        used = {
            one or other for one, other in re.findall(r"\$\{([a-z]\w*)(?:[:.][^}]*)?\}|\$([a-z]\w*)", said)
        }
        assert {name for name in used if not name.startswith("__")} == there, board["uid"]


def test_links_lead_to_boards_that_there_are():
    addresses = [text for board in BOARDS.values() for text in texts_of(board) if text.startswith("/d/")]

    assert len(addresses) > 3
    assert {address.split("/")[2] for address in addresses} <= set(BOARDS)


def test_an_alert_leads_to_its_runbook_where_the_parameter_says():
    for file in boards.FILES:
        template = file.with_name(file.name + ".in")
        if "${__value.raw}.md" in file.read_text():
            assert "@{runbook_url_prefix}${__value.raw}.md" in template.read_text(), file.name
    assert {
        file.stem for file in boards.FILES if file.with_name(file.name + ".in").exists()
    } == MADE_BY_ALERTS


def test_what_is_written_for_users_has_their_runbooks_and_no_code():
    written = dict(dashboards.files_with({"runbook_url_prefix": "https://wiki/"}))

    assert '"https://wiki/${__value.raw}.md"' in written[Path("grafana/rackwatt-rack.json")]
    assert len([path for path in written if path.match("grafana/*.json")]) == len(BOARDS)
    assert not [path for path in written if "boards" in path.parts]


def test_provisioning_names_the_data_source_that_boards_choose_and_a_folder_for_them():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/rackwatt.yaml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/rackwatt.yaml").read_text())["providers"]

    assert (source["type"], source["access"]) == ("prometheus", "proxy")
    assert (provider["type"], provider["folder"]) == ("file", "rackwatt")
    assert provider["options"]["path"] in (GRAFANA / "../../docs/grafana.md").read_text()


def test_the_fleet_is_made_of_records_of_racks_and_sites_alone():
    """So it works, and is cheap, on a server that has no node's series."""
    names = {
        name
        for query in boards.asked(BOARDS["rackwatt-fleet"])
        for name, _ in promql.used(promql.interpolated(query.expr))
    }

    assert {name.partition(":")[0] for name in names} == {"rack", "site", "ALERTS", "ALERTS_FOR_STATE"}


def test_no_alert_is_said_to_fire_only_where_alerts_are_reckoned():
    counts = [query.expr for query in ASKED if query.by == "Alerts firing/A"]

    assert len(counts) == 2
    for expr in counts:
        assert expr.endswith('or 0 * count(ALERTS{alertname="RackwattWatchdog", alertstate="firing"})')
    assert not [query.name for query in ASKED if "vector(0)" in query.expr]


def test_t20_the_record_is_compared_with_and_never_a_result():
    panel = next(each for _, each in every_panel() if "record_ratio" in each["targets"][0]["expr"])
    said = " ".join(texts_of(panel))

    assert "compared with" in panel["targets"][0]["legendFormat"]
    assert "unverified" in said
    assert "not a benchmark result" in said
    for text in texts_of(BOARDS):
        assert "MLPerf result" not in text


def test_t7_no_query_adds_boundaries():
    for query in ASKED:
        for name, labels in promql.used(promql.interpolated(query.expr)):
            summed = re.search(r"\bsum(?! by \([^)]*boundary)[^(]*\([^()]*" + name, query.expr)
            if summed and name in {"rackwatt_power_watts", "rackwatt_rack_power_watts"}:
                assert "boundary" in labels, query.name
