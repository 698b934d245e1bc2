"""Which preferences become pairs, and what they weigh."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.dataset.judgement import Judgement, Kind, Mark, Message, Strength
from alignment.dataset.rows import PairRow, Row
from tests.alignment.builders import any_judgements, like, ranking, vote
from tests.alignment.compiled import compile_rows


def pairs_of(*judgements: Judgement) -> tuple[PairRow, ...]:
    return compile_rows(judgements).pairs


def test_a_clear_vote_is_one_pair_of_weight_and_margin_one() -> None:
    (row,) = pairs_of(vote(1, "short", "long answer", (2, 1)))
    assert (row.chosen, row.rejected) == ("long answer", "short")
    assert (row.weight, row.margin, row.origin) == (1.0, 1.0, "compare")
    assert row.judgements == ("j00001",)


def test_a_slight_vote_weighs_half_with_a_third_of_the_margin() -> None:
    (row,) = pairs_of(vote(strength=Strength.SLIGHTLY))
    assert row.weight == 0.5
    assert row.margin == pytest.approx(1 / 3)


@pytest.mark.parametrize("strength", [Strength.CLEARLY, Strength.SLIGHTLY])
def test_a_preference_between_two_bad_answers_weighs_half(strength: Strength) -> None:
    (row,) = pairs_of(vote(marks=(Mark.BAD, Mark.BAD), strength=strength))
    assert row.weight == 0.5


def test_one_bad_answer_of_two_does_not_lower_the_weight() -> None:
    (row,) = pairs_of(vote(marks=(None, Mark.BAD)))
    assert row.weight == 1.0


@pytest.mark.parametrize(
    "nothing",
    [
        vote(ranks=(1, 1)),
        vote(ranks=(None, None), marks=(Mark.BAD, Mark.BAD)),
        vote(ranks=(1, 1), marks=(Mark.BAD, Mark.BAD)),
        vote(cannot_judge=True),
        vote(left="The same.", right=" The  same. "),
        vote(finish=("length", "stop")),
        vote(finish=("stop", "stopped")),
        vote(left="   ", ranks=(1, 2)),
        vote(ranks=(1, None)),
    ],
    ids=["tie", "both bad", "tied and bad", "cannot judge", "identical", "cut", "stopped", "empty", "half ranked"],
)
def test_what_is_not_a_win_never_becomes_a_pair(nothing: Judgement) -> None:
    compiled = compile_rows([nothing])
    assert compiled.pairs == ()
    assert sum(compiled.counts["skipped"].values()) >= 1


def test_an_empty_answer_may_be_rejected() -> None:
    (row,) = pairs_of(vote(right="", ranks=(1, 2)))
    assert row.rejected == ""


def test_like_and_dislike_pair_for_one_person_on_one_context() -> None:
    (row,) = pairs_of(like(1, "Blue!", Mark.GOOD), like(2, "Dunno.", Mark.BAD))
    assert (row.chosen, row.rejected, row.weight) == ("Blue!", "Dunno.", 1.0)
    assert row.judgements == ("j00001", "j00002")


def test_likes_of_different_people_do_not_pair() -> None:
    assert pairs_of(like(1, "Blue!", Mark.GOOD, person="p1"), like(2, "Dunno.", Mark.BAD, person="p2")) == ()


def test_likes_on_different_contexts_do_not_pair() -> None:
    before = (Message("system", "Be brief."), Message("user", "What colour is the sky?"))
    assert pairs_of(like(1, "Blue!", Mark.GOOD), like(2, "Dunno.", Mark.BAD, context=before)) == ()
    assert pairs_of(like(1, "Blue!", Mark.GOOD), like(2, "Dunno.", Mark.BAD, prompt="what colour is the sky?")) == ()


@given(good=st.integers(1, 4), bad=st.integers(1, 4))
def test_a_group_of_likes_weighs_one_in_all(good: int, bad: int) -> None:
    judgements = [like(i, f"good {i}", Mark.GOOD) for i in range(good)]
    judgements += [like(10 + i, f"bad {i}", Mark.BAD) for i in range(bad)]
    rows = pairs_of(*judgements)
    assert len(rows) == good * bad
    assert sum(row.weight for row in rows) == pytest.approx(1.0)


def test_a_text_liked_and_disliked_by_one_person_says_nothing() -> None:
    assert pairs_of(like(1, "Blue!", Mark.GOOD), like(2, "Blue!", Mark.BAD)) == ()
    (row,) = pairs_of(like(1, "Blue!", Mark.GOOD), like(2, "Blue!", Mark.BAD), *_clear_pair())
    assert (row.chosen, row.rejected) == ("Fine.", "Awful.")


def _clear_pair() -> tuple[Judgement, Judgement]:
    return like(3, "Fine.", Mark.GOOD), like(4, "Awful.", Mark.BAD)


def test_marks_on_a_comparison_do_not_pair_with_likes() -> None:
    assert pairs_of(vote(1, ranks=(None, None), marks=(Mark.BAD, Mark.BAD)), like(2, "Fine.", Mark.GOOD)) == ()


@given(ranks=st.lists(st.integers(1, 5), min_size=2, max_size=5))
def test_a_ranking_weighs_one_less_than_its_tie_groups(ranks: list[int]) -> None:
    rows = pairs_of(ranking(1, ranks))
    assert sum(row.weight for row in rows) == pytest.approx(len(set(ranks)) - 1)
    position = {f"Answer {i}.": rank for i, rank in enumerate(ranks)}
    assert {(row.chosen, row.rejected) for row in rows} == {
        (better, worse) for better in position for worse in position if position[better] < position[worse]
    }


@given(
    ranks=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strength=st.sampled_from([None, *Strength]),
    marks=st.tuples(st.sampled_from([None, *Mark]), st.sampled_from([None, *Mark])),
)
def test_a_ranking_of_two_equals_a_vote(
    ranks: tuple[int, int], strength: Strength | None, marks: tuple[Mark | None, Mark | None]
) -> None:
    voted = compile_rows([vote(ranks=ranks, strength=strength, marks=marks, kind=Kind.COMPARE)])
    ranked = compile_rows([vote(ranks=ranks, strength=strength, marks=marks, kind=Kind.RANK)])
    assert [replace(row, origin="") for row in voted.pairs] == [replace(row, origin="") for row in ranked.pairs]
    assert voted.marks == ranked.marks


@given(any_judgements(), st.randoms(use_true_random=False))
def test_the_order_of_judgements_changes_nothing(judgements: list[Judgement], order: random.Random) -> None:
    shuffled = list(judgements)
    order.shuffle(shuffled)
    assert compile_rows(shuffled) == compile_rows(judgements)


@given(any_judgements())
def test_where_an_answer_was_shown_changes_nothing(judgements: list[Judgement]) -> None:
    mirrored = [
        replace(judgement, candidates=tuple(reversed(judgement.candidates)))
        if judgement.kind is not Kind.LIKE
        else judgement
        for judgement in judgements
    ]
    assert compile_rows(mirrored) == compile_rows(judgements)


@settings(max_examples=300)
@given(any_judgements())
def test_every_row_names_judgements_that_said_so(judgements: list[Judgement]) -> None:
    known = {judgement.id: judgement for judgement in judgements}
    compiled = compile_rows(judgements)
    rows: tuple[Row, ...] = (*compiled.pairs, *compiled.marks, *compiled.sft, *compiled.groups)
    for row in rows:
        assert row.judgements
        assert row.weight > 0
        for name in row.judgements:
            assert not known[name].cannot_judge
            assert known[name].context == row.prompt
    for pair in compiled.pairs:
        assert " ".join(pair.chosen.split()) != " ".join(pair.rejected.split())
        assert pair.chosen.strip()


@given(st.lists(st.integers(1, 3), min_size=2, max_size=5))
def test_no_row_from_ties(ranks: list[int]) -> None:
    tied = [ranks[0]] * len(ranks)
    assert pairs_of(ranking(1, tied)) == ()
