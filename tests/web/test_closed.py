"""A daemon behind TLS, client certificates and passwords: who gets in, and what a changed file does."""

import ssl

import bcrypt
import pytest
import yaml
from fakes.authority import Authority
from fakes.https import Client, ClosedAgent

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
OTHER = bcrypt.hashpw(b"battery staple", bcrypt.gensalt(4)).decode()


def tls_of(pair, ca=None, **others):
    config = {"cert_file": str(pair.cert), "key_file": str(pair.key), **others}
    if ca is not None:
        config |= {"client_ca_file": str(ca), "client_auth_type": "RequireAndVerifyClientCert"}
    return config


@pytest.fixture
def scraper(authority, client_pair):
    return Client(authority.ca, client_pair, ("prometheus", PASSWORD))


@pytest.fixture(scope="module")
def closed(tmp_path_factory, authority, server_pair, client_pair):
    """Everything at once: TLS, a certificate with an allowed name, a password, headers."""
    agent = ClosedAgent(
        tmp_path_factory.mktemp("closed"),
        {
            "tls_server_config": tls_of(server_pair, authority.ca, client_allowed_sans=["prometheus.test"]),
            "basic_auth_users": {"prometheus": HASH},
            "http_server_config": {"headers": {"X-Frame-Options": "deny", "X-Content-Type-Options": ""}},
        },
    )
    with agent.running_for(Client(authority.ca, client_pair, ("prometheus", PASSWORD))):
        yield agent


def with_login(client, *login):
    return Client(client.ca, client.pair, login or None)


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/node", "/-/healthy", "/-/ready", "/nothing"])
def test_no_page_is_given_without_a_password(closed, scraper, path):
    status, headers, body = with_login(scraper).get(closed.port, path)

    assert status == 401
    assert headers["WWW-Authenticate"] == 'Basic realm="rackwatt", charset="UTF-8"'
    assert body == b"a user and a password are needed\n"


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/node", "/-/healthy", "/-/ready"])
def test_every_page_is_given_with_certificate_and_password(closed, scraper, path):
    assert scraper.get(closed.port, path)[0] == 200


def test_a_wrong_password_is_refused_and_told_to_nobody(closed, scraper):
    assert with_login(scraper, "prometheus", "hunter2").get(closed.port)[0] == 401
    assert with_login(scraper, "mallory", "hunter2").get(closed.port)[0] == 401
    assert "hunter2" not in closed.log_text()
    assert HASH not in closed.log_text()


def test_headers_are_on_answers_and_on_refusals(closed, scraper):
    for client in (scraper, with_login(scraper)):
        headers = client.get(closed.port)[1]

        assert headers["X-Frame-Options"] == "deny"
        assert "X-Content-Type-Options" not in headers


def refused(agent, client):
    """Whether the connection ends without an answer."""
    try:
        client.get(agent.port)
    except (OSError, EOFError):
        return True
    except Exception as error:
        return type(error).__name__ == "RemoteDisconnected"
    return False


def test_a_client_without_a_certificate_is_refused(closed, scraper):
    assert refused(closed, Client(scraper.ca, None, scraper.login))


def test_a_certificate_of_another_authority_is_refused(closed, scraper, tmp_path):
    stranger = Authority(tmp_path, "stranger").sign("scraper", "DNS:prometheus.test", "clientAuth")

    assert refused(closed, Client(scraper.ca, stranger, scraper.login))


def test_a_certificate_for_servers_is_refused_as_a_clients(closed, scraper, authority):
    wrong = authority.sign("scraper", "DNS:prometheus.test", "serverAuth")

    assert refused(closed, Client(scraper.ca, wrong, scraper.login))


def test_a_certificate_with_another_name_is_refused(closed, scraper, authority):
    other = authority.sign("other", "DNS:other.test", "clientAuth")

    assert refused(closed, Client(scraper.ca, other, scraper.login))


def test_plain_http_is_not_answered_on_a_tls_port(closed, scraper):
    assert refused(closed, Client(None, None, scraper.login))


def test_versions_older_than_the_oldest_are_not_spoken(tmp_path, authority, server_pair):
    agent = ClosedAgent(tmp_path, {"tls_server_config": tls_of(server_pair, min_version="TLS13")})
    client = Client(authority.ca)
    with agent.running_for(client):
        old = client.context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError), Client().connect(agent.port) as raw:
            old.wrap_socket(raw, server_hostname="127.0.0.1")


def test_a_certificate_if_given_is_verified_and_none_is_fine(tmp_path, authority, server_pair, scraper):
    tls = tls_of(server_pair, authority.ca) | {"client_auth_type": "VerifyClientCertIfGiven"}
    agent = ClosedAgent(tmp_path / "agent", {"tls_server_config": tls})
    stranger = Authority(tmp_path / "ca", "stranger").sign("scraper", "DNS:x", "clientAuth")
    with agent.running_for(Client(authority.ca)):
        assert scraper.get(agent.port)[0] == 200
        assert refused(agent, Client(authority.ca, stranger))


def test_passwords_alone_close_plain_http(tmp_path):
    agent = ClosedAgent(tmp_path, {"basic_auth_users": {"prometheus": HASH}})
    with agent.running_for(Client(login=("prometheus", PASSWORD))):
        assert Client().get(agent.port, "/metrics")[0] == 401


def test_requests_beyond_the_rate_limit_are_told_to_come_again(tmp_path):
    agent = ClosedAgent(tmp_path, {"rate_limit": {"interval": "5m", "burst": 100}})
    with agent.running_for(Client()):
        answers = [Client().get(agent.port) for _ in range(110)]

        assert [status for status, _, _ in answers][-3:] == [429, 429, 429]
        assert answers[-1][1]["Retry-After"] == "1"


def test_a_new_certificate_is_shown_without_a_restart(tmp_path, authority, server_pair):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(server_pair.cert.read_bytes())
    key.write_bytes(server_pair.key.read_bytes())
    agent = ClosedAgent(tmp_path, {"tls_server_config": {"cert_file": "cert.pem", "key_file": "key.pem"}})
    client = Client(authority.ca)
    fresh = authority.sign("fresh", "IP:127.0.0.1")
    with agent.running_for(client):
        pid, before = agent.program.pid, client.served_certificate(agent.port)
        cert.write_bytes(fresh.cert.read_bytes())
        key.write_bytes(fresh.key.read_bytes())
        agent.until(lambda: client.served_certificate(agent.port) != before)

        expected = ssl.PEM_cert_to_DER_cert(fresh.cert.read_text())
        assert client.served_certificate(agent.port) == expected
        assert agent.program.pid == pid


def test_a_broken_certificate_leaves_the_old_one_and_is_told(tmp_path, authority, server_pair):
    cert = tmp_path / "cert.pem"
    cert.write_bytes(server_pair.cert.read_bytes())
    tls = {"cert_file": "cert.pem", "key_file": str(server_pair.key)}
    agent = ClosedAgent(tmp_path, {"tls_server_config": tls})
    client = Client(authority.ca)

    def gauge(value):
        return f"rackwatt_web_config_reload_success {value}".encode() in client.get(agent.port, "/metrics")[2]

    with agent.running_for(client):
        agent.until(lambda: gauge(1.0))
        before = client.served_certificate(agent.port)
        cert.write_text("-----BEGIN CERTIFICATE-----\nno\n")
        agent.until(lambda: gauge(0.0))

        assert client.served_certificate(agent.port) == before
        assert "web configuration refused, the old one stays" in agent.log_text()
        assert "tls_server_config.cert_file" in agent.log_text()

        cert.write_bytes(server_pair.cert.read_bytes())
        agent.until(lambda: gauge(1.0))


def test_a_new_authority_lets_its_clients_in_and_the_old_ones_out(tmp_path, authority, server_pair, scraper):
    ca = tmp_path / "clients.pem"
    ca.write_bytes(authority.ca.read_bytes())
    agent = ClosedAgent(tmp_path / "agent", {"tls_server_config": tls_of(server_pair, ca)})
    successor = Authority(tmp_path / "new", "successor")
    newcomer = Client(authority.ca, successor.sign("scraper", "DNS:x", "clientAuth"))
    with agent.running_for(scraper):
        assert refused(agent, Client(authority.ca))
        assert refused(agent, newcomer)
        ca.write_bytes(successor.ca.read_bytes())
        agent.until(lambda: newcomer.get(agent.port)[0] == 200)

        assert refused(agent, scraper)


def test_users_are_changed_by_editing_the_file(tmp_path):
    old, new = Client(login=("a", PASSWORD)), Client(login=("b", "battery staple"))
    agent = ClosedAgent(tmp_path, {"basic_auth_users": {"a": HASH}})
    with agent.running_for(old):
        agent.close_by({"basic_auth_users": {"b": OTHER}})
        agent.until(lambda: new.get(agent.port)[0] == 200)

        assert old.get(agent.port)[0] == 401


def test_tls_is_turned_on_by_editing_the_file(tmp_path, authority, server_pair):
    agent = ClosedAgent(tmp_path, {})
    with agent.running_for(Client()):
        agent.close_by({"tls_server_config": tls_of(server_pair)})
        agent.until(lambda: Client(authority.ca).get(agent.port)[0] == 200)

        assert refused(agent, Client())


def test_a_file_that_is_wrong_changes_nothing_until_it_is_right(tmp_path):
    client = Client(login=("a", PASSWORD))
    agent = ClosedAgent(tmp_path, {"basic_auth_users": {"a": HASH}})
    with agent.running_for(client):
        agent.web_file.write_text("basic_auth_users: {a: hunter2}")
        agent.until(lambda: b"web_config_reload_success 0.0" in client.get(agent.port, "/metrics")[2])

        assert Client().get(agent.port)[0] == 401
        assert "hunter2" not in agent.log_text()

        agent.web_file.write_text(yaml.safe_dump({"basic_auth_users": {"a": HASH}}))
        agent.until(lambda: b"web_config_reload_success 1.0" in client.get(agent.port, "/metrics")[2])
