"""JSON is read only where it costs about what it weighs, and then exactly as the standard library reads it."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.api.json_body import read_json
from feedback_app.errors import UsageError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_is_json_is_read_as_it_was_written(value: object, escaped: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=escaped).encode(), "Send.") == value


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_value_or_a_sentence(body: bytes) -> None:
    try:
        value = read_json(body, "Send.")
    except UsageError:
        pass
    else:
        assert value == json.loads(body.decode("utf-8-sig"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[" * 1_000_000, "nested more than 64 deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 64 deep"),
        (b"[" + b"{}," * 200_000 + b"{}]", "more than 100000 values"),
        (b"[" + b"0," * 500_000 + b"0]", "more than 100000 values"),
        (b"[" + b'"",' * 500_000 + b"0]", "more than 100000 values"),
        (b'""' * 1_000_000, "more than 100000 values"),
        (b"9" * 5000, "not JSON"),
        (b"NaN", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b'"\xff"', "not JSON"),
        ("[1]".encode("utf-16"), "not JSON"),
    ],
)
def test_bombs_are_refused_without_being_built(body: bytes, words: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=words):
            read_json(body, "Send.")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**20  # parsed, 200,000 empty objects are 13 MiB for 0.6 MiB


def test_half_a_surrogate_pair_is_read_where_it_is_asked_for() -> None:
    assert read_json(b'"\\ud800"', "Send.", half_pairs=True) == "\ud800"


def test_brackets_and_commas_in_texts_are_no_structure() -> None:
    text = '[{,\\"' * 100_000
    assert read_json(json.dumps([text]).encode(), "Send.") == [text]


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b"\\", b'"x'])
def test_no_text_makes_the_count_slow(piece: bytes) -> None:
    began = time.process_time()
    with pytest.raises(UsageError):
        read_json(b'["' + piece * 2**20, "Send.")
    assert time.process_time() - began < 2  # one quadratic pass over this would take hours
