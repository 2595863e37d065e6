"""Who vouches for servers: what is imported within `unread` does not read them all, to keep them for ever.

aiohttp makes the TLS context of its client when it is imported, with every authority of the machine in it:
1.6 MiB (`python -m benchmarks memory`). The daemon serves by it, and asks by a client of its own.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where OpenSSL looks for them, before its own places."""


@contextlib.contextmanager
def unread() -> Iterator[None]:
    """Let OpenSSL find none meanwhile. Contexts that are made afterwards have them all."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
