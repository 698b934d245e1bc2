"""Feedback is stored in groups, and what ends or spoils a group costs only itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Answer, Feedback, Skip, demonstration, pair
from alignment.errors import ReadingProblem
from feedback_app.errors import Unavailable
from feedback_app.exchange.writing import REFUSED, Origin, Written, write_gold, write_judgements
from feedback_app.store.database import Store, open_store
from feedback_app.store.imports import MOST
from feedback_app.store.tables import JudgementRow

ORIGIN = Origin("trl", "friends.jsonl")
BEFORE = "imported before"
# An import that says when its first group is stored and then waits for the rest of its file, which never comes.
WAITING = """
import sys, threading
from pathlib import Path
from feedback_app.exchange.writing import write_judgements
from feedback_app.store.database import open_store
from tests.feedback_app.exchange.test_writing import ORIGIN, pairs

def pieces():
    yield from pairs(int(sys.argv[2]))
    print("waiting", flush=True)
    threading.Event().wait()

list(write_judgements(open_store(sys.argv[1]), pieces(), ORIGIN))
"""


def said(number: int, better: str = "good", **more: str) -> Feedback:
    """One pair of its own."""
    return pair([Message("user", f"Q{number}")], f"{better} {number}", f"bad {number}", **more)


def pairs(count: int) -> Iterator[tuple[int, Feedback | Skip]]:
    """So many different pairs, numbered from 1."""
    return ((number, said(number)) for number in range(1, count + 1))


def write(store: Store, pieces: Iterable[tuple[int, Feedback | Skip]]) -> list[Written[int]]:
    """What became of each."""
    return list(write_judgements(store, pieces, ORIGIN))


def test_every_piece_is_told_in_its_place_with_what_became_of_it(store: Store) -> None:
    marked = Feedback((Message("user", "Q"),), (Answer("a", good=True),))
    shown = demonstration([Message("user", "Q")], "b")
    empty = pair([Message("user", "Q")], " ", "b")
    unsaid = Feedback((Message("user", "Q"),), tuple(Answer(each, good=False) for each in "cde"))
    found = write(store, enumerate([said(1), Skip("no"), said(1), marked, shown, empty, unsaid]))
    assert [(one.place, one.kind, one.problem) for one in found] == [
        (0, "compare", ""),
        (1, "", "no"),
        (2, "", BEFORE),
        (3, "like", ""),
        (4, "demonstration", ""),
        (5, "", "empty answer"),
        (6, "", "Rank every answer of the ticket, or say that you cannot judge."),
    ]
    assert store.judgements.watermark() == 3


def test_a_value_that_the_database_refuses_spoils_only_itself(store: Store) -> None:
    rule = "ALTER TABLE message ADD CHECK (content NOT LIKE 'refused%')"
    if store.database.is_sqlite:
        rule = (
            "CREATE TRIGGER refusing BEFORE INSERT ON message WHEN NEW.content LIKE 'refused%' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with store.database.write() as session:
        session.execute(text(rule))
    better = {3: "refused", 11: "refused"}
    found = write(store, ((number, said(number, better.get(number, "good"))) for number in range(12)))
    assert [one.place for one in found if one.problem == REFUSED] == [3, 11]
    assert [one.place for one in found if one.kind] == [number for number in range(12) if number not in better]
    kept = list(store.judgements.export())
    assert [judgement.context[0].content for judgement in kept] == [f"Q{one.place}" for one in found if one.kind]


def test_what_came_before_a_file_broke_is_stored(sqlite_store: Store) -> None:
    def broken() -> Iterator[tuple[int, Feedback | Skip]]:
        yield from pairs(3)
        raise ReadingProblem("The file ends in the middle.")

    found = write_judgements(sqlite_store, broken(), ORIGIN)
    assert [next(found).place for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ReadingProblem, match="in the middle"):
        next(found)
    assert sqlite_store.judgements.watermark() == 3


def test_a_database_that_is_away_ends_the_import_with_its_own_sentence(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("The database does not work.")

    monkeypatch.setattr(type(sqlite_store.imports), "bring", away)
    with pytest.raises(Unavailable):
        write(sqlite_store, pairs(3))


@pytest.mark.slow
def test_a_killed_import_keeps_its_groups_and_the_next_one_brings_the_rest(database_url: str, tmp_path: Path) -> None:
    """SIGKILL, when one group and a half have come."""
    arguments = [sys.executable, "-c", WAITING, database_url, str(MOST + MOST // 2)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=tmp_path, env=_environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.kill()
    store = open_store(database_url)
    assert store.judgements.watermark() == MOST
    found = write(store, pairs(2 * MOST))
    assert [one.problem for one in found] == [BEFORE] * MOST + [""] * MOST
    kept = [judgement.context[0].content for judgement in store.judgements.export()]
    assert kept == [f"Q{number}" for number in range(1, 2 * MOST + 1)]
    assert store.judgements.watermark() == 2 * MOST
    store.close()


def test_a_ticket_that_an_older_import_left_without_a_verdict_is_judged(store: Store) -> None:
    write(store, pairs(3))
    with store.database.write() as session:
        session.execute(delete(JudgementRow).where(JudgementRow.serial == 2))  # type: ignore[arg-type]
    assert [(one.kind, one.problem) for one in write(store, pairs(3))] == [("", BEFORE), ("compare", ""), ("", BEFORE)]
    first, second, third = (judgement.context[0].content for judgement in store.judgements.export())
    assert (first, second, third) == ("Q1", "Q3", "Q2")
    assert all(candidate.rank for judgement in store.judgements.export() for candidate in judgement.candidates)


def test_each_rater_is_a_person_of_their_own_whose_name_is_not_kept(store: Store) -> None:
    raters = [f"rater {number % 7}" for number in range(20)]
    write(store, ((number, said(number, rater=rater)) for number, rater in enumerate(raters)))
    people = [judgement.person for judgement in store.judgements.export()]
    assert len(set(people)) == 7
    assert all(
        (people[one] == people[other]) == (raters[one] == raters[other]) for one in range(20) for other in range(20)
    )
    assert not any("rater" in person.name for person in store.people.listing())
    write(store, [(99, said(99, rater="rater 0"))])
    assert len(store.people.listing()) == 7


def test_what_a_rater_who_withdrew_says_is_counted_and_not_kept(store: Store) -> None:
    write(store, [(1, said(1, rater="eve"))])
    (judgement,) = store.judgements.export()
    store.withdrawals.withdraw(judgement.person)
    found = write(store, [(1, said(1, rater="eve")), (2, said(2, rater="eve")), (3, said(3))])
    assert [one.problem for one in found] == [BEFORE, "given by somebody who has withdrawn their judgements", ""]
    assert [judgement.context[0].content for judgement in store.judgements.export()] == ["Q3"]


def test_long_texts_make_smaller_groups(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    bring = sqlite_store.imports.bring

    def counted(imports: object, group: list[object]) -> object:
        sizes.append(len(group))
        return bring(group)  # type: ignore[arg-type]

    monkeypatch.setattr(type(sqlite_store.imports), "bring", counted)
    long = [pair([Message("user", f"Q{number}")], "x" * 1_500_000, "y") for number in range(4)]
    write(sqlite_store, enumerate(long))
    assert sizes == [3, 1]


def test_gold_is_told_in_its_place_too(store: Store) -> None:
    tie = Feedback((Message("user", "Q"),), (Answer("a", 1), Answer("b", 1)))
    turned = Feedback((Message("user", "Q1"),), (Answer("bad 1", 2), Answer("good 1", 1)))
    found = list(write_gold(store, enumerate([said(1), tie, turned, Skip("no"), said(2)]), ORIGIN))
    assert [(one.place, one.kind, one.problem) for one in found] == [
        (0, "gold", ""),
        (1, "", "not two answers of which one is better"),
        (2, "", "brought before"),
        (3, "", "no"),
        (4, "gold", ""),
    ]
    eve = store.people.add("eve", "annotator", "")
    tasks = store.tasks.gold_unseen(eve.id)
    known = {store.conversations.message(task.gold or "").content for task in tasks}  # type: ignore[union-attr]
    assert known == {"good 1", "good 2"}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
