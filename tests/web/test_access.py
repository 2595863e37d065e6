"""Following a web-config.yml: what is refused is tried again, and what it names may come later."""

import asyncio
import logging
import shutil

import pytest

from agent import config
from agent.listener import web_config_of
from agent.web import access as access_module
from agent.web.access import Access


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(access_module, "LOOK_SECONDS", 0.02)
    (tmp_path / "rackwatt.yaml").write_text("web: {config_file: web-config.yml}")
    (tmp_path / "web-config.yml").write_text("")
    return tmp_path


@pytest.fixture
async def access(folder):
    """Follows the file, as the daemon does."""
    settings = config.load(folder / "rackwatt.yaml")

    def load():
        try:
            return web_config_of(settings)
        except config.ConfigError as error:
            return str(error)

    access = Access(web_config_of(settings))
    following = asyncio.create_task(access.follow(load))
    yield access
    following.cancel()
    access.close()


async def until(true):
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_certificate_that_comes_after_the_file_that_names_it_is_taken(folder, access, server_pair):
    (folder / "web-config.yml").write_text("tls_server_config: {cert_file: c.pem, key_file: k.pem}")
    await until(lambda: not access.reload_success)
    assert access.context is None

    shutil.copy(server_pair.cert, folder / "c.pem")
    shutil.copy(server_pair.key, folder / "k.pem")
    await until(lambda: access.reload_success)

    assert access.context is not None


async def test_a_refusal_is_logged_once_however_often_it_is_tried(folder, access, caplog):
    with caplog.at_level(logging.ERROR, "rackwatt"):
        (folder / "web-config.yml").write_text("rate_limit: {interval: 1s}")
        await until(lambda: not access.reload_success)
        await asyncio.sleep(access_module.LOOKS_TO_RETRY * 0.02 * 4)

    assert [record.detail.partition(": ")[2] for record in caplog.records] == [
        "rate_limit.burst: must be at least 1, or no request is ever answered"
    ]


async def test_a_file_that_is_gone_changes_nothing(folder, access):
    (folder / "web-config.yml").unlink()
    await until(lambda: not access.reload_success)
    (folder / "web-config.yml").write_text("")

    await until(lambda: access.reload_success)
