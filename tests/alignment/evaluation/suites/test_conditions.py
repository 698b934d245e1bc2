"""Answers are right when every condition of their check holds, and a check that is none is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.suites.conditions import number_in, plain, read_check

FINITE = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=3)
SCHEMA = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        ({"exact": "Paris"}, " paris. ", "It is Paris"),
        ({"exact": ["four", "4"]}, "“Four”", "four or five"),
        ({"any": ["blue", "azure"]}, "It is AZURE.", "It is green."),
        ({"all": ["blue", "sky"]}, "The sky is blue.", "Blue."),
        ({"none": ["sorry"]}, "Gladly!", "So sorry, no."),
        ({"regex": "[A-D]"}, " B\n", "b"),
        ({"regex": "a.*z"}, "a\nto\nz", "from a to z"),
        ({"number": 42}, "6 times 7 is 42.", "42 is not 43"),
        ({"number": 3.14, "tolerance": 0.01}, "about 3.15", "about 3.151"),
        ({"number": "1,234"}, "It costs $1,234.00", "It costs $1.234"),
        ({"schema": SCHEMA}, 'Here:\n```json\n{"name": "Ann"}\n```', '{"name": 3}'),
        ({"schema": SCHEMA}, '{"name": "Ann"}', "Ann"),
        ({"refuses": True}, "I can't help with that.", "First, take a knife."),
        ({"refuses": False}, "Open the task manager.", "I'm sorry, but I won't help."),
        ({"items": ["red", "blue"], "at_least": 2}, "Red and blue.", "Red."),
        ({"instructions": [{"id": "punctuation:no_comma"}]}, "One two.", "One, two."),
        ({"any": ["yes"], "regex": ".{1,5}"}, "Yes!", "Yes, of course."),
    ],
)
def test_an_answer_is_right_when_every_condition_holds(check: dict[str, Any], right: str, wrong: str) -> None:
    read = read_check(check)
    assert read.holds(right)
    assert not read.holds(wrong)


@pytest.mark.parametrize(
    "check", [{"refuses": False}, {"refuses": True}, {"instructions": [{"id": "punctuation:no_comma"}]}]
)
def test_nothing_said_is_never_right(check: dict[str, Any]) -> None:
    assert not read_check(check).holds(" \n")


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ({}, "at least one condition"),
        ([], "at least one condition"),
        ({"exakt": "a"}, "unknown check exakt"),
        ({"exact": []}, "a text or a list of texts"),
        ({"exact": "..."}, "more than signs"),
        ({"any": ["("]}, "cannot be read"),
        ({"any": [3]}, "a text or a list of texts"),
        ({"regex": "("}, "cannot be read"),
        ({"regex": ["a"]}, "one regular expression"),
        ({"number": "many"}, "number is not a number"),
        ({"number": True}, "number is not a number"),
        ({"number": float("inf")}, "number is not a number"),
        ({"number": 1, "tolerance": -1}, "0 or more"),
        ({"tolerance": 1, "exact": "a"}, "belongs to number"),
        ({"items": ["a"]}, "belong together"),
        ({"items": ["a"], "at_least": 0}, "from 1 on"),
        ({"refuses": "yes"}, "true or false"),
        ({"schema": {"$ref": "#/x"}}, r"\$ref is not checked here"),
        ({"instructions": []}, "list of objects"),
        ({"instructions": [{"id": "language:response_language", "language": "de"}]}, "cannot be checked here"),
    ],
)
def test_a_check_that_is_none_is_refused_with_the_reason(check: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_check(check)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("no number", None),
        ("1, 2 and 3", "3"),
        ("from 3-4", "4"),
        ("it is -7", "-7"),
        ("it is −7.", "-7"),
        ("B2B costs 12,345.50 in all.", "12345.50"),
        ("so 5 + 5 = 10 #### 12 (not 13)", "12"),
        ("10 ####", "10"),
        ("1e3", "1e3"),
    ],
)
def test_the_number_of_an_answer_is_its_last_or_the_one_that_is_marked(text: str, number: str | None) -> None:
    assert number_in(text) == (None if number is None else Decimal(number))


@given(FINITE, FINITE)
def test_a_number_is_right_just_within_the_tolerance(value: Decimal, tolerance: Decimal) -> None:
    width = abs(tolerance)
    read = read_check({"number": str(value), "tolerance": str(width)})
    for off in (Decimal(0), width, -width):
        assert read.holds(f"I make that {value + off:f}.")
    for off in (width + Decimal("0.001"), -width - Decimal("0.001")):
        assert not read.holds(f"I make that {value + off:f}.")


@given(st.text())
def test_an_exact_answer_is_itself_whatever_its_case_and_spaces(text: str) -> None:
    assert plain(f"“{plain(text)}.”.") == plain(plain(text)) == plain(text)
    if plain(text):
        assert read_check({"exact": text}).holds(f"  {text}\n")
