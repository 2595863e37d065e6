"""What `rackwatt dashboards` writes: boards, rules, scrape configurations; thresholds as named parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from agent.binding import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEMPLATE = ".in"
"""Ending of a file whose parameters, written @{name}, are filled in."""
PARAMETERS = Path("rules", "parameters.yaml")
_PLACE = re.compile(r"@\{([^}]*)\}")
_DURATION = re.compile(r"(?:\d+[wdhms])+")
_NOT_FOR_USERS = {"build", "templates", "tests", "__pycache__"}
"""Folders with what the files are made from, and tested by."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A threshold or duration that the rules name."""

    name: str
    value: str
    doc: str

    @property
    def is_duration(self) -> bool:
        """Whether it is an interval as Prometheus writes them."""
        return _DURATION.fullmatch(self.value) is not None

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return _is_number(self.value)


def source_folder() -> Path:
    """Where the files are: in the package when it was installed, beside it in a checkout."""
    here = Path(__file__).parent
    installed = here / "_dashboards"
    return installed if installed.is_dir() else here.parent / "dashboards"


def parameters(folder: Path | None = None) -> dict[str, Parameter]:
    """Return every parameter there is, by its name."""
    text = ((folder or source_folder()) / PARAMETERS).read_text()
    told = yaml.safe_load(text)
    return {name: Parameter(name, str(row["value"]), row["doc"]) for name, row in told.items()}


def filled(template: str, values: Mapping[str, str]) -> str:
    """Write each parameter's value in its place. Raises KeyError for one that there is not."""
    return _PLACE.sub(lambda place: values[place[1]], template)


def values_with(overrides: Mapping[str, str], folder: Path | None = None) -> dict[str, str]:
    """Return each parameter's value. Raises ConfigError for an unknown name or another kind of value."""
    known = parameters(folder)
    for name, value in overrides.items():
        _check(known, name, value)
    return {name: row.value for name, row in known.items()} | dict(overrides)


def _check(known: Mapping[str, Parameter], name: str, value: str) -> None:
    if name not in known:
        raise ConfigError(f"--set {name}: no such parameter; there are: {', '.join(sorted(known))}")
    row = known[name]
    if row.is_duration and not _DURATION.fullmatch(value):
        raise ConfigError(
            f"--set {name}: {value!r} is no duration as Prometheus writes them, such as {row.value}"
        )
    if row.is_number and not _is_number(value):
        raise ConfigError(f"--set {name}: {value!r} is no number, such as {row.value}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def files_with(overrides: Mapping[str, str], folder: Path | None = None) -> Iterator[tuple[Path, str]]:
    """Yield every file for users: its path and its text, the parameters filled in."""
    source = folder or source_folder()
    values = values_with(overrides, source)
    for path in sorted(source.rglob("*")):
        to = path.relative_to(source)
        if not path.is_file() or _NOT_FOR_USERS & set(to.parts[:-1]) or path.suffix == ".py":
            continue
        made = path.with_name(path.name + TEMPLATE)
        if path.suffix == TEMPLATE:
            yield to.with_suffix(""), filled(path.read_text(), values)
        elif not made.exists():
            yield to, path.read_text()


def write(out: Path, overrides: Mapping[str, str]) -> list[Path]:
    """Write every file under a folder, and return where. Raises ConfigError where that cannot be done."""
    written = []
    for to, text in files_with(overrides):
        path = out / to
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            raise ConfigError(f"--out: cannot write {path}: {error.strerror}") from error
        written.append(path)
    return written
