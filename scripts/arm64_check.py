"""Shows that every dependency and extra installs on arm64 without a compiler, or says which do not.

pip resolves what pyproject.toml asks for as a Grace node would, and installs nothing. `make arm64-check`
runs it; it asks the package index and takes half a minute, and so is no part of `make test`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 28)))
"""Wheels of an older glibc run on a newer one; 2.28 is that of every distribution that Grace runs."""
TIMEOUT_SECONDS = 300


def wanted(project: dict[str, Any]) -> list[str]:
    """Return every requirement of the project: the base and all extras."""
    table = project["project"]
    extras = table.get("optional-dependencies", {})
    return [*table["dependencies"], *(each for extra in extras.values() for each in extra)]


def command(requirements: list[str], python: str, folder: str) -> list[str]:
    """Return how pip is asked for an arm64 machine with one version of Python."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--quiet", "--report", "-"]
    target = ["--target", folder, "--python-version", python, "--implementation", "cp", *platforms]
    return [sys.executable, "-m", "pip", "install", *options, *target, *requirements]


def wheels(report: str) -> list[str]:
    """Return the file name of every wheel that pip chose."""
    told = json.loads(report)
    return sorted(item["download_info"]["url"].rpartition("/")[2] for item in told["install"])


def foreign(names: list[str]) -> list[str]:
    """Return those that run neither everywhere nor on arm64."""
    return [name for name in names if not name.endswith(("-any.whl", "_aarch64.whl"))]


def main() -> int:
    """Ask for each version of Python; return 1 when one of them lacks a wheel."""
    requirements = wanted(tomllib.loads(PROJECT.read_text(encoding="utf-8")))
    failed = False
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            asked = command(requirements, python, folder)
            done = subprocess.run(  # noqa: S603 - our own command
                asked, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        if done.returncode != 0:
            print(f"Python {python}: no set of arm64 wheels:\n{done.stderr.strip()}", file=sys.stderr)
            failed = True
            continue
        names = wheels(done.stdout)
        wrong = foreign(names)
        failed |= bool(wrong) or not names
        native = [name for name in names if name.endswith("_aarch64.whl")]
        print(f"Python {python}: {len(names)} wheels, {len(native)} of them built for aarch64")
        print("\n".join(f"  {name}" for name in native))
        for name in wrong:
            print(f"  not for arm64: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
