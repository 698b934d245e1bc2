"""Corrections that somebody else is to see: what one person rewrote, beside the answer as it was.

A correction trains once a second person prefers it, so it is put before others in Compare as any other pair. Only
answers to prompts that the server drew are shown so: what people talk about in Chat is nobody else's to read. The
corrected text lies in a conversation of its author, and goes with them when they withdraw.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, col, select

from feedback_app.domain.conversations import DRAWN, Purpose, Speaker
from feedback_app.domain.judging import Kind
from feedback_app.store.conversations import new_conversation, new_message
from feedback_app.store.people import is_trusted
from feedback_app.store.tables import Conversation, JudgementRow, Message, Person, Task, Ticket

REVIEWERS = 2  # how many others see a correction


def offer_corrections(session: Session, row: JudgementRow, ticket: Ticket, task: Task, person: Person) -> None:
    """Make or end the comparisons of what this verdict corrects with what it corrected.

    Call it with every verdict that is recorded. One that changes or takes back a correction ends the comparison of
    the earlier text; what others have said of it stays.
    """
    wanted = _corrections(session, row, task, person)
    if not wanted and row.supersedes is None:
        return  # nothing before it either
    kept = set()
    for review in session.exec(select(Task).where(Task.correction_of == ticket.id)):
        original, corrected = review.candidates
        text = session.get_one(Message, corrected).content
        if wanted.get(original) == text:
            kept.add(original)
            review.wanted = REVIEWERS
        else:
            review.wanted = 0
    for original in sorted(wanted.keys() - kept):
        text = wanted[original]
        conversation = new_conversation(session, person.id, Purpose.CORRECTION, text[:80], row.at)
        rewritten = new_message(session, conversation.id, None, Speaker.ASSISTANT, text, row.at)
        session.add(
            Task(
                kind=Kind.COMPARE,
                context_id=task.context_id,
                candidates=[original, rewritten.id],  # the original first: it knows what the model read
                wanted=REVIEWERS,
                scripted=person.scripted,
                correction_of=ticket.id,
                created_at=row.at,
            )
        )


def may_review(person_id: str) -> ColumnElement[bool]:
    """Of a task: whether this person may see it as a correction, or it is none. An author does not judge their own."""
    author = exists().where(col(Ticket.id) == col(Task.correction_of), col(Ticket.person_id) == person_id)
    stands = exists().where(col(JudgementRow.ticket_id) == col(Task.correction_of), col(JudgementRow.live).is_(True))
    return col(Task.correction_of).is_(None) | (~author & stands)


def _corrections(session: Session, row: JudgementRow, task: Task, person: Person) -> dict[str, str]:
    """The corrected texts that others are to see, by the message they correct."""
    written: dict[str, str] = row.verdict.get("corrections") or {} if row.live else {}
    if not written or task.repeat_of or task.gold or is_trusted(person):
        return {}
    originals = session.exec(
        select(Message, Conversation)
        .join(Conversation, col(Conversation.id) == Message.conversation_id)
        .where(col(Message.id).in_(written), col(Conversation.purpose).in_(DRAWN))
    )
    return {
        message.id: written[message.id]
        for message, _ in originals
        if written[message.id].casefold().split() not in ([], message.content.casefold().split())
    }
