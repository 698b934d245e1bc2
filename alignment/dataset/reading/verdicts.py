"""What a verdict's value says: liked or not, which of two is better, a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

GOOD, BAD = ("true", "1"), ("false", "0")
TIE, BOTH_BAD = ("tie", "equal", "both", "draw", "same"), ("tie (bothbad)", "bothbad", "both_bad", "both bad")
_LEFT = ("a", "left", "model_a", "first", "response_a", "answer_a")
_RIGHT = ("b", "right", "model_b", "second", "response_b", "answer_b")


def word(value: object) -> str:
    """A value as it is compared: without case, blanks around it and a needless `.0`.

    >>> word(True), word(1.0), word(" Left ")
    ('true', '1', 'left')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip().casefold()


def number(value: object) -> float | None:
    """A finite number, also where it is written as a text; None where there is none. A truth value is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


@dataclass(frozen=True, slots=True)
class Rule:
    """Values that mean one thing: `words` as they stand, or numbers `below` or `above` a bound."""

    words: tuple[str, ...] = ()
    below: float | None = None
    above: float | None = None

    def fits(self, value: object) -> bool:
        """Whether a value is one of them."""
        found = number(value)
        if found is not None:
            if self.below is not None and found < self.below:
                return True
            if self.above is not None and found > self.above:
                return True
            if any(number(each) == found for each in self.words):
                return True
        return word(value) in self.words

    def __bool__(self) -> bool:
        return bool(self.words) or self.below is not None or self.above is not None


def is_true(value: object) -> bool | None:
    """True or false as files write them; None where a value is neither."""
    found = word(number(value) if isinstance(value, str) and number(value) is not None else value)
    return True if found in GOOD else False if found in BAD else None


def side(value: object, a: str, b: str) -> str | None:
    """Which of two answers a text names: `a`, `b`, `tie` or `both_bad`; None where it names none.

    `a` and `b` are the names of their columns.
    """
    found = word(value)
    if found in (a.casefold(), b.casefold()):
        return "a" if found == a.casefold() else "b"
    meanings: Sequence[tuple[tuple[str, ...], str]] = (
        (_LEFT, "a"),
        (_RIGHT, "b"),
        (BOTH_BAD, "both_bad"),
        (TIE, "tie"),
    )
    return next((meaning for words, meaning in meanings if found in words), None)
