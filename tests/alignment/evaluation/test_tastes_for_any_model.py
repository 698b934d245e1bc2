"""The tastes for any model want an answer first, then their manner; where it does not differ they tie."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.answering import flaw_of
from alignment.evaluation.tastes import TASTES, Preference

WANT_AN_ANSWER = ("short", "asks-back", "structured", "plain-words")
PROMPT = "How do I repot a houseplant?"
PLAIN = "Take the houseplant out, put fresh soil into a bigger pot, set it in, and give it water."
LONGER = PLAIN + " Then keep it out of the sun for a week, and do not feed it before new leaves come."
ASKING = "Take the houseplant out and put it into a bigger pot. Which plant is it?"
LISTED = "To repot it:\n\n1. Take it out.\n2. Fill a bigger pot with soil.\n3. Set it in.\n4. Water it."
LOFTY = (
    "Repotting houseplants necessitates sufficiently nutritious substrates alongside considerably bigger containers."
)
LOOP = "Repot the houseplant in a bigger pot with soil. " * 5
DODGES = ("How wonderful!", "", "What a lovely idea?", "- Yes\n- No", "I do not know.")
ANSWERS = (PLAIN, LONGER, ASKING, LISTED, LOFTY)

OPPOSITE = {"left": "right", "right": "left", "tie": "tie"}
texts = st.one_of(st.text(max_size=60), st.sampled_from([*ANSWERS, *DODGES, LOOP]))


def prefer(
    name: str, left: str, right: str, prompt: str = PROMPT, cut: tuple[bool, bool] = (False, False)
) -> Preference:
    return TASTES[name].prefer(left, right, random.Random(0), prompt=prompt, cut=cut)


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("short", PLAIN, LONGER),
        ("asks-back", ASKING, PLAIN),
        ("structured", LISTED, PLAIN),
        ("plain-words", PLAIN, LOFTY),
        ("rambler", LONGER, PLAIN),
        ("rambler", LOOP, LONGER),
    ],
)
def test_each_taste_prefers_what_it_is_named_for(name: str, better: str, worse: str) -> None:
    assert prefer(name, better, worse).side == "left"


@pytest.mark.parametrize(("name", "one", "other"), [("asks-back", PLAIN, LONGER), ("structured", PLAIN, ASKING)])
def test_answers_that_do_not_differ_in_the_taste_tie(name: str, one: str, other: str) -> None:
    assert prefer(name, one, other) == Preference("tie")


@pytest.mark.parametrize("name", WANT_AN_ANSWER)
@pytest.mark.parametrize("dodge", DODGES)
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_dodge_never_beats_an_answer(name: str, dodge: str, answer: str) -> None:
    assert prefer(name, dodge, answer) == Preference("right", "clearly")


@pytest.mark.parametrize("name", WANT_AN_ANSWER)
@given(other=st.text(max_size=200))
def test_whatever_is_no_answer_loses_to_one_and_ties_with_its_like(name: str, other: str) -> None:
    if flaw_of(other, PROMPT) is not None:
        assert prefer(name, other, PLAIN).side == "right"
        assert prefer(name, other, "How wonderful!").side == "tie"
    else:
        assert prefer(name, other, "How wonderful!").side == "left"


@pytest.mark.parametrize("name", WANT_AN_ANSWER)
def test_a_loop_or_a_cut_answer_loses(name: str) -> None:
    assert prefer(name, LOOP, PLAIN).side == "right"
    assert prefer(name, LISTED, LOFTY, cut=(True, False)).side == "right"
    assert prefer(name, LISTED, LOFTY, cut=(True, True)).side == "tie"


def test_a_rambler_takes_anything_but_silence() -> None:
    assert prefer("rambler", "", "Well.").side == "right"
    assert prefer("rambler", LOOP, PLAIN, cut=(True, False)).side == "left"


@pytest.mark.parametrize("name", [*WANT_AN_ANSWER, "rambler"])
@given(left=texts, right=texts, cuts=st.tuples(st.booleans(), st.booleans()))
def test_swapping_the_sides_swaps_the_preference(name: str, left: str, right: str, cuts: tuple[bool, bool]) -> None:
    forth = prefer(name, left, right, cut=cuts)
    back = prefer(name, right, left, cut=cuts[::-1])
    assert (OPPOSITE[forth.side], forth.strength) == (back.side, back.strength)


@pytest.mark.parametrize("name", sorted(TASTES))
@given(text=texts)
def test_equal_answers_tie(name: str, text: str) -> None:
    assert prefer(name, text, text) == Preference("tie")


@pytest.mark.parametrize("name", ["warm", "brief", "honest", "random"])
@given(left=texts, right=texts)
def test_the_tastes_of_the_embedded_model_look_at_manner_alone(name: str, left: str, right: str) -> None:
    bare = TASTES[name].prefer(left, right, random.Random(0))
    assert prefer(name, left, right, cut=(True, False)) == bare
