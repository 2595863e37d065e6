"""Builds the fake libnvidia-ml.so.1 once per version of its sources."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
LIBRARY = "libnvidia-ml.so.1"
FLAGS = (
    *("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"),
    *("-fPIC", "-fvisibility=hidden", "-shared", f"-Wl,-soname,{LIBRARY}"),
)
BUILD_TIMEOUT_SECONDS = 300


def library_directory() -> Path:
    """The folder that holds the built library; for LD_LIBRARY_PATH."""
    compiler = _compiler()
    target = _cache() / f"fake-nvml-{_key(compiler)}"
    if not (target / LIBRARY).exists():
        _build(compiler, target)
    return target


def _build(compiler: list[str], target: Path) -> None:
    """Compiles beside the target and renames, so that builds side by side cannot meet."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        output = Path(scratch) / LIBRARY
        sources = sorted(str(source) for source in SOURCES.glob("*.c"))
        command = [*compiler, *FLAGS, "-o", str(output), *sources, "-lm", "-lpthread"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_SECONDS, check=False
        )
        if done.returncode != 0:
            message = f"the fake NVML does not compile: {' '.join(command)}\n{done.stderr}"
            raise RuntimeError(message)
        output.replace(target / LIBRARY)


def _compiler() -> list[str]:
    """The system's C compiler, or the one that PyPI's ziglang carries."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    message = "the fake NVML needs a C compiler: install gcc, or `pip install ziglang`"
    raise RuntimeError(message)


def _key(compiler: list[str]) -> str:
    """A digest of all that decides what the library does."""
    digest = hashlib.sha256(repr((compiler, FLAGS, platform.machine())).encode())
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _cache() -> Path:
    """A folder that outlives the tests and belongs to this user alone."""
    named = os.environ.get("RACKWATT_TEST_CACHE")
    if named:
        return Path(named)
    cache = Path(tempfile.gettempdir()) / f"rackwatt-test-cache-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        message = f"{cache} belongs to somebody else: set RACKWATT_TEST_CACHE"
        raise RuntimeError(message)
    return cache
