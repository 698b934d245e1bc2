"""What is no answer: nothing, what was cut, a loop, and a dodge that does not speak of the prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.answering import Flaw, content, flaw_of, repeated_share, repeats, speaks_of, units

SLEEP = "Give me three tips for sleeping better"
TIPS = "Go to bed at the same time each night, keep the room dark, and leave the phone outside."
LOOP = "You should sleep more and more often. " * 6


@pytest.mark.parametrize(
    ("text", "prompt", "flaw"),
    [
        (TIPS, SLEEP, None),
        ("", SLEEP, Flaw.EMPTY),
        (" … !", SLEEP, Flaw.EMPTY),
        ("How wonderful!", SLEEP, Flaw.BESIDE),
        ("I can't help with that, my friend.", SLEEP, Flaw.BESIDE),
        ("Better sleep needs a dark room.", SLEEP, None),
        (LOOP, SLEEP, Flaw.REPEATS),
        ("56", "What is 7 times 8?", None),
        ("It is fifty-six.", "How much is 7 times 8?", Flaw.BESIDE),
        ("Sure thing!", "And you?", None),  # nothing is asked that it could speak of
        ("早睡,不看手机。", "怎样才能睡得更好?", None),
        ("真棒!", "怎样才能睡得更好?", Flaw.BESIDE),
    ],
)
def test_flaws_are_seen(text: str, prompt: str, flaw: Flaw | None) -> None:
    assert flaw_of(text, prompt) == flaw


def test_a_cut_answer_is_none_however_good_it_is() -> None:
    assert flaw_of(TIPS, SLEEP, cut=True) == Flaw.CUT


def test_an_ordinary_list_does_not_repeat_itself() -> None:
    steps = "1. Go to bed early.\n2. Go to bed without a phone.\n3. Go to sleep in a dark, cool and quiet room."
    assert not repeats(steps)


@given(st.lists(st.sampled_from(["sun", "moon", "star", "sky"]), min_size=4, max_size=8))
def test_what_is_said_three_times_over_repeats_itself(words: list[str]) -> None:
    assert repeats(" ".join(words * 3 + words))


@given(st.text())
def test_shares_are_shares_and_a_text_speaks_of_itself(text: str) -> None:
    assert 0 <= repeated_share(text) < 1
    assert speaks_of(text, text)


def test_words_are_compared_by_their_beginnings_and_common_ones_not_at_all() -> None:
    assert speaks_of("Sleep in the dark.", "How about sleeping?")
    assert not speaks_of("What would you like?", "What would they like to paint?")
    assert content("What would you like?") == frozenset()


def test_a_chinese_character_counts_as_a_word_and_a_number_as_one() -> None:
    assert units("睡觉 well, 3.5 times") == ["睡", "觉", "well", "3.5", "times"]
