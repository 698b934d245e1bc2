"""A stage that asks people through files: it waits so long and no longer, and what was said is never asked again."""

from __future__ import annotations

from pathlib import Path

import pytest

from alignment.stage.people_channel import ANSWERED, ASKED, PeopleChannel, VoteRequest, Votes, answer, asked, folder_of

FOUR = VoteRequest(12, "/made/step-12", 4)


class Supervisor:
    """Sleeps for the stage, and answers when its time has come."""

    def __init__(self, out: Path, *after: tuple[float, Votes | None]) -> None:
        """After so many seconds there are these votes; None says that it is over."""
        self.out, self.now, self.plan = out, 0.0, list(after)
        self.told: list[Votes] = []

    def asking(self, patience_s: float = 60.0) -> PeopleChannel:
        return PeopleChannel(self.out, patience_s, self.tell, clock=lambda: self.now, sleep=self.sleep)

    def tell(self, question: VoteRequest, votes: Votes) -> None:
        self.told.append(votes)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.plan and self.plan[0][0] <= self.now:
            _, votes = self.plan.pop(0)
            question = asked(self.out)
            assert question is not None
            answer(self.out, question, votes or Votes(), over=votes is None)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "ppo-1"


def test_it_returns_when_there_are_enough_votes_and_tells_of_each(out: Path) -> None:
    people = Supervisor(out, (5, Votes(1.0, 1)), (9, Votes(1.5, 2)), (20, Votes(3.5, 4, 1)))
    assert people.asking()(12, "/made/step-12", 4) == Votes(3.5, 4, 1)
    assert people.told == [Votes(), Votes(1.0, 1), Votes(1.5, 2), Votes(3.5, 4, 1)]
    assert 20 <= people.now < 21
    assert asked(out) == FOUR


def test_patience_ends_and_the_votes_there_are_count(out: Path) -> None:
    people = Supervisor(out, (5, Votes(1.0, 1)))
    assert people.asking(patience_s=30)(12, "/made/step-12", 4) == Votes(1.0, 1)
    assert 30 <= people.now < 31


def test_no_patience_looks_once(out: Path) -> None:
    assert Supervisor(out).asking(patience_s=0)(12, "/made/step-12", 4) == Votes()


def test_it_does_not_wait_where_there_is_no_use_in_it(out: Path) -> None:
    people = Supervisor(out, (5, None))
    assert people.asking()(12, "/made/step-12", 4) == Votes()
    assert people.now < 6


def test_who_asks_the_same_again_has_what_was_said_at_once(out: Path) -> None:
    people = Supervisor(out, (5, Votes(3.0, 4)))
    people.asking()(12, "/made/step-12", 4)
    assert people.asking(patience_s=0)(12, "/made/step-12", 4) == Votes(3.0, 4)


def test_another_milestones_answer_is_none(out: Path) -> None:
    people = Supervisor(out, (5, Votes(3.0, 4)))
    people.asking()(12, "/made/step-12", 4)
    assert people.asking(patience_s=0)(16, "/made/step-16", 4) == Votes()


def test_after_withdrawing_nothing_is_asked_and_a_late_answer_is_lost(out: Path) -> None:
    people = Supervisor(out)
    asking = people.asking(patience_s=0)
    asking(12, "/made/step-12", 4)
    asking.withdraw()
    asking.withdraw()
    answer(out, FOUR, Votes(1.0, 1))
    assert asked(out) is None
    assert not folder_of(out).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": 1}', '{"step": "x", "adapter": "", "judgements": 1}'])
def test_what_is_no_question_is_none(out: Path, text: str) -> None:
    folder_of(out).mkdir()
    (folder_of(out) / ASKED).write_text(text)
    assert asked(out) is None


def test_half_an_answer_is_none(out: Path) -> None:
    folder_of(out).mkdir()
    (folder_of(out) / ANSWERED).write_text('{"step": 12')
    assert Supervisor(out).asking(patience_s=0)(12, "/made/step-12", 4) == Votes()
