"""Where a chat template has no system role, nothing of what a system text says is lost, and people's turns stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alignment.system_text import Turn, without_system

turns = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(min_size=1)), max_size=6)


def test_it_goes_before_the_first_user_turn() -> None:
    talk = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Bye")]
    assert without_system(talk) == [("user", "Be kind.\n\nHi"), ("assistant", "Yes?"), ("user", "Bye")]


def test_without_a_user_it_is_one() -> None:
    assert without_system([("system", "Be kind."), ("assistant", "Hello.")]) == [
        ("user", "Be kind."),
        ("assistant", "Hello."),
    ]


@given(turns)
def test_nothing_said_is_lost(talk: list[Turn]) -> None:
    found = without_system(talk)
    assert all(role != "system" for role, _ in found)
    assert all(any(text in said for _, said in found) for _, text in talk)
    assert [turn for turn in found if turn[0] == "assistant"] == [turn for turn in talk if turn[0] == "assistant"]
    assert without_system(found) == found
