"""Short ways to put people, answers and tickets into a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feedback_app.store.database import Store
from feedback_app.store.tables import Completion, Message, Person, Task, Ticket, Version

HOUR_S = 3600.0


@dataclass(frozen=True)
class Shown:
    """A ticket with what it shows."""

    ticket: Ticket
    task: Task
    prompt_id: str
    answer_ids: list[str]

    @property
    def id(self) -> str:
        return self.ticket.id


def completion(version: str = "base", finish_reason: str = "stop", **more: object) -> Completion:
    """How an answer came to be, in short."""
    return Completion(message_id="", version=version, finish_reason=finish_reason, created_at=0.0, **more)


def add_version(
    store: Store, name: str = "base", *, form: str = "full", state: str = "ready", base_hash: str = "b" * 64
) -> Version:
    """A registered version."""
    return store.versions.add(
        Version(
            name=name,
            kind="base" if form == "full" else "aligned",
            form=form,
            path=f"/versions/{name}",
            base_hash=base_hash,
            artifact_hash=f"hash-of-{name}",
            state=state,
            created_at=store.now(),
        )
    )


def show(
    store: Store,
    person: Person,
    *texts: str,
    kind: str = "",
    prompt: str = "What is the capital of France?",
    versions: Sequence[str] = (),
    challenger: str | None = None,
    ttl_s: float = HOUR_S,
) -> Shown:
    """One person's ticket on one (like) or several (compare, rank) answers to a prompt."""
    texts = texts or ("Paris.", "It is Paris, of course!")
    kind = kind or {1: "like", 2: "compare"}.get(len(texts), "rank")
    versions = versions or ["base"] * len(texts)
    replies = [(text, completion(version)) for text, version in zip(texts, versions, strict=True)]
    context, answers = store.conversations.add_candidates(person.id, "compare", prompt, replies)
    ids = [answer.id for answer in answers]
    task = Task(
        kind=kind,
        context_id=context.id,
        candidates=ids,
        challenger=challenger,
        scripted=person.scripted,
        created_at=store.now(),
    )
    ticket, task = store.tasks.offer(task, person.id, ids, store.now() + ttl_s)
    return Shown(ticket, task, context.id, ids)


def answered(store: Store, person: Person, said: str = "Hello?", answer: str = "Hi.") -> Message:
    """An answer of `sft-0001` in a chat of this person's."""
    conversation = store.conversations.add_conversation(person.id, "chat", said)
    question = store.conversations.add_message(conversation.id, None, "user", said)
    how = completion("sft-0001", sent=[question.id])
    return store.conversations.add_reply(conversation.id, question.id, answer, how)
