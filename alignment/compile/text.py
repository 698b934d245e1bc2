"""When two texts count as the same."""

from __future__ import annotations

import unicodedata

_FINAL_PUNCTUATION = " .!?…。！？"


def same_answer(left: str, right: str) -> bool:
    """Whether two answers differ in white space at most: such a pair teaches nothing."""
    return " ".join(left.split()) == " ".join(right.split())


def fold(text: str) -> str:
    """The text without what a correction may change in passing: Unicode form, case, white space, final marks.

    >>> fold("The sky  is BLUE.") == fold("the sky is blue")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split()).rstrip(_FINAL_PUNCTUATION)
