"""One certificate authority for all tests of a session: making keys takes time."""

import pytest
from fakes.authority import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def server_pair(authority):
    return authority.sign("rack.test", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="session")
def client_pair(authority):
    return authority.sign(
        "scraper", "DNS:prometheus.test,IP:127.0.0.9,URI:spiffe://rack/prometheus", "clientAuth"
    )
