"""Which rows are held out."""

from __future__ import annotations

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.dataset.compile.near import Signatures, shingles
from alignment.dataset.compile.splits import in_core, prompt_key
from alignment.dataset.judgement import Judgement, Mark, Message
from tests.alignment.builders import like, user, vote
from tests.alignment.compiled import compile_rows


def many(count: int, prompts: int = 200) -> list[Judgement]:
    return [vote(i, prompt=f"Question {i % prompts}?") for i in range(count)]


def sides(judgements: list[Judgement], seed: int = 0) -> dict[str, str]:
    return {row.judgements[0]: row.split for row in compile_rows(judgements, seed=seed).pairs}


def test_below_a_hundred_judgements_nothing_is_held_out() -> None:
    assert any(in_core(prompt_key(user(f"Question {i}?"))) for i in range(99))
    assert set(sides(many(99)).values()) == {"train"}
    assert list(sides(many(100)).values()).count("held_out") > 8


def test_about_a_fifth_of_many_prompts_are_held_out() -> None:
    found = list(sides(many(3000, prompts=3000)).values())
    assert 0.16 <= found.count("held_out") / len(found) <= 0.22  # the drawn share and the core


def test_a_side_is_kept_as_the_data_grows() -> None:
    small, large = sides(many(150)), sides(many(1500))
    assert small == {name: large[name] for name in small}


def test_the_core_is_held_out_whatever_the_seed() -> None:
    core = [i for i in range(400) if in_core(prompt_key(user(f"Question {i}?")))]
    assert 2 <= len(core) <= 16
    for seed in range(4):
        found = sides(many(800, prompts=400), seed=seed)
        assert {found[f"j{i:05d}"] for i in core} == {"held_out"}


LONG = (
    "Please write a short and friendly letter to my neighbour {} about the noise that we made last night, and say sorry"
)


def test_prompts_that_are_nearly_the_same_lie_on_one_side() -> None:
    others = many(300, prompts=300)
    for pair in range(12):
        base = LONG.format(f"number {pair}")
        near = [vote(1000, prompt=base), vote(1001, prompt=base + " for it"), vote(1002, prompt="Hello! " + base)]
        found = sides([*others, *near], seed=pair)
        assert len({found["j01000"], found["j01001"], found["j01002"]}) == 1


def test_short_prompts_that_differ_in_a_word_are_not_tied_together() -> None:
    found = sides([vote(i, prompt=f"What is {i} plus {i + 3}?") for i in range(300)])
    assert 0.1 < list(found.values()).count("held_out") / 300 < 0.3


def test_near_duplicates_do_not_depend_on_the_order_of_judgements() -> None:
    judgements = [vote(i, prompt=LONG.format(f"in house {i % 7}") + " sorry" * (i % 3)) for i in range(120)]
    assert sides(judgements) == sides(judgements[::-1])


def test_texts_without_spaces_are_compared_by_letters() -> None:
    text = "請寫一封簡短而友善的信給我的鄰居談談昨晚我們發出的噪音"
    assert len(shingles(text)) > 10
    table = Signatures()
    for each in (text, text + "並道歉", "今天的天氣非常好我們一起去公園散步然後吃午飯和看電影吧"):
        table.add(each)
    assert set(table.alike(array("Q", [5, 3, 9]))) == {(1, 0)}


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
    seen: dict[int | str, set[str]] = {}
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
