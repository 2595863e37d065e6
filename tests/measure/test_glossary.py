"""Every word that a page may print is explained."""

import pytest

from agent.measure.glossary import WORDS


@pytest.mark.parametrize("kind", WORDS, ids=lambda kind: kind.__name__)
def test_every_word_has_a_meaning(kind):
    assert list(WORDS[kind]) == list(kind)
