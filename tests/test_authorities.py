"""The daemon does not keep every authority of the machine in memory; what asks over TLS has them all."""

import os
import subprocess
import sys

from fakes.authority import Authority

STARTED = """
from agent import cli
cli.main(["run", "--config", "/nowhere/rackwatt.yaml"])
import ssl
from aiohttp import connector
print(len(connector._SSL_CONTEXT_VERIFIED.get_ca_certs()), len(ssl.create_default_context().get_ca_certs()))
"""


def started(authorities):
    env = os.environ | {"SSL_CERT_FILE": str(authorities), "SSL_CERT_DIR": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", STARTED], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


def test_what_the_daemon_imports_reads_none_and_what_is_made_later_reads_all(tmp_path):
    assert started(Authority(tmp_path).ca) == ["0", "1"]
