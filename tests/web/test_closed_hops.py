"""The hops that we walk ourselves: engines and members behind TLS, client certificates and passwords."""

import asyncio
import base64
import shutil
import ssl
from pathlib import Path

import bcrypt
import pytest
from fakes.agent import RunningAgent
from fakes.authority import Authority
from fakes.https import Client, ClosedAgent
from fakes.page_server import Answer, PageServer

from agent.measure.reading import Reason, SourceError
from agent.wire.http import HttpClient, HttpConfig, Limits
from agent.wire.http_config import BasicAuth, TlsConfig

CAPTURES = Path(__file__).parents[1] / "captures"
LIMITS = Limits(seconds=10.0, body_bytes=1_000_000)


@pytest.fixture
def secrets(tmp_path, authority, client_pair):
    """What one of our daemons is given to come in with; a test changes the files."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    give(folder, authority.ca, client_pair, "first")
    return folder


def give(folder, ca, pair, password):
    shutil.copy(ca, folder / "ca.pem")
    shutil.copy(pair.cert, folder / "cert.pem")
    shutil.copy(pair.key, folder / "key.pem")
    (folder / "password").write_text(f"{password}\n")


def plain_settings(folder):
    names = ("ca", "cert", "key")
    return {
        "tls_config": {f"{name}_file": str(folder / f"{name}.pem") for name in names},
        "basic_auth": {"username": "rackwatt", "password_file": str(folder / "password")},
    }


def web_of(pair, ca, password):
    return {
        "tls_server_config": {
            "cert_file": str(pair.cert),
            "key_file": str(pair.key),
            "client_ca_file": str(ca),
            "client_auth_type": "RequireAndVerifyClientCert",
        },
        "basic_auth_users": {"rackwatt": bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()},
    }


async def asked(client, url, config):
    """A member's answer, or why there is none."""
    try:
        return await client.get(url, LIMITS, config=config)
    except SourceError as error:
        return error.reason


async def test_a_member_stays_readable_while_certificates_and_passwords_change(
    tmp_path, authority, server_pair, client_pair, secrets
):
    parts = plain_settings(secrets)
    config = HttpConfig(
        tls_config=TlsConfig(**parts["tls_config"]), basic_auth=BasicAuth(**parts["basic_auth"])
    )
    member = ClosedAgent(tmp_path / "member", web_of(server_pair, authority.ca, "first"))
    client = HttpClient()
    url = f"https://127.0.0.1:{member.port}/api/v1/node"
    with member.running_for(Client(authority.ca, client_pair, ("rackwatt", "first"))):
        assert (await asked(client, url, config)).body.startswith(b"{")

        (secrets / "password").write_text("wrong")
        assert await asked(client, url, config) is Reason.DENIED

        new = Authority(tmp_path / "new", "successor")
        new_server = new.sign("rack.test", "IP:127.0.0.1")
        new_client = new.sign("scraper", "DNS:x", "clientAuth")
        member.close_by(web_of(new_server, new.ca, "second"))
        newcomer = Client(new.ca, new_client, ("rackwatt", "second"))
        member.until(lambda: newcomer.get(member.port)[0] == 200)
        give(secrets, new.ca, new_client, "second")
        assert (await asked(client, url, config)).body.startswith(b"{")
    await client.close()


def server_context(pair, ca):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def told(agent, up):
    """Wait until the daemon says whether its engine is up, while this loop serves the engine's page."""
    for _ in range(600):
        if await asyncio.to_thread(agent.value, "rackwatt_engine_up") == up:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(agent.program.tail())


async def test_an_engine_stays_readable_while_its_certificate_and_password_change(
    tmp_path, authority, server_pair, secrets
):
    page = Answer((CAPTURES / "vllm-0.32.0-idle.prom").read_bytes())
    context = server_context(server_pair, authority.ca)
    async with PageServer({"/metrics": page}, context) as engine:
        target = {"url": f"{engine.url}/metrics", **plain_settings(secrets)}
        collectors = {"engines": {"targets": [target], "interval": "200ms"}}
        agent = RunningAgent(tmp_path / "agent", {"collectors": collectors})
        await asyncio.to_thread(agent.start)
        try:
            await told(agent, 1.0)
            assert engine.requests[-1].headers["authorization"] == header("first")

            new = Authority(tmp_path / "new", "successor")
            renewed = new.sign("rack.test", "IP:127.0.0.1")
            context.load_cert_chain(renewed.cert, renewed.key)
            engine.hang_up()
            await told(agent, 0.0)
            shutil.copy(new.ca, secrets / "ca.pem")
            (secrets / "password").write_text("second")
            await told(agent, 1.0)

            assert engine.requests[-1].headers["authorization"] == header("second")
            assert "second" not in agent.log_text()
        finally:
            await asyncio.to_thread(agent.program.stop)


def header(password):
    return "Basic " + base64.b64encode(f"rackwatt:{password}".encode()).decode()
