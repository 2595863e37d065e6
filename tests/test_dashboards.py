"""`rackwatt dashboards`: files for Prometheus and Grafana, thresholds by name."""

import pytest

from agent import cli, dashboards
from agent.binding import ConfigError


@pytest.fixture
def folder(tmp_path):
    """Files as they lie in dashboards/."""
    source = tmp_path / "source"
    (source / "rules" / "tests").mkdir(parents=True)
    (source / "rules" / "parameters.yaml").write_text(
        "drop_ratio: {value: 0.8, doc: how much less}\ndrop_for: {value: 5m, doc: how long}\n"
        "prefix: {value: docs/, doc: where pages are}\n"
    )
    (source / "rules" / "alerts.yml.in").write_text("expr: x < @{drop_ratio}\nfor: @{drop_for}\n")
    (source / "rules" / "alerts.yml").write_text("expr: x < 0.8\nfor: 5m\n")
    (source / "rules" / "tests" / "alerts.yml").write_text("not for users\n")
    (source / "build.py").write_text("not for users\n")
    return source


def test_parameters_are_filled_in_and_what_files_are_made_from_stays_out(folder):
    written = {str(path): text for path, text in dashboards.files_with({"drop_ratio": "0.7"}, folder)}

    assert written == {
        "rules/alerts.yml": "expr: x < 0.7\nfor: 5m\n",
        "rules/parameters.yaml": (folder / "rules" / "parameters.yaml").read_text(),
    }


def test_an_unknown_parameter_is_refused_with_those_there_are(folder):
    with pytest.raises(
        ConfigError, match=r"--set drop: no such parameter; there are: drop_for, drop_ratio, prefix"
    ):
        dashboards.values_with({"drop": "1"}, folder)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("drop_ratio", "much", "is no number, such as 0.8"), ("drop_for", "300", "is no duration")],
)
def test_a_value_of_another_kind_is_refused(folder, name, value, why):
    with pytest.raises(ConfigError, match=why):
        dashboards.values_with({name: value}, folder)


def test_a_word_may_be_any_word(folder):
    assert dashboards.values_with({"prefix": "https://wiki/"}, folder)["prefix"] == "https://wiki/"


def test_a_folder_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")

    assert cli.main(["dashboards", "--out", str(tmp_path / "file")]) == 2
    assert "--out: cannot write" in capsys.readouterr().err


def test_the_files_that_were_written_are_told_one_a_line(tmp_path, capsys):
    assert cli.main(["dashboards", "--out", str(tmp_path / "out")]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert line.startswith(str(tmp_path / "out"))


def test_shipped_files_are_their_templates_with_the_parameters_in_them():
    folder = dashboards.source_folder()
    values = dashboards.values_with({}, folder)
    for template in folder.rglob("*" + dashboards.TEMPLATE):
        assert template.with_suffix("").read_text() == dashboards.filled(template.read_text(), values), (
            template
        )
