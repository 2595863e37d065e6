"""Gives up what a unit takes away, and becomes what it starts; needs nothing but Python and libseccomp."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM  # SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(EPERM)
PR_CAPBSET_DROP = 24
CAPABILITIES = 64


def main() -> None:
    """Read what is to be done from the file that is named."""
    told: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    resource.setrlimit(resource.RLIMIT_NOFILE, (told["open_files"], told["open_files"]))
    os.chdir("/")
    os.umask(0o077)
    _drop_rights()
    if told["user"] is not None:
        os.setgroups([])
        os.setresgid(told["user"], told["user"], told["user"])
        os.setresuid(told["user"], told["user"], told["user"])
    _filter(told["system_calls"])
    os.execve(told["command"][0], told["command"], told["environment"])


def _drop_rights() -> None:
    """Take every capability out of the bounding set; who is not root has none."""
    libc = ctypes.CDLL(None)
    for number in range(CAPABILITIES):
        with contextlib.suppress(OSError):
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)


def _filter(names: list[str]) -> None:
    """Have the kernel refuse every other system call; that sets no_new_privs as well."""
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    for name in names:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and seccomp.seccomp_rule_add(context, ALLOW, number, 0) != 0:
            raise OSError(f"seccomp_rule_add: {name}")
    if seccomp.seccomp_load(context) != 0:
        raise OSError("seccomp_load")


if __name__ == "__main__":
    main()
