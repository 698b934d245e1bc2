"""Implicit signals: what a person did with an answer without being asked for a verdict, each once.

What counts as one, and whether any is kept at all, is `collect.signals`' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from alignment.dataset.judgement import Excluded
from alignment.dataset.judgement import Message as Turn
from feedback_app.store.conversations import load_completions, load_messages
from feedback_app.store.engine import Database
from feedback_app.store.export import PAGE, context_of, excluded_of
from feedback_app.store.tables import Completion, Conversation, Message, Person, SignalRow


@dataclass(frozen=True, slots=True)
class KeptSignal:
    """One signal as the compiler takes it. `amount` is an edit's distance as a share of the text."""

    id: str
    person: str
    kind: str
    context: tuple[Turn, ...]
    text: str
    version: str
    amount: float
    excluded: Excluded | None = None


class Signals:
    """Queries about signals."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def keep(self, person_id: str, message_id: str, kind: str, amount: float = 1.0) -> bool:
        """Keep one; done again, only its amount and time change. False where it may not be kept.

        Kept are signals on a model's answer in a conversation of the person's own, and none of somebody who has
        withdrawn.
        """
        with self._db.write("people") as session:  # nobody withdraws meanwhile
            owner = session.exec(
                select(Person)
                .join(Conversation, col(Conversation.person_id) == Person.id)
                .join(Message, col(Message.conversation_id) == Conversation.id)
                .join(Completion, col(Completion.message_id) == Message.id)
                .where(Message.id == message_id, Person.id == person_id)
            ).first()
            if owner is None or owner.withdrawn_at is not None:
                return False
            row = _find(session, person_id, message_id, kind)
            if row is None:
                row = SignalRow(person_id=person_id, message_id=message_id, kind=kind, at=self._db.now())
                session.add(row)
            row.amount, row.at, row.live = amount, self._db.now(), True
        return True

    def end(self, person_id: str, message_id: str, kind: str) -> None:
        """It turned out not to be so: this signal counts no more."""
        with self._db.write("people") as session:
            row = _find(session, person_id, message_id, kind)
            if row is not None:
                row.live = False

    def export(self, kinds: Sequence[str]) -> Iterator[KeptSignal]:
        """Every signal of these kinds that is live now, in the order of ids; holds one page in memory."""
        last = ""
        with self._db.frozen() as session:
            while rows := _page(session, kinds, last):
                yield from _values(session, rows)
                last = rows[-1].id
                session.expunge_all()

    def named(self, ids: Iterable[str]) -> list[SignalRow]:
        """The signals of these ids, live or not."""
        wanted = list(ids)
        with self._db.read() as session:
            return [
                row
                for start in range(0, len(wanted), PAGE)
                for row in session.exec(
                    select(SignalRow).where(col(SignalRow.id).in_(wanted[start : start + PAGE]))
                )
            ]  # fmt: skip


def _find(session: Session, person_id: str, message_id: str, kind: str) -> SignalRow | None:
    statement = select(SignalRow).where(
        SignalRow.person_id == person_id, SignalRow.message_id == message_id, SignalRow.kind == kind
    )
    return session.exec(statement).first()


def _page(session: Session, kinds: Sequence[str], after: str) -> list[SignalRow]:
    statement = (
        select(SignalRow)
        .where(col(SignalRow.live).is_(True), col(SignalRow.kind).in_(kinds), SignalRow.id > after)
        .order_by(col(SignalRow.id))
        .limit(PAGE)
    )
    return list(session.exec(statement))


def _values(session: Session, rows: list[SignalRow]) -> Iterator[KeptSignal]:
    answers = [row.message_id for row in rows]
    completions = load_completions(session, answers)
    sent = [id for completion in completions.values() for id in completion.sent if isinstance(id, str)]
    messages = load_messages(session, answers + sent)
    for row in rows:
        message, completion = messages[row.message_id], completions[row.message_id]
        yield KeptSignal(
            row.id,
            row.person_id,
            row.kind,
            context_of(session, message.parent_id, messages, completion),
            message.content,
            completion.version,
            row.amount,
            excluded_of(completion),
        )
