"""Logins, certificates and where they come from."""

from __future__ import annotations

import ssl
import subprocess

import pytest
from fakes.page_server import Answer, PageServer

from agent.measure.reading import Reason, SourceError
from agent.wire.http import HttpClient, HttpConfig, Limits
from agent.wire.http_config import Authorization, BasicAuth, TlsConfig

LIMITS = Limits(seconds=5.0, body_bytes=100_000)
BRIEF = Limits(seconds=0.5, body_bytes=100_000)
PAGE = b"a 1\n"


@pytest.fixture
async def client():
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture
def certificate(tmp_path):
    """Return certificate and key of a server called rack.test."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=rack.test",
    ]
    command += ["-addext", "subjectAltName=DNS:rack.test", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


async def failure(client: HttpClient, url: str, limits: Limits = LIMITS, **options) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await client.get(url, limits, **options)
    return caught.value


async def test_password_comes_from_its_file_and_again_when_that_changes(client, tmp_path):
    file = tmp_path / "password"
    file.write_text("old\n")
    config = HttpConfig(basic_auth=BasicAuth("rack", str(file)))
    async with PageServer({"/": Answer(PAGE)}) as server:
        await client.get(server.url + "/", LIMITS, config=config)
        file.write_text("newer\n")
        await client.get(server.url + "/", LIMITS, config=config)

        sent = [request.headers["authorization"] for request in server.requests]

    assert sent == ["Basic cmFjazpvbGQ=", "Basic cmFjazpuZXdlcg=="]


async def test_token_comes_from_its_file(client, tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cret")
    config = HttpConfig(authorization=Authorization(credentials_file=str(file)))
    async with PageServer({"/": Answer(PAGE)}) as server:
        await client.get(server.url + "/", LIMITS, config=config)

        assert server.requests[0].headers["authorization"] == "Bearer s3cret"


async def test_login_is_not_carried_to_another_host(client, tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cret")
    config = HttpConfig(authorization=Authorization(credentials_file=str(file)), follow_redirects=True)
    async with PageServer({"/": Answer(PAGE)}) as other:
        moved = Answer(status="302 Found", headers={"Location": other.url + "/"})
        async with PageServer({"/": moved}) as server:
            await client.get(server.url + "/", LIMITS, config=config)

        assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("content", [b"two\nlines", b"\xff", b"x" * 70_000])
async def test_secret_that_is_no_secret_is_denied_and_named_but_not_shown(client, tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    config = HttpConfig(authorization=Authorization(credentials_file=str(file)))

    error = await failure(client, "http://127.0.0.1:1/", config=config)

    assert error.reason is Reason.DENIED
    assert "authorization.credentials_file" in error.detail
    assert "xxx" not in error.detail


async def test_secret_that_is_not_there_is_denied_and_named(client):
    config = HttpConfig(authorization=Authorization(credentials_file="/no/such/file"))

    error = await failure(client, "http://127.0.0.1:1/", config=config)

    assert error.reason is Reason.DENIED
    assert "authorization.credentials_file: /no/such/file: cannot be read: No such file" in error.detail


def test_two_ways_to_log_in_are_refused():
    with pytest.raises(ValueError, match="basic_auth or authorization"):
        HttpConfig(basic_auth=BasicAuth(), authorization=Authorization())


def test_certificate_without_its_key_is_refused():
    with pytest.raises(ValueError, match="cert_file and key_file"):
        HttpConfig(tls_config=TlsConfig(cert_file="a"))


@pytest.mark.parametrize("url", ["127.0.0.1:3128", "socks5://a:1", "http://", "http://a b"])
def test_proxy_without_an_http_address_is_refused(url):
    with pytest.raises(ValueError, match=r"^proxy_url: "):
        HttpConfig(proxy_url=url)


def test_user_name_with_a_colon_is_refused():
    with pytest.raises(ValueError, match=r"^basic_auth\.username: "):
        HttpConfig(basic_auth=BasicAuth("a:b"))


@pytest.mark.parametrize("scheme", ["", "Bearer x", "a\nb"])
def test_authentication_scheme_that_is_no_word_is_refused(scheme):
    with pytest.raises(ValueError, match=r"^authorization\.type: "):
        HttpConfig(authorization=Authorization(type=scheme))


async def test_certificate_that_leads_to_the_ca_file_is_trusted(client, certificate):
    cert, key = certificate
    config = HttpConfig(tls_config=TlsConfig(ca_file=str(cert), server_name="rack.test"))
    async with PageServer({"/": Answer(PAGE)}, server_context(cert, key)) as server:
        assert (await client.get(server.url + "/", LIMITS, config=config)).body == PAGE


async def test_unknown_certificate_is_denied_and_names_the_keys_to_set(client, certificate):
    cert, key = certificate
    async with PageServer({"/": Answer(PAGE)}, server_context(cert, key)) as server:
        error = await failure(client, server.url + "/")

    assert error.reason is Reason.DENIED
    assert "tls_config.ca_file" in error.detail


async def test_any_certificate_is_taken_when_asked_for(client, certificate):
    cert, key = certificate
    config = HttpConfig(tls_config=TlsConfig(insecure_skip_verify=True))
    async with PageServer({"/": Answer(PAGE)}, server_context(cert, key)) as server:
        assert (await client.get(server.url + "/", LIMITS, config=config)).body == PAGE


async def test_certificate_files_are_read_again_when_they_change(client, certificate, tmp_path):
    cert, key = certificate
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    content = cert.read_bytes()
    config = HttpConfig(tls_config=TlsConfig(ca_file=str(bundle), server_name="rack.test"))
    async with PageServer({"/": Answer(PAGE)}, server_context(cert, key)) as server:
        error = await failure(client, server.url + "/", config=config)
        bundle.write_bytes(content)
        fetched = await client.get(server.url + "/", LIMITS, config=config)

    assert error.reason is Reason.DENIED
    assert fetched.body == PAGE


async def test_an_encrypted_key_is_denied_and_nobody_is_asked_for_its_pass_phrase(
    client, certificate, tmp_path
):
    cert, key = certificate
    locked = tmp_path / "locked.pem"
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:x", "-in", str(key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    config = HttpConfig(tls_config=TlsConfig(cert_file=str(cert), key_file=str(locked)))
    async with PageServer({"/": Answer(PAGE)}, server_context(cert, key)) as server:
        error = await failure(client, server.url + "/", config=config)

    assert error.reason is Reason.DENIED
    assert "the key is encrypted" in error.detail


async def test_plain_server_behind_https_is_named_as_such(client):
    async with PageServer({"/": Answer(PAGE)}) as server:
        error = await failure(client, server.url.replace("http:", "https:") + "/", BRIEF)

    assert error.reason in (Reason.UNREACHABLE, Reason.TIMED_OUT)


def server_context(cert, key) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
