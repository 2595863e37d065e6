"""A web-config.yml: what is honoured, and what is refused with file, line, key and what would be right."""

import ssl
import subprocess
import sys

import pytest
from fakes.authority import Authority

from agent import config
from agent.listener import web_config_of
from agent.web.tls import SUITES, is_allowed
from agent.web.web_config import ClientAuthType, TlsVersion

HASH = "$2b$04$" + "a" * 53
TLS = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"


@pytest.fixture
def folder(tmp_path, authority, server_pair):
    """A folder with what a web-config.yml names, beside it."""
    (tmp_path / "cert.pem").write_bytes(server_pair.cert.read_bytes())
    (tmp_path / "key.pem").write_bytes(server_pair.key.read_bytes())
    (tmp_path / "ca.pem").write_bytes(authority.ca.read_bytes())
    (tmp_path / "rackwatt.yaml").write_text("web: {config_file: web-config.yml}\ncollectors: {}\n")
    return tmp_path


def taken(folder, text):
    (folder / "web-config.yml").write_text(text)
    return web_config_of(config.load(folder / "rackwatt.yaml"))


def refusal(folder, text):
    with pytest.raises(config.ConfigError) as caught:
        taken(folder, text)
    return str(caught.value).removeprefix(f"{folder}/")


def test_without_a_file_everybody_gets_in_by_plain_http():
    open_to_all = web_config_of(config.parse("collectors: {}", "x"))

    assert open_to_all.context is None
    assert open_to_all.config.basic_auth_users == {}


def test_an_empty_file_closes_nothing(folder):
    assert taken(folder, "").context is None


def test_every_key_that_is_honoured_is_taken(folder):
    text = TLS + (
        "  client_auth_type: RequireAndVerifyClientCert\n"
        "  client_ca_file: ca.pem\n"
        "  client_allowed_sans: [prometheus.test, 127.0.0.9]\n"
        "  min_version: TLS12\n"
        "  max_version: TLS13\n"
        "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n"
        "  prefer_server_cipher_suites: false\n"
        "  curve_preferences: [CurveP384]\n"
        "http_server_config:\n"
        "  http2: false\n"
        "  headers: {X-Frame-Options: deny, X-XSS-Protection: '1; mode=block'}\n"
        f"basic_auth_users: {{alice: {HASH}}}\n"
        "rate_limit: {interval: 100ms, burst: 20}\n"
    )

    got = taken(folder, text)

    assert got.config.tls_server_config.client_auth_type is ClientAuthType.REQUIRE_AND_VERIFY
    assert got.config.tls_server_config.max_version is TlsVersion.TLS13
    assert got.config.http_server_config.headers["X-Frame-Options"] == "deny"
    assert got.config.basic_auth_users == {"alice": HASH}
    assert (got.config.rate_limit.interval, got.config.rate_limit.burst) == (0.1, 20)
    assert got.context.verify_mode is ssl.CERT_REQUIRED
    assert not got.context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_only_the_named_suites_are_spoken(folder):
    context = taken(folder, TLS + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n").context

    assert {suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"} == {
        "ECDHE-RSA-AES128-GCM-SHA256"
    }


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_openssl_has_every_suite_that_go_names(folder, suite):
    assert taken(folder, TLS + f"  cipher_suites: [{suite}]\n").context is not None


def test_all_suites_of_tls_13_may_be_named_because_all_are_on(folder):
    names = (
        "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, "
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    )

    assert taken(folder, TLS + f"  cipher_suites: [{names}]\n").context is not None


def test_an_interval_of_zero_is_no_limit(folder):
    assert taken(folder, "rate_limit: {interval: 0, burst: 0}").config.rate_limit.interval is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tls_config: {}", "web-config.yml:1: tls_config: unknown key; there are: basic_auth_users, http_s"),
        (
            "tls_server_config:\n  key_file: key.pem",
            "web-config.yml:1: tls_server_config.cert_file: is needed",
        ),
        (TLS + "  certfile: x", "web-config.yml:4: tls_server_config.certfile: unknown key; there are: cert"),
        (
            TLS + "  cert: |\n    PEM",
            "web-config.yml:4: tls_server_config.cert: a PEM text cannot be given here; ",
        ),
        (
            TLS + "  client_auth_type: Sure",
            "web-config.yml:4: tls_server_config.client_auth_type: 'Sure' is not ",
        ),
        (
            TLS + "  client_auth_type: RequestClientCert",
            "web-config.yml:4: tls_server_config.client_auth_type: RequestClientCert takes any certificate u",
        ),
        (
            TLS + "  client_auth_type: RequireAnyClientCert",
            "web-config.yml:4: tls_server_config.client_auth_type: RequireAnyClientCert takes any certificat",
        ),
        (
            TLS + "  client_auth_type: RequireAndVerifyClientCert",
            "web-config.yml:4: tls_server_config.client_auth_type: RequireAndVerifyClientCert needs client_c",
        ),
        (
            TLS + "  client_ca_file: ca.pem",
            "web-config.yml:4: tls_server_config.client_ca_file: is not used with ",
        ),
        (
            TLS + "  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n"
            "  client_allowed_sans: [a]",
            "web-config.yml:6: tls_server_config.client_allowed_sans: needs client_auth_type RequireAndVerif",
        ),
        (
            TLS + "  client_ca_file: key.pem\n  client_auth_type: RequireAndVerifyClientCert",
            "web-config.yml:4: tls_server_config.client_ca_file: ",
        ),
        (
            TLS + "  min_version: TLS11",
            "web-config.yml:4: tls_server_config.min_version: TLS11 is not spoken any",
        ),
        (
            TLS + "  min_version: TLS13\n  max_version: TLS12",
            "web-config.yml:4: tls_server_config.min_version: TLS13 is newer than max_version TLS12",
        ),
        (
            TLS + "  cipher_suites: [RC4]",
            "web-config.yml:4: tls_server_config.cipher_suites: no suite 'RC4'; the",
        ),
        (
            TLS + "  cipher_suites: [TLS_AES_128_GCM_SHA256]",
            "web-config.yml:4: tls_server_config.cipher_suites: the suites of TLS 1.3 cannot be chosen: name",
        ),
        (
            TLS + "  curve_preferences: [Curve1]",
            "web-config.yml:4: tls_server_config.curve_preferences[0]: 'Curve",
        ),
        (
            TLS + "  curve_preferences: [X25519, CurveP256]",
            "web-config.yml:4: tls_server_config.curve_preferences: only one curve can be set; name one, or",
        ),
        (
            "tls_server_config:\n  cert_file: gone.pem\n  key_file: key.pem",
            "web-config.yml:2: tls_server_config.cert_file: ",
        ),
        (
            "tls_server_config:\n  cert_file: ca.pem\n  key_file: key.pem",
            "web-config.yml:2: tls_server_config.cert_file: ",
        ),
        (
            "http_server_config:\n  http2: true",
            "web-config.yml:2: http_server_config.http2: is not spoken; set fal",
        ),
        (
            "http_server_config:\n  headers:\n    Server: x",
            "web-config.yml:3: http_server_config.headers.Server: cannot be set; there are: Content-Security",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: never",
            "web-config.yml:3: http_server_config.headers.X-Frame-Options: 'never' is not one of: deny, same",
        ),
        (
            'http_server_config:\n  headers:\n    X-XSS-Protection: "1\\r\\nSet-Cookie: a=b"',
            "web-config.yml:3: http_server_config.headers.X-XSS-Protection: must be one line of ASCII",
        ),
        (
            "rate_limit: {interval: 1s}",
            "web-config.yml:1: rate_limit.burst: must be at least 1, or no request",
        ),
        (
            "basic_auth_users:\n  a.b: hunter2",
            "web-config.yml:2: basic_auth_users.a.b: is not a bcrypt hash such",
        ),
        (
            f"basic_auth_users:\n  'a:b': {HASH}",
            "web-config.yml:2: basic_auth_users.a:b: a user's name must not ",
        ),
        (
            f"basic_auth_users:\n  a: {HASH.replace('$04$', '$31$')}",
            "web-config.yml:2: basic_auth_users.a: cost 31 is not between 4 and 16",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_place(folder, text, told):
    assert refusal(folder, text).startswith(told)


@pytest.mark.parametrize(
    "text",
    [
        "basic_auth_users: {alice: hunter2}",
        "basic_auth_users: {alice: [hunter2]}",
        "basic_auth_users:\n  alice: hunter2\n  alice: hunter2",
        "basic_auth_users: {alice: 'hunter2}",
        "basic_auth_users:\n  alice: hunter2\n bob: hunter2",
        "tls_server_config: {cert: hunter2, key: hunter2}",
    ],
)
def test_no_refusal_tells_a_secret(folder, text):
    assert "hunter2" not in refusal(folder, text)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_pass_phrase(folder, server_pair):
    command = ["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", str(server_pair.key)]
    with (folder / "key.pem").open("wb") as file:
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.DEVNULL)

    assert "the key is encrypted" in refusal(folder, TLS)


def test_a_key_that_belongs_to_another_certificate_is_refused(folder, tmp_path_factory):
    other = Authority(tmp_path_factory.mktemp("other")).sign("x", "DNS:x")
    (folder / "key.pem").write_bytes(other.key.read_bytes())

    assert "cannot be used together: key values mismatch" in refusal(folder, TLS)


def test_check_refuses_what_the_daemon_would_refuse(folder):
    (folder / "web-config.yml").write_text("http_server_config: {http2: true}")
    command = [sys.executable, "-P", "-m", "agent.cli", "check", str(folder / "rackwatt.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "web-config.yml:1: http_server_config.http2: is not spoken" in done.stdout


def test_run_refuses_to_start_without_its_web_config(folder):
    command = [sys.executable, "-P", "-m", "agent.cli", "run", "--config", str(folder / "rackwatt.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "web-config.yml: cannot be read: No such file or directory" in done.stderr


CERTIFICATE = {
    "subjectAltName": (
        ("DNS", "prometheus.test"),
        ("IP Address", "0:0:0:0:0:0:0:1\n"),
        ("email", "sre@rack.test"),
        ("URI", "spiffe://rack/prometheus"),
    )
}


@pytest.mark.parametrize("name", ["prometheus.test", "::1", "sre@rack.test", "spiffe://rack/prometheus"])
def test_a_certificate_with_an_allowed_name_is_let_in(name):
    assert is_allowed(CERTIFICATE, ("another", name))


@pytest.mark.parametrize("name", ["test", "*.test", "PROMETHEUS.TEST", "::2", ""])
def test_a_certificate_without_an_allowed_name_is_not(name):
    assert not is_allowed(CERTIFICATE, (name,))


def test_without_a_certificate_no_name_is_carried():
    assert not is_allowed(None, ("prometheus.test",))
    assert not is_allowed({}, ("prometheus.test",))
