"""The rack's JSON becomes records, whatever a server sends."""

import json

import orjson
import pytest
from fakes.racks import ailing_rack, away, member, rack
from hypothesis import given
from hypothesis import strategies as st

from agent.measure.reading import Reason, SourceError
from agent.top.frame import frame
from agent.top.head import Status
from agent.top.page import read
from agent.wire.rack_codec import to_json, to_plain


def test_what_the_codec_writes_is_read_back():
    snapshot = ailing_rack()

    page = read(to_json(snapshot))

    assert page.members == snapshot.members
    assert page.models == snapshot.models
    assert page.tokens_per_joule == {}
    assert page.power_watts == snapshot.power_watts
    assert page.record == snapshot.record
    assert page.missing == ("tray-04",)
    assert page.standing.reasons == ("member_missing",)
    assert not page.standing.valid


def test_what_is_null_is_unknown_and_not_zero():
    page = read(to_json(rack(away("a"), coverage=None)))

    assert page.coverage is None
    assert page.members[0].gpus[0].power_watts is None
    assert page.members[0].gpus[0].throttled is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"schema": 1}', b'{"schema": 1, "members": 3}']
)
def test_what_is_no_rack_is_malformed(body):
    with pytest.raises(SourceError) as raised:
        read(body)

    assert raised.value.reason is Reason.MALFORMED


def test_another_schema_says_which_side_is_old():
    with pytest.raises(SourceError, match="it speaks schema 2, this rackwatt knows 1: upgrade the older one"):
        read(b'{"schema": 2, "members": []}')


def test_a_reason_that_only_a_newer_server_knows_still_makes_a_figure_invalid():
    plain = to_plain(rack(member("a")))
    plain["figures"]["rack_tokens_per_second"] = {"valid": False, "reasons": ["moon_phase"]}

    page = read(orjson.dumps(plain, option=orjson.OPT_NON_STR_KEYS))

    assert page.standings["rack_tokens_per_second"].reasons == ("moon_phase",)


def test_control_characters_of_a_server_never_reach_a_terminal():
    page = read(to_json(rack(member("a\x1b]0;owned\x07\nb", why="\x1b[2J"), rack="\x9b31m")))

    text = frame(page, Status("http://x", 0.0), 100)

    assert not {char for char in text if not char.isprintable()} - {"\n"}
    assert "a�]0;owned� b" in text


def test_so_many_boundaries_that_nothing_else_would_be_seen_are_cut():
    page = read(to_json(rack(member("a"), power_watts={f"b{i}": 1.0 for i in range(100)})))

    assert len(page.power_watts) == 8


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted(json.loads(to_json(ailing_rack())))
MEMBER_KEYS = sorted(json.loads(to_json(ailing_rack()))["members"][0])


@given(st.sampled_from(KEYS), st.sampled_from(MEMBER_KEYS), JSON)
def test_a_wrong_value_under_any_key_is_a_source_error_or_a_frame(key, member_key, value):
    plain = json.loads(to_json(ailing_rack()))
    plain["members"][0][member_key] = value
    plain[key] = value
    try:
        page = read(json.dumps(plain).encode())
    except SourceError:
        return

    assert "NODES " in frame(page, Status("http://x", 0.0), 100)
