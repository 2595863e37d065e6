"""The options of the command line become the settings of the HTTP client."""

import argparse

import pytest

from agent.top.command import http_config
from agent.top.options import declare
from agent.wire.http_config import Authorization, BasicAuth, HttpConfig, TlsConfig


def config_of(*arguments):
    parser = argparse.ArgumentParser()
    declare(parser)
    return http_config(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        ([], HttpConfig()),
        (["--ca-file", "ca.pem"], HttpConfig(tls_config=TlsConfig(ca_file="ca.pem"))),
        (
            ["--cert-file", "me.pem", "--key-file", "me.key", "--server-name", "r12"],
            HttpConfig(tls_config=TlsConfig(cert_file="me.pem", key_file="me.key", server_name="r12")),
        ),
        (["--insecure-skip-verify"], HttpConfig(tls_config=TlsConfig(insecure_skip_verify=True))),
        (["--username", "ops", "--password-file", "pw"], HttpConfig(basic_auth=BasicAuth("ops", "pw"))),
        (["--credentials-file", "t"], HttpConfig(authorization=Authorization(credentials_file="t"))),
    ],
)
def test_an_option_is_a_setting_of_the_client(arguments, config):
    assert config_of(*arguments) == config


def test_a_colon_in_a_user_name_is_refused():
    with pytest.raises(ValueError, match="a colon would end it"):
        config_of("--username", "a:b", "--password-file", "pw")
