"""The schemas of checks say what the library says whose words they share."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.suites.json_schema import Schema, json_in, same

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 1.5]) | st.text("ab", max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])


def _words(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    small = st.integers(0, 3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "additionalProperties": inner,
            "required": st.lists(st.sampled_from("ab"), unique=True),
            "items": inner,
            "uniqueItems": st.booleans(),
            "pattern": st.sampled_from(["a", "^b", "a$", "ab"]),
            **dict.fromkeys(
                ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"), small
            ),
            **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), st.integers(-2, 2)),
            "description": st.just("words that check nothing"),
        },
    )


SCHEMAS = st.recursive(st.booleans(), _words, max_leaves=5)


@given(SCHEMAS, VALUES)
def test_what_a_schema_takes_is_what_json_schema_says(schema: Any, value: Any) -> None:
    assert Schema(schema).accepts(value) == jsonschema.Draft202012Validator(schema).is_valid(value)


@given(VALUES)
def test_equal_is_an_order_of_keys_apart_and_true_is_not_one(value: Any) -> None:
    assert same(value, value)
    assert not same([value, True], [value, 1])
    assert same({"a": value, "b": 1}, {"b": 1.0, "a": value})


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (3, "an object, true or false"),
        ({"format": "date"}, "word format is not checked here"),
        ({"type": "text"}, "type is one or some of"),
        ({"minItems": -1}, "minItems has a value that it cannot have"),
        ({"required": "name"}, "required has a value that it cannot have"),
        ({"properties": {"a": {"unknown": 1}}}, "word unknown is not checked here"),
        ({"pattern": "("}, "pattern cannot be read"),
    ],
)
def test_a_word_that_is_not_checked_is_refused_when_the_schema_is_read(schema: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Schema(schema)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        (" null ", None),
        ("So:\n```json\n[1]\n```\nand\n```\n[2]\n```", [1]),
        ("```\n{}\n```", {}),
    ],
)
def test_json_is_the_whole_answer_or_its_first_fenced_block(answer: str, value: Any) -> None:
    found = json_in(answer)
    assert found is not None
    assert found.value == value


def test_numbers_beyond_a_floats_range_are_numbers_and_infinity_is_none() -> None:
    huge, endless = json_in("1" + 400 * "0"), json_in("1e999")
    assert huge is not None
    assert endless is not None
    assert Schema({"type": "integer", "minimum": 5}).accepts(huge.value)
    assert not Schema({"type": "number"}).accepts(endless.value)


@pytest.mark.parametrize("answer", ["", "The answer is {}", "NaN", "[" * 100_000, "```json\nno\n```"])
def test_other_answers_hold_no_json(answer: str) -> None:
    assert json_in(answer) is None
