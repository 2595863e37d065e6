"""Prometheus' target groups: which addresses and labels they name."""

import pytest

from agent.discovery.target_groups import Endpoint, endpoints_of
from agent.measure.reading import Reason, SourceError


def test_labels_name_scheme_and_path():
    body = (
        b'[{"targets": ["a:1", "https://b:2/"], "labels": {"__scheme__": "https", "__metrics_path__": "/x"}}]'
    )
    found = endpoints_of(body, "f", yaml_too=False)

    assert [endpoint.url for endpoint in found] == ["https://a:1/x", "https://b:2/x"]
    assert [endpoint.address for endpoint in found] == ["https://a:1", "https://b:2"]


def test_a_target_that_is_named_twice_is_there_once():
    body = b"[{targets: [a, a], labels: {model: m}}, {targets: [a], labels: {model: n}}]"

    assert endpoints_of(body, "f", yaml_too=True) == (Endpoint("http://a", "", {"model": "n"}),)


def test_an_empty_file_names_none():
    assert endpoints_of(b"", "f", yaml_too=True) == ()


@pytest.mark.parametrize("target", ["a b", "u:p@a", "ftp://a", "", "a" * 2000])
def test_an_address_that_cannot_be_asked_is_refused(target):
    with pytest.raises(SourceError, match="is not a list of target groups") as refused:
        endpoints_of(f"[{{targets: ['{target}']}}]".encode(), "f", yaml_too=True)

    assert refused.value.reason is Reason.MALFORMED


def test_too_many_are_refused():
    body = b"[{targets: [" + b",".join(b"h%d" % n for n in range(5000)) + b"]}]"
    with pytest.raises(SourceError, match="names 5000 targets, more than 4096"):
        endpoints_of(body, "f", yaml_too=True)
