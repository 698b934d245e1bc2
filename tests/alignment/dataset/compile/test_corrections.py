"""When a rewritten answer trains, and as what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alignment.dataset.compile import Rules
from alignment.dataset.compile.text import fold
from alignment.dataset.judgement import Judgement, Mark
from tests.alignment.builders import like, vote
from tests.alignment.compiled import Compiled, compile_rows

WRONG, RIGHT = "Teh sky is blue.", "The sky is blue."
TRUSTED = Rules(trusted=frozenset({"p1"}))


def fixed(number: int = 1, text: str = WRONG, correction: str = RIGHT, person: str = "p1") -> Judgement:
    return like(number, text, None, correction=correction, person=person)


def compiled(*judgements: Judgement, rules: Rules = TRUSTED) -> Compiled:
    return compile_rows(judgements, rules=rules)


def test_a_trusted_persons_correction_trains_at_once() -> None:
    found = compiled(fixed())
    (row,) = found.pairs
    assert (row.chosen, row.rejected, row.weight, row.margin, row.origin) == (RIGHT, WRONG, 1.0, 1.0, "correction")
    (sft,) = found.sft
    assert (sft.completion, sft.weight, sft.judgements) == (RIGHT, 1.0, ("j00001",))


def test_anybody_elses_correction_waits_for_a_second_person() -> None:
    found = compiled(fixed(person="p2"))
    assert (found.pairs, found.sft) == ((), ())
    assert found.counts["skipped"] == {"correction_waits_for_a_second_person": 1}


@pytest.mark.parametrize(
    "second",
    [
        like(2, RIGHT, Mark.GOOD, person="p3"),
        like(2, " The  sky is blue. ", Mark.GOOD, person="p3"),
        vote(2, WRONG, RIGHT, (2, 1), person="p3"),
        fixed(2, person="p3"),
    ],
    ids=["liked", "liked with other spaces", "ranked above the original", "written by another too"],
)
def test_a_second_person_who_prefers_it_lets_it_train(second: Judgement) -> None:
    found = compiled(fixed(person="p2"), second)
    assert [row.completion for row in found.sft] == [RIGHT]
    (pair,) = [row for row in found.pairs if row.origin == "correction"]
    assert pair.judgements == ("j00001", "j00002")
    assert pair.weight == (2.0 if second.candidates[0].correction else 1.0)


@pytest.mark.parametrize(
    "second",
    [
        like(2, RIGHT, Mark.GOOD, person="p2"),
        like(2, RIGHT, Mark.BAD, person="p3"),
        like(2, RIGHT, Mark.GOOD, person="p3", prompt="Another question?"),
        vote(2, WRONG, RIGHT, (1, 2), person="p3"),
        vote(2, WRONG, RIGHT, (1, 1), person="p3"),
        vote(2, "Dunno.", RIGHT, (2, 1), person="p3"),
        replace(vote(2, WRONG, RIGHT, (2, 1), person="p3"), cannot_judge=True),
    ],
    ids=["the same person", "disliked", "elsewhere", "ranked below", "tied", "above another text", "cannot judge"],
)
def test_what_is_not_a_second_person_who_prefers_it_does_not(second: Judgement) -> None:
    assert compiled(fixed(person="p2"), second).sft == ()


@pytest.mark.parametrize("same", ["the SKY is blue", " The sky  is blue!", "The ｓky is blue."])
def test_a_correction_that_changes_nothing_is_dropped(same: str) -> None:
    found = compiled(fixed(text=RIGHT, correction=same))
    assert (found.pairs, found.sft) == ((), ())
    assert found.counts["skipped"] == {"correction_changes_nothing": 1}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("It is 4.", "It is 5."),
        ("It is 10", "It is 100"),
        ("x² + 1", "x2 + 1"),
        ("It takes ½ an hour", "It takes 1/2 an hour"),
        ("You can.", "You cannot."),
        ("It is safe.", "It is not safe."),
        ("It's true", "It isn't true"),
        ("5", "-5"),
    ],
)
def test_a_digit_or_a_negation_is_never_trivial(before: str, after: str) -> None:
    assert fold(before) != fold(after)
    assert len(compiled(fixed(text=before, correction=after)).pairs) == 1


def test_full_width_digits_are_the_same_digits() -> None:
    assert fold("It is ４２。") == fold("it is 42")


def test_a_corrected_unfinished_answer_is_imitated_but_not_paired() -> None:
    found = compiled(like(1, "The sky is", None, correction=RIGHT, finish="stopped"))
    assert found.pairs == ()
    assert len(found.sft) == 1


def test_a_text_found_bad_with_every_other_is_never_imitated() -> None:
    bad = vote(2, RIGHT, "Dunno.", (None, None), marks=(Mark.BAD, Mark.BAD), person="p3")
    found = compiled(fixed(), bad)
    assert found.sft == ()
    assert found.counts["skipped"]["correction_found_bad"] == 1
    assert len(found.pairs) == 1


def test_one_text_written_for_two_originals_is_imitated_once() -> None:
    found = compiled(fixed(1), fixed(2, text="Sky blue."))
    assert len(found.pairs) == 2
    (sft,) = found.sft
    assert sft.judgements == ("j00001", "j00002")
    assert sft.weight == 1.0  # one person counts once
