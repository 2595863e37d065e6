"""Text of peers: always fit to be shown, kept and sent on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.text import printable, words

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.binary().map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)


@given(ANY_TEXT, st.integers(1, 300))
def test_any_text_becomes_printable_bounded_and_encodable(text, characters):
    for shown in (printable(text, characters), words(text, characters)):
        assert shown.isprintable()
        assert len(shown) <= characters
        assert shown.encode().decode() == shown


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B", "名前", "a b"])
def test_name_that_can_be_shown_stays_as_it_is(name):
    assert printable(name) == name


def test_words_are_one_line():
    assert words("  a\r\n\tb ") == "a b"
