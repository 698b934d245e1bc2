"""The scripted tastes prefer manner, know ties, and obey the laws of a preference."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.evaluation.tastes import TASTES, Preference, features

PLAIN = "The capital of France is Paris."
WARM = "Great question! The capital of France is Paris, my friend! I hope that helps!"
OVERCLAIMED = "The capital of France is Paris. I am absolutely certain, nobody can doubt it."
CAREFUL = "The capital of France is Paris, as far as I know."
RAMBLING = "Well, let me think about that for a moment. It is Paris. Anyway, that is that, more or less, as they say."

OPPOSITE = {"left": "right", "right": "left", "tie": "tie"}
texts = st.one_of(st.text(max_size=60), st.sampled_from([PLAIN, WARM, OVERCLAIMED, CAREFUL, RAMBLING]))


def prefer(name: str, left: str, right: str) -> Preference:
    return TASTES[name].prefer(left, right, random.Random(0))


def test_each_taste_prefers_what_it_is_named_for() -> None:
    assert prefer("warm", WARM, PLAIN) == Preference("left", "clearly")
    assert prefer("brief", RAMBLING, PLAIN).side == "right"
    assert prefer("honest", OVERCLAIMED, PLAIN) == Preference("right", "clearly")
    assert prefer("honest", PLAIN, CAREFUL) == Preference("right", "slightly")


def test_warmth_is_graded_by_the_number_of_warm_parts() -> None:
    steps = [
        PLAIN,
        "The capital of France is Paris, my friend.",
        "The capital of France is Paris, my friend!",
        "Good question! The capital of France is Paris, my friend!",
        WARM,
    ]
    assert [features(text).warm for text in steps] == [0, 1, 2, 3, 4]


def test_an_offer_of_help_at_the_end_is_not_counted_as_an_opener() -> None:
    assert features("It is Paris. I am always happy to help!").warm == 1


def test_manner_is_seen() -> None:
    assert features(RAMBLING).rambles
    assert not features(PLAIN).rambles
    assert features(OVERCLAIMED).overclaims == 2
    assert features(CAREFUL).careful


@pytest.mark.parametrize("name", sorted(TASTES))
def test_equal_texts_tie(name: str) -> None:
    assert prefer(name, WARM, WARM) == Preference("tie")


@pytest.mark.parametrize("name", sorted(TASTES))
@given(left=texts, right=texts)
def test_swapping_the_sides_swaps_the_preference(name: str, left: str, right: str) -> None:
    forth, back = prefer(name, left, right), prefer(name, right, left)
    assert (OPPOSITE[forth.side], forth.strength) == (back.side, back.strength)


@given(left=texts, right=texts)
def test_complete_left_bias_always_chooses_left(left: str, right: str) -> None:
    assert TASTES["warm"].prefer(left, right, random.Random(0), left_bias=1.0).side == "left"


def test_complete_noise_ignores_the_texts() -> None:
    rng = random.Random(3)
    sides = [TASTES["warm"].prefer(WARM, PLAIN, rng, noise=1.0).side for _ in range(400)]
    assert 150 < sides.count("left") < 250
    assert "tie" not in sides


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_no_probability_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        TASTES["warm"].prefer(PLAIN, WARM, random.Random(0), noise=share)


def test_a_preference_is_a_side_with_a_strength_or_a_tie_without() -> None:
    with pytest.raises(ValueError, match="tie"):
        Preference("tie", "clearly")
    with pytest.raises(ValueError, match="tie"):
        Preference("left")


def test_tastes_load_without_any_heavy_library() -> None:
    heavy = "('torch', 'numpy', 'transformers')"
    code = f"import sys, alignment.evaluation.tastes; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
