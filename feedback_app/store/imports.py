"""Imported feedback: conversations, answers, tasks, tickets and verdicts, a group of them in one transaction.

A task's id comes from its content, so the database itself holds that nothing is imported twice. Rows are plain
values, handed to the driver table by table: making an object of each, or a statement, would take longer than storing
it. What a verdict may say is not decided here (`collect.judge`), and gold tasks come without one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import exists
from sqlmodel import Session, SQLModel, col, func, select

from feedback_app.domain.conversations import FinishReason, Purpose, Speaker
from feedback_app.domain.people import Role
from feedback_app.domain.verdicts import StoredVerdict
from feedback_app.store.engine import Database
from feedback_app.store.judgements import verdict_hash
from feedback_app.store.tables import Completion, Conversation, JudgementRow, Message, Person, Task, Ticket, new_id

MOST = 500  # pieces of feedback in a group: below every database's limit on parameters
TICKET_S = 600.0  # how long the ticket may be judged by whoever imports
ASSISTANT = Speaker.ASSISTANT.value
_text = json.JSONEncoder().encode


class Outcome(Enum):
    """What became of one piece of feedback."""

    STORED = auto()
    BEFORE = auto()  # this content was brought and judged before, undone or not
    WITHDRAWN = auto()  # whoever judged has withdrawn: nothing new of theirs is kept


@dataclass(frozen=True, slots=True)
class Brought:
    """One conversation with its answers. `turns` are (role, content), `answers` texts, `ids` those of the answers.

    `source` says where it came from. `unanswered`: no model answered; the one answer is empty and only its
    correction says something.
    """

    task_id: str
    person_id: str
    kind: str
    turns: Sequence[tuple[str, str]]
    answers: Sequence[str]
    ids: Sequence[str]
    source: str
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What was brought, and its verdict as it is stored: checked, and about the answers' `ids`."""

    brought: Brought
    verdict: StoredVerdict


class _Rows:
    """Rows of one table, to be inserted with one prepared statement. JSON columns are given as texts."""

    def __init__(self, model: type[SQLModel]) -> None:
        self._table = str(model.__tablename__)
        self._blank = {name: about.get_default() for name, about in model.model_fields.items()}
        self._rows: list[tuple[Any, ...]] = []

    def add(self, **values: Any) -> None:
        """One more row; a column that is not named holds what the table says."""
        self._rows.append(tuple({**self._blank, **values}.values()))

    def insert(self, session: Session) -> None:
        """All of them, in the order in which they were added."""
        if not self._rows:
            return
        connection = session.connection()
        quote = connection.dialect.identifier_preparer.quote
        sign = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        columns, values = ", ".join(map(quote, self._blank)), ", ".join([sign] * len(self._blank))
        connection.exec_driver_sql(f"INSERT INTO {quote(self._table)} ({columns}) VALUES ({values})", self._rows)


class _Group:
    """The rows of a group, table by table."""

    def __init__(self) -> None:
        self.conversations, self.messages, self.completions = _Rows(Conversation), _Rows(Message), _Rows(Completion)
        self.tasks, self.tickets, self.judgements = _Rows(Task), _Rows(Ticket), _Rows(JudgementRow)

    def insert(self, session: Session) -> None:
        """In the order in which the tables name each other."""
        for rows in (
            *(self.conversations, self.messages, self.completions),
            *(self.tasks, self.tickets, self.judgements),
        ):
            rows.insert(session)


class Imports:
    """Queries about imported feedback. A group has at most `MOST` pieces."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def raters(self, names: Collection[str], trusted: Collection[str] = ()) -> dict[str, Person]:
        """The people of these names, at most `MOST`; those who are not there yet are added, `trusted` where named so.

        Nobody can sign in as one of them: they have no password.
        """
        with self._db.read() as session:
            found = _people(session, names)
        if len(found) == len(set(names)):
            return found
        now = self._db.now()
        with self._db.write("people") as session:  # another import may have added some meanwhile
            found = _people(session, names)
            for name in dict.fromkeys(names):
                if name not in found:
                    trusted_at = now if name in trusted else None
                    found[name] = Person(name=name, role=Role.ANNOTATOR, trusted_at=trusted_at, created_at=now)
                    session.add(found[name])
        return found

    def bring(self, group: Sequence[Judged]) -> list[Outcome | Ticket]:
        """Store a group with its verdicts, all or nothing, and say of each what became of it.

        An import of an older alignloop could leave a ticket without a verdict: it is given out again to be judged,
        in place of an outcome. Raises `Conflict` or `UsageError` where the database refuses a value of any of them.
        """
        now, rows = self._db.now(), _Group()
        outcomes: list[Outcome | Ticket] = []
        # One writer at a time: a serial is visible only when every smaller one is, so a watermark skips nothing.
        with self._db.write("import", "judgement") as session:
            known = _known(session, [one.brought.task_id for one in group])
            left = _left(session, known, now)
            gone = _withdrawn(session, {one.brought.person_id for one in group})
            serial = session.exec(select(func.max(JudgementRow.serial))).one() or 0
            for one in group:
                brought = one.brought
                if brought.task_id in known:
                    outcomes.append(left.pop(brought.task_id, Outcome.BEFORE))
                elif brought.person_id in gone:
                    outcomes.append(Outcome.WITHDRAWN)
                else:
                    known.add(brought.task_id)
                    serial += 1
                    _add(rows, brought, now, Purpose.IMPORT.value)
                    _add_verdict(rows, one, now, serial)
                    outcomes.append(Outcome.STORED)
            rows.insert(session)
        return outcomes

    def bring_gold(self, group: Sequence[tuple[Brought, int]]) -> list[bool]:
        """Tasks whose answer is known, for everybody to be shown once, all or nothing; False where one was there.

        With each comes the place of the better answer in `Brought.answers`. Raises as `bring`.
        """
        now, rows = self._db.now(), _Group()
        added = []
        with self._db.write("import") as session:
            known = _known(session, [brought.task_id for brought, _ in group])
            for brought, better in group:
                added.append(brought.task_id not in known)
                if added[-1]:
                    known.add(brought.task_id)
                    _add(rows, brought, now, Purpose.GOLD.value, brought.ids[better])
            rows.insert(session)
        return added


def _people(session: Session, names: Collection[str]) -> dict[str, Person]:
    return {person.name: person for person in session.exec(select(Person).where(col(Person.name).in_(names)))}


def _known(session: Session, task_ids: Sequence[str]) -> set[str]:
    return set(session.exec(select(Task.id).where(col(Task.id).in_(task_ids))))


def _left(session: Session, task_ids: Collection[str], now: float) -> dict[str, Ticket]:
    """Tickets of these tasks that nobody has judged, by task, open again."""
    judged = exists().where(col(JudgementRow.ticket_id) == col(Ticket.id))
    tickets = session.exec(select(Ticket).where(col(Ticket.task_id).in_(task_ids), ~judged)) if task_ids else ()
    left = {ticket.task_id: ticket for ticket in tickets}
    for ticket in left.values():
        ticket.expires_at = now + TICKET_S
    return left


def _withdrawn(session: Session, person_ids: Collection[str]) -> set[str]:
    """Whoever withdraws takes the lock of judgements too, so this stays true until the commit."""
    gone = select(Person.id).where(col(Person.id).in_(person_ids), col(Person.withdrawn_at).is_not(None))
    return set(session.exec(gone))


def _add(rows: _Group, brought: Brought, now: float, purpose: str, gold: str | None = None) -> None:
    """Add conversation, answers and task; `gold` is the answer that is known to be the better one."""
    conversation_id = new_id()
    path: list[str] = []
    turns = [(new_id(), role, content) for role, content in brought.turns]
    for id, role, content in turns:
        rows.messages.add(
            id=id,
            conversation_id=conversation_id,
            parent_id=path[-1] if path else None,
            role=role,
            content=content,
            created_at=now,
        )
        path.append(id)
    for id, content in zip(brought.ids, brought.answers, strict=True):
        rows.messages.add(
            id=id,
            conversation_id=conversation_id,
            parent_id=path[-1],
            role=ASSISTANT,
            content=content,
            created_at=now,
        )
        if brought.unanswered:
            rows.completions.add(
                message_id=id,
                version="",
                sampling="{}",
                finish_reason=FinishReason.FAILED.value,
                sent=_text(path),
                created_at=now,
            )
    rows.conversations.add(
        id=conversation_id,
        person_id=brought.person_id,
        purpose=purpose,
        title=brought.source,
        head_id=path[-1],
        created_at=now,
        updated_at=now,
    )
    rows.tasks.add(
        id=brought.task_id,
        kind=brought.kind,
        context_id=path[-1],
        candidates=_text(brought.ids),
        gold=gold,
        created_at=now,
    )


def _add_verdict(rows: _Group, one: Judged, now: float, serial: int) -> None:
    """Add the ticket, shown in the answers' own order, and the verdict on it."""
    brought, ticket_id = one.brought, new_id()
    rows.tickets.add(
        id=ticket_id,
        task_id=brought.task_id,
        person_id=brought.person_id,
        order=_text(brought.ids),
        created_at=now,
        expires_at=now + TICKET_S,
    )
    rows.judgements.add(
        id=new_id(),
        ticket_id=ticket_id,
        person_id=brought.person_id,
        kind=brought.kind,
        verdict=_text(one.verdict),
        verdict_hash=verdict_hash(one.verdict),
        seconds=0.0,
        at=now,
        serial=serial,
    )
