"""Runs what a systemd unit starts, as systemd would: its user, its rights, its system calls, its sockets.

It is no systemd: what needs mounts and control groups (ProtectSystem, DeviceAllow, MemoryMax) is not done.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.processes import LOOPBACK, ProcessFailedError, Program, free_port, wait_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

NOBODY = 65534
UNIT_SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600}


class Unit:
    """A unit file, with its drop-ins."""

    def __init__(self, *files: Path) -> None:
        self._lines: list[tuple[str, str]] = []
        for file in files:
            text = re.sub(r"\\\n\s*", " ", file.read_text())
            rows = (line.partition("=") for line in text.splitlines() if not line.startswith(("#", "[")))
            self._lines += [(key.strip(), value.strip()) for key, sign, value in rows if sign]

    def all(self, key: str) -> list[str]:
        """Every value of a key."""
        return [value for name, value in self._lines if name == key]

    def one(self, key: str) -> str:
        """The last value of a key."""
        return self.all(key)[-1]

    def seconds(self, key: str) -> float:
        """A duration."""
        match = re.fullmatch(r"(\d+)\s*(\w*)", self.one(key))
        assert match is not None, self.one(key)
        return int(match[1]) * UNIT_SECONDS[match[2]]

    def system_calls(self) -> set[str]:
        """Names of the system calls that SystemCallFilter leaves."""
        left: set[str] = set()
        for value in self.all("SystemCallFilter"):
            names = {name for word in value.lstrip("~").split() for name in _expanded(word)}
            left = left - names if value.startswith("~") else left | names
        return left


def systemd_analyze(*arguments: str, units: Path | None = None) -> tuple[int, str]:
    """Exit status and messages of systemd-analyze; `units` is where it looks for units first.

    One that is unpacked beside other programs of Debian's brings its libraries and units with it.
    """
    found = shutil.which("systemd-analyze")
    if found is None:
        raise ProcessFailedError("systemd-analyze is not installed: apt-get install -y systemd")
    root, environment = Path(found).resolve().parents[2], dict(os.environ)
    if root != Path("/"):
        libraries = [str(path.parent) for path in root.glob("**/lib*.so.*")]
        libraries += [str(path.parent) for path in root.glob("**/systemd/libsystemd-shared-*.so")]
        environment["LD_LIBRARY_PATH"] = ":".join(dict.fromkeys(libraries))
        shipped = [str(path) for path in (root / "lib/systemd/system", root / "usr/lib/systemd/system")]
        environment["SYSTEMD_UNIT_PATH"] = ":".join([*([] if units is None else [str(units)]), *shipped])
    done = subprocess.run(
        [found, "--no-pager", *arguments], capture_output=True, text=True, check=False, env=environment
    )
    return done.returncode, (done.stdout + done.stderr).strip()


@functools.cache
def _groups() -> dict[str, list[str]]:
    """systemd's groups of system calls."""
    code, told = systemd_analyze("syscall-filter")
    assert code == 0, told
    groups: dict[str, list[str]] = {}
    for line in told.splitlines():
        word = line.strip()
        if line.startswith("@"):
            groups[word] = members = []
        elif line.startswith("    ") and not word.startswith("#"):
            members.append(word)
    return groups


def _expanded(word: str) -> Iterator[str]:
    if not word.startswith("@"):
        yield word
        return
    for member in _groups()[word]:
        yield from _expanded(member)


class InstalledUnit:
    """rackwatt installed for everybody under a folder of its own, run as a unit says."""

    def __init__(self, unit: Unit, settings: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rackwatt-unit-"))
        self.folder.chmod(0o755)
        self.unit = unit
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.state_dir = self.folder / "state"
        config = self.folder / "rackwatt.yaml"
        config.write_text(f"listen: {LOOPBACK}:{self.port}\n{settings}")
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(str(self.folder / "notify"))
        (self.folder / "notify").chmod(0o777)
        python = _install(self.folder / "opt")
        paths = {"/opt/rackwatt": str(self.folder / "opt"), "/etc/rackwatt/rackwatt.yaml": str(config)}
        command = unit.one("ExecStart")
        for old, new in paths.items():
            command = command.replace(old, new)
        jail = self.folder / "jail.json"
        jail.write_text(
            json.dumps(
                {
                    "command": shlex.split(command),
                    "system_calls": sorted(unit.system_calls()),
                    "open_files": int(unit.one("LimitNOFILE")),
                    "user": NOBODY if _has_users() else None,
                    "environment": self._environment(),
                }
            )
        )
        self._own(self.state_dir)
        self.program = Program(
            [str(python), "-P", str(Path(__file__).with_name("unit_jail.py")), str(jail)], self.folder / "log"
        )

    def __enter__(self) -> Self:
        self.program.start()
        wait_http(f"{self.url}/-/ready", self.program)
        return self

    def __exit__(self, *_: object) -> None:
        self.program.kill()
        self._inbox.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def told(self, word: str, seconds: float = 10.0) -> bool:
        """Wait until the notify socket was told something."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._inbox.settimeout(max(0.01, ends - time.monotonic()))
            try:
                if word in self._inbox.recv(500).decode():
                    return True
            except TimeoutError:
                break
        return False

    def reload(self) -> None:
        """Run ExecReload."""
        command = self.unit.one("ExecReload").replace("$MAINPID", str(self.program.pid))
        subprocess.run(shlex.split(command), check=True)

    def status(self, field: str) -> str:
        """A field of the process's status."""
        lines = Path(f"/proc/{self.program.pid}/status").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))

    def _environment(self) -> dict[str, str]:
        own = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/",
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "STATE_DIRECTORY": str(self.state_dir),
            "WATCHDOG_USEC": "1000000",  # the unit's own is too long to wait for
        }
        pairs = (pair.partition("=") for value in self.unit.all("Environment") for pair in value.split())
        return own | {key: value for key, _, value in pairs}

    def _own(self, directory: Path) -> None:
        directory.mkdir(mode=int(self.unit.one("StateDirectoryMode"), 8))
        if _has_users():
            os.chown(directory, NOBODY, NOBODY)


def _has_users() -> bool:
    """Whether we may become somebody else: not in a user namespace of one user."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[2] != "1"


def _install(venv: Path) -> Path:
    """Copy rackwatt and what it needs into an environment that anybody may read; its Python."""
    usual = Path("/usr/bin/python3")
    python = Path(sys.executable) if _open_to_all(Path(sys.executable).resolve()) else usual
    subprocess.run([python, "-m", "venv", "--without-pip", venv], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = venv / "lib" / version / "site-packages"
    if not site.is_dir():
        raise ProcessFailedError(f"{python} is not {version}, and {sys.executable} is for its owner alone")
    house = Path(__file__).resolve().parents[2]
    for room in ("agent", "exporters"):
        shutil.copytree(house / room, site / room, ignore=shutil.ignore_patterns("__pycache__"))
    for dist in _needed():
        for file in dist.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(dist.locate_file(file)), site / file)
    script = venv / "bin" / "rackwatt"
    script.write_text(f"#!{venv}/bin/python\nimport sys\nfrom agent.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return venv / "bin" / "python"


def _needed() -> list[importlib.metadata.Distribution]:
    """Every package that a base dependency of rackwatt brings."""
    house = Path(__file__).resolve().parents[2]
    told = tomllib.loads((house / "pyproject.toml").read_text())["project"]["dependencies"]
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [_name(line) for line in told]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            dist = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another Python or system
        found[name] = dist
        waiting += [_name(line) for line in dist.requires or () if "extra ==" not in line]
    return list(found.values())


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def _open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))
