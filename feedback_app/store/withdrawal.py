"""People who take back what they gave: withdrawal of their judgements, and erasure of their texts.

Withdrawn judgements are kept as rows and are never live again. Erasure empties the texts and keeps the ids,
so that what was trained on them can still be found. What is not done here: files (`loop.erasure`).
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Update, delete, exists, or_, select, text, true, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from feedback_app.domain.conversations import DRAWN, Purpose
from feedback_app.domain.rounds import ACTIVE
from feedback_app.errors import Conflict
from feedback_app.store.engine import Database
from feedback_app.store.people import ACCOUNTS, keep_an_operator, person_of
from feedback_app.store.tables import (
    ApiKey,
    Completion,
    Conversation,
    Device,
    JudgementRow,
    Message,
    Round,
    SignalRow,
    SignIn,
    Task,
    Ticket,
)
from feedback_app.store.tasks import candidates_of

ERASED = {"kind": "erased"}  # the verdict of an erased judgement
NOBODYS = (*DRAWN, Purpose.GOLD)  # conversations whose prompt is nobody's own words


class Withdrawals:
    """Queries that take a person out."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def withdraw(self, person_id: str) -> int:
        """End every live judgement that rests on this person; returns how many. Again changes nothing more.

        These are their own, and other people's in conversations that hold their own words. Sessions and keys
        stay: the person may still talk to the model, but `record` takes no verdict of theirs any more.
        """
        with self._db.write("judgement", "people") as session:
            person = person_of(session, person_id)
            person.withdrawn_at = person.withdrawn_at or self._db.now()
            ids = _resting_on(session, person_id, live=True)
            for batch in _batches(ids):
                session.execute(update(JudgementRow).where(col(JudgementRow.id).in_(batch)).values(live=False))
            session.execute(_no_signals(person_id))
        return len(ids)

    def resting_on(self, person_id: str) -> list[str]:
        """Every judgement and every signal, live or not, that holds something of this person."""
        signals = select(col(SignalRow.id)).where(col(SignalRow.person_id) == person_id)
        with self._db.read() as session:
            return [*_resting_on(session, person_id, live=False), *sorted(session.execute(signals).scalars())]

    def erase(self, person_id: str) -> dict[str, int]:
        """Empty every text of a person and end their account; returns what was emptied, by kind.

        Raises `Conflict` for the last operator and while a round runs, and `NotFound`.
        """
        with self._db.write(ACCOUNTS, "judgement", "operators", "people", "round") as session:
            if self._db.is_sqlite:
                session.execute(text("PRAGMA secure_delete=ON"))  # old texts are overwritten, not only let go
            person = person_of(session, person_id)
            session.refresh(person, with_for_update=True)  # an answer that is being stored comes before this, or not
            keep_an_operator(session, person)
            check_no_round(session)
            judgements = _resting_on(session, person_id, live=False)
            for batch in _batches(judgements):
                session.execute(
                    update(JudgementRow)
                    .where(col(JudgementRow.id).in_(batch))
                    .values(live=False, verdict=ERASED, verdict_hash="")
                )
            session.execute(_no_signals(person_id))
            messages = _own_messages(session, person_id)
            for batch in _batches(messages):
                session.execute(update(Message).where(col(Message.id).in_(batch)).values(content=""))
                session.execute(update(Completion).where(col(Completion.message_id).in_(batch)).values(sent=[]))
            session.execute(update(Conversation).where(col(Conversation.person_id) == person_id).values(title=""))
            session.execute(delete(SignIn).where(col(SignIn.person_id) == person_id))
            session.execute(delete(ApiKey).where(col(ApiKey.person_id) == person_id))
            session.execute(delete(Device).where(col(Device.person_id) == person_id))
            now = self._db.now()
            person.name, person.password_hash, person.disabled = f"erased-{person.id[:12]}", "", True
            person.withdrawn_at, person.erased_at = person.withdrawn_at or now, person.erased_at or now
        if self._db.is_sqlite:
            raw = self._db.engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log still holds the pages as they were
            finally:
                raw.close()
        return {"judgements": len(judgements), "messages": len(messages)}


def _no_signals(person_id: str) -> Update:
    return update(SignalRow).where(col(SignalRow.person_id) == person_id).values(live=False)


def check_no_round(session: Session) -> None:
    """Raise `Conflict` while a round reads a snapshot."""
    running = session.execute(select(col(Round.id)).where(col(Round.status).in_(ACTIVE))).scalar()
    if running is not None:
        raise Conflict(f"Round {running} may be reading these texts. Wait for it, or cancel it first.")


def _resting_on(session: Session, person_id: str, *, live: bool) -> list[str]:
    """Judgements of this person, and of others in conversations that hold this person's own words; sorted."""
    candidate = candidates_of(session.get_bind().dialect)
    statement = (
        select(col(JudgementRow.id))
        .distinct()
        .join(Ticket, col(Ticket.id) == col(JudgementRow.ticket_id))
        .join(Task, col(Task.id) == col(Ticket.task_id))
        .join(candidate, true())
        .join(Message, col(Message.id) == candidate.c.value)
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(
            or_(
                col(JudgementRow.person_id) == person_id,
                (col(Conversation.person_id) == person_id) & col(Conversation.purpose).not_in(NOBODYS),
            )
        )
    )
    if live:
        statement = statement.where(col(JudgementRow.live).is_(True))
    return sorted(session.execute(statement).scalars())


def _own_messages(session: Session, person_id: str) -> list[str]:
    """Messages of this person's conversations, but for drawn ones that another person's judgement rests on."""
    statement = (
        select(col(Message.id))
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(
            col(Conversation.person_id) == person_id,
            or_(col(Conversation.purpose).not_in(NOBODYS), ~_judged_by_another(person_id)),
        )
    )
    return sorted(session.execute(statement).scalars())


def _judged_by_another(person_id: str) -> ColumnElement[bool]:
    """Whether a task below the conversation's first message has a live judgement of somebody else."""
    first = aliased(Message)
    return exists().where(
        col(first.conversation_id) == col(Conversation.id),
        col(Task.context_id) == col(first.id),
        col(Ticket.task_id) == col(Task.id),
        col(JudgementRow.ticket_id) == col(Ticket.id),
        col(JudgementRow.live).is_(True),
        col(JudgementRow.person_id) != person_id,
    )


def _batches(ids: list[str]) -> list[list[str]]:
    return [ids[start : start + 500] for start in range(0, len(ids), 500)]
