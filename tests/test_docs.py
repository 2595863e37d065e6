"""The documentation says what the code does."""

import re
from pathlib import Path

from fakes import promql

import agent
from agent import config, plugins
from agent.measure.catalogue import CATALOGUE, PREFIX
from agent.measure.incident import CAUSES_OF, Cause, Kind

ROOT = Path(agent.__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_pages_were_found():
    assert {"README.md", "faults.md", "metrics.md", "configuration.md"} <= {page.name for page in PAGES}


def test_every_metric_that_the_documentation_names_exists():
    """T17: docs name only metrics of the catalogue, and what the rules record of them."""
    known = {*promql.known(), *promql.exported(), *(PREFIX + metric.name for metric in CATALOGUE)}
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:(?<![\w:])\w+:)?\brackwatt_\w+(?::\w+)?", page.read_text())
    }

    assert named - known == set()


def test_every_query_of_the_documentation_names_only_labels_that_there_are():
    """T17, of blocks marked promql."""
    queries = [
        (page.name, query)
        for page in PAGES
        for block in re.findall(r"```promql\n(.*?)```", page.read_text(), re.DOTALL)
        for query in promql.queries(block)
    ]
    assert len(queries) > 10
    assert [
        (page, query, wrong) for page, query in queries if (wrong := promql.unknown(query, promql.known()))
    ] == []


def test_every_relative_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_test_that_the_fault_table_names_exists():
    tests = (ROOT / "tests" / "test_faults.py").read_text()
    for name in re.findall(r"`(test_\w+?)_?…", (ROOT / "docs" / "faults.md").read_text()):
        assert f"def {name}" in tests, name


def test_every_test_of_faults_is_in_the_fault_table():
    page = (ROOT / "docs" / "faults.md").read_text()
    stems = [stem.rstrip("_") for stem in re.findall(r"`(test_\w+)", page)]
    for test in re.findall(r"^def (test_\w+)", (ROOT / "tests" / "test_faults.py").read_text(), re.MULTILINE):
        assert any(test.startswith(stem) for stem in stems), test


def test_configurations_in_the_documentation_are_accepted():
    blocks = [
        block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert blocks
    for block in blocks:
        if block.startswith(("# prometheus.yml", "# web-config.yml")):  # test_security_docs runs them
            continue
        config.parse(block, "docs")


def test_every_plug_in_has_its_section():
    page = (ROOT / "docs" / "configuration.md").read_text()
    for title, room in (("collectors", plugins.COLLECTORS), ("exporters", plugins.EXPORTERS)):
        for name in plugins.names(room):
            assert f"## {title}.{name}\n" in page


def test_no_page_names_a_path_outside_the_project():
    for page in PAGES:
        assert f"{ROOT}/" not in page.read_text()


def test_every_engine_has_its_section():
    page = (ROOT / "docs" / "engines.md").read_text()
    for name in plugins.names(plugins.ENGINES):
        assert f"## {name}\n" in page


def test_the_table_of_incidents_is_what_is_told():
    page = (ROOT / "docs" / "incidents.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (`.+`) \|$", page, re.MULTILINE)

    assert {kind: tuple(re.findall(r"`(\w+)`", causes)) for kind, causes in rows} == CAUSES_OF


def test_every_kind_and_cause_of_incidents_is_told():
    told = {cause for each in CAUSES_OF.values() for cause in each}

    assert set(CAUSES_OF) == set(Kind)
    assert told == set(Cause)
