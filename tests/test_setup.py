"""What scripts/setup.sh leaves in .venv: the command of this checkout, from wherever it is called."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.engines.vllm_page import CAPTURES

from agent import __version__
from benchmarks import pages

COMMAND = Path(sys.executable).parent / "rackwatt"
ROOT = Path(__file__).parents[1]


def version_from(command, folder):
    return subprocess.run(
        [command, "--version"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def test_the_command_runs_from_another_folder(tmp_path):
    assert version_from(COMMAND, tmp_path) == f"rackwatt {__version__}\n"


def test_the_command_runs_through_a_link(tmp_path):
    link = tmp_path / "rackwatt"
    link.symlink_to(COMMAND)

    assert version_from(link, tmp_path) == f"rackwatt {__version__}\n"


def test_a_foreign_folder_named_agent_is_not_taken_for_ours(tmp_path):
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("raise SystemExit('foreign')")

    assert version_from(COMMAND, tmp_path) == f"rackwatt {__version__}\n"


@pytest.mark.parametrize("what", ["", "all"])
def test_setup_of_nothing_it_knows_says_what_there_is(what):
    script = COMMAND.parents[2] / "scripts" / "setup.sh"
    done = subprocess.run([script, what], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "usage: setup.sh run|top|test" in done.stderr


def test_the_files_that_go_first_exist():
    here = Path(__file__).parent
    spec = importlib.util.spec_from_file_location("order_of_tests", here / "conftest.py")
    order = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(order)

    assert [name for name in order.LONGEST_FIRST if not (here / name).is_file()] == []


def test_the_tests_that_ci_does_not_run_can_be_collected():
    """Real engines and real incidents take minutes: what they import must not break unseen meanwhile."""
    here = Path(__file__).parent
    files = sorted([*here.glob("engines_real/test_*.py"), *here.glob("incidents_real/test_*.py")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *files],
        cwd=here.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert all(f"{file.parent.name}/{file.name}::" in done.stdout for file in files)
    assert len(files) == 4


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_can_be_imported(path):
    assert importlib.import_module(f"benchmarks.{path.stem}").__doc__


@pytest.mark.parametrize("page", sorted(CAPTURES.glob("*.prom")), ids=lambda page: page.stem)
def test_the_benchmark_of_pages_reads_each_recorded_one_by_the_table_of_its_engine(page):
    assert pages.table_of(page.read_bytes()).engine == page.stem.partition("-")[0]


def test_phases_are_told_with_their_seconds_and_end_at_the_first_that_fails(tmp_path):
    (tmp_path / "Makefile").write_text("one two three:\n\t@echo did $@\nbroken:\n\t@false\n")
    script = Path(__file__).parents[1] / "scripts" / "phases.sh"
    done = subprocess.run(
        [script, "one two", "broken", "three"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert {"did one", "did two"} <= set(done.stdout.splitlines())
    assert "did three" not in done.stdout
    assert re.search(r"^ +\d s  one two\n +\d s  broken\n +\d s  in all$", done.stdout, re.MULTILINE)
