"""What the chat page shows of a conversation: plain values made from one look at the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feedback_app.collect.answer import reading_from
from feedback_app.domain.conversations import Purpose, Speaker

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from feedback_app.store.tables import JudgementRow, Message, Person


@dataclass(frozen=True)
class Rating:
    """What this person said about one answer; empty when nothing stands."""

    ticket_id: str = ""
    judgement_id: str = ""
    open: bool = False
    mark: str = ""
    reasons: tuple[str, ...] = ()
    comment: str = ""
    correction: str = ""


@dataclass(frozen=True)
class Turn:
    """One message as shown. `siblings` are the ids of its alternatives, itself included, oldest first."""

    id: str
    role: str
    text: str
    siblings: tuple[str, ...] = ()
    version: str = ""
    finish_reason: str = ""
    rating: Rating = field(default_factory=Rating)


@dataclass(frozen=True)
class Talked:
    """A conversation as shown. `reads_from` is the message where the model starts reading, if not the first."""

    id: str
    title: str
    turns: tuple[Turn, ...]
    reads_from: str | None = None


def leaf(messages: Sequence[Message], message_id: str) -> str:
    """The end of the newest branch below a message; the message itself when nothing follows it."""
    newest = {message.parent_id: message.id for message in messages}  # oldest first: the last one wins
    while message_id in newest:
        message_id = newest[message_id]
    return message_id


def rating(ticket_id: str, is_open: bool, message_id: str, row: JudgementRow | None) -> Rating:
    """A live judgement of a like-ticket as the page shows it."""
    if row is None:
        return Rating(ticket_id, open=is_open)
    verdict: Mapping[str, Any] = row.verdict
    return Rating(
        ticket_id,
        row.id,
        is_open,
        verdict.get("marks", {}).get(message_id, ""),
        tuple(verdict.get("reasons", ())),
        verdict.get("comment", ""),
        verdict.get("corrections", {}).get(message_id, ""),
    )


def read_conversation(store: Store, person: Person, conversation_id: str) -> Talked | None:
    """One of this person's conversations along its head, or None when there is no such one."""
    conversation = store.conversations.conversation(conversation_id)
    if conversation is None or conversation.person_id != person.id or conversation.purpose != Purpose.CHAT:
        return None
    messages = store.conversations.thread(conversation_id)
    by_id = {message.id: message for message in messages}
    below: dict[str | None, list[Message]] = {}
    for message in messages:
        below.setdefault(message.parent_id, []).append(message)
    path: list[Message] = []
    at = conversation.head_id
    while at is not None and at in by_id:
        path.insert(0, by_id[at])
        at = by_id[at].parent_id
    answers = [message.id for message in path if message.role == Speaker.ASSISTANT]
    completions = store.conversations.completions(answers)
    tickets = store.tasks.tickets_for(answers, person.id)
    live = store.judgements.live_for([ticket.id for ticket, _ in tickets.values()])
    now = store.now()
    turns = []
    for message in path:
        completion = completions.get(message.id)
        shown = Rating()
        if message.id in tickets:
            ticket = tickets[message.id][0]
            shown = rating(ticket.id, ticket.expires_at > now, message.id, live.get(ticket.id))
        alternatives = [other.id for other in below[message.parent_id] if other.role == message.role]
        turns.append(
            Turn(
                message.id,
                message.role,
                message.content,
                tuple(alternatives),
                completion.version if completion else "",
                completion.finish_reason if completion else "",
                shown,
            )
        )
    reads_from = None
    if answers and answers[-1] in completions:
        reads_from = reading_from(path, completions[answers[-1]])
    return Talked(conversation.id, conversation.title, tuple(turns), reads_from)
