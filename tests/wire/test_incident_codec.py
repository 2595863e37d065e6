"""Incidents in what a node tells its rack: read as written, believed only as far as they make sense."""

import json
from dataclasses import replace

import pytest
from fakes.incidents import engine_down, power_capped, unexplained
from fakes.rack_node import RackNode
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.measure.incident import MOST_TOLD, Cause, Evidence, Severity, told_to_rack
from agent.measure.reading import Reason, SourceError
from agent.wire import incident_codec
from agent.wire.totals import from_json, to_json

NODE = "tray-03"
TOTALS = replace(RackNode(NODE).totals(10.0), incidents=(power_capped(NODE), engine_down(NODE)))
PLACES = {
    "id": 0,
    "kind": 1,
    "cause": 2,
    "severity": 3,
    "gpu": 4,
    "started": 7,
    "ended": 9,
    "lost": 10,
    "sure": 12,
    "evidence": 13,
    "loss": 15,
}


def told_with(**changes):
    plain = json.loads(to_json(TOTALS))
    for name, value in changes.items():
        plain["incidents"][0][PLACES[name]] = value
    return json.dumps(plain).encode()


def test_what_a_node_tells_its_rack_is_read_as_it_was_written():
    assert from_json(to_json(TOTALS)) == TOTALS


def test_a_node_that_tells_of_no_incident_has_none():
    plain = json.loads(to_json(TOTALS))
    del plain["incidents"]

    assert from_json(json.dumps(plain).encode()).incidents == ()


def test_an_incident_is_of_the_node_that_tells_it():
    plain = json.loads(to_json(TOTALS))
    plain["node"][0] = "tray-09"
    read = from_json(json.dumps(plain).encode()).incidents[0]

    assert (read.scope, read.node, {each.node for each in read.evidence}) == ("node", "tray-09", {"tray-09"})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"id": 7}, "incidents: 7 is no text"),
        ({"kind": 7}, "incidents: 7 is not a valid Kind"),
        ({"kind": ["drop"]}, "incidents: ['drop'] is not a valid Kind"),
        ({"cause": ["thermal"]}, "incidents: ['thermal'] is no text"),
        ({"gpu": -1}, "incidents: -1 is no number of a GPU"),
        ({"gpu": 1e12}, "incidents: 1000000000000.0 is no number of a GPU"),
        ({"gpu": True}, "incidents: True is not a number"),
        ({"started": "nan"}, "incidents: 'nan' is not a number"),
        ({"started": None}, "incidents: None is not a number"),
        ({"ended": "soon"}, "incidents: 'soon' is not a number"),
        ({"lost": 1e300}, "incidents: 1e+300 is not within 2^53"),
        ({"sure": {}}, "incidents: {} is not a number"),
        ({"evidence": [["engine_up"]]}, "incidents: not enough values to unpack"),
        ({"evidence": 5}, "incidents: 'int' object is not iterable"),
        ({"loss": [1.0]}, "incidents: not enough values to unpack"),
        ({"loss": 5}, "incidents: 'int' object is not subscriptable"),
        ({"loss": [None, [1.0], None, None, None, ""]}, "incidents: not enough values to unpack"),
        ({"loss": [None, None, ["a", 1.0], None, None, ""]}, "incidents: 'a' is not a number"),
        ({"loss": [None, None, None, None, None, 7]}, "incidents: 7 is no text"),
    ],
)
def test_a_row_that_makes_no_sense_makes_the_document_malformed(changes, why):
    with pytest.raises(SourceError) as refused:
        from_json(told_with(**changes))

    assert refused.value.reason is Reason.MALFORMED
    assert why in refused.value.detail


def test_a_row_that_is_too_short_makes_the_document_malformed():
    plain = json.loads(to_json(TOTALS))
    del plain["incidents"][0][14:]

    with pytest.raises(SourceError, match="incidents: not a row of 15 values"):
        from_json(json.dumps(plain).encode())


def test_a_node_that_tells_only_lost_tokens_is_read():
    plain = json.loads(to_json(TOTALS))
    for row in plain["incidents"]:
        row.pop()
    read = from_json(json.dumps(plain).encode()).incidents

    assert [each.lost_tokens for each in read] == [each.lost_tokens for each in TOTALS.incidents]
    assert [each.lost_joules_bounds for each in read] == [None, None]


def test_a_kind_that_only_a_later_version_knows_is_left_out_and_the_node_stays():
    read = from_json(told_with(kind="eclipse"))

    assert read.incidents == (engine_down(NODE),)
    assert read.tokens == TOTALS.tokens


def test_a_cause_or_severity_of_a_later_version_is_unknown_and_a_warning():
    read = from_json(told_with(cause="sunspots", severity="fatal")).incidents[0]

    assert (read.cause, read.severity) == (Cause.UNKNOWN, Severity.WARNING)


def test_words_are_made_fit_to_be_shown():
    read = from_json(told_with(id="a\x1b[2J" + "x" * 999)).incidents[0]

    assert read.id.isprintable()
    assert len(read.id) == incident_codec.MOST_CHARACTERS


def test_confidence_is_a_share_and_nothing_lost_is_negative():
    read = from_json(told_with(sure=7, lost=-5)).incidents[0]

    assert (read.confidence, read.lost_tokens) == (1.0, 0.0)


def test_no_more_are_read_than_a_node_tells():
    plain = json.loads(to_json(TOTALS))
    plain["incidents"] *= 100

    assert len(from_json(json.dumps(plain).encode()).incidents) == MOST_TOLD


def test_a_node_tells_what_stands_first_and_what_ended_within_two_minutes():
    ended = engine_down(NODE)
    stands, older = power_capped(NODE), unexplained(NODE)

    assert told_to_rack((older, ended, stands), ended.ended + 119.0) == (stands, ended)
    assert told_to_rack((older, ended, stands), ended.ended + 120.0) == (stands,)


def test_the_worst_that_a_node_tells_stays_below_sixteen_kilobytes():
    text = "x" * 999
    long = replace(
        power_capped(NODE),
        summary=text[:400],
        evidence=tuple(Evidence("gpu_power_watts", NODE, 1, 1e9, 1e9, text[:400]) for _ in range(9)),
    )

    assert len(to_json(replace(TOTALS, incidents=(long,) * MOST_TOLD))) < 16_384


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.data())
def test_nothing_but_a_source_error_comes_out_of_a_broken_row(data):
    plain = json.loads(to_json(TOTALS))
    row = plain["incidents"][0]
    if data.draw(st.booleans()):
        row = row[13][0]
    row[data.draw(st.integers(0, len(row) - 1))] = data.draw(json_values)
    try:
        read = from_json(json.dumps(plain).encode())
    except SourceError:
        return

    assert from_json(to_json(read)) == read
