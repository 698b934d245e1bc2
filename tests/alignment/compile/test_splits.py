"""Which rows are held out."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.compile import compile_rows
from alignment.compile.splits import prompt_key
from alignment.judgement import Judgement, Mark, Message
from tests.alignment.builders import like, user, vote


def many(count: int, prompts: int = 200) -> list[Judgement]:
    return [vote(i, prompt=f"Question {i % prompts}?") for i in range(count)]


def sides(judgements: list[Judgement], seed: int = 0) -> dict[str, str]:
    return {row.judgements[0]: row.split for row in compile_rows(judgements, seed=seed).pairs}


def test_below_a_hundred_judgements_nothing_is_held_out() -> None:
    assert set(sides(many(99)).values()) == {"train"}
    assert set(sides(many(100)).values()) == {"train", "held_out"}


def test_between_fifteen_and_twenty_percent_of_many_prompts_are_held_out() -> None:
    found = list(sides(many(3000, prompts=3000)).values())
    assert 0.15 <= found.count("held_out") / len(found) <= 0.20


def test_a_side_is_kept_as_the_data_grows() -> None:
    small, large = sides(many(150)), sides(many(1500))
    assert small == {name: large[name] for name in small}


def test_the_seed_chooses_which_prompts_are_held_out() -> None:
    assert sides(many(400), seed=1) != sides(many(400), seed=2)
    assert sides(many(400), seed=1) == sides(many(400), seed=1)


_words = st.sampled_from(["Hello", "hello!", "HELLO ", "What is 1 + 1?", "what is 1 + 1", "Name a fruit."])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_words, _words, st.sampled_from([None, "k1", "k2", "k3"])), min_size=100, max_size=130),
    st.integers(0, 5),
)
def test_no_prompt_and_no_conversation_is_on_both_sides(drawn: list[tuple[str, str, str | None]], seed: int) -> None:
    judgements = [
        like(
            i,
            f"answer {i}",
            Mark.GOOD,
            context=(*user(first), Message("assistant", "Hm."), Message("user", second)),
            conversation=conversation,
        )
        for i, (first, second, conversation) in enumerate(drawn)
    ]
    conversations = {judgement.id: judgement.conversation for judgement in judgements}
    seen: dict[str, set[str]] = {}
    for row in compile_rows(judgements, seed=seed).marks:
        seen.setdefault(prompt_key(row.prompt), set()).add(row.split)
        conversation = conversations[row.judgements[0]]
        if conversation is not None:
            seen.setdefault("conversation " + conversation, set()).add(row.split)
    assert all(len(found) == 1 for found in seen.values())


def test_prompts_that_differ_in_case_and_final_marks_share_a_key() -> None:
    assert prompt_key(user("What is 1 + 1?")) == prompt_key(user(" what is  1 + 1"))
    assert prompt_key(user("What is 1 + 1?")) != prompt_key(user("What is 1 + 2?"))


def test_counts_say_what_went_where() -> None:
    counts = compile_rows(many(400)).counts
    assert counts["judgements"] == 400
    assert counts["by_kind"] == {"compare": 400}
    assert counts["rows"]["pairs"]["train"] + counts["rows"]["pairs"]["held_out"] == 400
    assert counts["pair_weight"] == counts["rows"]["pairs"]["train"]
