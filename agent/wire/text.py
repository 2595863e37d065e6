"""Text that a peer sent, made fit for labels, messages and terminals: printable, bounded, encodable."""

from __future__ import annotations

LABEL_CHARACTERS = 256  # a model's name becomes a label of many series
WORDS_CHARACTERS = 160  # of a peer's own words in a message: one sentence
REPLACED = "\N{REPLACEMENT CHARACTER}"  # stands for control characters, surrogates and what else has no sign


def printable(text: str, characters: int = LABEL_CHARACTERS) -> str:
    """Return the text with what cannot be shown replaced, cut where it is too long."""
    cut = text if len(text) <= characters else text[: characters - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else REPLACED for char in cut)


def words(text: str, characters: int = WORDS_CHARACTERS) -> str:
    """Return the text as one short line for a message."""
    return printable(" ".join(text.split()), characters)
