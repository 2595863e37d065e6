"""The folder is the registry."""

import dataclasses
import subprocess
import sys

import pytest

from agent import plugins
from agent.measure.engine_table import EngineTable
from agent.measure.settings import documented

ROOMS = [plugins.COLLECTORS, plugins.EXPORTERS]
PLUGINS = [(room, name) for room in ROOMS for name in plugins.names(room)]


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A package with two plug-ins and what is none."""
    folder = tmp_path / "garage"
    (folder / "_private").mkdir(parents=True)
    for name in ("__init__", "zeta", "alpha", "_helper", "_private/__init__"):
        (folder / f"{name}.py").write_text("NAME = __name__\n")
    (folder / "notes.txt").write_text("no module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "garage"
    for name in [name for name in sys.modules if name.split(".")[0] == "garage"]:
        del sys.modules[name]


def test_plug_ins_are_listed_by_file_name_and_sorted_without_those_that_are_private(room):
    assert plugins.names(room) == ("alpha", "zeta")


def test_listing_imports_none_of_them(room):
    plugins.names(room)

    assert "garage.alpha" not in sys.modules


def test_a_plug_in_is_imported_by_its_name(room):
    assert plugins.load(room, "alpha").NAME == "garage.alpha"


def test_an_unknown_name_is_refused_with_the_choices(room):
    with pytest.raises(LookupError, match="no 'beta' in garage; there are: alpha, zeta"):
        plugins.load(room, "beta")


def test_a_private_module_is_no_plug_in(room):
    with pytest.raises(LookupError):
        plugins.load(room, "_helper")


def test_the_rooms_have_plug_ins():
    assert {"nvml", "engines"} <= set(plugins.names(plugins.COLLECTORS))


def test_listing_the_collectors_of_the_house_loads_no_library_of_theirs():
    program = (
        "import sys; from agent import plugins; plugins.names(plugins.COLLECTORS);"
        "print({'agent.collectors.nvml', 'pynvml', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


@pytest.mark.parametrize(("room", "name"), PLUGINS)
def test_the_settings_of_a_plug_in_are_a_frozen_dataclass(room, name):
    assert plugins.load(room, name).Settings.__dataclass_params__.frozen


@pytest.mark.parametrize(("room", "name"), PLUGINS)
def test_every_setting_of_a_plug_in_has_a_default_and_a_sentence(room, name):
    settings = plugins.load(room, name).Settings
    fields = [each for each in dataclasses.fields(settings()) if "inherited" not in each.metadata]
    sentences = [documented(each) for each in fields]

    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize(("room", "name"), PLUGINS)
def test_a_plug_in_offers_build(room, name):
    assert callable(plugins.load(room, name).build)


def test_the_tables_of_the_engines_are_named_like_their_files():
    assert tuple(table.engine for table in plugins.engine_tables()) == plugins.names(plugins.ENGINES)


def test_an_engine_is_a_table():
    assert all(isinstance(table, EngineTable) for table in plugins.engine_tables())
