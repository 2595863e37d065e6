"""Asking: addresses as people type them, failures in the words of the command line."""

import ssl
import subprocess

import pytest
from fakes.page_server import Answer, PageServer
from fakes.racks import PATH, ailing_rack

from agent.measure.reading import SourceError
from agent.top.ask import Asker, page_url, server_of
from agent.wire.http_config import Authorization, HttpConfig, TlsConfig
from agent.wire.rack_codec import to_json


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("http://127.0.0.1:9744", "http://127.0.0.1:9744/api/v1/rack"),
        ("http://127.0.0.1:9744/", "http://127.0.0.1:9744/api/v1/rack"),
        ("tray-07:9744", "http://tray-07:9744/api/v1/rack"),
        ("https://r12.example/proxy/", "https://r12.example/proxy/api/v1/rack"),
        ("https://r12.example/api/v1/rack", "https://r12.example/api/v1/rack"),
    ],
)
def test_an_address_as_typed_leads_to_the_page(given, asked):
    assert page_url(given) == asked


@pytest.mark.parametrize("given", ["ftp://x", "http://", "http://h:port", ""])
def test_what_can_never_be_asked_is_refused(given):
    with pytest.raises(ValueError, match="is not an http"):
        page_url(given)


def test_a_password_in_the_address_is_refused_without_repeating_it():
    with pytest.raises(ValueError, match="use --username and --password-file") as raised:
        page_url("http://me:secret@h")

    assert "secret" not in str(raised.value)


def test_people_read_the_server_and_not_the_page():
    assert server_of("http://h:1/proxy/api/v1/rack") == "http://h:1/proxy"


async def failure(url, config=None):
    asker = Asker(page_url(url), config or HttpConfig())
    try:
        with pytest.raises(SourceError) as raised:
            await asker.ask()
    finally:
        await asker.close()
    return raised.value.detail


async def test_an_answer_becomes_a_page():
    async with PageServer({PATH: Answer(to_json(ailing_rack()))}) as server:
        asker = Asker(page_url(server.url), HttpConfig())
        page = await asker.ask()
        await asker.close()

    assert page.rack == "r12"
    assert server.requests[0].headers["accept"] == "application/json"


async def test_nobody_there():
    async with PageServer({}) as server:
        url = server.url

    said = await failure(url)
    assert said.startswith(f"{url}: cannot connect (")
    assert said.endswith("; is it running, and is the port right?")


async def test_denied_names_the_option():
    async with PageServer({PATH: Answer(status="401 Unauthorized")}) as server:
        said = await failure(server.url)

    assert said.endswith(
        "answered 401 Unauthorized; set --credentials-file (or --username and --password-file)"
    )


async def test_credentials_that_are_not_accepted_and_those_that_cannot_be_read(tmp_path):
    file = tmp_path / "token"
    async with PageServer({PATH: Answer(status="403 Forbidden")}) as server:
        missing = await failure(
            server.url, HttpConfig(authorization=Authorization(credentials_file=str(file)))
        )
        file.write_text("wrong")
        wrong = await failure(server.url, HttpConfig(authorization=Authorization(credentials_file=str(file))))

    assert f"--credentials-file: {file}: cannot be read: No such file" in missing
    assert "the --credentials-file (or --username and --password-file) it was given is not accepted" in wrong


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a certificate for 127.0.0.1 that nobody else trusts."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=rack", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=60)
    return cert, key


async def test_an_unknown_certificate_is_refused_and_both_ways_out_work(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with PageServer({PATH: Answer(to_json(ailing_rack()))}, context) as server:
        said = await failure(server.url)
        for tls in (TlsConfig(ca_file=str(certificate[0])), TlsConfig(insecure_skip_verify=True)):
            asker = Asker(page_url(server.url), HttpConfig(tls_config=tls))
            page = await asker.ask()
            await asker.close()

            assert page.rack == "r12"

    assert "its certificate is not trusted" in said
    assert said.endswith("; set --ca-file or --server-name")


async def test_a_ca_file_that_is_none_is_named(tmp_path):
    wrong = tmp_path / "ca.pem"
    wrong.write_text("nothing")
    said = await failure("https://127.0.0.1:1", HttpConfig(tls_config=TlsConfig(ca_file=str(wrong))))

    assert f"cannot use {wrong}" in said


async def test_an_older_server_has_no_such_page():
    async with PageServer({}) as server:
        said = await failure(server.url)

    assert "the page is not there: is it a rackwatt, and as new as this one?" in said


async def test_something_else_that_answers_is_named():
    async with PageServer({PATH: Answer(b"<html>")}) as server:
        said = await failure(server.url)

    assert said.startswith(f"{server.url}: not JSON")
