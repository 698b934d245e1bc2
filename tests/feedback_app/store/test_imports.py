"""Imported feedback is stored once, whole, and never half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import delete, text
from sqlmodel import col, func, select

from feedback_app.domain.conversations import Purpose
from feedback_app.errors import AlignloopError
from feedback_app.store.database import Store
from feedback_app.store.imports import TICKET_S, Brought, Judged, Outcome
from feedback_app.store.tables import Conversation, JudgementRow, Message, Person, Task, Ticket, new_id
from tests.fakes import Clock


def brought(person: Person, task_id: str = "import-1", answers: Sequence[str] = ("B", "C"), **more: Any) -> Judged:
    """Two turns, a question, two answers of which the first is better."""
    turns = [("system", "Be brief."), ("user", "Q"), ("assistant", "A"), ("user", "R")]
    ids = [new_id() for _ in answers]
    verdict = {"ranks": {id: place for place, id in enumerate(ids, 1)}}
    about = {"kind": "compare", "turns": turns, "source": "trl: friends.jsonl", **more}
    return Judged(Brought(task_id=task_id, person_id=person.id, answers=answers, ids=ids, **about), verdict)


def counted(store: Store) -> list[int]:
    """How many rows of every table that an import writes."""
    with store.database.read() as session:
        tables = (Conversation, Message, Task, Ticket, JudgementRow)
        return [session.exec(select(func.count()).select_from(table)).one() for table in tables]


def test_a_group_is_stored_with_conversations_answers_tasks_tickets_and_verdicts(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada, bob = person("ada"), person("bob")
    first, second = brought(ada), brought(bob, "import-2", ("D", "E"))
    assert store.imports.bring([first, second]) == [Outcome.STORED, Outcome.STORED]
    assert counted(store) == [2, 12, 2, 2, 2]
    one, other = store.judgements.export()
    assert [turn.content for turn in one.context] == ["Be brief.", "Q", "A", "R"]
    assert [(candidate.text, candidate.rank) for candidate in other.candidates] == [("D", 1), ("E", 2)]
    assert (one.person, other.person, one.task) == (ada.id, bob.id, "import-1")
    row = store.judgements.get(one.id)
    assert row is not None
    assert (row.serial, row.at, row.seconds, row.live, row.scripted) == (1, clock.now, 0.0, True, False)
    found = store.tasks.ticket(row.ticket_id)
    assert found is not None
    ticket, task = found
    assert (ticket.order, ticket.expires_at) == (task.candidates, clock.now + TICKET_S)
    assert (task.wanted, task.scripted, task.gold, task.repeat_of) == (1, False, None, None)
    assert store.conversations.completions(task.candidates) == {}  # no model of ours wrote them
    (conversation,) = store.conversations.of(ada.id, Purpose.IMPORT)
    assert (conversation.title, conversation.head_id) == ("trl: friends.jsonl", task.context_id)


def test_serials_go_on_where_other_judgements_ended(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    store.imports.bring([brought(ada, f"import-{number}") for number in range(3)])
    assert store.judgements.watermark() == 3
    (last,) = [each for each in store.judgements.export() if each.task == "import-2"]
    store.judgements.record(str(_ticket(store, "import-2").id), ada.id, {"kind": "withdrawn"}, last.id)
    store.imports.bring([brought(ada, f"import-{number}") for number in range(3, 5)])
    assert store.judgements.watermark() == 6
    assert [each.task for each in store.judgements.export()] == ["import-0", "import-1", "import-3", "import-4"]


def test_content_is_stored_once_within_a_group_and_over_groups(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    assert store.imports.bring([brought(ada), brought(ada)]) == [Outcome.STORED, Outcome.BEFORE]
    before = counted(store)
    assert store.imports.bring([brought(ada)]) == [Outcome.BEFORE]
    assert counted(store) == before


def test_a_ticket_that_was_left_without_a_verdict_is_given_out_again(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    store.imports.bring([brought(ada), brought(ada, "import-2")])
    with store.database.write() as session:
        session.execute(delete(JudgementRow).where(col(JudgementRow.ticket_id) == _ticket(store, "import-1").id))
    clock.pass_s(10 * TICKET_S)
    left, before = store.imports.bring([brought(ada), brought(ada, "import-2")])
    assert isinstance(left, Ticket)
    assert (left.id, left.expires_at) == (_ticket(store, "import-1").id, clock.now + TICKET_S)
    assert before is Outcome.BEFORE


def test_nothing_of_somebody_who_withdrew_is_kept(store: Store, person: Callable[..., Person]) -> None:
    ada, bob = person("ada"), person("bob")
    store.withdrawals.withdraw(ada.id)
    assert store.imports.bring([brought(ada), brought(bob, "import-2")]) == [Outcome.WITHDRAWN, Outcome.STORED]
    assert counted(store) == [1, 6, 1, 1, 1]
    assert store.judgements.watermark() == 1


def test_a_refused_value_leaves_nothing_of_its_group(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    refuse(store, "refused")
    with pytest.raises(AlignloopError):
        store.imports.bring([brought(ada), brought(ada, "import-2", ("refused", "C"))])
    assert counted(store) == [0, 0, 0, 0, 0]


def test_an_answer_that_no_model_gave_is_marked_as_unfinished(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    shown = Brought("import-3", ada.id, "like", [("user", "Q")], [""], ["a"], "openai-chat: x", unanswered=True)
    assert store.imports.bring([Judged(shown, {"corrections": {"a": "A"}})]) == [Outcome.STORED]
    (judgement,) = store.judgements.export()
    (candidate,) = judgement.candidates
    assert (candidate.text, candidate.correction, candidate.version) == ("", "A", "")
    assert candidate.finish_reason != "stop"
    assert [turn.content for turn in judgement.context] == ["Q"]


def test_raters_are_added_once_and_only_those_named_so_are_trusted(store: Store) -> None:
    first = store.imports.raters(["imported", "imported-1"], trusted=["imported"])
    again = store.imports.raters(["imported-1", "imported-2", "imported"], trusted=["imported-2"])
    assert [again[name].id for name in first] == [person.id for person in first.values()]
    assert {name for name, person in again.items() if person.trusted_at is not None} == {"imported", "imported-2"}
    assert {person.role for person in again.values()} == {"annotator"}
    assert len(store.people.listing()) == 3


def refuse(store: Store, content: str) -> None:
    """Have the database refuse messages of this content."""
    rule = f"ALTER TABLE message ADD CHECK (content <> '{content}')"
    if store.database.is_sqlite:
        rule = (
            f"CREATE TRIGGER refusing BEFORE INSERT ON message WHEN NEW.content = '{content}' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with store.database.write() as session:
        session.execute(text(rule))


def _ticket(store: Store, task_id: str) -> Ticket:
    with store.database.read() as session:
        return session.exec(select(Ticket).where(Ticket.task_id == task_id)).one()
