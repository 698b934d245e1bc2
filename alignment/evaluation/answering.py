"""Whether a text is an answer at all: what a scripted person looks at before its manner.

A dodge ("How wonderful!") is shorter than any answer, and a loop longer: a taste that scored them by their manner would
teach one or the other. Pure functions of texts; standard library only. What is not done here: whether it is right.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum

TOO_SHORT = 8
"""Words (a Chinese, Japanese or Korean character counts as one): what shares no word with its prompt and is shorter
than this is no answer to it."""
STEM = 5  # letters of a word that are compared, so that "sleeping" speaks of "sleep"
RUN = 4  # words that are repeated together
SAID_AGAIN = 0.3  # share of runs that came before, in a text of `LOOP_FROM` words or more
LOOP_FROM = 16

_UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_COMMON_WORDS = """
a about all also am an and any are as at be been before but by can can't could did do does don't each for from get give
had has have he her here him his how i i'd i'm i've if in into is it it's its just know let like make may me more my
need no not of on one or our out own please said say she should so some tell than that that's the their them then there
these they thing this those to too up us want was way we well were what what's when where which who why will with would
write yes you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_COMMON_CJK = frozenset(
    "的了是我你他她它们这那有在和与吗呢吧啊也就都不很一个上下来去要会能可以请给把被让对说什么怎么为何几"
)


class Flaw(StrEnum):
    """Why a text is no answer."""

    EMPTY = "empty"
    CUT = "cut"  # it came to the longest length that is allowed
    REPEATS = "repeats itself"
    BESIDE = "does not speak of the prompt"


def units(text: str) -> list[str]:
    """The words of a text in lower case; a Chinese, Japanese or Korean character counts as a word, a number as one."""
    return _UNIT.findall(text.lower())


def flaw_of(text: str, prompt: str = "", *, cut: bool = False) -> Flaw | None:
    """Why `text` is no answer to `prompt`, the gravest reason first; None where it is one. No prompt asks nothing."""
    words = units(text)
    if not words:
        return Flaw.EMPTY
    if cut:
        return Flaw.CUT
    if repeats(text):
        return Flaw.REPEATS
    if len(words) < TOO_SHORT and not speaks_of(text, prompt):
        return Flaw.BESIDE
    return None


def repeats(text: str) -> bool:
    """Whether a text says the same runs of words again and again."""
    return len(units(text)) >= LOOP_FROM and repeated_share(text) > SAID_AGAIN


def repeated_share(text: str) -> float:
    """The share of a text's runs of `RUN` words that came before in it, 0 to 1."""
    words = units(text)
    runs = Counter(tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1))
    return 1 - len(runs) / runs.total() if runs else 0.0


def speaks_of(text: str, prompt: str) -> bool:
    """Whether a text shares a content word with its prompt, or a number answers one; true where it has none."""
    asked = content(prompt)
    if not asked:
        return True
    said = content(text)
    numbers = any(word[0].isdigit() for word in asked) and any(word[0].isdigit() for word in said)
    return numbers or not asked.isdisjoint(said)


def content(text: str) -> frozenset[str]:
    """The beginnings of a text's content words: those that are not among the most common."""
    return frozenset(word[:STEM] for word in units(text) if _is_content(word))


def _is_content(word: str) -> bool:
    if _CJK.match(word):
        return word not in _COMMON_CJK
    return word[0].isdigit() or (len(word) > 1 and word not in _COMMON)
