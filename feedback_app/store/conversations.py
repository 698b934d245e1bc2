"""Conversations, messages and completions: a tree of messages, each stored once.

`door_record` finds the part of an HTTP client's history that is already stored, because such clients send
the whole history at each turn. Whether a model of ours said what such a history has the assistant say is decided
here too, turn by turn (`_unsaid`): clients shorten histories and change what stands before an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, inspect, or_
from sqlmodel import Session, SQLModel, col, select

from feedback_app.domain.conversations import Purpose, Speaker
from feedback_app.errors import Conflict, NotFound
from feedback_app.store.engine import Database
from feedback_app.store.reservations import redeem
from feedback_app.store.tables import Completion, Conversation, Excluded, Message, Person, Task, Ticket, new_id

BATCH = 500  # ids per IN (…), below every database's limit on parameters
DOOR_MEMORY_S = 24 * 3600.0  # how far back an HTTP client's history is looked for


class Conversations:
    """Queries about what was said."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add_conversation(self, person_id: str, purpose: str, title: str = "") -> Conversation:
        """An empty conversation. `purpose` says what it is for."""
        with self._db.write() as session:
            return new_conversation(session, person_id, purpose, title, self._db.now())

    def of(self, person_id: str, purpose: str) -> list[Conversation]:
        """A person's conversations that are not deleted, the last used first."""
        statement = (
            select(Conversation)
            .where(
                Conversation.person_id == person_id,
                Conversation.purpose == purpose,
                col(Conversation.deleted_at).is_(None),
            )
            .order_by(col(Conversation.updated_at).desc(), col(Conversation.created_at).desc())
        )
        with self._db.read() as session:
            return list(session.exec(statement))

    def conversation(self, conversation_id: str) -> Conversation | None:
        """One conversation that is not deleted."""
        with self._db.read() as session:
            found = session.get(Conversation, conversation_id)
        return None if found is None or found.deleted_at is not None else found

    def set_head(self, conversation_id: str, message_id: str) -> None:
        """Which message the page shows as the last one. Raises `Conflict` on another conversation's message."""
        with self._db.write() as session:
            message = _message(session, message_id)
            if message.conversation_id != conversation_id:
                raise Conflict("This message belongs to another conversation.")
            _touch(session, conversation_id, self._db.now(), head=message_id)

    def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title."""
        with self._db.write() as session:
            conversation = _conversation(session, conversation_id)
            _check_not_erased(session, conversation.person_id)
            conversation.title = title

    def delete(self, conversation_id: str) -> None:
        """Hide a conversation from every listing. Judgements made in it stay."""
        with self._db.write() as session:
            _conversation(session, conversation_id).deleted_at = self._db.now()

    def add_message(self, conversation_id: str, parent_id: str | None, role: str, content: str) -> Message:
        """A message below `parent_id` (None for a first one); it becomes the head."""
        with self._db.write() as session:
            message = new_message(session, conversation_id, parent_id, role, content, self._db.now())
            _touch(session, conversation_id, self._db.now(), head=message.id)
        return message

    def add_reply(
        self,
        conversation_id: str,
        parent_id: str,
        content: str,
        completion: Completion,
        move_head: bool = True,
    ) -> Message:
        """An assistant message and how it came to be, in one transaction. Sets `completion.message_id`."""
        with self._db.write() as session:
            message = new_message(session, conversation_id, parent_id, Speaker.ASSISTANT, content, self._db.now())
            completion.message_id = message.id
            session.add(completion)
            _touch(session, conversation_id, self._db.now(), head=message.id if move_head else None)
        return message

    def add_candidates(
        self,
        person_id: str,
        purpose: str,
        prompt: str,
        replies: Sequence[tuple[str, Completion]],
        *,
        earlier: Sequence[tuple[str, str]] = (),
        read: int | None = None,
    ) -> tuple[Message, list[Message]]:
        """A new conversation with one prompt and several answers to it, in one transaction.

        `earlier` are the role and content of messages before the prompt. Each completion's `sent` may hold a system
        prompt; the ids of the last `read` earlier messages (default all) and of the prompt are added to it.
        """
        now = self._db.now()
        with self._db.write() as session:
            conversation = new_conversation(session, person_id, purpose, prompt[:80], now)
            above: list[str] = []
            for role, content in earlier:
                parent = above[-1] if above else None
                above.append(new_message(session, conversation.id, parent, role, content, now).id)
            context = new_message(session, conversation.id, above[-1] if above else None, Speaker.USER, prompt, now)
            known = above[len(above) - read :] if read is not None else above
            answers = []
            for content, completion in replies:
                answer = new_message(session, conversation.id, context.id, Speaker.ASSISTANT, content, now)
                completion.message_id = answer.id
                completion.sent = [*completion.sent, *known, context.id]
                session.add(completion)
                answers.append(answer)
            _touch(session, conversation.id, now, head=context.id)
        return context, answers

    def first_messages(self, person_id: str, purposes: Sequence[str]) -> list[str]:
        """The opening messages of a person's conversations of these purposes, deleted ones included."""
        statement = (
            select(Message.content)
            .join(Conversation, col(Conversation.id) == Message.conversation_id)
            .where(
                Conversation.person_id == person_id,
                col(Conversation.purpose).in_(purposes),
                col(Message.parent_id).is_(None),
            )
        )
        with self._db.read() as session:
            return list(session.exec(statement))

    def message(self, message_id: str) -> Message | None:
        """One message."""
        with self._db.read() as session:
            return session.get(Message, message_id)

    def messages(self, message_ids: Iterable[str]) -> dict[str, Message]:
        """Messages by id; unknown ids are left out."""
        with self._db.read() as session:
            return load_messages(session, message_ids)

    def thread(self, conversation_id: str) -> list[Message]:
        """Every message of a conversation, all branches, oldest first."""
        statement = (
            select(Message)
            .where(Message.conversation_id == conversation_id)
            .order_by(col(Message.created_at), col(Message.id))
        )
        with self._db.read() as session:
            return list(session.exec(statement))

    def path(self, message_id: str) -> list[Message]:
        """From the root to this message, both included. Raises `NotFound`."""
        with self._db.read() as session:
            return load_path(session, message_id)

    def siblings(self, message_id: str) -> list[Message]:
        """Every message of the same conversation under the same parent, itself included, oldest first."""
        with self._db.read() as session:
            message = _message(session, message_id)
            statement = (
                select(Message)
                .where(Message.conversation_id == message.conversation_id, Message.parent_id == message.parent_id)
                .order_by(col(Message.created_at), col(Message.id))
            )
            return list(session.exec(statement))

    def completion(self, message_id: str) -> Completion | None:
        """How an assistant message came to be."""
        with self._db.read() as session:
            return session.get(Completion, message_id)

    def completions(self, message_ids: Iterable[str]) -> dict[str, Completion]:
        """Completions by message id; messages that no model wrote are left out."""
        with self._db.read() as session:
            return load_completions(session, message_ids)

    def door_record(
        self,
        person_id: str,
        messages: Sequence[Mapping[str, Any]],
        content: str,
        completion: Completion,
        *,
        others: Sequence[tuple[str, Completion]] = (),
        task: Task | None = None,
        ticket: Ticket | None = None,
    ) -> Message:
        """Store one completion of the HTTP door and the messages it answers, in one transaction.

        `messages` are the request's, oldest first. Where one of them is an assistant's turn that no model of ours said
        to this person in the last `DOOR_MEMORY_S`, every answer is marked as one that never trains.

        When an earlier answer to this person is found in them with the same history before it, the new turns are
        stored below it; else a new conversation begins. `others` are further answers to the same request. Sets each
        completion's `message_id` and, where empty, its `sent`; with a `task` and its `ticket`, stores those too, about
        all answers in this order. Returns the first answer. Rows are inserted in bulk: this runs at every request of
        the door.
        """
        turns = [(str(message.get("role", Speaker.USER)), plain_text(message.get("content"))) for message in messages]
        answers = [(content, completion), *others]
        now = self._db.now()
        with self._db.write() as session:
            _check_not_erased(session, person_id)
            known = _known_history(session, person_id, turns, since=now - DOOR_MEMORY_S)
            conversation_id = known[-1].conversation_id if known else new_id()
            path = list(known)
            for role, text in turns[len(known) :]:
                path.append(_unsaved(conversation_id, path[-1].id if path else None, role, text, now))
            parent_id = path[-1].id if path else None
            if _unsaid(session, person_id, turns, since=now - DOOR_MEMORY_S):
                for _, of_reply in answers:
                    of_reply.excluded = of_reply.excluded or Excluded.INVENTED_TURNS.value
            replies = [_unsaved(conversation_id, parent_id, Speaker.ASSISTANT, text, now) for text, _ in answers]
            for reply, (_, of_reply) in zip(replies, answers, strict=True):
                of_reply.message_id = reply.id
                of_reply.sent = of_reply.sent or [message.id for message in path]
            if known:
                _touch(session, conversation_id, now, head=replies[0].id)
            else:
                title = next((text for role, text in turns if role == Speaker.USER), "")[:80]
                conversation = Conversation(
                    id=conversation_id,
                    person_id=person_id,
                    purpose=Purpose.DOOR,
                    title=title,
                    head_id=replies[0].id,
                    created_at=now,
                    updated_at=now,
                )
                insert_rows(session, [conversation])
            insert_rows(session, [*path[len(known) :], *replies])
            insert_rows(session, [of_reply for _, of_reply in answers])
            if task is not None and ticket is not None:
                task.context_id, task.candidates = parent_id, [reply.id for reply in replies]
                ticket.task_id, ticket.person_id, ticket.order = task.id, person_id, list(task.candidates)
                insert_rows(session, [task])
                insert_rows(session, [ticket])
                redeem(session, ticket.id)
        return replies[0]


def plain_text(content: Any) -> str:
    """A request message's content as text: a string, the text parts joined, or JSON where it is neither."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) and "text" in part for part in content):
        return "".join(str(part["text"]) for part in content)
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


def load_messages(session: Session, message_ids: Iterable[str]) -> dict[str, Message]:
    """Messages by id, a batch of ids at a time."""
    found: dict[str, Message] = {}
    for ids in _batches(message_ids):
        found |= {message.id: message for message in session.exec(select(Message).where(col(Message.id).in_(ids)))}
    return found


def load_completions(session: Session, message_ids: Iterable[str]) -> dict[str, Completion]:
    """Completions by message id, a batch of ids at a time."""
    found: dict[str, Completion] = {}
    for ids in _batches(message_ids):
        rows = session.exec(select(Completion).where(col(Completion.message_id).in_(ids)))
        found |= {row.message_id: row for row in rows}
    return found


def load_path(session: Session, message_id: str) -> list[Message]:
    """From the root to this message: one recursive query. Raises `NotFound`."""
    message = _message(session, message_id)
    above = select(Message.id, Message.parent_id).where(Message.id == message_id).cte("above", recursive=True)
    above = above.union_all(select(Message.id, Message.parent_id).join(above, col(Message.id) == above.c.parent_id))
    rows = {row.id: row for row in session.exec(select(Message).join(above, col(Message.id) == above.c.id))}
    path = [message]
    while path[-1].parent_id is not None:
        path.append(rows[path[-1].parent_id])
    return path[::-1]


def _batches(ids: Iterable[str]) -> list[list[str]]:
    unique = list(dict.fromkeys(ids))
    return [unique[start : start + BATCH] for start in range(0, len(unique), BATCH)]


def _known_history(session: Session, person_id: str, turns: Sequence[tuple[str, str]], since: float) -> list[Message]:
    answers = [index for index, (role, _) in enumerate(turns) if role == Speaker.ASSISTANT]
    if not answers:
        return []
    last = answers[-1]
    statement = (
        select(Message)
        .join(Conversation, col(Conversation.id) == Message.conversation_id)
        .where(
            Conversation.person_id == person_id,
            Conversation.purpose == Purpose.DOOR,
            Conversation.updated_at >= since,
            Message.role == Speaker.ASSISTANT,
            Message.content == turns[last][1],
        )
        .order_by(col(Message.created_at).desc())
        .limit(20)
    )
    for candidate in session.exec(statement):
        path = load_path(session, candidate.id)
        if [(message.role, message.content) for message in path] == list(turns[: last + 1]):
            return path
    return []


def _unsaid(session: Session, person_id: str, turns: Sequence[tuple[str, str]], since: float) -> set[str]:
    """The assistant's turns that no model of ours said to this person.

    A word that was forced, or said after an invented turn, is not the model's own either, or one request could make
    good what the next one brings. One that a stop string, the longest length or its reader ended was said.
    """
    texts = {text for role, text in turns if role == Speaker.ASSISTANT}
    for some in _batches(texts):
        said = (
            select(Message.content)
            .join(Conversation, col(Conversation.id) == Message.conversation_id)
            .join(Completion, col(Completion.message_id) == Message.id)
            .where(
                Conversation.person_id == person_id,
                col(Conversation.purpose).in_((Purpose.DOOR, Purpose.CHAT)),
                Conversation.updated_at >= since,
                Message.role == Speaker.ASSISTANT,
                col(Message.content).in_(some),
                or_(col(Completion.excluded).is_(None), col(Completion.excluded) == Excluded.STOP_STRING.value),
            )
        )
        known: Iterable[str] = session.exec(said)
        texts.difference_update(known)
    return texts


def _unsaved(conversation_id: str, parent_id: str | None, role: str, content: str, now: float) -> Message:
    return Message(conversation_id=conversation_id, parent_id=parent_id, role=role, content=content, created_at=now)


def insert_rows(session: Session, rows: Sequence[SQLModel]) -> None:
    """Insert rows of one table in this order, without the cost of tracking them."""
    model = type(rows[0])
    values = [{name: getattr(row, name) for name in model.model_fields} for row in rows]
    session.connection().execute(insert(inspect(model).local_table), values)


def new_conversation(session: Session, person_id: str, purpose: str, title: str, now: float) -> Conversation:
    """An empty conversation in this session, flushed."""
    conversation = Conversation(person_id=person_id, purpose=purpose, title=title, created_at=now, updated_at=now)
    session.add(conversation)
    session.flush()
    return conversation


def new_message(
    session: Session, conversation_id: str, parent_id: str | None, role: str, content: str, now: float
) -> Message:
    """A message in this session, flushed. Raises `Conflict` where the parent is in another conversation."""
    if parent_id is not None and _message(session, parent_id).conversation_id != conversation_id:
        raise Conflict("The message to answer belongs to another conversation.")
    message = Message(conversation_id=conversation_id, parent_id=parent_id, role=role, content=content, created_at=now)
    session.add(message)
    session.flush()  # a child's row must follow its parent's
    return message


def _message(session: Session, message_id: str) -> Message:
    message = session.get(Message, message_id)
    if message is None:
        raise NotFound("There is no such message.")
    return message


def _conversation(session: Session, conversation_id: str) -> Conversation:
    conversation = session.get(Conversation, conversation_id)
    if conversation is None or conversation.deleted_at is not None:
        raise NotFound("There is no such conversation.")
    return conversation


def _check_not_erased(session: Session, person_id: str) -> None:
    """Raise `Conflict` where the person was erased: what was on its way then is not kept.

    The row is locked, so that an erasure comes wholly before this transaction or sees what it writes.
    """
    statement = select(Person.erased_at).where(Person.id == person_id)
    if session.exec(statement.with_for_update(read=True, key_share=True)).first() is not None:
        raise Conflict("This account was erased, and nothing of it is kept any more.")


def _touch(session: Session, conversation_id: str, now: float, head: str | None) -> None:
    conversation = _conversation(session, conversation_id)
    _check_not_erased(session, conversation.person_id)
    conversation.updated_at = now
    if head is not None:
        conversation.head_id = head
