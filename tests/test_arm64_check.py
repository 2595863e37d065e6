"""What `make arm64-check` asks of pip, and what it takes for an answer: without asking anybody."""

import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "arm64_check.py"


@pytest.fixture(scope="module")
def check():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("arm64_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_extra_is_asked_for_beside_the_base(check):
    project = {"project": {"dependencies": ["a"], "optional-dependencies": {"top": ["b"], "x": ["c>=2"]}}}

    assert check.wanted(project) == ["a", "b", "c>=2"]


def test_pip_is_asked_for_wheels_of_arm64_alone(check):
    asked = check.command(["a"], "3.12", "/tmp/nowhere")

    assert "--only-binary=:all:" in asked
    assert "--dry-run" in asked
    platforms = [word for before, word in pairwise(asked) if before == "--platform"]
    assert all(platform.endswith("_aarch64") for platform in platforms)


@pytest.mark.parametrize(
    ("wheel", "runs"),
    [
        ("pure-1.0-py3-none-any.whl", True),
        ("fast-1.0-cp312-cp312-manylinux_2_28_aarch64.whl", True),
        ("fast-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", False),
        ("slow-1.0.tar.gz", False),
    ],
)
def test_a_wheel_of_another_machine_is_foreign(check, wheel, runs):
    report = {"install": [{"download_info": {"url": f"https://example.org/{wheel}"}}]}

    assert check.wheels(json.dumps(report)) == [wheel]
    assert (check.foreign([wheel]) == []) is runs
