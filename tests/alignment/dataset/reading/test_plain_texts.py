"""What is read in a shorter way because it is plain is read as it would be otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.dataset.judgement import Message
from alignment.dataset.reading import detect
from alignment.dataset.reading.messages import answer, conversation, stands_alone
from alignment.dataset.reading.presets import SHAPES, Preset
from alignment.dataset.reading.ways import Ways

PIECES = [
    "Human: ",
    "\n\nAssistant: ",
    "[INST]",
    "<|im_start|>user\n",
    "<s>",
    "</s>",
    "<|eot_id|>",
    " ",
    "\n",
    "H",
    "a",
]
PIECES += ["[", "{", '{"role": "user"', "]", "١", "🙂", "\u200f", "\ufeff", ">", "hello"]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join) | st.text(min_size=1, max_size=20)
KEYS = sorted({sign.lstrip(".") for shape in SHAPES for sign in shape.signs} | {"x.responses", "prompt", "chosen"})
KEYS += ["type", "tstamp", "name", "meta", "id", "parent_message_id", "message_id", "text", "role", "input", "output"]
KEYS += ["user_prompt", "model_response", "if_chosen"]
VALUES: Any = st.recursive(
    st.sampled_from(["x", None, 1, True]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*KEYS, "message", "messageId", "response", "turn", "history"]), inner)
    ),
    max_leaves=6,
)


@given(text=TEXTS)
def test_a_text_that_stands_alone_is_one_message_word_for_word(text: str) -> None:
    if not stands_alone(text):
        return
    for listed in (False, True):
        ways = Ways()
        assert conversation(text, "user", ways, listed=listed) == [Message("user", text)]
        assert answer(text, ways, listed=listed) == ([], text)
        assert not ways.notes()


@given(record=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
def test_no_shape_is_missed_for_its_keys(record: dict[str, Any]) -> None:
    for shape in SHAPES:
        if shape.own is not None and shape.own(record):
            assert shape.may_own(tuple(record)), shape.name


def test_names_that_are_not_folded_are_read_by_their_folded_names() -> None:
    assert detect.fold({"Prompt ": 1, "CHOSEN": 2}) == {"prompt": 1, "chosen": 2}
    assert detect.fold({"Prompt": 1, "prompt": 2}) == {"Prompt": 1, "prompt": 2}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_record_of_every_key_but_its_signs_is_not_of_a_shape(shape: Preset) -> None:
    record = {key: "x" for key in KEYS if not key.endswith(shape.signs)}
    assert shape.own is not None
    assert not shape.own(record)
