"""Which hosts are certainly not this machine."""

import socket

import pytest

from agent.discovery.hosts import provably_foreign


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1.2.3", "localhost", "LOCALHOST", "::1", "0.0.0.0", socket.gethostname()]
)
def test_our_own(host):
    assert not provably_foreign(host)


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_addresses_that_we_have_not_got(host):
    """Those of RFC 5737 and RFC 3849 are nobody's."""
    assert provably_foreign(host)


def test_a_name_that_cannot_be_told_may_be_ours():
    assert not provably_foreign("no-such-host.invalid")
