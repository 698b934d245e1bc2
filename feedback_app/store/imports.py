"""Imported feedback: a conversation, its answers, task and ticket in one transaction, once. And gold tasks likewise.

The task's id comes from the content, so the database itself holds that nothing is imported twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, select

from feedback_app.domain.conversations import FinishReason, Purpose, Speaker
from feedback_app.store.conversations import insert_rows
from feedback_app.store.engine import Database
from feedback_app.store.tables import Completion, Conversation, JudgementRow, Message, Task, Ticket

TICKET_S = 600.0  # how long the ticket may be judged by whoever imports


@dataclass(frozen=True, slots=True)
class Brought:
    """What is stored. `turns` are (role, content), `answers` texts; `source` says where it came from.

    `unanswered`: no model answered; the one answer is empty and only its correction says something.
    """

    task_id: str
    kind: str
    turns: Sequence[tuple[str, str]]
    answers: Sequence[str]
    source: str
    unanswered: bool = False


class Imports:
    """Queries about imported feedback."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take(self, person_id: str, brought: Brought) -> Ticket | None:
        """A ticket to be judged now; None when this content was imported and judged before, undone or not.

        A ticket that a crash left without a judgement is given again.
        """
        now = self._db.now()
        with self._db.write("import") as session:
            if session.get(Task, brought.task_id) is None:
                return _new(session, person_id, brought, now)
            found = session.exec(select(Ticket).where(Ticket.task_id == brought.task_id)).first()
            if found is None or session.exec(select(JudgementRow.id).where(JudgementRow.ticket_id == found.id)).first():
                return None
            found.expires_at = now + TICKET_S
        return found

    def add_gold(self, person_id: str, brought: Brought, better: int) -> bool:
        """A task whose answer is known, for everybody to be shown once; False when this content is there already.

        `better` is the place of the better answer in `brought.answers`.
        """
        now = self._db.now()
        with self._db.write("import") as session:
            if session.get(Task, brought.task_id) is not None:
                return False
            task = _new_task(session, person_id, brought, now, Purpose.GOLD)
            task.gold = task.candidates[better]
            insert_rows(session, [task])
        return True


def _new(session: Session, person_id: str, brought: Brought, now: float) -> Ticket:
    task = _new_task(session, person_id, brought, now, Purpose.IMPORT)
    ticket = Ticket(
        task_id=task.id, person_id=person_id, order=list(task.candidates), created_at=now, expires_at=now + TICKET_S
    )
    insert_rows(session, [task])
    insert_rows(session, [ticket])
    return ticket


def _new_task(session: Session, person_id: str, brought: Brought, now: float, purpose: Purpose) -> Task:
    """Store conversation and answers; the task about them, not stored yet."""
    conversation = Conversation(
        person_id=person_id, purpose=purpose, title=brought.source, created_at=now, updated_at=now
    )
    path: list[Message] = []
    for role, content in brought.turns:
        parent_id = path[-1].id if path else None
        path.append(
            Message(conversation_id=conversation.id, parent_id=parent_id, role=role, content=content, created_at=now)
        )
    answers = [
        Message(
            conversation_id=conversation.id,
            parent_id=path[-1].id,
            role=Speaker.ASSISTANT,
            content=content,
            created_at=now,
        )
        for content in brought.answers
    ]
    conversation.head_id = path[-1].id
    insert_rows(session, [conversation])
    insert_rows(session, [*path, *answers])
    if brought.unanswered:
        sent = [message.id for message in path]
        insert_rows(
            session,
            [
                Completion(
                    message_id=answer.id, version="", finish_reason=FinishReason.FAILED, sent=sent, created_at=now
                )
                for answer in answers
            ],
        )
    return Task(
        id=brought.task_id,
        kind=brought.kind,
        context_id=path[-1].id,
        candidates=[answer.id for answer in answers],
        created_at=now,
    )
