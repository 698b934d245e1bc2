"""When two texts count as the same."""

from __future__ import annotations

import unicodedata

_FINAL_PUNCTUATION = " .!?…。！？"


def same_answer(left: str, right: str) -> bool:
    """Whether two answers differ in white space at most: such a pair teaches nothing."""
    return " ".join(left.split()) == " ".join(right.split())


def fold(text: str) -> str:
    """The text without what a correction may change in passing: Unicode form, case, white space, final marks.

    A digit is never trivial: superscripts, fractions and circled numbers stay what they are, so that x² is
    not x2.

    >>> fold("The sky  is BLUE.") == fold("the sky is blue")
    True
    >>> fold("x²") == fold("x2")
    False
    """
    if text.isascii():
        return " ".join(text.lower().split()).rstrip(_FINAL_PUNCTUATION)
    if any(unicodedata.category(sign) == "No" for sign in text):
        return " ".join(_normal(text, keep_numbers=True).split()).rstrip(_FINAL_PUNCTUATION)
    return " ".join(_normal(text).split()).rstrip(_FINAL_PUNCTUATION)


def corrects(correction: str, text: str) -> bool:
    """Whether a correction says something, and something else than the text."""
    return bool(correction.strip()) and fold(correction) != fold(text)


def _normal(text: str, *, keep_numbers: bool = False) -> str:
    if not keep_numbers:
        return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    parts: list[str] = []
    run = ""
    for sign in text:
        if unicodedata.category(sign) != "No":
            run += sign
            continue
        parts += [_normal(run), sign]
        run = ""
    return "".join([*parts, _normal(run)])
