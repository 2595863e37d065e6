"""JSON answers: what is found in them, and that nothing but SourceError leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.measure.reading import SourceError
from agent.wire import json_page


def test_list_on_the_way_stands_for_all_its_items():
    document = json_page.parse(b'[{"a":[{"b":1},{"b":2},{"c":3}]},{"a":{"b":4}},5]')

    assert json_page.values_at(document, ("a", "b")) == [1, 2, 4]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 10_000, b"<html>"])
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(SourceError, match="malformed"):
        json_page.parse(body)


@pytest.mark.parametrize("value", ["7", -1, 0.5, None, True, 1e300, 2**54, [], {}])
def test_what_is_no_count_is_malformed(value):
    with pytest.raises(SourceError, match="expected a count"):
        json_page.count(value)


def test_count_is_a_number():
    assert json_page.count(7) == 7.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.sampled_from("abc"), children),
)


@given(JSON)
def test_any_document_can_be_searched(document):
    assert isinstance(json_page.values_at(document, ("a", "b")), list)
